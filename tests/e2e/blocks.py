"""The Python blocks of a Markdown page as scripts, and what the page says they print.

A fenced block ``python`` is a script of its own. ``<!-- continues -->`` on the line before it makes it go on with the
script of the block before. A fenced block ``text`` right after it is what it prints; in there ``...`` stands for any
text within a line, and a line ``...`` for any lines. ``<!-- in any order -->`` before that block: the lines may come in
any order. ``<!-- logs errors -->`` before a Python block: it may write to standard error. A script without such a
``text`` block prints nothing. A block behind ``<!-- file: NAME -->`` is none: the page's console blocks use it, see
:mod:`tests.e2e.consoles`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CONTINUES = "<!-- continues -->"
ANY_ORDER = "<!-- in any order -->"
LOGS_ERRORS = "<!-- logs errors -->"
PORT = "8320"
"""Where the pages' pipes listen; a free port takes its place."""
FILE = re.compile(r"<!-- file: (\S+) -->")

# Lines of several processes in the order in which they are printed, as at a terminal. PYTHONUNBUFFERED would mix those
# of several threads, because it writes the end of each line by itself.
_LINE_BUFFERED = "import sys; sys.stdout.reconfigure(line_buffering=True)"


@dataclass(slots=True)
class Script:
    """What stands in one or more Python blocks of a page."""

    page: str
    line: int
    heading: str
    code: str = ""
    prints: list[str] = field(default_factory=list)
    any_order: bool = False
    logs_errors: bool = False

    @property
    def id(self) -> str:
        return f"{self.page}:{self.line} {self.heading}"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    line: int
    heading: str
    language: str
    text: str
    marks: tuple[str, ...]
    follows: bool  # nothing but blank lines and marks since the block before

    @property
    def file(self) -> str | None:
        """The name of the file that it is, None if it is none."""
        return next((found[1] for mark in self.marks if (found := FILE.fullmatch(mark))), None)


def blocks_in(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in its order."""
    heading, marks, follows = "", [], False
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        fence = re.match(r"(\s*)(`{3,})(\w*)", line)
        if fence:
            indent, ticks, language = fence.groups()
            if indent:
                raise ValueError(f"line {number}: an indented block would not be tested")
            body = []
            for _, inner in lines:
                if inner.rstrip() == ticks:
                    break
                body.append(inner)
            yield Block(number, heading, language, "".join(f"{row}\n" for row in body), tuple(marks), follows)
            marks, follows = [], True
        elif line.startswith("<!--"):
            marks.append(line.strip())
        elif line.strip():
            marks, follows = [], False
            if line.startswith("#"):
                heading = line.lstrip("# ")


def scripts_of(path: Path) -> list[Script]:
    """The scripts of a page, in its order."""
    found: list[Script] = []
    page = str(path.relative_to(ROOT))
    after_python = False
    for block in blocks_in(path.read_text("utf-8")):
        is_script = block.language == "python" and block.file is None
        if is_script:
            if CONTINUES not in block.marks:
                found.append(Script(page, block.line, block.heading))
            found[-1].code += block.text
            found[-1].logs_errors |= LOGS_ERRORS in block.marks
        elif block.language == "text" and block.follows and after_python:
            found[-1].prints.append(block.text)
            found[-1].any_order |= ANY_ORDER in block.marks
        after_python = is_script
    return found


def parameters(*paths: Path) -> list[object]:
    """The scripts of pages as parameters of a test."""
    return [pytest.param(script, id=script.id) for path in paths for script in scripts_of(path)]


def matches(promised: str, printed: str) -> bool:
    """Whether what was printed is what was promised, where ``...`` stands for anything."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in promised.splitlines()
    )
    return re.fullmatch(pattern, printed) is not None


def _ordered(promised: str, printed: str) -> str:
    """The printed lines in the order in which they were promised; lines that nobody promised last."""
    left = printed.splitlines()
    found = []
    for line in promised.splitlines():
        hit = next((other for other in left if matches(line, other + "\n")), None)
        if hit is not None:
            left.remove(hit)
            found.append(hit)
    return "".join(f"{line}\n" for line in found + left)


def check(script: Script, folder: Path, timeout: float = 200.0) -> None:
    """Run a script as its reader would, in an empty folder, and compare what it prints with what its page says."""
    file, empty, site = folder / "script.py", folder / "empty", folder / "site"
    port = str(free_port()) if PORT in script.code else PORT  # somebody else may listen where the page does
    file.write_text(re.sub(rf"\b{PORT}\b", port, script.code), "utf-8")
    empty.mkdir()
    site.mkdir()
    (site / "sitecustomize.py").write_text(_LINE_BUFFERED, "ascii")
    path = [str(site), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(file)],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    promised, printed = "".join(script.prints), re.sub(rf"\b{port}\b", PORT, done.stdout)
    if script.any_order:
        printed = _ordered(promised, printed)
    assert done.returncode == 0, f"it ended with {done.returncode}:\n{done.stderr}"
    assert script.logs_errors or not done.stderr, f"it wrote to standard error:\n{done.stderr}"
    assert matches(promised, printed), f"it printed\n{done.stdout}\nbut its page says\n{promised}"
    assert not list(empty.iterdir()), "it left files behind"
