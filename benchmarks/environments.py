"""The virtual environments that the systems run in, made on demand in `.bench/` and kept until their list changes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".bench"
VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter with packages. Without `requirements` it is the one that this runs in."""

    name: str
    packages: tuple[str, ...]
    requirements: Path | None = None

    @property
    def python(self) -> Path:
        return Path(sys.executable) if self.requirements is None else HOME / self.name / "bin" / "python"

    def prepare(self) -> list[str]:
        """Makes the environment if it is not there as required; returns what could not be installed."""
        if self.requirements is None:
            return []
        wanted = f"{sys.version}\n{self.requirements.read_text()}"
        folder, mark = HOME / self.name, HOME / self.name / "installed.json"
        if mark.exists():
            found = json.loads(mark.read_text())
            # A failure is tried again by the next run: it may have been the network.
            if found["wanted"] == wanted and not found["problems"]:
                return []
        shutil.rmtree(folder, ignore_errors=True)
        HOME.mkdir(exist_ok=True)
        (HOME / ".gitignore").write_text("*\n")
        _run(sys.executable, "-m", "venv", str(folder), check=True)
        problems = self._install()
        mark.write_text(json.dumps({"wanted": wanted, "problems": problems}))
        return problems

    def versions(self) -> dict[str, str]:
        """The versions of the packages that count, as installed."""
        if not self.python.exists():
            return {}
        return dict(json.loads(_run(str(self.python), "-c", VERSIONS, *self.packages, check=True).stdout))

    def _install(self) -> list[str]:
        assert self.requirements is not None
        pip = (str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        if _run(*pip, "-r", str(self.requirements)).returncode == 0:
            return []
        # One package that does not exist for this Python must not take the others with it.
        problems = []
        for line in self.requirements.read_text().splitlines():
            if line and not line.startswith("#") and (done := _run(*pip, line)).returncode != 0:
                reason = next((text for text in done.stderr.splitlines() if "ERROR" in text), "pip failed")
                problems.append(f"{line}: {reason}")
        return problems


def _run(*command: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=check, capture_output=True, text=True)


OWN = Environment("own", ("pipert2", "numpy", "posix_ipc", "cloudpickle"))
PEERS = Environment(
    "peers", ("ezmsg", "shmpipeline", "pyshmem", "iceoryx2", "numpy"), ROOT / "benchmarks" / "requirements-peers.txt"
)
PIPERT24 = Environment("pipert24", ("PipeRT", "posix-ipc", "numpy"), ROOT / "benchmarks" / "requirements-pipert24.txt")
