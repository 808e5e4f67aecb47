"""Chromium with the real page in ``python -m benchmarks.cockpit``, and what its main thread is busy with."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Any

import psutil

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
LONG_MS = 50.0
"""What browsers call a long task."""
_CATEGORIES = ["disabled-by-default-devtools.timeline", "devtools.timeline", "v8"]
_OBSERVE = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) window.longTasks.push(one.duration);
}).observe({type: "longtask", buffered: true});
"""
_TAKE = "() => { const found = window.longTasks; window.longTasks = []; return found; }"
_LEAST_PART_MS = 3.0
Events = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the page's main thread.

    Attributes:
        wall: milliseconds from its beginning to its end: what the page sees, also while other programs have the
            processors.
        work: milliseconds of these in which it had a processor itself.
        parts: what it did, the longest first, in words with milliseconds from beginning to end.
    """

    wall: float
    work: float
    parts: str = ""

    def __str__(self) -> str:
        return f"{self.wall:.0f} ms, {self.work:.0f} of them with a processor: {self.parts or 'many small things'}"


@dataclass
class Phase:
    """What was seen while one thing was done.

    Attributes:
        long: milliseconds of each long task as the page itself was told of them.
        tasks: the longest tasks as the browser's trace has them, by their time from beginning to end.
        work: milliseconds of the task that had a processor for longest.
        waited: seconds in which the main thread could have worked and had no processor.
    """

    long: list[float] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    work: float = 0.0
    waited: float = 0.0


@dataclass
class Chromium:
    """A browser with the real page. Without Playwright or Chromium, *missing* says so, and nothing is measured.

    Attributes:
        phases: by what was done.
        heap: bytes of the page's JavaScript heap, each time something was done.
    """

    url: str
    missing: str | None = None
    phases: dict[str, Phase] = field(default_factory=lambda: defaultdict(Phase))
    heap: list[int] = field(default_factory=list)
    _page: Any = None
    _browser: Any = None
    _waited: float = 0.0
    _stack: list[Any] = field(default_factory=list)

    def __enter__(self) -> Chromium:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            self.missing = "playwright is not installed"
            return self
        if program is None:
            self.missing = "chromium is not installed"
            return self
        playwright = sync_playwright().start()
        self._stack.append(playwright.stop)
        self._browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        self._stack.append(self._browser.close)
        self._page = self._browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        self._page.add_init_script(_OBSERVE)
        self._trace()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in reversed(self._stack):
            with suppress(Exception):
                end()

    def _trace(self) -> None:
        self._browser.start_tracing(page=self._page, categories=_CATEGORIES)

    def wait(self, seconds: float) -> None:
        """Let time pass; the browser works meanwhile in any case."""
        if self._page is None:
            sleep(seconds)
        else:
            self._page.wait_for_timeout(1e3 * seconds)

    def cpu(self) -> float:
        """Seconds of processor time of all its processes so far."""
        found = 0.0
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if "chrom" in process.name():
                    found += sum(process.cpu_times()[:2])
        return found

    def open(self, pipe: str) -> None:
        """Open the graph of a pipe."""
        if self._page is not None:
            self._page.goto(f"{self.url}/?pipe={pipe}")
            self._page.locator(".graph[data-ready=true] .routine-node").first.wait_for(timeout=60_000)

    def press(self, name: str) -> None:
        """Go to another view."""
        if self._page is not None:
            self._page.get_by_role("button", name=name, exact=True).first.click(timeout=60_000)

    def choose(self, routine: str) -> None:
        """Open the panel of a routine."""
        if self._page is not None:
            self._page.locator(f'[data-routine="{routine}"]').dispatch_event("click", timeout=60_000)

    def note(self, what: str) -> None:
        """Put down what was seen since the last note as what happens at *what*."""
        if self._page is None:
            return
        long = self._page.evaluate(_TAKE)
        events = json.loads(self._browser.stop_tracing())["traceEvents"]
        main = _main_thread(events)
        phase = self.phases[what]
        if main is not None:
            waited = _waited_seconds(*main)
            phase.waited += max(0.0, waited - self._waited)
            tasks = tasks_of(events, main)
            phase.work = max([phase.work, *(task.work for task in tasks)])
            phase.tasks = sorted([*phase.tasks, *tasks], key=lambda task: -task.wall)[:50]
        phase.long.extend(long)
        self.heap.append(int(self._page.evaluate("performance.memory.usedJSHeapSize")))
        self._trace()
        if main is not None:
            self._waited = _waited_seconds(*main)
        self.wait(0.3)
        self._page.evaluate(_TAKE)  # to end a trace and to begin the next are long tasks of their own


def _main_thread(events: Events) -> tuple[int, int] | None:
    """Process and thread of the page's main thread: of those that could be, the one with most tasks."""
    found: dict[tuple[int, int], int] = {
        (one["pid"], one["tid"]): 0
        for one in events
        if one["name"] == "thread_name" and one["args"].get("name") == "CrRendererMain"
    }
    for one in events:
        place = (one["pid"], one["tid"])
        if place in found and one["name"].endswith("RunTask"):
            found[place] += 1
    return max(found, key=lambda place: found[place], default=None)


def _waited_seconds(process: int, thread: int) -> float:
    """How long a thread was ready to run and did not, since it began; 0 where the system does not tell."""
    try:
        words = Path(f"/proc/{process}/task/{thread}/schedstat").read_text().split()
    except OSError:
        return 0.0
    return int(words[1]) / 1e9


def tasks_of(events: Events, main: tuple[int, int]) -> list[Task]:
    """The tasks of one thread; of long ones also what they did."""
    own = sorted(
        (one for one in events if (one["pid"], one["tid"]) == main and one["ph"] == "X" and "dur" in one),
        key=lambda one: (one["ts"], -one["dur"]),
    )
    found: list[Task] = []
    for at, one in enumerate(own):
        if not one["name"].endswith("RunTask"):
            continue
        wall, work = one["dur"] / 1e3, one.get("tdur", 0) / 1e3
        found.append(Task(wall, work, _parts(own, at) if max(wall, work) > LONG_MS / 2 else ""))
    return found


def _parts(own: Events, at: int) -> str:
    """What happens directly in the task at *at*, and what in that again."""
    end = own[at]["ts"] + own[at]["dur"]
    times: dict[str, float] = defaultdict(float)
    open_until: list[float] = []
    for one in own[at + 1 :]:
        if one["ts"] >= end:
            break
        while open_until and open_until[-1] <= one["ts"]:
            open_until.pop()
        open_until.append(one["ts"] + one["dur"])
        if len(open_until) <= 2:
            times[f"{'' if len(open_until) == 1 else '-'}{_name(one)}"] += one["dur"] / 1e3
    return ", ".join(
        f"{name} {took:.0f}" for name, took in sorted(times.items(), key=lambda one: -one[1]) if took > _LEAST_PART_MS
    )


def _name(event: dict[str, Any]) -> str:
    arguments = event.get("args", {})
    data = arguments.get("data") or {}
    place = str(data.get("url") or arguments.get("fileName") or "").rpartition("/")[2]
    detail = data.get("functionName") or place or data.get("type", "")
    return f"{event['name']}({detail})" if detail else str(event["name"])
