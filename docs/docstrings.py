"""Docstrings as the reference shows them: roles become links or code, doctests become code blocks."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|mod|attr):`~?(?:pipert2\.)?([\w.]+)`")
_DOUBLE_TICKS = re.compile(r"``([^`]+)``")
_DOCTEST = re.compile(r"(?:^[ \t]*>>> .*\n?)(?:^[ \t]*\S.*\n?)*", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<![*\w])\*(\w+)\*(?![*\w])")


def _block(found: re.Match[str]) -> str:
    return f"\n```pycon\n{found[0].rstrip()}\n```\n"


def readable(text: str) -> str:
    """*text* in Markdown as mkdocstrings reads it."""
    parts: list[str] = []
    at = 0
    for found in _DOCTEST.finditer(text):
        parts += [_prose(text[at : found.start()]), _block(found)]
        at = found.end()
    return "".join([*parts, _prose(text[at:])])


_ATTRIBUTES = re.compile(r"^Attributes:\n((?:[ \t]+.*\n?)+)", re.MULTILINE)
_NEXT_NAME = re.compile(r"(?<=[.;]) (?=\w+: )")
_NAMES = re.compile(r"^( +)(\w+(?:, \w+)+): ((?:.*\n?)(?:^\1 .*\n?)*)", re.MULTILINE)


def _attributes(found: re.Match[str]) -> str:
    """One name to each entry of a list of attributes, as mkdocstrings wants it."""
    lines = _NEXT_NAME.sub("\n    ", found[1])
    return "Attributes:\n" + _NAMES.sub(
        lambda entry: "".join(f"{entry[1]}{name}: {entry[3].rstrip()}\n" for name in entry[2].split(", ")), lines
    )


def _prose(text: str) -> str:
    return _EMPHASIS.sub(r"`\1`", _DOUBLE_TICKS.sub(r"`\1`", _ROLE.sub(r"`\1`", text)))


class Docstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = readable(_ATTRIBUTES.sub(_attributes, obj.docstring.value))
