"""Filters of live records agree with the search over stored ones."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipert2.cockpit.store.database import Database
from pipert2.cockpit.store.log_filter import LogFilter
from pipert2.cockpit.store.record_store import RecordStore
from tests.unit.cockpit.conftest import record

_words = st.sampled_from(["disk", "DiskFull", "full", "50%", "a_b", "no-go", "x", "é", "-", ""])
_texts = st.lists(_words, max_size=4).map(" ".join)


@pytest.mark.parametrize(
    ("wanted", "everything"),
    [(LogFilter(), True), (LogFilter(text=""), True), (LogFilter(text=" "), True), (LogFilter(flow="a"), False)],
)
def test_a_filter_knows_that_it_filters_nothing(wanted: LogFilter, everything: bool) -> None:
    assert wanted.everything is everything


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(message=_texts, text=_texts, level=st.sampled_from([None, "DEBUG", "INFO", "ERROR"]))
def test_what_fits_live_is_what_a_search_finds(database: Database, message: str, text: str, level: str | None) -> None:
    store = RecordStore(database)
    one = record(1, message)
    with database.writing() as connection:
        connection.execute("BEGIN")
        store.insert(connection, 1, [one])
        connection.execute("COMMIT")
        found = store.page(1, LogFilter(level=level, text=text)).records
        store.delete_oldest(connection, 1, 10)
    if text.isascii() and not any(word in text for word in ("%", "_", "-")):  # these only split words for an index
        assert bool(found) == LogFilter(level=level, text=text).fits(one)
