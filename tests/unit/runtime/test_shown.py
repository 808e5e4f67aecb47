"""What routines show: what is kept, what an answer has, and that there are limits to all of it."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pipert2 import MiddleRoutine, ShownValue
from pipert2.runtime.routine import shown
from pipert2.runtime.routine.shown import MOST_BYTES, MOST_NAMES, POINTS_KEPT, Shown, Sketcher, Sketches, merged
from pipert2.runtime.routine.sketch import MOST_PIXELS, MOST_POINTS
from pipert2.testing import VirtualClock, wait_until

LOG = logging.getLogger("test")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    clock = VirtualClock(1000.0)
    monkeypatch.setattr(shown.time, "time_ns", lambda: round(clock.now() * 1e9))
    return clock


@pytest.fixture
def panel(clock: VirtualClock) -> Shown:
    return Shown("reduce", LOG)


def one(panel: Shown, value: Any) -> ShownValue:
    panel.show("one", value)
    return next(value for value in panel.since(0).values if value.name == "one")


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (3, "number", "3"),
        (True, "number", "True"),
        (0.1 + 0.2, "number", "0.3"),
        (np.float32(2.5), "number", "2.5"),
        (np.array(7), "number", "7"),
        (float("nan"), "number", "nan"),
        (-float("inf"), "number", "-inf"),
        (10**400, "number", "inf"),
        ("<b>steel</b>", "text", "<b>steel</b>"),
        ([1, 2, 3], "curve", "3 int64"),
        ([[1.0, 2.0], [3.0, 4.0]], "image", "2 x 2 float64"),
        (np.zeros((3, 4), bool), "image", "3 x 4 bool"),
        ([], "curve", "0 float64"),
        (np.zeros((0, 4)), "image", "0 x 4 float64"),
        (np.zeros(3, ">u2"), "curve", "3 >u2"),
        ("half \ud800 of one", "text", "half ? of one"),
    ],
)
def test_each_kind_is_told_apart_and_said_in_words(panel: Shown, value: Any, kind: str, text: str) -> None:
    found = one(panel, value)
    assert (found.routine, found.kind, found.text) == ("reduce", kind, text)


@pytest.mark.parametrize(
    "value",
    [None, {}, [[1], [2, 3]], object(), np.zeros((2, 2, 2)), np.zeros(2, complex), ["a"], b"x", [0] * 10_001],
)
def test_what_cannot_be_shown_is_refused_with_what_could_be(panel: Shown, value: Any) -> None:
    with pytest.raises(TypeError, match="takes a number, a text, or a 1-D or 2-D array of numbers, not"):
        panel.show("one", value)
    with pytest.raises(ValueError, match="1 to 200 characters as name"):
        panel.show("", 1)
    with pytest.raises(ValueError, match="1 to 200 characters as name"):
        panel.show("n" * 201, 1)


def test_a_number_has_a_history_of_which_an_answer_has_what_is_new(panel: Shown, clock: VirtualClock) -> None:
    for value in (1, 2, 3):
        panel.show("mean", value)
        clock.advance(1.0)
    first = panel.since(0)
    assert first.values[0].values == (1.0, 2.0, 3.0)
    assert first.values[0].at == pytest.approx((1000.0, 1001.0, 1002.0))
    assert panel.since(first.last).values == ()
    panel.show("mean", float("nan"))
    second = panel.since(first.last)
    assert (second.values[0].values, second.values[0].text) == ((None,), "nan")


def test_fast_numbers_are_thinned_to_a_minute_and_the_newest_is_kept(panel: Shown, clock: VirtualClock) -> None:
    for value in range(100_000):
        panel.show("fast", value)
        clock.advance(0.001)
    (found,) = panel.since(0).values
    assert found.values[-1] == 99_999
    assert len(found.at) == POINTS_KEPT
    assert found.at[-1] - found.at[0] > 59


def test_numbers_of_the_clock_go_on_growing_when_it_is_set_back(panel: Shown, clock: VirtualClock) -> None:
    panel.show("mean", 1)
    last = panel.since(0).last
    clock.advance(-500.0)
    panel.show("mean", 2)
    assert panel.since(last).values[0].values == (2.0,)


def test_an_array_of_the_routines_own_is_not_copied_and_another_ones_memory_is_let_go(panel: Shown) -> None:
    own, others = np.zeros(4), np.zeros((600, 900))
    panel.show("own", own)
    panel.show("view", others[::2])
    own[:], others[:] = 7, 7
    found = {value.name: value for value in panel.since(0).values}
    assert found["own"].values == (7.0,) * 4
    assert (found["view"].greatest, found["view"].shape) == (0.0, (300, 900))


def test_a_long_curve_keeps_its_peaks(panel: Shown) -> None:
    curve = np.zeros(123_457)
    curve[77_777], curve[77_778], curve[5] = 9, np.nan, -4
    found = one(panel, curve)
    assert len(found.at) <= MOST_POINTS + 1
    points = dict(zip(found.at, found.values, strict=True))
    assert (points[77_777], points[5], max(found.at)) == (9.0, -4.0, 123_456)
    assert (found.least, found.greatest, found.shape) == (-4.0, 9.0, (123_457,))


def test_an_image_is_dark_where_it_is_least_and_transparent_where_there_is_nothing(panel: Shown) -> None:
    found = one(panel, np.array([[0.0, 5.0, np.nan], [1.0, np.inf, 2.0]]))
    picture = Image.open(io.BytesIO(found.png)).convert("RGBA")
    assert (picture.size, found.least, found.greatest) == ((3, 2), 0.0, 5.0)
    pixels = {(x, y): picture.getpixel((x, y)) for x in range(3) for y in range(2)}
    assert pixels[0, 0] == (0x44, 0x01, 0x54, 255)
    assert pixels[1, 0] == (0xFD, 0xE7, 0x25, 255)
    assert pixels[2, 0][3] == pixels[1, 1][3] == 0


@given(
    arrays.arrays(
        st.sampled_from([np.float64, np.float32, np.uint16, np.int64, np.bool_]),
        arrays.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=700),
        fill=st.nothing() | st.just(0),
    )
)
def test_any_array_becomes_a_small_sketch(array: np.ndarray[Any, Any]) -> None:
    panel = Shown("reduce", LOG)
    panel.show("any", array)
    (found,) = panel.since(0).values
    assert found.shape == array.shape
    assert len(found.at) <= MOST_POINTS + 1
    assert all(value is None or np.isfinite(value) for value in found.values)
    if found.kind == "image":
        assert max(Image.open(io.BytesIO(found.png)).size) <= MOST_PIXELS


def test_masked_elements_are_gaps(panel: Shown) -> None:
    found = one(panel, np.ma.masked_less(np.arange(4), 2))
    assert (found.values, found.least, found.greatest) == ((None, None, 2.0, 3.0), 2.0, 3.0)


def test_names_beyond_the_limit_are_left_out_and_warned_of_once(panel: Shown, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="test")
    for number in range(MOST_NAMES + 5):
        panel.show(f"n{number}", number)
    assert len(panel.since(0).values) == MOST_NAMES
    assert [record.getMessage() for record in caplog.records] == [
        "200 names are shown already: 'n200' and later ones are not"
    ]


def test_what_is_too_much_for_one_answer_comes_with_the_next_ones(panel: Shown, clock: VirtualClock) -> None:
    noise = np.random.default_rng(1)
    for number in range(40):
        panel.show(f"n{number}", noise.random((300, 300)))
    seen: list[str] = []
    after, more = 0, True
    while more:
        answer = panel.since(after)
        assert sum(len(value.png) for value in answer.values) < 1.5 * MOST_BYTES
        seen += [value.name for value in answer.values]
        after, more = answer.last, answer.more
    assert seen == [f"n{number}" for number in range(40)]


def test_a_name_may_become_something_else(panel: Shown) -> None:
    panel.show("one", 1)
    assert one(panel, "text").kind == "text"
    assert one(panel, 2).values == (2.0,)


def test_what_a_replica_did_not_tell_in_time_is_asked_for_again(panel: Shown, clock: VirtualClock) -> None:
    panel.show("one", 1)
    early, after = panel.since(0), 5
    clock.advance(1.0)
    late = panel.since(0)
    assert merged([late, early], after).last == early.last
    assert (merged([late, None], after).last, merged([], after)) == (after, Sketches((), after, False))
    assert len(merged([late, early], after).values) == 2


class Answers(list[tuple[int, int, Sketches]]):
    def take(self, *answer: Any) -> None:
        self.append(answer)


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def sketcher(answers: Answers) -> Iterator[Sketcher]:
    made = Sketcher(answers.take)
    yield made
    made.close()
    made.close()


def test_sketches_are_made_in_a_thread_that_ends_with_its_flow(
    sketcher: Sketcher, answers: Answers, panel: Shown
) -> None:
    panel.show("one", 1)
    sketcher.ask(3, 1, panel, 0)
    wait_until(lambda: answers)
    assert (answers[0][:2], answers[0][2].values[0].text) == ((3, 1), "1")
    sketcher.close()
    sketcher.ask(4, 1, panel, 0)
    assert not any(thread.name == "pipert2-sketches" for thread in threading.enumerate())


def test_a_routine_in_no_pipe_shows_nothing_and_does_not_mind() -> None:
    class Alone(MiddleRoutine):
        def main_logic(self, data: Any) -> Any:
            self.show("seen", data)
            return data

    assert Alone("alone").main_logic(4) == 4
