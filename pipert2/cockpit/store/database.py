"""The cockpit's SQLite file: how it is opened, and what stands in it."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipert2.errors import ControlError

NUMBER_BITS = 40
"""A record's id is its pipe's number and, in so many lower bits, the number that the pipe gave the record."""
_BUSY_SECONDS = 10.0
_QUERY_SECONDS = 8.0
_MOST_READERS = 8

_PIPES_AND_RECORDS = """
CREATE TABLE pipes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, host TEXT NOT NULL,
    pid INTEGER NOT NULL, started REAL NOT NULL, pipert2 TEXT NOT NULL, since REAL NOT NULL, structure TEXT, status TEXT
);
CREATE TABLE records (
    id INTEGER PRIMARY KEY, pipe INTEGER NOT NULL, time REAL NOT NULL, level INTEGER NOT NULL, level_name TEXT NOT NULL,
    logger TEXT NOT NULL, flow TEXT, routine TEXT, message TEXT NOT NULL, traceback TEXT, extra TEXT
);
CREATE INDEX records_by_time ON records (pipe, time);
CREATE INDEX records_that_warn ON records (id) WHERE level >= 30;
CREATE TABLE counts (
    pipe INTEGER NOT NULL, second INTEGER NOT NULL, level_name TEXT NOT NULL, level INTEGER NOT NULL,
    records INTEGER NOT NULL, PRIMARY KEY (pipe, second, level_name)
) WITHOUT ROWID;
CREATE TABLE layouts (number INTEGER PRIMARY KEY, pipe INTEGER NOT NULL, names TEXT NOT NULL, UNIQUE (pipe, names));
CREATE TABLE metrics (
    pipe INTEGER NOT NULL, step INTEGER NOT NULL, time INTEGER NOT NULL, layout INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE UNIQUE INDEX metrics_by_time ON metrics (pipe, step, time);
"""
_PEOPLE = """
CREATE TABLE users (name TEXT PRIMARY KEY, password TEXT NOT NULL, role TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE sessions (
    hash BLOB PRIMARY KEY, user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE, created REAL NOT NULL,
    seen REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, user TEXT, address TEXT, pipe TEXT, pipe_name TEXT,
    verb TEXT NOT NULL, arguments TEXT NOT NULL, outcome TEXT NOT NULL, message TEXT NOT NULL
);
"""
_TEXT = (
    "CREATE VIRTUAL TABLE records_text USING fts5 (message, traceback, content='records', content_rowid='id', "
    "tokenize='unicode61', detail=none)"
)


def _first(connection: sqlite3.Connection) -> None:
    for statement in (_PIPES_AND_RECORDS + _PEOPLE).split(";\n"):
        if statement.strip():
            connection.execute(statement)
    try:
        connection.execute(_TEXT)
    except sqlite3.OperationalError:  # an SQLite without FTS5: words are looked for with LIKE
        pass


_MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first,)
VERSION = len(_MIGRATIONS)


class Database:
    """The database file. Opens it, and brings it to the present version. Closes twice without complaint.

    Args:
        path: the file; it and its folder are made, for this user's eyes only.

    Raises:
        ControlError: the file cannot be opened, is no database, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._readers: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            with self.writing() as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                self._migrate(connection)
                found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'records_text'").fetchone()
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise ControlError("bad_argument", f"the database {str(path)!r}: {reason}", field="database") from None
        self.has_text_index = found is not None

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            text = f"the database {str(self.path)!r} was written by a newer pipert2: upgrade, or name another file"
            raise ControlError("bad_argument", text, field="database")
        for migration in _MIGRATIONS[version:]:
            migration(connection)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    def connect(self) -> sqlite3.Connection:
        """A new connection that can write; whoever asks closes it."""
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = NORMAL")  # with WAL, a commit outlives this process, not the machine
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection for a few short changes."""
        connection = self.connect()
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def reading(self, seconds: float = _QUERY_SECONDS) -> Iterator[sqlite3.Connection]:
        """A connection that only reads; a query that takes longer than *seconds* is given up.

        Raises:
            ControlError: it took too long.
        """
        with self._lock:
            connection = self._readers.pop() if self._readers else None
        if connection is None:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(
                uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        deadline = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            yield connection
        except sqlite3.OperationalError as error:
            if "interrupt" not in str(error):
                raise
            text = f"the search took longer than {seconds:g} s: ask for a shorter time, or for other words"
            raise ControlError("failed", text) from None
        finally:
            with self._lock:
                keep = not self._closed and len(self._readers) < _MOST_READERS
                if keep:
                    self._readers.append(connection)
            if not keep:
                connection.close()

    def close(self) -> None:
        """Close the connections that wait for readers."""
        with self._lock:
            self._closed = True
            readers, self._readers = self._readers, []
        for connection in readers:
            connection.close()


def record_id(pipe: int, number: int) -> int:
    """The id of a pipe's record."""
    return (pipe << NUMBER_BITS) | number


def ids_of(pipe: int) -> tuple[int, int]:
    """The least and the greatest id that records of a pipe can have."""
    return record_id(pipe, 0), record_id(pipe + 1, 0) - 1
