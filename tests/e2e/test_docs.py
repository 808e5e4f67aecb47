"""The documentation's Python blocks run as they stand, and its tables have what they are said to have."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2 import (
    ControlError,
    DestinationRoutine,
    MiddleRoutine,
    Parameter,
    Pipe,
    PipeBuildError,
    PipeClient,
    PipertError,
    QueueNetwork,
    Routine,
    RPCPipeWrapper,
    SharedMemoryTransmitter,
    SourceRoutine,
    Wire,
    destination,
    events,
    source,
)
from pipert2.cli.connect import choose
from pipert2.cli.exit_codes import exit_code_of
from pipert2.control.http.errors import HTTP_STATUS
from pipert2.control.http.routes import API, ROUTES, Kind
from pipert2.control.http.server import ControlServer
from pipert2.control.http.tokens import Tokens
from pipert2.control.service import VERBS, ControlService
from pipert2.control.verbs import Scope
from pipert2.testing import wait_until
from tests.e2e.blocks import ROOT, Script, check, matches, parameters, scripts_of

DOCS = ROOT / "docs"


@pytest.mark.parametrize("script", parameters(*sorted(DOCS.rglob("*.md"))))
def test_documented_block_runs_and_prints_what_its_page_says(script: Script, tmp_path: Path) -> None:
    check(script, tmp_path)


SHOWN = re.findall(r"`(\w[\w/]*\.py)::(\w+)`", (DOCS / "security.md").read_text("utf-8"))


@pytest.mark.parametrize(("file", "test"), SHOWN, ids=[test for _, test in SHOWN])
def test_the_test_that_a_threat_is_said_to_be_shut_out_by_is_there(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (ROOT / "tests" / file).read_text("utf-8"), re.MULTILINE)


def test_every_threat_names_a_test() -> None:
    rows = [row for row in (DOCS / "security.md").read_text("utf-8").splitlines() if row.count(" | ") == 2]
    threats = [row for row in rows if not row.startswith(("| threat", "| ---"))]
    assert len(threats) > 40
    assert [row for row in threats if "::test_" not in row] == []


CONTROL = (DOCS / "control.md").read_text("utf-8")


@pytest.mark.parametrize("name", VERBS)
def test_a_verbs_scope_routes_and_method_are_in_the_table(name: str) -> None:
    row = re.search(rf"^\| {name} \|.*", CONTROL, re.MULTILINE)
    assert row is not None
    _, _, scope, paths, method, *_ = (cell.strip() for cell in row[0].split("|"))
    assert scope == VERBS[name].scope.value
    kinds = (Kind.VERB, Kind.PICTURE, Kind.STREAM)
    routes = {f"{one.method} {one.path.removeprefix(API)}" for one in ROUTES if one.verb == name and one.kind in kinds}
    assert set(re.findall(r"`(.+?)`", paths)) == routes
    assert f"{name}(" in method


@pytest.mark.parametrize("code", HTTP_STATUS)
def test_a_codes_status_and_exit_code_are_in_the_table(code: str) -> None:
    status, exit_code = HTTP_STATUS[code], exit_code_of(ControlError(code, ""))
    assert re.search(rf"^\| `{code}` \|.*\| {status} \| {exit_code} \|$", CONTROL, re.MULTILINE)


def test_page_whose_output_is_wrong_is_noticed(tmp_path: Path) -> None:
    script = scripts_of(DOCS / "index.md")[0]
    script.prints = [text.replace("'faces': 1", "'faces': 2") for text in script.prints]

    with pytest.raises(AssertionError, match="but its page says"):
        check(script, tmp_path)


# --------------------------------------------------------------------------------------- the list of error messages

LISTED = re.findall(r"^\| `(.+?)` \|", (DOCS / "troubleshooting.md").read_text("utf-8"), re.MULTILINE)


class Make(SourceRoutine):
    def main_logic(self) -> int:
        return 1


class Pass(MiddleRoutine):
    def main_logic(self, data: Any) -> Any:
        return data


class Take(DestinationRoutine):
    def main_logic(self, data: Any) -> None: ...

    @events("ZOOM")
    def zoom(self) -> None: ...


class Locked(Make):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.lock = threading.Lock()


class Counts(Take):
    def main_logic(self, data: str) -> None: ...


class Streams(DestinationRoutine):
    async def main_logic(self, data: object) -> AsyncIterator[object]:  # type: ignore[override]
        yield data


class Forgets(Take):
    def main_logic(self) -> None: ...  # type: ignore[override]


class Wants(Make):
    def main_logic(self, data: Any) -> int:  # type: ignore[override]
        return 1


class Bounded(Pass):
    max_in_flight = 1


class OnlyHears(Routine):
    @events("ZOOM")
    def zoom(self) -> None: ...


def flow(*routines: Any, wired: bool = True, wires: Callable[..., list[Wire]] = lambda *_: []) -> Pipe:
    pipe = Pipe("p")
    pipe.create_flow("all", wired, *routines)
    pipe.link(*wires(*routines))
    return pipe


def built_and_asked(name: Any, targets: Any = None, **params: Any) -> None:
    with flow(Make("make"), Take("take")) as pipe:
        pipe.notify_event(name, targets, wait=60.0, **params)


def after_the_end() -> None:
    pipe = flow(Make(), Take())
    pipe.build()
    pipe.join(to_kill=True)
    pipe.notify_event("ZOOM")


def twice() -> None:
    with flow(Make(), Take()) as pipe:
        pipe.build()
        pipe.create_flow("more", True)


def two_flows(*names: str) -> None:
    pipe, make = Pipe(), Make("make")
    for name in names:
        pipe.create_flow(name, True, make)


def two_wires(a: Routine, b: Routine) -> list[Wire]:
    return [Wire(a, b), Wire(a, b)]


def circle(a: Routine, b: Routine, c: Routine, d: Routine) -> list[Wire]:
    return [Wire(a, b), Wire(b, (c, d), lossless=True), Wire(c, b, lossless=True)]


class Steps(Make):
    step = Parameter(1, minimum=1, maximum=9)

    def set_step(self, value: Any) -> None:
        self.step = value


def late_input() -> None:
    class Either(Routine):
        def main_logic(self) -> int:
            return self.wait(1.0)

    make, either, take = Make("make"), Either("either"), Take("take")
    with flow(make, either, take, wired=False, wires=lambda a, b, c: [Wire(a, c), Wire(b, c)]) as pipe:
        pipe.build()
        pipe.link(Wire(make, either))


def inline_restart() -> None:
    pipe = Pipe(inline=True)
    pipe.create_flow("all", True, Make(), Take())
    with pipe:
        pipe.build()
        pipe.restart_flow("all")


def depending(name: str, on: str) -> None:
    pipe = Pipe()
    pipe.create_flow(name, True, Make(), Take(), depends_on=(on,))
    pipe.build()


def call_at_rest() -> None:
    with flow(Make("make"), Take("take")) as pipe:
        pipe.build()
        pipe.call("take", 1, timeout=0.01)


def port_taken() -> None:
    with ControlService(Pipe()) as service, ControlServer(service, port=0, tokens=Tokens(), announce=False) as server:
        ControlServer(service, port=server.port, tokens=Tokens(), announce=False).start()


MISTAKES: dict[str, Callable[[], object]] = {
    "auto_wire left out": lambda: Pipe().create_flow("all", Make(), Take()),  # type: ignore[arg-type]
    "class as routine": lambda: Pipe().create_flow("all", True, Make),  # type: ignore[arg-type]
    "function as routine": lambda: Pipe().create_flow("all", True, print),  # type: ignore[arg-type]
    "two flows of one name": lambda: (pipe := flow(Make(), Take())).create_flow("all", True, Make()) or pipe,
    "routine in two flows": lambda: two_flows("a", "b"),
    "routine linked instead of wire": lambda: Pipe().link(Make()),  # type: ignore[arg-type]
    "class in wire": lambda: Wire(Make(), Take),  # type: ignore[arg-type]
    "wire to nobody": lambda: Wire(Make(), ()),
    "class as transmitter": lambda: Wire(Make(), Take(), SharedMemoryTransmitter),  # type: ignore[arg-type]
    "no capacity": lambda: Wire(Make(), Take(), capacity=0),
    "no queue": lambda: QueueNetwork(max_queue_sizes=0),
    "routine of a number": lambda: source(3),  # type: ignore[call-overload]
    "event without a name": lambda: events(""),
    "event of a built-in name": lambda: events("start"),
    "unknown start method": lambda: Pipe(start_method="knife"),
    "flow after build": twice,
    "event after the end": after_the_end,
    "no flows": lambda: Pipe().build(),
    "no routines": lambda: flow().build(),
    "two routines of one name": lambda: flow(Make("x"), Take("x")).build(),
    "not linked": lambda: flow(Make(), Take(), wired=False).build(),
    "wire to a routine outside": lambda: flow(Make(), Take(), wires=lambda a, _: [Wire(a, Take())]).build(),
    "wire twice": lambda: flow(Make(), Take(), wired=False, wires=two_wires).build(),
    "wire to itself": lambda: flow(Make(), Pass(), Take(), wires=lambda _, b, c: [Wire(b, b)]).build(),
    "wire into a source": lambda: flow(Make(), Make()).build(),
    "wire out of a destination": lambda: flow(Make(), Take(), Take()).build(),
    "middle without input": lambda: flow(Pass(), Take()).build(),
    "middle without output": lambda: flow(Make(), Pass()).build(),
    "input without main_logic": lambda: flow(Make(), OnlyHears()).build(),
    "main_logic without data": lambda: flow(Make(), Forgets()).build(),
    "source with data": lambda: flow(Wants(), Take()).build(),
    "async generator": lambda: flow(Make(), Streams()).build(),
    "no concurrency": lambda: flow(Make(), destination(print, concurrency=0)).build(),
    "middle with a bound": lambda: flow(Make(), Bounded(), Take()).build(),
    "bound without acknowledgements": lambda: flow(source(print, max_in_flight=1), Take()).build(),
    "unknown dependency": lambda: depending("second", on="frist"),
    "circle of dependencies": lambda: depending("first", on="first"),
    "keys without a store": lambda: flow(Make(), destination(print, idempotency_key=str)).build(),
    "call of nobody who runs": call_at_rest,
    "call outside a pipe": lambda: Make().call("x", 1),
    "type hints": lambda: flow(Make(), Counts()).build(),
    "lossless circle": lambda: flow(Make(), Pass(), Pass(), Take(), wired=False, wires=circle).build(),
    "lock as attribute": lambda: flow(Locked("a"), Take()).build(),
    "unknown event": lambda: built_and_asked("ZOM"),
    "unknown flow": lambda: built_and_asked("ZOOM", {"al": []}),
    "unknown routine": lambda: built_and_asked("ZOOM", {"all": ["tak"]}),
    "targets as list": lambda: built_and_asked("ZOOM", ["all"]),
    "routines as text": lambda: built_and_asked("ZOOM", {"all": "take"}),
    "parameter too small": lambda: Steps("a").set_step(0),
    "parameter too large": lambda: Steps("a").set_step(10),
    "parameter of another type": lambda: Steps("a").set_step("many"),
    "unknown parameter": lambda: flow(Steps("a"), Take()).set_parameters("a", {"stpe": 2}),
    "parameter of an odd type": lambda: Parameter([1]),
    "parameter without values": lambda: Parameter(1, minimum=2, maximum=1),
    "late input": late_input,
    "unknown wire": lambda: flow(Make("make"), Pass("pass"), Take("take")).unlink("make", "take"),
    "restart before build": lambda: flow(Make(), Take()).restart_flow("all"),
    "inline restart": inline_restart,
    "port taken": port_taken,
    "no token beyond loopback": lambda: ControlServer(ControlService(Pipe()), host="0.0.0.0", tokens=Tokens()).start(),
    "short token": lambda: Tokens([("short", Scope.READ)]),
    "zerorpc beyond loopback": lambda: RPCPipeWrapper(Pipe()).start_rpc_server("tcp://0.0.0.0:1234"),
    "nobody listens": lambda: PipeClient("http://127.0.0.1:9").status(),
    "no pipe runs": lambda: choose([], None),
    "lock as parameter": lambda: built_and_asked("ZOOM", lock=threading.Lock()),
    "event outside a pipe": lambda: Make().notify_event("ZOOM"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_message_of_a_mistake_is_listed_under_troubleshooting(mistake: str) -> None:
    with pytest.raises((PipertError, TypeError, ValueError, RuntimeError)) as caught:
        MISTAKES[mistake]()

    error = caught.value
    for text in error.problems if isinstance(error, PipeBuildError) else (str(error),):
        assert any(matches(listed, f"{text}\n") for listed in LISTED), text


@pytest.mark.expects_errors
def test_log_lines_of_failing_routines_are_listed_under_troubleshooting(caplog: pytest.LogCaptureFixture) -> None:
    class Fails(Pass):
        def setup(self) -> None:
            if self.name == "c":
                raise OSError("no camera")

        def main_logic(self, data: Any) -> Any:
            if self.name == "a":
                raise ValueError("no number")
            return threading.Lock()

    @source
    def numbers() -> Iterator[int]:
        yield 1

    pipe = Pipe(lossless=True)
    a, b, c, take = Fails("a"), Fails("b"), Fails("c"), Take("take")
    pipe.create_flow("one", False, numbers, a, b, c)
    pipe.create_flow("two", False, take)
    pipe.link(Wire(numbers, (a, b, c)), Wire(a, take), Wire(b, take), Wire(c, take))
    with caplog.at_level(logging.ERROR):
        pipe.build()
        pipe.notify_event("start", wait=60.0)
        wait_until(lambda: sum(routine.errors for routine in pipe.status().routines) == 3)
        pipe.join(to_kill=True)

    lines = [record.getMessage().splitlines()[0] for record in caplog.records]
    assert len(lines) == 3
    for line in lines:
        assert any(matches(listed, f"{line}\n") for listed in LISTED), line
