"""The receiving end of a link: a source in its own pipe."""

from __future__ import annotations

from typing import Any

from pipert2.engine.link.settings import LinkSettings
from pipert2.graph.routine import SourceRoutine


class Ingress(SourceRoutine):
    """Sends what the egress of the same key carries here; in a flow of its own. Its stream ends when the egress's has.

    Args:
        name: unique within its pipe.
        key: names the link, as that of the egress.
        link: how the other side is reached.
        lossless: tell the egress that a message is done when all that came of it in this pipe is acknowledged; its pipe
            is lossless then, and ``max_in_flight`` is set. Else as soon as it was sent on.
        streams: how many egresses have this key; the stream ends when all of theirs have.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        key: str,
        link: LinkSettings,
        lossless: bool = False,
        streams: int = 1,
    ) -> None:
        super().__init__(name)
        self.key = key
        self.link = link
        self.lossless = lossless
        self.streams = streams
        if lossless:
            self.max_in_flight = 256

    def main_logic(self) -> Any:
        raise NotImplementedError
