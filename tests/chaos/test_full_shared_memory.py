"""A full /dev/shm: an error that says how much was needed and how much was free, and nothing else breaks.

Each script runs in a mount namespace of its own with a small file system at /dev/shm.
"""

from __future__ import annotations

import functools
import subprocess

import pytest

SCRIPT = """
import logging, os
import numpy as np
from pipert2 import *

logging.basicConfig(format="%(levelname)s %(message)s")

class Frames(SourceRoutine):
    left = 3
    def main_logic(self):
        if not self.left:
            raise EndOfStream
        self.left -= 1
        return {make}

@source
def numbers():
    yield from range(1000)

frames = Frames("frames")
big, small = (destination(lambda data: None, name=name) for name in ("big", "small"))
pipe = Pipe(lossless=True)
for routine in (frames, numbers, big, small):
    pipe.create_flow(routine.name, False, routine)
pipe.link(Wire(frames, (big,)), Wire(numbers, (small,)))
try:
    summary = pipe.run()
except SharedMemoryFullError as error:
    print("build:", error)
    print("fields:", error.needed > 0, error.free >= 0)
else:
    print("reason:", summary.reason, "errors:", summary.errors)
    for wire in summary.wires:
        print(wire.source, wire.received, wire.dropped)
    print("last:", summary.routines[0].last_error)
print("left:", [name for name in os.listdir("/dev/shm") if "pr2-" in name])
"""
FRAME = "np.zeros(20_000_000, np.uint8)"


@functools.cache
def cannot_mount() -> str:
    """Why a private /dev/shm cannot be had here, empty if it can."""
    try:
        command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /dev/shm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


@pytest.fixture(autouse=True)
def _needs_a_private_mount() -> None:
    if cannot_mount():
        pytest.skip(f"a /dev/shm of its own cannot be mounted: {cannot_mount()}")


def run(scripts, size: str, make: str = FRAME) -> tuple[dict[str, str], str]:
    """Lines of the script's output by their first word, and what it wrote to standard error."""
    code = SCRIPT.replace("{make}", make)
    mount = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    process = scripts.start(code, "unshare", "-m", "sh", "-c", mount, "sh")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return dict(line.split(" ", 1) for line in out.splitlines()), err


@pytest.mark.parametrize("size", ["4k", "24k", "32k", "48k", "64k"])
def test_no_room_for_the_pipe_is_an_error_of_build_that_leaves_nothing(scripts, size):
    lines, _ = run(scripts, size)
    assert "not enough shared memory: " in lines["build:"]
    assert "needed" in lines["build:"]
    assert "free in /dev/shm. Make it larger" in lines["build:"]
    assert lines["fields:"] == "True True"
    assert lines["left:"] == "[]"


@pytest.mark.parametrize("make", [FRAME, "(lambda a: (a.fill(1), a)[1])(self.loan(20_000_000))"], ids=["sent", "lent"])
@pytest.mark.parametrize("size", ["700k", "16m"])
def test_no_room_for_a_message_is_an_error_of_that_routine_and_other_wires_go_on(scripts, size, make):
    lines, err = run(scripts, size, make)
    assert "not enough shared memory: " in err
    assert "ERROR" in err
    assert "needed" in lines["last:"]
    assert "free in /dev/shm" in lines["last:"]
    assert lines["numbers"] == "1000 0"
    assert lines["frames"].startswith("0 ")
    assert lines["left:"] == "[]"


def test_with_room_for_one_message_only_all_arrive_one_after_the_other(scripts):
    lines, err = run(scripts, "24m")
    assert err == ""
    assert lines["frames"] == "3 0"
    assert lines["numbers"] == "1000 0"


def test_small_messages_pass_where_large_ones_find_no_room(scripts):
    lines, _ = run(scripts, "16m", "np.zeros(20_000_000 if self.left == 1 else 1000, np.uint8)")
    assert lines["frames"].startswith("2 ")
    assert lines["numbers"] == "1000 0"
