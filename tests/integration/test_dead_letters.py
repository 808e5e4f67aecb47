"""Dead letters outlive the processes that gave them up where the pipe has a store."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from pipert2 import (
    DestinationRoutine,
    EventHandlerError,
    Pipe,
    PipeStateError,
    SourceRoutine,
    UnknownDeadLetterError,
    UnknownRoutineError,
    Wire,
)
from pipert2.runtime.supervision.dead_letter_shelves import MemoryShelf
from pipert2.store import Store
from pipert2.testing import CollectingDestination, ListSource, wait_until

pytestmark = pytest.mark.expects_errors


class Tasks(SourceRoutine):
    """Sends what it is given, then nothing; its stream does not end."""

    def __init__(self, items: list[Any]) -> None:
        super().__init__("tasks")
        self.items = list(items)

    def main_logic(self) -> Any:
        if self.items:
            return self.items.pop(0)
        self.wait(60.0)
        return None


class Picky(DestinationRoutine):
    """Cannot do negative numbers, nor data that is none."""

    able = False
    retries = 0

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.got: list[Any] = []

    def main_logic(self, data: Any) -> None:
        if not self.able and not (isinstance(data, int) and data >= 0):
            raise ValueError(f"no {data}")
        self.got.append(data)


def shop(numbers: list[Any], path: Path | None, *, name: str = "shop", worker: str = "work") -> tuple[Pipe, Picky]:
    pipe = Pipe(name, lossless=True, inline=True, store=path)
    source, work = Tasks(numbers), Picky(worker)
    pipe.create_flow("source", True, source)
    pipe.create_flow("workers", True, work, replicas=1)
    pipe.link(Wire(source, work))
    return pipe, work


def bury(path: Path | None, numbers: list[Any], **options: Any) -> None:
    """Run a shop until it has given up all negative numbers."""
    pipe, _ = shop(numbers, path, **options)
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: len([one for one in pipe.dead_letters() if not one.earlier]) == len(numbers))


def test_a_later_run_finds_what_an_earlier_one_gave_up_and_can_do_it(tmp_path: Path) -> None:
    bury(tmp_path / "run.db", [-1, -2])
    pipe, work = shop([], tmp_path / "run.db")
    work.able = True
    with pipe:
        pipe.notify_event("start", wait=60)
        found = pipe.dead_letters()
        assert [(one.routine, one.data, one.reason, one.earlier) for one in found] == [
            ("work", -1, "ValueError: no -1", True),
            ("work", -2, "ValueError: no -2", True),
        ]
        assert "main_logic" in found[0].traceback
        assert (pipe.status().dead_letters, pipe.status().routine("work").dead_letters) == (2, 2)
        pipe.requeue_dead_letter(found[0].number)
        assert work.got == [-1]
        pipe.drop_dead_letter(found[1].number)
        assert pipe.status().dead_letters == 0
    pipe, _ = shop([], tmp_path / "run.db")
    with pipe:
        pipe.build()
        assert pipe.dead_letters() == ()


def test_what_an_earlier_run_left_does_not_make_this_one_fail(tmp_path: Path) -> None:
    bury(tmp_path / "run.db", [-1])
    pipe = Pipe("shop", lossless=True, inline=True, store=tmp_path / "run.db")
    pipe.create_flow("all", True, ListSource([1], "tasks"), CollectingDestination("work"))
    summary = pipe.run(timeout=60)
    assert (summary.ok, summary.dead_letters, len(pipe.dead_letters())) == (True, 0, 1)


def test_pipes_that_share_a_store_have_dead_letters_of_their_own(tmp_path: Path) -> None:
    bury(tmp_path / "run.db", [-1], name="other")
    pipe, _ = shop([-2], tmp_path / "run.db")
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.dead_letters())
        (own,) = pipe.dead_letters()
        assert own.data == -2
        with pytest.raises(UnknownDeadLetterError, match=f"did you mean '{own.number}'|known are '{own.number}'"):
            pipe.drop_dead_letter(own.number - 1)
    assert [one.pipe for one in Store(tmp_path / "run.db").dead_letters.list()] == ["other", "shop"]


def test_a_letter_of_a_routine_that_is_gone_names_the_nearest(tmp_path: Path) -> None:
    bury(tmp_path / "run.db", [-1], worker="worker")
    pipe, _ = shop([], tmp_path / "run.db")
    with pipe:
        pipe.notify_event("start", wait=60)
        (letter,) = pipe.dead_letters()
        with pytest.raises(UnknownRoutineError, match="did you mean 'work'"):
            pipe.requeue_dead_letter(letter.number)
        assert pipe.requeue_dead_letters().failed.keys() == {letter.number}
        assert pipe.dead_letters() == (letter,)
        assert (pipe.status().dead_letters, pipe.status().routine("work").dead_letters) == (1, 0)


@pytest.mark.parametrize("stored", [False, True])
def test_all_letters_are_requeued_or_dropped_at_once(stored: bool, tmp_path: Path) -> None:
    pipe, work = shop([-1, -2, -3], tmp_path / "run.db" if stored else None)
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().dead_letters == 3)
        one, two, three = (letter.number for letter in pipe.dead_letters())
        again = pipe.requeue_dead_letters("work")
        assert again.failed.keys() == {one, two, three}
        assert again.failed[two].endswith("no -2")
        assert (again.ok, again.done, again.left) == (False, (), ())
        work.able = True
        assert pipe.requeue_dead_letters(wait=0).left == (one, two, three)
        pipe.drop_dead_letter(two)
        assert pipe.requeue_dead_letters().done == (one, three)
        assert work.got == [-1, -3]
        assert pipe.drop_dead_letters() == ()


@pytest.mark.parametrize("stored", [False, True])
def test_a_page_begins_behind_a_number_and_is_of_one_routine(stored: bool, tmp_path: Path) -> None:
    pipe, _ = shop([-1, -2, -3], tmp_path / "run.db" if stored else None)
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().dead_letters == 3)
        every = pipe.dead_letters()
        assert pipe.dead_letters("work", after=every[0].number, limit=1) == every[1:2]
        assert pipe.dead_letters("tasks") == ()
        assert pipe.drop_dead_letters("tasks") == ()
    assert pipe.dead_letters("work", after=every[0].number, limit=1) == every[1:2]
    assert pipe.dead_letters("tasks") == ()


def test_a_letter_that_cannot_be_done_stays_as_it_is(tmp_path: Path) -> None:
    pipe, _ = shop([-1], tmp_path / "run.db")
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.dead_letters())
        before = pipe.dead_letters()
        with pytest.raises(EventHandlerError, match=r"on event 'dead letter 1': .*no -1"):
            pipe.requeue_dead_letter(before[0].number)
        pipe.notify_event("stop", wait=60)
        with pytest.raises(PipeStateError, match="routine 'work' does not run, start it first"):
            pipe.requeue_dead_letter(before[0].number)
        assert pipe.dead_letters() == before
        assert pipe.status().dead_letters == 1


def test_data_that_json_holds_can_be_read_by_other_programs(tmp_path: Path) -> None:
    bury(tmp_path / "run.db", [{"size": -3}, (1, 2)])
    with sqlite3.connect(tmp_path / "run.db") as connection:
        kept = [row[0] for row in connection.execute("SELECT data FROM letters ORDER BY id")]
    connection.close()
    assert kept[0] == '{"size":-3}'
    assert isinstance(kept[1], bytes)
    pipe, _ = shop([], tmp_path / "run.db")
    with pipe:
        pipe.build()
        assert [one.data for one in pipe.dead_letters()] == [{"size": -3}, (1, 2)]


def test_what_the_store_does_not_take_is_kept_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pipe, _ = shop([-1], tmp_path / "run.db")
    with pipe:
        pipe.build()
        with sqlite3.connect(tmp_path / "run.db") as connection:
            connection.execute("ALTER TABLE letters RENAME TO gone")
        connection.close()
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().dead_letters == 1)
        with sqlite3.connect(tmp_path / "run.db") as connection:
            connection.execute("ALTER TABLE gone RENAME TO letters")
        connection.close()
        (letter,) = pipe.dead_letters()
        assert (letter.data, letter.earlier) == (-1, False)
        pipe.drop_dead_letter(letter.number)
    assert "1 dead letters lie in memory only" in caplog.text


def test_a_pipe_ends_also_if_its_store_cannot_be_read_any_more(tmp_path: Path) -> None:
    pipe, _ = shop([-1], tmp_path / "run.db")
    with pipe:
        pipe.notify_event("start", wait=60)
        wait_until(lambda: pipe.status().dead_letters == 1)
        with sqlite3.connect(tmp_path / "run.db") as connection:
            connection.execute("DROP TABLE letters")
        connection.close()
    assert pipe.dead_letters() == ()


_SCRIPT = """
import sys
from pipert2 import DestinationRoutine, Pipe, SourceRoutine, Wire
from pipert2.testing import wait_until


class Tasks(SourceRoutine):
    def main_logic(self):
        if self.items:
            return self.items.pop()
        self.wait(60)


class Work(DestinationRoutine):
    def main_logic(self, data):
        if sys.argv[2] == "break":
            raise ValueError("no")
        print("did", data, flush=True)


pipe = Pipe("shop", lossless=True, store=sys.argv[1])
source, work = Tasks("tasks"), Work("work")
source.items = ["a picture"] if sys.argv[2] == "break" else []
pipe.create_flow("source", True, source)
pipe.create_flow("workers", True, work, replicas=2)
pipe.link(Wire(source, work))
pipe.notify_event("start", wait=60)
if sys.argv[2] == "break":
    wait_until(pipe.dead_letters, 60)
    print("given up", flush=True)
    sys.stdin.read()
else:
    for letter in pipe.dead_letters():
        print(letter.earlier, letter.routine, letter.data, letter.attempts, flush=True)
        pipe.requeue_dead_letter(letter.number)
    print(pipe.dead_letters())
    pipe.join(to_kill=True)
"""


def test_a_letter_outlives_kill_9_of_everything(tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(textwrap.dedent(_SCRIPT))
    command = [sys.executable, str(script), str(tmp_path / "run.db")]
    first = subprocess.Popen(
        [*command, "break"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert first.stdout is not None
    assert first.stdin is not None
    assert first.stdout.readline() == "given up\n"
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(60)
    first.stdin.close()
    first.stdout.close()
    done = subprocess.run([*command, "mended"], capture_output=True, text=True, timeout=60, start_new_session=True)
    assert done.stdout.splitlines() == ["True work a picture 1", "did a picture", "()"]


def test_a_letter_that_was_being_requeued_when_all_was_killed_is_there_again(tmp_path: Path) -> None:
    bury(tmp_path / "run.db", [-1])
    with Store(tmp_path / "run.db") as store:
        store.dead_letters.requeue(store.dead_letters.list()[0].id)
    pipe, _ = shop([], tmp_path / "run.db")
    with pipe:
        pipe.build()
        assert [one.data for one in pipe.dead_letters()] == [-1]


def test_a_store_of_an_older_version_gets_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with Store(path) as store:
        store.dead_letters.add("workers", "work", "m", 3, attempts=1, error="no")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP INDEX letters_by_pipe")
        for column in ("pipe", "run", "origin"):
            connection.execute(f"ALTER TABLE letters DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    with Store(path) as store:
        (letter,) = store.dead_letters.list()
        assert (letter.data, letter.pipe, letter.origin) == (3, "", 0)
        assert letter.time <= time.time()


def test_without_a_store_the_newest_dead_letters_are_kept_and_those_that_went_are_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pipert2.runtime.supervision import dead_letters

    monkeypatch.setattr(dead_letters, "MemoryShelf", lambda first: MemoryShelf(first, most=3))
    pipe, work = Pipe(lossless=True, inline=True), Picky("work")
    pipe.create_flow("all", True, ListSource([-1, -2, -3, -4, -5, 6]), work)
    summary = pipe.run(timeout=60)
    assert [letter.data for letter in pipe.dead_letters()] == [-3, -4, -5]
    assert (pipe.status().dead_letters, pipe.status().dead_letters_dropped) == (3, 2)
    assert (summary.ok, summary.dead_letters, summary.dead_letters_dropped) == (False, 5, 2)
    assert "5 messages were given up, see Pipe.dead_letters(), but for the oldest 2" in str(summary)
    assert "2 dead letters of pipe" in caplog.text
