"""The user's modules go along to other hosts; what is installed does not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from pipert2.engine.luggage import Unpacked, sources_of
from pipert2.testing import ListSource
from pipert2.transport.leftovers import clear_leftovers


def test_a_routines_module_and_those_beside_it_go_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / "mine").mkdir(parents=True)
    (home / "mine" / "__init__.py").write_text("")
    (home / "mine" / "parts_of_mine.py").write_text(
        "import beside_mine\nfrom pipert2 import SourceRoutine\n\n\n"
        "class Mine(SourceRoutine):\n    def main_logic(self):\n        return beside_mine.VALUE\n"
    )
    (home / "beside_mine.py").write_text("VALUE = 7\n")
    (home / "not_loaded.py").write_text("")
    monkeypatch.syspath_prepend(str(home))
    module = importlib.import_module("mine.parts_of_mine")
    sources = sources_of([module.Mine("mine"), ListSource([1], "ours")])
    for name in ("mine", "mine.parts_of_mine", "beside_mine"):
        monkeypatch.delitem(sys.modules, name)
    assert set(sources) == {"mine/__init__.py", "mine/parts_of_mine.py", "beside_mine.py"}
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(home)])
    importlib.invalidate_caches()
    there = Unpacked(sources)
    clear_leftovers()  # of others: this process lives
    try:
        assert importlib.import_module("mine.parts_of_mine").Mine("mine").main_logic() == 7
    finally:
        for name in ("mine", "mine.parts_of_mine", "beside_mine"):
            sys.modules.pop(name, None)
        there.close()
        there.close()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("beside_mine")


def test_without_modules_of_the_users_nothing_is_written() -> None:
    before = list(sys.path)
    assert sources_of([ListSource([1], "ours")]) == {}
    Unpacked({}).close()
    assert sys.path == before
