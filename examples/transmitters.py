"""Data transmitters: what a receiver in another process may do with an array.

One picture is sent on two wires. With `BasicTransmitter` the receiver gets a copy of its own and may write to it; with
`SharedMemoryTransmitter` it looks at the one place in shared memory where the picture lies, and only reads. Prints, in
any order,

    private: writeable True, first pixel 7, painted over: 0
    shared: writeable False, first pixel 7, painting refused: assignment destination is read-only
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pipert2 import BasicTransmitter, Pipe, SharedMemoryTransmitter, Wire, destination, source

Picture = npt.NDArray[Any]


@source
def camera() -> Iterator[Picture]:
    yield np.full((480, 640, 3), 7, np.uint8)


@destination
def private(picture: Picture) -> None:
    before = picture[0, 0, 0]
    picture[:] = 0
    text = f"private: writeable {picture.flags.writeable}, first pixel {before}, painted over: {picture[0, 0, 0]}"
    print(text)


@destination
def shared(picture: Picture) -> None:
    text = f"shared: writeable {picture.flags.writeable}, first pixel {picture[0, 0, 0]}"
    try:
        picture[:] = 0
    except ValueError as error:
        print(f"{text}, painting refused: {error}")


pipe = Pipe(lossless=True)
pipe.create_flow("camera", False, camera)
pipe.create_flow("painter", False, private)
pipe.create_flow("viewer", False, shared)
pipe.link(
    Wire(source=camera, destinations=(private,), data_transmitter=BasicTransmitter()),
    Wire(source=camera, destinations=(shared,), data_transmitter=SharedMemoryTransmitter(data_size_threshold=5000)),
)
pipe.run()
