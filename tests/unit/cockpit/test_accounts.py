"""Accounts: passwords are hashed, sessions end, and trying is limited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipert2.cockpit.server.login_limit import LoginLimit
from pipert2.cockpit.store import accounts as accounts_module
from pipert2.cockpit.store.accounts import ANYBODY, Accounts, Person, Role
from pipert2.cockpit.store.database import Database
from pipert2.errors import ControlError
from pipert2.testing import VirtualClock


@pytest.fixture
def accounts(database: Database) -> Iterator[Accounts]:
    found = Accounts(database)
    found.add("ann", "correct horse", Role.OPERATOR)
    return found


def test_without_accounts_anybody_is_an_operator(database: Database) -> None:
    accounts = Accounts(database)
    assert not accounts
    assert accounts.person(None) == ANYBODY
    assert accounts.person("some old cookie") == ANYBODY


def test_with_an_account_everybody_has_to_log_in(accounts: Accounts) -> None:
    assert accounts
    assert accounts.person(None) is None
    assert accounts.person("guess") is None
    found = accounts.log_in("ann", "correct horse")
    assert found is not None
    assert found[1] == accounts.person(found[0]) == Person("ann", Role.OPERATOR)


@pytest.mark.parametrize(
    ("name", "password"), [("ann", "wrong horse"), ("bob", "correct horse"), ("", ""), ("ann", "")]
)
def test_a_wrong_name_or_password_gives_no_session(accounts: Accounts, name: str, password: str) -> None:
    assert accounts.log_in(name, password) is None


def test_an_unknown_name_costs_the_same_work(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(
        accounts_module, "check_password_hash", lambda hashed, password: checked.append(hashed.split("$")[0]) or False
    )
    accounts.log_in("ann", "x")
    accounts.log_in("nobody", "x")
    assert checked[0].startswith("scrypt:")
    assert checked[0] == checked[1]


def test_neither_passwords_nor_sessions_stand_in_the_file(accounts: Accounts, database: Database) -> None:
    found = accounts.log_in("ann", "correct horse")
    assert found is not None
    written = b"".join(Path(f"{database.path}{end}").read_bytes() for end in ("", "-wal"))
    assert b"correct horse" not in written
    assert found[0].encode() not in written


def test_logging_out_a_new_password_and_removal_end_sessions(accounts: Accounts) -> None:
    def session() -> str:
        found = accounts.log_in("ann", "correct horse")
        assert found is not None
        return found[0]

    first = session()
    accounts.log_out(first)
    assert accounts.person(first) is None
    second = session()
    accounts.set_password("ann", "correct horse")
    assert accounts.person(second) is None
    third = session()
    accounts.add("bob", "battery staple", Role.VIEWER)
    accounts.remove("ann")
    assert accounts.person(third) is None


def test_a_session_ends_by_itself(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    found = accounts.log_in("ann", "correct horse")
    assert found is not None
    now = accounts_module.time.time()
    monkeypatch.setattr(accounts_module.time, "time", lambda: now + accounts_module.IDLE_SECONDS + 1)
    assert accounts.person(found[0]) is None


@pytest.mark.parametrize("name", ["", " ann", "a b", "<b>", "x" * 65, "../etc"])
def test_a_name_that_is_none_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(ControlError, match="is no user's name"):
        accounts.add(name, "long enough", Role.VIEWER)


def test_mistakes_with_accounts_are_told(accounts: Accounts) -> None:
    with pytest.raises(ControlError, match="already"):
        accounts.add("ann", "long enough", Role.VIEWER)
    with pytest.raises(ControlError, match="8 to 256"):
        accounts.add("bob", "short", Role.VIEWER)
    with pytest.raises(ControlError, match="did you mean 'ann'"):
        accounts.remove("anm")
    with pytest.raises(ControlError, match="no user 'zoe'"):
        accounts.set_password("zoe", "long enough")


def test_an_address_may_try_five_times_then_now_and_then() -> None:
    clock = VirtualClock(100.0)
    limit = LoginLimit(5, 12.0, clock.now)
    assert [limit.wait_of("a") for _ in range(5)] == [0.0] * 5
    assert limit.wait_of("a") == pytest.approx(12.0)
    assert limit.wait_of("b") == 0.0
    clock.advance(12.0)
    assert limit.wait_of("a") == 0.0
    assert limit.wait_of("a") > 0
    limit.clear("a")
    assert limit.wait_of("a") == 0.0


def test_many_addresses_do_not_fill_the_memory_nor_free_one_that_tried_too_often() -> None:
    limit = LoginLimit(5, 12.0, VirtualClock().now)
    for _ in range(6):
        limit.wait_of("attacker")
    for number in range(10_100):
        limit.wait_of(f"other{number}")
    assert len(limit._free_at) <= 10_000
    assert limit.wait_of("attacker") > 0
