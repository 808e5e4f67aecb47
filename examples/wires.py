"""Wires: fan-out, fan-in, and several wires with rules of their own from one source.

    numbers --lossless--> square --+
       |    \\-lossless--> cube ----+--> total
       +-----real-time--> latest

`numbers` has two wires. One goes to two routines, loses nothing and makes the source wait; the other is real-time, so
that a slow reader gets the newest number and holds up nobody. `total` takes what both `square` and `cube` send. Prints

    total: 200 results, squares 328350, cubes 24502500
    latest: saw the last number, 99
"""

import time
from collections.abc import Iterator

from pipert2 import DestinationRoutine, Pipe, Wire, middle, source


@source
def numbers() -> Iterator[int]:
    yield from range(100)


@middle
def square(number: int) -> dict[str, int]:
    return {"squares": number**2}


@middle
def cube(number: int) -> dict[str, int]:
    return {"cubes": number**3}


class Total(DestinationRoutine):
    def setup(self) -> None:
        self.results = 0
        self.sums = {"squares": 0, "cubes": 0}

    def main_logic(self, part: dict[str, int]) -> None:
        self.results += 1
        for name, value in part.items():
            self.sums[name] += value

    def cleanup(self) -> None:
        sums = ", ".join(f"{name} {value}" for name, value in self.sums.items())
        print(f"total: {self.results} results, {sums}")


class Latest(DestinationRoutine):
    def main_logic(self, number: int) -> None:
        self.number = number
        time.sleep(0.05)  # slow: meanwhile newer numbers take the place of older ones

    def cleanup(self) -> None:
        print(f"latest: saw the last number, {self.number}")


total, latest = Total("total"), Latest("latest")
pipe = Pipe()
pipe.create_flow("making", False, numbers)
pipe.create_flow("working", False, square, cube)
pipe.create_flow("ending", False, total, latest)
pipe.link(
    Wire(source=numbers, destinations=(square, cube), lossless=True),  # fan-out
    Wire(source=numbers, destinations=(latest,)),  # a second wire, real-time
    Wire(source=square, destinations=(total,), lossless=True),  # fan-in: two wires, one destination
    Wire(source=cube, destinations=(total,), lossless=True),
)
pipe.run()
