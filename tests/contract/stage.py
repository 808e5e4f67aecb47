"""A pipe that runs with its HTTP and zerorpc faces until standard input ends; prints where they are."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from pipert2 import (
    APIWrapper,
    DestinationRoutine,
    MiddleRoutine,
    Parameter,
    Pipe,
    RPCPipeWrapper,
    SourceRoutine,
    Wire,
    events,
)


class Camera(SourceRoutine):
    """Makes pictures."""

    gain = Parameter(1.0, minimum=0.0, maximum=8.0, unit="dB", help="Brightens.")

    def setup(self) -> None:
        self.set_const_fps(100)

    def main_logic(self) -> Any:
        self.show("brightness", 10 * self.gain)
        self.show("lost", float("nan"))
        self.show("profile <b>", np.arange(60))
        self.show("rows/first", np.full((40, 60), 10 * self.gain))
        return {"frame": np.full((40, 60, 3), 10 * self.gain, np.uint8)}

    @events("ADD")
    def add(self, a: int, b: int = 1) -> int:
        """Add two numbers."""
        self.logger.info("adding %d and %d", a, b)
        return a + b

    @events("FAIL")
    def fail(self) -> None:
        raise ValueError("no")


class Show(DestinationRoutine):
    def main_logic(self, data: Any) -> None:
        pass


class Jobs(SourceRoutine):
    """Sends the jobs that it is given."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.waiting: list[Any] = []

    def main_logic(self) -> Any:
        if self.waiting:
            return self.waiting.pop(0)
        self.wait(60.0)
        return None

    @events("JOB")
    def job(self, job: Any) -> None:
        self.waiting.append(job)


class Work(DestinationRoutine):
    """Does jobs, but gives those up that it is told to refuse."""

    refused = ""

    def main_logic(self, job: Any) -> None:
        if self.refused and self.refused in str(job):
            raise ValueError(f"no {job}")

    @events("REFUSE")
    def refuse(self, text: str) -> None:
        self.refused = text


class Answers(MiddleRoutine):
    """Answers questions; some it refuses, some take it long, and some answers are no JSON."""

    service = True

    def main_logic(self, question: Any) -> Any:
        if question == "refuse":
            raise ValueError("not that")
        if question == "think":
            self.wait(60.0)
        if question == "show":
            return {"frame": np.zeros((480, 640), np.uint8), "size": (480, 640), "mean": np.float32(0.5)}
        if question == "parameters":
            return dict(self.parameters)
        return {"question": question}


class Hours(SourceRoutine):
    """Runs once an hour, if nobody says otherwise."""

    trigger = "hourly"

    def main_logic(self) -> None:
        pass


pipe = Pipe("stage")
pipe.logger.setLevel("INFO")
camera, screen, wall = Camera("camera"), Show("screen"), Show("wall")
pipe.create_flow("cameras", False, camera)
pipe.create_flow("screens", False, screen)
pipe.create_flow("walls", False, wall)
jobs, work = Jobs("jobs"), Work("work")
pipe.create_flow("offices", False, jobs)
pipe.create_flow("workshops", False, work, replicas=1)
pipe.create_flow("services", False, Answers("answers"))
pipe.create_flow("clocks", False, Hours("hours"))
pipe.link(Wire(camera, (screen, wall)), Wire(jobs, (work,), lossless=True))
pipe.build()
rpc = RPCPipeWrapper(pipe)
rpc.start_rpc_server("tcp://127.0.0.1:*")
with pipe, APIWrapper(host="127.0.0.1", port=0, pipe=pipe, announce=False) as api, rpc:
    api.run()
    print(json.dumps({"http": api.url, "rpc": rpc.endpoint}), flush=True)
    sys.stdin.read()
