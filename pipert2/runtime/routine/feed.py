"""What a source that is fed from outside brings: a *feed*, which its own threads fill.

It learns of each message when all that came of it is acknowledged, where its pipe keeps account of that
(``max_in_flight``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from pipert2.errors import UnreadableDataError
from pipert2.runtime.messages import Packed


class Fed(NamedTuple):
    """What a feed has got.

    Attributes:
        data: the data, or :class:`Encoded`.
        tag: names it in :meth:`Feed.over`.
        sequence: the how manieth of its source's it is; 0: the next one of this source.
        born: when it was made; monotonic clock of this host, ns.
    """

    data: Any
    tag: Any
    sequence: int
    born: int


class Feed(Protocol):
    """What a source is fed from; all of it is called in the routine's own thread."""

    @property
    def ready(self) -> bool:
        """Whether there is something to take."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing will ever come, and nothing is left to say."""
        ...

    def take(self) -> Fed | None:
        """What has waited longest.

        Raises:
            UnreadableFeed: it cannot be read.
        """
        ...

    def over(self, tag: Any) -> None:
        """A message is done: sent on, or, where account is kept, all that came of it is acknowledged."""
        ...

    def returned(self, tag: Any, value: Packed) -> None:
        """What a destination returned for a message, before :meth:`over`; of sources that hand that on."""
        ...

    def tend(self) -> float | None:
        """Called before the routine's thread sleeps; in so many seconds it shall be called again at the latest."""
        ...

    def close(self) -> None: ...


class UnreadableFeed(UnreadableDataError):
    """Something that a feed has got cannot be turned into data; *tag* names it, *sequence* is its own."""

    def __init__(self, source: str, reason: str, tag: Any, sequence: int) -> None:
        super().__init__(source, reason)
        self.tag = tag
        self.sequence = sequence


class BringsFeed(ABC):
    """A source that is fed from outside. Its feed lives from start to stop."""

    @abstractmethod
    def open_feed(self, ring: Callable[[], None]) -> Feed:
        """The feed; *ring* wakes the routine's thread, from any thread."""
