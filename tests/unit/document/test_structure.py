"""Keys and types of a document, each mistake with its place."""

from __future__ import annotations

import jsonschema_rs
import pytest

from pipert2.document import document_schema
from tests.unit.document.conftest import Check

HEAD = """\
flows:
  one:
    routines:
      - class: parts:Camera
      - class: parts:Show
"""


def test_a_document_without_mistakes_has_no_findings(check: Check) -> None:
    assert check(HEAD) == []


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("losless: true", "6:1: the document has no key 'losless': did you mean 'lossless'?"),
        (
            "zzz: true",
            "6:1: the document has no key 'zzz': known are name, lossless, auto_pacing, restart, hang_timeout",
        ),
        ("lossless: yes", "6:11: lossless takes true or false, not 'yes'"),
        ("auto_pacing: 1", "6:14: auto_pacing takes true or false, not 1"),
        ("name: 5", "6:7: name takes a text, not 5"),
        ("name: ''", "6:7: name is a text that is not empty, not ''"),
        ("restart: often", "6:10: restart takes a whole number, not 'often'"),
        ("restart: -1", "6:10: restart is at least 0, not -1"),
        ("restart: {times: 1.5}", "6:18: restart takes a whole number, not 1.5"),
        ("restart: {window: 0}", "6:19: window is above 0, not 0"),
        ("restart: {windw: 3}", "6:11: restart has no key 'windw': did you mean 'window'?"),
        ("hang_timeout: 0", "6:15: hang_timeout is above 0, not 0"),
        ("hang_timeout: .nan", "6:15: hang_timeout takes a finite number, not nan"),
        ("kill_timeout: -0.5", "6:15: kill_timeout is at least 0, not -0.5"),
        ("kill_timeout: soon", "6:15: kill_timeout takes a number, not 'soon'"),
        ("network: 3", "6:10: network takes keys with values, not 3"),
        ("network: {max_queue_sizes: 0}", "6:28: max_queue_sizes is at least 1, not 0"),
        ("network: {timeout: 0}", "6:20: timeout is above 0, not 0"),
        ("data_transmitter: 3", "6:19: data_transmitter takes a text, not 3"),
        ("data_transmitter: {options: {}}", "6:19: a data transmitter needs the key 'class'"),
        ("wires: 3", "6:8: wires takes a list, not 3"),
        ("wires: [3]", "6:9: an entry of wires takes keys with values, not 3"),
        ("wires: [{source: Camera}]", "6:9: a wire needs the key 'destinations'"),
        ("wires: [{source: Camera, destinations: []}]", "6:40: destinations has at least one entry, not []"),
        ("wires: [{source: Camera, destinations: [3]}]", "6:41: an entry of destinations takes a text, not 3"),
        ("wires: [{source: Camera, destinations: Show, capacity: 0}]", "6:56: capacity is at least 1, not 0"),
        ("wires: [{source: Camera, destinations: Show, losless: true}]", "6:46: a wire has no key 'losless': did you"),
    ],
)
def test_a_wrong_key_or_value_is_found_where_it_stands(check: Check, line: str, finding: str) -> None:
    assert any(one.startswith(finding) for one in check(HEAD + line + "\n")), check(HEAD + line + "\n")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("- 1\n", "1:1: a document is a mapping with the key 'flows', see pipert2 validate --schema"),
        ("name: x\n", "1:1: the document needs the key 'flows'"),
        ("flows:\n", "1:7: the document needs the key 'flows'"),
        ("flows: {}\n", "1:8: flows has at least one entry, not {}"),
        ("flows: 3\n", "1:8: flows takes keys with values, not 3"),
        ("flows:\n  one: 3\n", "2:8: flow 'one' takes keys with values, not 3"),
        ("flows:\n  one: {}\n", "2:8: a flow needs the key 'routines'"),
        ("flows:\n  one: {routines: []}\n", "2:19: routines has at least one entry, not []"),
        ("flows:\n  '': {routines: []}\n", "2:3: a flow's name is a text of 1 to 200 characters, not ''"),
        ("flows:\n  one: {routines: [parts:Show]}\n", "2:20: an entry of routines takes keys with values"),
        ("flows:\n  one: {routines: [{name: x}]}\n", "2:20: a routine needs the key 'class'"),
        ("flows:\n  one: {routines: [{class: 3}]}\n", "2:28: class takes a text, not 3"),
        ("flows:\n  one: {routines: [{class: x, options: [1]}]}\n", "2:40: options takes keys with values, not [1]"),
        ("flows:\n  one: {routine: [{class: x}]}\n", "2:9: a flow has no key 'routine': did you mean 'routines'?"),
    ],
)
def test_a_document_of_another_shape_is_found_where_it_differs(check: Check, text: str, finding: str) -> None:
    assert any(one.startswith(finding) for one in check(text)), check(text)


def test_a_key_without_a_value_is_one_left_out(check: Check) -> None:
    assert check(HEAD + "wires:\nname:\nhang_timeout:\nnetwork:\n") == []


def test_mistakes_in_keys_hide_nothing_further_on(check: Check) -> None:
    found = check("""\
        losless: 3
        flows:
          one:
            routines:
              - class: parts:Camara
              - class: parts:Show
                nam: show
              - 7
          two: []
        """)
    assert found == [
        "1:1: the document has no key 'losless': did you mean 'lossless'?",
        "1:10: lossless takes true or false, not 3",
        "5:16: parts has no 'Camara': did you mean 'Camera'?",
        "7:9: a routine has no key 'nam': did you mean 'name'?",
        "8:9: an entry of routines takes keys with values, not 7",
        "9:8: flow 'two' takes keys with values, not []",
    ]


def test_a_key_that_was_misspelt_is_taken_for_what_it_means_further_on(check: Check) -> None:
    found = check("""\
        flows:
          one:
            autowire: false
            routines:
              - class: parts:Camera
              - class: parts:Show
        wirez:
          - source: Camera
            destinations: Show
        """)
    assert found == [
        "3:5: a flow has no key 'autowire': did you mean 'auto_wire'?",
        "7:1: the document has no key 'wirez': did you mean 'wires'?",
    ]


def test_the_schema_takes_what_the_reader_takes() -> None:
    schema = jsonschema_rs.validator_for(document_schema())
    full = {
        "name": "x",
        "restart": 3,
        "network": {"timeout": 2},
        "data_transmitter": {"class": "shared_memory", "options": {"data_size_threshold": 1}},
        "flows": {"a": {"routines": [{"class": "m:C", "options": {"x": [1]}}], "data_transmitter": "basic"}},
        "wires": [{"source": "a", "destinations": "b"}, {"source": "a", "destinations": ["b"], "lossless": True}],
    }
    assert schema.is_valid(full)
    assert schema.is_valid({**full, "restart": {"times": 1, "window": 5}})
    assert not schema.is_valid({**full, "restart": "often"})
    assert not schema.is_valid({**full, "losless": True})
    assert not schema.is_valid({"name": "x"})
