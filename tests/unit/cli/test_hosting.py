"""What `run` and `demo` make of their options and of a run's end."""

from __future__ import annotations

import pytest

from pipert2 import Pipe
from pipert2.cli.exit_codes import CommandError
from pipert2.cli.hosting import (
    Faces,
    exit_code_of_run,
    faces_from,
    is_loopback,
    parse_address,
    say_what_is_missing,
    show_summary,
)
from pipert2.observe.snapshot import RunSummary


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8320", ("127.0.0.1", 8320)),
        ("8320", ("127.0.0.1", 8320)),
        (":0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("box.local:80", ("box.local", 80)),
    ],
)
def test_addresses_are_read(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "host", "host:", "host:http", "host:70000", "host:-1", "host:\u0663"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(CommandError, match="HOST:PORT"):
        parse_address(text)


def test_the_api_is_there_unless_it_is_left_out():
    assert faces_from(None, False, None, None) == Faces(("127.0.0.1", 0), None, None)
    assert faces_from(None, True, "ipc:///x", None) == Faces(None, "ipc:///x", None)


@pytest.mark.parametrize(("api", "token"), [("127.0.0.1:1", None), (None, "a-token")])
def test_options_that_contradict_each_other_are_refused(api, token):
    with pytest.raises(CommandError, match="--no-api"):
        faces_from(api, True, None, token)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)],
)
def test_loopback_is_known(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("ok", "reason", "code"),
    [
        (True, "finished", 0),
        (True, "timeout", 0),
        (False, "killed", 0),
        (False, "flow 'a' died too often", 1),
        (False, "interrupted by SIGINT", 130),
        (False, "interrupted by SIGTERM", 143),
    ],
)
def test_the_exit_code_says_how_the_run_ended(ok, reason, code):
    assert exit_code_of_run(RunSummary(ok, reason, 1.0, 0, (), (), ())) == code


@pytest.mark.parametrize(("reason", "code"), [("finished", 1), ("killed", 1), ("interrupted by SIGINT", 130)])
def test_messages_that_were_given_up_are_a_failure(reason, code, capsys):
    summary = RunSummary(False, reason, 1.0, 3, (), (), (), dead_letters=2)
    assert exit_code_of_run(summary) == code
    show_summary(summary, as_json=False, file=None)
    assert f"{reason}, after 1.0 s, 3 errors, 2 messages given up" in capsys.readouterr().out


def test_a_pipe_that_waits_for_parameters_is_told(capsys):
    pipe = Pipe("shop", requires=("price", "place"))
    pipe.set_parameters(place="north")
    say_what_is_missing(pipe)
    assert "pipe shop: waits for 'price': give it with --param, or now with pipert2 params price=VALUE" in (
        capsys.readouterr().err
    )
    pipe.set_parameters(price=1)
    say_what_is_missing(pipe)
    assert capsys.readouterr().err == ""
