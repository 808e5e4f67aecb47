"""Who may call the control API over HTTP: the decisions, without the I/O."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from pipert2.control.http.answers import Answer, Headers, Message, error_answer
from pipert2.control.http.routes import is_open, scope_of_request
from pipert2.control.http.tokens import Tokens
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError

LONGEST_PATH = 2_048
LONGEST_QUERY = 16_384
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_LONGEST_ADDRESS = 64
_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, Last-Event-ID"),
    (b"access-control-max-age", b"600"),
]
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request's head says about where it comes from, None where it says nothing, and about its body."""

    host: str | None
    origin: str | None
    site: str | None
    purpose: str
    authorization: str | None
    has_body: bool
    length: int | None


class HttpRules:
    """Decides on requests by their heads alone.

    Args:
        tokens: whoever calls must show one of these, if there are any.
        hosts: names, or ``name:port``, under which the server may be called, besides this machine's loopback names.
        origins: web pages that may call it, such as ``"https://panel.example"``.

    Raises:
        ControlError: a host or an origin is not one.
    """

    def __init__(self, tokens: Tokens, *, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._tokens = tokens
        self._hosts = {_checked_host(host) for host in hosts} | {(name, None) for name in LOOPBACK_NAMES}
        self._origins = {_checked_origin(origin) for origin in origins}

    def judge(self, scope: Message, caller: Caller) -> Answer | None:
        """The answer for a request that is refused (or is a preflight); None: go on."""
        return (
            self._judge_target(scope)
            or self._judge_host(scope, caller)
            or self._judge_page(scope, caller)
            or self._judge_token(scope, caller)
        )

    def opened_for(self, caller: Caller) -> Headers:
        """The CORS headers of the answer: none, unless the page that called is named as one that may."""
        if not self._origins:
            return []
        if caller.origin is None or _origin(caller.origin) not in self._origins:
            return [(b"vary", b"Origin")]
        return [(b"access-control-allow-origin", caller.origin.encode("latin-1")), (b"vary", b"Origin")]

    def _judge_target(self, scope: Message) -> Answer | None:
        if len(scope.get("raw_path") or b"") > LONGEST_PATH:
            return _refusal(414, "too_large", f"the path has more than {LONGEST_PATH} characters")
        if len(scope["query_string"]) > LONGEST_QUERY:
            message = f"the query has more than {LONGEST_QUERY} characters: send arguments as a JSON body"
            return _refusal(414, "too_large", message)
        path = scope["path"]
        # Flask takes "//start" for "/start", which the rights of a path do not.
        if not path.startswith("/") or "//" in path or not path.isprintable():
            text = "the path does not begin with a slash, has two in a row, or has control characters"
            return _refusal(400, "bad_argument", text)
        return None

    def _judge_host(self, scope: Message, caller: Caller) -> Answer | None:
        # A page whose name was pointed at this machine's address (DNS rebinding) calls under that name.
        found = _split_host(caller.host) if caller.host is not None else None
        if found is not None:
            name, port = found
            own = (scope.get("server") or ("", None))[0]
            if (name, None) in self._hosts or (name, port) in self._hosts or name == _plain_address(own):
                return None
        message = "this server is not called by that name: add it to allowed_hosts, or use the server's address"
        return _refusal(421, "forbidden", message)

    def _judge_page(self, scope: Message, caller: Caller) -> Answer | None:
        if "prefetch" in caller.purpose or "prerender" in caller.purpose:
            return _refusal(403, "forbidden", "prefetching is refused: what is fetched here may have effects")
        named = caller.origin is not None and _origin(caller.origin) in self._origins
        if caller.origin is not None and not named and _origin(caller.origin) != _own_origin(scope, caller):
            message = "web pages of other origins may not call this API: add the origin to allowed_origins"
            return _refusal(403, "forbidden", message)
        if caller.site not in (None, "same-origin", "none") and not named:
            return _refusal(403, "forbidden", "web pages of other sites may not call this API")
        if named and scope.get("method") == "OPTIONS":
            return Answer(204, _PREFLIGHT, b"")
        return None

    def _judge_token(self, scope: Message, caller: Caller) -> Answer | None:
        method, path = scope.get("method", "GET"), scope["path"]
        if not self._tokens or is_open(path):
            return None
        kind, _, token = (caller.authorization or "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            message = 'this API wants a token: send the header "Authorization: Bearer TOKEN"'
            return _refusal(401, "unauthorized", message, b'Bearer realm="pipert2"')
        shown = self._tokens.scope_of(token.strip())
        if shown is None:
            challenge = b'Bearer realm="pipert2", error="invalid_token"'
            return _refusal(401, "unauthorized", "this token is not known here", challenge)
        if shown is Scope.READ and scope_of_request(method, path) is not Scope.READ:
            challenge = b'Bearer realm="pipert2", error="insufficient_scope", scope="control"'
            return _refusal(403, "forbidden", "this token may only look: this needs one of scope control", challenge)
        return None


_WANTED = frozenset(
    b"host origin sec-fetch-site sec-purpose purpose x-moz authorization content-length transfer-encoding".split()
)


def caller_of(headers: Iterable[tuple[bytes, bytes]]) -> Caller:
    """Where a request comes from. A header that came twice counts as both of its values, which fits nothing."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in _WANTED:
            text = value.decode("latin-1").strip()
            found[name] = f"{found[name]}, {text}" if name in found else text
    length = found.get(b"content-length")
    purposes = (found.get(name, "") for name in (b"sec-purpose", b"purpose", b"x-moz"))
    return Caller(
        host=found.get(b"host"),
        origin=found.get(b"origin"),
        site=found.get(b"sec-fetch-site"),
        purpose=" ".join(purposes).lower(),
        authorization=found.get(b"authorization"),
        has_body=length not in (None, "0") or b"transfer-encoding" in found,
        length=int(length) if length is not None and length.isdecimal() else None,
    )


def _refusal(status: int, code: str, message: str, challenge: bytes | None = None) -> Answer:
    more = [(b"www-authenticate", challenge)] if challenge is not None else []
    return error_answer(status, ControlError(code, message), more)


def _own_origin(scope: Message, caller: Caller) -> tuple[str, str, str] | None:
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    return _origin(f"{scheme}://{caller.host}")


def _origin(text: str) -> tuple[str, str, str] | None:
    """An origin's scheme, name and port; None if it is none, such as ``null``."""
    scheme, separator, rest = text.lower().partition("://")
    found = _split_host(rest) if separator and scheme in _DEFAULT_PORTS else None
    return None if found is None else (scheme, found[0], found[1] or _DEFAULT_PORTS[scheme])


def _split_host(text: str) -> tuple[str, str | None] | None:
    """Name and port of ``name``, ``name:port``, ``[address]`` or ``[address]:port``; None if it is none of these."""
    name, port = text.lower(), ""
    if name.startswith("["):
        name, bracket, port = name[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return None
        port = port[1:]
    elif ":" in name:
        name, _, port = name.partition(":")
    name = _plain_address(name.removesuffix("."))
    if not name or not all(letter.isalnum() or letter in "-._:" for letter in name):
        return None
    if port and not (port.isascii() and port.isdecimal()):
        return None
    return name, port or None


def _plain_address(name: str) -> str:
    """An IP address as it is usually written, anything else as it is."""
    return _known_address(name) if len(name) <= _LONGEST_ADDRESS else name


@lru_cache(maxsize=256)
def _known_address(name: str) -> str:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    mapped = getattr(address, "ipv4_mapped", None)  # how a socket for both kinds shows an IPv4 client's
    return str(mapped or address)


def _checked_host(text: str) -> tuple[str, str | None]:
    found = _split_host(text) if isinstance(text, str) else None
    if found is None and ":" in text:  # an IPv6 address without brackets
        found = _split_host(f"[{text}]")
    if found is None:
        reason = f"allowed_hosts: {text!r} is not a host's name, such as 'robot.local' or 'robot.local:8320'"
        raise ControlError("bad_argument", reason, field="allowed_hosts")
    return found


def _checked_origin(text: str) -> tuple[str, str, str]:
    found = _origin(text) if isinstance(text, str) else None
    if found is None or urlsplit(text).path or found[0] not in ("http", "https"):
        reason = (
            f"allowed_origins: {text!r} is not an origin, such as 'https://panel.example' or 'http://localhost:3000'"
        )
        raise ControlError("bad_argument", reason, field="allowed_origins")
    return found
