"""A real cockpit, a real pipe and Debian's Chromium; each a process of its own, as users have them."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from pipert2.testing import wait_until
from tests.integration.cockpit_tls import Certificates
from tests.ports import free_port

pytest.importorskip("playwright", reason='needs pip install "pipert2[dev]"')
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[3]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    # A name that somebody else has, as if it had been pointed at this machine.
    "--host-resolver-rules=MAP evil.example 127.0.0.1",
)
PATIENCE_MS = 20_000
PATIENCE = 120.0
"""Seconds until a pipe or a cockpit is up: ten processes take their time on a busy machine, and the page is tested."""

expect.set_options(timeout=PATIENCE_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in Path(item.path).parents and CHROMIUM is None:
            item.add_marker(pytest.mark.skip(reason="needs chromium: apt-get install chromium"))


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The page, built from the sources as they are now; by one test process at a time."""
    with open(_shared(tmp_path_factory) / "bundle.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _build()


def _shared(factory: pytest.TempPathFactory) -> Path:
    """A folder that all test processes of this run have in common."""
    own = factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def _build() -> None:
    build = [sys.executable, "-c", "import sys; from pathlib import Path; from cockpit_bundle import provide_bundle\n"]
    build[2] += (
        f"provide_bundle(Path({str(ROOT / 'cockpit_client')!r}), Path({str(ROOT)!r}) / 'pipert2/cockpit/static')"
    )
    environment = {
        **os.environ,
        "PIPERT2_COCKPIT": "require",
        "PYTHONPATH": str(ROOT / "cockpit_client" / "python"),
    }
    done = subprocess.run(build, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class Running:
    """A program that was started. Kills and waits on close."""

    process: subprocess.Popen[str]
    log: Path

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait(60)

    def close(self) -> None:
        """Ask it to end, and see that it does."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        elif self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()


def start(*command: str, log: Path, stdin: bool = False) -> Running:
    """Start a program of ours; what it says goes into a file."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    for name in [name for name in environment if name.startswith(("PIPERT2_", "SOCKET_LOGGER"))]:
        del environment[name]
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=log.parent,
            env=environment,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return Running(process, log)


class CockpitProcess:
    """``pipert2 cockpit``, that can be ended and started again on the same port with the same database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "cockpit.db"
        self.url = ""
        self.certificates: Certificates | None = None
        """If set, it is served over TLS."""
        # Of those that no connection is given: it must still be there when the cockpit is started again, while the
        # pages and pipes that lost it try to reach it all the time.
        self._port = free_port()
        self._running: Running | None = None

    def start(self) -> None:
        """Begin to serve."""
        log = self.folder / "cockpit.log"
        log.unlink(missing_ok=True)
        arguments = ["--port", str(self._port), "--database", str(self.database)]
        if self.certificates is not None:
            arguments += ["--certificate", str(self.certificates.certificate), "--key", str(self.certificates.key)]
        self._running = start("-m", "pipert2", "cockpit", *arguments, log=log)
        found = wait_until(lambda: re.search(r"https?://[\d.]+:\d+", self._said()), PATIENCE, "the cockpit's address")
        self.url = found[0]
        wait_until(self._answers, PATIENCE, "the cockpit's answer")

    def _said(self) -> str:
        assert self._running is not None
        said = self._running.log.read_text()
        assert self._running.process.poll() is None, said
        return said

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2.0, verify=self._trusted()).status_code == 200
        except httpx.HTTPError:
            return False

    def _trusted(self) -> ssl.SSLContext | bool:
        return True if self.certificates is None else ssl.create_default_context(cafile=str(self.certificates.ca))

    def add_user(self, name: str, password: str, role: str) -> None:
        """Make an account."""
        command = ["-m", "pipert2", "cockpit", "user", "add", name, "--role", role, "--password-stdin"]
        subprocess.run(
            [sys.executable, *command, "--database", str(self.database)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            input=f"{password}\n",
            text=True,
            capture_output=True,
            timeout=60,
            check=True,
        )

    def kill(self) -> None:
        """End it at once."""
        if self._running is not None:
            self._running.kill()

    def close(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.close()


StartPipe = Callable[..., Running]


@pytest.fixture
def own_cockpit(bundle: None, tmp_path: Path) -> Iterator[CockpitProcess]:
    """A cockpit for one test, not started yet: for those that end it, or give it accounts."""
    made = CockpitProcess(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="package")
def cockpit(bundle: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CockpitProcess]:
    """A cockpit for all tests."""
    made = CockpitProcess(tmp_path_factory.mktemp("cockpit"))
    made.start()
    yield made
    made.close()


def start_pipe(url: str, name: str, folder: Path, ca: Path | None = None) -> Running:
    """Start the pipe that is watched."""
    script = str(Path(__file__).with_name("watched_pipe.py"))
    trusted = () if ca is None else (str(ca),)
    return start(script, url, name, *trusted, log=folder / f"{name}.log", stdin=True)


@pytest.fixture(scope="package")
def pipe(cockpit: CockpitProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The pipe ``stripes``, shown in the cockpit."""
    running = start_pipe(cockpit.url, "stripes", tmp_path_factory.mktemp("pipe"))
    try:
        wait_until(lambda: is_up(cockpit.url, running, "stripes"), PATIENCE, "the pipe in the cockpit")
        yield running
    finally:
        running.close()


def is_up(url: str, running: Running, name: str, state: str | None = "running") -> bool:
    """Whether the cockpit shows a pipe of this name, in this state if one is given."""
    assert running.process.poll() is None, running.log.read_text()
    try:
        pipes = httpx.get(f"{url}/api/pipes", timeout=5.0).json()["pipes"]
    except httpx.TransportError:  # a busy machine: asked again
        return False
    return any(one["name"] == name and one["connected"] and state in (None, one["state"]) for one in pipes)


@pytest.fixture
def another_pipe(cockpit: CockpitProcess, tmp_path: Path) -> Iterator[Callable[[str], Running]]:
    """Starts one like ``stripes`` by another name, for a test that ends it, in the cockpit of all tests."""
    started: list[Running] = []

    def begin(name: str) -> Running:
        started.append(start_pipe(cockpit.url, name, tmp_path))
        wait_until(lambda: is_up(cockpit.url, started[-1], name), PATIENCE, "the pipe in the cockpit")
        return started[-1]

    yield begin
    for running in started:
        running.close()


@pytest.fixture
def own_pipe(own_cockpit: CockpitProcess, tmp_path: Path) -> Iterator[StartPipe]:
    """Starts the pipe ``stripes`` for one test, in the test's own cockpit (that must be up)."""
    started: list[Running] = []

    def begin(connected: Callable[[], bool] | None = None) -> Running:
        ca = own_cockpit.certificates.ca if own_cockpit.certificates is not None else None
        started.append(start_pipe(own_cockpit.url, "stripes", tmp_path, ca))
        wait_until(
            connected or (lambda: is_up(own_cockpit.url, started[-1], "stripes")), PATIENCE, "the pipe in the cockpit"
        )
        return started[-1]

    yield begin
    for running in started:
        running.close()


@contextmanager
def script_beside(
    cockpit: CockpitProcess, folder: Path, script: str, name: str, *arguments: str, state: str | None = "running"
) -> Iterator[Running]:
    """Run a script of this folder, until this is closed; open when the cockpit shows its pipe, which has this name."""
    path = str(Path(__file__).with_name(script))
    running = start(path, cockpit.url, *arguments, log=folder / f"{script}.log", stdin=True)
    try:
        wait_until(lambda: is_up(cockpit.url, running, name, state), PATIENCE, "the pipe in the cockpit")
        yield running
    finally:
        running.close()


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """A browser for all tests; each opens pages in a fresh profile of its own."""
    launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
    yield launched
    launched.close()


Shoot = Callable[[Page, str], None]


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    """Takes a screenshot into the folder that ``COCKPIT_SCREENSHOTS`` names, or a temporary one."""
    folder = Path(os.environ.get("COCKPIT_SCREENSHOTS") or tmp_path / "screenshots")

    def take(page: Page, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png")

    return take


class Watched:
    """What a page complained about and asked for."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))

    def _note(self, kind: str, text: str) -> None:
        # Requests that fail are what some tests are about; all else must not happen.
        if kind == "error" and "Failed to load resource" not in text and "WebSocket connection" not in text:
            self.complaints.append(text)


NewPage = Callable[..., Page]


@pytest.fixture
def new_page(browser: Browser, request: pytest.FixtureRequest, shoot: Shoot) -> Iterator[NewPage]:
    """Makes pages; each must stay without errors, and ask nobody but its own server."""
    watched: list[tuple[Watched, Page]] = []
    contexts: list[BrowserContext] = []

    def make(
        width: int = 1280,
        height: int = 800,
        scheme: str = "light",
        touch: bool = False,
        zone: str = "UTC",
        any_certificate: bool = False,
    ) -> Page:
        context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            has_touch=touch,
            timezone_id=zone,
            reduced_motion="reduce",
            ignore_https_errors=any_certificate,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        watched.append((Watched(page), page))
        return page

    yield make
    failed = request.node.stash.get(_failed, False)
    for number, (_, page) in enumerate(watched):
        if failed:
            shoot(page, f"failed-{request.node.name}-{number}")
    for context in contexts:
        context.close()
    if failed:
        return
    for one, page in watched:
        own = re.match(r"\w+://[^/]+", page.url)
        host = own[0].partition("//")[2] if own else ""
        outside = [url for url in one.requests if not url.startswith("blob:") and url.split("/")[2] != host]
        assert not one.complaints, one.complaints
        assert not outside, outside


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page of 1280 by 800."""
    return new_page()
