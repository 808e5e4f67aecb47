"""Who looks at the cockpit in ``python -m benchmarks.cockpit``: Chromium, one that keeps up, one that stalls."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import socketio
import websocket

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
_OBSERVE = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) window.longTasks.push([one.startTime, one.duration]);
}).observe({type: "longtask", buffered: true});
"""
_TAKE = "() => { const found = window.longTasks; window.longTasks = []; return found; }"


class Follower:
    """A viewer of one pipe's log that acknowledges each batch at once, and comes back when the server does."""

    def __init__(self, url: str, pipe: str) -> None:
        self.received = 0
        self.skipped = 0
        self.unexplained = 0
        """Records that are missing between two batches without being counted as skipped."""
        self._last: int | None = None
        self._pipe = pipe
        silent = logging.Logger("silent", logging.CRITICAL + 1)
        self._client = socketio.Client(
            reconnection_delay=0.5,
            reconnection_delay_max=1,
            logger=silent,
            engineio_logger=silent,
            handle_sigint=False,
            websocket_extra_options={"suppress_origin": True},
        )
        self._client.on("connect", self._watch, namespace="/ui")
        self._client.on("logs", self._logs, namespace="/ui")
        for other in ("hello", "pipes", "structure", "status"):
            self._client.on(other, lambda *_: None, namespace="/ui")
        self._client.connect(url, transports=["websocket"], namespaces=["/ui"])

    def _watch(self) -> None:
        self._last = None
        self._client.emit("watch", {"pipe": self._pipe, "logs": {}, "frames": []}, namespace="/ui")

    def _logs(self, message: dict[str, Any]) -> None:
        records, skipped = message["records"], message["skipped"]
        self.received += len(records)
        self.skipped += skipped
        if records:
            if self._last is not None:
                gap = records[0]["number"] - self._last - 1
                self.unexplained += max(0, gap - skipped)
            self._last = records[-1]["number"]

    def close(self) -> None:
        self._client.disconnect()


class Stalled:
    """A viewer that asks for everything and then reads nothing; it comes again whenever the server has cut it."""

    def __init__(self, url: str, pipe: str) -> None:
        place = urlsplit(url)
        self._address = f"ws://{place.netloc}/socket.io/?EIO=4&transport=websocket"
        self._watch = "42/ui," + json.dumps(["watch", {"pipe": pipe, "logs": {}, "frames": []}])
        self._closing = threading.Event()
        self.times = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.is_set():
            with suppress(OSError, websocket.WebSocketException):
                self._stall()
            self._closing.wait(1.0)

    def _stall(self) -> None:
        connection = websocket.create_connection(self._address, timeout=5, suppress_origin=True)
        try:
            connection.recv()
            connection.send("40/ui,")
            connection.recv()
            connection.send(self._watch)
            self.times += 1
            while not self._closing.wait(1.0):
                connection.send("3")  # a pong, so that it looks alive, until its connection is cut
        finally:
            connection.shutdown()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5)


@dataclass
class Chromium:
    """A browser with the real page. Without Playwright or Chromium, *missing* says so, and nothing is measured.

    Attributes:
        tasks: for each thing that was done, the milliseconds of its long tasks (over 50 ms), as the page sees them.
        work: the same, but of the longest task only the time that it had a processor: what is left when other programs
            do not hold it up.
        heap: bytes of the page's JavaScript heap, each time something was done.
    """

    url: str
    missing: str | None = None
    tasks: dict[str, list[float]] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    heap: list[int] = field(default_factory=list)
    _page: Any = None
    _browser: Any = None
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
        self._browser.start_tracing(page=self._page, categories=["disabled-by-default-devtools.timeline"])

    def wait(self, seconds: float) -> None:
        """Let time pass; the browser works meanwhile in any case."""
        if self._page is None:
            time.sleep(seconds)
        else:
            self._page.wait_for_timeout(1e3 * seconds)

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
        """Put down the long tasks since the last note as those of *what*."""
        if self._page is None:
            return
        events = json.loads(self._browser.stop_tracing())["traceEvents"]
        self._trace()
        self.work[what] = max([self.work.get(what, 0.0), *_work_of_page(events)])
        self.tasks.setdefault(what, []).extend(duration for _, duration in self._page.evaluate(_TAKE))
        self.heap.append(int(self._page.evaluate("performance.memory.usedJSHeapSize")))


def _work_of_page(events: list[dict[str, Any]]) -> list[float]:
    """Milliseconds of processor time of each task of the page's main thread."""
    mains = {
        (one["pid"], one["tid"])
        for one in events
        if one["name"] == "thread_name" and one["args"].get("name") == "CrRendererMain"
    }
    return [
        one.get("tdur", 0) / 1e3
        for one in events
        if one["name"].endswith("RunTask") and (one["pid"], one["tid"]) in mains
    ]
