"""A document survives being made a pipe and written again."""

from __future__ import annotations

import math
import string
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipert2.document import PipeDocument, build_pipe, document_of, dump_document, read_document
from pipert2.document.findings import Findings
from pipert2.document.nodes import read_yaml
from pipert2.document.structure import structured

names = st.one_of(
    st.text(string.ascii_letters, min_size=1, max_size=5),
    st.text(min_size=1, max_size=8).filter(lambda text: text.isascii() or _is_text(text)),
    st.sampled_from(
        ["no", "yes", "1e3", "0x1", "~", "null", "<<", "=", "- a", "a: b", "#x", "", " ", "2024-01-01", "*a"]
    ),
).filter(bool)


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


texts = st.text(max_size=30).filter(_is_text)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
transmitters = st.sampled_from(
    [
        None,
        "basic",
        "shared_memory",
        {"class": "shared_memory", "options": {"data_size_threshold": 9}},
        {"class": "tests.unit.document.parts:Mine", "options": {"level": 3}},
    ]
)
rules = st.fixed_dictionaries(
    {
        "lossless": st.sampled_from([None, False]),
        "capacity": st.sampled_from([None, 1, 7]),
        "data_transmitter": transmitters,
        "where": st.sampled_from([None, "tests.unit.document.parts:bright"]),
        "feedback": st.booleans(),
    }
)
triggers = st.sampled_from(
    [None, 10, "500 ms", "every 1h 30min", "hourly", "cron 0 0 * * *", "at start | daily after 10:00"]
)


@st.composite
def documents(draw: st.DrawFn) -> PipeDocument:
    """Pipes of one source that feeds any number of others, in up to three flows."""
    all_names = draw(st.lists(names, min_size=2, max_size=6, unique=True))
    routines: list[dict[str, Any]] = []
    for number, name in enumerate(all_names):
        if number == 0:
            options = {
                "fps": draw(st.floats(0.1, 100) | st.integers(1, 100)),
                "size": [draw(st.integers()), 4],
                "extra": draw(plain),
            }
            parameters = draw(st.sampled_from([{}, {"gain": 2}, {"gain": 0.5, "tint": "blue"}]))
            more = {"trigger": draw(triggers)}
            routines.append({"class": "Camera", "options": options, "parameters": parameters, "name": name, **more})
        else:
            more = {"concurrency": draw(st.none() | st.integers(1, 9)), "retries": draw(st.none() | st.integers(0, 9))}
            more |= {"service": draw(st.none() | st.booleans())}
            routines.append({"class": draw(st.sampled_from(["Show", "Outer.Inner", "note"])), "name": name, **more})
    for routine in routines:
        routine["class"] = f"tests.unit.document.parts:{routine['class']}"
    cut = draw(st.integers(1, len(routines)))
    parts = [part for part in (routines[:cut], routines[cut:]) if part]
    flow_names = draw(st.lists(names, min_size=len(parts), max_size=len(parts), unique=True))
    flows = {
        flow: {"auto_wire": False, "routines": part, "data_transmitter": draw(transmitters)}
        for flow, part in zip(flow_names, parts, strict=True)
    }
    flows[flow_names[-1]]["replicas"] = draw(st.none() | st.integers(1, 4)) if len(parts) > 1 else None
    flows[flow_names[0]]["depends_on"] = draw(st.sampled_from([[], flow_names[1:]]))
    wires = [{"source": all_names[0], "destinations": [end], **draw(rules)} for end in all_names[1:]]
    return PipeDocument.model_validate(
        {
            "name": draw(st.none() | names),
            "auto_pacing": draw(st.booleans()),
            "restart": draw(st.integers(0, 9) | st.just({"times": 1, "window": 2.5})),
            "hang_timeout": draw(st.none() | st.floats(0.1, 9)),
            "kill_timeout": draw(st.floats(0, 9)),
            "drain_timeout": draw(st.floats(0, 9)),
            "requires": draw(st.lists(names, max_size=2, unique=True)),
            "parameters": draw(st.dictionaries(texts, plain, max_size=2)),
            "network": {"max_queue_sizes": draw(st.integers(1, 9)), "timeout": draw(st.floats(0.1, 9))},
            "data_transmitter": draw(transmitters),
            "flows": flows,
            "wires": wires,
        }
    )


@given(documents())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_yaml_to_pipe_to_yaml_is_stable(document: PipeDocument) -> None:
    first = dump_document(document_of(build_pipe(document)))
    again = dump_document(document_of(build_pipe(read_document(first))))
    assert again == first


@given(documents())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_document_that_is_written_reads_as_the_same(document: PipeDocument) -> None:
    assert read_document(dump_document(document)) == document


@given(st.dictionaries(texts, plain, min_size=1, max_size=5))
@settings(max_examples=300, deadline=None)
def test_values_that_are_written_read_as_the_same(value: dict[str, Any]) -> None:
    document = PipeDocument.model_validate({"flows": {"a": {"routines": [{"class": "x", "options": value}]}}})
    text = dump_document(document)
    read = read_document(text).flows["a"].routines[0].options
    assert read == value
    assert repr(read) == repr(value)


@given(st.text(max_size=80) | st.text("{}[]:,-&*!<>|\n \"'#%@ab1\t", max_size=60))
@settings(max_examples=500, deadline=None)
def test_no_text_whatever_makes_the_reader_fail(text: str) -> None:
    findings = Findings("x")
    read_yaml(text.encode("utf-8", "surrogatepass"), findings)
    lines = sum(text.count(end) for end in "\n\r\x85\u2028\u2029") + 2
    assert all(finding.line <= lines for finding in findings.sorted())


keys = st.sampled_from(
    [
        "name",
        "flows",
        "wires",
        "routines",
        "class",
        "options",
        "source",
        "destinations",
        "restart",
        "times",
        "network",
        "data_transmitter",
        "autowire",
        "zzz",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["a", "parts:Camera", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=6,
)


@given(
    st.dictionaries(keys, anything)
    | st.fixed_dictionaries(
        {
            "flows": st.dictionaries(
                keys,
                st.fixed_dictionaries({"routines": st.lists(st.dictionaries(keys, anything, max_size=4), max_size=2)})
                | anything,
                max_size=2,
            ),
            "wires": st.lists(st.dictionaries(keys, anything, max_size=4), max_size=2),
        }
    )
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_data_of_any_shape_is_a_document_or_has_findings(data: dict[str, Any]) -> None:
    findings = Findings("x")
    value, place = read_yaml(yaml.safe_dump(data).encode(), findings)
    found = structured(value, place, findings)
    assert found is not None or findings
    assert all(finding.line > 0 for finding in findings.sorted())


@given(st.dictionaries(texts, st.text(max_size=20).filter(_is_text), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_texts_that_are_written_read_as_the_same_in_older_yaml_too(value: dict[str, str]) -> None:
    document = PipeDocument.model_validate({"flows": {"a": {"routines": [{"class": "x", "options": value}]}}})
    assert yaml.safe_load(dump_document(document))["flows"]["a"]["routines"][0]["options"] == value


def test_infinite_numbers_are_written() -> None:
    document = PipeDocument.model_validate({"flows": {"a": {"routines": [{"class": "x", "options": {"v": math.inf}}]}}})
    assert read_document(dump_document(document)) == document
