"""The keys of a zerorpc server, from files and variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipert2.control.rpc.keys import public_keys_in, secret_key_in, server_keys
from pipert2.errors import ControlError

SECRET, ONE, OTHER = "s" * 40, "1" * 40, "#" * 40
PRINTED = f"public: {ONE}\nsecret: {SECRET}\n"


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PIPERT2_RPC_SECRET_KEY", "PIPERT2_RPC_CLIENT_KEYS"):
        monkeypatch.delenv(name, raising=False)


def _file(name: str, text: str) -> Path:
    Path(name).write_text(text, "utf-8")
    return Path(name)


@pytest.mark.parametrize("text", [PRINTED, SECRET, f"  {SECRET}\n\n", f"secret: {SECRET}\n"])
def test_a_secret_key_stands_alone_or_as_it_was_printed(text: str) -> None:
    assert secret_key_in(_file("key", text)) == SECRET


@pytest.mark.parametrize(
    "text", ["", f"public: {ONE}\n", f"{SECRET}\n{SECRET}\n", SECRET[:39], f"secret: {SECRET[:39]}"]
)
def test_a_file_without_one_secret_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ControlError, match=r"^key: ") as caught:
        secret_key_in(_file("key", text))
    assert SECRET[:30] not in str(caught.value)


def test_clients_keys_stand_one_a_line_with_or_without_whose_they_are() -> None:
    assert public_keys_in(_file("clients", f"{ONE} the oven\n\npublic: {OTHER} the shop\n")) == (ONE, OTHER)


@pytest.mark.parametrize(
    ("text", "says"), [("", "no key"), ("public:\n", "no key"), (PRINTED, "a secret key in it"), ("oven\n", "40 chara")]
)
def test_a_file_without_clients_keys_is_refused(text: str, says: str) -> None:
    with pytest.raises(ControlError, match=f"^clients: .*{says}"):
        public_keys_in(_file("clients", text))


@pytest.mark.parametrize("path", ["none", "."])
def test_a_file_that_cannot_be_read_is_one_line(path: str) -> None:
    for read in (secret_key_in, public_keys_in):
        with pytest.raises(ControlError, match=r"cannot read the key in (none|\.): [A-Z]"):
            read(Path(path))


def test_a_servers_keys_come_from_files() -> None:
    keys = server_keys(_file("key", PRINTED), _file("clients", ONE))
    assert keys is not None
    assert (keys.secret, keys.clients) == (SECRET, (ONE,))


@pytest.mark.parametrize("in_file", [False, True])
def test_a_servers_keys_come_from_the_environment_or_the_env_file(
    in_file: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"PIPERT2_RPC_SECRET_KEY": SECRET, "PIPERT2_RPC_CLIENT_KEYS": f"{ONE} {OTHER}"}
    if in_file:
        _file(".env", "".join(f"{name}='{value}'\n" for name, value in found.items()))
    else:
        for name, value in found.items():
            monkeypatch.setenv(name, value)
    keys = server_keys(None, None)
    assert keys is not None
    assert (keys.secret, keys.clients) == (SECRET, (ONE, OTHER))


def test_a_clients_secret_key_in_the_environment_makes_no_server_ask_for_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPERT2_RPC_SECRET_KEY", SECRET)
    assert server_keys(None, None) is None


def test_one_of_the_two_alone_is_refused_and_the_other_named() -> None:
    with pytest.raises(ControlError, match=r"--rpc-clients FILE or PIPERT2_RPC_CLIENT_KEYS is missing"):
        server_keys(_file("key", SECRET), None)
    with pytest.raises(ControlError, match=r"--rpc-key FILE or PIPERT2_RPC_SECRET_KEY is missing"):
        server_keys(None, _file("clients", ONE))


def test_a_variable_that_is_no_key_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPERT2_RPC_SECRET_KEY", SECRET[:39])
    with pytest.raises(ControlError, match=r"^PIPERT2_RPC_SECRET_KEY: a key is 40 characters") as caught:
        server_keys(None, _file("clients", ONE))
    assert SECRET[:30] not in str(caught.value)
