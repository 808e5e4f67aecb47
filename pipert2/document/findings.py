"""What is wrong with a document, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipert2.errors import PipeBuildError, PipertError


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong. *line* and *column* count from 1; 0 where it is the file as a whole."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        position = f":{self.line}:{self.column}" if self.line else ""
        return f"{self.file}{position}: {self.message}"


class DocumentError(PipeBuildError):
    """A document does not describe a pipe; *findings* lists everything that is wrong with it, with its place."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__([str(finding) for finding in findings])
        self.args = (self.findings,)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return f"{len(self.problems)} problems:" + "".join(f"\n  {problem}" for problem in self.problems)


class UnwritablePipeError(PipertError):
    """A pipe cannot be written as a document; *problems* lists all reasons, each with the routine's name."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"the pipe cannot be written as a document: {self.problems[0]}"
        lines = "".join(f"\n  {number}. {problem}" for number, problem in enumerate(self.problems, 1))
        return f"the pipe cannot be written as a document, {len(self.problems)} problems:{lines}"


@dataclass(slots=True)
class Place:
    """Where a value stands in its file, and where its parts do.

    Attributes:
        keys: of a mapping, where its keys stand.
        parts: of a mapping or list, its values.
    """

    line: int = 0
    column: int = 0
    keys: dict[str, Place] = field(default_factory=dict)
    parts: dict[str, Place] | list[Place] = field(default_factory=dict)

    def at(self, *path: str | int) -> Place:
        """The place of the value that *path* leads to, or of the innermost one around it that is in the file."""
        place = self
        for step in path:
            inner = place._part(step)
            if inner is None:
                break
            place = inner
        return place

    def key(self, *path: str | int) -> Place:
        """The place of the key that *path* leads to; of the value if it is no key."""
        around = self.at(*path[:-1])
        return around.keys.get(str(path[-1])) or self.at(*path)

    def without(self, *path: str | int) -> None:
        """Forget a value that was taken out of the document."""
        around, last = self.at(*path[:-1]), path[-1]
        if isinstance(around.parts, list):
            if isinstance(last, int) and last < len(around.parts):
                del around.parts[last]
        else:
            around.parts.pop(str(last), None)
            around.keys.pop(str(last), None)

    def rename(self, key: str, new: str) -> None:
        """Know a key of this mapping by another name."""
        if isinstance(self.parts, dict):
            self.parts[new], self.keys[new] = self.parts.pop(key), self.keys.pop(key)

    def _part(self, step: str | int) -> Place | None:
        if isinstance(self.parts, list):
            return self.parts[step] if isinstance(step, int) and step < len(self.parts) else None
        return self.parts.get(step) if isinstance(step, str) else None


class Findings:
    """Collects what is wrong with one document."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: set[Finding] = set()

    def add(self, place: Place, message: str) -> None:
        """Note that *message* holds at *place*."""
        self._found.add(Finding(self.file, place.line, place.column, " ".join(message.split())))

    def __bool__(self) -> bool:
        return bool(self._found)

    def sorted(self) -> list[Finding]:
        """All of them in the file's order, each once."""
        return sorted(self._found)
