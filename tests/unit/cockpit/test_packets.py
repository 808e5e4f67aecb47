"""What a packet of log records looks like on the way, and that all others are as the library makes them."""

from __future__ import annotations

from typing import Any

import pytest
from socketio.packet import BINARY_EVENT, EVENT, Packet

from pipert2.cockpit.packets import LogsAreText

RECORD = {"number": 1, "message": "<b>", "extra": {"deep": [1, None]}}


@pytest.mark.parametrize(
    "data",
    [
        ["logs", {"records": [RECORD], "dropped": 0}],
        ["logs"],
        ["status", {"n": 1}],
        ["frame", {"jpeg": b"x"}],
        [],
        None,
    ],
)
def test_a_packet_is_written_as_the_library_writes_it(data: Any) -> None:
    ours, theirs = LogsAreText(EVENT, data, "/pipe", 7), Packet(EVENT, data, "/pipe", 7)
    assert (ours.packet_type, ours.encode()) == (theirs.packet_type, theirs.encode())


def test_pictures_are_sent_as_bytes() -> None:
    assert LogsAreText(EVENT, ["frame", {"jpeg": b"x"}]).packet_type == BINARY_EVENT


def test_records_are_not_searched_for_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(data: Any) -> bool:
        raise AssertionError("searched")

    monkeypatch.setattr(LogsAreText, "data_is_binary", staticmethod(search))
    assert LogsAreText(EVENT, ["logs", {"records": [RECORD] * 500}]).packet_type == EVENT
