"""What a site tells its driver."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipert2.observe.snapshot import PipeStatus
from pipert2.runtime.messages import OutwardRequest


@dataclass(frozen=True, slots=True)
class SiteProgress:
    """How far a site is.

    Attributes:
        settled: why nothing more will happen there, as :class:`PipeProgress` says it; None while something may.
        drained: whether all its streams have ended. resting: whether nothing runs, nor was asked to.
        wired: whether it has wires at all; what has none has no streams to end.
        ended: whether all its flows have ended for good.
        active: whether a routine of it runs.
        finished: its routines whose streams have ended.
        given_up: messages that were given up there, in this run.
        number: what has a higher one was looked at later.
    """

    settled: str | None
    drained: bool
    resting: bool
    wired: bool
    ended: bool
    active: bool
    finished: frozenset[str]
    given_up: int
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class SiteReport:
    """How a site is: its pipe's status, and what each end of a link counts, by its name."""

    status: PipeStatus
    links: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Feed:
    """What a site tells without being asked.

    Attributes:
        incarnation: another one after it was begun anew.
        progress: how far it is.
        records: of its log, and how many were dropped before them.
        requests: what its routines want of other sites, with the numbers to answer to.
    """

    incarnation: str
    progress: SiteProgress
    records: tuple[logging.LogRecord, ...] = ()
    dropped: int = 0
    requests: tuple[tuple[int, OutwardRequest], ...] = ()
