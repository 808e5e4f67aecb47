"""``pipert2 top``: a live view of a running pipe in the terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from pipert2.cli.connect import ANSWER_SECONDS, Address, find_address
from pipert2.cli.options import Json, PipeName, Token, Url

if TYPE_CHECKING:
    from pipert2.cli.top_feed import Change
    from pipert2.cli.top_model import View


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("top")(top)


def top(
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.2, max=60.0, help="How often it is drawn anew.")
    ] = 0.75,
    once: Annotated[bool, typer.Option("--once", help="One picture, then end; so without a terminal.")] = False,
    url: Url = None,
    pipe: PipeName = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Watch a running pipe: routines, wires, rates, latencies, drops.

    Keys: s start and x stop (the chosen routine, or the whole pipe), up/down or k/j choose, enter details, q quit.
    """
    if as_json or once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        _once(url, pipe, token, as_json)
    else:
        _watch(find_address(url, pipe, token), interval)


def _once(url: str | None, pipe: str | None, token: str | None, as_json: bool) -> None:
    from pipert2.cli.printing import output, print_json

    address = find_address(url, pipe, token)
    with address.client(ANSWER_SECONDS) as client:
        status = client.status()
    if as_json:
        print_json(status.to_dict())
        return
    from pipert2.cli.top_model import View
    from pipert2.cli.top_picture import picture

    output().print(picture(View(address.url, status), sys.maxsize, keys=False))


class _Screen:
    """The view that keys and the feed change, and a pipe that wakes whoever waits for a change."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._lock = threading.Lock()
        self._closed = False
        self.woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)

    def change(self, change: Change) -> None:
        with self._lock:
            self.view = change(self.view)
            if not self._closed:
                with contextlib.suppress(BlockingIOError):  # full: it is being woken anyway
                    os.write(self._waker, b".")

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.woken)
                os.close(self._waker)


def _watch(address: Address, interval: float) -> None:
    from rich.live import Live

    from pipert2.cli.printing import output
    from pipert2.cli.top_feed import Feed
    from pipert2.cli.top_model import Action, View, after_key, keys_in
    from pipert2.cli.top_picture import picture

    console = output()
    screen = _Screen(View(address.url))
    keyboard = sys.stdin.fileno()

    def draw() -> None:
        live.update(picture(screen.view, console.height, keys=True), refresh=True)

    with (
        contextlib.closing(screen),
        _keys_at_once(keyboard),
        Feed(address, interval, screen.change) as feed,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            draw()
            ready, _, _ = select.select([keyboard, screen.woken], [], [], 5.0)
            if screen.woken in ready:
                os.read(screen.woken, 4096)
            data = os.read(keyboard, 1024) if keyboard in ready else b""
            if keyboard in ready and not data:
                return  # the terminal has gone
            for key in keys_in(data):
                view, action = after_key(screen.view, key)
                screen.change(lambda now: now.choosing(view.chosen, view.details))  # noqa: B023 - called at once
                if action is Action.QUIT:
                    return
                if action is not None:
                    feed.order(action, view.routine.name if view.routine is not None else None)


@contextmanager
def _keys_at_once(terminal: int) -> Iterator[None]:
    """Have the terminal hand over each key as it is pressed, without showing it."""
    import termios
    import tty

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
