"""A document in a file, and what is found in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from pipert2 import Pipe
from pipert2.document import check_document, load_pipe
from tests.unit.document import parts

Check = Callable[[str], list[str]]
Load = Callable[[str], Pipe]


def _written(folder: Path, text: str) -> Path:
    path = folder / "pipe.yaml"
    path.write_text(dedent(text), "utf-8")
    return path


@pytest.fixture(autouse=True)
def _short_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents name the module of routines ``parts``, so that columns are easy to count."""
    monkeypatch.setitem(sys.modules, "parts", parts)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """What is found in a document, as ``"line:column: message"``."""

    def found(text: str) -> list[str]:
        findings = check_document(_written(tmp_path, text))
        return [f"{finding.line}:{finding.column}: {finding.message}" for finding in findings]

    return found


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """The pipe that a document describes."""
    return lambda text: load_pipe(_written(tmp_path, text))
