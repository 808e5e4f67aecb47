"""A pipe's store, from every routine and from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipert2 import DestinationRoutine, MiddleRoutine, Pipe, Routine, Store, Wire
from pipert2.testing import ListSource


class Notes(MiddleRoutine):
    def main_logic(self, number: int) -> int:
        self.store.put("number", str(number), {"square": number * number})
        return number


class Counts(DestinationRoutine):
    def main_logic(self, number: int) -> None:
        self.store.add("seen", number)


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])
def test_what_routines_store_is_there_for_everybody(tmp_path: Path, inline: bool) -> None:
    path = tmp_path / "run.db"
    for _ in range(2):
        pipe = Pipe(inline=inline, lossless=True, store=path)
        numbers, notes, counts = ListSource(list(range(20)), "numbers"), Notes("notes"), Counts("counts")
        pipe.create_flow("source", True, numbers)
        pipe.create_flow("workers", True, notes, replicas=2)
        pipe.create_flow("end", True, counts)
        pipe.link(Wire(numbers, notes), Wire(notes, counts))
        assert pipe.run(timeout=60).errors == 0
    with Store(path) as store:
        assert (store.count("number"), store.count("seen")) == (20, 40)
        assert store.get("number", "7") == {"square": 49}
    assert pipe.store is not None
    assert pipe.store.count("seen") == 40
    pipe.store.close()


def test_without_a_store_the_error_says_how_to_get_one() -> None:
    routine: Any = Routine("lonely")
    with pytest.raises(RuntimeError, match=r"give its pipe one with Pipe\(store=\"run.db\"\)"):
        _ = routine.store
