"""The pipe that `pipert2 run TARGET` means."""

from __future__ import annotations

import sys
import textwrap

import pytest

from pipert2 import Pipe
from pipert2.cli.exit_codes import CommandError
from pipert2.cli.target import load_target

PIPE = """
from pipert2 import Pipe, destination, source

@source
def numbers():
    yield from range(3)

show = destination(print, name="show")

def put_together(name):
    made = Pipe(name, lossless=True)
    made.create_flow("all", True, numbers, show)
    return made
"""


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A working folder; what loading changes in the interpreter is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["pipert2"])
    before = dict(sys.modules)
    yield tmp_path
    sys.modules.clear()
    sys.modules.update(before)


def write(folder, text, name="script.py"):
    (folder / name).write_text(PIPE + textwrap.dedent(text))


def test_the_only_pipe_of_a_script_is_meant(folder):
    write(folder, "mine = put_together('mine')")
    assert load_target("script.py").name == "mine"


def test_of_several_the_one_called_pipe_is_meant(folder):
    write(folder, "a = put_together('a'); numbers = show = None; pipe = Pipe('pipe')")
    assert load_target("script.py").name == "pipe"


def test_of_several_without_one_called_pipe_all_are_listed(folder):
    write(folder, "a, b = Pipe('a'), Pipe('b')")
    with pytest.raises(CommandError, match=r"several pipes, name one: script.py:a, script.py:b"):
        load_target("script.py")
    assert load_target("script.py:b").name == "b"


def test_a_pipe_with_two_names_is_one_pipe(folder):
    write(folder, "a = b = Pipe('a')")
    assert load_target("script.py").name == "a"


def test_a_function_that_returns_a_pipe_does_as_well(folder):
    write(folder, "def make(): return put_together('made')")
    assert load_target("script.py:make").name == "made"


def test_a_module_is_found_in_the_working_folder(folder):
    write(folder, "pipe = put_together('of a module')", "module_with_pipe.py")
    assert load_target("module_with_pipe:pipe").name == "of a module"
    assert load_target("module_with_pipe").name == "of a module"


def test_a_guarded_script_does_not_run_its_pipe(folder):
    write(folder, "pipe = put_together('p')\nif __name__ == '__main__': pipe.run()")
    assert load_target("script.py").status().state.value == "new"


@pytest.mark.parametrize("how", ["pipe.run()", "pipe.build()", "pipe.notify_event('start')"])
def test_an_unguarded_script_is_stopped_where_it_starts_its_pipe(folder, capsys, how):
    write(folder, f"pipe = put_together('p')\nprint('before')\n{how}\nprint('after')")
    pipe = load_target("script.py")
    assert (pipe.name, pipe.status().state.value) == ("p", "new")
    assert capsys.readouterr().out == "before\n"
    assert Pipe.build.__qualname__ == "Pipe.build"


def test_a_pipe_in_a_with_block_can_still_run(folder):
    write(folder, "with put_together('p') as pipe: pipe.run()")
    assert load_target("script.py").run().ok


def test_a_module_that_starts_its_pipe_is_refused(folder):
    write(folder, "pipe = put_together('p'); pipe.run()", "module_that_runs.py")
    with pytest.raises(CommandError, match="starts its pipe when it is imported"):
        load_target("module_that_runs:pipe")


def test_definitions_of_a_script_are_those_of_main(folder):
    write(folder, "class Mine: pass\npipe = put_together('p')")
    load_target("script.py")
    main = sys.modules["__main__"]
    assert main.Mine.__module__ == "__main__"
    assert main.numbers.function.__module__ == "__main__"


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("scirpt.py", r"there is no file scirpt.py, did you mean script.py\?"),
        ("script.py:pip", r"script.py has no 'pip': did you mean script.py:pipe\?"),
        ("script.py:number", r"neither a Pipe nor a function that returns one, but int"),
        ("script.py:nothing", r"script.py:nothing\(\) returned NoneType, not a Pipe"),
        ("script.py:fails", r"script.py, line \d+: ValueError: too early"),
        ("my-script", r"'my-script' is not a target: do you mean my-script.py\?"),
        ("scrip", r"there is no module scrip here or among the installed ones, did you mean script.py\?"),
        ("nowhere.module:pipe", r"there is no module nowhere.module here"),
        ("empty.py", r"empty.py has no Pipe in it$"),
        ("factory.py", r"no Pipe in it; name a function that returns one, such as factory.py:make_pipe"),
        ("broken.py", r"broken.py, line 1: "),
        ("raises.py", r"raises.py, line 2: ZeroDivisionError"),
        ("exits.py", r"exits.py exits while it is loaded \(with 3\)"),
        ("needs.py", r"needs.py cannot be loaded: it needs the module not_there_at_all"),
        ("needs:pipe", r"needs cannot be loaded: it needs the module not_there_at_all"),
        (".", r"'\.' is not a target"),
        ("folder/", r"folder/ is a folder"),
        ("script.py:", "one side of the colon is empty"),
        (":pipe", "one side of the colon is empty"),
        ("pipe.yaml:pipe", "leave ':pipe' out"),
        ("nothing.yaml", "there is no file nothing.yaml"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_one_line(folder, target, complaint):
    fails = "def fails(): raise ValueError('too early')\n"
    write(folder, f"pipe = Pipe('p')\nnumber = 3\ndef nothing(): pass\n{fails}")
    (folder / "empty.py").write_text("")
    (folder / "my-script.py").touch()
    (folder / "factory.py").write_text("def make_pipe(): pass\n")
    (folder / "broken.py").write_text("def (:\n")
    (folder / "raises.py").write_text("\n1 / 0\n")
    (folder / "exits.py").write_text("raise SystemExit(3)\n")
    (folder / "needs.py").write_text("import not_there_at_all\n")
    (folder / "folder").mkdir()
    with pytest.raises(CommandError, match=complaint) as caught:
        load_target(target)
    assert "\n" not in str(caught.value)
