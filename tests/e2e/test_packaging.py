"""The package as it is built: the cockpit's page is in it, and its sources hold no bundle and no addresses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = (
    *(".git", ".venv", "build", "dist", "node_modules", "site", "static", "*.egg-info", "__pycache__", "results"),
    *(".*_cache", ".hypothesis", ".bench", ".demo"),
)
CLIENT = ROOT / "cockpit_client"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources without anything that was built."""
    copy = tmp_path_factory.mktemp("sources") / "pipert2"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """A wheel built from them, as ``pip install`` does it."""
    folder = tmp_path_factory.mktemp("wheel")
    _pip_wheel(sources, folder, "require")
    (made,) = folder.glob("*.whl")
    with zipfile.ZipFile(made) as opened:
        yield opened


def _pip_wheel(sources: Path, folder: Path, how: str, path: str | None = None) -> str:
    environment = {**os.environ, "PIPERT2_COCKPIT": how, "PATH": path if path is not None else os.environ["PATH"]}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(sources)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_a_wheel_holds_the_cockpits_page(wheel: zipfile.ZipFile) -> None:
    page = wheel.read("pipert2/cockpit/static/index.html").decode()
    linked = re.findall(r'(?:src|href)="/([^"]+)"', page)
    assert {Path(name).suffix for name in linked} >= {".js", ".css", ".svg"}
    for name in linked:
        assert wheel.getinfo(f"pipert2/cockpit/static/{name}").file_size > 0


@pytest.mark.timeout(600)
def test_the_page_asks_nobody_but_its_own_server(wheel: zipfile.ZipFile) -> None:
    names = [name for name in wheel.namelist() if name.startswith("pipert2/cockpit/static/")]
    page = wheel.read("pipert2/cockpit/static/index.html").decode()
    assert "//" not in page.replace("<!doctype html>", "")
    for name in names:
        if name.endswith(".css"):
            assert not re.search(r"url\((?!['\"]?/)|@import", wheel.read(name).decode())


@pytest.mark.timeout(600)
def test_a_wheel_holds_the_licences_of_what_is_bundled(wheel: zipfile.ZipFile) -> None:
    text = wheel.read("pipert2/cockpit/static/licences.md").decode()
    for package in ("react", "@xyflow/react", "uplot", "socket.io-client", "@dagrejs/dagre"):
        assert package in text


@pytest.mark.timeout(600)
def test_a_wheel_holds_none_of_the_pages_sources(wheel: zipfile.ZipFile) -> None:
    assert not [name for name in wheel.namelist() if "cockpit_client" in name or "node_modules" in name]


@pytest.mark.timeout(600)
def test_without_node_and_packages_pipert2_is_built_without_the_page_and_says_why(
    sources: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "sources"
    shutil.copytree(sources, copy, ignore=shutil.ignore_patterns("static", "build"))
    (copy / "cockpit_client" / "package.json").unlink()
    _pip_wheel(copy, tmp_path / "wheels", "auto")
    (made,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(made) as opened:
        assert "its sources are not in" in opened.read("pipert2/cockpit/static/not-built.txt").decode()
        assert "pipert2/cockpit/static/index.html" not in opened.namelist()


def test_git_holds_no_bundle_and_no_packages() -> None:
    for path in ("pipert2/cockpit/static/index.html", "cockpit_client/node_modules/react/package.json"):
        done = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, timeout=60, check=False)
        assert done.returncode == 0, path


def test_the_lock_file_names_no_registry() -> None:
    text = (CLIENT / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in text
    assert "omit-lockfile-registry-resolved=true" in (CLIENT / ".npmrc").read_text("utf-8")
