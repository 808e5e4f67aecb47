"""Latency histograms in shared words: eight buckets to each doubling, one writer, any number of readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipert2.transport.board import HISTOGRAM_BUCKETS

_LOWEST_BITS = 10  # everything under a microsecond falls into the first buckets
_SAMPLE_EVERY_NS = 100_000


@dataclass(frozen=True, slots=True)
class Histogram:
    """What was counted: *counts* by bucket, and the *total* of all durations in it, in ns."""

    counts: tuple[int, ...]
    total: int


def bucket_of(nanoseconds: int) -> int:
    """The bucket of a duration; the last one holds all that is longer than half an hour."""
    bits = nanoseconds.bit_length()
    if bits < _LOWEST_BITS:
        return 0
    return min(HISTOGRAM_BUCKETS - 1, (bits - _LOWEST_BITS) * 8 + ((nanoseconds >> (bits - 4)) & 7))


def bucket_middle(bucket: int) -> float:
    """A duration in ns that stands for a bucket; at most 6 % from any that is in it."""
    bits = bucket // 8 + _LOWEST_BITS
    return float((1 << (bits - 1)) * (1 + (bucket % 8 + 0.5) / 8))


def quantile(counts: Sequence[int], share: float) -> float | None:
    """The duration in ns that *share* of what was counted stays under; None if nothing was."""
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    for bucket, count in enumerate(counts):
        rank -= count
        if rank <= 0:
            return bucket_middle(bucket)
    return bucket_middle(HISTOGRAM_BUCKETS - 1)


class Sampler:
    """Writes two histograms of one routine, and of fast routines only every so-maniest message.

    Up to 10,000 messages per second each counts; beyond, one every 100 us or so: counting costs under a percent.
    """

    __slots__ = ("_age", "_last", "_logic", "_words", "countdown", "stride")

    def __init__(self, words: memoryview, logic: int, age: int) -> None:
        self._words = words
        self._logic = logic
        self._age = age
        self._last = 0
        self.stride = 1
        self.countdown = 1

    def record(self, began: int, done: int, born: int | None) -> None:
        """Count a message that was *born* at a time and worked on from *began* to *done*, all in ns."""
        self._add(self._logic, done - began)
        if born is not None:
            self._add(self._age, max(0, began - born))
        per_message = (done - self._last) // self.stride
        self._last = done
        self.stride = 1 if per_message >= _SAMPLE_EVERY_NS else min(64, 1 + _SAMPLE_EVERY_NS // max(1, per_message))
        self.countdown = self.stride

    def _add(self, base: int, nanoseconds: int) -> None:
        words = self._words
        words[base] += 1
        words[base + 1] += nanoseconds
        words[base + 2 + bucket_of(nanoseconds)] += 1
