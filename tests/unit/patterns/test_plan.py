"""Plans say which frame belongs to which event; what contradicts itself is refused with its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2.patterns.events.plan import ABSENT, ALL, ANY, DISCARD, Plan, PlanError, To, group, tagged


def test_a_sparse_stream_has_frames_in_every_fourth_event() -> None:
    plan = Plan.every({"xrd": 1, "aux": 4}, events=8)
    assert [sorted(plan.cells(event)) for event in range(1, 9)] == [
        ["aux", "xrd"] if event in (4, 8) else ["xrd"] for event in range(1, 9)
    ]
    assert [plan.event_of("aux", index) for index in range(3)] == [4, 8, None]
    assert [plan.event_of("xrd", index) for index in (0, 7, 8)] == [1, 8, None]


def test_an_endless_plan_repeats_itself() -> None:
    plan = Plan.every({"xrd": 1, "aux": 4}, group=3)
    assert plan.length is None
    assert plan.event_of("aux", 1_000_000) == 4_000_004
    assert sorted(plan.cells(4_000_004)) == ["aux", "xrd"]
    groups = [(plan.occurrence(event), plan.cells(event)["xrd"][0].group) for event in range(1, 26)]
    assert [groups.count(one) for one in dict.fromkeys(groups)] == [3] * 8 + [1]


def test_parts_follow_one_another_and_their_groups_are_their_own() -> None:
    plan = Plan({"main": {"a": [group(0), group(1)], "b": [ABSENT, ANY]}, "end": {"b": [ALL]}}, ["main", "main", "end"])
    assert plan.length == 5
    assert [plan.event_of("b", index) for index in range(4)] == [2, 4, 5, None]
    assert [plan.event_of("a", index) for index in range(5)] == [1, 2, 3, 4, None]
    assert [plan.occurrence(event) for event in range(1, 6)] == [0, 0, 1, 1, 2]
    assert plan.cells(5) == {"b": (To(everyone=True),)}
    assert plan.cells(6) == {}


def test_a_group_knows_its_last_event() -> None:
    plan = Plan({"main": {"a": [group(0), group(1), group(0), ANY]}}, ["main", "main"])
    assert [plan.last_of_group(event, 0) for event in (1, 3, 5)] == [3, 3, 7]
    assert plan.last_of_group(2, 1) == 2


def test_a_mapping_of_dranspose_is_read(tmp_path: Path) -> None:
    generic = {"tags": ["generic"], "constraint": 0}
    file = tmp_path / "mapping.json"
    file.write_text(
        json.dumps(
            {
                "parts": {
                    "reserved_start_end": {"mapping": {"a": [[{"tags": ["generic"], "constraint": None}]]}},
                    "main": {
                        "mapping": {
                            "a": [[generic], None, [], [{"tags": ["debug"]}, generic]],
                            "b": [[generic, generic], [generic], None, None],
                        }
                    },
                },
                "sequence": ["reserved_start_end", "main", "main", "reserved_start_end"],
            }
        )
    )
    plan = Plan.load(file)
    assert plan.length == 8
    assert plan.cells(1) == {"a": (To(0),), "b": (To(0),)}
    assert plan.cells(3) == {"a": DISCARD}
    assert plan.cells(4) == {"a": (To(None, True, frozenset({"debug"})), To(0))}
    assert plan.tags == {frozenset(), frozenset({"debug"})}


def test_a_bare_mapping_is_one_part() -> None:
    assert Plan.load({"a": [[{"constraint": 1}], []]}).cells(1) == {"a": (To(1),)}


def test_a_tag_that_no_worker_has_is_refused_with_its_name() -> None:
    plan = Plan({"main": {"a": [ANY, tagged("debgu")]}})
    with pytest.raises(PlanError, match="'debgu', did you mean 'debug'"):
        plan.refuse([frozenset(), frozenset({"debug"})])
    Plan({"main": {"a": [tagged("debug")]}}).refuse([frozenset({"debug", "slow"})])


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"parts": {"main": {"a": [[]], "b": [[], []]}}, "sequence": ["main"]}, "'a' has 1, 'b' has 2"),
        ({"parts": {"main": {"a": [[]]}}, "sequence": ["mian"]}, "'mian', which there is not, did you mean 'main'"),
        ({"parts": {"main": {"a": [[]]}}}, "'sequence'"),
        ({"parts": {"main": [1]}, "sequence": ["main"]}, "part 'main' is a table"),
        ({"a": [1]}, "part 'main', stream 'a', event 0: a cell"),
        ({"a": 5}, "a list of cells"),
        ({"a": [[{"constraint": "x"}]]}, "constraint"),
        ({"a": [[{"constraint": True}]]}, "constraint"),
        ({"a": [[{"tags": "debug"}]]}, "list of tags"),
        ({"a": [[7]]}, "list of tags"),
        ({"parts": {}, "sequence": []}, "no parts"),
    ],
)
def test_what_contradicts_itself_is_refused(content: dict[str, Any], problem: str) -> None:
    with pytest.raises(PlanError) as found:
        Plan.load(content)
    assert problem in str(found.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [(None, "cannot be read"), ("{", "is not JSON"), ("[1]", "JSON object"), ("[" * 99999, "not JSON")],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "mapping.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(PlanError, match=problem):
        Plan.load(file)


@pytest.mark.parametrize("strides", [{}, {"a": 0}, {"a": True}, {"a": 1.5}])
def test_a_stride_that_is_none_is_refused(strides: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        Plan.every(strides)


CELLS = st.sampled_from([ABSENT, DISCARD, ANY, ALL, group(0), group(1)])


@given(
    st.lists(st.lists(st.tuples(CELLS, CELLS), max_size=5), min_size=1, max_size=3).flatmap(
        lambda parts: st.tuples(st.just(parts), st.lists(st.integers(0, len(parts) - 1), max_size=5), st.booleans())
    )
)
def test_each_frame_has_one_event_and_each_cell_one_frame(data: Any) -> None:
    parts, sequence, endless = data
    tables = {
        str(number): {stream: [row[at] for row in rows] for at, stream in enumerate("ab")}
        for number, rows in enumerate(parts)
    }
    expected = [row for number in sequence for row in parts[number]]
    if endless and not expected:
        return
    plan = Plan(tables, [str(number) for number in sequence], endless=endless)
    rows = expected * 3 if endless else expected
    for at, stream in enumerate("ab"):
        events = [number for number, row in enumerate(rows, 1) if row[at] is not None]
        assert [plan.event_of(stream, index) for index in range(len(events))] == events
        assert all(plan.cells(event)[stream] == rows[event - 1][at] for event in events)
    if not endless:
        assert plan.length == len(expected)
        assert plan.cells(len(expected) + 1) == {}
