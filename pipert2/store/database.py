"""The store's SQLite file: how it is opened, shared between processes, and what goes wrong with it."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipert2.errors import StoreError
from pipert2.store.data import decode, encode

_OURS = 0x50525432  # "PRT2", in the file's header
_OLDEST_SQLITE = (3, 35, 0)

_FIRST = """
CREATE TABLE kinds (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, records INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, key, added REAL NOT NULL, data NOT NULL
);
CREATE INDEX records_by_kind ON records (kind);
CREATE INDEX records_by_time ON records (kind, added);
CREATE UNIQUE INDEX records_by_key ON records (kind, key) WHERE key IS NOT NULL;
CREATE TABLE done (record INTEGER PRIMARY KEY, time REAL NOT NULL);
CREATE TABLE relations (
    name TEXT NOT NULL, a NOT NULL, b NOT NULL, symmetric INTEGER NOT NULL, added REAL NOT NULL, changed REAL NOT NULL,
    data NOT NULL, PRIMARY KEY (name, a, b)
) WITHOUT ROWID;
CREATE INDEX relations_back ON relations (name, b);
CREATE TABLE readers (
    name TEXT NOT NULL, kind TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (name, kind)
) WITHOUT ROWID;
CREATE TABLE triggers (routine TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    routine TEXT NOT NULL, number INTEGER NOT NULL, due REAL NOT NULL, began REAL NOT NULL, ended REAL,
    outcome TEXT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (routine, number)
) WITHOUT ROWID;
CREATE TABLE letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, flow TEXT NOT NULL, routine TEXT NOT NULL, message TEXT NOT NULL,
    attempts INTEGER NOT NULL, time REAL NOT NULL, requeued REAL, error TEXT NOT NULL, traceback TEXT NOT NULL,
    data NOT NULL, UNIQUE (routine, message)
);
CREATE TABLE acknowledged (source TEXT NOT NULL, message NOT NULL, time REAL NOT NULL, PRIMARY KEY (source, message))
    WITHOUT ROWID;
"""


def _first(connection: sqlite3.Connection) -> None:
    for statement in _FIRST.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def _letters_name_their_pipe(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE letters ADD COLUMN pipe TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE letters ADD COLUMN run TEXT NOT NULL DEFAULT ''")
    connection.execute("ALTER TABLE letters ADD COLUMN origin INTEGER NOT NULL DEFAULT 0")
    connection.execute("CREATE INDEX letters_by_pipe ON letters (pipe, routine, requeued)")


_MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _letters_name_their_pipe)
VERSION = len(_MIGRATIONS)

_REASONS = {
    "is full": "the disk is full (or a quota is used up): make room and go on; what was written before is kept",
    "readonly": "it cannot be written: change the permissions of the file and of its folder, or name another file",
    "not a database": "this file is no SQLite database: name another file, or move this one away",
    "malformed": "the file is damaged: move it away, or recover it with 'sqlite3 FILE .recover'",
    "unable to open": "it cannot be opened: check that the folder is there and may be written to",
    "disk I/O error": "the disk reports an error (input/output)",
    "locked": "another process has been writing for too long, or holds a lock on the file",
    "too big": "the data is too large for one record (1 GB at most)",
}
_SPOILT = "nothing was kept of a transaction in which there was an error"
_abandoned: list[sqlite3.Connection] = []
"""Connections of the process that this one was forked from: using or even closing them here would harm that one."""


class Database:
    """The file, shared by threads and processes: one writes at a time, many read. Closes twice without complaint.

    Connections are opened at first use, in each process its own, so that this may travel to another process.

    Args:
        path: the file; it is made, for this user's eyes only. Its folder must be there.
        power_safe: what is written outlives a loss of power too, not just the end of processes; ten times slower.
        patience: seconds to wait for other processes that write.
        made_later: a file that is not there is made at first use.

    Raises:
        StoreError: the file cannot be opened or made, is no store, or was written by a newer version.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        power_safe: bool = False,
        patience: float = 30.0,
        made_later: bool = False,
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f'a store is the path of a file, as in "run.db", not {path!r}')
        if str(path) in ("", ":memory:"):
            raise StoreError(str(path), "name a file: flows are processes of their own and share it")
        self.path = os.path.abspath(path)
        self._power_safe = power_safe
        self._patience = patience
        self.listeners: list[Callable[[], None]] = []  # called after each transaction, in the thread that wrote
        self._begin()
        if made_later and not os.path.lexists(self.path) and os.access(os.path.dirname(self.path), os.W_OK | os.X_OK):
            return
        with self._explained():  # so that what is wrong with the file is said now and here
            self._connected()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._trusted = False
        self._closed = False
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._inside = self._spoilt = False
        self._writing_thread: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_power_safe": self._power_safe, "_patience": self._patience}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.listeners = []
        self._begin()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of what is done in it is kept, or nothing. Within one, a further one is part of it.

        Raises:
            StoreError: it cannot be written.
        """
        self._check_process()
        with self._write_lock:
            if self._inside:
                if self._spoilt:  # a full disk has ended the transaction: this would be one of its own
                    raise StoreError(self.path, _SPOILT)
                try:
                    with self._explained():
                        yield self._connected()
                except BaseException:
                    self._spoilt = True
                    raise
                return
            with self._explained():
                connection = self._connected()
                self._start(connection)
            self._inside, self._spoilt, self._writing_thread = True, False, threading.get_ident()
            try:
                with self._explained():
                    yield connection
                    if self._spoilt:  # somebody caught an error within, and half of what they meant is missing
                        raise StoreError(self.path, _SPOILT)
                    connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # after a full disk SQLite has rolled back by itself
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._inside, self._writing_thread = False, None
        for listener in tuple(self.listeners):
            listener()

    def read(self, query: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """The rows that a query finds, which is to find few; within :meth:`writing` also what was just written.

        Raises:
            StoreError: the file cannot be read.
        """
        self._check_process()
        with self._explained():
            if self._writing_thread == threading.get_ident():
                return self._connected().execute(query, arguments).fetchall()
            if self._reader is None and not os.path.lexists(self.path):  # made later, and that is now
                with self._write_lock:
                    self._connected()
            with self._read_lock:
                if self._closed:
                    raise StoreError(self.path, "it was closed")
                if self._reader is None:
                    self._reader = self._connect()
                    self._reader.execute("PRAGMA query_only = ON")
                return self._reader.execute(query, arguments).fetchall()

    def encoded(self, data: Any) -> str | bytes:
        """*data* as it is kept.

        Raises:
            StoreError: it cannot be.
        """
        try:
            return encode(data)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise StoreError(self.path, f"data of type {type(data).__name__} cannot be kept: {reason}") from error

    def decoded(self, kept: str | bytes) -> Any:
        """Data that was kept.

        Raises:
            StoreError: it cannot be read: its class has changed, or the file is somebody else's.
        """
        if isinstance(kept, bytes) and not self._trusted:
            self._check_owner()
        try:
            return decode(kept)
        except Exception as error:
            raise StoreError(self.path, f"data cannot be read back: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        if self._process != os.getpid():
            self._leave_to_parent()
        with self._write_lock, self._read_lock:
            self._closed = True
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None

    def _check_owner(self) -> None:
        """Unpickling runs what stands in the file, so it must be this user's own."""
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise StoreError(self.path, f"it has gone: {error.strerror}") from error
        if hasattr(os, "geteuid") and (found.st_uid != os.geteuid() or found.st_mode & 0o002):
            text = "it holds pickled data, which is only read from a file that is yours and that others cannot write"
            raise StoreError(self.path, f"{text}: take it over (chown, chmod o-w)")
        self._trusted = True

    def _check_process(self) -> None:
        if self._process != os.getpid():
            self._leave_to_parent()

    def _leave_to_parent(self) -> None:
        """This is a fork: connections and locks are the parent's."""
        _abandoned.extend(connection for connection in (self._reader, self._writer) if connection is not None)
        self._begin()

    def _connected(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(self.path, "it was closed")
        if self._writer is None:
            self._writer = self._opened()
        return self._writer

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=self._patience, isolation_level=None, check_same_thread=False)

    def _opened(self) -> sqlite3.Connection:
        """A connection to write, to a file that is there and up to date."""
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StoreError(self.path, f"SQLite {sqlite3.sqlite_version} is too old: 3.35 is needed")
        folder = Path(self.path).parent
        if not folder.is_dir():
            raise StoreError(self.path, f"there is no folder {str(folder)!r}: make it, or name another")
        if not os.path.lexists(self.path):
            # Not if it is there: closing it would release the locks of this process's other connections to it.
            try:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:  # another process was quicker
                pass
            except OSError as error:
                raise StoreError(self.path, f"it cannot be made: {error.strerror}") from error
        if os.path.exists(self.path) and not (os.access(self.path, os.W_OK) and os.access(folder, os.W_OK)):
            raise StoreError(self.path, _REASONS["readonly"])
        connection = self._connect()
        try:
            self._patiently(lambda: self._bring_up_to_date(connection))
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._power_safe else 'NORMAL'}")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.execute("PRAGMA busy_timeout = 0")  # writers wait in _start, which is fairer
        except BaseException:
            connection.close()
            raise
        return connection

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        program = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if program != _OURS and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError(self.path, "this database belongs to another program: name another file")
        if version > VERSION:
            raise StoreError(self.path, "it was written by a newer pipert2: upgrade, or name another file")
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(self.path, "its file system cannot share memory between processes: use a local disk")
        if version == VERSION and program == _OURS:
            return
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]  # another process may have been quicker
        for migration in _MIGRATIONS[version:]:
            migration(connection)
        connection.execute(f"PRAGMA application_id = {_OURS}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    def _start(self, connection: sqlite3.Connection) -> None:
        """Begin to write, when others let it.

        SQLite's own waiting sleeps longer and longer: among six processes that write all the time one waited up to
        1.3 s for its turn; with short random sleeps 0.3 s, and all of them together got 1.7 times as much done.
        """
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))

    def _patiently(self, do: Callable[[], object]) -> None:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                do()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.0002, 0.002))
            else:
                return

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            reason = next((reason for sign, reason in _REASONS.items() if sign in text), text)
            raise StoreError(self.path, reason) from error
