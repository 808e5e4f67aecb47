"""What goes where: data to standard output, messages to standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 160
"""Characters; a table must not be folded where there is no terminal to fold it for."""


def output() -> Console:
    """The console for data."""
    return _console(stderr=False)


def messages() -> Console:
    """The console for messages."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def say(text: str, style: str | None = None) -> None:
    """A message for the person at the terminal."""
    messages().print(printable(text), style=style, soft_wrap=True)


def complain(text: str) -> None:
    """The one clear line of an error."""
    from rich.text import Text

    messages().print(Text.assemble(("pipert2: ", "bold red"), printable(text)), soft_wrap=True)


def print_json(value: Any, *, in_one_line: bool = False) -> None:
    """A reply as JSON on standard output; *in_one_line* where one follows another."""
    from pipert2.control.verbs import plain

    layout: dict[str, Any] = {} if in_one_line else {"indent": 2}
    print(json.dumps(plain(value), ensure_ascii=False, **layout), flush=in_one_line)


def printable(text: str) -> str:
    """*text* without characters that would make a terminal do something; only line ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
