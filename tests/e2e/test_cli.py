"""The command `pipert2` as people use it: processes, pipes found by themselves, Ctrl-C, terminals."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from pipert2.testing import wait_until
from tests.integration.cockpit_tls import make_certificates

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PATIENCE = 120.0

PIPE = '''
import time
from dataclasses import dataclass
from pipert2 import DestinationRoutine, MiddleRoutine, Parameter, Pipe, SourceRoutine, Wire, events

@dataclass
class Item:
    number: int

class Numbers(SourceRoutine):
    step = Parameter(1, minimum=1, maximum=9, help="How far from one to the next.")

    def setup(self):
        self.number = 0

    @events("JUMP")
    def jump(self, to: int = 0, text: str = ""):
        """Go on from there."""
        self.number = to
        return f"{text}{to}"

    @events("BREAK")
    def break_(self):
        raise ValueError("broken on order")

    def main_logic(self):
        time.sleep(0.01)
        self.number += self.step
        if self.number % 20 == 0:
            self.logger.warning("another twenty: %d", self.number)
        return Item(self.number)

class Pass(MiddleRoutine):
    def main_logic(self, data: Item) -> Item:
        return data

class Last(DestinationRoutine):
    def main_logic(self, data: Item) -> None:
        pass

def make(name="numbers"):
    pipe = Pipe(name)
    numbers, through, last = Numbers("source"), Pass("through"), Last("last")
    pipe.create_flow("making", False, numbers)
    pipe.create_flow("using", True, through, last)
    pipe.link(Wire(numbers, (through,)))
    return pipe

pipe = make()

if __name__ == "__main__":
    print("this is only for python itself")
    pipe.run()
'''

FEW = """
from pipert2 import Pipe, destination, source

@source
def few():
    yield from range(3)

@destination
def show(number):
    print("got", number, flush=True)

pipe = Pipe("few", lossless=True)
pipe.create_flow("all", True, few, show)
"""

BROKEN = """
import os
from pipert2 import Pipe, destination, source

@source
def dying():
    os._exit(7)

pipe = Pipe("broken", restart=0)
pipe.create_flow("all", True, dying, destination(print, name="show"))
"""

YAML = """\
name: documented
flows:
  making:
    routines:
      - {class: numbers_pipe:Numbers, name: source, parameters: {step: 2}}
  using:
    routines:
      - {class: numbers_pipe:Last, name: last}
wires:
  - {source: source, destinations: [last]}
"""


class Running:
    """A command that runs in the background; ended, whatever happens, with its `with` block.

    What it says on standard error goes to a file: a pipe that nobody reads would be full after some minutes of log.
    """

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        handle, name = tempfile.mkstemp(prefix="stderr-", dir=folder)
        self._said = Path(name)
        with os.fdopen(handle, "w") as said:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=said, text=True
            )
        self.url = ""

    def wait_for(self, pattern: str) -> str:
        """Wait until it has said something that fits on standard error, and return the pattern's group."""

        def found() -> re.Match[str] | None:
            match = re.search(pattern, self._said.read_text())
            assert match or self.process.poll() is None, f"it ended: {self._said.read_text()}"
            return match

        match: re.Match[str] = wait_until(found, PATIENCE, f"{pattern!r} on standard error")
        return match[1]

    def wait_for_api(self) -> Running:
        self.url = self.wait_for(r"API at (\S+)\n")
        return self

    def read_line(self) -> str:
        """The next line of its output; what it complained about if it has ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.finish()}, exit code {self.process.returncode}"
        return line

    def finish(self) -> tuple[str, str]:
        """Wait for its end; its output, and what it said after the lines about where it listens."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        said = self._said.read_text().splitlines(keepends=True)
        return out, "".join(line for line in said if " at " not in line or not line.startswith("pipe "))

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.communicate(timeout=PATIENCE)
            self.process.kill()
        self.process.communicate()


class Shell:
    """Runs the command in a folder of its own, where it finds no pipes but those that were started here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        runtime = folder / "runtime"
        runtime.mkdir(mode=0o700)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIPERT2_")}
        self.environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "XDG_RUNTIME_DIR": str(runtime),
            "PYTHONWARNINGS": "default",
            "COLUMNS": "120",
        }
        (folder / "numbers_pipe.py").write_text(PIPE)
        (folder / "few.py").write_text(FEW)
        (folder / "documented.yaml").write_text(YAML)
        (folder / "broken.py").write_text(BROKEN)

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "pipert2", *map(str, arguments)]

    def run(self, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def ok(self, *arguments: object) -> str:
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    def json(self, *arguments: object) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def start(self, *arguments: object) -> Running:
        return Running(self.command(*arguments), self.folder, self.environment)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell beside which one pipe runs, `numbers`."""
    shell = Shell(tmp_path_factory.mktemp("driven"))
    with shell.start("run", "numbers_pipe.py") as running:
        running.wait_for_api()
        wait_until(lambda: shell.json("status")["state"] == "running", PATIENCE)
        yield shell


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error that an error is."""
    assert done.stdout == ""
    assert done.stderr.startswith("pipert2: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# ------------------------------------------------------------------------------------------------------------- running


def test_a_script_is_run_to_its_end(shell: Shell) -> None:
    done = shell.run("run", "few.py")
    lines = done.stdout.splitlines()
    assert lines[:3] == ["got 0", "got 1", "got 2"]
    assert lines[3].startswith("ok: finished, after ")
    assert re.fullmatch(r"pipe few: API at http://127\.0\.0\.1:\d+\n", done.stderr)
    assert done.returncode == 0


def test_a_module_of_the_working_folder_is_run(shell: Shell) -> None:
    done = shell.run("run", "few:pipe", "--no-api")
    assert done.stdout.splitlines()[:3] == ["got 0", "got 1", "got 2"]
    assert (done.stderr, done.returncode) == ("", 0)


def test_an_unguarded_script_that_runs_its_pipe_is_run_once(shell: Shell) -> None:
    done = shell.run("run", EXAMPLES / "hello.py", "--no-api")
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.count("hello 4, made in another process") == 1


def test_a_guarded_script_with_its_own_classes_on_wires_is_run(shell: Shell) -> None:
    ends = PIPE.replace("        time.sleep(0.01)\n", "        if self.number == 20:\n            raise EndOfStream\n")
    ends = ends.replace("import DestinationRoutine", "import EndOfStream, DestinationRoutine").replace(
        "Pipe(name)", "Pipe(name, lossless=True)"
    )
    (shell.folder / "twenty.py").write_text(ends)
    done = shell.run("run", "twenty.py", "--no-api", "--json", "--log-level", "error")
    assert (done.stderr, done.returncode) == ("", 0)
    summary = json.loads(done.stdout)
    assert (summary["ok"], summary["reason"], summary["errors"]) == (True, "finished", 0)
    counts = {one["name"]: one["received"] for one in summary["routines"]}
    assert counts["last"] == 20


def test_a_run_ends_when_its_time_is_over(shell: Shell) -> None:
    done = shell.run("run", "numbers_pipe.py", "--duration", 0.5, "--no-api", "--json", "--log-level", "error")
    assert (done.stderr, done.returncode) == ("", 0)
    summary = json.loads(done.stdout)
    assert (summary["ok"], summary["reason"], summary["errors"]) == (True, "timeout", 0)


def test_a_document_is_run(shell: Shell) -> None:
    done = shell.run("run", "documented.yaml", "--duration", 0.5, "--no-api", "--json", "--log-level", "error")
    assert (done.stderr, done.returncode) == ("", 0)
    assert [one["name"] for one in json.loads(done.stdout)["routines"]] == ["source", "last"]


def test_a_wrong_document_is_told_with_its_place(shell: Shell) -> None:
    (shell.folder / "documented.yaml").write_text(YAML.replace("numbers_pipe:Last", "numbers_pipe:Lsat"))
    done = shell.run("run", "documented.yaml")
    assert re.match(r"pipert2: documented\.yaml:8:\d+: .*Last", one_line(done))
    assert done.returncode == 2


def test_ctrl_c_while_a_script_is_loaded_is_clean(shell: Shell) -> None:
    (shell.folder / "slow.py").write_text("import time; print('loading', flush=True); time.sleep(60)")
    with shell.start("run", "slow.py") as running:
        assert running.read_line() == "loading\n"
        running.process.send_signal(signal.SIGINT)
        assert running.finish() == ("", "")
    assert running.process.returncode == 130


def test_a_function_that_returns_a_pipe_runs_inline_with_parameters_set(shell: Shell) -> None:
    done = shell.run(
        "run", "numbers_pipe:make", "--inline", "--duration", 0.3, "--set", "source.step=5", "--no-api", "--json",
        "--log-level", "error",
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    summary = json.loads(done.stdout)
    assert {one["pid"] for one in summary["flows"]} == {None}
    (step,) = next(one for one in summary["routines"] if one["name"] == "source")["parameters"]
    assert step["value"] == 5


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("source.step=50", "parameter 'step' of 'source' is at most 9, not 50"),
        ("source.stpe=5", "did you mean 'step'?"),
        ("sorce.step=5", "did you mean 'source'?"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_runs(shell: Shell, setting: str, complaint: str) -> None:
    done = shell.run("run", "numbers_pipe.py", "--set", setting)
    assert complaint in one_line(done)
    assert done.returncode == 2


def test_the_summary_is_written_as_json(shell: Shell) -> None:
    shell.run("run", "few.py", "--no-api", "--summary", "summary.json")
    assert json.loads((shell.folder / "summary.json").read_text())["reason"] == "finished"


def test_a_pipe_that_fails_exits_with_1(shell: Shell) -> None:
    done = shell.run("run", "broken.py", "--no-api")
    assert done.returncode == 1
    assert done.stdout.startswith("FAILED: ")


SHOP = """
from pipert2 import MiddleRoutine, Pipe, Wire, destination, source

class Scales(MiddleRoutine):
    service = True

    def main_logic(self, order):
        if order["grams"] == 0:
            raise ValueError("the scales are empty")
        return {"price": order["grams"] * self.parameters["price"]}

@source
def orders():
    yield from ({"grams": 100}, {"grams": 0}, {"grams": 200})

@destination
def till(bill):
    print("paid", bill["price"], flush=True)

pipe = Pipe("shop", lossless=True, requires=("price",))
scales = Scales("scales")
pipe.create_flow("door", True, orders)
pipe.create_flow("counter", False, scales, replicas=1)
pipe.create_flow("front", True, till)
pipe.link(Wire(orders, scales), Wire(scales, till))
"""


def test_messages_that_are_given_up_make_a_run_fail_and_stand_in_its_summary(shell: Shell) -> None:
    (shell.folder / "shop.py").write_text(SHOP)
    done = shell.run("run", "shop.py", "--no-api", "--param", "price=0.5", "--log-level", "critical")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["paid 50.0", "paid 100.0"]
    assert re.fullmatch(r"FAILED: finished, after [\d.]+ s, 1 error, 1 message given up", lines[2])
    assert lines[3].split()[-1] == "dead"
    assert next(line for line in lines if line.startswith("scales")).split()[-2:] == ["1", "1"]


def test_a_pipe_says_what_it_waits_for_and_is_given_replicas(shell: Shell) -> None:
    (shell.folder / "shop.py").write_text(SHOP)
    with shell.start("run", "shop.py", "--log-level", "critical") as running:
        running.wait_for_api()
        assert running.wait_for(r"waits for ('price')") == "'price'"
        assert "waits for parameter 'price' (pipert2 params price=VALUE)" in wait_until(
            lambda: text if "waits" in (text := shell.ok("status")) else "", PATIENCE
        )
        assert shell.ok("replicas", "counter", 2) == "flow counter: 2 replicas\n"
        running.process.send_signal(signal.SIGINT)
        out, _ = running.finish()
    assert "ended: interrupted by SIGINT" in out
    assert running.process.returncode == 130


def test_a_pipe_that_cannot_be_built_exits_with_1(shell: Shell) -> None:
    (shell.folder / "empty_flow.py").write_text(
        "from pipert2 import Pipe\npipe = Pipe('p')\npipe.create_flow('nothing')\n"
    )
    done = shell.run("run", "empty_flow.py", "--no-api")
    assert "cannot be built" in one_line(done)
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGINT, 130, "interrupted by SIGINT"), (signal.SIGTERM, 143, "interrupted by SIGTERM")],
)
def test_a_signal_ends_a_run_cleanly(shell: Shell, number: int, code: int, reason: str) -> None:
    with shell.start("run", "numbers_pipe.py", "--log-level", "error") as running:
        running.wait_for_api()
        wait_until(lambda: shell.json("status")["state"] == "running", PATIENCE)
        running.process.send_signal(number)
        out, err = running.finish()
    assert (running.process.returncode, err) == (code, "")
    assert f"ended: {reason}" in out


def test_a_port_that_is_taken_is_one_line(driven: Shell, shell: Shell) -> None:
    address = driven.json("list")[0]["url"].removeprefix("http://")
    done = shell.run("run", "few.py", "--api", address)
    assert address.rpartition(":")[2] in one_line(done)
    assert done.returncode in (1, 2)


def test_a_token_is_asked_for_and_taken_from_the_environment(shell: Shell) -> None:
    token = "correct-horse-battery"
    with shell.start("run", "numbers_pipe.py", "--token", token) as running:
        running.wait_for_api()
        refused = shell.run("status")
        assert refused.returncode == 4
        one_line(refused)
        assert shell.run("status", "--token", "something-else-entirely").returncode == 4
        assert shell.run("status", "--token", token).returncode == 0
        assert shell.run("status", PIPERT2_TOKEN=token).returncode == 0
        (shell.folder / ".env").write_text(f"PIPERT2_TOKEN={token}\n")
        assert shell.run("status").returncode == 0


def test_an_api_with_tls_is_trusted_by_whom_its_signer_is_named(shell: Shell) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    made = make_certificates(shell.folder)
    with shell.start("run", "numbers_pipe.py", "--certificate", made.certificate, "--key", made.key) as running:
        assert running.wait_for(r"API at (\S+)\n").startswith("https://127.0.0.1:")
        refused = shell.run("status")
        assert refused.returncode == 3
        assert "is not trusted" in one_line(refused)
        assert "PIPERT2_CA" in one_line(refused)
        assert "source -> through" in shell.run("status", PIPERT2_CA=str(made.ca)).stdout


def test_a_certificate_that_cannot_be_read_is_one_line(shell: Shell) -> None:
    done = shell.run("run", "numbers_pipe.py", "--certificate", "none.pem")
    assert done.returncode == 2
    assert "certificate 'none.pem': No such file or directory" in one_line(done)


def test_outside_loopback_a_token_is_made_and_told(shell: Shell) -> None:
    with shell.start("run", "numbers_pipe.py", "--api", "0.0.0.0:0") as running:
        running.wait_for_api()
        token = running.wait_for(r"token .*: (\S+)\n")
        assert shell.run("status").returncode == 4
        assert shell.run("status", "--token", token).returncode == 0


def test_zerorpc_listens_where_it_is_told(shell: Shell) -> None:
    pytest.importorskip("zerorpc")
    endpoint = f"ipc://{shell.folder}/rpc"
    with shell.start("run", "numbers_pipe.py", "--rpc", endpoint) as running:
        assert running.wait_for(r"zerorpc at (\S+)\n") == endpoint


def test_zerorpc_beyond_this_machine_wants_keys_and_knows_them_from_files(shell: Shell) -> None:
    pytest.importorskip("zerorpc")
    anywhere = ("run", "numbers_pipe.py", "--rpc", "tcp://0.0.0.0:*")
    refused = shell.run(*anywhere)
    assert refused.returncode == 2
    assert "on the command line --rpc-key and --rpc-clients" in one_line(refused)

    rpc = [sys.executable, "-W", "ignore", "-m", "pipert2.control.rpc.command"]
    pairs = {}
    for name in ("server", "mine", "foreign"):
        made = subprocess.run([*rpc, "--make-keys"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        (shell.folder / f"{name}.keys").write_text(made.stdout, "utf-8")
        pairs[name] = dict(line.split(": ", 1) for line in made.stdout.splitlines())
    (shell.folder / "clients").write_text(f"{pairs['mine']['public']} my laptop\n", "utf-8")

    def call(endpoint: str, name: str) -> subprocess.CompletedProcess[str]:
        known = ["--curve-server-key", pairs["server"]["public"]]
        known += ["--curve-secret-key-file", str(shell.folder / f"{name}.keys")]
        return subprocess.run(
            [*rpc, *known, endpoint, "execute", "stop"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
        )

    with shell.start(*anywhere, "--rpc-key", "server.keys", "--rpc-clients", "clients") as running:
        endpoint = running.wait_for(r"zerorpc at (\S+), for who has a key\n").replace("0.0.0.0", "127.0.0.1")
        let_in, foreign = call(endpoint, "mine"), call(endpoint, "foreign")
    assert (let_in.returncode, let_in.stderr) == (0, "")
    assert (foreign.returncode, foreign.stdout) == (2, "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--rpc-key", "key"], "say where it listens with --rpc ENDPOINT"),
        (["--rpc", "tcp://127.0.0.1:*", "--rpc-key", "none", "--rpc-clients", "none"], "cannot read the key in none"),
    ],
)
def test_wrong_options_for_keys_are_one_line(shell: Shell, options: list[str], says: str) -> None:
    done = shell.run("run", "numbers_pipe.py", *options)
    assert done.returncode == 2
    assert says in one_line(done)


def test_the_demo_runs_and_finds_its_spot(shell: Shell) -> None:
    def received(status: Any) -> dict[str, bool]:
        return {one["name"]: one["received"] > 5 for one in status["routines"]}

    with shell.start("demo", "--json", "--log-level", "error") as running:
        running.wait_for_api()
        wait_until(lambda: received(shell.json("status")).get("report"), PATIENCE)
        running.process.send_signal(signal.SIGINT)
        out, _ = running.finish()
    summary = json.loads(out)
    assert (running.process.returncode, summary["reason"]) == (130, "interrupted by SIGINT")
    assert received(summary) == {"camera": False, "finder": True, "report": True}


# ------------------------------------------------------------------------------------------- verbs on a pipe that runs


def test_list_shows_the_pipes_of_this_machine(driven: Shell) -> None:
    (found,) = driven.json("list")
    assert found["pipe"] == "numbers"
    assert found["url"] in driven.ok("list")


def test_list_without_any_says_so(shell: Shell) -> None:
    assert shell.json("list") == []
    done = shell.run("list")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no pipe" in done.stderr


def test_status_shows_routines_wires_and_flows(driven: Shell) -> None:
    text = driven.ok("status")
    assert "source -> through" in text
    status = driven.json("status")
    assert [one["name"] for one in status["routines"]] == ["source", "through", "last"]


def test_stop_and_start_wait_until_it_is_done(driven: Shell) -> None:
    def state() -> str:
        return str(driven.json("status")["routines"][0]["state"])

    assert driven.ok("stop", "--routine", "source", "--wait", 60) == "source: stopped\n"
    wait_until(lambda: state() == "idle", PATIENCE)
    assert driven.ok("start", "--flow", "making", "--wait", 60) == "source: started\n"
    wait_until(lambda: state() == "running", PATIENCE)
    assert driven.json("start")["routines"] == ["source", "through", "last"]


def test_events_carry_arguments_and_bring_results(driven: Shell) -> None:
    assert driven.ok("event", "JUMP", "to=40", "text=at ", "--wait", 60) == 'source: done -> "at 40"\n'
    reply = driven.json("event", "JUMP", "to=7", "--wait", 60, "--routine", "source")
    assert reply["results"]["source"]["value"] == "7"
    assert driven.ok("event", "JUMP", "--flow", "making") == "sent to: source\n"


def test_a_handler_that_fails_exits_with_1(driven: Shell) -> None:
    done = driven.run("event", "BREAK", "--wait", 60)
    assert done.returncode == 1
    assert "broken on order" in done.stdout
    assert driven.run("event", "BREAK", "--wait", 60, "--json").returncode == 1


def test_parameters_are_shown_and_set(driven: Shell) -> None:
    assert "int, 1 to 9" in driven.ok("params")
    assert driven.json("params", "source", "step=3")["routines"]["source"][0]["value"] == 3
    assert driven.json("params", "source")["routines"]["source"][0]["value"] == 3
    refused = driven.run("params", "source", "step=30")
    assert "at most 9" in one_line(refused)
    assert refused.returncode == 2
    assert driven.json("params", "source")["routines"]["source"][0]["value"] == 3


def test_logs_are_filtered_and_one_record_a_line_as_json(driven: Shell) -> None:
    def records(*arguments: object) -> list[Any]:
        return [json.loads(line) for line in driven.ok("logs", "--json", *arguments).splitlines()]

    wait_until(lambda: records("--routine", "source", "--text", "TWENTY", "-n", 1), PATIENCE)
    assert records("--level", "critical") == []
    assert "source another twenty" in driven.ok("logs", "--text", "twenty", "-n", 1)


def test_logs_are_followed_until_ctrl_c(driven: Shell) -> None:
    with driven.start("logs", "--follow", "-n", 1, "--text", "twenty", "--json") as following:
        numbers = [json.loads(following.read_line())["number"] for _ in range(3)]
        assert numbers == sorted(set(numbers))
        following.process.send_signal(signal.SIGINT)
        _, err = following.finish()
    assert (following.process.returncode, err) == (130, "")


def test_status_is_watched_as_lines_of_json(driven: Shell) -> None:
    with driven.start("status", "--watch", "--interval", 0.2, "--json") as watching:
        times = [json.loads(watching.read_line())["time"] for _ in range(3)]
        watching.process.send_signal(signal.SIGINT)
        _, err = watching.finish()
    assert times == sorted(set(times))
    assert (watching.process.returncode, err) == (130, "")


def test_wires_are_added_and_taken_away(driven: Shell) -> None:
    assert driven.ok("link", "source", "last", "--newest") == "source -> last: linked\n"
    assert driven.json("link", "source", "last")["changed"] is False
    assert driven.json("unlink", "source", "last") == {
        "source": "source",
        "destination": "last",
        "linked": False,
        "changed": True,
    }


def test_a_log_level_is_set(driven: Shell) -> None:
    assert driven.ok("level", "through", "debug") == "through: DEBUG and above\n"


def test_a_join_that_takes_too_long_exits_with_1(driven: Shell) -> None:
    done = driven.run("join", "--timeout", 0.1)
    assert (done.returncode, done.stdout) == (1, "still runs after 0.1 s\n")


def test_the_graph_of_a_running_pipe_is_drawn(driven: Shell) -> None:
    assert "through" in driven.ok("graph")
    told = json.loads(driven.ok("graph", "--json"))
    assert "through" in [routine["name"] for routine in told["routines"]]


def test_top_without_a_terminal_is_one_picture(driven: Shell) -> None:
    assert "source -> through" in driven.ok("top")
    assert driven.json("top")["name"] == "numbers"


def test_the_url_may_be_given_or_stand_in_the_environment(driven: Shell, shell: Shell) -> None:
    url = driven.json("list")[0]["url"]
    assert shell.run("status").returncode == 3
    assert shell.json("status", "--url", url)["name"] == "numbers"
    assert json.loads(shell.run("status", "--json", PIPERT2_URL=url).stdout)["name"] == "numbers"


def test_of_several_pipes_one_is_chosen(shell: Shell) -> None:
    with shell.start("run", "numbers_pipe:make") as one, shell.start("demo") as other:
        one.wait_for_api()
        other.wait_for_api()
        line = one_line(shell.run("status"))
        assert "choose one with --pipe NAME" in line
        assert one.url in line
        assert "did you mean 'numbers'?" in one_line(shell.run("status", "--pipe", "numbres"))
        assert shell.json("status", "--pipe", "demo")["name"] == "demo"
        assert shell.json("status", "--pipe", one.process.pid)["name"] == "numbers"


def test_restart_kill_and_join_end_to_end(shell: Shell) -> None:
    with shell.start("run", "numbers_pipe.py", "--log-level", "error") as running:
        running.wait_for_api()
        wait_until(lambda: shell.json("status")["state"] == "running", PATIENCE)
        before = shell.json("status")["flows"][1]["pid"]
        assert shell.json("restart", "using")["flow"] == "using"
        wait_until(lambda: shell.json("status")["flows"][1]["pid"] not in (before, None), PATIENCE)
        wait_until(lambda: shell.json("status")["flows"][1]["state"] == "running", PATIENCE)
        shell.run("kill")
        out, err = running.finish()
    assert (running.process.returncode, err) == (0, "")
    assert "ended: killed" in out
    assert shell.json("list") == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["stop", "--routine", "sorce"], "did you mean 'source'?"),
        (["start", "--flow", "makng"], "did you mean 'making'?"),
        (["kill", "--routine", "lsat"], "did you mean 'last'?"),
        (["event", "JMUP"], "did you mean 'JUMP'?"),
        (["event", "JUMP", "--routine", "sourc"], "did you mean 'source'?"),
        (["params", "sorce"], "did you mean 'source'?"),
        (["params", "source", "setp=2"], "did you mean 'step'?"),
        (["level", "trough", "info"], "did you mean 'through'?"),
        (["link", "sorce", "last"], "did you mean 'source'?"),
        (["unlink", "source", "trough"], "did you mean 'through'?"),
        (["restart", "usng"], "did you mean 'using'?"),
        (["replicas", "usng", "2"], "did you mean 'using'?"),
        (["call", "sorce"], "did you mean 'source'?"),
    ],
)
def test_a_mistyped_name_suggests_the_nearest(driven: Shell, arguments: list[str], complaint: str) -> None:
    done = driven.run(*arguments)
    assert complaint in one_line(done)
    assert done.returncode == 2


def test_without_a_pipe_every_verb_says_so(shell: Shell) -> None:
    done = shell.run("start")
    assert "no pipe of yours runs on this machine" in one_line(done)
    assert done.returncode == 3


def test_a_url_where_nobody_listens_is_one_line(shell: Shell) -> None:
    done = shell.run("status", "--url", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in one_line(done)
    assert done.returncode == 3


def test_debug_shows_the_traceback(shell: Shell) -> None:
    done = shell.run("run", "nothing.py", "--debug")
    assert "Traceback" in done.stderr
    assert done.returncode != 0


# ----------------------------------------------------------------------------------------------- the machine, the shell


def test_doctor_examines_this_machine(shell: Shell) -> None:
    done = shell.run("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == any(one["verdict"] == "problem" for one in found)
    assert "shared memory" in shell.run("doctor").stdout


def test_output_that_nobody_reads_is_no_error(driven: Shell) -> None:
    for verb in ("status --json", "logs --json -n 1000", "--help", "status --watch --json --interval 0.1"):
        command = " ".join(driven.command(*verb.split()))
        done = subprocess.run(
            ["sh", "-c", f"{command} | head -n 1"],
            cwd=driven.folder, env=driven.environment, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.stderr == ""
        assert done.stdout.count("\n") == 1


def test_output_that_cannot_be_written_is_one_line_and_none_is_fine(driven: Shell) -> None:
    command = " ".join(driven.command("status", "--json"))
    for redirected, complaint, code in ((">/dev/full", "pipert2: No space left on device\n", 1), (">&-", "", 0)):
        done = subprocess.run(
            ["sh", "-c", f"{command} {redirected}"],
            cwd=driven.folder, env=driven.environment, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert (done.stderr, done.returncode) == (complaint, code)


def test_completion_offers_verbs_pipes_and_routines(driven: Shell) -> None:
    def completed(line: str) -> str:
        words = {"_PIPERT2_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return driven.run(**words).stdout

    assert "start" in completed("pipert2 sta").split()
    assert "numbers" in completed("pipert2 status --pipe nu")
    # Whoever pressed Tab is not kept waiting: from a pipe that does not answer at once nothing is offered, until the
    # next Tab.
    wait_until(lambda: "source" in completed("pipert2 stop --routine so"), PATIENCE, "the name of the routine")
    wait_until(lambda: "JUMP" in completed("pipert2 event J"), PATIENCE, "the name of the event")


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from pipert2.cli.main import main; main(['--help']); "
        "print([name for name in ('httpx', 'flask', 'uvicorn', 'pydantic', 'zerorpc', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.splitlines()[-1] == "[]"


# ----------------------------------------------------------------------------------------------------------- terminals


class Terminal:
    """A command in a terminal of 140 x 40."""

    def __init__(self, shell: Shell, *arguments: object, **more: str) -> None:
        self._master, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        environment = {**shell.environment, "TERM": "xterm-256color", **more}
        environment.pop("COLUMNS")
        self.before = termios.tcgetattr(inside)
        self.process = subprocess.Popen(
            shell.command(*arguments), cwd=shell.folder, env=environment, stdin=inside, stdout=inside, stderr=inside
        )
        self._inside = inside
        self._shown = ""

    def wait_for(self, text: str) -> str:
        """Wait until *text* is shown, and return what was up to there; the next wait begins behind it."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._shown:
            assert time.monotonic() < deadline, f"{text!r} is not in {self._shown[-4000:]!r}"
            ready, _, _ = select.select([self._master], [], [], 0.2)
            if ready:
                self._shown += os.read(self._master, 65536).decode(errors="replace")
        found, _, self._shown = self._shown.partition(text)
        return found

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def finish(self) -> int:
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if ready:
                self._shown += os.read(self._master, 65536).decode(errors="replace")
        return self.process.returncode

    @property
    def as_before(self) -> bool:
        """Whether the terminal's modes are as they were."""
        return termios.tcgetattr(self._inside) == self.before

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
        os.close(self._inside)


def test_top_is_driven_by_keys_and_leaves_the_terminal_as_it_was(driven: Shell) -> None:
    with Terminal(driven, "top", "--interval", 0.3) as terminal:
        terminal.wait_for("source -> through")
        terminal.wait_for("chosen: the whole pipe")
        terminal.press("j")
        terminal.wait_for("chosen: source")
        terminal.press("\r")
        terminal.wait_for("work p50/p99")
        terminal.press("x")
        terminal.wait_for("source: told to stop")
        wait_until(lambda: driven.json("status")["routines"][0]["state"] == "idle", PATIENCE)
        terminal.press("s")
        terminal.wait_for("source: told to start")
        terminal.press("\x1b[Bq")
        assert terminal.finish() == 0
        assert terminal.as_before
    wait_until(lambda: driven.json("status")["routines"][0]["state"] == "running", PATIENCE)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_top_ended_by_a_signal_leaves_the_terminal_as_it_was(driven: Shell, number: int, code: int) -> None:
    with Terminal(driven, "top") as terminal:
        terminal.wait_for("source -> through")
        terminal.process.send_signal(number)
        assert terminal.finish() == code
        assert terminal.as_before


def test_top_says_when_the_pipe_went_and_finds_it_again(shell: Shell) -> None:
    with shell.start("run", "numbers_pipe.py") as first:
        first.wait_for_api()
        terminal = Terminal(shell, "top", "--interval", 0.3)
        terminal.wait_for(first.url)
        terminal.wait_for("source -> through")
    with terminal:
        terminal.wait_for("disconnected since ")
        with shell.start("run", "numbers_pipe.py") as second:
            second.wait_for_api()
            terminal.wait_for(second.url)
            terminal.press("q")
            assert terminal.finish() == 0


def test_the_demo_in_a_terminal_is_live_and_colourless_if_asked(shell: Shell) -> None:
    with Terminal(shell, "demo", "--duration", 2, NO_COLOR="1") as terminal:
        terminal.wait_for("camera -> finder")
        shown = terminal.wait_for("ok: timeout")
        assert terminal.finish() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)
