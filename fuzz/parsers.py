"""Fuzz what reads foreign bytes: captures, the messages of detectors, plain pickles, and the alignment of streams.

    make fuzz
    python fuzz/parsers.py -max_total_time=60 CORPUS       (pip install atheris)
    python fuzz/parsers.py fuzz/crash-...                  (once more what crashed)

The first byte of an input says which reader gets the rest. A reader may refuse it with its own error; any other
exception, or events that do not belong together, is a crash, of which libFuzzer keeps the input. CORPUS is a folder
that it grows, and begins with whole inputs of each kind where it is empty.
"""

from __future__ import annotations

import logging
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import atheris
import numpy as np

with atheris.instrument_imports(include=["pipert2.patterns"]):
    from pipert2 import CaptureError
    from pipert2.patterns.capture.cbors import CborsReader, Layout
    from pipert2.patterns.capture.cbors_blocks import EventBlock, in_blocks
    from pipert2.patterns.capture.cbors_writer import CborsWriter
    from pipert2.patterns.capture.info import capture_info
    from pipert2.patterns.capture.mcap_writer import McapWriter
    from pipert2.patterns.capture.reading import outline, played
    from pipert2.patterns.events.align import Align
    from pipert2.patterns.events.batch import ScanEnd, unpack_event
    from pipert2.patterns.streams import plain_pickle, stins
    from pipert2.patterns.streams.messages import ProtocolError
    from pipert2.patterns.streams.protocols import known_protocols, protocol_of
    from pipert2.patterns.streams.stream_data import EventData, StreamData, StreamFrame

from tests import stream_messages

FOLDER = Path(tempfile.mkdtemp(prefix="pipert2-fuzz-"))
PROTOCOLS = [protocol_of(name) for name in known_protocols()]
START, END = stins.StinsStart("").to_stream_data(), stins.StinsEnd().to_stream_data()


def parts_of(data: bytes) -> Iterator[bytes]:
    """Parts, each behind its length in two bytes."""
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2], "little")
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


def with_lengths(parts: list[bytes]) -> bytes:
    return b"".join(len(part).to_bytes(2, "little") + bytes(part) for part in parts)


def plain(event: EventData) -> Any:
    return event.event_number, {
        name: (one.typ, [bytes(frame) for frame in one.frames]) for name, one in event.streams.items()
    }


def events_one_by_one(reader: CborsReader) -> tuple[list[Any], bool]:
    found = []
    try:
        found.extend(plain(record.value) for record in reader)
    except CaptureError:
        return found, False
    return found, True


def events_in_blocks(reader: CborsReader, buffer: memoryview) -> tuple[list[Any], bool]:
    found = []
    try:
        for item in in_blocks(reader, buffer, 3, 4096):
            found += [plain(one) for one in (item.read(0) if isinstance(item, EventBlock) else (item,))]
    except CaptureError:
        return found, False
    return found, True


def read_cbors(data: bytes) -> None:
    """The events are the same read one by one and in blocks."""
    file = FOLDER / "a.cbors"
    file.write_bytes(data)
    try:
        info = capture_info(file)
        with CborsReader(file, views=True) as reader:
            if reader.layout is Layout.FRAMES:
                return
            one_by_one = events_one_by_one(reader)
            assert reader.buffer is not None
            assert one_by_one == events_in_blocks(reader, reader.buffer)
    except CaptureError:
        return
    assert (info.messages, info.whole) == (len(one_by_one[0]), one_by_one[1])


def read_packed_cbors(data: bytes) -> None:
    file = FOLDER / "a.cbors.gz"
    file.write_bytes(data)
    try:
        capture_info(file)
    except CaptureError:
        pass


def read_mcap(data: bytes) -> None:
    file = FOLDER / "a.mcap"
    file.write_bytes(data)
    try:
        info = capture_info(file)
        about = outline(file)
        for message in played(file, [channel.topic for channel in info.channels], about):
            message.load()
    except CaptureError:
        pass


def read_message(data: bytes) -> None:
    if not data:
        return
    protocol = PROTOCOLS[data[0] % len(PROTOCOLS)]
    assert protocol is not None
    message = StreamData(protocol.name, list(parts_of(data[1:])))
    for read in (protocol.glance, protocol.parse):
        try:
            read(message)
        except ProtocolError:
            pass


def receive(data: bytes) -> None:
    """What a socket receives, each in parts, is put together; each message is refused or read."""
    if not data:
        return
    protocol = PROTOCOLS[data[0] % len(PROTOCOLS)]
    assert protocol is not None
    assemble = protocol.assembler() if protocol.assembler else lambda parts: [parts]
    for received in parts_of(data[1:]):
        for message in assemble(list(parts_of(received))):
            try:
                protocol.glance(StreamData(protocol.name, message))
            except ProtocolError:
                pass


def unpickle(data: bytes) -> None:
    try:
        plain_pickle.loads(data)
    except plain_pickle.PlainPickleError:
        pass


def align(data: bytes) -> None:
    """Two streams, two bytes a message: of which stream, and the number or what else it is. Frames of equal numbers
    meet, nothing else, and each scan's numbers are whole.
    """
    aligner = Align(["a", "b"], missing="partial" if data[:1] > b"\x7f" else "drop", slack=3, limit=8)
    messages: list[Any] = [message_of(data[at], data[at + 1]) for at in range(1, min(len(data), 120) - 1, 2)]
    messages += [ScanEnd()] * (len(messages) + 1)
    scans: dict[str, list[Any]] = {}
    for message in messages:
        made = aligner.main_logic(message) or ()
        for batch in made if isinstance(made, tuple) else [one for several in made for one in several]:
            scans.setdefault(batch.scan_id, []).append(batch)
            for share in batch.shares:
                parsed = [stins.parse(stream) for stream in unpack_event(share).streams.values()]
                assert {one.frame for one in parsed} == {share.number - 1}
    for scan in scans.values():
        assert [batch.number for batch in scan] == list(range(len(scan)))
        assert scan[-1].closing is not None
        assert scan[-1].closing.batches == len(scan)


def message_of(stream: int, what: int) -> Any:
    name = "ab"[stream % 2]
    if what < 200:
        image = np.full(1, what, np.uint8)
        return StreamFrame(name, stins.StinsData.of(image, frame=what % 24).to_stream_data())
    if what == 255:
        return ScanEnd("damaged")
    if what > 247:
        return StreamFrame(name, StreamData("STINS", [b"{}"]))
    return StreamFrame(name, START if what < 224 else END)


READERS: list[Callable[[bytes], None]] = [
    read_cbors,
    read_packed_cbors,
    read_mcap,
    read_message,
    receive,
    unpickle,
    align,
]


def read(data: bytes) -> None:
    """Give an input to its reader."""
    if data:
        READERS[data[0] % len(READERS)](data[1:])


def seeds() -> Iterator[bytes]:
    """A whole input of each kind."""
    images = [stins.StinsData.of(np.full((2, 2), number, "u2"), frame=number) for number in range(3)]
    streams = [START, *(one.to_stream_data() for one in images), END]
    for suffix, reader in ((".cbors", 0), (".cbors.gz", 1)):
        file = FOLDER / f"seed{suffix}"
        with CborsWriter(file) as writer:
            for number, stream in enumerate(streams):
                writer.write(EventData(number, {"xrd": stream}))
        yield bytes([reader]) + file.read_bytes()
    for packing in (None, "zstd"):
        file = FOLDER / f"seed{packing}.mcap"
        with McapWriter(file, compression=packing) as mcap:
            for number in range(4):
                mcap.write("a", {"number": number, "text": "x", "values": [1.5, None, True]})
        yield bytes([2]) + file.read_bytes()
    for at, name in enumerate(known_protocols()):
        received = stream_messages.RECEIVED.get(name, [])
        for message in received:
            yield bytes([3, at]) + with_lengths(message)
        yield bytes([4, at]) + with_lengths([with_lengths(message) for message in received])
        for message in received:
            for part in message:
                if part[:1] == b"\x80":
                    yield b"\x05" + part
    yield b"\x05" + pickle.dumps({"a": (1, 2.5, "x", b"y", [None, True])}, 4)
    yield b"\x06\x00" + bytes([0, 210, 1, 210, 0, 0, 1, 0, 1, 2, 0, 1, 0, 2, 1, 1, 0, 230, 1, 230])


def main() -> None:
    """Fill an empty corpus, and fuzz."""
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-") and Path(argument).is_dir()]
    if folders and not any(folders[0].iterdir()):
        for number, seed in enumerate(seeds()):
            (folders[0] / f"seed{number}").write_bytes(seed)
    logging.disable()
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
