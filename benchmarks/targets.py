"""What pipert2 is to reach, as ratios of one run, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Figures = Mapping[tuple[str, str], Mapping[str, float]]  # (system, work) -> metric -> median

PIPERT24 = ("PipeRT 2.4 basic", "PipeRT 2.4 shm")
UNITS = {"rate": "/s", "p50": " us", "cpu": " us", "missing": "", "cpu_percent": " %", "first_message": " s"}


@dataclass(frozen=True, slots=True)
class Target:
    """`metric` of `subject` on `work` against `factor` times the best of `versus`, or against `factor` itself.

    Rates are to be at least that, all else at most. `versus_work` is where it is compared with another work.
    """

    work: str
    subject: str
    metric: str
    factor: float
    versus: tuple[str, ...] = ()
    versus_work: str = ""
    note: str = ""


TARGETS = (
    Target("W1", "pipert2 real-time", "rate", 15, PIPERT24),
    Target("W1", "pipert2 real-time", "rate", 4, ("ezmsg",)),
    Target("W1", "pipert2 real-time", "rate", 0.5, ("iceoryx2",)),
    Target("W1", "pipert2 real-time 1024", "rate", 4, ("ezmsg",)),
    Target("W1", "pipert2 real-time 1024", "rate", 0.5, ("iceoryx2",)),
    Target("W1", "pipert2 lossless", "rate", 0.8, ("pipert2 real-time", "pipert2 real-time 1024")),
    Target("W1", "pipert2 lossless", "missing", 0, note="none lost"),
    Target("long", "pipert2 lossless", "missing", 0, note="none lost in 5 million"),
    Target("W2", "pipert2 real-time", "p50", 1.5, ("iceoryx2",)),
    Target("W2", "pipert2 real-time", "p50", 1, (*PIPERT24, "ezmsg", "shmpipeline", "mp.Queue"), note="ahead of all"),
    Target("W3", "pipert2 shm", "rate", 30, PIPERT24),
    Target("W3", "pipert2 shm", "rate", 2, ("ezmsg",)),
    Target("W3", "pipert2 shm", "rate", 1.3, ("shmpipeline",)),
    Target("W3", "pipert2 loan", "rate", 0.8, ("iceoryx2",)),
    Target("W4", "pipert2 shm", "p50", 0.5, ("shmpipeline",)),
    Target("W4", "pipert2 loan", "p50", 1, ("iceoryx2",)),
    Target("W5", "pipert2 shm", "cpu", 1.15, ("pipert2 shm",), "W4", "sender's CPU per frame"),
    Target("W5", "pipert2 loan", "cpu", 1.15, ("pipert2 loan",), "W4", "sender's CPU per frame"),
    Target("W6", "pipert2 shm", "p50", 0.5, ("iceoryx2",)),
    Target("idle", "pipert2 life", "cpu_percent", 1.0),
    Target("first", "pipert2 life", "first_message", 1.0),
    Target("flows20", "pipert2 life", "first_message", 3.0),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target with what was measured. `ratio` is to the best of what it is compared with."""

    target: Target
    value: float
    against: str
    limit: float
    ratio: float | None
    reached: bool


def judge(target: Target, figures: Figures) -> Verdict | None:
    """Whether the target was reached, or None when something it needs was not measured."""
    value = figures.get((target.subject, target.work), {}).get(target.metric)
    if value is None:
        return None
    higher = target.metric == "rate"
    if not target.versus:
        return Verdict(target, value, "", target.factor, None, value <= target.factor)
    work = target.versus_work or target.work
    known = {name: figures.get((name, work), {}).get(target.metric) for name in target.versus}
    candidates = [(other, name) for name, other in known.items() if other]
    if not candidates:
        return None
    best, name = max(candidates) if higher else min(candidates)
    limit = target.factor * best
    return Verdict(target, value, name, limit, value / best, value >= limit if higher else value <= limit)
