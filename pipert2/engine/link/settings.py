"""How a host's end of a link is reached, and who may reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """How the links of one flow reach those of others. One side of each pair listens, the other one connects.

    Args:
        listen: endpoints to listen on, ``"tls/10.0.0.2:7450"``; ``tcp/`` on loopback, or where *insecure* says so.
        connect: endpoints to connect to, tried again and again until they are there.
        ca: file of the certificate that all hosts' certificates are signed with.
        certificate, private_key: files of this host's own certificate and its key.
        verify_names: whether a host's certificate must name the address that was connected to.
        insecure: whether ``tcp/`` may be used on addresses that others can reach: whoever reaches them can run code here.
        multicast: whether hosts on the same network look for each other by multicast.
        namespace: what all keys begin with: links of different namespaces never meet.

    Raises:
        ConfigError: something of it cannot be, or is not safe.
    """

    listen: tuple[str, ...] = ()
    connect: tuple[str, ...] = ()
    ca: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    verify_names: bool = True
    insecure: bool = False
    multicast: bool = False
    namespace: str = "pipert2"

    def open_session(self) -> Any:
        """Open a Zenoh session; whoever opens it closes it."""
        raise NotImplementedError
