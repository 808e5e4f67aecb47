"""Pipes as newcomers write them: scripts without a guard, one-liners, the prompt, classes of the script on wires."""

from __future__ import annotations

import subprocess
import sys

import pytest

UNGUARDED = """
from pipert2 import DestinationRoutine, Pipe, SourceRoutine, EndOfStream

print("this script runs once")


class Words(SourceRoutine):
    left = ["three", "two", "one"]

    def main_logic(self):
        if not self.left:
            raise EndOfStream
        return self.left.pop()


class Show(DestinationRoutine):
    def main_logic(self, data):
        print("got", data)


pipe = Pipe(lossless=True)
pipe.create_flow("in", True, words := Words())
pipe.create_flow("out", True, show := Show())
from pipert2 import Wire
pipe.link(Wire(words, (show,)))
print("ok" if pipe.run().ok else "not ok")
"""

EXPECTED = ["this script runs once", "got one", "got two", "got three", "ok"]


def test_an_unguarded_script_runs_once_and_its_routines_print(scripts):
    assert scripts.run(UNGUARDED).splitlines() == EXPECTED


def test_a_command_line_script_works(scripts):
    assert scripts.finish(scripts.command("-c", UNGUARDED)).splitlines() == EXPECTED


def test_a_script_read_from_standard_input_works(scripts):
    process = scripts.command("-", stdin=subprocess.PIPE)
    out, err = process.communicate(UNGUARDED, timeout=60)
    assert (out.splitlines(), err) == (EXPECTED, "")


def test_a_script_run_as_a_module_works(scripts):
    (scripts.folder / "package").mkdir()
    (scripts.folder / "package" / "__init__.py").write_text("")
    (scripts.folder / "package" / "main.py").write_text(UNGUARDED)
    assert scripts.finish(scripts.command("-m", "package.main")).splitlines() == EXPECTED


def test_the_prompt_works_line_by_line(scripts):
    lines = [
        "from pipert2 import *",
        "import pipert2.testing as t",
        "seen = t.CollectingDestination('seen')",
        "@source",
        "def numbers():",
        "    yield from range(3)",
        "",
        "pipe = Pipe(lossless=True)",
        "pipe.create_flow('in', False, numbers)",
        "pipe.create_flow('out', False, seen)",
        "pipe.link(Wire(numbers, (seen,)))",
        "print(pipe.run().ok, seen.items())",
        "del seen, numbers",
        "exit()",
    ]
    process = scripts.command("-q", "-i", stdin=subprocess.PIPE)
    out, _ = process.communicate("\n".join(lines) + "\n", timeout=60)
    assert "True [0, 1, 2]" in out
    assert process.returncode == 0


def test_a_namespace_that_is_no_module_works_as_in_a_notebook(scripts):
    runner = f"""
import sys, types
main = sys.modules["__main__"] = types.ModuleType("__main__")
first, second = {UNGUARDED.split("pipe = Pipe")!r}
exec(compile(first, "<cell 1>", "exec"), vars(main))
exec(compile("pipe = Pipe" + second, "<cell 2>", "exec"), vars(main))
"""
    assert scripts.run(runner).splitlines() == EXPECTED


def test_modules_beside_the_script_are_found_in_the_flows(scripts):
    (scripts.folder / "lenses.py").write_text(
        "from pipert2 import MiddleRoutine\n"
        "class Lens(MiddleRoutine):\n"
        "    def main_logic(self, data):\n"
        "        return zoom(data)\n"
        "def zoom(data):\n"
        "    return 10 * data\n"
    )
    code = """
from lenses import Lens
from pipert2 import Pipe, Wire, source, destination
lens, show = Lens("lens"), destination(print, name="show")
@source(name="n")
def numbers():
    yield from range(3)
pipe = Pipe(lossless=True)
for routine in (numbers, lens, show):
    pipe.create_flow(routine.name, False, routine)
pipe.link(Wire(numbers, (lens,)), Wire(lens, (show,)))
assert pipe.run().ok
"""
    assert scripts.run(code).split() == ["0", "10", "20"]


CLASSES = """
import enum
from collections import namedtuple
from dataclasses import dataclass
from pipert2 import *
from pipert2.testing import wait_until
import multiprocessing

class Colour(enum.Enum):
    RED = 1

Point = namedtuple("Point", "x y")

class Trouble(Exception):
    pass

@dataclass
class Reading(Data):
    value: float
    colour: Colour = Colour.RED

@dataclass(frozen=True, slots=True)
class Slim:
    x: int

class Plain:
    def __init__(self, x):
        self.x = x

class Box(dict):
    pass

KINDS = (Reading, Slim, Plain, Point, Box, Trouble, Colour)

@source(name="things")
def things():
    yield Reading(1.5)
    yield Slim(2)
    yield Plain(3)
    yield Point(1, 2)
    yield Box(a=1)
    yield Trouble("no")
    yield Colour.RED
    yield [Reading(1), {"deep": Slim(3)}]

class Check(MiddleRoutine):
    def main_logic(self, data):
        assert isinstance(data, KINDS + (list,)), type(data)
        if isinstance(data, Reading):
            assert data.colour is Colour.RED
            data.additional_data["checked"] = True
        if isinstance(data, list):
            assert isinstance(data[0], Reading) and isinstance(data[1]["deep"], Slim)
        return data

class Show(DestinationRoutine):
    def main_logic(self, data):
        assert isinstance(data, KINDS + (list,)), type(data)
        print(type(data).__name__)

    @events("ASK")
    def ask(self, reading):
        assert isinstance(reading, Reading)
        return Reading(reading.value * 2)

things_, check, show = things, Check("check"), Show("show")
pipe = Pipe(lossless=True, {options})
for routine in (things_, check, show):
    pipe.create_flow(routine.name, False, routine)
pipe.link(Wire(things_, (check,)), Wire(check, (show,)))
with pipe:
    answer = pipe.notify_event("ASK", wait=60, reading=Reading(4.0))["show"].unwrap()
    assert isinstance(answer, Reading) and answer.value == 8.0
    pipe.notify_event("start")
    wait_until(lambda: pipe.status().state is PipeState.FINISHED)
    print(sum(routine.errors for routine in pipe.status().routines), "errors")
"""


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
def test_classes_of_the_script_stay_the_same_class_in_every_flow(scripts, method):
    if method == "fork" and sys.version_info >= (3, 12):
        pytest.skip("forking with threads warns on this Python")
    out = scripts.run(CLASSES.replace("{options}", f"start_method={method!r}"))
    assert out.split() == ["Reading", "Slim", "Plain", "Point", "Box", "Trouble", "Colour", "list", "0", "errors"]


SHARED = """
import multiprocessing
from pipert2 import Pipe, Wire, source, destination

forkserver = multiprocessing.get_context("forkserver")
total = forkserver.Value("q", 0)
queue = forkserver.Queue()

@source
def numbers():
    yield from range(10)

@destination
def add(number):
    with total.get_lock():
        total.value += number
    if number == 9:
        queue.put("last")

pipe = Pipe(lossless=True)
pipe.create_flow("in", False, numbers)
pipe.create_flow("out", False, add)
pipe.link(Wire(numbers, (add,)))
assert pipe.run().ok
print(total.value, queue.get(timeout=60))
"""


def test_global_multiprocessing_objects_are_shared_with_function_routines(scripts):
    assert scripts.run(SHARED).split() == ["45", "last"]


def test_a_global_of_the_wrong_start_method_is_named_with_the_cure(scripts):
    if sys.version_info >= (3, 14):
        pytest.skip("forkserver is the default here")
    code = SHARED.replace('multiprocessing.get_context("forkserver")', 'multiprocessing.get_context("fork")')
    process = scripts.start(code)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith("pipert2.errors.PipeBuildError")
    assert 'multiprocessing.get_context("forkserver")' in last
    assert "'add'" in last


POOL = """
import multiprocessing
from pipert2 import DestinationRoutine, Pipe, Wire, source

def square(number):
    return number * number

class Pooled(DestinationRoutine):
    def setup(self):
        self.pool = multiprocessing.get_context("fork").Pool(2)

    def main_logic(self, data):
        print(self.pool.map(square, data))

    def cleanup(self):
        self.pool.close()
        self.pool.join()

@source
def lists():
    yield [1, 2, 3]
    yield [4, 5, 6]

pooled = Pooled()
pipe = Pipe(lossless=True)
pipe.create_flow("in", False, lists)
pipe.create_flow("out", False, pooled)
pipe.link(Wire(lists, (pooled,)))
assert pipe.run().errors == 0
"""


def test_a_pool_inside_a_routine_can_call_functions_of_the_script(scripts):
    assert scripts.run(POOL).splitlines() == ["[1, 4, 9]", "[16, 25, 36]"]


FORGETFUL = """
from pipert2 import DestinationRoutine, Pipe, Wire, source

@source
def ones():
    while True:
        yield 1

class Sink(DestinationRoutine):
    def main_logic(self, data):
        pass

    def cleanup(self):
        print("cleaned up")

sink = Sink("sink")
pipe = Pipe()
pipe.create_flow("in", False, ones)
pipe.create_flow("out", False, sink)
pipe.link(Wire(ones, (sink,)))
pipe.notify_event("start", wait=60)
"""


def test_a_script_that_ends_without_join_ends_its_flows_cleanly(scripts):
    assert scripts.run(FORGETFUL).split() == ["cleaned", "up"]


def test_a_script_that_fails_with_a_running_pipe_ends_its_flows_cleanly(scripts):
    process = scripts.start(FORGETFUL + "\n1 / 0\n")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.split() == ["cleaned", "up"]
    assert err.strip().endswith("ZeroDivisionError: division by zero")


def test_a_guarded_script_with_a_main_function_works_as_well(scripts):
    head, body = FORGETFUL.split("sink = Sink")
    main = "def main():\n" + "\n".join(f"    {line}" for line in ("sink = Sink" + body).splitlines())
    assert scripts.run(f"{head}{main}\n\nif __name__ == '__main__':\n    main()\n").split() == ["cleaned", "up"]


def test_logging_without_configuration_shows_warnings_of_routines(scripts):
    code = UNGUARDED.replace('print("got", data)', 'self.logger.warning("got %s", data)')
    process = scripts.start(code)
    out, err = process.communicate(timeout=60)
    assert out.splitlines() == ["this script runs once", "ok"]
    assert err.splitlines() == ["got one", "got two", "got three"]
