"""The pipe object before its processes run: what it takes, what it refuses, what it says about itself."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pipert2 import (
    BasicTransmitter,
    MiddleRoutine,
    Pipe,
    PipeBuildError,
    PipeState,
    PipeStateError,
    QueueNetwork,
    Restart,
    SharedMemoryTransmitter,
    UnknownEventError,
    UnknownFlowError,
    UnknownRoutineError,
    Wire,
    destination,
    events,
    source,
)
from pipert2.runtime.flow.host import FlowHost
from pipert2.testing import CollectingDestination, ListSource


class Zoom(MiddleRoutine):
    @events("ZOOM")
    def zoom(self, factor: int = 2) -> int:
        return factor

    def main_logic(self, data: Any) -> Any:
        return data


def show(data: Any) -> None: ...


def pair() -> tuple[ListSource, Any]:
    return ListSource([1, 2, 3], "numbers"), destination(show, name="show")


def a_pipe(**options: Any) -> Pipe:
    pipe = Pipe("shop", inline=True, **options)
    pipe.create_flow("all", True, *pair())
    return pipe


# ------------------------------------------------------------------------------------------------ arguments


def test_a_pipe_without_arguments_can_be_made() -> None:
    assert Pipe().status().state is PipeState.NEW


def test_automatic_names_are_unique() -> None:
    assert Pipe().name != Pipe().name


def test_a_pipe_logs_under_its_name_or_where_it_is_told() -> None:
    mine = logging.getLogger("mine")
    assert Pipe("shop").logger is logging.getLogger("pipert2.shop")
    assert Pipe("shop", logger=mine).logger is mine


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"data_transmitter": BasicTransmitter}, r"Pipe\(data_transmitter=...\): .*BasicTransmitter"),
        ({"data_transmitter": "shared"}, r"Pipe\(data_transmitter=...\): 'shared' is not a data transmitter"),
        ({"network": QueueNetwork}, r"Pipe\(network=...\): .* is not a QueueNetwork's instance"),
        ({"network": {}}, r"Pipe\(network=...\): {} is not a QueueNetwork's instance"),
        ({"inlined": True}, "unexpected keyword argument 'inlined'"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Pipe(**options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"hang_timeout": 0}, r"Pipe\(hang_timeout=...\) is a time in seconds above 0, not 0"),
        ({"hang_timeout": -1.0}, r"Pipe\(hang_timeout=...\) is a time in seconds above 0, not -1.0"),
        ({"kill_timeout": -1}, r"Pipe\(kill_timeout=...\) is a time in seconds, 0 or more, not -1"),
        ({"kill_timeout": float("nan")}, r"Pipe\(kill_timeout=...\) is a time in seconds, 0 or more, not nan"),
        ({"restart": -1}, r"Restart\(times=...\) is a whole number, 0 or more, not -1"),
        ({"restart": 1.5}, r"Restart\(times=...\) is a whole number, 0 or more, not 1.5"),
        ({"restart": True}, r"Restart\(times=...\) is a whole number, 0 or more, not True"),
        ({"start_method": "thread"}, r"Pipe\(start_method=...\): this platform has .*, not 'thread'"),
    ],
)
def test_an_argument_of_a_wrong_value_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Pipe(**options)


def test_restarts_may_be_told_in_full() -> None:
    Pipe(restart=Restart(times=1, window=5.0, backoff=0.0))


# ------------------------------------------------------------------------------------------------ create_flow


def test_a_flows_name_is_a_text() -> None:
    for name in ("", None, 5):
        with pytest.raises(TypeError, match=f"create_flow: a flow's name is a non-empty text, not {name!r}"):
            Pipe().create_flow(name, True, *pair())  # type: ignore[arg-type]


def test_a_forgotten_auto_wire_is_told() -> None:
    numbers, end = pair()
    with pytest.raises(TypeError) as caught:
        Pipe().create_flow("all", numbers, end)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "create_flow('all', ...): the second argument, auto_wire, is True or False, not <ListSource 'numbers'>"
    )


def test_a_class_in_place_of_a_routine_gets_the_hint() -> None:
    with pytest.raises(
        TypeError, match=r"create_flow\('all', ...\): .* is not a routine, create an instance of the class"
    ):
        Pipe().create_flow("all", True, ListSource)  # type: ignore[arg-type]


def test_a_function_in_place_of_a_routine_is_named() -> None:
    with pytest.raises(
        TypeError, match=r"<function show at .*> is not a routine, make it one with @source, @middle or"
    ):
        Pipe().create_flow("all", True, show)  # type: ignore[arg-type]


def test_a_transmitter_that_is_none_is_told_and_changes_nothing() -> None:
    pipe = Pipe()
    for routines in (pair(), pair()[:1]):
        with pytest.raises(TypeError, match="data_transmitter"):
            pipe.create_flow("all", True, *routines, data_transmitter=SharedMemoryTransmitter)  # type: ignore[arg-type]
    pipe.create_flow("all", True, *pair())


def test_two_flows_of_one_name() -> None:
    pipe = a_pipe()
    with pytest.raises(PipeBuildError) as caught:
        pipe.create_flow("all", False)
    assert caught.value.problems == ("there are two flows 'all': give them different names",)


def test_one_routine_in_two_flows() -> None:
    pipe, (numbers, end) = Pipe(), pair()
    pipe.create_flow("one", True, numbers, end)
    with pytest.raises(PipeBuildError) as caught:
        pipe.create_flow("two", True, numbers)
    assert caught.value.problems == (
        "<ListSource 'numbers'> is in flow 'one' already: create another instance for flow 'two'",
    )


def test_one_routine_twice_in_a_flow() -> None:
    numbers, end = pair()
    with pytest.raises(PipeBuildError) as caught:
        Pipe().create_flow("one", True, numbers, end, end)
    assert caught.value.problems == (
        "<FunctionDestination 'show'> is in flow 'one' already: create another instance for flow 'one'",
    )


def test_a_refused_flow_leaves_the_pipe_as_it_was() -> None:
    pipe = a_pipe()
    before = pipe.get_pipe_structure()
    with pytest.raises(TypeError):
        pipe.create_flow("more", True, Zoom("zoom"), 5)  # type: ignore[arg-type]
    assert pipe.get_pipe_structure() == before


@pytest.mark.parametrize("names", ["other", 3, None, [3], [""], (name for name in ("other",))])
def test_names_are_given_as_a_list(names: Any) -> None:
    with pytest.raises(TypeError, match=r"depends_on=\.\.\.\) is a list of flows' names, not"):
        Pipe().create_flow("all", True, *pair(), depends_on=names)
    with pytest.raises(TypeError, match=r"requires=\.\.\.\) is a list of names, as in"):
        Pipe(requires=names)


def test_a_store_that_is_no_path_is_refused() -> None:
    with pytest.raises(TypeError, match=r'a store is the path of a file, as in "run\.db", not 3'):
        Pipe(store=3)  # type: ignore[arg-type]


def test_routines_know_their_flow() -> None:
    pipe, (numbers, end) = Pipe(), pair()
    pipe.create_flow("one", False, numbers)
    pipe.create_flow("two", False, end)
    assert (numbers.flow_name, end.flow_name) == ("one", "two")


def test_functions_of_the_same_name_get_names_of_their_own() -> None:
    pipe = Pipe()
    first, second = destination(show), destination(show)
    pipe.create_flow("all", False, first, second)
    assert first.name == "show"
    assert second.name != "show"


# ------------------------------------------------------------------------------------------------ link and unlink


def wires(pipe: Pipe) -> list[tuple[str, list[str], bool]]:
    return [(wire["source"], wire["destinations"], wire["lossless"]) for wire in pipe.get_pipe_structure()["Wires"]]


def test_auto_wire_wires_in_order() -> None:
    pipe = Pipe(inline=True)
    pipe.create_flow("all", True, ListSource([], "a"), Zoom("b"), destination(show, name="c"))
    assert wires(pipe) == [("a", ["b"], False), ("b", ["c"], False)]


def test_without_auto_wire_there_are_no_wires() -> None:
    pipe = Pipe()
    pipe.create_flow("all", False, *pair())
    assert wires(pipe) == []


@pytest.mark.parametrize("thing", [5, None, "a"])
def test_what_is_no_wire_cannot_be_linked(thing: Any) -> None:
    with pytest.raises(TypeError) as caught:
        Pipe().link(thing)
    assert str(caught.value) == (f"link takes wires, as in link(Wire(source=a, destinations=(b,))), not {thing!r}")


def fan_out() -> tuple[Pipe, Any, Any, Any]:
    pipe, a = Pipe("shop"), ListSource([], "a")
    b, c = destination(show, name="b"), destination(show, name="c")
    pipe.create_flow("all", False, a, b, c)
    pipe.link(Wire(a, (b, c), lossless=True, capacity=5))
    return pipe, a, b, c


def test_unlinking_before_the_start_takes_one_destination_out() -> None:
    pipe, a, b, _ = fan_out()
    pipe.unlink(a, b)
    assert wires(pipe) == [("a", ["c"], True)]


def test_unlinking_the_last_destination_takes_the_wire_away() -> None:
    pipe, a, b, c = fan_out()
    pipe.unlink(a, b)
    pipe.unlink(a, c)
    assert wires(pipe) == []


def test_unlinking_takes_names_too() -> None:
    pipe, *_ = fan_out()
    pipe.unlink("a", "c")
    assert wires(pipe) == [("a", ["b"], True)]


def test_unlinking_an_unknown_routine() -> None:
    pipe, *_ = fan_out()
    with pytest.raises(UnknownRoutineError) as caught:
        pipe.unlink("a", "d")
    assert str(caught.value) == "pipe 'shop' has no routine 'd': known are 'a', 'b', 'c'"


def test_unlinking_what_is_not_linked() -> None:
    pipe, *_ = fan_out()
    with pytest.raises(UnknownRoutineError) as caught:
        pipe.unlink("b", "c")
    assert "has no wire 'b -> c'" in str(caught.value)


# ------------------------------------------------------------------------------------------------ build


def test_all_problems_come_in_one_error() -> None:
    pipe = Pipe(inline=True)
    pipe.create_flow("empty", True)
    pipe.create_flow("floating", True, Zoom("zoom"))
    with pytest.raises(PipeBuildError) as caught:
        pipe.build()
    assert len(caught.value.problems) == 2
    assert str(caught.value).startswith("the pipe cannot be built, 2 problems:\n  1. ")


def test_a_pipe_that_could_not_be_built_can_be_mended() -> None:
    pipe, (numbers, end) = Pipe(inline=True), pair()
    pipe.create_flow("all", False, numbers, end)
    with pytest.raises(PipeBuildError):
        pipe.build()
    pipe.link(Wire(numbers, end, lossless=True))
    assert pipe.run(timeout=60.0).ok


@pytest.mark.parametrize("what", ["create_flow", "build"])
def test_a_built_pipe_takes_no_more(what: str) -> None:
    pipe = a_pipe()
    calls = {
        "create_flow": lambda: pipe.create_flow("more", True, Zoom()),
        "build": pipe.build,
    }
    with pipe:
        pipe.build()
        with pytest.raises(PipeStateError, match="pipe 'shop' is built already"):
            calls[what]()


@pytest.mark.parametrize("what", ["create_flow", "link", "build", "notify_event"])
def test_an_ended_pipe_takes_no_more(what: str) -> None:
    pipe = a_pipe()
    pipe.run(timeout=60.0)
    calls = {
        "create_flow": lambda: pipe.create_flow("more", True, Zoom()),
        "link": lambda: pipe.link(),
        "build": pipe.build,
        "notify_event": lambda: pipe.notify_event("start"),
    }
    with pytest.raises(PipeStateError, match="pipe 'shop' has ended, create a new one"):
        calls[what]()


@pytest.mark.parametrize("event", ["stop", "kill"])
def test_stopping_an_ended_pipe_does_nothing(event: str) -> None:
    pipe = a_pipe()
    pipe.run(timeout=60.0)
    assert pipe.notify_event(event) is None
    assert pipe.notify_event(event, wait=1.0) == {}


def test_joining_a_pipe_that_was_never_built_returns() -> None:
    Pipe().join()
    Pipe().join(to_kill=True)


def test_a_pipe_can_be_joined_twice() -> None:
    pipe = a_pipe()
    pipe.build()
    pipe.join(to_kill=True)
    pipe.join(to_kill=True)
    assert pipe.status().state is PipeState.ENDED


def test_leaving_a_with_block_ends_the_pipe() -> None:
    with a_pipe() as pipe:
        pipe.notify_event("start")
    assert pipe.status().state is PipeState.ENDED


# ------------------------------------------------------------------------------------------------ events


@pytest.fixture
def zooming() -> Any:
    pipe = Pipe("shop", inline=True)
    pipe.create_flow("all", True, ListSource([], "numbers"), Zoom("zoom"), destination(show, name="show"))
    with pipe:
        pipe.build()
        yield pipe


def test_an_event_comes_back_with_what_the_handler_returned(zooming: Pipe) -> None:
    results = zooming.notify_event("ZOOM", {"all": ["zoom"]}, wait=30.0, factor=3)
    assert results is not None
    assert results["zoom"].unwrap() == 3


@pytest.mark.parametrize(
    ("event", "targets", "error", "text"),
    [
        ("ZOM", None, UnknownEventError, "did you mean 'ZOOM'?"),
        ("ZOOM", {"al": []}, UnknownFlowError, "did you mean 'all'?"),
        ("ZOOM", {"all": ["zom"]}, UnknownRoutineError, "did you mean 'zoom'?"),
        ("ZOOM", {"all": ["show"]}, UnknownEventError, "routine 'show' has no handler"),
    ],
)
def test_a_mistyped_event_gets_the_nearest_name(
    zooming: Pipe, event: str, targets: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        zooming.notify_event(event, targets)
    assert text in str(caught.value)


@pytest.mark.parametrize("wait", [-1.0, float("nan")])
def test_a_time_to_wait_is_a_time(zooming: Pipe, wait: float) -> None:
    with pytest.raises(ValueError, match=r"notify_event\(wait=...\) is a time in seconds, 0 or more, not"):
        zooming.notify_event("ZOOM", wait=wait)


@pytest.mark.expects_errors
@pytest.mark.parametrize(("fails", "state"), [(False, "running"), (True, "failed")])
def test_who_waited_for_a_start_finds_the_routine_running_or_failed(
    monkeypatch: pytest.MonkeyPatch, fails: bool, state: str
) -> None:
    class Opens(Zoom):
        def setup(self) -> None:
            if fails:
                raise OSError("no camera")

    pipe, found = Pipe("shop", inline=True), []
    pipe.create_flow("all", True, ListSource([], "numbers"), Opens("zoom"), destination(show, name="show"))
    answer = FlowHost.answer

    def look_and_answer(host: FlowHost, number: int, routine: int, *what: Any) -> None:
        found.append(pipe.status().routines[routine])
        answer(host, number, routine, *what)

    with pipe:
        pipe.build()
        monkeypatch.setattr(FlowHost, "answer", look_and_answer)
        pipe.notify_event("start", {"all": ["zoom"]}, wait=30.0)
        monkeypatch.undo()
    assert [(routine.name, routine.state) for routine in found] == [("zoom", state)]


# ------------------------------------------------------------------------------------------------ what it says


def test_the_structure_names_routines_events_and_wires() -> None:
    pipe = Pipe(lossless=True)
    pipe.create_flow("in", False, ListSource([], "numbers"))
    zoom, end = Zoom("zoom"), destination(show, name="show")
    pipe.create_flow("out", True, zoom, end)
    assert pipe.get_pipe_structure() == {
        "Routines": [
            {"flow_name": "in", "routine_name": "numbers", "events": []},
            {"flow_name": "out", "routine_name": "zoom", "events": ["ZOOM"]},
            {"flow_name": "out", "routine_name": "show", "events": []},
        ],
        "Events": ["start", "stop", "kill"],
        "Wires": [{"source": "zoom", "destinations": ["show"], "lossless": True}],
    }


def test_a_new_pipe_has_a_status_without_anything() -> None:
    status = Pipe("shop").status()
    assert (status.name, status.state, status.routines) == ("shop", PipeState.NEW, ())


def test_a_pipe_shows_its_name_and_flows() -> None:
    assert repr(a_pipe()) == "<Pipe 'shop', 1 flows>"


def test_a_run_in_this_process_collects_everything() -> None:
    seen = CollectingDestination("seen")
    pipe = Pipe(inline=True, lossless=True)
    pipe.create_flow("all", True, ListSource(range(100), "numbers"), Zoom("zoom"), seen)
    summary = pipe.run(timeout=60.0)
    assert (summary.ok, summary.reason, summary.errors) == (True, "finished", 0)
    assert seen.items() == list(range(100))


def test_a_summary_can_be_read() -> None:
    pipe = Pipe(inline=True, lossless=True)
    pipe.create_flow("all", True, source(lambda: iter(()), name="endless"), destination(show, name="show"))
    summary = pipe.run(timeout=0.0)
    assert summary.reason == "timeout"
    assert str(summary).splitlines()[0].startswith("ok (timeout) after ")
    assert "  show: received " in str(summary)
