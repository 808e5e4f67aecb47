"""The zerorpc server of a pipe, called by zerorpc's own client and by pipert2-rpc, each in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2 import EndOfStream, Pipe, SourceRoutine, Wire, events
from pipert2.control.rpc.keys import CurveKeys
from pipert2.control.rpc.wrapper import RPCPipeWrapper
from pipert2.errors import ControlError
from pipert2.testing import CollectingDestination, wait_until

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "pipert2.control.rpc.command"]
ANYWHERE = "tcp://127.0.0.1:*"
METHODS = [
    *("start", "pause", "kill", "execute", "status", "structure", "events", "log", "call", "call_routine"),
    *("dead_letters", "requeue_dead_letter", "requeue_dead_letters", "drop_dead_letter", "drop_dead_letters"),
    *("shared_parameters", "set_shared_parameters", "set_replicas"),
]


class Numbers(SourceRoutine):
    """Counts, *rate* numbers a second, up to *end*."""

    def __init__(self, name: str = "numbers", end: int | None = None, rate: float = 200.0) -> None:
        super().__init__(name)
        self.end = end
        self.pause = 1 / rate
        self.step = 1
        self.last = 0

    @events("SET_STEP")
    def set_step(self, step: int) -> int:
        self.step = step
        self.logger.info("the step is %d", step)
        return step

    @events("SLEEP")
    def sleep(self, seconds: float) -> str:
        time.sleep(seconds)
        return "slept"

    @events("BIG")
    def big(self) -> int:
        return 2**80

    def main_logic(self) -> int:
        if self.end is not None and self.last >= self.end:
            raise EndOfStream
        time.sleep(self.pause)
        self.last += self.step
        return self.last


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe("rpc-test", inline=True, logger=_quiet_logger("rpc-test"))
    made.create_flow("all", True, Numbers(), CollectingDestination("seen"))
    with made:
        yield made


@pytest.fixture
def endpoint(pipe: Pipe) -> Iterator[str]:
    with RPCPipeWrapper(pipe) as wrapper:
        wrapper.start_rpc_server(endpoint=ANYWHERE)
        assert wrapper.endpoint is not None
        yield wrapper.endpoint


def _quiet_logger(name: str) -> logging.Logger:
    logger = logging.getLogger(f"pipert2.{name}")
    logger.setLevel(logging.INFO)
    return logger


def client(endpoint: str, code: str, timeout: float = 60.0) -> Any:
    """What *code* puts in ``answer``, run in a process of its own with zerorpc's client ``c``."""
    script = f"""
import json, logging, zerorpc
logging.getLogger("zerorpc").addHandler(logging.NullHandler())
c = zerorpc.Client({endpoint!r})
{code}
print(json.dumps(answer))
c.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=timeout, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return json.loads(done.stdout)


def command(
    endpoint: str, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run pipert2-rpc."""
    return subprocess.run(
        [*COMMAND, endpoint, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )


# --- by zerorpc's client


def test_execute_starts_the_pipe_as_documented(pipe: Pipe, endpoint: str) -> None:
    answer = client(endpoint, "answer = c.execute('start')")
    assert answer["routines"] == ["numbers", "seen"]
    wait_until(lambda: pipe.status().routine("seen").received > 0)


def test_execute_join_kills_and_ends_the_pipe_as_documented(pipe: Pipe, endpoint: str) -> None:
    answer = client(endpoint, """c.execute('start'); answer = c.execute('join', '{"to_kill":true}')""")
    assert answer == {"ended": True}
    assert pipe.status().state.value == "ended"


def test_join_answers_when_the_pipe_has_ended(pipe: Pipe, endpoint: str) -> None:
    code = """
c.start()
pending = c.execute("join", **{"async": True})
assert c.execute("join", {"timeout": 0.3}) == {"ended": False}
c.kill()
answer = pending.get()
"""
    assert client(endpoint, code) == {"ended": True}


@pytest.mark.parametrize("arguments", ["'{\"step\": 7}'", '{"step": 7}', "b'{\"step\": 7}'"])
def test_an_events_arguments_are_json_text_or_a_map(pipe: Pipe, endpoint: str, arguments: str) -> None:
    code = f"""
c.execute("start")
c.execute("SET_STEP", {arguments})
answer = c.call("event", {{"name": "SET_STEP", "params": {{"step": 9}}, "wait": 25}})
"""
    answer = client(endpoint, code)
    assert answer["results"]["numbers"]["value"] == 9
    assert "the step is 7" in [record["message"] for record in _log(endpoint)]


def _log(endpoint: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client(endpoint, "answer = c.call('logs')")["records"]
    return found


def test_start_and_pause_and_kill_do_what_they_say(pipe: Pipe, endpoint: str) -> None:
    code = """
answer = []
for act in (c.start, c.pause, c.start, c.kill):
    act(None, None, 25.0)
    answer.append([one["state"] for one in c.status()["routines"]])
"""
    assert client(endpoint, code) == [["running"] * 2, ["idle"] * 2, ["running"] * 2, ["killed"] * 2]


def test_a_flow_or_a_routine_can_be_driven_alone(pipe: Pipe, endpoint: str) -> None:
    code = 'c.start(None, "seen", 25.0); answer = [one["state"] for one in c.status()["routines"]]'
    assert client(endpoint, code) == ["idle", "running"]


def test_status_and_structure_and_events_describe_the_pipe(pipe: Pipe, endpoint: str) -> None:
    code = 'answer = [c.status()["name"], c.structure()["flows"], c.events("numbers"), c.events()]'
    name, flows, of_one, of_all = client(endpoint, code)
    assert (name, flows) == ("rpc-test", ["all"])
    assert [event["name"] for event in of_one["numbers"]] == ["BIG", "SET_STEP", "SLEEP"]
    assert set(of_all) == {"numbers", "seen"}


def test_every_other_verb_is_called_by_name(pipe: Pipe, endpoint: str) -> None:
    code = """
c.start()
answer = [c.call("version")["pipe"], c.call("health")["ok"], c.call("log_level", '{"routine":"seen","level":"DEBUG"}')]
"""
    assert client(endpoint, code) == ["rpc-test", True, {"routine": "seen", "level": "DEBUG"}]


def test_log_is_a_stream_that_begins_at_once_and_follows(pipe: Pipe, endpoint: str) -> None:
    code = """
stream = c.log()
answer = [next(stream)["message"]]
c.execute("SET_STEP", {"step": 2})
for record in stream:
    if record["routine"] == "numbers":
        break
answer.append([record["message"], record["level"], record["flow"]])
stream.close()
"""
    first, (message, level, flow) = client(endpoint, code)
    assert first == "the log of pipe 'rpc-test' follows"
    assert (message, level, flow) == ("the step is 2", "INFO", "all")


def test_log_gives_the_records_that_are_kept_and_fit(pipe: Pipe, endpoint: str) -> None:
    for number in range(5):
        pipe.logger.info("hello %d", number)
        pipe.logger.warning("careful %d", number)
    code = """
stream = c.log(0, "WARNING", "", "", "careful")
answer = [next(stream)["message"] for _ in range(6)]
stream.close()
"""
    assert client(endpoint, code)[1:] == [f"careful {number}" for number in range(5)]


def test_an_error_arrives_as_its_name_and_message(pipe: Pipe, endpoint: str) -> None:
    code = """
answer = []
calls = [
    lambda: c.execute("SET_STEPS"), lambda: c.execute("SET_STEP", "{"), lambda: c.execute("SET_STEP", [1]),
    lambda: c.execute("join", {"to_kil": True}), lambda: c.events("nobody"), lambda: c.call("statu"),
    lambda: c.call("log_level", {}), lambda: c.nothing(), lambda: c.status(1, 2, 3), lambda: c.execute(),
    lambda: next(c.log("x")), lambda: c.execute(5), lambda: c.call(["status"]), lambda: c._zerorpc_help("nothing"),
]
for call in calls:
    try:
        call()
        answer.append(None)
    except zerorpc.RemoteError as error:
        answer.append([error.name, error.msg, error.traceback])
"""
    answer = client(endpoint, code)
    assert [name for name, _, _ in answer] == [
        "unknown_name",
        *["bad_argument"] * 3,
        *["unknown_name"] * 2,
        "bad_argument",
        "unknown_name",
        *["bad_argument"] * 4,
        "unknown_name",
        "bad_argument",
    ]
    assert all(trace is None and "\n" not in message for _, message, trace in answer)
    assert "did you mean 'SET_STEP'?" in answer[0][1]
    assert "did you mean 'status'?" in answer[5][1]
    assert "<" not in "".join(message for _, message, _ in answer)  # no object's repr


def test_what_msgpack_cannot_carry_still_arrives(pipe: Pipe, endpoint: str) -> None:
    answer = client(endpoint, 'answer = c.call("event", {"name": "BIG", "wait": 25})')
    assert answer["results"]["numbers"]["value"] == hex(2**80)


def test_zerorpcs_introspection_is_answered(pipe: Pipe, endpoint: str) -> None:
    code = """
answer = [c._zerorpc_list(), c._zerorpc_ping(), c._zerorpc_name(), c._zerorpc_help("execute"),
          c._zerorpc_args("execute"), c._zerorpc_inspect()]
"""
    names, ping, name, text, args, found = client(endpoint, code)
    assert names == METHODS
    assert (ping, name) == (["pong", "rpc-test"], "rpc-test")
    assert text.startswith("Send an event")
    assert args == [["name", "args"], None, None, [None]]
    assert found["methods"]["execute"]["args"] == [{"name": "name"}, {"name": "args", "default": None}]
    assert all(about["doc"] for about in found["methods"].values())


def test_kill_is_answered_even_if_the_program_closes_the_server_at_once(scripts: Any) -> None:
    script = """
from pipert2 import Pipe
from pipert2.control.rpc.wrapper import RPCPipeWrapper
from pipert2.testing import CollectingDestination, ListSource

if __name__ == "__main__":
    pipe = Pipe("short-lived")
    pipe.create_flow("all", True, ListSource([1], repeat=True), CollectingDestination())
    with RPCPipeWrapper(pipe) as wrapper:
        pipe.notify_event("start")
        wrapper.start_rpc_server("tcp://127.0.0.1:*")
        print(wrapper.endpoint, flush=True)
        pipe.join()
"""
    process = scripts.start(script)
    answer = client(scripts.read_line(process).strip(), "answer = c.execute('join', '{\"to_kill\":true}')")
    assert answer == {"ended": True}
    assert scripts.finish(process) == ""


def test_a_handler_that_blocks_holds_up_nobodys_heartbeat(pipe: Pipe) -> None:
    with RPCPipeWrapper(pipe, heartbeat=1) as wrapper:
        wrapper.start_rpc_server(ANYWHERE)
        code = f"""
c.close()
c = zerorpc.Client({wrapper.endpoint!r}, heartbeat=1)
c.start()
sleep = {{"name": "SLEEP", "params": {{"seconds": 2}}, "wait": 30}}
pending = [c.call("event", sleep, **{{"async": True}}) for _ in range(3)]  # one after the other: 6 s
states = [c.status()["state"] for _ in range(5)]
answer = [states, [one.get()["results"]["numbers"]["value"] for one in pending]]
"""
        assert client(str(wrapper.endpoint), code) == [["running"] * 5, ["slept"] * 3]


def test_a_client_that_vanishes_in_a_stream_is_forgotten(pipe: Pipe) -> None:
    with RPCPipeWrapper(pipe, heartbeat=1) as wrapper:
        wrapper.start_rpc_server(ANYWHERE)
        process = subprocess.Popen(
            [*COMMAND, str(wrapper.endpoint), "--heartbeat", "1", "log"], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        with process:
            assert process.stdout is not None
            assert "follows" in process.stdout.readline()
            assert wrapper.calls == 1
            process.send_signal(signal.SIGKILL)
        pipe.notify_event("start")
        wait_until(lambda: wrapper.calls == 0, timeout=40.0, what="that the stream ends")
        assert command(str(wrapper.endpoint), "status").returncode == 0


FIFTY = """
import gevent
clients = [zerorpc.Client({endpoint!r}, context=zerorpc.Context(), heartbeat=2) for _ in range(50)]
def use(one):
    stream = one.log()
    next(stream)
    names = {{one.status()["name"] for _ in range(10)}}
    one.execute("SET_STEP", {{"step": 1}})
    names.add(next(record["message"] for record in stream if record["routine"] == "numbers"))
    stream.close()
    return sorted(names)
tasks = [gevent.spawn(use, one) for one in clients]
gevent.joinall(tasks, raise_error=True)
answer = [task.value for task in tasks]
for one in clients:
    one.close()
"""


def test_fifty_clients_at_once_and_the_pipe_does_not_notice() -> None:
    seen = CollectingDestination("seen")
    pipe = Pipe("busy", lossless=True, logger=_quiet_logger("busy"))
    pipe.create_flow("source", False, numbers := Numbers(end=1_000_000, rate=500.0))
    pipe.create_flow("destination", False, seen)
    pipe.link(Wire(numbers, (seen,)))
    with pipe, RPCPipeWrapper(pipe, heartbeat=2) as wrapper:
        pipe.notify_event("start")
        wrapper.start_rpc_server(ANYWHERE)
        answer = client(str(wrapper.endpoint), FIFTY.format(endpoint=wrapper.endpoint), timeout=100)
        wait_until(lambda: wrapper.calls == 0, timeout=40.0, what="that all calls are over")
        status = pipe.status()
        pipe.notify_event("stop", wait=60)
    assert answer == [["busy", "the step is 1"]] * 50
    assert [flow.restarts for flow in status.flows] == [0, 0]
    assert sum(routine.errors for routine in status.routines) == 0
    arrived = seen.items()
    assert arrived == list(range(1, len(arrived) + 1))
    assert arrived


# --- the server


def test_the_port_is_free_again_after_close(pipe: Pipe) -> None:
    wrapper = RPCPipeWrapper(pipe)
    wrapper.start_rpc_server(ANYWHERE)
    endpoint = str(wrapper.endpoint)
    stream = subprocess.Popen([*COMMAND, endpoint, "log"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with stream:
        assert stream.stdout is not None
        stream.stdout.readline()
        for _ in range(20):
            wrapper.close()
            assert wrapper.endpoint is None
            wrapper.start_rpc_server(endpoint)
        assert client(endpoint, 'answer = c.status()["name"]') == "rpc-test"
        wrapper.close()
        wrapper.close()
        assert stream.wait(60) == 0  # its stream was ended, not left to wait


def test_two_servers_in_one_process_serve_their_own_pipes(pipe: Pipe) -> None:
    with Pipe("other", inline=True) as other, RPCPipeWrapper(pipe) as first, RPCPipeWrapper(other) as second:
        first.start_rpc_server(ANYWHERE)
        second.start_rpc_server(ANYWHERE)
        code = f"""
d = zerorpc.Client({second.endpoint!r}, context=zerorpc.Context())
answer = [c.status()["name"], d.status()["name"]]
d.close()
"""
        assert client(str(first.endpoint), code) == ["rpc-test", "other"]
        first.close()
        assert client(str(second.endpoint), 'answer = c.status()["name"]') == "other"


def test_an_endpoint_that_is_taken_is_said_so(pipe: Pipe, endpoint: str) -> None:
    with RPCPipeWrapper(pipe) as second, pytest.raises(ControlError, match=f"cannot listen at {endpoint}: Address"):
        second.start_rpc_server(endpoint)


def test_one_wrapper_serves_at_one_place(pipe: Pipe) -> None:
    with RPCPipeWrapper(pipe) as wrapper:
        wrapper.start_rpc_server(ANYWHERE)
        with pytest.raises(ControlError, match=r"listens at tcp://127.0.0.1:[0-9]+ already") as caught:
            wrapper.start_rpc_server(ANYWHERE)
        assert caught.value.code == "bad_state"


def test_other_machines_need_keys(pipe: Pipe) -> None:
    with RPCPipeWrapper(pipe) as wrapper, pytest.raises(ControlError, match=r"give RPCPipeWrapper\(keys=CurveKeys"):
        wrapper.start_rpc_server("tcp://0.0.0.0:*")


def test_a_socket_in_the_file_system_works_and_is_taken_away(pipe: Pipe, tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    with RPCPipeWrapper(pipe) as wrapper, RPCPipeWrapper(pipe) as second:
        wrapper.start_rpc_server(f"ipc://{path}")
        assert command(f"ipc://{path}", "-p", "call", "version").returncode == 0
        with pytest.raises(ControlError, match="Address already in use"):
            second.start_rpc_server(f"ipc://{path}")
    assert not path.exists()


def test_ctrl_c_ends_a_server_that_blocks(scripts: Any) -> None:
    script = """
import threading
from pipert2 import Pipe
from pipert2.control.rpc.wrapper import RPCPipeWrapper
from pipert2.testing import CollectingDestination, ListSource, wait_until

if __name__ == "__main__":
    pipe = Pipe("blocking")
    pipe.create_flow("all", True, ListSource([1], repeat=True), CollectingDestination())
    pipe.notify_event("start")
    wrapper = RPCPipeWrapper(pipe)
    def tell():
        wait_until(lambda: wrapper.endpoint)
        print("serves", flush=True)
    threading.Thread(target=tell).start()
    wrapper.run_rpc_server(endpoint="tcp://127.0.0.1:*")
    print("ended", wrapper.endpoint)
"""
    process = scripts.start(script)
    assert scripts.read_line(process) == "serves\n"
    os.killpg(process.pid, signal.SIGINT)
    assert scripts.finish(process) == "ended None\n"


def test_importing_imports_no_gevent_and_serving_patches_nothing(scripts: Any) -> None:
    script = """
import socket, sys, threading, time
before = [socket.socket, threading.Thread, time.sleep, threading.Lock]
from pipert2 import Pipe
from pipert2.control.rpc.wrapper import RPCPipeWrapper
from pipert2.control.rpc import command as rpc_command
assert not {"gevent", "zerorpc", "zmq"} & set(sys.modules), "imported"
with RPCPipeWrapper(Pipe()) as wrapper:
    wrapper.start_rpc_server("tcp://127.0.0.1:*")
    from gevent import monkey
    assert not monkey.saved, "patched"
    assert before == [socket.socket, threading.Thread, time.sleep, threading.Lock]
print("fine")
"""
    assert scripts.run(script) == "fine\n"


def test_without_zerorpc_the_command_to_install_it_is_named(scripts: Any) -> None:
    script = """
import sys
sys.modules["zerorpc"] = None
from pipert2 import Pipe
from pipert2.control.rpc.wrapper import RPCPipeWrapper
from pipert2.control.rpc import command as rpc_command
try:
    RPCPipeWrapper(Pipe()).start_rpc_server()
except ImportError as error:
    print(error)
sys.stderr = sys.stdout
print(rpc_command.main(["tcp://127.0.0.1:1", "status"]))
"""
    first, second, code = scripts.run(script).splitlines()
    assert 'pip install "pipert2[rpc]"' in first
    assert 'pip install "pipert2[rpc]"' in second
    assert code == "2"


# --- by pipert2-rpc


def test_the_documented_commands_work(pipe: Pipe, endpoint: str) -> None:
    started = command(endpoint, "execute", "start")
    assert (started.returncode, started.stderr) == (0, "")
    assert "'event': 'start'" in started.stdout
    ended = command(endpoint, "-p", "execute", "join", '{"to_kill":true}')
    assert (ended.returncode, ended.stderr, json.loads(ended.stdout)) == (0, "", {"ended": True})
    assert pipe.status().state.value == "ended"


def test_with_json_parameters_are_json(pipe: Pipe, endpoint: str) -> None:
    done = command(endpoint, "-j", "-pj", "call", '"event"', '{"name": "SET_STEP", "params": {"step": 4}, "wait": 9}')
    assert json.loads(done.stdout)["results"]["numbers"]["value"] == 4


def test_without_a_command_the_methods_are_listed(pipe: Pipe, endpoint: str) -> None:
    listed = command(endpoint).stdout.splitlines()
    assert listed[0] == "[rpc-test]"
    assert [line.split()[0] for line in listed[1:]] == METHODS
    assert "execute(name, args=None)" in command(endpoint, "-?").stdout
    about = command(endpoint, "execute", "--inspect").stdout
    assert about.splitlines()[1] == "execute(name, args=None)"
    assert "As in: execute start" in about


def test_a_call_that_fails_remotely_is_one_line_and_exit_code_1(pipe: Pipe, endpoint: str) -> None:
    for arguments in (["execute", "SET_STEPS"], ["nonsense"], ["nonsense", "-?"], ["call", "logs", '{"limit": 0}']):
        done = command(endpoint, *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith("pipert2-rpc: ")


def test_a_call_that_takes_too_long_is_one_line_and_exit_code_1(pipe: Pipe, endpoint: str) -> None:
    pipe.notify_event("start")
    done = command(endpoint, "--timeout", "2.5", "execute", "join")  # long enough for a connection
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"pipert2-rpc: no answer from {endpoint} within 2.5 s; the call may still be carried out\n"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "ipc:///nonexistent/socket"])
def test_no_connection_is_one_line_and_exit_code_2(address: str) -> None:
    done = command(address, "status")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"pipert2-rpc: no connection to {address}: nobody listens there\n"


def test_a_stream_is_printed_line_by_line_until_ctrl_c(pipe: Pipe, endpoint: str) -> None:
    for options, shows in (([], lambda line: line.endswith("one\\x1b[31m two\n")), (["-p"], json.loads)):
        process = subprocess.Popen(
            [*COMMAND, endpoint, *options, "log"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            pipe.logger.info("one\x1b[31m\ntwo")
            assert shows(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")


def test_ctrl_c_during_a_call_is_exit_code_130(pipe: Pipe) -> None:
    pipe.notify_event("start")
    with RPCPipeWrapper(pipe) as wrapper:
        wrapper.start_rpc_server(ANYWHERE)
        process = subprocess.Popen(
            [*COMMAND, str(wrapper.endpoint), "execute", "join"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        with process:
            wait_until(lambda: wrapper.calls == 1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (130, "", "")


def test_output_that_nobody_reads_on_is_no_error(pipe: Pipe, endpoint: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, endpoint, "log"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        wait_until(lambda: pipe.logger.info("more") or process.poll() is not None)
        assert (process.returncode, process.stderr.read()) == (0, "")


@pytest.fixture
def keys() -> Callable[[], tuple[str, str]]:
    def make() -> tuple[str, str]:
        made = subprocess.run([*COMMAND, "--make-keys"], capture_output=True, text=True, check=True, cwd=ROOT)
        public, secret = (line.split(": ", 1)[1] for line in made.stdout.splitlines())
        return public, secret

    return make


def test_with_keys_only_a_client_that_has_one_gets_in(
    pipe: Pipe, keys: Callable[[], tuple[str, str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (server, server_secret), (mine, my_secret), (_, foreign_secret) = keys(), keys(), keys()
    (tmp_path / "key").write_text(my_secret + "\n")
    with RPCPipeWrapper(pipe, keys=CurveKeys(server_secret, (mine,))) as wrapper:
        wrapper.start_rpc_server("tcp://0.0.0.0:*")
        endpoint = str(wrapper.endpoint).replace("0.0.0.0", "127.0.0.1")
        known = ["--curve-server-key", server]
        let_in = command(endpoint, *known, "--curve-secret-key-file", str(tmp_path / "key"), "-p", "call", "version")
        assert (let_in.returncode, let_in.stderr) == (0, "")
        foreign = command(endpoint, *known, "status", environment={"PIPERT2_RPC_SECRET_KEY": foreign_secret})
        nobody = command(endpoint, "status")
        wrong = command(
            endpoint, "--curve-server-key", mine, "--curve-secret-key-file", str(tmp_path / "key"), "status"
        )
    for refused in (foreign, nobody, wrong):
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith(f"pipert2-rpc: no connection to {endpoint}: ")
        assert "key" in refused.stderr
