"""The messages of a scan in each protocol of streams, byte by byte as devices send them."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from typing import Any

import numpy as np

from pipert2.patterns.capture.cbor import Tagged, put

SPECTRA = np.arange(8, dtype="<u4").reshape(2, 4)
TRACES = np.linspace(-1, 1, 6).reshape(2, 3)
IMAGE = np.arange(48, dtype="<u4").reshape(6, 8)


def cbor(value: Any) -> bytes:
    parts: list[Any] = []
    put(value, parts, lambda other: other)
    return b"".join(bytes(part) for part in parts)


def xspress3_meta(number: int) -> bytes:
    """What has come with an image, as old numpy under old Python pickled it."""
    counts = np.array([number, 2 * number], "u4")
    ocr = np.array([0.0, 1.5e-15])
    meta = pickle.dumps([ocr, counts, counts, counts, counts, counts, counts.astype("i4"), ocr], 3)
    return meta.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")


def xspress3_image(number: int) -> list[bytes]:
    header = f'{{"htype":"image","exptime":0.1,"frame":{number},"shape":[2,4],"type":"uint32","compression":"none"}}'
    return [header.encode(), SPECTRA.tobytes(), xspress3_meta(number)]


XSPRESS3: list[list[bytes]] = [
    [b'{"htype":"header","filename":"/data/raw/scan_000002_xspress3.hdf5","overwritable":false}'],
    *(xspress3_image(number) for number in range(3)),
    [b'{"htype":"series_end"}'],
]
XSPRESS3_IN_SINGLE_PARTS = [[part] for parts in XSPRESS3 for part in parts]


def contrast_point(number: int) -> bytes:
    point = OrderedDict(sx=-2.0 + number, sy=-2.0, status="running", dt=2.4)
    point["pseudo"] = {"x": np.array([-2.00405186]), "analog_x": np.array([0.5 * number])}
    point["xspress3"] = {"type": "Link", "filename": "/data/raw/scan_000002_xspress3.hdf5", "universal": True}
    return pickle.dumps(point, 2).replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")


CONTRAST: list[list[bytes]] = [
    [pickle.dumps({"scannr": 2, "status": "started", "path": "/data/raw", "snapshot": {"xrf_x": 94.9}}, 2)],
    *([contrast_point(number)] for number in range(3)),
    [pickle.dumps({"scannr": 2, "status": "finished", "path": "/data/raw", "snapshot": {"xrf_x": 95.1}}, 2)],
]
HEARTBEAT = [b"\x80\x04\x95\x19\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x06status\x94\x8c\theartbeat\x94s."]

ALBAEM: list[list[bytes]] = [
    [b'{"version": 1, "message_type": "series-start", "message_id": 1}'],
    *(
        [
            b'{"version": 1, "message_type": "data", "message_id": %d, "frame_number": %d, "timestamp": 7.72645192, '
            b'"acquisition_timestamp": 1704807770443944912, "channel1": -2.8302592615927417e-11, "channel2": %d.5}'
            % (number + 2, number, number)
        ]
        for number in range(3)
    ),
    [
        b'{"version": 1, "message_type": "series-end", "message_id": 6, '
        b'"detector_specific": {"read_overflow": false, "memory_overflow": false}}'
    ],
]

PANDA_ZMQ_IN_VECTORS: list[list[bytes]] = [
    [b'{"message_id": 1, "message_type": "series-start", "version": 1, "arm_time": "2024-10-07T08:49:10.627Z"}'],
    [
        b'{"message_id": 2, "message_type": "data", "version": 1, "frame_number": 0, "inttime": [7.1, 7.3], '
        b'"triggernumber": [1.0, 2.0], "INENC3.VAL.Mean": [0.0, 0.5]}'
    ],
    [
        b'{"message_id": 3, "message_type": "data", "version": 1, "frame_number": 2, "inttime": [7.2], '
        b'"triggernumber": [3.0], "INENC3.VAL.Mean": [1.0]}'
    ],
    [b'{"message_id": 4, "message_type": "series-end", "version": 1}'],
]

PANDA_HEADER = b"""arm_time: 2023-12-19T07:51:12.754Z
missed: 0
process: Scaled
format: ASCII
fields:
 PCAP.BITS0 uint32 Value
 INENC1.VAL double Min scale: 1 offset: 0 units:
 PCAP.TS_TRIG double Value scale: 8e-09 offset: 0 units: s
 SFP3_SYNC_IN.POS1 double Mean scale: 1 offset: 0 units: (null)

"""
PANDA_TCP: list[list[bytes]] = [
    [PANDA_HEADER],
    [b" 301989857 0 0.32175968 592910924.7\n"],
    [b" 33554401 0 0.43175968 592910919\n"],
    [b" 33554401 -1 nan 592910930.9\n"],
    [b"END 3 Disarmed\n"],
]

EIGER_DETAILS = [
    b'{"auto_summation":true,"bit_depth_image":32,"compression":"bslz4","count_time":0.0099999}',
    b'{"htype":"dflatfield-1.0","shape":[8,6],"type":"float32"}',
    np.ones((6, 8), "<f4").tobytes(),
    b'{"htype":"dpixelmask-1.0","shape":[8,6],"type":"uint32"}',
    np.zeros((6, 8), "<u4").tobytes(),
    b'{"htype":"dcountrate_table-1.0","shape":[2,3],"type":"float32"}',
    np.arange(6, dtype="<f4").tobytes(),
    b'{"collect_dict": {"col_id": 128579}}',
]


def eiger_image(number: int, packed: bytes = IMAGE.tobytes(), encoding: str = "<") -> list[bytes]:
    return [
        f'{{"frame":{number},"hash":"59bb3a04cd9d59d54e283c465036085c","htype":"dimage-1.0","series":6}}'.encode(),
        f'{{"encoding":"{encoding}","htype":"dimage_d-1.0","shape":[8,6],"size":{len(packed)},"type":"uint32"}}'.encode(),
        packed,
        b'{"htype":"dconfig-1.0","real_time":9999900,"start_time":103597359252740,"stop_time":103597369252640}',
        b"{}",
    ]


EIGER_LEGACY: list[list[bytes]] = [
    [b'{"header_detail":"all","htype":"dheader-1.0","series":6}', *EIGER_DETAILS],
    *(eiger_image(number) for number in range(3)),
    [b'{"htype":"dseries_end-1.0","series":6}'],
]


def typed(values: np.ndarray, tag: int, packed: Any = None) -> Tagged:
    return Tagged(40, [list(values.shape), Tagged(tag, values.tobytes() if packed is None else packed)])


def simplon_image(number: int, packed: Any = None) -> bytes:
    return cbor(
        Tagged(
            55799,
            {
                "type": "image",
                "series_id": 7,
                "series_unique_id": "01GRXWT80JSDY2FNW8SGCCDZD9",
                "image_id": number,
                "real_time": [9999900, 100000000],
                "series_date": Tagged(0, "2023-02-10T12:00:00.000Z"),
                "data": {"threshold_1": typed(IMAGE, 70, packed), "threshold_2": typed(IMAGE.astype("u1"), 64)},
            },
        )
    )


EIGER_SIMPLON: list[list[bytes]] = [
    [
        cbor(
            Tagged(
                55799,
                {
                    "type": "start",
                    "series_id": 7,
                    "number_of_images": 3,
                    "image_size_x": 8,
                    "image_size_y": 6,
                    "channels": ["threshold_1", "threshold_2"],
                    "pixel_mask": {"threshold_1": typed(np.zeros((6, 8), "<u4"), 70)},
                    "countrate_correction_lookup_table": Tagged(70, np.arange(4, dtype="<u4").tobytes()),
                },
            )
        )
    ],
    *([simplon_image(number)] for number in range(3)),
    [b"\xd9\xd9\xf7\xa3dtypecendiseries_id\x07pseries_unique_idx\x1a01GRXWT80JSDY2FNW8SGCCDZD9"],
]


def traces(channel: int, frame: int) -> list[bytes]:
    header = (
        f'{{"htype": "traces", "ch": {channel}, "ts": 1740736916.442, "frame": {frame}, "shape": [2, 3], '
        '"horiz_offset": -1.0e-07, "horiz_interval": 1.25e-11, "dtype": "float64"}'
    )
    return [header.encode(), TRACES.tobytes(), pickle.dumps([1740736916.5, 1740736917.5], 4)]


def _lecroy(repeats: bool) -> list[list[bytes]]:
    found = [[b'{"htype": "msg", "what": 0, "frame": 0}']]
    for number in range(3):
        if not (repeats and number):
            found.append(
                [
                    b'{"htype": "msg", "what": 1, "frame": %d, "ntriggers": %d, "seqno": %d, "channels": [2, 4]}'
                    % (2 * number, -1 if repeats else 2, number)
                ]
            )
        found += [traces(2, 2 * number), traces(4, 2 * number + 1)]
        found.append([b'{"htype": "msg", "what": 2, "frame": %d}' % (2 * number + 2)])
    return [*found, [b'{"htype": "msg", "what": 3, "frame": 6, "frames": 6}']]


LECROY_IN_SEQUENCES, LECROY_CONTINUOUS = _lecroy(False), _lecroy(True)

RECEIVED: dict[str, list[list[bytes]]] = {
    "xspress": XSPRESS3,
    "contrast": [HEARTBEAT, *CONTRAST, HEARTBEAT],
    "albaem": ALBAEM,
    "PCAP": PANDA_ZMQ_IN_VECTORS,
    "PCAP_RAW": PANDA_TCP,
    "EIGER_LEGACY": EIGER_LEGACY,
    "EIGER_SIMPLON": EIGER_SIMPLON,
    "lecroy_9fwdWp6Rq7": LECROY_IN_SEQUENCES,
}
"""By protocol, what a socket receives of a scan of three frames."""


def hdf5_header(size: int, block: int) -> bytes:
    return struct.pack(">QI", size, block)
