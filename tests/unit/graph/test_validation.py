"""Every mistake that can be seen before a process starts, in the words that a user reads."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from pipert2 import (
    DestinationRoutine,
    MiddleRoutine,
    QueueNetwork,
    Routine,
    SourceRoutine,
    Wire,
    destination,
    events,
    middle,
    source,
)
from pipert2.graph.validation import problems


class Camera(SourceRoutine):
    def main_logic(self) -> int:
        return 1


class Blur(MiddleRoutine):
    def main_logic(self, data: Any) -> Any:
        return data


class Show(DestinationRoutine):
    def main_logic(self, data: Any) -> None: ...


class Callable_(Routine):  # noqa: N801
    """Handles an event and nothing else."""

    @events("ASK")
    def ask(self) -> None: ...


class Empty(Routine):
    pass


class Free(Routine):
    def main_logic(self, *data: Any) -> Any:
        return data


def found(
    flows: dict[str, list[Routine]],
    wires: list[Wire] | None = None,
    *,
    network: QueueNetwork | None = None,
    lossless: bool = False,
) -> list[str]:
    return problems(flows, wires or [], network=network or QueueNetwork(), lossless=lossless)


def chain(*routines: Routine) -> list[Wire]:
    return [Wire(one, other) for one, other in pairwise(routines)]


def linked(*routines: Routine) -> list[str]:
    return found({"flow": list(routines)}, chain(*routines))


# ------------------------------------------------------------------------------------------------ nothing wrong


def test_a_pipe_in_order_has_no_problems() -> None:
    assert linked(Camera("a"), Blur("b"), Show("c")) == []


def test_flows_may_be_linked_in_any_way() -> None:
    a, b, c, d = Camera("a"), Blur("b"), Blur("c"), Show("d")
    assert found({"1": [a, d], "2": [b, c]}, [Wire(a, (b, c)), Wire(b, d), Wire(c, d)]) == []


def test_a_routine_that_only_handles_events_needs_no_wire() -> None:
    assert found({"flow": [Camera("a"), Show("b"), Callable_("c")]}, chain(Camera("a"))) != []
    a, b = Camera("a"), Show("b")
    assert found({"flow": [a, b, Callable_("c")]}, [Wire(a, b)]) == []


def test_a_plain_routine_may_be_anywhere() -> None:
    assert linked(Free("a"), Free("b"), Free("c")) == []


def test_a_built_in_function_that_hides_its_signature_passes() -> None:
    assert linked(Camera("a"), middle(max, name="b"), destination(print)) == []


# ------------------------------------------------------------------------------------------------ flows and names


def test_a_pipe_without_flows() -> None:
    assert found({}) == ["it has no flows: add one with create_flow(name, auto_wire, *routines)"]


def test_a_flow_without_routines() -> None:
    a, b = Camera("a"), Show("b")
    assert found({"full": [a, b], "empty": []}, [Wire(a, b)]) == [
        "flow 'empty' has no routines: name at least one in create_flow('empty', ...)"
    ]


@pytest.mark.parametrize("name", ["", 5])
def test_a_name_that_is_no_name(name: Any) -> None:
    assert linked(Camera(name), Show("b")) == [f"Camera: a routine's name is a non-empty text, not {name!r}"]


def test_a_name_that_two_routines_have() -> None:
    assert linked(Camera("a"), Blur("a"), Show("c")) == [
        "2 routines are named 'a': names are unique within a pipe, give them different ones"
    ]


def test_a_name_that_routines_of_different_flows_have() -> None:
    a, b, c = Camera("same"), Blur("b"), Show("same")
    assert found({"1": [a, b], "2": [c]}, chain(a, b, c)) == [
        "2 routines are named 'same': names are unique within a pipe, give them different ones"
    ]


# ------------------------------------------------------------------------------------------------ wires


def test_a_wire_to_a_routine_in_no_flow() -> None:
    a, b, stray = Camera("a"), Show("b"), Show("stray")
    assert found({"flow": [a, b]}, [Wire(a, (b, stray))]) == [
        "a wire from 'a' names the routine 'stray', which is in no flow of this pipe: put it into one with create_flow"
    ]


def test_a_wire_from_a_routine_in_no_flow() -> None:
    stray, a, b = Camera("stray"), Blur("a"), Show("b")
    assert found({"flow": [a, b]}, chain(stray, a, b)) == [
        "a wire from 'stray' names the routine 'stray', which is in no flow of this pipe: "
        "put it into one with create_flow"
    ]


def test_a_wire_to_another_object_of_the_same_name() -> None:
    a, b = Camera("a"), Show("b")
    assert found({"flow": [a, b]}, [Wire(a, b), Wire(a, Show("b"))])[0] == (
        "a wire from 'a' names the routine 'b', which is in no flow of this pipe: "
        "another object of that name is, use that one in the wire"
    )


def test_two_wires_between_the_same_routines() -> None:
    a, b = Camera("a"), Show("b")
    assert found({"flow": [a, b]}, [Wire(a, b), Wire(a, b)]) == [
        "'a' is linked to 'b' 2 times: keep one of these wires"
    ]


def test_the_same_destination_twice_in_a_wire() -> None:
    a, b = Camera("a"), Show("b")
    assert found({"flow": [a, b]}, [Wire(a, (b, b))]) == ["'a' is linked to 'b' 2 times: keep one of these wires"]


def test_a_routine_linked_to_itself() -> None:
    a, b, c = Camera("a"), Blur("b"), Show("c")
    assert found({"flow": [a, b, c]}, [Wire(a, b), Wire(b, (c, b))]) == [
        "'b' is linked to itself: a routine cannot be its own destination"
    ]


# ------------------------------------------------------------------------------------------------ places


@pytest.mark.parametrize("floating", [Camera("x"), Blur("x"), Show("x"), Free("x"), Empty("x")], ids=repr)
def test_a_routine_without_any_wire(floating: Routine) -> None:
    a, b = Camera("a"), Show("b")
    service = "" if isinstance(floating, Camera) else ", or say service=True if it is there to be called"
    assert found({"flow": [a, b, floating]}, [Wire(a, b)]) == [
        f"{type(floating).__name__} 'x' is not linked to anything: wire it with create_flow(..., True, ...) or "
        f"link(Wire(...)){service}"
    ]


@pytest.mark.parametrize("called", [Blur("x"), Show("x")], ids=repr)
def test_a_service_needs_no_wire(called: Routine) -> None:
    called.service = True
    assert found({"flow": [called]}, []) == []


def test_a_source_with_a_trigger_needs_no_wire() -> None:
    assert found({"flow": [source(lambda: None, name="x", trigger="hourly")]}, []) == []


def test_a_wire_into_a_source() -> None:
    assert linked(Camera("a"), Camera("b")) == [
        "Camera 'b' is a source but a wire leads into it: make it a MiddleRoutine or take the wire away"
    ]


def test_a_wire_out_of_a_destination() -> None:
    assert linked(Camera("a"), Show("b"), Show("c")) == [
        "Show 'b' is a destination but a wire leads out of it: make it a MiddleRoutine or take the wire away"
    ]


def test_a_middle_without_input() -> None:
    assert linked(Blur("a"), Show("b")) == ["Blur 'a' has no input: link a routine to it, or make it a SourceRoutine"]


def test_a_middle_without_output() -> None:
    assert linked(Camera("a"), Blur("b")) == [
        "Blur 'b' has no output: link it to a routine, or make it a DestinationRoutine"
    ]


def test_a_routine_that_gets_data_and_has_no_logic() -> None:
    assert linked(Camera("a"), Callable_("b")) == [
        "Callable_ 'b' has an input but no main_logic(self, data): write one"
    ]


# ------------------------------------------------------------------------------------------------ functions


def no_argument() -> None: ...
def two_arguments(one: Any, other: Any) -> None: ...
def three_arguments(one: Any, other: Any, third: Any) -> None: ...
def only_by_name(*, data: Any) -> None: ...
def one_and_more(data: Any, scale: float = 1.0, *rest: Any, **options: Any) -> None: ...


class TakesNothing(DestinationRoutine):
    def main_logic(self) -> None: ...  # type: ignore[override]


class TakesData(SourceRoutine):
    def main_logic(self, data: Any) -> None: ...  # type: ignore[override]


@pytest.mark.parametrize(
    "end",
    [
        destination(no_argument, name="b"),
        destination(three_arguments, name="b"),
        destination(only_by_name, name="b"),
        TakesNothing("b"),
    ],
    ids=["none", "three", "by name", "method"],
)
def test_a_function_that_does_not_take_the_data(end: Routine) -> None:
    assert linked(Camera("a"), end) == [f"{type(end).__name__} 'b': its main_logic must take one argument, the data"]


def test_a_function_that_takes_the_routine_as_well() -> None:
    assert linked(Camera("a"), destination(two_arguments, name="b")) == []


@pytest.mark.parametrize("start", [source(two_arguments, name="a"), TakesData("a")], ids=["function", "method"])
def test_a_source_that_wants_an_argument(start: Routine) -> None:
    assert linked(start, Show("b")) == [
        f"{type(start).__name__} 'a': its main_logic must take no argument, since no wire leads into it"
    ]


@pytest.mark.parametrize(
    "function",
    [one_and_more, functools.partial(two_arguments, 1), lambda data: data, lambda *data: data, print],
    ids=["defaults", "partial", "lambda", "any number", "built-in"],
)
def test_a_function_that_can_take_the_data_passes(function: Callable[..., Any]) -> None:
    assert linked(Camera("a"), destination(function, name="b")) == []


async def coroutine(data: Any = None) -> None: ...


async def async_generator() -> AsyncIterator[int]:
    yield 1


class AsyncMiddle(MiddleRoutine):
    async def main_logic(self, data: Any) -> Any:
        return data


@pytest.mark.parametrize(
    "routines",
    [
        (source(coroutine, name="x"), Show("c")),
        (source(async_generator, name="x"), Show("c")),
        (Camera("a"), AsyncMiddle("x"), Show("c")),
        (Camera("a"), destination(coroutine, name="x")),
    ],
    ids=["source", "generator", "middle", "destination"],
)
def test_an_async_function(routines: tuple[Routine, ...]) -> None:
    assert linked(*routines) == []


async def async_generator_of(data: Any) -> AsyncIterator[Any]:
    yield data


def test_an_async_generator_that_is_no_source() -> None:
    assert linked(Camera("a"), destination(async_generator_of, name="x")) == [
        "FunctionDestination 'x': its main_logic is an async generator; only a source's may be, write a plain "
        "generator or return a list"
    ]


def generating(data: Any = None) -> Iterator[Any]:
    yield data


class GeneratingMiddle(MiddleRoutine):
    def main_logic(self, data: Any) -> Iterator[Any]:
        yield data


@pytest.mark.parametrize(
    "routines",
    [
        (Camera("a"), middle(generating, name="x"), Show("c")),
        (Camera("a"), GeneratingMiddle("x"), Show("c")),
        (Camera("a"), destination(generating, name="x")),
    ],
    ids=["function", "method", "destination"],
)
def test_a_generator_function_that_is_no_source(routines: tuple[Routine, ...]) -> None:
    assert linked(*routines) == []


def test_a_generator_function_as_a_source() -> None:
    assert linked(source(generating), Show("b")) == []


@pytest.mark.parametrize(
    ("name", "value"), [("concurrency", 0), ("concurrency", "two"), ("concurrency", True), ("retries", -1)]
)
def test_an_option_that_is_no_number_of_it(name: str, value: object) -> None:
    end = Show("b")
    setattr(end, name, value)
    assert linked(Camera("a"), end) == [
        f"Show 'b': {name} is a whole number, {0 if name == 'retries' else 1} or more, not {value!r}"
    ]


def test_a_bound_on_what_is_in_flight_where_nothing_is_acknowledged() -> None:
    assert linked(source(lambda: 1, name="a", max_in_flight=2), Show("b")) == [
        "FunctionSource 'a': max_in_flight needs acknowledgements, and the wire to 'b' has none: make the pipe "
        "lossless (Pipe(lossless=True)) and the wire no exception"
    ]


# ------------------------------------------------------------------------------------------------ type hints


def test_type_hints_that_contradict_each_other() -> None:
    @source
    def numbers() -> int:
        return 1

    @destination
    def show(text: str) -> None: ...

    assert linked(numbers, show) == [
        "'numbers' returns int but 'show' takes str: mend one of the two type hints, or put a routine between them"
    ]


def test_each_contradicting_pair_is_told() -> None:
    @source
    def numbers() -> int:
        return 1

    @middle
    def parse(text: str) -> bytes:
        return b""

    @destination
    def show(value: dict) -> None: ...  # type: ignore[type-arg]

    assert len(linked(numbers, parse, show)) == 2


# ------------------------------------------------------------------------------------------------ circles


def circle(*, lossless: bool = False, **rules: bool | None) -> list[str]:
    """a -> b -> c -> d, and c -> b; rules are those of b's and c's wires in the circle."""
    a, b, c, d = Camera("a"), Blur("b"), Blur("c"), Show("d")
    wires = [
        Wire(a, b),
        Wire(b, c, lossless=rules.get("there")),
        Wire(c, b, lossless=rules.get("back")),
        Wire(c, d),
    ]
    return found({"flow": [a, b, c, d]}, wires, lossless=lossless)


def test_a_circle_of_lossless_wires() -> None:
    assert circle(there=True, back=True) == [
        "lossless wires form a cycle (b -> c -> b) that would stop for ever once full: make one of them real-time "
        "(lossless=False), or say which of them leads back (feedback=True)"
    ]


def test_a_circle_with_a_wire_that_is_said_to_lead_back_passes() -> None:
    a, b, c, d = Camera("a"), Blur("b"), Blur("c"), Show("d")
    wires = [Wire(a, b), Wire(b, c), Wire(c, b, feedback=True), Wire(c, d)]
    assert found({"flow": [a, b, c, d]}, wires, lossless=True) == []


def test_a_circle_with_a_real_time_wire_passes() -> None:
    assert circle(there=True, back=False) == []
    assert circle(there=False, back=True) == []
    assert circle() == []


def test_a_circle_that_is_lossless_because_the_pipe_is() -> None:
    assert len(circle(lossless=True)) == 1
    assert circle(lossless=True, back=False) == []


def test_a_circle_that_is_lossless_because_the_network_is() -> None:
    a, b, c, d = Camera("a"), Blur("b"), Blur("c"), Show("d")
    wires = [*chain(a, b, c, d), Wire(c, b)]
    assert len(found({"flow": [a, b, c, d]}, wires, network=QueueNetwork(put_block=True))) == 1


def test_every_circle_is_told() -> None:
    a, b, c, d, e, f = Camera("a"), Blur("b"), Blur("c"), Blur("d"), Blur("e"), Show("f")
    wires = [*chain(a, b, c, d, e, f), Wire(c, b), Wire(e, d)]
    texts = found({"flow": [a, b, c, d, e, f]}, wires, lossless=True)
    assert len(texts) == 2
    assert "(b -> c -> b)" in " ".join(texts)
    assert "(d -> e -> d)" in " ".join(texts)


def test_branches_that_meet_again_are_no_circle() -> None:
    a, b, c, d = Camera("a"), Blur("b"), Blur("c"), Show("d")
    wires = [Wire(a, (b, c)), Wire(b, d), Wire(c, d), Wire(b, c)]
    assert found({"flow": [a, b, c, d]}, wires, lossless=True) == []


# ------------------------------------------------------------------------------------------------ all of it


def test_all_problems_are_found_at_once() -> None:
    a, b, c = Camera("a"), Blur("b"), Show("b")
    floating = Show("floating")
    stray = Show("stray")
    texts = found({"flow": [a, b, c, floating], "empty": []}, [Wire(a, (b, stray)), Wire(b, c)])
    assert len(texts) == 4
    for part in (
        "flow 'empty'",
        "2 routines are named 'b'",
        "'stray', which is in no flow",
        "Show 'floating' is not linked",
    ):
        assert any(part in text for text in texts)


def test_a_bad_name_does_not_hide_other_problems() -> None:
    a, b, stray = Camera(5), Show("b"), Show("stray")  # type: ignore[arg-type]
    texts = found({"flow": [a, b]}, [Wire(a, (b, stray))])
    assert len(texts) == 2
