"""``pipert2 validate`` and ``pipert2 graph`` as they are used from the shell, and a document that runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipert2.control.http.server import ControlServer
from pipert2.control.service import ControlService
from pipert2.document import load_pipe
from tests.e2e.blocks import ROOT

ROUTINES = """\
from dataclasses import dataclass

from pipert2 import DestinationRoutine, Parameter, SourceRoutine


@dataclass
class Number:
    value: int


class Count(SourceRoutine):
    step = Parameter(1, minimum=1)

    def __init__(self, limit: int, name: str | None = None) -> None:
        super().__init__(name)
        self.limit = limit

    def main_logic(self):
        for value in range(0, self.limit, self.step):
            yield Number(value)


class Total(DestinationRoutine):
    def setup(self):
        self.total = 0

    def main_logic(self, number: Number) -> None:
        self.total += number.value

    def cleanup(self):
        print("total", self.total)
"""
DOCUMENT = """\
name: counting
lossless: true
flows:
  first:
    routines:
      - class: ./counting_routines.py:Count
        name: count
        options: {limit: 10}
        parameters: {step: 2}
  second:
    routines:
      - class: ./counting_routines.py:Total
        name: total
wires:
  - source: count
    destinations: total
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "counting_routines.py").write_text("from __future__ import annotations\n" + ROUTINES, "utf-8")
    (tmp_path / "pipe.yaml").write_text(DOCUMENT, "utf-8")
    return tmp_path


def pipert2(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    around = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(folder), **environment}
    command = [sys.executable, "-m", "pipert2", *arguments]
    return subprocess.run(command, cwd=folder, env=around, capture_output=True, text=True, timeout=120, check=False)


def test_a_document_without_problems_says_so(folder: Path) -> None:
    done = pipert2(folder, "validate", "pipe.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, "pipe.yaml: no problems\n", "")


def test_every_problem_is_a_line_with_file_line_and_column(folder: Path) -> None:
    (folder / "pipe.yaml").write_text(DOCUMENT.replace("limit", "limt").replace("lossless", "losless"), "utf-8")
    done = pipert2(folder, "validate", "pipe.yaml")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "pipe.yaml:2:1: the document has no key 'losless': did you mean 'lossless'?",
        "pipe.yaml:8:19: Count has no option 'limt': did you mean 'limit'?",
    ]
    assert done.stderr == "2 problems in pipe.yaml\n"


def test_problems_can_be_had_as_json(folder: Path) -> None:
    (folder / "pipe.yaml").write_text(DOCUMENT.replace("limit", "limt"), "utf-8")
    done = pipert2(folder, "validate", "pipe.yaml", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "file": "pipe.yaml",
        "ok": False,
        "findings": [
            {
                "file": "pipe.yaml",
                "line": 8,
                "column": 19,
                "message": "Count has no option 'limt': did you mean 'limit'?",
            }
        ],
    }


def test_what_the_modules_print_is_kept_out_of_the_data(folder: Path) -> None:
    module = folder / "counting_routines.py"
    module.write_text(module.read_text("utf-8") + "print('hello')\n", "utf-8")
    assert json.loads(pipert2(folder, "validate", "pipe.yaml", "--json").stdout)["ok"] is True
    assert pipert2(folder, "graph", "pipe.yaml").stdout.startswith("flowchart LR\n")


def test_a_pipe_that_is_only_looked_at_makes_no_store(folder: Path) -> None:
    (folder / "pipe.yaml").write_text(DOCUMENT.replace("lossless: true", "lossless: true\nstore: run.db"), "utf-8")
    before = {path.name for path in folder.iterdir()} | {"__pycache__"}
    assert pipert2(folder, "validate", "pipe.yaml").returncode == 0
    assert pipert2(folder, "graph", "pipe.yaml").returncode == 0
    assert {path.name for path in folder.iterdir()} <= before
    assert pipert2(folder, "run", "pipe.yaml").returncode == 0
    assert (folder / "run.db").exists()


def test_a_file_that_is_not_there_is_one_line(folder: Path) -> None:
    done = pipert2(folder, "validate", "nothing.yaml")
    assert done.returncode == 1
    assert done.stdout == "nothing.yaml: the document cannot be read: No such file or directory\n"
    assert "Traceback" not in done.stderr


def test_validate_needs_a_file(folder: Path) -> None:
    done = pipert2(folder, "validate")
    assert done.returncode == 2
    assert "name the document, as in `pipert2 validate pipe.yaml`" in done.stderr


def test_the_schema_can_be_printed(folder: Path) -> None:
    done = pipert2(folder, "validate", "--schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["required"] == ["flows"]


def test_a_document_runs_in_processes_of_its_own(folder: Path) -> None:
    done = pipert2(folder, "run", "pipe.yaml")
    assert done.returncode == 0, done.stderr
    assert "total 20" in done.stdout


def test_a_document_with_problems_does_not_run_and_says_where(folder: Path) -> None:
    (folder / "pipe.yaml").write_text(DOCUMENT.replace("limit", "limt"), "utf-8")
    done = pipert2(folder, "run", "pipe.yaml")
    assert done.returncode == 2
    assert "pipe.yaml:8:19: Count has no option 'limt'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_document_can_be_drawn(folder: Path) -> None:
    done = pipert2(folder, "graph", "pipe.yaml")
    assert done.returncode == 0, done.stderr
    assert '  r0 -->|"lossless, 64"| r1\n' in done.stdout


def test_a_picture_is_written_in_the_format_that_the_files_name_says(folder: Path) -> None:
    done = pipert2(folder, "graph", "pipe.yaml", "-o", "pipe.svg")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert ElementTree.parse(folder / "pipe.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    done = pipert2(folder, "graph", "pipe.yaml", "-o", "pipe.dot")
    assert (folder / "pipe.dot").read_text("utf-8").startswith('digraph "counting" {')


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("pipe.yaml", "-o", "pipe.txt"), "say with --format what pipe.txt is to be: mermaid, dot or svg", 2),
        (("pipe.yaml", "--url", "http://127.0.0.1:1"), "give one of them", 2),
        (("pipe.yaml", "-o", "nowhere/pipe.svg"), "nowhere/pipe.svg cannot be written: No such file or directory", 1),
        (("pipe.yml",), "there is no file pipe.yml, did you mean pipe.yaml?", 2),
        ((), "no pipe of yours runs on this machine", 3),
    ],
)
def test_what_cannot_be_drawn_is_one_line(folder: Path, arguments: tuple[str, ...], message: str, code: int) -> None:
    done = pipert2(folder, "graph", *arguments)
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_running_pipe_can_be_drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    with load_pipe(folder / "pipe.yaml", inline=True) as pipe, ControlService(pipe) as service:
        pipe.build()
        with ControlServer(service, port=0, announce=False) as server:
            server.start()
            done = pipert2(folder, "graph", "--url", server.url, "--format", "dot")
    assert done.returncode == 0, done.stderr
    assert 'r0 -> r1 [label="lossless, 64"];' in done.stdout
