"""Routines for some types of records only, as workers on demand are: conditions on wires, and what is no record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, Wire
from pipert2.testing import ListSource


class Identify(MiddleRoutine):
    def main_logic(self, record: Any) -> Any:
        if not isinstance(record, dict) or "type" not in record:
            raise ValueError(f"validation: {record!r} is no record")
        return record


class Notes(DestinationRoutine):
    def main_logic(self, record: dict[str, Any]) -> None:
        self.store.add(self.name, record["type"])


@pytest.mark.expects_errors
@pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])
def test_each_worker_gets_its_types_and_what_is_invalid_is_a_dead_letter(tmp_path: Path, inline: bool) -> None:
    """B, extra: workers for zip, for what is no zip, and for everything; one record is invalid."""
    records = [{"type": kind, "n": n} for n in range(10) for kind in ("zip", "png")]
    submit, identify = ListSource([*records[:7], "garbage", *records[7:]], "submit"), Identify("identify")
    unzip, look, everything = Notes("unzip"), Notes("look"), Notes("everything")
    pipe = Pipe(inline=inline, lossless=True, store=tmp_path / "run.db")
    pipe.create_flow("submit", False, submit)
    pipe.create_flow("identify", False, identify)
    pipe.create_flow("workers", False, unzip, look, everything)
    pipe.link(
        Wire(submit, identify),
        Wire(identify, unzip, where=lambda record: record["type"] == "zip"),
        Wire(identify, look, where=lambda record: record["type"] != "zip"),
        Wire(identify, everything),
    )
    summary = pipe.run(timeout=60)
    assert pipe.store is not None
    assert [pipe.store.count(name) for name in ("unzip", "look", "everything")] == [10, 10, 20]
    (letter,) = pipe.dead_letters()
    assert "validation: 'garbage' is no record" in letter.reason
    assert all(flow.restarts == 0 for flow in summary.flows)
    pipe.store.close()
