"""pipert2-rpc's command line, and what the RPC server's endpoint may be; nothing is connected to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipert2.control.rpc.admission import may_connect
from pipert2.control.rpc.command import main, make_parser, one_line
from pipert2.control.rpc.endpoint import usable_endpoint
from pipert2.control.rpc.keys import CurveKeys
from pipert2.control.rpc.methods import sendable
from pipert2.errors import ControlError

KEY = "0" * 40


def test_the_command_line_is_the_one_of_zerorpc() -> None:
    options = make_parser().parse_intermixed_args(
        ["-j", "-pj", "--timeout", "3", "--heartbeat", "1", "tcp://127.0.0.1:1", "execute", "join", '{"to_kill":true}']
    )
    assert (options.json, options.print_json, options.timeout, options.heartbeat) == (True, True, 3.0, 1.0)
    assert (options.address, options.command, options.params) == (
        "tcp://127.0.0.1:1",
        "execute",
        ["join", '{"to_kill":true}'],
    )


def test_options_may_stand_between_the_address_and_the_command() -> None:
    options = make_parser().parse_intermixed_args(["tcp://127.0.0.1:1", "-p", "execute", "--timeout", "3", "start"])
    assert (options.command, options.params, options.print_json) == ("execute", ["start"], True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no address"),
        (["127.0.0.1:1234"], "'127.0.0.1:1234' is no address"),
        (["-j", "tcp://127.0.0.1:1", "execute", "join"], "with --json a text is written as '\"join\"'"),
        (["--curve-server-key", KEY, "tcp://127.0.0.1:1"], "--curve-secret-key-file is missing"),
        (["--curve-server-key", "short", "tcp://127.0.0.1:1"], "go together"),
        (["--curve-secret-key-file", "/nonexistent", "tcp://127.0.0.1:1"], "cannot read the key in /nonexistent"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.startswith("pipert2-rpc: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--timeout", "soon"], ["--timeout", "0"], ["--heartbeat", "nan"], ["--nonsense"]]
)
def test_a_wrong_option_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "tcp://127.0.0.1:1"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("pipert2-rpc: error: ")


def test_a_key_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text("not a key\n")
    arguments = ["--curve-server-key", KEY, "--curve-secret-key-file", str(tmp_path / "key"), "tcp://127.0.0.1:1"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "/key: a key is 40 characters" in error
    assert "not a key" not in error


def test_make_keys_prints_a_pair_that_the_server_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--make-keys"]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert CurveKeys(lines["secret"], (lines["public"],)).clients == (lines["public"],)


def test_what_a_server_says_cannot_move_the_cursor_or_begin_a_line() -> None:
    assert one_line("a\x1b[2Jb\r\n  c\nd\x07") == "a\\x1b[2Jb c d\\x07"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("tcp://127.0.0.1:1234", "tcp://127.0.0.1:1234"),
        ("tcp://localhost:1234", "tcp://127.0.0.1:1234"),
        ("tcp://127.9.9.9:0", "tcp://127.9.9.9:*"),
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
        ("tcp://[::1]:1234", "tcp://[::1]:1234"),
        ("ipc:///nonexistent/socket", "ipc:///nonexistent/socket"),
    ],
)
def test_an_endpoint_on_this_machine_needs_no_keys(given: str, used: str) -> None:
    assert usable_endpoint(given, safe=False) == used


@pytest.mark.parametrize("given", ["tcp://0.0.0.0:1", "tcp://*:1", "tcp://eth0:1", "tcp://[::]:1", "tcp://10.1.2.3:1"])
def test_an_endpoint_that_others_reach_needs_keys(given: str) -> None:
    with pytest.raises(ControlError, match=r"can be reached from other machines.*CurveKeys") as caught:
        usable_endpoint(given, safe=False)
    assert caught.value.code == "bad_argument"
    assert usable_endpoint(given, safe=True) == given


@pytest.mark.parametrize(
    "given",
    ["", "127.0.0.1:1", "tcp://127.0.0.1", "tcp://:1", "tcp://127.0.0.1:x", "tcp://127.0.0.1:65536", 1234, None],
)
def test_what_is_no_endpoint_is_refused(given: object) -> None:
    with pytest.raises(ControlError, match='an RPC endpoint is "tcp://ADDRESS:PORT"') as caught:
        usable_endpoint(given, safe=True)
    assert caught.value.code == "bad_argument"


def test_a_file_in_the_way_of_a_socket_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ControlError, match="there is a file of this name"):
        usable_endpoint(f"ipc://{tmp_path}/file", safe=False)
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize(
    ("secret", "clients"), [("short", (KEY,)), (KEY, ()), (KEY, ("short",)), (KEY, KEY), (5, (KEY,))]
)
def test_keys_that_cannot_be_are_refused(secret: object, clients: object) -> None:
    with pytest.raises(ControlError, match=r"CurveKeys\((secret|clients)"):
        CurveKeys(secret, clients)  # type: ignore[arg-type]


def test_a_secret_key_is_not_shown() -> None:
    assert KEY not in repr(CurveKeys(KEY, ("1" * 40,)))


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("localhost:0:0:77", True),
        ("localhost:54321:0:77", False),
        ("nonsense", False),
    ],
)
def test_without_keys_only_this_machine_and_user_may_connect(address: str, may: bool) -> None:
    assert may_connect(b"NULL", address, b"", frozenset()) is may
    assert not may_connect(b"PLAIN", address, b"", frozenset())


def test_with_keys_only_those_who_have_one_may_connect() -> None:
    allowed = frozenset({KEY.encode()})
    assert may_connect(b"CURVE", "10.0.0.1", bytes(32), allowed)
    assert not may_connect(b"CURVE", "127.0.0.1", b"\1" * 32, allowed)
    assert not may_connect(b"NULL", "127.0.0.1", b"", allowed)


def test_what_msgpack_cannot_carry_is_changed_and_nothing_else() -> None:
    plain = {"a": [1, 2.5, None, "text", True]}
    assert sendable(plain) is plain
    assert sendable({"big": 2**70, "small": -(2**63)}) == {"big": hex(2**70), "small": -(2**63)}
    assert sendable(["\ud800"]) == ["?"]
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    assert json.dumps(sendable(deep)).count("[") <= 101
