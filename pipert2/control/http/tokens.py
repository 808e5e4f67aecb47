"""Tokens: who shows one may look, or also control. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable

from pipert2.control.environment import file_variables
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError

TOKEN_NAME = "PIPERT2_TOKEN"
READ_TOKEN_NAME = "PIPERT2_READ_TOKEN"

SHORTEST = 16
LONGEST = 512

_SCOPES = {TOKEN_NAME: Scope.CONTROL, READ_TOKEN_NAME: Scope.READ}


class Tokens:
    """The tokens that a server takes. True if there are any: then everybody has to show one.

    Args:
        tokens: each with what it is good for.

    Raises:
        ControlError: a token is too short to be safe, or cannot stand in a header.

    >>> tokens = Tokens([("correct-horse-battery", Scope.READ)])
    >>> tokens.scope_of("correct-horse-battery")
    <Scope.READ: 'read'>
    >>> tokens.scope_of("something-else") is None
    True
    """

    __slots__ = ("_hashes",)

    def __init__(self, tokens: Iterable[tuple[str, Scope]] = ()) -> None:
        self._hashes = tuple((_hash(_checked(token, "a token")), scope) for token, scope in tokens)

    @classmethod
    def none(cls) -> Tokens:
        """No tokens: whoever reaches the server may do everything."""
        return cls()

    @classmethod
    def from_environment(cls, dotenv_path: str | os.PathLike[str] | None = None) -> Tokens:
        """The tokens in ``PIPERT2_TOKEN`` (control) and ``PIPERT2_READ_TOKEN`` (read).

        The environment wins over the file, and is not changed.

        Args:
            dotenv_path: a file of ``NAME=value`` lines that must be there; if left out, ``.env`` of the working
                directory, if it is there.

        Raises:
            ControlError: the file cannot be read, or a token is not fit to be one.
        """
        named = tokens_of_environment(dotenv_path)
        return cls((_checked(token, name), _SCOPES[name]) for name, token in named.items())

    def scope_of(self, token: str) -> Scope | None:
        """What a token is good for; None: it is unknown. Takes as long for a wrong token as for a right one."""
        shown = _hash(token[: LONGEST + 1])
        found: Scope | None = None
        for known, scope in self._hashes:  # all of them, so that time does not tell which one was nearly right
            if hmac.compare_digest(shown, known) and found is not Scope.CONTROL:
                found = scope
        return found

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __len__(self) -> int:
        return len(self._hashes)

    def __repr__(self) -> str:
        return f"<Tokens, {len(self._hashes)}>"


def generate_token() -> str:
    """A new token that nobody can guess: 32 random bytes as 43 characters."""
    return secrets.token_urlsafe(32)


def tokens_of_environment(dotenv_path: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """The tokens themselves by the name of their variable, for a client that has to show one.

    Raises:
        ControlError: the file cannot be read.
    """
    written = file_variables(dotenv_path)
    found = {name: (os.environ.get(name) or written.get(name) or "").strip() for name in _SCOPES}
    return {name: token for name, token in found.items() if token}


def _checked(token: str, name: str) -> str:
    if not SHORTEST <= len(token) <= LONGEST:
        reason = f"has {len(token)} characters, it needs {SHORTEST} to {LONGEST}"
    elif not (token.isascii() and token.isprintable()) or " " in token:
        reason = "has characters that cannot stand in a header: use letters, digits, - and _"
    else:
        return token
    advice = 'make one with python -c "import secrets; print(secrets.token_urlsafe(32))"'
    raise ControlError("bad_argument", f"{name} {reason}; {advice}", field="tokens")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
