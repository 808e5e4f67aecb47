"""Reading server-sent events from bytes that are cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2.control.client import server_sent_events
from pipert2.control.client.server_sent_events import ServerSentEvent, read_events

_STREAM = (
    b'retry: 1000\n\n: \n\nid: 7\nevent: log\ndata: {"a": "\xe2\x80\xa8"}\n\n'
    b"event: status\r\ndata: one\r\ndata: two\r\n\r\ndata:three\n\nevent: nothing\n\ndata: cut off"
)
_EVENTS = [
    ServerSentEvent("log", '{"a": "\u2028"}', "7"),
    ServerSentEvent("status", "one\ntwo", "7"),
    ServerSentEvent("message", "three", "7"),
]


@settings(deadline=None)
@given(st.lists(st.integers(0, len(_STREAM)), max_size=20))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    at = [0, *sorted(cuts), len(_STREAM)]
    parts = [_STREAM[begin:end] for begin, end in pairwise(at)]
    assert list(read_events(parts)) == _EVENTS


def test_an_event_is_there_as_soon_as_its_end_is() -> None:
    def parts() -> object:
        yield b"data: now\n\n"
        raise AssertionError("it read on before it handed out what it had")

    assert next(read_events(parts())).data == "now"  # type: ignore[arg-type]


@pytest.mark.parametrize("part", [b"data: 0123456789012345678901234567890123456789", b"data: 0123456789\n"])
def test_an_event_without_end_is_given_up(part: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_sent_events, "LARGEST_EVENT", 100)
    with pytest.raises(ValueError, match="more than 100 bytes"):
        list(read_events(part for _ in range(1000)))


def test_bytes_that_are_no_text_are_an_error() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        list(read_events([b"data: \xff\xfe\n\n"]))
