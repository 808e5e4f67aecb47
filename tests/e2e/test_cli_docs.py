"""The consoles of the README and the documentation show what commands really print.

``PIPERT2_WRITE_DOCS=1 pytest tests/e2e/test_cli_docs.py`` writes what they print now into the pages; look at the
difference afterwards.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import typer

from pipert2.cli.main import make_app
from tests.e2e.blocks import ROOT
from tests.e2e.consoles import Command, Console, has_commands, missing_programs, rewrite, shape, steps_of

COMMAND_LINE = ROOT / "docs" / "command-line.md"
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if has_commands(page)]
WRITE = bool(os.environ.get("PIPERT2_WRITE_DOCS"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page_print_what_it_shows(page: Path, tmp_path: Path) -> None:
    steps = steps_of(page)
    if missing := missing_programs(steps):
        pytest.skip(f"needs {', '.join(sorted(missing))}")
    if any("rpc" in step.text for step in steps):
        pytest.importorskip("zerorpc")
    printed = []
    with Console(tmp_path, steps) as console:
        for command in console.commands():
            if WRITE:
                printed.append(console.run(command))
            else:
                console.check(command)
    if WRITE:
        rewrite(page, printed)


def _verbs(command: object, path: str = "pipert2") -> list[str]:
    inner = getattr(command, "commands", {})
    if path == "pipert2 cockpit":  # has a page of its own
        return []
    return [name for key, one in inner.items() if not one.hidden for name in _verbs(one, f"{path} {key}")] or [path]


def test_every_verb_of_the_command_is_shown_with_its_help_and_at_work() -> None:
    texts = [step.text for step in steps_of(COMMAND_LINE) if isinstance(step, Command)]
    for verb in _verbs(typer.main.get_command(make_app())):
        assert f"{verb} --help" in texts, f"the help of `{verb}` is not shown"
        if verb != "pipert2 cockpit":
            assert any(re.match(rf"{verb}\b(?! --help)", text) for text in texts), f"`{verb}` is not shown at work"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("camera  running  200    -  24.4  1.1/18", "camera  running   3  4.5   -  0.6/2.4"),
        ("demo  30889  http://127.0.0.1:45489  5 s", "demo  7  http://127.0.0.1:80  2 min 3 s"),
        ("a 4.0 MiB", "a 12 KiB"),
    ],
)
def test_numbers_and_widths_may_differ(one: str, other: str) -> None:
    assert shape(one, "pipert2 status") == shape(other, "pipert2 status")


@pytest.mark.parametrize(("one", "other"), [("camera: stopped", "camera: started"), ("a  b", "a  b  c"), ("a\nb", "a")])
def test_words_may_not_differ(one: str, other: str) -> None:
    assert shape(one, "pipert2 stop") != shape(other, "pipert2 stop")
