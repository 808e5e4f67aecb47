"""What a cockpit asks a pipe to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipert2 import Pipe
from pipert2.cockpit.link.commands import LinkCommands
from pipert2.control.service import ControlService
from pipert2.testing import CollectingDestination, ListSource, wait_until


@pytest.fixture
def woken() -> list[bool]:
    return []


@pytest.fixture
def service() -> Iterator[ControlService]:
    with Pipe("bench", inline=True) as pipe, ControlService(pipe) as one:
        pipe.create_flow("all", True, ListSource([1], name="source"), CollectingDestination("end"))
        pipe.build()
        yield one


@pytest.fixture
def commands(service: ControlService, woken: list[bool]) -> LinkCommands:
    return LinkCommands(service, lambda: woken.append(True))


def test_a_verb_is_carried_out_and_its_reply_given_back(commands: LinkCommands, woken: list[bool]) -> None:
    assert commands.carry_out({"verb": "status", "arguments": {}})["reply"]["name"] == "bench"
    assert woken
    assert not commands.busy
    assert not commands.structure_due.is_set()


def test_what_may_change_the_pipe_has_its_structure_told_anew(commands: LinkCommands) -> None:
    assert "reply" in commands.carry_out({"verb": "log_level", "arguments": {"routine": "source", "level": "DEBUG"}})
    assert commands.structure_due.is_set()


@pytest.mark.parametrize("data", [None, 7, {}, {"verb": "statis", "arguments": {}}, {"verb": "status"}])
def test_what_is_no_command_is_answered_with_an_error(commands: LinkCommands, data: object) -> None:
    assert commands.carry_out(data)["error"]["code"] == "unknown_name"


def test_a_misspelt_verb_is_told_the_nearest_one(commands: LinkCommands) -> None:
    assert commands.carry_out({"verb": "statis", "arguments": {}})["error"]["nearest"] == "status"


def test_too_many_commands_at_once_are_refused(service: ControlService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipert2.cockpit.link.commands._MOST_AT_ONCE", 1)
    commands = LinkCommands(service, lambda: None)
    go_on = threading.Event()
    monkeypatch.setattr(commands, "_do", lambda data: go_on.wait(10))
    message = {"verb": "status", "arguments": {}}
    first = threading.Thread(target=commands.carry_out, args=(message,), name="pipert2-test", daemon=True)
    first.start()
    wait_until(lambda: commands.busy, what="the first command")
    assert commands.carry_out(message)["error"]["code"] == "no_room"
    go_on.set()
    first.join(10)
    assert not commands.busy


def test_pictures_have_their_turn_one_after_the_other(commands: LinkCommands) -> None:
    for routine, side in (("source", "output"), ("end", "input")):
        assert "reply" in commands.carry_out(
            {"verb": "preview", "arguments": {"routine": routine, "side": side, "on": True}}
        )
    assert [key for key, _ in commands.wanted_pictures()] == [("source", "output"), ("end", "input")]
    commands.picture_sent(("source", "output"), 3)
    assert commands.wanted_pictures() == [(("end", "input"), 0), (("source", "output"), 3)]
    commands.end_previews()
    assert not commands.shows
