"""A detector that there is not: images of diffraction rings that grow, as STINS messages.

python detector.py xrd.cbors                    records a capture
python detector.py tcp://127.0.0.1:9999         pushes them over ZeroMQ (pip install "pipert2[zmq]")
"""

import sys
import time

import numpy as np

from pipert2.patterns.capture.cbors_writer import CborsWriter
from pipert2.patterns.streams import stins
from pipert2.patterns.streams.stream_data import EventData

SIZE, FRAMES = 64, 40


def image(number):
    rows, columns = np.indices((SIZE, SIZE)) + 0.5 - SIZE / 2
    distance = np.hypot(rows, columns)
    rings = np.exp(-((distance - 8) ** 2) / 4) + np.exp(-((distance - 12 - number / 4) ** 2) / 6)
    noise = np.random.default_rng(number).poisson(3, (SIZE, SIZE))
    return (200 * rings + noise).astype(np.uint16)


def messages():
    yield stins.StinsStart("output/xrd.h5")
    for number in range(FRAMES):
        yield stins.StinsData.of(image(number), frame=number, msg_number=number + 1)
    yield stins.StinsEnd(FRAMES + 1)


def record(file):
    with CborsWriter(file) as capture:
        for number, message in enumerate(messages()):
            capture.write(EventData(number, {"xrd": message.to_stream_data()}))


def push(url, pause=0.02):
    import zmq

    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.bind(url)
        for message in messages():
            socket.send_multipart(message.to_stream_data().frames)
            time.sleep(pause)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    push(sys.argv[1]) if "://" in sys.argv[1] else record(sys.argv[1])
