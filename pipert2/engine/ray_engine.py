"""The engine's settings: which Ray, and how its hosts' links are kept safe. Knows no Ray."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pipert2.engine.link import LinkSettings
from pipert2.errors import ConfigError, PipertError

_MISSING = 'a cluster needs ray and zenoh: pip install "pipert2[cluster]"'


@dataclass(frozen=True, slots=True, kw_only=True)
class RayEngine:
    """Runs a pipe on a Ray cluster: ``Pipe(engine=RayEngine(address="ray://head:6379"))``.

    Args:
        address: ``"ray://HOST:PORT"`` as in ``ray start --head --port PORT``; this machine is one of its nodes.
            ``"ray"``: the Ray that runs on this machine, or one that is started with the pipe and ends with it.
        certificates: a folder that is on every host, with ``ca.pem``, ``host.pem`` and ``host.key``.
        insecure: whether links may go between hosts in the clear, and Ray may be used without its tokens: whoever can
            reach the hosts can then run code there.
        restarts: how often a lost site is begun anew.
        runtime_env: handed to Ray: what the hosts need to run the routines' code.
        listen: the driver's own address, if the one that Ray knows is not right.
        patience: seconds that a host may take to begin its part of the pipe.

    Raises:
        ConfigError: an argument is not what it should be.
    """

    address: str = "ray"
    certificates: str | None = None
    insecure: bool = False
    restarts: int = 3
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    listen: str | None = None
    patience: float = 60.0

    def __post_init__(self) -> None:
        if self.address != "ray":
            parts = urlsplit(self.address)
            try:
                fine = parts.scheme == "ray" and parts.hostname and parts.port
            except ValueError:
                fine = False
            if not fine or parts.path not in ("", "/") or parts.query:
                raise ConfigError("engine", "address", self.address, '"ray" or "ray://HOST:PORT"')
        if isinstance(self.restarts, bool) or not isinstance(self.restarts, int) or self.restarts < 0:
            raise ConfigError("engine", "restarts", self.restarts, "a number, 0 or more")
        if not self.patience > 0:
            raise ConfigError("engine", "patience", self.patience, "seconds above 0")

    @property
    def head(self) -> str | None:
        """Ray's own way to write the address; None: whatever is on this machine."""
        return None if self.address == "ray" else urlsplit(self.address).netloc

    def link(self, own: str, rendezvous: str | None, run: str, port: int = 0) -> LinkSettings:
        """How links are reached from a host.

        Args:
            own: its address. rendezvous: the driver's endpoint, None at the driver itself.
            run: names the run; links of different runs never meet.
            port: to listen on, 0 for a free one.

        Raises:
            ConfigError: a certificate is missing here, or nobody here may read it.
        """
        safe = self.certificates is not None and not is_loopback(own)
        files = self._certificates_here(own) if safe else {}
        return LinkSettings(
            listen=(endpoint(own, port, tls=safe),),
            connect=() if rendezvous is None else (rendezvous,),
            ca=files.get("ca.pem"),
            certificate=files.get("host.pem"),
            private_key=files.get("host.key"),
            insecure=self.insecure,
            meet=True,
            namespace=f"pipert2/{run}",
        )

    def _certificates_here(self, own: str) -> dict[str, str]:
        folder = self.certificates or ""
        found = {name: os.path.join(folder, name) for name in ("ca.pem", "host.pem", "host.key")}
        problems = []
        for name, path in found.items():
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                problems.append(f"{name}: {error.strerror}")
        if problems:
            needed = f"a folder on every host with ca.pem, host.pem and host.key; at {own} {', '.join(problems)}"
            raise ConfigError("engine", "certificates", folder, needed)
        return found


def endpoint(host: str, port: int, *, tls: bool) -> str:
    """Zenoh's way to write an address."""
    return f"{'tls' if tls else 'tcp'}/{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    return host.startswith("127.") or host in ("::1", "localhost")


def engine_of(value: object) -> RayEngine:
    """What ``Pipe(engine=...)`` and ``pipert2 run --engine`` were given: text like ``ray://head:6379?insecure=1``, with
    options after the question mark, or an engine.

    Raises:
        ConfigError: it is none. PipertError: what it needs is not installed.
    """
    if isinstance(value, str):
        address, _, query = value.partition("?")
        value = RayEngine(address=address, **_options(query))
    if not isinstance(value, RayEngine):
        raise ConfigError("engine", None, repr(value), '"ray", "ray://HOST:PORT" or a RayEngine')
    for module in ("ray", "zenoh"):
        if importlib.util.find_spec(module) is None:
            raise PipertError(_MISSING)
    return value


def _options(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in parse_qs(query, keep_blank_values=True).items():
        text = values[-1]
        if name in ("certificates", "listen"):
            found[name] = text
        elif name == "insecure":
            found[name] = _as(
                name, text, {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
            )
        elif name in ("restarts", "patience"):
            found[name] = _number(name, text)
        else:
            raise ConfigError("engine", name, text, "the options certificates, insecure, listen, patience and restarts")
    return found


def _as(name: str, text: str, meanings: Mapping[str, bool]) -> bool:
    if text.lower() not in meanings:
        raise ConfigError("engine", name, text, "1 or 0")
    return meanings[text.lower()]


def _number(name: str, text: str) -> float:
    try:
        return int(text) if name == "restarts" else float(text)
    except ValueError:
        raise ConfigError("engine", name, text, "a number") from None
