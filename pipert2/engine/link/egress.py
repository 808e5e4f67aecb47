"""The sending end of a link: a destination in its own pipe."""

from __future__ import annotations

from typing import Any

from pipert2.engine.link.settings import LinkSettings
from pipert2.graph.routine import DestinationRoutine


class Egress(DestinationRoutine):
    """Carries what it gets to the ingress of the same key, in another pipe; in a flow of its own.

    Args:
        name: unique within its pipe.
        key: names the link; letters, digits, ``-``, ``_``, ``.`` and ``/``. One egress and one ingress have it (several
            egresses where the ingress says so).
        link: how the other side is reached.
        lossless: keep each message until all that came of it in the ingress's pipe is acknowledged there; else the
            newest wins while the link is slow or cut.
        credit: the most messages that may be under way and not done at the ingress's pipe; None: as many as the link
            bears. With replicas behind the ingress, their number times their concurrency.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        key: str,
        link: LinkSettings,
        lossless: bool = False,
        credit: int | None = None,
    ) -> None:
        super().__init__(name)
        self.key = key
        self.link = link
        self.lossless = lossless
        self.credit = credit

    def main_logic(self, data: Any) -> None:
        raise NotImplementedError
