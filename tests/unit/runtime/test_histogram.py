"""Histograms of durations: a bucket stands for all in it to 6 percent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipert2.runtime.routine.histogram import Sampler, bucket_middle, bucket_of, quantile
from pipert2.transport.board import HISTOGRAM_BUCKETS, HISTOGRAM_WORDS

LONGEST = 1 << 40  # ns, about 18 minutes: the start of the last doubling
durations = st.integers(512, LONGEST)


@given(duration=durations)
def test_a_bucket_stands_for_what_is_in_it_to_six_percent(duration: int) -> None:
    middle = bucket_middle(bucket_of(duration))
    assert abs(middle - duration) <= 0.06 * middle


@given(duration=st.integers(0, 1 << 63))
def test_every_duration_has_a_bucket(duration: int) -> None:
    assert 0 <= bucket_of(duration) < HISTOGRAM_BUCKETS


@given(one=st.integers(0, 1 << 50), other=st.integers(0, 1 << 50))
def test_what_takes_longer_is_in_no_lower_bucket(one: int, other: int) -> None:
    short, long = sorted((one, other))
    assert bucket_of(short) <= bucket_of(long)


def test_a_buckets_middle_is_in_it() -> None:
    buckets = range(HISTOGRAM_BUCKETS - 1)
    assert [bucket_of(round(bucket_middle(bucket))) for bucket in buckets] == list(buckets)


def counted(values: list[int]) -> list[int]:
    counts = [0] * HISTOGRAM_BUCKETS
    for value in values:
        counts[bucket_of(value)] += 1
    return counts


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile([0] * HISTOGRAM_BUCKETS, 0.5) is None


@given(values=st.lists(durations, min_size=1, max_size=200), share=st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_right_to_six_percent(values: list[int], share: float) -> None:
    found = quantile(counted(values), share)
    rank = min(len(values) - 1, max(0, -int(-share * len(values) // 1) - 1))
    exact = sorted(values)[rank]
    assert found is not None
    assert abs(found - exact) <= 0.065 * exact


@given(values=st.lists(durations, min_size=1, max_size=100))
def test_quantiles_grow_with_the_share(values: list[int]) -> None:
    counts = counted(values)
    found = [quantile(counts, share) or 0.0 for share in (0.01, 0.5, 0.9, 0.99, 1.0)]
    assert found == sorted(found)


# ------------------------------------------------------------------------------------------------ Sampler


class Recorder:
    """A sampler and its words; plays a routine that takes so long for each message."""

    def __init__(self) -> None:
        self.words = memoryview(bytearray(8 * 2 * HISTOGRAM_WORDS)).cast("Q")
        self.sampler = Sampler(self.words, 0, HISTOGRAM_WORDS)
        self.now = 1_000_000_000

    def play(self, messages: int, nanoseconds: int, age: int | None = None) -> int:
        """How many of the messages were counted."""
        before = self.words[0]
        for _ in range(messages):
            began, self.now = self.now, self.now + nanoseconds
            self.sampler.countdown -= 1
            if self.sampler.countdown <= 0:
                self.sampler.record(began, self.now, None if age is None else began - age)
        return self.words[0] - before


def test_slow_messages_are_each_counted() -> None:
    assert Recorder().play(50, 1_000_000) == 50


def test_of_fast_messages_some_are_counted() -> None:
    counted_ones = Recorder().play(10_000, 2_000)
    assert 10_000 / 70 <= counted_ones <= 10_000 / 20


def test_a_routine_that_gets_slow_is_counted_again_soon() -> None:
    recorder = Recorder()
    recorder.play(10_000, 1_000)
    recorder.play(70, 1_000_000)
    assert recorder.play(10, 1_000_000) == 10


def test_the_sum_of_the_times_is_kept() -> None:
    recorder = Recorder()
    recorder.play(10, 1_000_000)
    assert recorder.words[1] == 10 * 1_000_000


def test_ages_are_counted_apart() -> None:
    recorder = Recorder()
    recorder.play(10, 1_000_000, age=5_000_000)
    assert recorder.words[HISTOGRAM_WORDS] == 10
    assert recorder.words[HISTOGRAM_WORDS + 1] == 50_000_000
    assert recorder.words[HISTOGRAM_WORDS + 2 + bucket_of(5_000_000)] == 10


def test_a_source_has_no_ages() -> None:
    recorder = Recorder()
    recorder.play(10, 1_000_000)
    assert recorder.words[HISTOGRAM_WORDS] == 0


def test_data_from_the_future_has_no_age() -> None:
    recorder = Recorder()
    recorder.play(1, 1_000_000, age=-500)
    assert recorder.words[HISTOGRAM_WORDS + 1] == 0
