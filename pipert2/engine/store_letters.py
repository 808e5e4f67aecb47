"""Dead letters of a pipe on a cluster that has a store: they lie there, whichever site gave them up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from pipert2.errors import PipertError, UnknownDeadLetterError
from pipert2.runtime.supervision.dead_letter_results import DeadLetterStatus, RequeueResult, drop_each, requeue_each
from pipert2.runtime.supervision.dead_letter_shelves import MOST, Letter, StoreShelf
from pipert2.store import Store


class StoreLetters:
    """Keeps letters for all sites. Safe to use from any thread.

    Args:
        store: the pipe's.
        pipe: the pipe's name.
        redo: lets a routine work on a letter, by its number; raises what goes wrong.
        gone: told of letters that are done or dropped, by their numbers.
    """

    def __init__(
        self,
        store: Store,
        pipe: str,
        redo: Callable[[int, Letter, float], None],
        gone: Callable[[int, Letter], None],
    ) -> None:
        self._shelf = StoreShelf(store, pipe)
        self._pipe = pipe
        self._redo = redo
        self._gone = gone

    def keep(self, site: str, letter: Letter) -> int:
        """Keep what a site gave up; its number. Raises StoreError where the store cannot."""
        return self._shelf.put(replace(letter, site=site))

    def counts(self) -> dict[str, int]:
        """How many there are, by routine."""
        return self._shelf.counts()

    def numbers(self, routine: str | None) -> list[int]:
        """The numbers of those that there are."""
        return list(self._shelf.numbers(routine))

    def list(self, routine: str | None, after: int, limit: int | None) -> tuple[DeadLetterStatus, ...]:
        """Those with numbers above *after*, oldest first."""
        found = self._shelf.page(routine, after, MOST if limit is None else limit)
        return tuple(DeadLetterStatus.of(number, letter) for number, letter in found)

    def requeue(self, number: int, wait: float) -> None:
        """Give one to its routine again; whatever goes wrong, it is kept as it was."""
        letter = self._take(number)
        try:
            self._redo(number, letter, wait)
        except BaseException:
            self._shelf.put_back(number, letter)
            raise
        self._remove(number, letter)

    def requeue_all(self, routine: str | None, wait: float) -> RequeueResult:
        """Give all, or those of a routine, to their routines again, one after the other."""
        return requeue_each(self.numbers(routine), self.requeue, wait)

    def drop(self, number: int) -> None:
        """Forget one."""
        self._remove(number, self._take(number))

    def drop_all(self, routine: str | None) -> tuple[int, ...]:
        """Forget all, or those of a routine; their numbers."""
        return drop_each(self.numbers(routine), self.drop)

    def _take(self, number: int) -> Letter:
        letter = self._shelf.take(number)
        if letter is None:
            known = [str(one) for one in self.numbers(None)[:1000]]
            raise UnknownDeadLetterError(str(number), known, f"pipe {self._pipe!r}")
        return letter

    def _remove(self, number: int, letter: Letter) -> None:
        self._shelf.remove(number, letter)
        with contextlib.suppress(PipertError):  # its site may have gone, and what it counted with it
            self._gone(number, letter)

    def close(self) -> None:
        """Let go of the store."""
        self._shelf.close()
