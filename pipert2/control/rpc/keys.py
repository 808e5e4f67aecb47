"""The keys (CURVE) by which a zerorpc server and its clients know each other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pipert2.control.environment import environment_and_file
from pipert2.errors import ControlError

SECRET_KEY_NAME = "PIPERT2_RPC_SECRET_KEY"
CLIENT_KEYS_NAME = "PIPERT2_RPC_CLIENT_KEYS"
SERVER_KEY_NAME = "PIPERT2_RPC_SERVER_KEY"

KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_HOW = "a key is 40 characters, as pipert2-rpc --make-keys prints them"


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """Keys with which a server knows its clients, and they know it; traffic is encrypted.

    ``pipert2-rpc --make-keys`` makes a pair. Each is 40 characters (Z85).

    Attributes:
        secret: the server's secret key; clients are given the public one that belongs to it.
        clients: the public keys of those who may connect.

    Raises:
        ControlError: one of them is not a key, or no client may connect.
    """

    secret: str = field(repr=False)
    clients: tuple[str, ...]

    def __post_init__(self) -> None:
        if isinstance(self.clients, str) or not self.clients:
            raise ControlError("bad_argument", "CurveKeys(clients=...) takes the clients' public keys, one at least")
        for what, key in [("secret", self.secret), *(("clients", key) for key in self.clients)]:
            if not isinstance(key, str) or not KEY.fullmatch(key):
                raise ControlError("bad_argument", f"CurveKeys({what}=...): {_HOW}", what)


def server_keys(secret: Path | None, clients: Path | None) -> CurveKeys | None:
    """The keys of a server from files, or from ``PIPERT2_RPC_SECRET_KEY`` and ``PIPERT2_RPC_CLIENT_KEYS``.

    Args:
        secret: a file with its secret key. clients: a file with the public keys of those who may connect, one a line.

    Returns:
        None where no clients are named: then there are no keys.

    Raises:
        ControlError: a file cannot be read, holds no key, or one of the two is missing.
    """
    around = environment_and_file()
    if clients is not None:
        allowed = public_keys_in(clients)
    else:
        allowed = tuple(_checked(key, CLIENT_KEYS_NAME) for key in around.get(CLIENT_KEYS_NAME, "").split())
    if secret is not None:
        own = secret_key_in(secret)
    else:  # by itself it is that of a client
        own = (
            _checked(around[SECRET_KEY_NAME].strip(), SECRET_KEY_NAME) if allowed and SECRET_KEY_NAME in around else ""
        )
    if not allowed and not own:
        return None
    if not allowed or not own:
        missing = f"--rpc-key FILE or {SECRET_KEY_NAME}" if allowed else f"--rpc-clients FILE or {CLIENT_KEYS_NAME}"
        text = "the server's secret key and the clients' public ones go together"
        raise ControlError("bad_argument", f"{text}: {missing} is missing")
    return CurveKeys(own, allowed)


def secret_key_in(path: Path) -> str:
    """The secret key in a file: the key alone, or what ``pipert2-rpc --make-keys`` printed.

    Raises:
        ControlError: the file cannot be read, or there is none in it.
    """
    lines = _lines(path)
    labelled = [line.removeprefix("secret:").strip() for line in lines if line.startswith("secret:")]
    found = labelled or [line for line in lines if not line.startswith("public:")]
    if len(found) != 1:
        raise ControlError("bad_argument", f"{path}: there is not one secret key in it, but {len(found)}")
    return _checked(found[0], str(path))


def public_keys_in(path: Path) -> tuple[str, ...]:
    """The public keys in a file, one a line; behind it the line may say whose it is.

    Raises:
        ControlError: the file cannot be read, there is none in it, or it holds a secret one.
    """
    lines = _lines(path)
    if any(line.startswith("secret:") for line in lines):
        raise ControlError(
            "bad_argument", f"{path}: there is a secret key in it: only the clients' public ones go here"
        )
    keys = tuple(_checked(line.removeprefix("public:").split()[0], str(path)) for line in lines if line != "public:")
    if not keys:
        raise ControlError("bad_argument", f"{path}: there is no key in it")
    return keys


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ControlError("bad_argument", f"cannot read the key in {path}: {reason}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _checked(key: str, where: str) -> str:
    """*key*, which no error shows: it may be a secret that was cut short."""
    if not KEY.fullmatch(key):
        raise ControlError("bad_argument", f"{where}: {_HOW}")
    return key
