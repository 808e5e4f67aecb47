"""Errors keep what they know, travel between processes, and say what to do."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipert2
from pipert2 import errors
from pipert2.errors import PipertError, nearest, readable_size

EXAMPLES = [
    errors.PipertError("something"),
    errors.PipeBuildError(["first", "second"]),
    errors.PipeStateError("it has ended"),
    errors.UnknownNameError("lft", ["left", "right"]),
    errors.UnknownFlowError("cam", ["cams"]),
    errors.UnknownRoutineError("lft", ("left",), "flow 'cams'"),
    errors.UnknownWireError("a -> b", ["b -> a"]),
    errors.LinkError("tcp/127.0.0.1:7447", "it is taken"),
    errors.UnknownEventError("ZOM", ["ZOOM"], "pipe 'x'"),
    errors.FlowStartError("cams", "its process ended"),
    errors.EventHandlerError("left", "ZOOM", "ValueError: no", "Traceback ..."),
    errors.EventTimeoutError("left", "ZOOM", "too late"),
    errors.CallError("upper", "ValueError: no", "Traceback ..."),
    errors.CallTimeoutError("upper", "it did not answer in time"),
    errors.SharedMemoryFullError(6_220_800, 1024),
    errors.SharedMemoryFullError(1, 2, "this pool"),
    errors.UnsendableDataError("data of type generator", "TypeError: no"),
    errors.UnreadableDataError("left", "KeyError: 'x'"),
    errors.UnknownParameterError("gian", ["gain"], "routine 'camera'"),
    errors.UnknownDeadLetterError("7", ["1"], "pipe 'x'"),
    errors.ParameterError("camera", "gain", 9, "is at most 5"),
    errors.ControlError("unknown_name", "no such routine", "routine", "camera"),
    errors.ConfigError("configs/A.json", "interval", "evry 5 s", '"every 10 s", "hourly"', "every 5 s"),
    errors.StoreError("run.db", "the disk is full: make room"),
    errors.CaptureError("run.mcap", "the file ends in the middle of a record", 4096, 12),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_arrives_in_another_process_as_it_was(error: PipertError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_is_a_pipert_error(error: PipertError) -> None:
    assert isinstance(error, PipertError)


def test_there_is_an_example_of_every_error_here() -> None:
    classes = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, PipertError)}
    assert {type(example) for example in EXAMPLES} == classes


def test_every_error_can_be_imported_from_pipert2() -> None:
    assert {type(example).__name__ for example in EXAMPLES} <= set(pipert2.__all__)


def test_one_problem_is_told_in_one_line() -> None:
    assert str(errors.PipeBuildError(["it has no flows"])) == "the pipe cannot be built: it has no flows"


def test_several_problems_are_numbered() -> None:
    assert str(errors.PipeBuildError(["one is wrong", "two as well"])) == (
        "the pipe cannot be built, 2 problems:\n  1. one is wrong\n  2. two as well"
    )


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    assert str(errors.UnknownFlowError("camra", ["work", "camera"])) == (
        "this pipe has no flow 'camra': did you mean 'camera'?"
    )


def test_an_unknown_name_like_no_other_gets_the_known_ones() -> None:
    assert str(errors.UnknownRoutineError("xyz", ["left", "right"], "flow 'f'")) == (
        "flow 'f' has no routine 'xyz': known are 'left', 'right'"
    )


def test_an_unknown_name_among_none_says_so() -> None:
    assert str(errors.UnknownEventError("ZOOM", [])) == "this pipe has no handler for the event 'ZOOM': there is none"


def test_a_long_list_of_known_names_is_cut() -> None:
    text = str(errors.UnknownFlowError("?", [f"flow-{number}" for number in range(1000)]))
    assert len(text) < 400


def test_memory_that_is_missing_is_told_in_units() -> None:
    assert str(errors.SharedMemoryFullError(6_220_800, 1024)) == (
        "not enough shared memory: 5.9 MiB needed, 1.0 KiB free in /dev/shm. Make it larger (mount -o "
        "remount,size=..., docker --shm-size=...), send smaller data, or hold fewer arrays in the receiving routines"
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB"), (5 << 40, "5120.0 GiB")],
)
def test_sizes_are_written_as_people_do(size: int, text: str) -> None:
    assert readable_size(size) == text


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("zoom", ["ZOOM"], "ZOOM"),
        ("ZOM", ["ZOOM", "ROOM"], "ZOOM"),
        ("camera-1", ["camera-2", "display"], "camera-2"),
        ("xyz", ["left"], None),
        ("left", [], None),
    ],
)
def test_the_nearest_name_is_the_one_that_looks_most_like_it(name: str, known: list[str], found: str | None) -> None:
    assert nearest(name, known) == found


@given(name=st.text(max_size=20), known=st.lists(st.text(max_size=20), max_size=10))
def test_the_nearest_name_is_a_known_one(name: str, known: list[str]) -> None:
    found = nearest(name, known)
    assert found is None or found in known
