"""What `import pipert2` gives, and that it does nothing else."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pipert2
from tests.e2e.blocks import ROOT

REFERENCE = (ROOT / "docs" / "api.md").read_text("utf-8")

LOOK_AROUND = """
import io, json, logging, os, sys, threading

used = set()
class Watched(dict):
    def __getitem__(self, key): used.add(str(key)); return super().__getitem__(key)
    def get(self, key, default=None): used.add(str(key)); return super().get(key, default)
    def __contains__(self, key): used.add(str(key)); return super().__contains__(key)

# What these do when they are imported is not ours.
import numpy, cloudpickle, psutil, posix_ipc, multiprocessing.connection, multiprocessing.forkserver

opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
os.environ._data = Watched(os.environ._data)
threads = threading.enumerate()
children = os.listdir("/proc/self/task")
output = sys.stdout
sys.stdout = io.StringIO()

import pipert2

printed, sys.stdout = sys.stdout.getvalue(), output
print(json.dumps({
    "threads": len(threading.enumerate()) - len(threads),
    "tasks": len(os.listdir("/proc/self/task")) - len(children),
    "handlers": [name for name, logger in logging.root.manager.loggerDict.items() if getattr(logger, "handlers", [])]
        + logging.root.handlers,
    "levels": [name for name, logger in logging.root.manager.loggerDict.items()
        if name.startswith("pipert2") and getattr(logger, "level", 0)],
    "plog": hasattr(logging.Logger, "plog"),
    "environment": sorted(used),
    "files": [name for name in opened if not name.endswith((".py", ".pyc")) and os.path.isabs(name)],
    "printed": printed,
    "pillow": "PIL" in sys.modules,
    "children": open("/proc/self/task/%d/children" % os.getpid()).read().split(),
}))
"""


def test_reference_documents_exactly_the_public_names() -> None:
    documented = re.findall(r"^::: pipert2\.(\w+)$", REFERENCE, re.MULTILINE)

    assert sorted(set(documented) - {"testing"}) == sorted(pipert2.__all__)
    assert len(documented) == len(set(documented))


def test_reference_documents_all_tools_for_testing() -> None:
    testing = pytest.importorskip("pipert2.testing")
    documented = re.search(r"::: pipert2\.testing\n.*?members: \[(.*?)\]", REFERENCE, re.DOTALL)
    assert documented is not None
    assert set(documented[1].split(", ")) == set(testing.__all__)


def test_every_public_name_exists_and_says_what_it_means() -> None:
    for name in pipert2.__all__:
        value = getattr(pipert2, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name} has no docstring"


def test_nothing_public_is_left_out_of_all() -> None:
    public = {name for name, value in vars(pipert2).items() if not name.startswith("_") and not inspect.ismodule(value)}

    assert public | set(pipert2._LATER) == set(pipert2.__all__)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("pipert2.utils.consts.event_names", ["START_EVENT_NAME", "STOP_EVENT_NAME", "KILL_EVENT_NAME", "UNLINK"]),
        ("pipert2.utils.logging_module_modifiers", ["add_pipe_log_level", "get_default_print_logger"]),
    ],
)
def test_import_paths_of_pipert2s_document_lead_to_the_same(path: str, names: list[str]) -> None:
    module = __import__(path, fromlist=names)

    for name in names:
        assert name in module.__all__
        if name in pipert2.__all__:
            assert getattr(module, name) is getattr(pipert2, name)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks around in /proc")
def test_importing_does_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK_AROUND],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert json.loads(done.stdout) == {
        "threads": 0,
        "tasks": 0,
        "handlers": [],
        "levels": [],
        "plog": False,
        "environment": [],
        "files": [],
        "printed": "",
        "pillow": False,
        "children": [],
    }
    assert not list(tmp_path.iterdir())
