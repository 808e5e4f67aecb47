"""Whether a Ray can be joined from here, found out within seconds: Ray itself would try for minutes."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
from typing import Any

import psutil

from pipert2.errors import PipeStateError

_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
"""How a client of HTTP/2 begins, and so of gRPC, which Ray's head speaks (RFC 9113, section 3.4)."""
_SETTINGS = 4  # the kind of frame that the other side begins with
_PATIENCE = 2.0


def why_unreachable(address: str) -> str | None:
    """Why nobody can be reached at HOST:PORT; None if somebody can."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        return str(error)
    return None


def check_door(engine: str, head: str, *, own: str | None = None) -> None:
    """See whether the head of a Ray is at HOST:PORT, lets us in, and knows this machine as one of its nodes.

    Args:
        engine: what the user wrote.
        head: where the head is said to be.
        own: this machine's address where its interfaces have another one; None: one of those.

    Raises:
        PipeStateError: it is not so; the message says what to do.
    """
    written, head = head, _where_ray_looks(head)
    why_not = why_unreachable(head)
    if why_not is not None:
        where = "there" if head == written else f"at {head}, where Ray looks for it"
        raise PipeStateError(f"engine {engine!r}: nobody is {where} ({why_not}): ray start --head there")
    if not os.environ.get("RAY_USE_TLS") and not _speaks_grpc(head):
        raise PipeStateError(
            f"engine {engine!r}: what answers there is no head of a Ray: give the port of ray start --head --port, "
            "which is 6379 where nothing else was said"
        )
    nodes = _nodes(engine, head)
    if nodes and own is None and not nodes & _own_addresses():
        raise PipeStateError(
            f"engine {engine!r}: this machine is none of its nodes, which are {', '.join(sorted(nodes))}: "
            f"ray start --address={head} --num-cpus=0"
        )


def _where_ray_looks(head: str) -> str:
    """The address of a head, for which Ray takes the one of this machine where a loopback one was given."""
    try:
        services: Any = importlib.import_module("ray._private.services")
        found = services.canonicalize_bootstrap_address(head)
    except Exception:  # not a public part of Ray either
        return head
    return str(found or head)


def _speaks_grpc(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE) as probe:
            probe.sendall(_HELLO)
            answer = probe.recv(9)
    except OSError:
        return False
    return len(answer) > 3 and answer[3] == _SETTINGS


def _nodes(engine: str, head: str) -> set[str]:
    """The addresses of the nodes that are alive; none where Ray does not tell.

    Raises:
        PipeStateError: it does not let us in, or it is no head.
    """
    from ray import exceptions

    refused = getattr(exceptions, "AuthenticationError", ())
    try:
        inner: Any = importlib.import_module("ray._raylet")
        known = inner.GcsClient(address=head).get_all_node_info(timeout=10.0)
    except refused:
        said = "another token than RAY_AUTH_TOKEN here" if os.environ.get("RAY_AUTH_TOKEN") else "a token"
        raise PipeStateError(
            f"engine {engine!r}: it asks for {said}: before Python starts, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN "
            "as they were where its head was started"
        ) from None
    except exceptions.RayError as error:
        raise PipeStateError(
            f"engine {engine!r}: what answers there is no head of a Ray ({error}): give the port of "
            "ray start --head --port"
        ) from None
    except Exception:  # not a public part of Ray: where it has changed, Ray finds out by itself
        return set()
    found = set()
    for info in known.values():
        with contextlib.suppress(AttributeError):
            if info.state == 0:  # alive
                found.add(str(info.node_manager_address))
    return found


def _own_addresses() -> set[str]:
    return {one.address.partition("%")[0] for several in psutil.net_if_addrs().values() for one in several}
