"""Ports for those who must be told one before they listen."""

from __future__ import annotations

import random
import socket

# Below those that the kernel gives to connections, and to listeners that do not say which one they want: such a port
# is often somebody else's before who was told it listens. Ray's workers have those up to 20000.
_PORTS = range(20_000, 32_000)


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    while True:
        port = random.SystemRandom().choice(_PORTS)  # not the seeded one: other test processes choose as well
        with socket.socket() as one:
            try:
                one.bind(("", port))
            except OSError:
                continue
        return port
