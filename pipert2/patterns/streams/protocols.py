"""The protocols of streams that are known: those of this package, and those that other packages bring along.

A package adds one with an entry point, which names its
:class:`~pipert2.patterns.streams.stream_protocol.StreamProtocol`::

    [project.entry-points."pipert2.streams"]
    MYDETECTOR = "my_package.my_detector:STREAM"
"""

from __future__ import annotations

import functools
import logging
from importlib.metadata import entry_points

from pipert2.patterns.streams import (
    albaem,
    contrast,
    eiger_legacy,
    eiger_simplon,
    lecroy,
    panda_tcp,
    panda_zmq,
    stins,
    xspress3,
)
from pipert2.patterns.streams.stream_protocol import StreamProtocol

GROUP = "pipert2.streams"

logger = logging.getLogger(__name__)

_OWN = {
    one.name: one
    for one in (
        stins.STREAM,
        xspress3.STREAM,
        contrast.STREAM,
        albaem.STREAM,
        panda_zmq.STREAM,
        panda_tcp.STREAM,
        eiger_legacy.STREAM,
        eiger_simplon.STREAM,
        lecroy.STREAM,
    )
}


def protocol_of(name: str) -> StreamProtocol | None:
    """The protocol of a name; None if there is none, whose messages are frames without a number."""
    return _OWN.get(name) or _installed(name)


def known_protocols() -> list[str]:
    """The names of all protocols that are known."""
    return sorted({*_OWN, *(entry.name for entry in entry_points(group=GROUP))})


@functools.cache
def _installed(name: str) -> StreamProtocol | None:
    for entry in entry_points(group=GROUP, name=name):
        try:
            found = entry.load()
        except Exception:  # whatever another package raises when it is imported
            logger.exception("the stream protocol %s (%s) cannot be loaded", name, entry.value)
            continue
        if isinstance(found, StreamProtocol):
            return found
        logger.error("the stream protocol %s (%s) is no StreamProtocol but %.80r", name, entry.value, found)
    return None
