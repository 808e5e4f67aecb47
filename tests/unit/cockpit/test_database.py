"""The database file: who may read it, versions, and what is no database."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from pipert2.cockpit.store.database import VERSION, Database
from pipert2.errors import ControlError


def test_the_file_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cockpit.db"
    Database(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cockpit.db"
    for _ in range(2):
        database = Database(path)
        with database.writing() as connection:
            connection.execute("INSERT INTO users VALUES (?, 'x', 'viewer', 1.0)", (str(connection),))
        database.close()
    with Database(path).reading() as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (2,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        connection.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cockpit.db"
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(ControlError, match="newer pipert2"):
        Database(path)


def test_what_is_no_database_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, though long enough to be looked at " * 100)
    with pytest.raises(ControlError, match="notes"):
        Database(path)
    with pytest.raises(ControlError, match="the database"):
        Database(path / "cockpit.db")


def test_readers_cannot_write(database: Database) -> None:
    with database.reading() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM users")
