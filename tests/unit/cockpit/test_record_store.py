"""Records: written in batches, found by number, time, place, level and words."""

from __future__ import annotations

from typing import Any

import pytest

from pipert2.cockpit.store.database import Database
from pipert2.cockpit.store.log_filter import LogFilter
from pipert2.cockpit.store.record_store import RecordStore
from pipert2.errors import ControlError
from tests.unit.cockpit.conftest import record


def _store(database: Database, *records: dict[str, Any], pipe: int = 1) -> RecordStore:
    store = RecordStore(database)
    with database.writing() as connection:
        connection.execute("BEGIN")
        store.insert(connection, pipe, records)
        connection.execute("COMMIT")
    return store


def _numbers(page: Any) -> list[int]:
    return [one["number"] for one in page.records]


def test_a_record_comes_back_as_it_was_sent(database: Database) -> None:
    sent = record(1, "<b>fire</b> 'quoted' \x00 \U0001f525", traceback="Trace", extra={"n": [1, {"a": None}]})
    assert _store(database, sent).page(1, LogFilter()).records == [sent]


def test_without_a_place_to_begin_the_newest_records_come_oldest_first(database: Database) -> None:
    page = _store(database, *(record(n) for n in range(1, 11))).page(1, LogFilter(), limit=3)
    assert (_numbers(page), page.more) == ([8, 9, 10], True)


def test_pages_go_back_and_forth_from_a_number(database: Database) -> None:
    store = _store(database, *(record(n) for n in range(1, 11)))
    assert _numbers(store.page(1, LogFilter(), before=8, limit=3)) == [5, 6, 7]
    assert _numbers(store.page(1, LogFilter(), after=3, limit=3)) == [4, 5, 6]
    assert not store.page(1, LogFilter(), after=7, limit=3).more
    assert _numbers(store.page(1, LogFilter(), after=10)) == []


def test_pipes_see_only_their_own_records(database: Database) -> None:
    store = _store(database, record(1, "mine"))
    _store(database, record(1, "other"), record(2, "other"), pipe=2)
    assert [one["message"] for one in store.page(1, LogFilter()).records] == ["mine"]
    assert _numbers(store.page(2, LogFilter(text="other"))) == [1, 2]
    assert (store.last_number(1), store.last_number(2), store.last_number(3)) == (1, 2, 0)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (LogFilter(level="WARNING"), [2, 3]),
        (LogFilter(level="CRITICAL"), []),
        (LogFilter(level="DEBUG"), [1, 2, 3, 4]),
        (LogFilter(flow="out"), [3, 4]),
        (LogFilter(routine="saver", level="ERROR"), [3]),
        (LogFilter(text="disk"), [3, 4]),
        (LogFilter(text="DISK ful"), [3]),
        (LogFilter(text="isk"), []),
        (LogFilter(text="OSError"), [3]),
        (LogFilter(text='"disk" OR (* NEAR'), []),
        (LogFilter(text="50%"), [4]),
        (LogFilter(text="%"), [4]),
        (LogFilter(text="_"), []),
        (LogFilter(text="größe"), [1]),
    ],
)
def test_records_are_found_by_what_they_are_and_by_words(
    database: Database, wanted: LogFilter, found: list[int]
) -> None:
    store = _store(
        database,
        record(1, "Die größe ist 5"),
        record(2, "slow", level="WARNING"),
        record(3, "disk is full", level="ERROR", flow="out", routine="saver", traceback="OSError: no space"),
        record(4, "disk at 50%", flow="out", routine="saver"),
    )
    assert _numbers(store.page(1, wanted)) == found


def test_without_a_full_text_index_words_are_found_as_well(database: Database) -> None:
    database.has_text_index = False
    store = _store(database, record(1, "disk is FULL"), record(2, "nothing"))
    assert _numbers(store.page(1, LogFilter(text="full disk"))) == [1]


def test_records_are_found_by_time(database: Database) -> None:
    store = _store(database, *(record(n) for n in range(1, 11)))
    assert _numbers(store.page(1, LogFilter(), start=1003.5, end=1006)) == [4, 5, 6]
    assert _numbers(store.page(1, LogFilter(), start=2000)) == []


def test_counts_by_level_over_time_agree_with_and_without_looking_at_the_records(database: Database) -> None:
    levels = ["INFO", "INFO", "ERROR", "INFO", "WARNING"]
    store = _store(database, *(record(n + 1, level=level) for n, level in enumerate(levels * 4)))
    counted = store.histogram(1, LogFilter(), 1001.0, 1021.0, 4)
    looked_at = store.histogram(1, LogFilter(flow="in"), 1001.0, 1021.0, 4)
    assert counted == looked_at
    assert counted.levels == {"INFO": [3, 3, 3, 3], "ERROR": [1, 1, 1, 1], "WARNING": [1, 1, 1, 1]}
    assert store.histogram(1, LogFilter(level="ERROR"), 1001.0, 1021.0, 4).levels == {"ERROR": [1, 1, 1, 1]}


def test_what_is_deleted_is_not_found_by_words_and_not_counted(database: Database) -> None:
    store = _store(database, *(record(n, f"word{n}") for n in range(1, 11)))
    with database.writing() as connection:
        assert store.delete_oldest(connection, 1, 4) == 4
        assert store.delete_oldest(connection, 1, 100, older_than=1006.0) == 1
        assert store.delete_oldest(connection, 1, 100, older_than=1006.0) == 0
    assert _numbers(store.page(1, LogFilter())) == [6, 7, 8, 9, 10]
    assert _numbers(store.page(1, LogFilter(text="word3"))) == []
    assert _numbers(store.page(1, LogFilter(text="word7"))) == [7]
    assert sum(store.histogram(1, LogFilter(), 1000.0, 1020.0, 1).levels["INFO"]) == 6  # those of the second in hand


def test_all_records_that_fit_come_page_by_page(database: Database) -> None:
    store = _store(database, *(record(n, "even" if n % 2 == 0 else "odd") for n in range(1, 3001)))
    pages = list(store.each(1, LogFilter(text="even")))
    assert [one["number"] for page in pages for one in page] == list(range(2, 3001, 2))
    assert len(pages) == 2


def test_a_search_that_takes_too_long_is_given_up_with_an_advice(database: Database) -> None:
    store = _store(database, *(record(n) for n in range(1, 3001)))
    with pytest.raises(ControlError, match="ask for a shorter time"), database.reading(0.0) as connection:
        connection.execute("SELECT count(*) FROM records a, records b, records c").fetchone()
    assert len(store.page(1, LogFilter()).records) == 200
