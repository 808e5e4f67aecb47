"""The last log records of a pipe, kept for those who ask or follow."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from types import TracebackType
from typing import Any

from pipert2.runtime.flow.logs import FLOW_ATTRIBUTE, FORWARDED_ATTRIBUTE

MOST_RECORDS = 10_000
_MOST_TEXT = 20_000

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    FLOW_ATTRIBUTE,
    FORWARDED_ATTRIBUTE,
}
_formatter = logging.Formatter()


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log record.

    Attributes:
        number: counts the records of this pipe from 1; pass it as ``after`` to get what follows.
        time: seconds since the epoch.
        level: such as ``"INFO"``. logger: the logger's name.
        flow, routine: where it comes from; None: the main process, or code that is no routine's.
        message: its text. traceback: of the exception it is about. extra: further fields that were given to it.
    """

    number: int
    time: float
    level: str
    logger: str
    flow: str | None
    routine: str | None
    message: str
    traceback: str | None
    extra: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogPage:
    """Log records, oldest first.

    Attributes:
        records: the records.
        last: the number of the newest record looked at: the ``after`` of the next page.
        missed: records after ``after`` that were gone already when they were asked for.
    """

    records: tuple[LogRecord, ...]
    last: int
    missed: int


class RecentLogs(logging.Handler):
    """Keeps the newest 10,000 records. Closes twice without complaint.

    Args:
        logger: the pipe's logger; this is a handler of it until it is closed.
        listeners: gets a function that is called with each record that a flow's process sends.
        flows: gives the flow of each routine, to tell from a logger's name where a record comes from.
    """

    def __init__(
        self,
        logger: logging.Logger,
        listeners: list[Callable[[logging.LogRecord], None]],
        flows: Callable[[], dict[str, str]] = dict,
    ) -> None:
        super().__init__()
        self._flows = flows
        self._logger = logger
        self._listeners = listeners
        self._origins: dict[str, tuple[str, str]] = {}
        self._records: deque[LogRecord] = deque(maxlen=MOST_RECORDS)
        self._number = 0
        self._closed = False
        self.changed = threading.Condition()
        logger.addHandler(self)
        listeners.append(self._keep)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record of this process; those of flows come through the listener."""
        if not hasattr(record, FORWARDED_ATTRIBUTE):
            self._keep(record)

    def _keep(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception as error:  # a format that does not fit its arguments, an object that cannot be shown
            text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
            message = f"{text} ({type(error).__name__} when this was to be shown)"
        trace = record.exc_text
        if trace is None and record.exc_info and record.exc_info[0] is not None:
            trace = _formatter.formatException(record.exc_info)
        flow, routine = self._origin(record)
        # Ray adds to each record what begins with an underscore, and means nobody to see it.
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD and name[0] != "_"}
        with self.changed:
            self._number += 1
            self._records.append(
                LogRecord(
                    number=self._number,
                    time=record.created,
                    level=record.levelname,
                    logger=record.name,
                    flow=flow,
                    routine=routine,
                    message=message[:_MOST_TEXT],
                    traceback=trace[-_MOST_TEXT:] if trace else None,
                    extra=extra,
                )
            )
            self.changed.notify_all()

    def _origin(self, record: logging.LogRecord) -> tuple[str | None, str | None]:
        """Flow and routine of a record, by its logger's name; else the flow that its process said."""
        if (known := self._origins.get(record.name)) is not None:
            return known
        rest = record.name.removeprefix(f"{self._logger.name}.")
        if rest != record.name:
            origins = {f"{flow}.{routine}": (flow, routine) for routine, flow in reversed(self._flows().items())}
            fits = [own for own in origins if rest == own or rest.startswith(f"{own}.")]
            if rest in fits:  # its own logger; children of it may be any number, and are looked up each time
                self._origins[record.name] = origins[rest]
            if fits:
                return origins[max(fits, key=len)]
        return getattr(record, FLOW_ATTRIBUTE, None), None

    @property
    def last(self) -> int:
        """The number of the newest record."""
        return self._number

    def page(
        self,
        after: int = 0,
        limit: int = 200,
        level: str | None = None,
        flow: str | None = None,
        routine: str | None = None,
        text: str | None = None,
    ) -> LogPage:
        """The first *limit* records behind number *after* that fit; with ``after=0`` the newest *limit* of them.

        Args:
            level: this level and above. flow, routine: those of these only. text: part of the message, any case.
        """
        limit = max(1, limit)
        with self.changed:
            records, newest = tuple(self._records), self._number
        first = records[0].number if records else newest + 1
        missed = max(0, first - after - 1) if after else 0
        fits = _filter(level, flow, routine, text)
        if not after:
            found = list(islice((record for record in reversed(records) if fits(record)), limit))[::-1]
            return LogPage(tuple(found), newest, 0)
        behind = (record for record in records[max(0, after + 1 - first) :] if fits(record))
        found = list(islice(behind, limit))
        return LogPage(tuple(found), found[-1].number if len(found) == limit else max(newest, after), missed)

    def follow(
        self,
        after: int | None = None,
        level: str | None = None,
        flow: str | None = None,
        routine: str | None = None,
        text: str | None = None,
        patience: float = 1.0,
    ) -> Iterator[LogRecord | None]:
        """Records as they come; None after each *patience* seconds without one. Ends when this is closed.

        Whoever is more than 10,000 records behind misses some; their numbers tell.
        """
        fits = _filter(level, flow, routine, text)
        seen = self._number if after is None else after
        while True:
            deadline = monotonic() + patience
            with self.changed:
                while self._number <= seen and not self._closed and (left := deadline - monotonic()) > 0:
                    self.changed.wait(left)
                first = self._records[0].number if self._records else 0
                fresh = list(islice(self._records, max(0, seen + 1 - first), None)) if self._number > seen else []
                seen = max(seen, self._number)
                closed = self._closed
            found = [record for record in fresh if fits(record)]
            yield from found
            if closed and not fresh:
                return
            if not found:
                yield None

    def __enter__(self) -> RecentLogs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; who follows is let go."""
        self._logger.removeHandler(self)
        if self._keep in self._listeners:
            self._listeners.remove(self._keep)
        with self.changed:
            self._closed = True
            self.changed.notify_all()
        super().close()


def _filter(level: str | None, flow: str | None, routine: str | None, text: str | None) -> Callable[[LogRecord], bool]:
    least = _number(level) if level is not None else 0
    if level is not None and not least:
        raise ValueError(f"there is no log level {level!r}: DEBUG, INFO, WARNING, ERROR or CRITICAL")
    part = text.lower() if text else None

    def fits(record: LogRecord) -> bool:
        if flow is not None and record.flow != flow:
            return False
        if routine is not None and record.routine != routine:
            return False
        if least and _number(record.level) < least:
            return False
        return part is None or part in record.message.lower()

    return fits


def _number(level: str) -> int:
    """The number of a level, also of one without a name, which logging calls ``"Level 35"``."""
    value: Any = logging.getLevelName(level.upper())
    if isinstance(value, int):
        return value
    digits = level.rpartition(" ")[2]
    return int(digits) if digits.isdigit() else 0
