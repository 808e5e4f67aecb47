"""The writer: what it says is done is committed, and who fails does so alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from pipert2.cockpit.store.database import Database
from pipert2.cockpit.store.writer import Writer
from pipert2.errors import ControlError


def _add(name: str) -> Callable[[sqlite3.Connection], str]:
    def job(connection: sqlite3.Connection) -> str:
        connection.execute("INSERT INTO users VALUES (?, 'x', 'viewer', 1.0)", (name,))
        return name

    return job


def _names(database: Database) -> list[str]:
    with database.reading() as connection:
        return [name for (name,) in connection.execute("SELECT name FROM users ORDER BY name")]


def test_what_is_done_can_be_read_by_others(database: Database) -> None:
    writer = Writer(database, lambda connection: False)
    assert writer.submit(_add("ann")).result(5.0) == "ann"
    assert _names(database) == ["ann"]
    writer.close()


def test_a_job_that_fails_does_not_take_the_others_with_it(database: Database) -> None:
    failures: list[int] = []
    writer = Writer(database, lambda connection: False, lambda: failures.append(1))
    futures = [writer.submit(_add(name)) for name in ("ann", "bob")]

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO users VALUES ('half', 'x', 'viewer', 1.0)")
        raise ValueError("broken")

    failing = writer.submit(broken)
    futures.append(writer.submit(_add("cid")))
    assert [future.result(5.0) for future in futures] == ["ann", "bob", "cid"]
    with pytest.raises(ValueError, match="broken"):
        failing.result(5.0)
    assert _names(database) == ["ann", "bob", "cid"]
    assert failures
    writer.close()


@pytest.mark.expects_errors
def test_a_database_that_cannot_be_written_is_told_once(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(database, lambda connection: False)
    for _ in range(3):
        with pytest.raises(sqlite3.Error):
            writer.submit(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)")).result(5.0)
    writer.submit(_add("ann")).result(5.0)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    writer.close()


def test_closing_writes_what_waits_and_takes_no_more(database: Database) -> None:
    writer = Writer(database, lambda connection: False)
    for number in range(200):
        writer.submit(_add(f"user{number:03}"))
    writer.close()
    writer.close()
    assert len(_names(database)) == 200
    with pytest.raises(ControlError, match="shutting down"):
        writer.submit(_add("late"))
