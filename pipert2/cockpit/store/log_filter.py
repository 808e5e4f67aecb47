"""Which log records somebody wants to see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipert2.cockpit.store.levels import level_number

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Fits records of this *level* and above, of this *flow* and *routine*, with all words of *text* in them.

    A word may stand in the message or in the traceback, in any case, and may be the beginning of one there.

    >>> wanted = LogFilter(text="cam fail")
    >>> record = {"level": "INFO", "flow": None, "routine": None, "message": "Failed: CAMERA", "traceback": None}
    >>> wanted.fits(record), LogFilter(text="era").fits(record)
    (True, False)
    """

    level: str | None = None
    flow: str | None = None
    routine: str | None = None
    text: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the text, in lower case."""
        return tuple(word.lower() for word in (self.text or "").split())

    @property
    def tokens(self) -> tuple[str, ...]:
        """The words as a full-text index has them: letters and digits only, in lower case."""
        return tuple(_WORD.findall((self.text or "").lower()))

    @property
    def everything(self) -> bool:
        """Whether all records fit."""
        return self == LogFilter() or (not self.words and self == LogFilter(text=self.text))

    def fits(self, record: Mapping[str, Any]) -> bool:
        """Whether a record fits."""
        if self.routine is not None and record["routine"] != self.routine:
            return False
        if self.flow is not None and record["flow"] != self.flow:
            return False
        if self.level is not None and level_number(record["level"]) < level_number(self.level):
            return False
        if not self.text:
            return True
        searched = f"{record['message']}\n{record['traceback'] or ''}".lower()
        if self.tokens:
            return all(re.search(f"(?<![^\\W_]){re.escape(token)}", searched) for token in self.tokens)
        return all(word in searched for word in self.words)
