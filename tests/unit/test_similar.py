"""The similarity of records, by a table of scores: what is compared, what is related, what stays."""

from __future__ import annotations

import importlib.util
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipert2 import Store
from pipert2.store import Record

_spec = importlib.util.spec_from_file_location("similar", Path(__file__).parents[2] / "examples" / "similar.py")
assert _spec is not None
assert _spec.loader is not None
similar = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(similar)

RECORDS = 50
ALL = RECORDS * (RECORDS - 1) // 2
Pair = frozenset[object]


class Table:
    """Scores of pairs: 12 above 60, 8 more above 50, all others 0. Counts how often each pair is asked for."""

    def __init__(self) -> None:
        chosen = random.Random(1).sample(list(itertools.combinations(range(RECORDS), 2)), 20)
        self.scores: dict[Pair, float] = {
            frozenset(pair): 61 + at if at < 12 else 51 + at - 12 for at, pair in enumerate(chosen)
        }
        self.asked: list[Pair] = []

    def __call__(self, a: Record, b: Record) -> float:
        pair = frozenset((a.key, b.key))
        self.asked.append(pair)
        return self.scores.get(pair, 0)

    def best(self) -> tuple[int, ...]:
        """A pair that is related."""
        return tuple(int(str(key)) for key in max(self.scores, key=self.scores.__getitem__))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "run.db") as made:
        for number in range(RECORDS):
            made.put("elf", number, {"hash": number})
        yield made


def test_a_second_run_compares_nothing_and_doubles_no_relation(store: Store) -> None:
    """B, extra: similarity, run twice."""
    table = Table()
    assert similar.relate_similar(store, "elf", 60, table) == ALL
    assert (len(table.asked), len(set(table.asked))) == (ALL, ALL)
    assert all(len(pair) == 2 for pair in table.asked)
    assert similar.relate_similar(store, "elf", 60, table) == 0
    assert store.count_relations("similar") == 12


def test_only_pairs_with_a_new_or_a_changed_member_are_compared(store: Store) -> None:
    """B, extra: similarity, the counter of comparisons."""
    table = Table()
    similar.relate_similar(store, "elf", 60, table)
    table.asked.clear()
    store.put("elf", RECORDS, {"hash": RECORDS})
    store.put("elf", 0, {"hash": "changed"})
    assert similar.relate_similar(store, "elf", 60, table) == RECORDS + RECORDS - 1
    assert all(pair & {0, RECORDS} for pair in table.asked)


@pytest.mark.parametrize("score", [99, 5])
def test_a_score_that_has_changed_is_put_right_where_it_is(store: Store, score: float) -> None:
    table = Table()
    similar.relate_similar(store, "elf", 60, table)
    pair = table.best()
    table.scores[frozenset(pair)] = score
    store.put("elf", pair[0], {"hash": "changed"})
    similar.relate_similar(store, "elf", 60, table)
    assert store.count_relations("similar") == 12
    ends = {frozenset((r.a.key, r.b.key)): r["score"] for r in store.relations("similar")}  # type: ignore[union-attr]
    assert ends[frozenset(pair)] == score


def test_a_lower_threshold_adds_and_a_higher_one_takes_nothing_away(store: Store) -> None:
    """B, extra: similarity, 12, 20 and again 20 relations."""
    table = Table()
    for threshold, relations in ((60, 12), (50, 20), (60, 20), (50, 20)):
        similar.relate_similar(store, "elf", threshold, table)
        assert store.count_relations("similar") == relations
    assert len(table.asked) == 2 * ALL


def test_other_kinds_are_left_alone(store: Store) -> None:
    store.put("pe", 1, {"hash": 1})
    assert similar.relate_similar(store, "pe", 60, Table()) == 0
    assert store.count_relations("similar") == 0
