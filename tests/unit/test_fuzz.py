"""What ``make fuzz`` begins with is read by its readers; atheris itself is not needed for that."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import pytest

PARSERS = Path(__file__).parents[2] / "fuzz" / "parsers.py"


@pytest.fixture
def parsers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("mcap")
    atheris: Any = types.ModuleType("atheris")
    atheris.instrument_imports = lambda include: contextlib.nullcontext()
    monkeypatch.setitem(sys.modules, "atheris", atheris)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spec = importlib.util.spec_from_file_location("parsers", PARSERS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_reader_has_a_whole_input_to_begin_with(parsers: Any) -> None:
    seeds = list(parsers.seeds())
    assert {seed[0] for seed in seeds} == set(range(len(parsers.READERS)))
    for seed in seeds:
        parsers.read(seed)
        parsers.read(seed[: len(seed) // 2])
