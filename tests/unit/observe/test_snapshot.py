"""Snapshots: looking things up in them, and turning them into something for JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipert2 import (
    FlowStatus,
    Latency,
    PipeState,
    PipeStatus,
    RoutineStatus,
    RunSummary,
    UnknownFlowError,
    UnknownRoutineError,
    UnknownWireError,
    WireStatus,
)


def routine(name: str, **known: Any) -> RoutineStatus:
    facts: dict[str, Any] = dict.fromkeys(RoutineStatus.__dataclass_fields__, 0)
    facts |= {"flow": "f", "kind": "middle", "state": "running", "finished": False, "last_error": None}
    facts |= {"logic_time": Latency(0.001, 0.002), "age": Latency(None, None)}
    return RoutineStatus(**facts | {"name": name} | known)


def wire(source: str, end: str, **known: Any) -> WireStatus:
    facts: dict[str, Any] = dict.fromkeys(WireStatus.__dataclass_fields__, 0)
    return WireStatus(**facts | {"source": source, "destination": end, "transmitter": "BasicTransmitter()"} | known)


def flow(name: str) -> FlowStatus:
    return FlowStatus(name, "running", 77, 1.5, 1000, 0, 2.0, None)


STATUS = PipeStatus(
    "shop",
    PipeState.RUNNING,
    None,
    1.0,
    4096,
    (routine("camera"), routine("blur")),
    (wire("camera", "blur"),),
    (flow("cameras"), flow("work")),
)


def test_a_routine_is_found_by_name() -> None:
    assert STATUS.routine("blur") is STATUS.routines[1]


def test_a_flow_is_found_by_name() -> None:
    assert STATUS.flow("work") is STATUS.flows[1]


def test_a_wire_is_found_by_its_ends() -> None:
    assert STATUS.wire("camera", "blur") is STATUS.wires[0]


def test_a_mistyped_routine_gets_the_nearest() -> None:
    with pytest.raises(UnknownRoutineError, match=r"has no routine 'camra': did you mean 'camera'\?"):
        STATUS.routine("camra")


def test_a_mistyped_flow_gets_the_nearest() -> None:
    with pytest.raises(UnknownFlowError, match=r"has no flow 'wrk': did you mean 'work'\?"):
        STATUS.flow("wrk")


def test_of_a_wire_that_is_not_there_those_that_are_get_named() -> None:
    with pytest.raises(UnknownWireError, match=r"has no wire 'blur -> camera': known are 'camera -> blur'"):
        STATUS.wire("blur", "camera")


def test_a_snapshot_is_fit_for_json_and_comes_back_the_same() -> None:
    plain = STATUS.to_dict()
    assert json.loads(json.dumps(plain)) == plain


def test_a_snapshot_as_plain_data_says_what_it_said() -> None:
    plain = STATUS.to_dict()
    assert plain["state"] == "running"
    assert [routine["name"] for routine in plain["routines"]] == ["camera", "blur"]
    assert plain["routines"][0]["logic_time"] == {"p50": 0.001, "p99": 0.002}
    assert plain["flows"][0]["pid"] == 77


def test_a_snapshot_does_not_change() -> None:
    with pytest.raises(AttributeError):
        STATUS.name = "other"  # type: ignore[misc]


def test_a_summary_names_what_was_dropped() -> None:
    summary = RunSummary(
        ok=False,
        reason="routine 'blur' failed: no camera",
        elapsed=1.26,
        errors=2,
        routines=(routine("blur", received=7, sent=6, errors=2),),
        wires=(wire("camera", "blur", dropped=3), wire("blur", "show")),
        flows=(),
    )
    assert str(summary) == (
        "FAILED (routine 'blur' failed: no camera) after 1.3 s, 2 errors\n"
        "  blur: received 7, sent 6, errors 2, 1 ms each, 99 % within 2 ms\n"
        "  camera -> blur: dropped 3"
    )
