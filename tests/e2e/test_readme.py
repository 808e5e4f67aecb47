"""Every Python block of the README runs as it stands and prints what the README says, and so does PipeRT2's own API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.blocks import ROOT, Script, check, parameters
from tests.e2e.consoles import Command, steps_of


@pytest.mark.parametrize("script", parameters(ROOT / "README.md"))
def test_readme_block_runs_and_prints_what_it_says(script: Script, tmp_path: Path) -> None:
    check(script, tmp_path)


CALLS = {
    "start": r"curl \S+:\d+/start$",
    "pause": r"curl \S+:\d+/pause$",
    "kill": r"curl \S+:\d+/kill$",
    "start of a routine": r"curl \S+/routines/\w+/events/start/execute$",
    "stop of a routine": r"curl \S+/routines/\w+/events/stop/execute$",
    "event for all routines": r"curl \S+/routines/events/[A-Z]+/execute$",
    "event for a routine, with arguments": r"(?s)curl -X GET \S+/routines/\w+/events/[A-Z]+/execute .*extra_args",
    "execute by zerorpc's command line": r"pipert2-rpc tcp://\S+ execute start$",
    "execute with arguments": r"pipert2-rpc tcp://\S+ execute join '\{\"to_kill\":true\}'$",
    "execute from Python": r"python .*client\.py$",
}


@pytest.mark.parametrize("call", CALLS)
def test_calls_that_pipert2s_document_makes_from_outside_are_among_the_commands_that_are_run(call: str) -> None:
    commands = [step.text for step in steps_of(ROOT / "docs" / "tour.md") if isinstance(step, Command)]
    assert any(re.match(CALLS[call], command) for command in commands)


# PipeRT2's document, chapter by chapter: its calls as it makes them, with names of our own.

GETTING_STARTED = """
from pipert2 import SourceRoutine

class ReadScale(SourceRoutine):

    def main_logic(self) -> dict:
        return {
            "grams": "250"
        }

from pipert2 import DestinationRoutine

class ShowWeight(DestinationRoutine):

    def main_logic(self, data: dict) -> None:
        print(data["grams"])

from pipert2 import Pipe, QueueNetwork
from pipert2.utils.consts.event_names import START_EVENT_NAME, KILL_EVENT_NAME

# The pipe.
bakery_pipe = Pipe()

# One object of each routine.
read_scale_routine = ReadScale()
show_weight_routine = ShowWeight()

# A flow of both.
bakery_pipe.create_flow("bakery_flow", True, read_scale_routine, show_weight_routine)

# Build.
bakery_pipe.build()

# Go.
bakery_pipe.notify_event(START_EVENT_NAME)

# Until there is something on the screen; the document does not wait.
PAUSE

# Stop for good.
bakery_pipe.notify_event(KILL_EVENT_NAME)
"""

TWO_ARE_SHOWN = """
from pipert2.testing import wait_until

wait_until(lambda: bakery_pipe.status().wires[0].received > 2)
"""

LINKS_AND_TARGETS = """
from pipert2 import DestinationRoutine, Pipe, QueueNetwork, SourceRoutine, Wire
from pipert2.utils.consts.event_names import START_EVENT_NAME

class ReadScale(SourceRoutine):
    def main_logic(self) -> dict:
        return {"grams": "250"}

class ShowWeight(DestinationRoutine):
    def main_logic(self, data: dict) -> None:
        print(data["grams"])

for targets in ("everyone", "flow", "routines"):
    bakery_pipe = Pipe()
    read_scale_routine = ReadScale()
    show_weight_routine = ShowWeight()
    bakery_pipe.create_flow("bakery_flow", False, read_scale_routine, show_weight_routine)
    bakery_pipe.link(Wire(source=read_scale_routine, destinations=(show_weight_routine,)))
    bakery_pipe.build()

    if targets == "everyone":
        bakery_pipe.notify_event(START_EVENT_NAME)
    elif targets == "flow":
        bakery_pipe.notify_event(START_EVENT_NAME, {"bakery_flow": []})
    else:
        bakery_pipe.notify_event(START_EVENT_NAME, {"bakery_flow": [read_scale_routine.name, show_weight_routine.name]})

    from pipert2.testing import wait_until
    wait_until(lambda: bakery_pipe.status().routine(show_weight_routine.name).received)
    bakery_pipe.join(to_kill=True)
    print(targets)
"""

ROUTINES = """
from dataclasses import dataclass
from pipert2 import Data, Pipe, Routine, SourceRoutine, MiddleRoutine, DestinationRoutine, Wire

@dataclass
class Loaf(Data):
    grams: int

class Knead(SourceRoutine):
    def main_logic(self) -> Data:
        return Loaf(500)

class Bake(MiddleRoutine):
    def main_logic(self, data: Data) -> Data:
        data.grams -= 60
        data.additional_data["baked"] = True
        return data

class Sell(DestinationRoutine):
    def setup(self):
        self.shelf = []

    def main_logic(self, data: Data) -> None:
        self.shelf.append(data)

    def cleanup(self):
        print(self.shelf[0])
        self.shelf = None

class Nothing(MiddleRoutine):
    def main_logic(self, data):
        pass        # nothing is returned, so nothing is sent

class Never(DestinationRoutine):
    def main_logic(self, data):
        raise AssertionError("nobody sent this")

from pipert2.testing import wait_until

bakery_pipe = Pipe()
knead, bake, sell, nothing, never = Knead(), Bake(), Sell("sell"), Nothing("nothing"), Never("never")
bakery_pipe.create_flow("kitchen", False, knead, bake)
bakery_pipe.create_flow("shop", False, sell, nothing, never)
bakery_pipe.link(Wire(source=knead, destinations=(bake,)), Wire(source=bake, destinations=(sell, nothing)),
                 Wire(source=nothing, destinations=(never,)))
bakery_pipe.build()
bakery_pipe.notify_event("start")
wait_until(lambda: bakery_pipe.status().routine("sell").received and bakery_pipe.status().routine("nothing").received)
bakery_pipe.notify_event("stop")
wait_until(lambda: {routine.state for routine in bakery_pipe.status().routines} == {"idle"})
print(bakery_pipe.status().routine("never").received)
bakery_pipe.join(to_kill=True)
"""

EVENTS = """
from pipert2 import DestinationRoutine, Pipe, Routine, events
from pipert2.utils.consts.event_names import KILL_EVENT_NAME, START_EVENT_NAME, STOP_EVENT_NAME
from pipert2.testing import wait_until

class Baker(Routine):
    def ring(self):
        self.notify_event("BELL", {"shop": ["clerk"]})

    def main_logic(self):
        self.ring()
        self.notify_event(STOP_EVENT_NAME, {"kitchen": [self.name]})
        self.wait(10)

class Clerk(Routine):
    rung = 0

    @events("BELL")
    def hear(self):
        self.rung += 1
        return self.rung

class Shelf(DestinationRoutine):
    def main_logic(self, data):
        pass

bakery_pipe = Pipe()
baker = Baker()
bakery_pipe.create_flow("kitchen", True, baker, Shelf())
bakery_pipe.create_flow("shop", True, Clerk("clerk"))
bakery_pipe.build()

bakery_pipe.notify_event("BELL")                                            # all flows
bakery_pipe.notify_event(START_EVENT_NAME, {"kitchen": [], "shop": []})     # two flows
bakery_pipe.notify_event("BELL", {"shop": ["clerk"]})                       # one routine
baker.notify_event("BELL", {"shop": ["clerk"]})                             # through a routine
wait_until(lambda: bakery_pipe.notify_event("BELL", wait=5.0)["clerk"].unwrap() > 4)    # one more from inside
bakery_pipe.notify_event(KILL_EVENT_NAME, {"kitchen": []})
bakery_pipe.notify_event(KILL_EVENT_NAME)
bakery_pipe.join()
print("end")
"""

CUSTOM_EVENTS = """
from pipert2 import DestinationRoutine, Routine, events

class ShowWeight(DestinationRoutine):

    def main_logic(self, data: dict) -> None:
        print(data["grams"])

class Oven(Routine):
    def __init__(self, name):
        super().__init__(name)
        self.door = None

    # Without parameters.
    @events("OPEN_DOOR")
    def open_door(self):
        self.door = "open"
        print("the door is", self.door)

    # With parameters.
    @events("SET_HEAT")
    def set_heat(self, degrees, program="bread"):
        print("heat", degrees, program, self.door)

from pipert2 import Pipe
from pipert2.utils.consts.event_names import START_EVENT_NAME, KILL_EVENT_NAME

# The pipe.
bakery_pipe = Pipe()

# One object of each routine.
oven = Oven("oven")
show_weight_routine = ShowWeight()

# A flow of both.
bakery_pipe.create_flow("bakery_flow", True, oven, show_weight_routine)

# The events, before the pipe was built.
bakery_pipe.notify_event("OPEN_DOOR", {"bakery_flow": ["oven"]})
bakery_pipe.notify_event("SET_HEAT", {"bakery_flow": ["oven"]}, degrees=220, program="rolls")

# Start.
bakery_pipe.notify_event(START_EVENT_NAME)
bakery_pipe.notify_event(KILL_EVENT_NAME)
bakery_pipe.join()
"""

THE_REST = """
import logging
from dataclasses import dataclass
import numpy as np
from pipert2 import *
from pipert2.utils.consts.event_names import UNLINK
from pipert2.utils.logging_module_modifiers import add_pipe_log_level, get_default_print_logger
from pipert2.testing import wait_until

add_pipe_log_level()
logger = get_default_print_logger("Bakery")
logger.plog("too fine to be shown")
logger.handlers[0].setFormatter(logging.Formatter("%(message)s"))

@dataclass
class Photo(FrameData):
    pixels: np.ndarray

    def get_frame(self) -> np.ndarray:
        return self.pixels

class Bakery:
    class Camera(FPSRoutine):
        def __init__(self, name):
            super().__init__(name)
            self.set_const_fps(200)

        def setup(self):
            self.logger.info("the camera runs")
            self.logger.plog("too fine as well")

        def main_logic(self, data=None):
            return Photo(np.full((100, 100), 3, np.uint8))

        @events("FLASH")
        def flash(self):
            return "flash"

    class BetterCamera(Camera):
        pass

@destination
def screen(photo):
    if photo.get_frame().sum() != 30_000:
        raise ValueError("these are not the pixels that were sent")

@destination
def album(photo):
    pass

bakery_pipe = Pipe(
    network=QueueNetwork(max_queue_sizes=1, put_block=False, get_block=True, timeout=1),
    logger=logger,
    data_transmitter=SharedMemoryTransmitter(data_size_threshold=5000),
    auto_pacing_mechanism=True,
)
camera = Bakery.BetterCamera("camera")
bakery_pipe.create_flow("kitchen", False, camera)
bakery_pipe.create_flow("shop", False, screen, album, data_transmitter=BasicTransmitter())
bakery_pipe.link(Wire(source=camera, destinations=(screen, album), data_transmitter=SharedMemoryTransmitter()))
structure = bakery_pipe.get_pipe_structure()
print(structure["Routines"][0], structure["Events"])
bakery_pipe.build()
print(bakery_pipe.notify_event("FLASH", wait=5.0)["camera"].value)
bakery_pipe.notify_event(START_EVENT_NAME)
wait_until(lambda: min(wire.received for wire in bakery_pipe.status().wires) > 10)
bakery_pipe.unlink(camera, album)
wait_until(lambda: bakery_pipe.status().routine("album").finished)
bakery_pipe.notify_event(UNLINK, {"kitchen": ["camera"]}, unlink_routine_name="screen")
wait_until(lambda: bakery_pipe.status().routine("screen").finished)
errors = [routine.errors for routine in bakery_pipe.status().routines]
bakery_pipe.join(to_kill=True)
print(errors)
"""

CHAPTERS = {
    "getting started": (GETTING_STARTED.replace("PAUSE", TWO_ARE_SHOWN), "250\n250\n...\n"),
    "getting started, killed at once": (GETTING_STARTED.replace("PAUSE", ""), "...\n"),
    "links and targets": (LINKS_AND_TARGETS, "250\n...\neveryone\n250\n...\nflow\n250\n...\nroutines\n"),
    "routines": (ROUTINES, "Loaf(additional_data={'baked': True}, grams=440)\n0\n"),
    "events": (EVENTS, "end\n"),
    "custom events": (CUSTOM_EVENTS, "the door is open\nheat 220 rolls open\n"),
    "the rest": (
        THE_REST,
        "{'flow_name': 'kitchen', 'routine_name': 'camera', 'events': ['FLASH']} ['start', 'stop', 'kill']\n"
        "flash\nthe camera runs\n[0, 0, 0]\n",
    ),
}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_api_that_pipert2s_document_describes_works_as_described(chapter: str, tmp_path: Path) -> None:
    code, prints = CHAPTERS[chapter]

    check(Script(page="PipeRT2", line=0, heading=chapter, code=code, prints=[prints]), tmp_path)
