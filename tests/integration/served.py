"""Servers of small pipes that run in this process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from pipert2 import Pipe, Routine, source
from pipert2.control.http.server import ControlServer
from pipert2.control.http.tokens import Tokens
from pipert2.control.service import ControlService
from pipert2.testing import CollectingDestination


@source
def numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number
        time.sleep(0.001)


def served(
    stack: contextlib.ExitStack, name: str, *routines: Routine, inline: bool = True, **options: Any
) -> ControlServer:
    """The server of a new pipe, open to all unless *options* say otherwise; *stack* ends both."""
    pipe = Pipe(name, inline=inline)
    pipe.create_flow("all", True, *(routines or (numbers, CollectingDestination("sink"))))
    stack.callback(pipe.join, to_kill=True)
    service = stack.enter_context(ControlService(pipe))
    options = {"tokens": Tokens.none(), "announce": False, "port": 0, **options}
    return stack.enter_context(ControlServer(service, **options))
