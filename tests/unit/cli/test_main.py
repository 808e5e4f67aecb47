"""Errors of the command line become one line and an exit code."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import typer

from pipert2.cli.exit_codes import CommandError, exit_code_of
from pipert2.cli.main import main, make_app
from pipert2.cli.printing import printable
from pipert2.errors import ControlError, PipeBuildError


@pytest.fixture(autouse=True)
def _signals_as_before(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--url", "x"], "pipert2: no such option --url: it stands behind a command, as in pipert2 status --url (see"),
        (["--qwxyz"], "pipert2: no such option --qwxyz (see pipert2 --help)"),
        (["graph", "--format", "pdf"], "pipert2: Invalid value for '--format' / '-f': 'pdf' is not one of 'mermaid',"),
        (["graph", "x.py", "--json", "--format", "svg"], "--json tells the structure, --format draws it: give one of"),
        (["event", "GO", 'size={"x": 3'], """pipert2: {"x": 3 is not JSON: Expecting ',' delimiter"""),
        (["strat"], "pipert2: No such command 'strat'. Did you mean 'start'"),
        (["--vresion"], "pipert2: no such option --vresion, did you mean --version? (see pipert2 --help)"),
        (["start", "--waite", "1"], "pipert2: no such option --waite, did you mean --wait? (see pipert2 start --help)"),
        (["event"], "pipert2: Missing argument 'EVENT' (see pipert2 event --help)"),
        (["start", "--wait", "soon"], "pipert2: Invalid value for '--wait': "),
        (["start", "--wait", "-1"], "pipert2: Invalid value for '--wait': "),
        (["start", "now"], "pipert2: Got unexpected extra argument"),
        (["level", "camera", "wran"], "there is no level 'wran': did you mean WARNING?"),
        (["event", "GO", "fast"], "pipert2: 'fast' is not NAME=VALUE"),
        (["params", "gain=2", "more"], "pipert2: 'more' is not NAME=VALUE"),
        (["replicas", "cams", "0"], "Invalid value for 'COUNT'"),
        (["run", "x.py", "--param", "a"], "pipert2: 'a' is not NAME=VALUE"),
        (["dead-letters", "requeue"], "which dead letters? As in: pipert2 dead-letters requeue 3, or requeue --all"),
        (["dead-letters", "drop", "-r", "work"], "dead-letters drop 3, or drop --all --routine work"),
        (["dead-letters", "drop", "3", "--all"], "name either NUMBERs, or --all and --routine"),
        (["dead-letters", "list", "0"], "Invalid value for 'NUMBER'"),
        (["dead-letters", "lsit"], "'lsit' is not one of 'list', 'requeue', 'drop'"),
        (["run"], "pipert2: Missing argument 'TARGET'"),
        (["run", "x.py", "--api", "here"], "pipert2: --api 'here' is not HOST:PORT"),
        (["run", "x.py", "--key", "k.pem"], "pipert2: --key is the key of a certificate: give --certificate as well"),
        (["run", "x.py", "--no-api", "--certificate", "c.pem"], "--certificate is for the API, which --no-api leaves"),
        (["run", "x.py", "--set", "a=1"], "pipert2: --set 'a=1' is not ROUTINE.PARAMETER=VALUE"),
        (["run", "x.py", "--summary", "nowhere/s.json"], "there is no folder nowhere"),
        (["run", "x.py"], "pipert2: there is no file x.py"),
        (["status", "--url", "ftp://x"], "pipert2: 'ftp://x' is not the address of a pipe's API"),
    ],
)
def test_wrong_usage_is_one_line_and_2(arguments, line, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1


def _commands() -> dict[str, Any]:
    found = typer.main.get_command(make_app()).commands  # type: ignore[attr-defined]
    return {name: command for name, command in found.items() if not command.hidden}


def _options() -> list[tuple[str, str]]:
    return [
        (name, option)
        for name, command in _commands().items()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--")
    ]


def _mistyped(name: str) -> str:
    """Two letters in the middle swapped, or one doubled where that makes no difference."""
    middle = (len(name) + 1) // 2
    swapped = name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :]
    return swapped if swapped != name else name[:middle] + name[middle - 1 :]


@pytest.mark.parametrize("name", _commands())
def test_every_mistyped_command_suggests_itself(name, capsys):
    assert main([_mistyped(name)]) == 2
    assert f"'{name}'" in capsys.readouterr().err.partition("Did you mean")[2]


@pytest.mark.parametrize(("name", "option"), _options())
def test_every_mistyped_option_suggests_itself(name, option, capsys):
    assert main([name, _mistyped(option)]) == 2
    assert f"did you mean {option}?" in capsys.readouterr().err


def test_version_and_help_go_to_standard_output(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pipert2 ")
    assert main(["--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out


def test_debug_shows_the_traceback_wherever_it_stands():
    for arguments in (["--debug", "run", "x.py"], ["run", "x.py", "--debug"]):
        with pytest.raises(CommandError):
            main(arguments)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ControlError("unknown_name", ""), 2),
        (ControlError("bad_argument", ""), 2),
        (ControlError("bad_state", ""), 1),
        (ControlError("handler_failed", ""), 1),
        (ControlError("unreachable", ""), 3),
        (ControlError("unauthorized", ""), 4),
        (ControlError("forbidden", ""), 4),
        (PipeBuildError(["x"]), 1),
        (CommandError("x", 3), 3),
        (RuntimeError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(error, code):
    assert exit_code_of(error) == code


def test_control_characters_are_shown_and_not_obeyed():
    assert printable("plain, ä, 漢\n\tmore") == "plain, ä, 漢\n\tmore"
    assert printable("\x1b[2J\x07\r\u202e") == "\\x1b[2J\\x07\\x0d\\u202e"
