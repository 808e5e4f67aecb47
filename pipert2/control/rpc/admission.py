"""Who may connect, which libzmq asks before a peer can say anything."""

from __future__ import annotations

import ipaddress
import logging
import os
from typing import Any

import gevent
import gevent.event
import gevent.lock
import gevent.queue
import zmq
from zmq.utils import z85

logger = logging.getLogger(__name__)

DOMAIN = b"pipert2"
"""By which libzmq tells this server's peers from others'."""


def may_connect(mechanism: bytes, address: str, key: bytes, allowed: frozenset[bytes]) -> bool:
    """Whether a peer may.

    Args:
        mechanism: ``b"NULL"`` or ``b"CURVE"``.
        address: the peer's. key: its public key in CURVE.
        allowed: public keys (Z85); empty: nobody needs one, and all are on this machine.
    """
    if allowed:
        return mechanism == b"CURVE" and len(key) == 32 and z85.encode(key) in allowed
    if mechanism != b"NULL":
        return False
    try:
        peer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return _is_own_user(address)
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return peer.is_loopback


def _is_own_user(address: str) -> bool:
    """Of a peer on ipc, libzmq tells "localhost:", user, group and process where the system knows them."""
    name, _, ids = address.partition(":")
    if name != "localhost":
        return not address
    user = ids.partition(":")[0]
    return user in ("0", str(os.getuid()))


class Authenticator:
    """Answers libzmq's question whether a peer may connect (its protocol is ZAP 1.0, RFC 27 of ZeroMQ)."""

    def __init__(self, context: Any, allowed: frozenset[bytes]) -> None:
        self._allowed = allowed
        self._refused = 0
        self._socket = context.socket(zmq.REP)
        self._socket.set(zmq.LINGER, 0)
        self._socket.bind("inproc://zeromq.zap.01")
        self._task = gevent.spawn(self._run)

    def _run(self) -> None:
        while True:
            parts = self._socket.recv_multipart()
            version, request = parts[0], parts[1] if len(parts) > 1 else b""
            allowed = False
            if len(parts) >= 6 and version == b"1.0" and parts[2] == DOMAIN:
                key = parts[6] if len(parts) > 6 else b""
                allowed = may_connect(parts[5], parts[3].decode(errors="replace"), key, self._allowed)
            if not allowed:
                self._refused += 1
                level = logging.DEBUG if self._refused & (self._refused - 1) else logging.WARNING  # few lines of many
                address = parts[3].decode(errors="replace")[:100] if len(parts) > 3 else "?"
                logger.log(level, "rpc: refused %d connections so far, the last one from %r", self._refused, address)
            status = (b"200", b"OK") if allowed else (b"400", b"not allowed")
            self._socket.send_multipart([b"1.0", request, *status, b"", b""])

    def close(self) -> None:
        """Answer no more."""
        self._task.kill()
        self._socket.close()
