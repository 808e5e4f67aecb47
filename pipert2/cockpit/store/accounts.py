"""Who may see and drive pipes: accounts with hashed passwords and two roles, and sessions of those who logged in."""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import threading
import time
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from werkzeug.security import check_password_hash, generate_password_hash

from pipert2.cockpit.store.database import Database
from pipert2.errors import ControlError, nearest

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 256
SESSION_SECONDS = 30 * 86_400.0
IDLE_SECONDS = 7 * 86_400.0
_MOST_SESSIONS = 50
_SEEN_EVERY = 300.0
_MOST_CHECKS = 2
HASHING = "scrypt"
_NAME = re.compile(r"[^\W_][\w.@+-]{0,63}")


class Role(str, Enum):
    """What somebody may do: look, or also change something. ``OPERATOR`` includes ``VIEWER``."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody at a browser; *user* is None where nobody has to log in."""

    user: str | None
    role: Role


@dataclass(frozen=True, slots=True)
class Account:
    """An account, *created* at a time (seconds since the epoch)."""

    name: str
    role: Role
    created: float


ANYBODY = Person(None, Role.OPERATOR)


class Accounts:
    """The accounts in the database, which other processes may change at any time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._checks = threading.BoundedSemaphore(_MOST_CHECKS)  # each takes 32 MB and a tenth of a second

    def __bool__(self) -> bool:
        """Whether there is any account: then everybody has to log in."""
        with self._database.reading() as connection:
            return connection.execute("SELECT 1 FROM users LIMIT 1").fetchone() is not None

    # --- accounts

    def all(self) -> list[Account]:
        """All accounts by name."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT name, role, created FROM users ORDER BY name").fetchall()
        return [Account(name, Role(role), created) for name, role, created in rows]

    def add(self, name: str, password: str, role: Role) -> None:
        """Make an account.

        Raises:
            ControlError: the name is taken or is none, or the password is too short.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            text = f"{name!r:.80} is no user's name: letters, digits and . @ + - _, beginning with one of the first two"
            raise ControlError("bad_argument", text, field="name")
        hashed = _hashed(password)
        try:
            with self._database.writing() as connection:
                connection.execute("INSERT INTO users VALUES (?, ?, ?, ?)", (name, hashed, role.value, time.time()))
        except sqlite3.IntegrityError:
            raise ControlError("bad_argument", f"there is a user {name!r} already", field="name") from None

    def remove(self, name: str) -> None:
        """Take an account away; who is logged in with it is logged out.

        Raises:
            ControlError: there is none of this name.
        """
        with self._database.writing() as connection:
            if not connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount:
                raise self._unknown(name)

    def set_password(self, name: str, password: str) -> None:
        """Give an account another password; who is logged in with it is logged out.

        Raises:
            ControlError: there is none of this name, or the password is too short.
        """
        hashed = _hashed(password)
        with self._database.writing() as connection:
            if not connection.execute("UPDATE users SET password = ? WHERE name = ?", (hashed, name)).rowcount:
                raise self._unknown(name)
            connection.execute("DELETE FROM sessions WHERE user = ?", (name,))

    def _unknown(self, name: str) -> ControlError:
        near = nearest(name, [account.name for account in self.all()])
        hint = f", did you mean {near!r}?" if near else ""
        return ControlError("unknown_name", f"there is no user {name!r}{hint}", nearest=near)

    # --- sessions

    def log_in(self, name: str, password: str) -> tuple[str, Person] | None:
        """A new session's secret, and who it is; None: name or password are wrong, which takes as long."""
        with self._database.reading() as connection:
            found = connection.execute("SELECT password, role FROM users WHERE name = ?", (name,)).fetchone()
        with self._checks:
            nobody = self._nobody  # also if there is such a name: the first login takes as long with either
            right = check_password_hash(found[0] if found else nobody, password[: LONGEST_PASSWORD + 1])
        if not right or not found:
            return None
        secret, now = secrets.token_urlsafe(32), time.time()
        with self._database.writing() as connection:
            connection.execute(
                "DELETE FROM sessions WHERE created < ? OR seen < ?", (now - SESSION_SECONDS, now - IDLE_SECONDS)
            )
            connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (_hash(secret), name, now, now))
            connection.execute(
                "DELETE FROM sessions WHERE user = ? AND hash NOT IN "
                "(SELECT hash FROM sessions WHERE user = ? ORDER BY seen DESC LIMIT ?)",
                (name, name, _MOST_SESSIONS),
            )
        return secret, Person(name, Role(found[1]))

    @cached_property
    def _nobody(self) -> str:
        """What passwords of names that nobody has are compared with."""
        return _hashed(secrets.token_hex())

    def log_out(self, secret: str) -> None:
        """End a session."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM sessions WHERE hash = ?", (_hash(secret),))

    def person(self, secret: str | None) -> Person | None:
        """Whose session it is; where there are no accounts, anybody; None: somebody who has to log in."""
        now = time.time()
        found = None
        with self._database.reading() as connection:
            if secret is not None and len(secret) <= 200:
                query = (
                    "SELECT name, role, seen FROM sessions JOIN users ON users.name = sessions.user "
                    "WHERE hash = ? AND sessions.created > ? AND seen > ?"
                )
                found = connection.execute(query, (_hash(secret), now - SESSION_SECONDS, now - IDLE_SECONDS)).fetchone()
        if found is None or secret is None:
            return None if self else ANYBODY
        if now - found[2] > _SEEN_EVERY:
            with self._database.writing() as connection:
                connection.execute("UPDATE sessions SET seen = ? WHERE hash = ?", (now, _hash(secret)))
        return Person(found[0], Role(found[1]))


def _hashed(password: str) -> str:
    if not isinstance(password, str) or not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        text = f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
        raise ControlError("bad_argument", text, field="password")
    return generate_password_hash(password, method=HASHING)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
