"""What comes over the wire is checked before anything is done with it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2.cockpit.link.records import MOST_RECORDS
from pipert2.cockpit.server import messages
from pipert2.cockpit.store.log_filter import LogFilter
from pipert2.errors import ControlError
from tests.unit.cockpit.conftest import record

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["pipe", "records", "dropped", "logs", "frames", "verb", "id"]), inner)
    ),
    max_leaves=8,
)
_readers = st.sampled_from(
    [messages.read_hello, messages.read_batch, messages.read_frame, messages.read_watch, messages.read_command]
)


@given(reader=_readers, data=_json)
def test_whatever_comes_is_read_or_refused_as_a_bad_argument(reader: Any, data: Any) -> None:
    refused = None
    try:
        reader(data)
    except ControlError as error:
        refused = error
    assert refused is None or (refused.code == "bad_argument" and len(str(refused)) < 5_000)


@pytest.mark.parametrize(
    "change",
    [
        {"number": 0},
        {"number": 1 << 40},
        {"time": float("nan")},
        {"time": -1},
        {"message": None},
        {"message": "x" * 60_001},
        {"message": "half \ud800"},
        {"extra": []},
        {"flow": "f" * 201},
    ],
)
def test_a_record_that_cannot_be_kept_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ControlError, match=f"records.0.{next(iter(change))}"):
        messages.read_batch({"records": [{**record(1), **change}], "dropped": 0})


def test_a_batch_has_a_bounded_number_of_records() -> None:
    good = [record(n + 1) for n in range(MOST_RECORDS)]
    assert messages.read_batch({"records": good, "dropped": 0})["records"] == good
    with pytest.raises(ControlError, match=f"at most {MOST_RECORDS}"):
        messages.read_batch({"records": [*good, record(MOST_RECORDS + 1)], "dropped": 0})


def test_what_a_browser_watches_is_read() -> None:
    assert messages.read_watch({}) == (None, None, frozenset())
    found = messages.read_watch({"pipe": "x", "logs": {"level": "INFO"}, "frames": [["cam", "input"]]})
    assert found == ("x", LogFilter(level="INFO"), frozenset({("cam", "input")}))
    assert messages.read_watch({"pipe": "x", "logs": {}})[1] == LogFilter()


@pytest.mark.parametrize(
    "data", [{"logs": {"colour": "red"}}, {"frames": [["cam", "inside"]]}, {"frames": [["c", "input"]] * 17}]
)
def test_what_cannot_be_watched_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ControlError, match=next(iter(data))):
        messages.read_watch(data)


def test_a_run_is_named_by_letters_and_digits() -> None:
    run = {"id": "a-b_9", "name": "<b>", "host": "h", "pid": 1, "started": 2.0, "pipert2": "1"}
    assert messages.read_hello({"pipe": run, "token": None})[0].name == "<b>"
    with pytest.raises(ControlError, match="id"):
        messages.read_hello({"pipe": {**run, "id": "../x"}})
