"""What the messages of each detector are read into."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from pipert2.patterns.streams import (
    albaem,
    contrast,
    eiger_legacy,
    eiger_simplon,
    lecroy,
    panda_tcp,
    panda_zmq,
    xspress3,
)
from pipert2.patterns.streams.messages import Data, End, ProtocolError, Start
from pipert2.patterns.streams.plain_pickle import Unknown
from tests import stream_messages as sent


def data(found: Start | Data | End) -> Data:
    assert isinstance(found, Data)
    return found


def test_xspress3_has_spectra_and_counts_by_channel() -> None:
    found = data(xspress3.parse(sent.XSPRESS3[2]))
    np.testing.assert_array_equal(found.data, sent.SPECTRA)
    assert found.data.dtype == np.uint32
    assert list(found.meta) == list(xspress3.META)
    assert found.meta["AllGood"].tolist() == [1, 2]
    assert found.header["exptime"] == 0.1


def test_xspress3_in_single_parts_is_the_same() -> None:
    assemble = xspress3.Assembler()
    assert [one for parts in sent.XSPRESS3_IN_SINGLE_PARTS for one in assemble(parts)] == sent.XSPRESS3


def test_an_xspress3_image_of_which_a_part_got_lost_is_malformed_and_the_next_is_whole() -> None:
    for lost in (2, 3):
        received = [*sent.XSPRESS3_IN_SINGLE_PARTS]
        del received[lost]
        assemble = xspress3.Assembler()
        found = [one for parts in received for one in assemble(parts)]
        assert found[-3:] == sent.XSPRESS3[-3:]
        broken = [one for one in found if one not in sent.XSPRESS3]
        assert broken
        for one in broken:
            with pytest.raises(ProtocolError, match="xspress"):
                xspress3.glance(one)


def test_contrast_has_what_each_device_measured() -> None:
    found = data(contrast.parse(sent.CONTRAST[2]))
    assert (found.data["sx"], found.data["dt"]) == (-1.0, 2.4)
    assert found.data["pseudo"]["analog_x"].tolist() == [0.5]
    assert "status" not in found.data
    start = contrast.parse(sent.CONTRAST[0])
    assert isinstance(start, Start)
    assert start.header["snapshot"] == {"xrf_x": 94.9}


class Motor:
    """What a beamline might put into its dicts."""

    def __init__(self, made: list[str]) -> None:
        self.made = made


def test_objects_in_contrast_are_made_only_if_that_is_allowed() -> None:
    parts = [pickle.dumps({"status": "running", "dt": 1.0, "motor": Motor(["x"])})]
    assert isinstance(data(contrast.parse(parts)).data["motor"], Unknown)
    assert data(contrast.parse(parts, allow_pickle=True)).data["motor"].made == ["x"]


def test_albaem_has_currents_and_times() -> None:
    found = data(albaem.parse(sent.ALBAEM[2]))
    assert found.data == {"channel1": -2.8302592615927417e-11, "channel2": 1.5}
    assert found.meta == {"timestamp": 7.72645192, "acquisition_timestamp": 1704807770443944912}
    with pytest.raises(ProtocolError, match="channel1"):
        albaem.parse([sent.ALBAEM[2][0].replace(b"-2.8302592615927417e-11", b'"high"')])


def test_a_vector_of_positions_becomes_a_message_for_each() -> None:
    assert panda_zmq.STREAM.assembler is not None
    (first, second) = panda_zmq.STREAM.assembler()(list(sent.PANDA_ZMQ_IN_VECTORS[1]))
    assert data(panda_zmq.parse(first)).data == {"inttime": 7.1, "triggernumber": 1.0, "INENC3.VAL.Mean": 0.0}
    assert data(panda_zmq.parse(second)).data == {"inttime": 7.3, "triggernumber": 2.0, "INENC3.VAL.Mean": 0.5}
    assert data(panda_zmq.parse(second)).number == 1


def test_vectors_of_different_lengths_are_malformed() -> None:
    parts = [sent.PANDA_ZMQ_IN_VECTORS[1][0].replace(b"[0.0, 0.5]", b"[0.0]")]
    assert panda_zmq.STREAM.assembler is not None
    assert panda_zmq.STREAM.assembler()(list(parts)) == [parts]
    with pytest.raises(ProtocolError, match="different lengths"):
        panda_zmq.glance(parts)


def test_lines_of_a_pandabox_are_read_by_the_fields_of_its_header() -> None:
    start = panda_tcp.parse(sent.PANDA_TCP[0])
    assert isinstance(start, Start)
    assert start.header["arm_time"] == "2023-12-19T07:51:12.754Z"
    fields = start.header["fields"]
    assert fields == ["PCAP.BITS0.Value", "INENC1.VAL.Min", "PCAP.TS_TRIG.Value", "SFP3_SYNC_IN.POS1.Mean"]
    found = data(panda_tcp.parse(sent.PANDA_TCP[1], fields)).data
    assert found == dict(zip(fields, [301989857, 0, 0.32175968, 592910924.7], strict=True))
    assert data(panda_tcp.parse(sent.PANDA_TCP[2])).data == [33554401, 0, 0.43175968, 592910919]
    end = panda_tcp.parse(sent.PANDA_TCP[-1])
    assert end == End({"frames": 3, "reason": "Disarmed"})
    with pytest.raises(ProtocolError, match="4 numbers, not 2"):
        panda_tcp.parse(sent.PANDA_TCP[1], fields[:2])


def test_the_start_of_an_eiger_has_its_configuration_and_tables() -> None:
    start = eiger_legacy.parse(sent.EIGER_LEGACY[0])
    assert isinstance(start, Start)
    assert start.header["config"]["compression"] == "bslz4"
    assert [start.header[name].shape for name in ("flatfield", "pixelmask", "countrate_table")] == [
        (6, 8),
        (6, 8),
        (3, 2),
    ]
    assert start.header["appendix"] == b'{"collect_dict": {"col_id": 128579}}'


@pytest.mark.parametrize(("detail", "count"), [("none", 0), ("basic", 1)])
def test_an_eiger_says_as_much_as_it_was_told_to(detail: str, count: int) -> None:
    header = sent.EIGER_LEGACY[0][0].replace(b"all", detail.encode())
    start = eiger_legacy.parse([header, *sent.EIGER_DETAILS[:count]])
    assert isinstance(start, Start)
    assert ("config" in start.header) == bool(count)
    assert "appendix" not in start.header


def test_an_image_of_an_eiger_has_rows_and_columns() -> None:
    found = data(eiger_legacy.parse(sent.EIGER_LEGACY[2]))
    np.testing.assert_array_equal(found.data, sent.IMAGE)
    assert (found.meta["real_time"], found.meta["appendix"]) == (9999900, b"{}")
    raw = data(eiger_legacy.parse(sent.eiger_image(1, b"packed", "bs32-lz4<"), decode=False))
    assert (bytes(raw.data), raw.meta["encoding"]) == (b"packed", "bs32-lz4<")


@pytest.mark.parametrize("encoding", ["bs16-lz4<", "bs32<", "zstd", ">"])
def test_an_encoding_that_is_not_known_or_does_not_fit_is_refused(encoding: str) -> None:
    with pytest.raises(ProtocolError, match="'encoding'"):
        eiger_legacy.parse(sent.eiger_image(1, encoding=encoding))


def test_a_simplon_has_images_by_channel() -> None:
    start = eiger_simplon.parse(sent.EIGER_SIMPLON[0])
    assert isinstance(start, Start)
    assert start.header["pixel_mask"]["threshold_1"].shape == (6, 8)
    assert start.header["countrate_correction_lookup_table"].tolist() == [0, 1, 2, 3]
    found = data(eiger_simplon.parse(sent.EIGER_SIMPLON[2]))
    np.testing.assert_array_equal(found.data["threshold_1"], sent.IMAGE)
    assert found.data["threshold_2"].dtype == np.uint8
    assert found.meta == {"real_time": [9999900, 100000000], "series_date": "2023-02-10T12:00:00.000Z"}
    raw = data(eiger_simplon.parse(sent.EIGER_SIMPLON[2], decode=False)).data["threshold_1"]
    assert (raw.algorithm, raw.dtype, raw.shape) == ("", np.uint32, (6, 8))


@pytest.mark.parametrize(
    "received", [sent.LECROY_IN_SEQUENCES, sent.LECROY_CONTINUOUS], ids=["sequences", "continuous"]
)
def test_traces_are_together_by_trigger(received: Any) -> None:
    assemble = lecroy.Assembler()
    messages = [one for parts in received for one in assemble(list(parts))]
    found = [lecroy.parse(one) for one in messages]
    assert [type(one) for one in found] == [Start, Data, Data, Data, End]
    frames = [data(one) for one in found[1:-1]]
    assert [one.number for one in frames] == [0, 1, 2]
    for one in frames:
        assert list(one.data) == [2, 4]
        np.testing.assert_array_equal(one.data[4], sent.TRACES)
        assert one.meta[2]["timestamps"] == [1740736916.5, 1740736917.5]


def test_a_trace_that_got_lost_makes_its_trigger_malformed_and_moves_no_other() -> None:
    received = [*sent.LECROY_CONTINUOUS]
    del received[5]
    assemble = lecroy.Assembler()
    messages = [one for parts in received for one in assemble(list(parts))]
    with pytest.raises(ProtocolError, match="8 parts, not 5"):
        lecroy.parse(messages[2])
    assert data(lecroy.parse(messages[3])).number == 2
