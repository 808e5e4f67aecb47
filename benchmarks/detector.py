"""A detector for measurements: pushes STINS messages over ZeroMQ, ``python -m benchmarks.detector``.

It prints the address that it is bound to, then one scan: a start, images, an end. Images and end say when they were
sent. It needs nothing but pyzmq, so that it can feed pipert2 and others alike.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator


def messages(events: int, size: int) -> Iterator[list[bytes]]:
    """The messages of one scan: *events* images of *size* x *size* uint16 in all, numbered from 0."""
    row = (b"\x01\x00\x12\x00\x00\x00\x07\x00\x11\x00\x13\x00\x11\x00\x06\x00\x00\x00\x12\x00" * (size // 10 + 1))[
        : 2 * size
    ]
    image = row * size
    kind = f'"shape": [{size}, {size}], "type": "uint16", "compression": "none"'
    yield [json.dumps({"htype": "header", "filename": "", "msg_number": 0}).encode()]
    for number in range(events):
        sent = time.monotonic()
        head = f'{{"htype": "image", "frame": {number}, {kind}, "msg_number": {number + 1}, "sent": {sent:.7f}}}'
        yield [head.encode(), image]
    yield [json.dumps({"htype": "series_end", "msg_number": events + 1, "sent": time.monotonic()}).encode()]


def push(url: str, events: int, size: int, rate: float) -> None:
    """Push a scan to whoever pulls; *rate* a second, or as fast as it is taken."""
    import zmq

    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.bind(url)
        print(socket.getsockopt_string(zmq.LAST_ENDPOINT), flush=True)
        due = 0.0
        scan = messages(events, size)
        while True:
            if rate and due:
                time.sleep(max(0.0, due - time.monotonic()))  # before the message is made, and stamped
            message = next(scan, None)
            if message is None:
                return
            socket.send_multipart(message, copy=len(message[-1]) < 65536)
            if rate:
                due = (due or time.monotonic()) + 1 / rate


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detector", description="A detector for measurements.")
    parser.add_argument("--url", default="tcp://127.0.0.1:*", help="where it is bound (default: %(default)s)")
    parser.add_argument("--events", type=int, default=1000, help="images (default: %(default)s)")
    parser.add_argument("--size", type=int, default=10, help="pixels of a side (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=0.0, help="images a second; 0: as fast as they are taken")
    options = parser.parse_args()
    push(options.url, options.events, options.size, options.rate)


if __name__ == "__main__":
    main()
