"""``pipert2 cockpit user``: accounts from the command line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from pipert2.cli.main import main
from pipert2.cockpit.store import accounts
from pipert2.cockpit.store.accounts import Accounts, Role
from pipert2.cockpit.store.database import Database


@pytest.fixture(autouse=True)
def _passwords_are_hashed_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "HASHING", "scrypt:256:8:1")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cockpit.db"
    monkeypatch.setenv("PIPERT2_COCKPIT_DATABASE", str(path))
    return path


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str, password: str = "long enough") -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return main(["cockpit", "user", *arguments])


def test_an_account_is_made_listed_changed_and_removed(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "add", "otto", "--role", "operator", "--password-stdin") == 0
    assert _run(monkeypatch, "add", "vera", "--password-stdin") == 0
    capsys.readouterr()
    assert _run(monkeypatch, "list", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["role"]) for one in found] == [("otto", "operator"), ("vera", "viewer")]
    assert "password" not in json.dumps(found)
    assert _run(monkeypatch, "list") == 0
    assert "otto" in capsys.readouterr().out
    assert _run(monkeypatch, "password", "otto", "--password-stdin", password="another one") == 0
    assert _run(monkeypatch, "remove", "vera") == 0
    database = Database(file)
    accounts = Accounts(database)
    assert [one.role for one in accounts.all()] == [Role.OPERATOR]
    assert accounts.log_in("otto", "another one") is not None
    database.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "otto", "--role", "king", "--password-stdin"), "neither viewer nor operator"),
        (("add", "otto"), "--password-stdin"),
        (("add", "o o", "--password-stdin"), "is no user's name"),
        (("remove", "otto"), "no user 'otto'"),
        (("remove",), "NAME"),
        (("add", "otto", "--passwd-stdin"), "--password-stdin"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    assert _run(monkeypatch, *arguments) == 2
    complaint = capsys.readouterr().err
    assert said in complaint
    assert complaint.count("\n") == 1


def test_a_password_that_is_too_short_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "add", "otto", "--password-stdin", password="short") == 2
    assert "8 to 256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "--port"),
        (["--host", "0.0.0.0"], "needs an account"),
        (["--host", "no.such.host.invalid"], "not known here"),
        (["--token", "short"], "16 to 512"),
        (["--allowed-host", "a b"], "is not a host's name"),
        (["--key", "x.pem"], "certificate"),
        (["--database", "/proc/nowhere/x.db"], "/proc/nowhere"),
    ],
)
def test_a_cockpit_that_cannot_be_served_says_why(
    file: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["cockpit", "--port", "0", *arguments]) == 2
    assert said in capsys.readouterr().err
