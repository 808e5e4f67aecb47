"""Settings: flags win over the environment, that over .env; what is wrong is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipert2.cockpit.link.client import cockpit_url
from pipert2.cockpit.settings import CockpitSettings, settings_from
from pipert2.errors import ControlError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("PIPERT2_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_without_a_word_it_is_on_loopback_with_a_database_in_the_users_data_folder(tmp_path: Path) -> None:
    assert settings_from({}) == CockpitSettings()
    assert (CockpitSettings().host, CockpitSettings().port) == ("127.0.0.1", 8321)
    assert CockpitSettings().database == tmp_path / "data" / "pipert2" / "cockpit.db"


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(
        "PIPERT2_COCKPIT_HOST=file\nPIPERT2_COCKPIT_PORT=1\nPIPERT2_COCKPIT_KEEP_DAYS=2.5\n"
        "PIPERT2_COCKPIT_ALLOWED_HOSTS='robot.local, other'\nPIPERT2_COCKPIT_TOKEN=$HOME-0123456789abcdef\n"
    )
    monkeypatch.setenv("PIPERT2_COCKPIT_HOST", "environment")
    monkeypatch.setenv("PIPERT2_COCKPIT_PORT", "2")
    before = dict(os.environ)
    found = settings_from({"host": "flag", "port": None})
    assert (found.host, found.port, found.keep_days) == ("flag", 2, 2.5)
    assert found.allowed_hosts == ("robot.local", "other")
    assert found.token == "$HOME-0123456789abcdef"
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "70000"), ("PORT", "x"), ("KEEP_RECORDS", "0"), ("KEEP_DAYS", "nan")]
)
def test_a_value_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"PIPERT2_COCKPIT_{name}", value)
    with pytest.raises(ControlError, match=f"PIPERT2_COCKPIT_{name}: '{value}'"):
        settings_from({})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(ControlError, match="cannot be read"):
        settings_from({})
    with pytest.raises(ControlError, match="nowhere"):
        settings_from({}, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://localhost:3000/api/socketio", "http://localhost:3000"),
        (" https://robot.local/ ", "https://robot.local"),
        ("localhost:8321", "http://localhost:8321"),
        ("http://user:secret@[::1]:8321/x?y", "http://[::1]:8321"),
    ],
)
def test_a_cockpits_address_is_what_stands_before_the_path(text: str, url: str) -> None:
    assert cockpit_url(text) == url


@pytest.mark.parametrize("text", ["", "ftp://x", "http://", "http://x:notaport", "http://[::1", "file:///etc"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ControlError, match="is not the address of a cockpit"):
        cockpit_url(text)
