"""dranspose's captures: byte for byte what it writes, and nothing but a clear error where that is damaged."""

from __future__ import annotations

import gzip
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipert2.errors import CaptureError
from pipert2.patterns.capture.cbors import CborsReader, Layout
from pipert2.patterns.capture.cbors_writer import CborsWriter, event_parts, frames_parts
from pipert2.patterns.streams.stream_data import EventData, StreamData

QUICK = settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
HEADER = b'{"htype": "header", "filename": "output/xrd.h5", "msg_number": 0}'
FIRST_RECORD = (
    bytes.fromhex("d9d9f7 d9a77d 82 00 a1 63") + b"xrd" + bytes.fromhex("d9a77e 82 65") + b"STINS"
    + bytes.fromhex("81 58 41") + HEADER
)  # fmt: skip


def event(number: int = 3, *frames: bytes, at: datetime | None = None) -> EventData:
    return EventData(number, {"xrd": StreamData("STINS", list(frames or (b"head", b"\x01\x02" * 200)))}, at)


def written(path: Path, *values: EventData | list[bytes]) -> bytes:
    path.unlink(missing_ok=True)
    with CborsWriter(path) as writer:
        for value in values:
            writer.write(value)
    return path.read_bytes()


def read(path: Path) -> tuple[list[object], CaptureError | None]:
    """What can be read, and what is wrong behind it."""
    values: list[object] = []
    with CborsReader(path) as reader:
        try:
            values.extend(record.value for record in reader)
        except CaptureError as error:
            return values, error
    return values, None


def test_event_is_written_byte_for_byte_as_dranspose_does_it() -> None:
    parts = event_parts(EventData(0, {"xrd": StreamData("STINS", [HEADER])}))

    assert b"".join(parts) == FIRST_RECORD
    assert len(FIRST_RECORD) == 91


@pytest.mark.parametrize(
    ("moment", "encoded"),
    [
        (datetime(2025, 1, 2, 3, 4, 5, 678901, timezone.utc), b"\xc0\x78\x1b2025-01-02T03:04:05.678901Z"),
        (datetime(2025, 1, 2, 3, 4, 5, 0, timezone.utc), b"\xc0\x742025-01-02T03:04:05Z"),
    ],
)
def test_time_of_an_event_is_written_as_dranspose_does_it(moment: datetime, encoded: bytes, tmp_path: Path) -> None:
    raw = written(tmp_path / "a.cbors", event(at=moment))

    assert raw.startswith(bytes.fromhex("d9d9f7d9a77d83"))
    assert raw.endswith(encoded)
    (value,), problem = read(tmp_path / "a.cbors")
    assert isinstance(value, EventData)
    assert (value.created_at, problem) == (moment, None)


@pytest.mark.parametrize("prefix", ["d9d9f7", ""])
@pytest.mark.parametrize("end", ["", "c074323032352d30312d30325430333a30343a30355a", "f6", "c1fb41d8cb0000000000"])
def test_both_layouts_of_events_are_read_with_and_without_self_description(
    prefix: str, end: str, tmp_path: Path
) -> None:
    head = bytes.fromhex(prefix + "d9a77d" + ("83" if end else "82") + "1904d2a1616bd9a77e826174814301")
    path = tmp_path / "a.cbors"
    path.write_bytes(head + b"\x02\x03" + bytes.fromhex(end))

    (value,), problem = read(path)

    assert problem is None
    assert value == EventData(1234, {"k": StreamData("t", [b"\x01\x02\x03"])})


def test_further_elements_of_an_event_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(bytes.fromhex("d9a77d8400a0f6a16161d9ffff8102") * 2)

    assert read(path) == ([EventData(0, {}), EventData(0, {})], None)


def test_messages_frames_are_a_layout_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    messages = [[b"one", b""], [b"x" * 300]]
    written(path, *messages)

    with CborsReader(path) as reader:
        assert reader.layout is Layout.FRAMES
    assert read(path) == (messages, None)


@pytest.mark.parametrize("suffix", [".cbors", ".cbors.gz"])
def test_views_of_frames_outlive_the_reader(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    written(path, event(1), event(2))

    with CborsReader(path, views=True) as reader:
        views = [record.value for record in reader]
    reader.close()

    assert [bytes(one.streams["xrd"].frames[1]) for one in views] == [b"\x01\x02" * 200] * 2  # type: ignore[union-attr]


@pytest.mark.parametrize("suffix", [".cbors", ".cbors.gz"])
def test_a_reader_reads_again_from_the_beginning(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    written(path, event(1), event(2))

    with CborsReader(path) as reader:
        assert list(reader) == list(reader)


def test_frames_larger_than_what_is_unpacked_at_once_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors.gz"
    large = [event(number, bytes(range(256)) * 12_000) for number in range(3)]
    written(path, *large)

    assert read(path) == (large, None)


FRAMES = st.lists(st.binary(max_size=300), max_size=4)
EVENTS = st.builds(
    EventData,
    st.integers(0, 2**64 - 1),
    st.dictionaries(st.text(max_size=30), st.builds(StreamData, st.text(max_size=30), FRAMES), max_size=4),
    st.none() | st.datetimes(timezones=st.just(timezone.utc)),
)


@QUICK
@given(events=st.lists(EVENTS, max_size=6), packed=st.booleans())
def test_what_is_written_is_read(events: list[EventData], packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("a.cbors.gz" if packed else "a.cbors")
    written(path, *events)

    found, problem = read(path)

    assert (found, problem) == (events, None)
    assert [one.created_at for one in found] == [one.created_at for one in events]  # type: ignore[attr-defined]


def test_file_cut_at_any_byte_gives_the_whole_records_and_where_the_torn_one_begins(tmp_path: Path) -> None:
    raw = written(tmp_path / "whole.cbors", *(event(number, b"h" * 20, b"i" * number) for number in range(4)))
    with CborsReader(tmp_path / "whole.cbors") as reader:
        begins = [record.offset for record in reader] + [len(raw)]
    path = tmp_path / "cut.cbors"

    for size in range(len(raw) + 1):
        path.write_bytes(raw[:size])
        values, problem = read(path)

        whole = sum(begin <= size for begin in begins[1:])
        assert len(values) == whole
        if size in begins:
            assert problem is None
        else:
            assert problem is not None
            assert (problem.offset, problem.messages) == (begins[whole], whole)


def test_packed_file_cut_at_any_byte_is_an_error_or_a_whole_file(tmp_path: Path) -> None:
    raw = written(tmp_path / "whole.cbors.gz", *(event(number) for number in range(4)))
    path = tmp_path / "cut.cbors.gz"

    for size in range(1, len(raw)):
        path.write_bytes(raw[:size])
        try:
            _, problem = read(path)
        except CaptureError as error:
            problem = error
        assert problem is not None


def test_most_of_a_packed_file_that_was_cut_is_read_and_the_error_says_up_to_where(tmp_path: Path) -> None:
    events = [event(number, number.to_bytes(4, "big") * 50) for number in range(5_000)]
    raw = written(tmp_path / "whole.cbors.gz", *events)
    path = tmp_path / "cut.cbors.gz"
    path.write_bytes(raw[: len(raw) // 2])

    values, problem = read(path)

    assert 2_000 < len(values) < 5_000
    assert values == events[: len(values)]
    assert problem is not None
    assert problem.messages == len(values)


@QUICK
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), packed=st.booleans())
def test_file_with_a_wrong_byte_is_read_or_is_a_clear_error(
    place: int, byte: int, packed: bool, tmp_path: Path
) -> None:
    raw = bytearray(b"".join(b"".join(event_parts(event(number))) for number in range(3)))
    if packed:
        raw = bytearray(gzip.compress(raw))
    raw[place % len(raw)] = byte
    path = tmp_path / ("a.cbors.gz" if packed else "a.cbors")
    path.write_bytes(raw)

    try:
        read(path)
    except CaptureError as error:
        assert str(path) in str(error)  # noqa: PT017


@QUICK
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_read_or_are_a_clear_error(raw: bytes, tmp_path: Path) -> None:
    for name, content in (("a.cbors", raw), ("a.cbors.gz", raw), ("b.cbors.gz", gzip.compress(raw))):
        (tmp_path / name).write_bytes(content)
        try:
            read(tmp_path / name)
        except CaptureError as error:
            assert error.offset is not None  # noqa: PT017


def test_frames_and_numbers_around_the_sizes_of_their_heads_are_read(tmp_path: Path) -> None:
    sizes = [0, 1, 23, 24, 255, 256, 65535, 65536]
    events = [event(number, *map(bytes, sizes)) for number in sizes]
    written(tmp_path / "x.cbors", *events)
    assert read(tmp_path / "x.cbors") == (events, None)


def test_lengths_beyond_the_file_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(bytes.fromhex("d9a77d8200a1616bd9a77e8261749bffffffffffffffff"))

    values, problem = read(path)

    assert values == []
    assert problem is not None


def test_deep_nesting_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(bytes.fromhex("d9a77d8300a0") + b"\x81" * 100_000 + b"\x00")

    _, problem = read(path)

    assert problem is not None
    assert "nested too deep" in str(problem)


def test_other_files_are_told_from_captures(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(b"no capture")

    with pytest.raises(CaptureError, match=r"this is no \.cbors capture"):
        CborsReader(path)
    with pytest.raises(CaptureError, match="No such file"):
        CborsReader(tmp_path / "none.cbors")
    with pytest.raises(CaptureError, match="Is a directory"):
        CborsReader(tmp_path)


def test_empty_file_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "a.cbors").touch()

    assert read(tmp_path / "a.cbors") == ([], None)


def test_writer_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    before = written(path, event())

    with pytest.raises(CaptureError, match="File exists"):
        CborsWriter(path)

    assert path.read_bytes() == before


def test_record_that_finds_no_room_leaves_the_ones_before_it_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.cbors"
    writer = CborsWriter(path)
    writer.write(event(1))
    file = writer._file

    class Full:
        closed = False

        def write(self, data: memoryview) -> int:
            file.write(data[:10])
            raise OSError(28, "No space left on device")

        def __getattr__(self, name: str) -> object:
            return getattr(file, name)

    monkeypatch.setattr(writer, "_file", Full())
    with pytest.raises(CaptureError, match="No space left on device"):
        writer.write(event(2))
    with pytest.raises(CaptureError, match="given up"):
        writer.write(event(3))
    file.close()

    assert read(path) == ([event(1)], None)


def test_data_of_another_kind_is_refused_and_nothing_of_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    with CborsWriter(path) as writer:
        writer.write(event(1))
        for wrong in (5, "text", [b"frames"], event(2, "no bytes")):  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                writer.write(wrong)  # type: ignore[arg-type]

    assert read(path) == ([event(1)], None)


def test_views_and_arrays_are_written_as_frames(tmp_path: Path) -> None:
    assert b"".join(frames_parts([memoryview(b"abc"), bytearray(b"d")])) == bytes.fromhex("82 43616263 4164")
