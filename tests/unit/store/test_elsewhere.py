"""A store seen from another host: its calls are done where it is, and what cannot be is said."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2 import Store, StoreError
from pipert2.store.elsewhere import StoreElsewhere, answer


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Store, StoreElsewhere]]:
    with Store(tmp_path / "run.db") as here:
        there: StoreElsewhere = pickle.loads(pickle.dumps(StoreElsewhere(here.path)))

        def ask(*arguments: Any) -> Any:
            return pickle.loads(pickle.dumps(answer(here, *arguments)))

        there.connect(ask)
        yield here, there


def test_calls_are_done_where_the_store_is(pair: tuple[Store, StoreElsewhere]) -> None:
    here, there = pair
    there.put("elf", "a", {"size": 3})
    assert here.get("elf", "a") == {"size": 3}
    assert there.get("elf", "a") == {"size": 3}
    assert [record.data for record in there.records("elf")] == [{"size": 3}]
    assert there.count("elf") == 1
    assert there.position() == here.position()
    there.acknowledged.add("source", [1, 2])
    assert here.acknowledged.has("source", 2)
    assert there.path == here.path


def test_what_is_possible_on_the_drivers_host_only_is_said(pair: tuple[Store, StoreElsewhere]) -> None:
    _, there = pair
    with pytest.raises(StoreError, match=r'put the flow there with host="driver"'), there.together():
        pass
    with pytest.raises(StoreError, match="driver's host only"):
        there.reader("mine")
    with pytest.raises(AttributeError, match="a store has no 'putt'"):
        there.putt  # noqa: B018


def test_errors_come_back_as_they_are(pair: tuple[Store, StoreElsewhere]) -> None:
    with pytest.raises(TypeError):
        pair[1].put("elf", None, 1)  # type: ignore[arg-type]


def test_other_names_are_refused_where_the_store_is(pair: tuple[Store, StoreElsewhere]) -> None:
    with pytest.raises(StoreError, match="not for other hosts"):
        answer(pair[0], "close", (), {})
    with pytest.raises(StoreError, match="not for other hosts"):
        answer(pair[0], "__class__", (), {})


def test_without_a_way_to_it_it_says_so() -> None:
    with pytest.raises(StoreError, match="no way to it from here"):
        StoreElsewhere("run.db").get("elf", 1)
