"""Which pipe a command speaks to."""

from __future__ import annotations

import pytest

from pipert2.cli.connect import Address, choose, find_address
from pipert2.cli.exit_codes import UNREACHABLE, USAGE, CommandError
from pipert2.control.client.discovery import Announcement
from pipert2.errors import ControlError

ONE = Announcement(11, "camera", "http://127.0.0.1:1", 0.0)
OTHER = Announcement(12, "tracker", "http://127.0.0.1:2", 0.0)
NAMESAKE = Announcement(13, "camera", "http://127.0.0.1:3", 0.0)


@pytest.fixture
def somewhere(monkeypatch, tmp_path):
    """A working folder and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("PIPERT2_URL", "PIPERT2_TOKEN", "PIPERT2_READ_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run_here(monkeypatch, *pipes):
    monkeypatch.setattr("pipert2.control.client.discovery.running_pipes", lambda: list(pipes))


def test_the_only_pipe_is_the_one():
    assert choose([ONE], None) is ONE


@pytest.mark.parametrize("name", ["tracker", "12"])
def test_a_pipe_is_chosen_by_name_or_process(name):
    assert choose([ONE, OTHER], name) is OTHER


def test_no_pipe_is_an_error_of_its_own_kind():
    with pytest.raises(CommandError, match="no pipe of yours runs") as caught:
        choose([], None)
    assert caught.value.code == UNREACHABLE


def test_of_several_pipes_all_are_listed():
    with pytest.raises(CommandError, match=r"2 pipes run .* --pipe NAME: camera \(process 11.*tracker") as caught:
        choose([ONE, OTHER], None)
    assert caught.value.code == USAGE


def test_a_mistyped_name_suggests_the_nearest():
    with pytest.raises(CommandError, match="did you mean 'camera'"):
        choose([ONE, OTHER], "camra")


def test_a_name_like_no_other_lists_what_there_is():
    with pytest.raises(CommandError, match=r"there is camera \(process 11, .*tracker"):
        choose([ONE, OTHER], "qqq")


def test_of_two_pipes_with_one_name_the_process_decides():
    with pytest.raises(CommandError, match="2 pipes are called 'camera'"):
        choose([ONE, NAMESAKE], "camera")
    assert choose([ONE, NAMESAKE], "13") is NAMESAKE


def test_options_win_over_the_environment_and_that_over_the_file(somewhere, monkeypatch):
    (somewhere / ".env").write_text("PIPERT2_URL=http://file:1\nPIPERT2_TOKEN=of-the-file\n")
    assert find_address(None, None, None) == Address("http://file:1", "of-the-file")
    monkeypatch.setenv("PIPERT2_URL", "http://environment:1")
    monkeypatch.setenv("PIPERT2_TOKEN", "of-the-environment")
    assert find_address(None, None, None) == Address("http://environment:1", "of-the-environment")
    assert find_address("http://option:1", None, "of-the-option") == Address("http://option:1", "of-the-option")


def test_who_signed_the_certificate_is_said_by_the_environment(somewhere, monkeypatch):
    (somewhere / ".env").write_text("PIPERT2_URL=https://file:1\nPIPERT2_CA=ca.pem\n")
    assert find_address(None, None, None) == Address("https://file:1", None, ca="ca.pem")
    monkeypatch.setenv("PIPERT2_CA", "other.pem")
    with pytest.raises(ControlError, match=r"no certificates can be read from 'other.pem'"):
        find_address(None, None, None).client(1.0)


def test_a_pipe_named_by_option_wins_over_a_url_of_the_environment(somewhere, monkeypatch):
    monkeypatch.setenv("PIPERT2_URL", "http://environment:1")
    run_here(monkeypatch, ONE, OTHER)
    assert find_address(None, "tracker", None) == Address(OTHER.url, None, "tracker")


def test_a_reading_token_is_better_than_none(somewhere, monkeypatch):
    monkeypatch.setenv("PIPERT2_READ_TOKEN", "only-looking")
    assert find_address("http://pipe:1", None, None).token == "only-looking"


def test_a_file_further_up_is_not_read(somewhere, monkeypatch):
    (somewhere / ".env").write_text("PIPERT2_URL=http://evil:1\n")
    (somewhere / "inside").mkdir()
    monkeypatch.chdir(somewhere / "inside")
    run_here(monkeypatch, ONE)
    assert find_address(None, None, None) == Address(ONE.url, None, "camera")


def test_two_ways_to_say_which_pipe_are_one_too_many(somewhere):
    with pytest.raises(CommandError, match="give one of them"):
        find_address("http://pipe:1", "camera", None)


def test_a_scheme_may_be_left_out(somewhere):
    assert find_address("pipe:8320", None, None).url == "http://pipe:8320"


@pytest.mark.parametrize("url", ["ftp://pipe", "http://", "http:// pipe", ""])
def test_what_is_no_url_is_refused(somewhere, url):
    with pytest.raises(CommandError, match=r"write it like http://127\.0\.0\.1:8320"):
        find_address(url, None, None)
