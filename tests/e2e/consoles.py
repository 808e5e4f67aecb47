"""The ``console`` blocks of a Markdown page: run as a reader would type them, and compared with what the page shows.

A line ``$ COMMAND`` is a command, what follows it is what it prints. One that ends with `` &`` runs on until the end of
the page, and shows what it printed until it could be reached. All commands of a page run in one folder, in which each
fenced block behind ``<!-- file: NAME -->`` is a file. Ports 8320, 1234 and 1235 are replaced by free ones. Numbers,
times and the widths of columns may differ from what the page says, words may not.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pipert2.testing import wait_until
from tests.e2e.blocks import ROOT, blocks_in
from tests.ports import free_port

PORTS = ("8320", "1234", "1235")
PATIENCE = 120.0
_LOOKS = re.compile(r"(pipert2|curl .*/|pipert2-rpc \S+) ?(status|logs?|top|list|readyz|health|dead-letters$)\b")
"""Commands that change nothing: asked again until they show what the page says, since a pipe takes its time."""

_SHIMS = {
    "python": "",
    "pipert2": "-m pipert2",
    "pipert2-rpc": "-W ignore -c 'import sys; from pipert2.control.rpc.command import main; sys.exit(main())'",
}
_HELPS = """
import io, sys, contextlib, json
from pipert2.cli.main import main
told = {}
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(command.split()[1:])
    told[command] = out.getvalue()
print(json.dumps(told))
"""


@dataclass(slots=True)
class Command:
    """A command, where it stands, and what its page says it prints."""

    line: int
    text: str
    promised: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A file that the page shows."""

    name: str
    text: str


def steps_of(path: Path) -> list[Command | File]:
    """The commands and files of a page, in its order."""
    found: list[Command | File] = []
    for block in blocks_in(path.read_text("utf-8")):
        if block.file is not None:
            found.append(File(block.file, block.text))
        elif block.language == "console":
            found += _commands(block.line, block.text)
    return found


def _commands(line: int, text: str) -> list[Command]:
    found: list[Command] = []
    for number, row in enumerate(text.splitlines(), line + 1):
        if row.startswith("$ "):
            found.append(Command(number, row[2:]))
        elif not found:
            raise ValueError(f"line {number}: a console block begins with a command, $ ...")
        elif not found[-1].promised and found[-1].text.endswith("\\"):
            found[-1].text += f"\n{row}"
        else:
            found[-1].promised += f"{row}\n"
    return found


def has_commands(path: Path) -> bool:
    """Whether a page shows a console."""
    return "\n```console\n" in path.read_text("utf-8")


def missing_programs(steps: list[Command | File]) -> set[str]:
    """Programs that the commands of a page need and this machine does not have."""
    wanted = {name for step in steps if isinstance(step, Command) for name in re.findall(r"\b(curl|jq)\b", step.text)}
    return {name for name in wanted if shutil.which(name) is None}


def rewrite(path: Path, printed: list[str]) -> None:
    """Put what the commands of a page have printed, in their order, into the page."""
    left = iter(printed)

    def block(found: re.Match[str]) -> str:
        rows = [f"$ {command.text}\n{next(left)}" for command in _commands(0, found[1])]
        return "```console\n" + "".join(rows) + "```\n"

    text = path.read_text("utf-8")
    path.write_text(re.sub(r"^```console\n(.*?)^```\n", block, text, flags=re.MULTILINE | re.DOTALL), "utf-8")


def shape(text: str, command: str) -> str:
    """What of a command's output is the same each time."""
    text = re.sub(r"[╭╮╰╯─│]", " ", text)
    if "--help" in command:
        return " ".join(text.split())
    if command.startswith("pipert2 doctor"):  # of each check only which one it is: this machine is another one
        return "\n".join(row[8:23].strip() for row in text.splitlines() if row[:1].strip())
    text = re.sub(r"^(public|secret): \S+|(?<=: )[\w-]{43}$", "KEY", text, flags=re.MULTILINE)
    text = re.sub(r"\b\d+ (d|h|min|s)( \d+ (h|min|s))?\b", "#", text)
    text = re.sub(r"\b\d[\d.]* (B|KiB|MiB|GiB)\b|\bnull\b|(?<![\w-])-(?=\s|$)", "#", text, flags=re.MULTILINE)
    text = re.sub(r"(?<!exit code )[-+]?\d[\d.]*(e[-+]?\d+)?", "#", text)
    text = re.sub(r"#([/:]#)*", "#", text)
    return "\n".join(" ".join(row.split()) for row in text.splitlines())


class Console:
    """Runs the steps of a page in a folder of its own. A context manager, which ends what still runs.

    Args:
        folder: an empty one.
        steps: of the page.
    """

    def __init__(self, folder: Path, steps: list[Command | File]) -> None:
        self._folder = folder / "page"
        self._own = folder / "own"
        self._steps = steps
        self._background: list[subprocess.Popen[bytes]] = []
        self._ports = {port: str(free_port()) for port in PORTS}
        self._helps: dict[str, str] = {}
        self._environment = self._make_environment()

    def _make_environment(self) -> dict[str, str]:
        self._folder.mkdir()
        (self._own / "bin").mkdir(parents=True)
        (self._own / "runtime").mkdir(mode=0o700)
        for name, how in _SHIMS.items():
            shim = self._own / "bin" / name
            shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {how} "$@"\n', "utf-8")
            shim.chmod(0o755)
        (self._own / ".curlrc").write_text("silent\nshow-error\n", "utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIPERT2_")}
        return {
            **kept,
            "PATH": f"{self._own / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_RUNTIME_DIR": str(self._own / "runtime"),
            "CURL_HOME": str(self._own),
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "TZ": "UTC",
        }

    def run(self, step: Command) -> str:
        """What a command prints, with the ports of the page."""
        text = self._with_ports(step.text)
        if text.endswith(" &"):
            printed = self._start(text.removesuffix(" &"))
        elif text.startswith("pipert2 ") and text.endswith("--help"):
            printed = self._help(text)
        else:
            done = subprocess.run(
                ["bash", "-c", text],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE,
                check=False,
            )
            printed = done.stdout.decode()
        for page, real in self._ports.items():
            printed = printed.replace(real, page)
        if step.text.startswith("pipert2 doctor"):
            printed = printed.replace(platform.release(), "6.1.0")
        return "".join(f"{row.rstrip()}\n" for row in printed.splitlines())

    def check(self, step: Command) -> None:
        """Run a command and compare what it prints with what its page says."""
        promised = shape(step.promised, step.text)
        printed = self.run(step)
        if _LOOKS.match(step.text) and shape(printed, step.text) != promised:
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: shape(self.run(step), step.text) == promised, 60.0)
                return
        said = f"line {step.line}: $ {step.text}\nprinted\n{printed}\nbut its page says\n{step.promised}"
        assert shape(printed, step.text) == promised, said

    def commands(self) -> Iterator[Command]:
        """The commands, with the files that stand before each of them in place."""
        for step in self._steps:
            if isinstance(step, File):
                path = self._folder / step.name
                path.parent.mkdir(exist_ok=True)
                path.write_text(self._with_ports(step.text), "utf-8")
            else:
                yield step

    def _with_ports(self, text: str) -> str:
        for page, real in self._ports.items():
            text = re.sub(rf"\b{page}\b", real, text)
        return text

    def _help(self, command: str) -> str:
        if not self._helps:  # all at once: most of the time a command takes is its start
            steps = [step.text for step in self._steps if isinstance(step, Command)]
            wanted = [text for text in steps if text.startswith("pipert2 ") and text.endswith("--help")]
            done = subprocess.run(
                [sys.executable, "-c", _HELPS, *wanted],
                env=self._environment,
                stdout=subprocess.PIPE,
                timeout=PATIENCE,
                check=True,
            )
            self._helps = json.loads(done.stdout)
        return "".join(f"{row}\n" for row in self._helps[command].splitlines() if row.strip())

    def _start(self, command: str) -> str:
        """Start a program and wait until it can be reached; what it has printed until then."""
        said = self._own / f"said-{len(self._background)}"
        with said.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._background.append(process)
        files = [file.read_text("utf-8") for file in self._folder.iterdir() if file.name in command]
        ports = [real for real in self._ports.values() if any(real in text for text in (command, *files))]

        def reached() -> bool:
            assert process.poll() is None, f"{command}: it ended\n{said.read_text('utf-8')}"
            text = said.read_text("utf-8")
            if not command.startswith("pipert2 "):
                return all(map(_listens, ports))
            url = re.search(r"API at (\S+)\n", text)
            return url is not None and all(map(_listens, ports)) and _works(url[1])

        wait_until(reached, PATIENCE, f"{command} can be reached")
        lines = said.read_text("utf-8").splitlines(keepends=True)
        return "".join(line for line in lines if " at " in line or "token" in line)

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._background:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                process.wait(PATIENCE / 2)
            process.kill()
            process.wait()


def _listens(port: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), 1.0):
        return True
    return False


def _works(url: str) -> bool:
    """Whether the pipe there runs, and every routine has done something; True if it wants a token or waits first."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/status", timeout=60.0) as answer:
            status = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 401
    except OSError:
        return False
    if any(flow["waits_for"] for flow in status["flows"]):
        return True
    return status["state"] == "running" and all(one["received"] + one["sent"] > 5 for one in status["routines"])
