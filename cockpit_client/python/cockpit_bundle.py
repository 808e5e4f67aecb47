"""Builds the cockpit's page from its sources into the package.

The environment variable ``PIPERT2_COCKPIT`` says what is to happen: ``auto`` (as if it were not set): build it, and if
that fails go on without, the server then tells why; ``require``: fail; ``skip``: build nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cockpit_node import Node, find_node

AUTO, REQUIRE, SKIP = "auto", "require", "skip"
STAMP = "sources.sha256"
REASON = "not-built.txt"
_LEFT_OUT = {"node_modules", "dist", "python", "tests", "__pycache__"}
# An npm that gets no answer tries for minutes: ask for one small thing first, with little patience.
_PROBE = ("view", "react", "version", "--fetch-retries=0", "--fetch-timeout=10000")
_PROBE_SECONDS = 30.0
_INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
_SECONDS = 900.0
_MOST_OUTPUT = 4_000


class BundleError(Exception):
    """Why there is no page, in a sentence or two."""


def wanted() -> str:
    """What ``PIPERT2_COCKPIT`` says.

    Raises:
        SystemExit: it says something else than it may.
    """
    said = os.environ.get("PIPERT2_COCKPIT", "").strip().lower() or AUTO
    if said not in (AUTO, REQUIRE, SKIP):
        raise SystemExit(f"PIPERT2_COCKPIT is {said!r}; it may be {AUTO!r}, {REQUIRE!r} or {SKIP!r}")
    return said


def provide_bundle(sources: Path, target: Path) -> None:
    """See to it that *target* has the page that *sources* describe, or says why not.

    Raises:
        SystemExit: it cannot be built, and is required.
    """
    how = wanted()
    if how == SKIP:
        if not (target / "index.html").is_file():
            _leave_out(target, "pipert2 was installed with PIPERT2_COCKPIT=skip.")
        return
    try:
        if not (sources / "package.json").is_file():
            raise BundleError(f"its sources are not in {sources}")
        stamp = stamp_of(sources)
        if (target / "index.html").is_file() and _read(target / STAMP) == stamp:
            return
        node = find_node()
        if node is None:
            raise BundleError("there is no Node ^20.19 or >=22.12 with npm here")
        _build(node, sources, target, stamp)
    except (BundleError, OSError) as error:
        if how == REQUIRE:
            raise SystemExit(f"the cockpit's page could not be built: {error}") from error
        print(f"warning: pipert2 goes without the cockpit's page: {error}", file=sys.stderr)
        _leave_out(target, f"When pipert2 was installed: {error}")


def stamp_of(sources: Path) -> str:
    """A hash of all that the page is made of."""
    found = hashlib.sha256()
    for path in sorted(sources.rglob("*")):
        inside = path.relative_to(sources)
        if path.is_file() and not _LEFT_OUT & set(inside.parts):
            found.update(f"{inside.as_posix()}\0{path.stat().st_size}\0".encode())
            found.update(path.read_bytes())
    return found.hexdigest()


def _build(node: Node, sources: Path, target: Path, stamp: str) -> None:
    _run(node, sources, _PROBE, _PROBE_SECONDS, "npm's package registry cannot be reached")
    with tempfile.TemporaryDirectory(prefix="pipert2-cockpit-") as folder:
        copy, made = Path(folder) / "client", Path(folder) / "made"
        shutil.copytree(sources, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        _run(node, copy, _INSTALL, _SECONDS, "its packages could not be installed")
        _run(node, copy, ("run", "build", "--", "--outDir", str(made), "--emptyOutDir"), _SECONDS, "Vite failed")
        if not (made / "index.html").is_file():
            raise BundleError("Vite made no index.html")
        (made / STAMP).write_text(stamp, "utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made, target)


def _run(node: Node, folder: Path, arguments: tuple[str, ...], seconds: float, what: str) -> None:
    try:
        done = subprocess.run(
            [*node.npm, *arguments],
            cwd=folder,
            env=node.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"{what}: no answer within {seconds:g} s") from None
    if done.returncode != 0:
        said = done.stdout.decode("utf-8", "replace").strip()
        print(said[-_MOST_OUTPUT:], file=sys.stderr)
        raise BundleError(f"{what} (npm {arguments[0]} ended with {done.returncode})")


def _leave_out(target: Path, reason: str) -> None:
    """Without a page there is a reason; one that is there from before would be of other sources."""
    shutil.rmtree(target, ignore_errors=True)
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / REASON).write_text(reason + "\n", "utf-8")
    except OSError as error:
        print(f"warning: {target} cannot be written: {error}", file=sys.stderr)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
