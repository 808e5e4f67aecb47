"""The protocols of streams: where in its stream a message belongs."""

from __future__ import annotations

from collections.abc import Callable

from pipert2.patterns.streams import stins
from pipert2.patterns.streams.stream_data import Place, StreamData

Glance = Callable[[StreamData], tuple[Place, int | None]]
"""Where in its stream a message belongs, and its frame's number; raises PipertError if it cannot be read."""

PROTOCOLS: dict[str, Glance] = {stins.PROTOCOL: stins.glance}
"""By the protocol's name; messages of others are frames without a number."""
