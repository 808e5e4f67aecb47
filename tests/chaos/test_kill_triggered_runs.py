"""kill -9 in the midst of triggered runs: none is lost silently, none is both interrupted and completed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pipert2 import Pipe, Restart, SourceRoutine, Store
from pipert2.store.ledger import Run, RunOutcome
from pipert2.testing import wait_until

pytestmark = pytest.mark.expects_errors

ALWAYS = Restart(times=1_000_000, window=1.0, backoff=0.0)
INTERVAL = 0.2


class Worker(SourceRoutine):
    """Raises in its second run and never ends its fifth, which somebody has to kill."""

    trigger = f"every {INTERVAL} s"

    def main_logic(self) -> None:
        number = self.store.add("run", {"pid": os.getpid()})
        if number == 2:
            raise ValueError("the second one fails")
        if number == 5:
            self.wait(600)


def runs_of(store: Store) -> list[Run]:
    return list(reversed(store.runs.list("worker")))


def test_a_run_that_is_killed_was_interrupted_and_the_next_one_comes_within_an_interval(tmp_path: Path) -> None:
    """B-6: a SIGKILL in the midst of run 5."""
    pipe = Pipe(restart=ALWAYS, store=tmp_path / "run.db")
    pipe.create_flow("flow", True, Worker("worker"))
    store = pipe.store
    assert store is not None
    with pipe:
        pipe.notify_event("start")
        wait_until(lambda: store.count("run") == 5, timeout=60)
        pid = pipe.status().flow("flow").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(runs_of(store)) >= 8, timeout=60)
        back = pipe.status().flow("flow")
        assert (back.restarts, back.pid != pid) == (1, True)
    told = [one.values for one in pipe.notices().notices if one.name == "failed"]
    assert [(one["run"], one["outcome"]) for one in told] == [(2, "failed"), (5, "interrupted")]
    runs = runs_of(store)
    outcomes = {run.number: run.outcome for run in runs}
    assert (outcomes[2], outcomes[5]) == (RunOutcome.FAILED, RunOutcome.INTERRUPTED)
    assert "the second one fails" in runs[1].text
    assert [run.number for run in runs] == list(range(1, len(runs) + 1))
    assert all(outcomes[number] is RunOutcome.COMPLETED for number in (1, 3, 4, 6, 7))
    assert runs[4].ended is None
    assert runs[5].due - runs[4].due >= INTERVAL / 2, "one catch-up, not one for each tick"
    store.close()


@pytest.mark.parametrize("kills", [10])
def test_kills_at_any_moment_neither_repeat_nor_lose_a_run(tmp_path: Path, kills: int) -> None:
    class Quick(SourceRoutine):
        trigger = "every 5 ms"

        def main_logic(self) -> None:
            self.store.add("run", None)

    pipe = Pipe(restart=ALWAYS, store=tmp_path / "run.db")
    pipe.create_flow("flow", True, Quick("worker"))
    store = pipe.store
    assert store is not None
    with pipe:
        pipe.notify_event("start")
        for _ in range(kills):
            before = store.count("run")
            wait_until(lambda before=before: store.count("run") > before + 3, timeout=60)
            pid = wait_until(lambda: pipe.status().flow("flow").pid)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: pipe.status().flow("flow").pid not in (None, pid), timeout=60)
        before = store.count("run")
        wait_until(lambda: store.count("run") > before + 3, timeout=60)
        pipe.notify_event("stop", wait=60)
    runs = runs_of(store)
    interrupted = [run for run in runs if run.outcome is RunOutcome.INTERRUPTED]
    completed = [run for run in runs if run.outcome is RunOutcome.COMPLETED]
    assert len(interrupted) <= kills
    assert len(completed) + len(interrupted) == len(runs) == runs[-1].number
    assert len(completed) <= store.count("run") <= len(runs), "a run that was interrupted may have done its work"
    dues = [run.due for run in runs]
    assert dues == sorted(set(dues)), "no tick was done twice"
    store.close()
