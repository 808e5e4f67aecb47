"""What `run` and `demo` make of their options and of a run's end."""

from __future__ import annotations

import pytest

from pipert2.cli.exit_codes import CommandError
from pipert2.cli.hosting import Faces, exit_code_of_run, faces_from, is_loopback, parse_address
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
    assert faces_from(None, True, "tcp://x", None) == Faces(None, "tcp://x", None)


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
