"""NAME=VALUE on the command line."""

from __future__ import annotations

import pytest

from pipert2.cli.exit_codes import CommandError
from pipert2.cli.values import parse_pairs, parse_settings, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("2.5", 2.5),
        ("true", True),
        ("null", None),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("left", "left"),
        ("True", "True"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("", ""),
    ],
)
def test_a_value_is_json_where_it_is_json_and_else_text(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


@pytest.mark.parametrize("text", ['{"a": 1', "[1, 2", '"left', "{a: 1}", "[" * 100_000, ' {"a": NaN}'])
def test_what_begins_as_json_and_is_none_is_a_mistake(text):
    with pytest.raises(CommandError, match="is not JSON"):
        parse_value(text)


def test_only_the_first_equals_sign_divides():
    assert parse_pairs(["query=a=b", "n=1"]) == {"query": "a=b", "n": 1}


@pytest.mark.parametrize("pairs", [["size"], ["=3"], [" =3"], ["a=1", "a=2"]])
def test_what_is_no_pair_is_refused(pairs):
    with pytest.raises(CommandError, match=r"NAME=VALUE|twice"):
        parse_pairs(pairs)


def test_settings_are_grouped_by_routine_and_the_last_dot_divides():
    found = parse_settings(["camera.rate=30", "camera.mode=fast", "my.finder.gain=0.5"])
    assert found == {"camera": {"rate": 30, "mode": "fast"}, "my.finder": {"gain": 0.5}}


@pytest.mark.parametrize("text", ["rate=30", "camera.rate", ".rate=3", "camera.=3", "camera=a.b"])
def test_what_is_no_setting_is_refused(text):
    with pytest.raises(CommandError, match=r"ROUTINE\.PARAMETER=VALUE"):
        parse_settings([text])


def test_a_parameter_given_twice_is_refused():
    with pytest.raises(CommandError, match="twice"):
        parse_settings(["camera.rate=1", "camera.rate=2"])
