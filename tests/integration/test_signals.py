"""Ctrl-C and SIGTERM: the first stops cleanly, the second ends by force, whoever waits in whatever call."""

from __future__ import annotations

import os
import signal
import subprocess

import psutil
import pytest

from pipert2.testing import CollectingDestination, ListSource, wait_until

SCRIPT = """
import os, signal, sys, threading, time
from pipert2 import DestinationRoutine, Pipe, SourceRoutine, Wire
from pipert2.testing import wait_until

def waits():
    "Say so as soon as the main thread waits in the pipe, which has signal handlers of its own then."
    before = signal.getsignal(signal.SIGTERM)

    def look():
        wait_until(lambda: signal.getsignal(signal.SIGTERM) is not before)
        print("waits", flush=True)

    threading.Thread(target=look, daemon=True).start()

class Numbers(SourceRoutine):
    next = 0
    def main_logic(self):
        self.next += 1
        return self.next

    def cleanup(self):
        print("numbers cleaned up", flush=True)

class Sink(DestinationRoutine):
    first = True
    def main_logic(self, data):
        if self.first:
            self.first = False
            print("ready", flush=True)

    def cleanup(self):
        print("sink cleans up", flush=True)
        {cleanup}
        print("sink cleaned up", flush=True)

numbers, sink = Numbers("numbers"), Sink("sink")
pipe = Pipe(lossless=True, kill_timeout={kill_timeout}, start_method={method!r})
pipe.create_flow("in", False, numbers)
pipe.create_flow("out", False, sink)
pipe.link(Wire(numbers, (sink,)))
{wait}
print("end of the script", flush=True)
"""

WAITS = {
    "join": 'pipe.notify_event("start")\nwaits()\npipe.join()',
    "run": "waits()\nprint(pipe.run().reason)",
    "with_join": 'with pipe:\n    pipe.notify_event("start")\n    waits()\n    pipe.join()',
    "with_run": "with pipe:\n    waits()\n    print(pipe.run().reason)",
}
SLEEPS = 'with pipe:\n    pipe.notify_event("start")\n    print("waits", flush=True)\n    time.sleep(600)'
HANGS = "while True: time.sleep(1)"


def script(wait: str, cleanup: str = "pass", kill_timeout: float = 30.0, method: str | None = None) -> str:
    return SCRIPT.format(wait=wait, cleanup=cleanup, kill_timeout=kill_timeout, method=method)


def start(scripts, code: str, *said: str) -> subprocess.Popen[str]:
    """Start a script and wait until data flows, and until it has said more, in whatever order."""
    process = scripts.start(code)
    missing = {"ready", *said}
    while missing:
        missing.discard(next_line(scripts, process))
    return process


def next_line(scripts, process: subprocess.Popen[str]) -> str:
    line = scripts.read_line(process)
    assert line, "the script has ended"
    return line.strip()


def tree(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


SENT = {
    "SIGINT": lambda process: os.kill(process.pid, signal.SIGINT),
    "Ctrl-C": lambda process: os.killpg(process.pid, signal.SIGINT),
    "SIGTERM": lambda process: os.kill(process.pid, signal.SIGTERM),
}


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("wait", WAITS)
def test_a_first_signal_stops_the_pipe_cleanly_and_the_script_goes_on(scripts, wait, sent):
    process = start(scripts, script(WAITS[wait]), "waits")
    children = tree(process)
    SENT[sent](process)
    out = scripts.finish(process)
    lines = out.splitlines()
    assert "numbers cleaned up" in lines
    assert "sink cleaned up" in lines
    if "run" in wait:
        assert f"interrupted by {'SIGTERM' if sent == 'SIGTERM' else 'SIGINT'}" in lines
    assert lines[-1] == "end of the script"
    wait_until(lambda: gone(children))


@pytest.mark.parametrize("wait", ["join", "run"])
def test_a_signal_that_comes_while_the_script_is_suspended_is_heard_when_it_goes_on(scripts, wait):
    process = start(scripts, script(WAITS[wait]), "waits")
    children = tree(process)
    os.kill(process.pid, signal.SIGSTOP)  # as by Ctrl-Z; which thread has the signal afterwards is the system's choice
    wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGCONT)
    assert "sink cleaned up" in scripts.finish(process)
    wait_until(lambda: gone(children))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("wait", ["join", "run", "with_join"])
def test_a_second_signal_ends_a_routine_that_hangs_in_its_cleanup(scripts, wait, number):
    process = start(scripts, script(WAITS[wait], HANGS, kill_timeout=300.0), "waits")
    children = tree(process)
    os.killpg(process.pid, signal.SIGINT)
    while next_line(scripts, process) != "sink cleans up":
        pass
    assert process.poll() is None
    os.kill(process.pid, number)
    out = scripts.finish(process)
    assert "sink cleaned up" not in out
    assert out.splitlines()[-1] == "end of the script"
    wait_until(lambda: gone(children))


def test_a_signal_when_the_script_does_not_wait_in_the_pipe_is_a_keyboard_interrupt_as_ever(scripts):
    process = start(scripts, script(SLEEPS), "waits")
    children = tree(process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "sink cleaned up" in out
    assert err.strip().endswith("KeyboardInterrupt")
    assert process.returncode == -signal.SIGINT
    wait_until(lambda: gone(children))


def test_a_signal_during_the_wait_for_the_end_of_a_with_block_ends_it_by_force(scripts):
    process = start(scripts, script(SLEEPS, HANGS, kill_timeout=300.0), "waits")
    children = tree(process)
    os.killpg(process.pid, signal.SIGINT)
    while next_line(scripts, process) != "sink cleans up":
        pass
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    wait_until(lambda: gone(children))


def test_signal_handlers_of_the_script_are_back_after_join(scripts):
    wait = 'signal.signal(signal.SIGTERM, lambda *_: print("my own", flush=True))\n' + WAITS["join"]
    after = "\nos.kill(os.getpid(), signal.SIGTERM)\nprint(signal.getsignal(signal.SIGINT).__name__, flush=True)"
    process = start(scripts, script(wait + after), "waits")
    os.kill(process.pid, signal.SIGTERM)
    out = scripts.finish(process)
    assert out.splitlines()[-3:] == ["my own", "default_int_handler", "end of the script"]


def test_sigterm_to_one_flow_ends_that_flow_and_it_is_restarted(scripts):
    body = """
pipe.notify_event("start", wait=60)
pid = pipe.status().flow("out").pid
os.kill(pid, 15)
from pipert2.testing import wait_until
wait_until(lambda: pipe.status().flow("out").restarts == 1 and pipe.status().routine("sink").state == "running")
print(pipe.status().flow("out").last_exit, flush=True)
pipe.join(to_kill=True)
"""
    process = start(scripts, script(body))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "killed by signal SIGTERM" in out
    assert "flow 'out' died (killed by signal SIGTERM)" in err


BUILDS = """
class Slow(DestinationRoutine):
    def __getstate__(self):
        print("ready", flush=True)
        time.sleep(600)

    def main_logic(self, data):
        pass

slow = Slow("slow")
pipe.create_flow("slow", False, slow)
pipe.link(Wire(numbers, (slow,)))
pipe.build()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_while_the_pipe_is_built_ends_the_flows_that_run_already(scripts, chain, number):
    process = start(scripts, script(BUILDS))
    children = tree(process)
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == -number
    wait_until(lambda: gone(children))
    # SIGTERM ends the script on the spot; what it left is cleared by the next run.
    assert chain(ListSource([1], "numbers"), CollectingDestination("seen")).run(timeout=60).ok
