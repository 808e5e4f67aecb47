"""What the package is, pyproject.toml says; this only builds the cockpit's page before the files are collected."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "cockpit_client" / "python"))

from cockpit_bundle import provide_bundle  # noqa: E402


class BuildWithBundle(build_py):
    """Builds the cockpit's page, then does what is done always."""

    def run(self) -> None:
        provide_bundle(ROOT / "cockpit_client", ROOT / "pipert2" / "cockpit" / "static")
        self.__dict__.pop("data_files", None)  # it may have been collected before the bundle was there
        super().run()


setup(cmdclass={"build_py": BuildWithBundle})
