"""A cable that is slow and lossy one way, for kernels without ``tc netem``: passes frames between two interfaces.

``python -m benchmarks.cable OUTER INNER SECONDS SHARE``: what comes in at OUTER goes out at INNER so many seconds
later, unless it is of the share that is lost; what comes in at INNER goes out at OUTER at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import random
import select
import socket
import struct
import sys
from collections import deque
from time import monotonic, sleep

_ALL = 3
_OUTGOING = 4
_ETHTOOL, _OFF = 0x8946, 0
_OFFLOADS = (0x17, 0x1F, 0x24)  # checksums, segmentation by TCP and by others


def without_offloads(interface: str) -> None:
    """Let what an interface sends be whole, in frames of ordinary size: others than the kernel get to see it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for offload in _OFFLOADS:
            value = bytearray(struct.pack("II", offload, _OFF))
            address = _address(value)
            with contextlib.suppress(OSError):
                fcntl.ioctl(handle, _ETHTOOL, struct.pack("16sP8x", interface.encode(), address))


def _address(value: bytearray) -> int:
    import ctypes

    return ctypes.addressof((ctypes.c_char * len(value)).from_buffer(value))


def _open(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    opened.bind((interface, 0))
    opened.setblocking(False)
    return opened


def main(outer: str, inner: str, delay: float, share: float) -> None:
    """Pass frames on until killed."""
    outside, inside = _open(outer), _open(inner)
    picks = random.Random(1)
    waiting: deque[tuple[float, bytes]] = deque()
    print("open", flush=True)
    while True:
        timeout = max(0.0, waiting[0][0] - monotonic()) if waiting else None
        readable, _, _ = select.select([outside, inside], [], [], timeout)
        for one in readable:
            try:
                frame, (_, _, kind, _, _) = one.recvfrom(65536)
            except OSError:
                sleep(0.01)  # the cable is cut
                continue
            if kind == _OUTGOING:
                continue
            if one is inside:
                with contextlib.suppress(OSError):
                    outside.send(frame)
            elif picks.random() >= share:
                waiting.append((monotonic() + delay, frame))
        while waiting and waiting[0][0] <= monotonic():
            with contextlib.suppress(OSError):
                inside.send(waiting.popleft()[1])


if __name__ == "__main__":
    if sys.argv[1] == "--without-offloads":
        without_offloads(sys.argv[2])
    else:
        main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
