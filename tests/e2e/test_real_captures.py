"""What devices sent in earnest, as dranspose's source package has it (``make devices``), is read and analysed.

The folder is named by ``PIPERT2_CAPTURES``; without it these tests are left out: captures are no part of pipert2.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipert2.patterns.capture.cbors import CborsReader
from pipert2.patterns.streams.messages import Data, End, Start
from pipert2.patterns.streams.protocols import protocol_of
from pipert2.patterns.streams.stream_data import StreamData
from tests import xrd
from tests.e2e.replays import replay

FOLDER = os.environ.get("PIPERT2_CAPTURES", "")
pytestmark = pytest.mark.skipif(not FOLDER, reason="PIPERT2_CAPTURES names no folder of captures: make devices")

READ = """
def read(event):
    from pipert2.patterns.streams.protocols import protocol_of
    protocol = protocol_of(event["it"].typ)
    decode = {"decode": False} if event["it"].typ == "EIGER_LEGACY" else {}
    protocol.parse(event["it"], **decode)

def reduce(result):
    pass
"""
RAW = [
    ("albaem-dump.cbors", "albaem", "number", 6),
    ("contrast-dump.cbors", "contrast", "count", 22),
    ("pcap-zmq.cbors", "PCAP", "number", 1502),
    ("xspress3-dump.cbors", "xspress", "number", 22),
    ("xspress3-multipart.cbors", "xspress", "number", 7),
    ("xspress3mini-dump20.cbors", "xspress", "count", 24),  # its numbers begin again
    ("eiger-small.cbors", "EIGER_LEGACY", "count", 5),  # its images are cut short
    ("maui-02-continuous-3.cbor.gz", "lecroy_9fwdWp6Rq7", "number", 4),
    ("maui-02-sequential-3.cbor.gz", "lecroy_9fwdWp6Rq7", "number", 4),
]


def replayed(folder: Path, *arguments: object) -> str:
    """What the command said, which has gone well."""
    done = replay(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(("file", "protocol", "key", "events"), RAW, ids=[one[0] for one in RAW])
def test_what_a_device_sent_is_a_scan(file: str, protocol: str, key: str, events: int, tmp_path: Path) -> None:
    (tmp_path / "analysis.py").write_text(READ)
    said = replayed(
        tmp_path,
        *("-w", "analysis:read", "-r", "analysis:reduce", "--inline", "-n", 1, "--log-level", "WARNING"),
        *("-f", Path(FOLDER) / file, "--as", f"it:{protocol}", "--key", key),
    )
    assert said == f"done: {events} events, {events} done\n"


@pytest.mark.parametrize(("file", "protocol", "key", "events"), RAW, ids=[one[0] for one in RAW])
def test_what_a_device_sent_is_a_start_frames_and_an_end(file: str, protocol: str, key: str, events: int) -> None:
    known = protocol_of(protocol)
    assert known is not None
    assemble = known.assembler() if known.assembler is not None else lambda parts: [parts]
    with CborsReader(Path(FOLDER) / file) as reader:
        messages = [StreamData(protocol, one) for _, parts in reader for one in assemble(list(parts))]
    options = {"decode": False} if protocol == "EIGER_LEGACY" else {}
    found = [type(known.parse(one, **options)) for one in messages]
    assert found == [Start, *[Data] * (events - 2), End]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_capture_of_the_tutorial_gives_its_numbers(workers: int, tmp_path: Path) -> None:
    xrd.write_analysis(tmp_path)
    said = replayed(
        tmp_path,
        *("-w", "src.worker:TestWorker", "-r", "src.reducer:TestReducer", "-n", workers),
        *("-f", Path(FOLDER) / "dump_xrd.cbors"),
    )
    assert f"deltas were {[float(one) for one in xrd.SMALL_DELTAS]}" in said
