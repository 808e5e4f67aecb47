"""What the ends of edges that count their messages have in common: the words by which each knows of the other."""

from __future__ import annotations

from typing import Any

from pipert2.transport import board as b
from pipert2.transport.memory import Bell, Fence


class SendingWords:
    """The sending end's words. Those who have it keep ``_words``, ``_row``, ``_number``, ``_closed`` and ``_bell``."""

    __slots__ = ()

    _words: Any
    _row: int
    _number: int
    _closed: bool
    _bell: Bell
    _fence: Fence

    def end(self) -> None:
        """Say that no message follows, for now."""
        self._words[self._row + b.ENDED] = self._number + 1
        self._fence()
        self._bell.ring()

    def reopen(self) -> None:
        """Take :meth:`end` back: the source starts again."""
        self._words[self._row + b.ENDED] = 0

    def close(self) -> None:
        """Say that no message will follow: the edge was unlinked."""
        self._closed = True  # type: ignore[misc]  # whoever has these words has this slot
        self._words[self._row + b.CLOSED] = 1
        self.end()

    def discard(self) -> None:
        """Count a message that could not be sent."""
        self._words[self._row + b.DISCARDED] += 1

    def leave_out(self) -> None:
        """Count a message that the wire's condition keeps from it."""
        self._words[self._row + b.FILTERED] += 1


class ReceivingWords:
    """The receiving end's words. Those who have it keep ``_words``, ``_row``, ``_taken`` and ``_sender_bell``."""

    __slots__ = ()

    _words: Any
    _row: int
    _taken: int
    _sender_bell: Bell

    def has_data(self) -> bool:
        """Whether there is something to take."""
        return bool(self._words[self._row] > self._taken)

    def ended(self) -> bool:
        """Whether everything was taken and nothing follows."""
        ended = self._words[self._row + b.ENDED]
        return bool(ended and self._taken >= ended - 1 and self._words[self._row] == ended - 1)

    def wake_sender(self) -> None:
        """Let a sender that waits for room look again: this receiver is killed."""
        self._sender_bell.ring()
