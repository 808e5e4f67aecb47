"""Parameters of an analysis are typed and checked, and their hash says what was in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipert2 import ParameterError, PipertError
from pipert2.patterns.capture.cbor import put
from pipert2.patterns.map_reduce.parameters import (
    BinaryParameter,
    BoolParameter,
    FloatParameter,
    IntParameter,
    ParameterSet,
    StrParameter,
    described,
    read_parameters,
    unknown_names,
)

ALL = [
    IntParameter("rows", 2),
    FloatParameter("gain", 1.5),
    StrParameter("title"),
    BoolParameter("on"),
    BinaryParameter("poni", b"\0x"),
]


def test_defaults_hold_where_nothing_is_given() -> None:
    assert ParameterSet(ALL).plain() == {"rows": 2, "gain": 1.5, "title": "", "on": False, "poni": b"\0x"}


def test_given_values_are_read_by_type() -> None:
    given = {"rows": b"3", "gain": b"2", "title": b"3", "on": b"True", "poni": b"\xff"}
    values = ParameterSet(ALL, given)
    assert values.plain() == {"rows": 3, "gain": 2.0, "title": "3", "on": True, "poni": b"\xff"}
    assert values["rows"].data == b"3"


@pytest.mark.parametrize(
    ("name", "data"), [("rows", b"abc"), ("rows", b"1.5"), ("gain", b"nan"), ("on", b"maybe"), ("title", b"\xff")]
)
def test_what_is_no_such_value_is_refused_with_name_and_type(name: str, data: bytes) -> None:
    with pytest.raises(ParameterError) as found:
        ParameterSet(ALL, {name: data})
    assert repr(name) in str(found.value)
    assert ParameterSet(ALL).descriptions[name].dtype in str(found.value)


def test_the_hash_depends_on_the_values_alone() -> None:
    two, three = ParameterSet(ALL), ParameterSet(ALL, {"rows": b"3"})
    assert two.hash != three.hash
    assert two.changed({"rows": 3}).hash == three.hash
    assert three.changed({"rows": 2}).hash == two.hash == ParameterSet(reversed(ALL)).hash


def test_a_changed_value_is_checked() -> None:
    with pytest.raises(ParameterError, match="whole number"):
        ParameterSet(ALL).changed({"rows": "x"})


def test_a_function_describes_itself_by_its_defaults() -> None:
    def roi(event: Any, till_x: int = 2, *, title: str = "roi", other: Any = None) -> None: ...

    assert described(roi) == [IntParameter("till_x", 2), StrParameter("title", "roi")]


def test_a_class_describes_itself_by_its_method() -> None:
    class Worker:
        @staticmethod
        def describe_parameters() -> list[Any]:
            return [IntParameter(name="till_x", default=2)]

    class Wrong:
        @staticmethod
        def describe_parameters() -> list[Any]:
            return ["till_x"]

    assert described(Worker) == [IntParameter("till_x", 2)]
    assert described(int) == []
    with pytest.raises(PipertError, match="IntParameter"):
        described(Wrong)


@pytest.mark.parametrize("content", [[{"name": "rows", "data": "3"}], {"rows": 3}, {"rows": "3"}])
def test_a_file_of_values_is_read(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "params.json"
    file.write_text(json.dumps(content))
    assert read_parameters(file) == {"rows": b"3"}


def test_a_file_of_cbor_holds_bytes(tmp_path: Path) -> None:
    file = tmp_path / "params.cbor"
    parts: list[Any] = []
    put([{"name": "poni", "data": b"\0\xff"}, {"name": "rows", "data": "3"}], parts, lambda other: other)
    whole = b"".join(parts)
    file.write_bytes(whole)
    assert read_parameters(file) == {"poni": b"\0\xff", "rows": b"3"}
    for length in range(1, len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(PipertError, match="damaged at byte"):
            read_parameters(file)


@pytest.mark.parametrize("text", [None, "{", "3", '[{"name": "rows"}]', '[["rows", 3]]'])
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "params.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(PipertError, match=r"params\.json"):
        read_parameters(file)


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    assert unknown_names(["row", "rows"], ALL) == ["the analysis has no parameter 'row': did you mean 'rows'?"]
