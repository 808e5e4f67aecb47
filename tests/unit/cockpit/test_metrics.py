"""Metrics: rows made of snapshots, coarser rows of finer ones, and charts of all of them."""

from __future__ import annotations

import math
from array import array
from typing import Any

import pytest

from pipert2.cockpit.store.database import Database
from pipert2.cockpit.store.metrics_row import SERIES, Counters, MetricsRow
from pipert2.cockpit.store.metrics_store import MetricsStore
from pipert2.cockpit.store.pipe_store import PipeRun, PipeStore

NOW = 1_000_000.0
_FLOW = ("flow", "in")


def _status(time: float, errors: int = 0, dropped: int = 0, blocked: float = 0.0, **routine: Any) -> dict[str, Any]:
    latency = {"p50": 0.01, "p99": None}
    one = {"name": "a", "rate": 5.0, "logic_time": latency, "age": latency, "errors": errors, "skipped": 0, **routine}
    wire = {"source": "a", "destination": "b", "rate": 4.0, "dropped": dropped, "queued": 2, "blocked_seconds": blocked}
    flow = {"name": "in", "cpu_percent": 50.0, "rss_bytes": 1 << 30, "restarts": 1}
    return {"time": time, "routines": [one], "wires": [wire], "flows": [flow]}


def _values(row: MetricsRow) -> dict[tuple[str, str], dict[str, float]]:
    values = array("f")
    values.frombytes(row.values)
    left = list(values)
    return {(kind, name): {series: left.pop(0) for series in SERIES[kind]} for kind, name in row.things}


def test_counters_become_what_is_new_and_blocked_time_a_share() -> None:
    counters = Counters()
    first = _values(counters.row(_status(10.0, errors=7, dropped=100, blocked=3.0)))
    second = _values(counters.row(_status(12.0, errors=9, dropped=103, blocked=4.0)))
    assert (first["routine", "a"]["errors"], first["wire", "a->b"]["dropped"]) == (0.0, 0.0)
    assert math.isnan(first["wire", "a->b"]["blocked"])
    assert (second["routine", "a"]["errors"], second["wire", "a->b"]["dropped"]) == (2.0, 3.0)
    assert second["wire", "a->b"]["blocked"] == pytest.approx(0.5)
    assert second["flow", "in"] == {"cpu": 50.0, "rss": float(1 << 30), "restarts": 1.0}


def test_a_counter_that_fell_has_begun_anew() -> None:
    counters = Counters()
    counters.row(_status(10.0, errors=7))
    assert _values(counters.row(_status(11.0, errors=2)))["routine", "a"]["errors"] == 2.0


@pytest.mark.parametrize("nonsense", [{}, {"routines": 3, "wires": [1], "flows": None, "time": "x"}])
def test_a_snapshot_that_is_none_makes_an_empty_row(nonsense: dict[str, Any]) -> None:
    assert Counters().row(nonsense).things == ()


def _row(value: float, *more: tuple[str, str]) -> MetricsRow:
    things = (*more, _FLOW)
    values = [value] * sum(len(SERIES[kind]) for kind, _ in things)
    return MetricsRow(things, array("f", values).tobytes())


def _store(database: Database) -> MetricsStore:
    with database.writing() as connection:
        PipeStore.add(connection, PipeRun("x", "x", "h", 1, 1.0, "1"), 1.0)
    return MetricsStore(database, 30.0)


def test_a_chart_shows_each_second_of_the_last_minutes(database: Database) -> None:
    store = _store(database)
    with database.writing() as connection:
        for second in range(10):
            store.insert(connection, 1, int(NOW) - 10 + second, _row(float(second)))
    chart = store.chart(1, _FLOW, NOW - 12, NOW, 100, NOW)
    assert chart.seconds == 1
    assert chart.series["cpu"]["mean"][-10:] == [float(second) for second in range(10)]
    assert chart.series["cpu"]["mean"][0] is None


def test_a_chart_with_few_points_has_mean_least_and_greatest_of_each(database: Database) -> None:
    store = _store(database)
    with database.writing() as connection:
        for second in range(100):
            store.insert(connection, 1, int(NOW) - 100 + second, _row(float(second)))
    chart = store.chart(1, _FLOW, NOW - 100, NOW, 2, NOW)
    assert chart.times[-2:] == [NOW - 100, NOW - 50]
    assert chart.series["rss"]["mean"][-2:] == [24.5, 74.5]
    assert chart.series["rss"]["least"][-2:] == [0.0, 50.0]
    assert chart.series["rss"]["greatest"][-2:] == [49.0, 99.0]


def test_coarser_rows_take_the_place_of_finer_ones_that_are_gone(database: Database) -> None:
    store = _store(database)
    start = int(NOW) - 7_200
    with database.writing() as connection:
        for second in range(7_200):
            store.insert(connection, 1, start + second, _row(float(second % 10)))
        while store.roll_up(connection, 1, NOW):
            pass
        while store.delete_old(connection, NOW, 1_000):
            pass
        (fine,) = connection.execute("SELECT count(*) FROM metrics WHERE step = 1").fetchone()
    assert 3_600 <= fine <= 3_700
    long_ago = store.chart(1, _FLOW, NOW - 7_200, NOW, 60, NOW)
    assert long_ago.seconds == 120
    assert all(mean == pytest.approx(4.5) for mean in long_ago.series["cpu"]["mean"][1:])
    assert set(long_ago.series["cpu"]["least"][1:]) == {0.0}
    assert set(long_ago.series["cpu"]["greatest"][1:]) == {9.0}


def test_a_chart_goes_on_over_a_change_of_what_the_pipe_is_made_of(database: Database) -> None:
    store = _store(database)
    with database.writing() as connection:
        store.insert(connection, 1, int(NOW) - 2, _row(1.0))
        store.insert(connection, 1, int(NOW) - 1, _row(2.0, ("routine", "new"), ("wire", "a->b")))
    chart = store.chart(1, _FLOW, NOW - 2, NOW, 100, NOW)
    assert chart.series["cpu"]["mean"][-2:] == [1.0, 2.0]
    assert store.chart(1, ("wire", "a->b"), NOW - 2, NOW, 100, NOW).series["queued"]["mean"][-2:] == [None, 2.0]


def test_a_thing_that_never_was_has_an_empty_chart(database: Database) -> None:
    chart = _store(database).chart(1, ("routine", "nobody"), NOW - 10, NOW, 5, NOW)
    assert set(chart.series["rate"]["mean"]) == {None}
