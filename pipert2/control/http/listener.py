"""The socket that takes connections, and bounds how many there are."""

from __future__ import annotations

import ipaddress
import os
import socket
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pipert2.errors import ControlError

MOST_CONNECTIONS = 300
BACKLOG = 128
_UNREAD_MILLISECONDS = 30_000


class Listener(socket.socket):
    """A listening socket with a bound on connections, those included that are still in a TLS handshake.

    Args:
        host: a name or an address of this machine. A name that has several stands for its first IPv4 address.
        port: 0 for any free one.

    Attributes:
        most: connections at a time.
        make_room: asked for when there are that many: closes one that can be spared, False if there is none.

    Raises:
        ControlError: the address is not one of this machine, the port is taken, or is not for this user.
    """

    most = MOST_CONNECTIONS

    def __init__(self, host: str, port: int) -> None:
        family, address = _resolve(host, port)
        # The protocol is named, else asyncio does not see that TCP_NODELAY is for its connections: 40 ms an answer.
        super().__init__(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.make_room: Callable[[], bool] = lambda: False
        self._accepted: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        try:
            if os.name == "posix":  # elsewhere it would let two programs have the same port
                self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(address)
            self.listen(BACKLOG)
        except OSError as error:
            self.close()
            reason = f"cannot listen on port {port} of {host}: {error.strerror or error}"
            advice = "choose another port, or port 0 for any that is free"
            raise ControlError("bad_argument", f"{reason}; {advice}", field="port") from None
        self.setblocking(False)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.getsockname()[1])

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return _is_loopback(self.getsockname()[0])

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises:
            ConnectionAbortedError: there was no room for it.
        """
        accepted, address = super().accept()
        if len(self._accepted) >= self.most and self._count() >= self.most and not self.make_room():
            accepted.close()
            raise ConnectionAbortedError
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # a peer that lost its power acknowledges nothing
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MILLISECONDS)
        self._accepted.add(accepted)
        return accepted, address

    def cut_off(self) -> None:
        """Cut all that are still connected."""
        for one in list(self._accepted):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _count(self) -> int:
        return sum(one.fileno() != -1 for one in list(self._accepted))


def only_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on *host*.

    Raises:
        ControlError: there is no such host.
    """
    return _is_loopback(_resolve(host, 0)[1][0])


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    if not isinstance(host, str) or not host:
        raise ControlError("bad_argument", f"the host is a name or an address, not {host!r}", field="host")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ControlError("bad_argument", f"the port is a number from 0 to 65535, not {port!r}", field="port")
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ControlError("bad_argument", f"host {host!r} is not known here: {reason}", field="host") from None
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, address
