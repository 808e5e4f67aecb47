"""MCAP captures: read as they were written, by us and by others, and up to the damage where there is some."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipert2 import CaptureError, FrameData
from pipert2.patterns.capture import pictures
from pipert2.patterns.capture.info import capture_info
from pipert2.patterns.capture.mcap_reader import McapReader
from pipert2.patterns.capture.mcap_writer import McapWriter
from pipert2.patterns.capture.reading import outline, played

pytest.importorskip("mcap")
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

QUICK = settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@dataclass
class Shot(FrameData):
    frame: Any
    number: int = 0

    def get_frame(self) -> Any:
        return self.frame


class Odd:
    def __init__(self, value: int) -> None:
        self.value = value


def shot(number: int, shape: tuple[int, ...] = (16, 12, 3), dtype: str = "u1") -> Shot:
    return Shot(np.full(shape, number, dtype), number)


def written(path: Path, *messages: tuple[str, Any], **options: Any) -> Path:
    path.unlink(missing_ok=True)
    with McapWriter(path, **options) as writer:
        for topic, data in messages:
            writer.write(topic, data)
    return path


def read(path: Path, topics: tuple[str, ...] = (), **options: Any) -> tuple[list[tuple[str, Any]], CaptureError | bool]:
    """What can be read, and what is wrong behind it; if nothing is, whether its writer came to its end."""
    found: list[tuple[str, Any]] = []
    about = outline(path, **options)
    messages = played(path, topics or about.topics, about, allow_pickle=options.get("allow_pickle", False))
    while True:
        try:
            message = next(messages)
        except StopIteration as stop:
            return found, stop.value
        except CaptureError as error:
            return found, error
        found.append((message.topic, message.load()))


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_messages_of_several_wires_come_back_in_order(compression: Any, tmp_path: Path) -> None:
    messages = [
        ("numbers" if number % 3 else "texts", {"number": number, "text": "x" * number}) for number in range(90)
    ]
    path = written(tmp_path / "a.mcap", *messages, compression=compression)

    assert read(path) == (messages, True)


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_frames_come_back_as_they_were_and_writable(compression: Any, tmp_path: Path) -> None:
    frames = [shot(1), shot(2, (300, 400), "<u2"), shot(3, (20, 20), "f4"), shot(4, (16, 16, 4)), shot(5, (3, 3))]
    path = written(tmp_path / "a.mcap", *(("camera", frame) for frame in frames), compression=compression)

    found, closed = read(path)

    assert closed is True
    for (_, one), frame in zip(found, frames, strict=True):
        assert type(one) is Shot
        assert (one.frame.dtype, one.frame.shape, one.number) == (frame.frame.dtype, frame.frame.shape, frame.number)
        assert np.array_equal(one.frame, frame.frame)
        assert one.frame.flags.writeable


def test_frames_are_images_that_other_programs_know(tmp_path: Path) -> None:
    frame = np.random.default_rng(1).integers(0, 255, (16, 20, 3), np.uint8)
    path = written(tmp_path / "a.mcap", ("camera", Shot(frame)), ("camera", {"small": np.zeros((4, 4), np.uint8)}))

    with path.open("rb") as file:
        (image,) = make_reader(file).iter_messages(topics=["camera/image"])

    schema, channel, message = image
    assert schema is not None
    assert (schema.name, schema.encoding, channel.message_encoding) == ("sensor_msgs/msg/Image", "ros2msg", "cdr")
    assert b"uint8[] data" in schema.data
    assert np.array_equal(pictures.picture_of(memoryview(message.data)), frame)
    # CDR: time, then the frame's name, then height, width, encoding, byte order, step, size, each at its alignment.
    assert message.data[12:23] == b"\x07\0\0\0camera\0"
    assert message.data[24:32] == b"\x10\0\0\0\x14\0\0\0"
    assert message.data[32:41] == b"\x05\0\0\0rgb8\0"
    assert message.data[44:52] == b"\x3c\0\0\0\xc0\x03\0\0"
    assert message.data[52:] == frame.tobytes()


def test_pixels_are_in_the_file_once(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mcap", *(("camera", shot(number, (200, 300))) for number in range(5)))

    assert path.stat().st_size < 5 * 60_000 + 10_000


def test_frame_that_its_data_cannot_give_is_recorded_all_the_same(tmp_path: Path) -> None:
    class Broken(Shot):
        def get_frame(self) -> Any:
            raise ValueError("no frame")

    path = written(tmp_path / "a.mcap", ("camera", Broken(np.zeros((20, 20), np.uint8), 7)))

    ((_, found),), _ = read(path, types=[Broken])
    assert found.number == 7


def test_library_of_the_format_reads_what_we_write(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mcap", *(("numbers", number) for number in range(10)))

    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        found = [
            (channel.topic, channel.message_encoding, message.sequence)
            for _, channel, message in reader.iter_messages()
        ]

    assert found == [("numbers", "cbor", number + 1) for number in range(10)]


@pytest.mark.parametrize("options", [{}, {"use_chunking": False}, {"compression": CompressionType.LZ4}])
def test_files_of_other_programs_are_read(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "other.mcap"
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start()
        values = writer.register_channel("values", "json", writer.register_schema("v", "jsonschema", b"{}"))
        image = writer.register_schema(pictures.SCHEMA_NAME, "ros2msg", pictures.SCHEMA)
        camera = writer.register_channel("camera", "cdr", image)
        raw = writer.register_channel("raw", "protobuf", 0)
        writer.add_message(values, 10, json.dumps({"x": 1}).encode(), 10)
        frame = np.arange(400, dtype=np.uint8).reshape(20, 20)
        writer.add_message(camera, 20, pictures.message_of(frame, "mono8", 20, "c"), 20)
        writer.add_message(raw, 30, b"\x01\x02", 30)
        writer.add_attachment(1, 1, "a.txt", "text/plain", b"hello")
        writer.finish()

    found, closed = read(path)

    assert [topic for topic, _ in found] == ["values", "camera", "raw"]
    assert (found[0][1], found[2][1], closed) == ({"x": 1}, b"\x01\x02", True)
    assert np.array_equal(found[1][1], frame)


def test_pickled_data_is_read_only_if_trusted(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mcap", ("odd", Odd(3)))

    with pytest.raises(CaptureError, match=r"pickled \(tests?.*test_mcap:Odd\).*allow_pickle=True"):
        read(path)
    ((_, found),), _ = read(path, allow_pickle=True)
    assert found.value == 3


def test_data_of_unknown_classes_names_them_all(tmp_path: Path) -> None:
    @dataclass
    class Local:
        x: int

    path = written(tmp_path / "a.mcap", ("a", Local(1)), ("b", [Local(2)]))

    with pytest.raises(CaptureError, match=r"not known here: .*<locals>\.Local; import them, or pass types="):
        read(path)
    assert read(path, types=[Local])[0] == [("a", Local(1)), ("b", [Local(2)])]


def test_what_was_flushed_is_there_without_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    writer = McapWriter(path)
    for number in range(5):
        writer.write("numbers", number)
    writer.flush()
    writer.write("numbers", 5)

    assert read(path) == ([("numbers", number) for number in range(5)], False)
    writer.close()
    assert read(path)[1] is True


def test_file_cut_at_any_byte_gives_a_part_of_its_messages_and_says_where_it_ends(tmp_path: Path) -> None:
    whole = tmp_path / "whole.mcap"
    with McapWriter(whole) as writer:
        for number in range(4):
            writer.write("camera", shot(number, (8, 8)))
            if number % 2:
                writer.flush()
    raw = whole.read_bytes()
    path = tmp_path / "cut.mcap"
    most = 0
    for size in range(len(raw)):
        path.write_bytes(raw[:size])
        try:
            with McapReader(path) as reader:
                numbers = [message.sequence for message in reader]
        except CaptureError as error:
            assert error.offset is not None  # noqa: PT017
            assert error.offset <= size  # noqa: PT017
            numbers = list(range(1, (error.messages or 0) + 1))
        else:
            assert reader.closed or numbers != [1, 2, 3, 4] or size >= len(raw) // 2
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= most, "a longer part holds no fewer messages"
        most = len(numbers)
    assert most == 4


DAMAGED = [("camera", shot(1, (8, 8))), ("numbers", {"a": [1, 2.5, "x"]}), ("camera", shot(2, (8, 8)))]


@QUICK
@given(data=st.data(), compression=st.sampled_from([None, "lz4", "zstd"]))
def test_file_with_wrong_bytes_gives_messages_and_then_a_clear_error(
    data: st.DataObject, compression: Any, tmp_path: Path
) -> None:
    path = written(tmp_path / "a.mcap", *DAMAGED, compression=compression)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, 10_000)) % len(raw)] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)

    try:
        found, _ = read(path)
        info = capture_info(path)
    except CaptureError:
        return
    assert len(found) <= info.messages or not info.whole


@QUICK
@given(raw=st.binary(max_size=300))
def test_any_bytes_behind_the_magic_are_messages_or_a_clear_error(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(b"\x89MCAP0\r\n" + raw)

    try:
        with McapReader(path) as reader:
            list(reader)
        outline(path)
    except CaptureError as error:
        assert error.offset is not None  # noqa: PT017


def test_wrong_byte_in_a_chunk_is_found_by_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with McapWriter(path) as writer:
        writer.write("a", "first")
        writer.flush()
        begins = writer.size
        writer.write("a", "second")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"second", b"Second"))

    found, problem = read(path)

    assert found == [("a", "first")]
    assert isinstance(problem, CaptureError)
    assert "checksum" in problem.reason
    assert (problem.offset, problem.messages) == (begins, 1)


def test_chunk_that_claims_to_unpack_to_more_than_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    head = (0).to_bytes(16, "little") + (1 << 60).to_bytes(8, "little") + b"\0\0\0\0\x04\0\0\0zstd"
    body = head + (4).to_bytes(8, "little") + b"\0\0\0\0"
    path.write_bytes(b"\x89MCAP0\r\n\x06" + len(body).to_bytes(8, "little") + body)

    with McapReader(path) as reader, pytest.raises(CaptureError, match="says that it unpacks to"):
        list(reader)


def test_other_files_are_told_from_captures(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mcap", tmp_path / "text.mcap"
    empty.touch()
    text.write_text("no capture")

    with pytest.raises(CaptureError, match="it is empty"):
        outline(empty)
    with pytest.raises(CaptureError, match="this is no MCAP file"):
        outline(text)
    with pytest.raises(CaptureError, match="No such file"):
        outline(tmp_path / "none.mcap")


def test_writer_never_overwrites(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mcap", ("a", 1))

    with pytest.raises(CaptureError, match="File exists"):
        McapWriter(path)

    assert read(path)[0] == [("a", 1)]


def test_full_disk_ends_the_file_with_whole_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.mcap"
    writer = McapWriter(path)
    writer.write("a", "kept")
    writer.flush()
    write, room = os.write, 40

    def until_full(handle: int, data: Any) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        done = write(handle, data[:room])
        room -= done
        return done

    monkeypatch.setattr(os, "write", until_full)
    writer.write("a", "lost")
    with pytest.raises(CaptureError, match="No space left on device"):
        writer.flush()
    with pytest.raises(CaptureError, match="given up"):
        writer.write("a", "lost as well")
    writer.close()
    monkeypatch.undo()

    assert read(path) == ([("a", "kept")], False)


def test_missing_package_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcap.writer", None)

    with pytest.raises(CaptureError, match=r'pip install "pipert2\[capture\]"'):
        McapWriter(tmp_path / "a.mcap")

    assert not list(tmp_path.iterdir())


def test_later_start_passes_over_what_was_before(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with McapWriter(path) as writer:
        for number in range(20):
            writer.write("a", number)
            if number % 4 == 3:
                writer.flush()
    with McapReader(path) as reader:
        times = [message.time for message in reader]
    about = outline(path)

    found = [message.load() for message in played(path, ("a",), about, since=times[13])]

    assert found == list(range(13, 20))


def test_info_counts_channels_and_finds_gaps(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with McapWriter(path) as writer:
        for number in (5, 6, 9):
            writer.write("camera", shot(number, (8, 8)), sequence=number)
        writer.write("odd", Odd(1))

    info = capture_info(path)

    assert (info.format, info.messages, info.whole, info.problem) == ("mcap", 4, True, None)
    camera, odd = info.channels
    assert (camera.topic, camera.messages, camera.pictures, camera.missing) == ("camera", 3, 3, 2)
    assert (odd.messages, odd.pictures, odd.missing) == (1, 0, 0)
    assert [name.rpartition(":")[2] for name in info.classes] == ["Shot"]
    assert [name.rpartition(":")[2] for name in info.pickled] == ["Odd"]
