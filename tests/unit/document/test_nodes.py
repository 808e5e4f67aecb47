"""YAML text becomes plain values with places, within bounds."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pipert2.document.findings import Findings
from pipert2.document.nodes import MAX_BYTES, MAX_DEPTH, read_yaml


def read(text: str | bytes) -> Any:
    findings = Findings("x")
    value, _ = read_yaml(text if isinstance(text, bytes) else text.encode(), findings)
    assert not findings, findings.sorted()
    return value


def found(text: str | bytes) -> list[str]:
    findings = Findings("x")
    read_yaml(text if isinstance(text, bytes) else text.encode(), findings)
    return [f"{one.line}:{one.column}: {one.message}" for one in findings.sorted()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("2024-01-31", "2024-01-31"),
        ("1:30", "1:30"),
        ("'12'", "12"),
        ("!!str 12", "12"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert read(f"a: {text}") == {"a": value}
    assert type(read(f"a: {text}")["a"]) is type(value)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(read("a: .nan")["a"])


def test_anchors_and_merged_keys_are_written_out() -> None:
    value = read("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\nd: {<<: [{x: 7}, *a]}\n")
    assert value == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}, "d": {"x": 7, "y": 2}}
    assert value["a"] is not value["c"]


def test_places_are_found_for_keys_values_and_what_is_merged() -> None:
    findings = Findings("x")
    _, place = read_yaml(b"a: &a\n  x: 1\nb:\n  <<: *a\n  l: [1, 22]\n", findings)
    assert (place.at("b", "x").line, place.at("b", "x").column) == (2, 6)
    assert (place.key("b", "x").line, place.key("b", "x").column) == (2, 3)
    assert (place.at("b", "l", 1).line, place.at("b", "l", 1).column) == (5, 10)
    assert place.at("b", "nothing", "there") == place.at("b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\nb: 3\n", "2:2: this is not YAML: expected ',' or ']', but got ':' (while parsing a flow sequence)"),
        ("a: 1\n\tb: 2\n", "2:1: this is not YAML: found character '\\t' that cannot start any token"),
        ("a: *nowhere\n", "1:4: this is not YAML: found undefined alias 'nowhere'"),
        ("a: 1\n---\nb: 2\n", "2:1: this is not YAML: but found another document"),
        ("a: 1\nb: \x07\n", "2:4: this is not YAML: the character U+0007 is not allowed"),
        ("a: 1\nb: 'x\n", "3:1: this is not YAML: found unexpected end of stream"),
        ("", "1:1: the document is empty"),
        ("# only a comment\n", "1:1: the document is empty"),
        ("a: !!python/object/apply:os.system ['true']\n", "1:4: tags such as !!python/object/apply:os.system are not"),
        ("a: !mine 3\n", "1:4: tags such as !mine are not allowed here"),
        ("a: !!binary aGFsbG8=\n", "1:4: tags such as !!binary are not allowed here"),
        ("a: !!int x\n", "1:4: 'x' is not of the kind int"),
        ("a: 1\nb: 2\na: 3\n", "3:1: the key 'a' is here twice, first in line 1"),
        ("a: {1: 2}\n", "1:5: a key is a text, not 1: write it in quotes"),
        ("a: {[1]: 2}\n", "1:5: a key is a text, not [1]: write it in quotes"),
        ("a: &a\n  b: *a\n", "1:4: this contains itself by an alias"),
        ("a: &a\n  <<: *a\n", "1:4: this contains itself by an alias"),
        ("a:\n  <<: 3\n", "2:7: <<: takes a mapping, or a list of mappings"),
        ('a: "\\ud800"\n', "1:4: this text has half a character (a surrogate) in it"),
        ("a: " + "9" * 5000 + "\n", "1:4: '999"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    assert any(one.startswith(message) for one in found(text)), found(text)


def test_every_problem_is_said_not_just_the_first() -> None:
    assert [one.split(": ")[0] for one in found("a: !x 1\nb: {c: 1, c: 2}\n3: 4\n")] == ["1:4", "2:11", "3:1"]


def test_text_that_is_not_utf_8_is_said_with_its_place() -> None:
    assert found(b"a: 1\nb: caf\xe9\n") == ["2:7: this is not UTF-8 text"]


def test_an_escape_beyond_unicode_is_no_crash() -> None:
    assert found('a: "\\UFFFFFFFF"\n')[0].startswith("1:")


def test_a_byte_order_mark_is_no_problem() -> None:
    assert read(b"\xef\xbb\xbfa: 1\n") == {"a": 1}


def test_aliases_that_would_fill_the_memory_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert "more than 50000 values" in found("\n".join(lines))[0]


def test_merged_keys_that_would_take_for_ever_are_refused() -> None:
    lines = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 20)]
    assert "more than 50000 values" in found("\n".join(lines))[0]


def test_what_is_too_deep_is_refused() -> None:
    assert found("[" * 5000)[0].endswith(f"more than {MAX_DEPTH} levels inside one another")
    assert "more than" in found("\n".join("  " * n + "a:" for n in range(100)))[0]


def test_what_is_too_large_is_refused() -> None:
    assert found(b"#" * (MAX_BYTES + 1)) == ["0:0: the document is larger than 512 KiB"]
