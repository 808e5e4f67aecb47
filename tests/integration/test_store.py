"""Several processes use one store, and are killed in the middle of it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from pipert2.store import Store
from pipert2.testing import wait_until

CONTEXT = multiprocessing.get_context("forkserver")


def _write(store: Store, name: int, told: Connection, number: int) -> None:
    """Adds records, and tells of each when the store has acknowledged it."""
    with store:
        for one in range(number):
            store.add("elf", {"writer": name, "n": one})
            told.send(one)


def _write_together(store: Store, told: Connection) -> None:
    number = 0
    with store:
        while True:
            with store.together():
                for part in ("first", "second"):
                    store.put(part, number, number)
            told.send(number)
            number += 1


def _stop_in_the_middle(store: Store, told: Connection) -> None:
    with store.together():
        store.add("elf", "half")
        told.send("in it")
        signal.pause()


def _start(target: Any, *arguments: Any) -> tuple[Any, Connection]:
    reading, writing = CONTEXT.Pipe(duplex=False)
    arguments = tuple(writing if argument is Connection else argument for argument in arguments)
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    writing.close()
    return process, reading


def _received(told: Connection) -> list[Any]:
    found = []
    try:
        while True:
            found.append(told.recv())
    except EOFError:
        return found
    finally:
        told.close()


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.db")
    for attempt in range(3):
        process, told = _start(_write, store, attempt, Connection, 10**9)
        seen = [told.recv() for _ in range(50 + 37 * attempt)]
        os.kill(process.pid, signal.SIGKILL)
        seen += _received(told)
        process.join()
        kept = [record["n"] for record in store.records("elf") if record["writer"] == attempt]
        assert kept[: len(seen)] == seen
        assert len(kept) - len(seen) in (0, 1)  # one may be written and not yet told
    assert store.count("elf") == store.count("elf", since=0) == len(list(store.records("elf")))
    store.close()


def test_a_transaction_is_whole_when_the_writer_is_killed(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store:
        process, told = _start(_write_together, store, Connection)
        for _ in range(40):
            told.recv()
        os.kill(process.pid, signal.SIGKILL)
        seen = 40 + len(_received(told))
        process.join()
        assert store.count("first") == store.count("second") >= seen


def test_a_writer_killed_within_a_transaction_holds_nobody_up(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db", patience=60.0) as store:
        process, told = _start(_stop_in_the_middle, store, Connection)
        assert told.recv() == "in it"
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        told.close()
        store.add("elf", "whole")
        assert [record.data for record in store.records("elf")] == ["whole"]


def test_many_processes_write_to_one_store(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store:
        started = [_start(_write, store, name, Connection, 200) for name in range(4)]
        for process, told in started:
            assert _received(told) == list(range(200))
            process.join()
            assert process.exitcode == 0
        assert store.count("elf") == 800
        for name in range(4):
            assert [one["n"] for one in store.records("elf") if one["writer"] == name] == list(range(200))


def test_processes_that_make_the_file_at_the_same_time_agree(tmp_path: Path) -> None:
    started = [_start(_open_and_put, str(tmp_path / "run.db"), name, Connection) for name in range(4)]
    for process, told in started:
        assert _received(told) == ["NEW"]
        process.join()
    with Store(tmp_path / "run.db") as store:
        assert store.count("elf") == 4


def _open_and_put(path: str, name: int, told: Connection) -> None:
    with Store(path) as store:
        told.send(store.put("elf", name, name).name)


def test_a_reader_that_is_killed_before_it_commits_sees_its_records_again(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store:
        for number in range(3):
            store.add("elf", number)
        process, told = _start(_read_and_wait, store, Connection)
        assert told.recv() == [0, 1, 2]
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        told.close()
        assert [record.data for record in store.reader("watch").added("elf")] == [0, 1, 2]


def _read_and_wait(store: Store, told: Connection) -> None:
    told.send([record.data for record in store.reader("watch").added("elf")])
    signal.pause()


def test_others_see_what_was_written_at_once(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store:
        version = store.version()
        process, told = _start(_write, store, 0, Connection, 1)
        wait_until(lambda: store.version() != version, what="that the store has changed")
        wait_until(lambda: store.count("elf") == 1, what="that the record is there")
        _received(told)
        process.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_has_connections_of_its_own(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store:
        store.add("elf", "parent")
        process = multiprocessing.get_context("fork").Process(target=store.add, args=("elf", "child"))
        process.start()
        process.join()
        assert process.exitcode == 0
        store.add("elf", "parent again")
        assert [record.data for record in store.records("elf")] == ["parent", "child", "parent again"]
    with sqlite3.connect(tmp_path / "run.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
