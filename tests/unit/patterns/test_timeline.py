"""When the messages of a capture are due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2.patterns.capture.timeline import Timeline

SECOND = 1_000_000_000


def test_first_message_is_due_at_once_and_the_others_as_far_apart_as_they_were() -> None:
    timeline = Timeline()

    assert [timeline.due(at * SECOND, 1.0, 100.0) for at in (7, 8, 10)] == [100.0, 101.0, 103.0]


def test_speed_brings_them_nearer() -> None:
    timeline = Timeline()

    assert [timeline.due(at * SECOND, 4.0, 100.0) for at in (7, 8, 9)] == [100.0, 100.25, 100.5]


@pytest.mark.parametrize(("recorded", "speed"), [(5 * SECOND, 0.0), (None, 1.0)])
def test_full_speed_and_unknown_times_are_due_at_once(recorded: int | None, speed: float) -> None:
    timeline = Timeline()
    timeline.due(0, 1.0, 0.0)

    assert timeline.due(recorded, speed, 3.0) == 3.0


def test_message_that_is_late_does_not_make_those_behind_it_late() -> None:
    timeline = Timeline()
    timeline.due(0, 1.0, 0.0)

    assert timeline.due(1 * SECOND, 1.0, 5.0) == 1.0
    assert timeline.due(6 * SECOND, 1.0, 5.0) == 6.0


def test_another_speed_holds_from_where_the_capture_has_come_to() -> None:
    timeline = Timeline()
    timeline.due(0, 1.0, 100.0)

    assert timeline.due(10 * SECOND, 2.0, 104.0) == pytest.approx(107.0)  # 4 s are gone, 6 s go by twice as fast


def test_after_a_cut_it_begins_anew() -> None:
    timeline = Timeline()
    timeline.sent(timeline.due(50 * SECOND, 1.0, 0.0))
    timeline.cut()

    assert timeline.due(3 * SECOND, 1.0, 9.0) == 9.0


def test_round_follows_on_the_one_before_at_its_last_distance() -> None:
    timeline = Timeline()
    for at in (0, 1, 3):
        timeline.sent(timeline.due(at * SECOND, 1.0, 0.0))
    timeline.begin_again()

    assert timeline.due(0, 1.0, 3.0) == 5.0
    assert timeline.due(1 * SECOND, 1.0, 3.0) == 6.0


@given(
    st.lists(st.integers(0, 100 * SECOND), min_size=1).map(sorted),
    st.floats(0.01, 100),
    st.floats(0, 1e6),
)
def test_distances_are_those_recorded_divided_by_the_speed(times: list[int], speed: float, now: float) -> None:
    timeline = Timeline()

    dues = [timeline.due(time, speed, now) for time in times]

    for due, time in zip(dues, times, strict=True):
        assert due == pytest.approx(now + (time - times[0]) / SECOND / speed, rel=1e-9, abs=1e-6)
