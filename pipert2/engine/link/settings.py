"""How a host's end of a link is reached, and who may reach it."""

from __future__ import annotations

import importlib
import ipaddress
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipert2.errors import ConfigError, LinkError, PipertError

logger = logging.getLogger(__name__)

KEY = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
"""What names a link, or a namespace: Zenoh gives other characters a meaning."""
_ENDPOINT = re.compile(r"(?P<protocol>[a-z][a-z-]*)/(?P<address>[^#?]+)([#?].*)?")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+):(?P<port>\d{1,5})")
_PROTOCOLS = ("tcp", "tls", "quic", "unixsock-stream")
_OTHERS_CANNOT_READ = ("tls", "quic")
_LEASE = 4_000
"""Milliseconds without a sign of life after which a connection is given up and made anew."""
_LONGEST_PUT = 1_000_000
"""Microseconds that sending may wait for a connection that takes nothing before it is given up."""
_RETRY = {"period_init_ms": 100, "period_max_ms": 1000, "period_increase_factor": 1.5}

_BATCHES = 16
"""Batches of 64 kB that may wait to be sent, the most that Zenoh allows; of its own accord it has two, so that whoever
puts a frame and the thread that sends it wake each other for each 64 kB. With 16 they do half as often, and a frame
costs a quarter less processor time."""
_RECEIVED = 8 * 1024 * 1024
"""Bytes of what has arrived that are kept to be used again, enough for a frame: else each 64 kB are allocated anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """How the links of one flow reach those of others. One side of each pair listens, the other one connects.

    Addresses that others can reach need ``tls/`` with certificates on both sides: an ingress unpickles what it gets, so
    whoever can send to it can run code there.

    Args:
        listen: endpoints to listen on, ``"tls/10.0.0.2:7450"``, or ``"tcp/127.0.0.1:7450"`` on loopback; port 0: any.
        connect: endpoints to connect to, tried again and again until they are there.
        ca: file of the certificate that all hosts' certificates are signed with.
        certificate, private_key: files of this host's own certificate and its key.
        verify_names: whether a host's certificate must name the address that was connected to.
        insecure: use ``tcp/`` on other addresses than loopback all the same.
        multicast: whether hosts on the same network look for each other by multicast.
        meet: whether those that connect to the same one learn of each other from it, and connect directly.
        namespace: what all keys begin with: links of different namespaces never meet.

    Raises:
        ConfigError: something of it cannot be, or is not safe.

    >>> LinkSettings(listen=("tcp/127.0.0.1:7450",)).encrypted
    False
    """

    listen: tuple[str, ...] = ()
    connect: tuple[str, ...] = ()
    ca: str | None = None
    certificate: str | None = None
    private_key: str | None = None
    verify_names: bool = True
    insecure: bool = False
    multicast: bool = False
    meet: bool = False
    namespace: str = "pipert2"

    def __post_init__(self) -> None:
        for name in ("listen", "connect"):
            value = getattr(self, name)
            if isinstance(value, str) or not all(isinstance(one, str) for one in value):
                raise _wrong(name, value, 'a tuple of endpoints, such as ("tcp/127.0.0.1:7450",)')
            object.__setattr__(self, name, tuple(value))
        for name in ("verify_names", "insecure", "multicast", "meet"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, getattr(self, name), "True or False")
        if not isinstance(self.namespace, str) or not KEY.fullmatch(self.namespace):
            raise _wrong("namespace", self.namespace, "letters, digits, '-', '_', '.' and '/' between them")
        if not self.listen and not self.connect and not self.multicast:
            raise _wrong(
                "listen", self.listen, "an endpoint here, or in connect=, or multicast=True: nobody is reached"
            )
        encrypted = [self._check(name, endpoint) for name, endpoint in self._endpoints()]
        self._check_certificates(any(encrypted))

    def _endpoints(self) -> Iterator[tuple[str, str]]:
        yield from (("listen", endpoint) for endpoint in self.listen)
        yield from (("connect", endpoint) for endpoint in self.connect)

    def _check(self, name: str, endpoint: str) -> bool:
        """Whether an endpoint is encrypted.

        Raises:
            ConfigError: it is none, or others could read along.
        """
        found = _ENDPOINT.fullmatch(endpoint)
        if found is None or found["protocol"] not in _PROTOCOLS:
            raise _wrong(name, endpoint, "tls/HOST:PORT, quic/HOST:PORT, tcp/HOST:PORT or unixsock-stream/PATH")
        if found["protocol"] == "unixsock-stream":
            return False
        address = _HOST_AND_PORT.fullmatch(found["address"])
        least = 0 if name == "listen" else 1
        if address is None or not least <= int(address["port"]) < 65536:
            raise _wrong(name, endpoint, f"{found['protocol']}/HOST:PORT with a port from {least} to 65535")
        if found["protocol"] in _OTHERS_CANNOT_READ:
            return True
        if not self.insecure and not _is_loopback(address["host"]):
            raise _wrong(
                name,
                endpoint,
                f"tls/{found['address']} with ca=, certificate= and private_key= (whoever reaches a link can run code "
                "here), or insecure=True if nobody else can reach that address",
            )
        return False

    def _check_certificates(self, needed: bool) -> None:
        files = {name: getattr(self, name) for name in ("ca", "certificate", "private_key")}
        for name, path in files.items():
            if path is None:
                if needed or any(files.values()):
                    raise _wrong(name, path, "a file in PEM format: both sides of a link show each other certificates")
                continue
            object.__setattr__(self, name, str(path))
            try:
                with Path(path).open("rb") as file:
                    file.read(1)
            except OSError as error:
                raise _wrong(name, path, f"a file that can be read ({error.strerror})") from None

    @property
    def encrypted(self) -> bool:
        """Whether all its endpoints are encrypted, with certificates on both sides."""
        return all(endpoint.startswith(_OTHERS_CANNOT_READ) for _, endpoint in self._endpoints())

    def keys(self, key: str) -> tuple[str, str]:
        """The keys of a link's way there and its way back.

        Raises:
            ConfigError: *key* names no link.
        """
        if not isinstance(key, str) or not KEY.fullmatch(key):
            accepted = "letters, digits, '-', '_', '.' and '/' between them"
            raise ConfigError("the key of a link", "key", key, accepted)
        return f"{self.namespace}/{key}/there", f"{self.namespace}/{key}/back"

    def open_session(self) -> Any:
        """Open a Zenoh session; whoever opens it closes it.

        Raises:
            LinkError: it cannot listen there, or cannot use the certificates.
            PipertError: Zenoh is not installed.
        """
        zenoh = import_zenoh()
        if self.insecure and not self.encrypted:
            logger.warning(
                "links over %s are not encrypted (insecure=True)", ", ".join(e for _, e in self._endpoints())
            )
        config = zenoh.Config()
        for path, value in self._config():
            config.insert_json5(path, json.dumps(value))
        try:
            return zenoh.open(config)
        except zenoh.ZError as error:
            where = ", ".join(self.listen or self.connect)
            raise LinkError(where, _first_line(error)) from None

    def _config(self) -> Iterator[tuple[str, Any]]:
        yield "mode", "peer"
        yield "listen/endpoints", list(self.listen)
        yield "connect/endpoints", list(self.connect)
        yield "connect/exit_on_failure", False
        yield "connect/timeout_ms", -1  # again and again, while the session is used already
        yield "connect/retry", _RETRY
        yield "scouting/multicast/enabled", self.multicast
        yield "scouting/gossip/enabled", self.multicast or self.meet
        yield "transport/link/tx/lease", _LEASE
        yield "transport/link/tx/queue/congestion_control/block/wait_before_close", _LONGEST_PUT
        yield "transport/link/tx/queue/size/data", _BATCHES
        yield "transport/link/rx/buffer_size", _RECEIVED
        yield "transport/shared_memory/enabled", False
        if self.ca is not None:
            tls = "transport/link/tls"
            yield f"{tls}/root_ca_certificate", self.ca
            yield f"{tls}/enable_mtls", True
            yield f"{tls}/verify_name_on_connect", self.verify_names
            for way in ("listen", "connect"):
                yield f"{tls}/{way}_certificate", self.certificate
                yield f"{tls}/{way}_private_key", self.private_key


def close_session(session: Any) -> None:
    """Close a session; one that does not close in time is left to the end of its process, as nothing depends on it."""
    try:
        session.close()
    except import_zenoh().ZError as error:  # the neighbour takes nothing, or the machine has far too much to do
        logger.warning("a session of a link was not closed: %s", _first_line(error))


def import_zenoh() -> Any:
    """The package of Zenoh; imported only where a link is opened.

    Raises:
        PipertError: it is not installed.
    """
    try:
        return importlib.import_module("zenoh")
    except ImportError:
        raise PipertError('wires between hosts need Zenoh: pip install "pipert2[cluster]"') from None


def _wrong(name: str, value: object, accepted: str) -> ConfigError:
    assert name in {field.name for field in fields(LinkSettings)}
    return ConfigError("LinkSettings", name, value, accepted)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r" at /[^ ]*\.rs:\d+\.?", "", text[0])[:300]
