"""Tokens: who shows one may look, or also control."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

import pytest

from pipert2.control.http import tokens as module
from pipert2.control.http.tokens import Tokens, generate_token, tokens_of_environment
from pipert2.control.verbs import Scope
from pipert2.errors import ControlError

CONTROL = "control-token-of-the-tests"
READ = "read-token-of-the-tests-00"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PIPERT2_TOKEN", raising=False)
    monkeypatch.delenv("PIPERT2_READ_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)


def test_each_token_has_its_scope() -> None:
    tokens = Tokens([(CONTROL, Scope.CONTROL), (READ, Scope.READ)])

    assert tokens.scope_of(CONTROL) is Scope.CONTROL
    assert tokens.scope_of(READ) is Scope.READ


@pytest.mark.parametrize("shown", ["", "x", CONTROL[:-1], CONTROL + "x", CONTROL.upper(), "ä" * 20, "\udc80" * 20])
def test_anything_else_has_none(shown: str) -> None:
    assert Tokens([(CONTROL, Scope.CONTROL)]).scope_of(shown) is None


def test_a_token_given_with_both_scopes_has_the_larger_one() -> None:
    assert Tokens([(CONTROL, Scope.CONTROL), (CONTROL, Scope.READ)]).scope_of(CONTROL) is Scope.CONTROL
    assert Tokens([(CONTROL, Scope.READ), (CONTROL, Scope.CONTROL)]).scope_of(CONTROL) is Scope.CONTROL


def test_what_is_shown_is_compared_with_all_tokens_right_or_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens([(CONTROL, Scope.CONTROL), (READ, Scope.READ)])
    compared = []
    original = hmac.compare_digest
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: compared.append(1) or original(a, b))

    for shown in (CONTROL, READ, "wrong"):
        compared.clear()
        tokens.scope_of(shown)
        assert len(compared) == 2


def test_the_tokens_themselves_are_kept_nowhere() -> None:
    tokens = Tokens([(CONTROL, Scope.CONTROL)])

    assert CONTROL not in repr(tokens)
    assert CONTROL not in repr([getattr(tokens, name) for name in tokens.__slots__])


def test_there_are_none_unless_somebody_sets_them() -> None:
    assert not Tokens.none()
    assert not Tokens.from_environment()


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPERT2_TOKEN", CONTROL)
    monkeypatch.setenv("PIPERT2_READ_TOKEN", f" {READ}\n")

    tokens = Tokens.from_environment()

    assert len(tokens) == 2
    assert tokens.scope_of(CONTROL) is Scope.CONTROL
    assert tokens.scope_of(READ) is Scope.READ


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPERT2_TOKEN", "")

    assert not Tokens.from_environment()


def test_the_working_directorys_env_file_sets_them_and_leaves_the_environment_alone(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f'# ours\nPIPERT2_TOKEN="{CONTROL}"\nOTHER=1\n')
    before = dict(os.environ)

    assert Tokens.from_environment().scope_of(CONTROL) is Scope.CONTROL
    assert tokens_of_environment() == {"PIPERT2_TOKEN": CONTROL}
    assert dict(os.environ) == before


def test_an_env_file_further_up_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(f"PIPERT2_TOKEN={CONTROL}\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    assert not Tokens.from_environment()


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokens").write_text("PIPERT2_TOKEN=the-one-in-the-file-00\n")
    monkeypatch.setenv("PIPERT2_TOKEN", CONTROL)

    tokens = Tokens.from_environment(tmp_path / "tokens")

    assert len(tokens) == 1
    assert tokens.scope_of(CONTROL) is Scope.CONTROL


def test_dollars_in_the_file_mean_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PIPERT2_TOKEN=pa$HOME${PATH}word-0000\n")

    assert Tokens.from_environment().scope_of("pa$HOME${PATH}word-0000") is Scope.CONTROL


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="cannot be read"):
        Tokens.from_environment(tmp_path / "missing")


@pytest.mark.parametrize(
    "bad", ["short", "x" * 513, "with a space in it", "ümlaut-ümlaut-ümlaut", "line\nbreak-line-break"]
)
def test_a_token_that_is_not_fit_to_be_one_is_refused_without_being_shown(
    bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPERT2_READ_TOKEN", bad)

    with pytest.raises(ControlError, match="PIPERT2_READ_TOKEN") as raised:
        Tokens.from_environment()
    assert bad not in raised.value.message
    assert raised.value.field == "tokens"


def test_made_tokens_are_long_and_differ() -> None:
    made = {generate_token() for _ in range(10)}

    assert len(made) == 10
    assert all(len(token) >= 40 for token in made)
    assert all(Tokens([(token, Scope.READ)]).scope_of(token) is Scope.READ for token in made)
