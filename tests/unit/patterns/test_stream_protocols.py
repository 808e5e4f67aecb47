"""What holds for each protocol of streams: a scan has its place in order, and what is broken is one clear error."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipert2.patterns.streams import protocols, stins
from pipert2.patterns.streams.messages import Data, End, ProtocolError, Start
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.stream_data import Place, StreamData
from pipert2.patterns.streams.stream_protocol import StreamProtocol
from tests import stream_messages

EACH = pytest.mark.parametrize("name", stream_messages.RECEIVED)


def known(name: str) -> StreamProtocol:
    found = protocol_of(name)
    assert found is not None
    return found


def assembled(protocol: StreamProtocol, received: list[list[bytes]]) -> list[StreamData]:
    if protocol.assembler is None:
        return [StreamData(protocol.name, parts) for parts in received]
    assemble = protocol.assembler()
    return [StreamData(protocol.name, message) for parts in received for message in assemble(list(parts))]


@EACH
def test_a_scan_is_read_in_order(name: str) -> None:
    protocol = known(name)
    messages = assembled(protocol, stream_messages.RECEIVED[name])
    numbers: list[int | None] = [0, 1, 2] if protocol.numbered else [None] * 3
    assert [protocol.glance(one) for one in messages] == [
        (Place.START, None),
        *((Place.FRAME, number) for number in numbers),
        (Place.END, None),
    ]
    parsed = [protocol.parse(one) for one in messages]
    assert [type(one) for one in parsed] == [Start, Data, Data, Data, End]
    assert [one.number for one in parsed[1:-1]] == numbers


@EACH
def test_frames_may_be_views(name: str) -> None:
    protocol = known(name)
    for one in assembled(protocol, stream_messages.RECEIVED[name]):
        views = StreamData(one.typ, [memoryview(part) for part in one.frames])
        assert protocol.glance(views) == protocol.glance(one)
        assert type(protocol.parse(views)) is type(protocol.parse(one))


@EACH
def test_what_is_no_message_is_said_with_the_protocol(name: str) -> None:
    for stream in (StreamData(name, []), StreamData(name, [b""]), StreamData("other", [b"x"]), [b"\xff" * 9, b"2"]):
        with pytest.raises(ProtocolError, match=name) as found:
            known(name).parse(stream)
        assert "\n" not in str(found.value)


@EACH
@given(data=st.data())
@settings(deadline=None)
def test_damaged_messages_are_errors_and_nothing_else(name: str, data: st.DataObject) -> None:
    protocol = known(name)
    messages = assembled(protocol, stream_messages.RECEIVED[name])
    parts = [bytearray(part) for part in data.draw(st.sampled_from(messages)).frames]
    for _ in range(data.draw(st.integers(1, 4))):
        part = data.draw(st.sampled_from(parts))
        at = data.draw(st.integers(0, max(0, len(part) - 1)))
        how = data.draw(st.sampled_from(["byte", "cut", "insert"]))
        if how == "byte" and part:
            part[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del part[at:]
        else:
            part[at:at] = data.draw(st.binary(max_size=9))
    if data.draw(st.booleans()):
        parts = data.draw(st.permutations(parts))
    stream = StreamData(name, [bytes(part) for part in parts])
    for read in (protocol.glance, protocol.parse):
        try:
            read(stream)
        except ProtocolError:
            pass


@EACH
@given(data=st.data())
@settings(deadline=None)
def test_whatever_is_received_is_put_together_without_a_crash_and_nothing_of_a_scan_is_lost(
    name: str, data: st.DataObject
) -> None:
    protocol = known(name)
    received = stream_messages.RECEIVED[name]
    noise = data.draw(st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=4) | st.sampled_from(received)))
    whole = assembled(protocol, received)
    assert assembled(protocol, [*noise, *received])[-len(whole) :] == whole


def test_a_package_brings_a_protocol_along(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("STINS2", "pipert2.patterns.streams.albaem:STREAM", protocols.GROUP)
    monkeypatch.setattr(protocols, "entry_points", lambda group, name: [entry] if name == entry.name else [])
    protocols._installed.cache_clear()
    assert known("STINS2").glance is known("albaem").glance
    assert protocol_of("STINS3") is None
    protocols._installed.cache_clear()


@pytest.mark.expects_errors
@pytest.mark.parametrize("value", ["nothing.of:this", "pipert2.patterns.streams.stins:PROTOCOL"])
def test_a_protocol_that_cannot_be_loaded_is_told_and_is_none(
    value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = EntryPoint("MINE", value, protocols.GROUP)
    monkeypatch.setattr(protocols, "entry_points", lambda group, name: [entry])
    protocols._installed.cache_clear()
    with caplog.at_level(logging.ERROR):
        assert protocol_of("MINE") is None
    assert "MINE" in caplog.text
    protocols._installed.cache_clear()


def test_stins_is_one_of_them() -> None:
    stream: Any = stins.StinsEnd(3).to_stream_data()
    assert known("STINS").glance(stream) == (Place.END, None)
    assert known("STINS").parse(stream) == stins.StinsEnd(3)
