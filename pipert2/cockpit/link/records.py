"""A pipe's log records on their way to the cockpit: which of them, and in what shape."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from math import isfinite
from typing import Any

from pipert2.cockpit.store.levels import level_number
from pipert2.control.verbs import plain
from pipert2.observe.recent_logs import LogRecord, RecentLogs

MOST_RECORDS = 2_000
"""In one batch: the next one waits for its answer, and a busy machine may take a while for that."""
MOST_BYTES = 1_000_000
_LONGEST_EXTRA = 20_000
_LONGEST_NAME = 200
_LARGEST_INT = 2**53


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to be sent, as JSON; behind them it goes on with those after *after*; *dropped* were gone before them."""

    records: list[dict[str, Any]]
    after: int
    dropped: int


class RecordFeed:
    """Makes batches of what a pipe logs. What was not acknowledged is taken again.

    Args:
        logs: keeps the newest 10,000 records.
        least: the least level, such as ``logging.INFO``. Those of a logger whose level was set by itself, as that of a
            routine from the cockpit, count in any case.
        own: the name of the pipe's logger, whose level does not count as set by itself.
    """

    def __init__(self, logs: RecentLogs, least: int, own: str) -> None:
        self._logs = logs
        self._least = least
        self._own = own
        self.after = 0
        self.dropped = 0

    @property
    def waiting(self) -> bool:
        """Whether there is anything that was not sent."""
        return self._logs.last > self.after

    def next(self) -> Batch | None:
        """The next batch, None if there is nothing to send."""
        while self.waiting:
            page = self._logs.page(self.after, MOST_RECORDS) if self.after else self._first_page()
            records: list[dict[str, Any]] = []
            size, after = 0, page.last
            for record in page.records:
                if not self._counts(record):
                    continue
                shaped, length = _shaped(record)
                if records and size + length > MOST_BYTES:
                    after = record.number - 1
                    break
                size += length
                records.append(shaped)
            if records or page.missed:
                return Batch(records, after, page.missed)
            self.after = after
        return None

    def _first_page(self) -> Any:
        """From the oldest record on that is there."""
        newest = self._logs.page(0, 1_000_000)
        first = newest.records[0].number if newest.records else 1
        if first > 1:
            self.after = first - 1
            self.dropped += first - 1
            return self._logs.page(self.after, MOST_RECORDS)
        cut = newest.records[:MOST_RECORDS]
        return type(newest)(cut, cut[-1].number if cut else newest.last, 0)

    def sent(self, batch: Batch) -> None:
        """The cockpit has it."""
        self.after = max(self.after, batch.after)
        self.dropped += batch.dropped

    def refused(self, batch: Batch) -> None:
        """The cockpit will never take it."""
        self.after = max(self.after, batch.after)
        self.dropped += batch.dropped + len(batch.records)

    def _counts(self, record: LogRecord) -> bool:
        if level_number(record.level) >= self._least:
            return True
        return record.logger != self._own and logging.getLogger(record.logger).level != logging.NOTSET


def _shaped(record: LogRecord) -> tuple[dict[str, Any], int]:
    message, trace = _text(record.message), _text(record.traceback) if record.traceback else None
    extra: dict[str, Any] = {}
    length = 0
    if record.extra:
        extra, length = _extra(record.extra)
    shaped = {
        "number": record.number,
        "time": record.time,
        "level": record.level[:80],
        "logger": _text(record.logger[:500]),
        "flow": _text(record.flow[:_LONGEST_NAME]) if record.flow else None,
        "routine": _text(record.routine[:_LONGEST_NAME]) if record.routine else None,
        "message": message,
        "traceback": trace,
        "extra": extra,
    }
    return shaped, length + len(message) + len(trace or "") + 300


def _extra(given: dict[str, Any]) -> tuple[dict[str, Any], int]:
    length = _simple_length(given)
    if length is not None:
        return given, length
    try:
        found = json.loads(json.dumps(plain({_text(str(name)): value for name, value in given.items()})))
    except Exception as error:  # whatever a user's object does when it is looked at
        found = {"unreadable": f"{type(error).__name__}: {_text(str(error))[:200]}"}
    length = len(json.dumps(found))
    if length > _LONGEST_EXTRA:
        found = {"shortened": json.dumps(found)[:_LONGEST_EXTRA]}
    return found, length


def _simple_length(given: dict[str, Any]) -> int | None:
    """About how long this is as JSON, None if it has to be looked at more closely: a fifth of the work for most."""
    length = 2
    for name, value in given.items():
        if type(name) is not str or not name.isascii():
            return None
        if type(value) is str:
            if not value.isascii():
                return None
            length += len(value)
        elif type(value) is int:
            if not -_LARGEST_INT <= value <= _LARGEST_INT:
                return None
        elif type(value) is float:
            if not isfinite(value):
                return None
        elif value is not None and type(value) is not bool:
            return None
        length += len(name) + 20
    return length if length <= _LONGEST_EXTRA else None


def _text(text: str) -> str:
    """*text*, without halves of characters, which cannot be sent."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
