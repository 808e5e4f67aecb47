"""Show a running pipe: a live table in a terminal, a plain line now and then elsewhere, a final table.

Nothing here knows what the pipe does. Everything shown comes from `pipe.status()`, so `LiveView` fits any pipe:

    with LiveView(pipe):
        summary = pipe.run()
    print_table(summary)

`face_watch.py` uses it. Needs `rich`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.logging import RichHandler
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipert2 import Latency, Pipe, PipeStatus, RoutineStatus, RunSummary, WireStatus

REFRESH = 0.25  # seconds between two pictures of the live table
LINE_EVERY = 2.0  # seconds between two plain lines


def make_console() -> Console:
    """A console for stdout that does not fold the table where there is no terminal to fold it for."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def milliseconds(latency: Latency) -> str:
    """Turn a latency into `"2.3/46"`: p50 and p99 in milliseconds."""
    if latency.p50 is None or latency.p99 is None:
        return "-"
    return "/".join(f"{1e3 * value:.{0 if value >= 0.01 else 1}f}" for value in (latency.p50, latency.p99))


def routine_table(
    routines: Sequence[RoutineStatus], wires: Sequence[WireStatus], elapsed: float | None = None
) -> Table:
    """One row per routine: what went in and out, how fast, how long it took, how old it was on arrival (p50/p99, ms).

    Args:
        routines: as in a status or a run summary.
        wires: as there; what was dropped on the way to a routine stands in its row.
        elapsed: length of the run in seconds; given, the rate is the run's mean instead of the latest.
    """
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("routine", "flow", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("in", "out", "dropped", "rate/s", "work ms", "age ms", "errors"):
        table.add_column(heading, justify="right", no_wrap=True)
    for routine in routines:
        handled = max(routine.received, routine.sent)
        rate = routine.rate if elapsed is None else handled / max(elapsed, 1e-9)
        dropped = sum(wire.dropped for wire in wires if wire.destination == routine.name)
        table.add_row(
            routine.name,
            routine.flow,
            "finished" if routine.finished else routine.state,
            str(routine.received) if routine.received else "-",
            str(routine.sent) if routine.sent else "-",
            Text(str(dropped), "yellow") if dropped else "-",
            f"{rate:.1f}",
            milliseconds(routine.logic_time),
            milliseconds(routine.age),
            Text(str(routine.errors), "red") if routine.errors else "-",
        )
    return table


def print_table(summary: RunSummary, console: Console | None = None) -> None:
    """Print what a run came to: its length, why it ended, and a row per routine with mean rates."""
    console = console or make_console()
    console.print(f"{summary.reason} after {summary.elapsed:.1f} s", highlight=False)
    console.print(routine_table(summary.routines, summary.wires, summary.elapsed))


class LiveView:
    """Watches a pipe in a thread of its own for as long as the `with` block lasts.

    Args:
        pipe: the pipe to watch, built or not.
        counted: name of the routine whose messages are progress; the last one if it is left out.
        total: how many messages there will be, if that is known.
        console: where to print; stdout if it is left out.
    """

    def __init__(
        self, pipe: Pipe, *, counted: str | None = None, total: int | None = None, console: Console | None = None
    ) -> None:
        self._pipe = pipe
        self._counted = counted
        self._total = total
        self._console = console or make_console()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="live-view", daemon=True)
        self._handler: logging.Handler = logging.StreamHandler()
        if self._console.is_terminal:
            self._handler = RichHandler(console=self._console, show_path=False)  # log lines go above the live table
        self._started = 0.0

    def __enter__(self) -> LiveView:
        self._started = time.monotonic()
        logging.getLogger().addHandler(self._handler)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(5.0)
        logging.getLogger().removeHandler(self._handler)

    def _watch(self) -> None:
        if self._console.is_terminal:
            with Live(self._picture(), console=self._console, auto_refresh=False, transient=True) as live:
                while not self._done.wait(REFRESH):
                    live.update(self._picture(), refresh=True)
        else:
            while not self._done.wait(LINE_EVERY):
                self._console.print(self._line(self._pipe.status()), highlight=False)

    def _progress(self, status: PipeStatus) -> int:
        if not status.routines:
            return 0
        routine = status.routine(self._counted) if self._counted else status.routines[-1]
        return max(routine.received, routine.sent)

    def _line(self, status: PipeStatus) -> str:
        done = str(self._progress(status)) + (f" of {self._total}" if self._total else "")
        rates = ", ".join(f"{routine.name} {routine.rate:.1f}/s" for routine in status.routines)
        return f"{time.monotonic() - self._started:6.1f} s  {done} done; {rates}"

    def _picture(self) -> RenderableType:
        status = self._pipe.status()
        done = self._progress(status)
        elapsed = f"{time.monotonic() - self._started:.0f} s"
        if not self._total:
            return Group(Text(f"{elapsed}, {done} done"), routine_table(status.routines, status.wires))
        head = Table.grid(padding=(0, 2, 0, 0))
        head.add_row(elapsed, f"{done} of {self._total}", ProgressBar(total=self._total, completed=done, width=40))
        return Group(head, routine_table(status.routines, status.wires))
