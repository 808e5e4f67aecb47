"""From documents to pipes, and everything that can be wrong on the way, with its place."""

from __future__ import annotations

import importlib.metadata
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipert2 import PipeBuildError, SharedMemoryTransmitter
from pipert2.document import DocumentError, build_pipe, check_document, load_pipe, read_document
from pipert2.document.graph_findings import ADVICE
from pipert2.graph import validation
from pipert2.runtime.triggers.triggers import Every
from tests.unit.document import parts
from tests.unit.document.conftest import Check, Load

CAMERA_AND_SHOW = """\
flows:
  one:
    routines:
      - class: parts:Camera
        options: {fps: 30, size: [3, 4], folder: /data}
        parameters: {gain: 2, tint: blue}
      - class: parts:Show
"""


@pytest.fixture
def _path() -> Iterator[None]:
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.startswith("documented_"):
            del sys.modules[name]


def routines_of(pipe: Any) -> dict[str, Any]:
    return {routine.name: routine for members in pipe.blueprint.flows.values() for routine in members}


# --- what it makes


def test_options_arrive_as_the_constructors_type_hints_say(load: Load) -> None:
    camera = routines_of(load(CAMERA_AND_SHOW))["Camera"]
    assert (camera.fps, camera.size, camera.folder) == (30.0, (3, 4), Path("/data"))
    assert type(camera.fps) is float


def test_parameters_are_set(load: Load) -> None:
    camera = routines_of(load(CAMERA_AND_SHOW))["Camera"]
    assert (camera.gain, camera.tint) == (2.0, parts.Colour.BLUE)


def test_pipe_options_wires_and_transmitters_arrive(load: Load) -> None:
    pipe = load("""\
        name: cams
        lossless: true
        auto_pacing: true
        restart: {times: 1, window: 9}
        hang_timeout: 5
        kill_timeout: 0
        network: {max_queue_sizes: 3, timeout: 2}
        data_transmitter: {class: shared_memory, options: {data_size_threshold: 7}}
        flows:
          one:
            auto_wire: false
            routines: [{class: parts:Camera, name: a}, {class: parts:Show, name: b}, {class: parts:Show, name: c}]
        wires:
          - {source: a, destinations: [b, c], lossless: false, capacity: 2, data_transmitter: basic}
        """)
    assert pipe.name == "cams"
    assert (pipe.blueprint.lossless, pipe.auto_pacing) == (True, True)
    assert (pipe.settings.restart.times, pipe.settings.restart.window, pipe.settings.restart.backoff) == (1, 9, 0.1)
    assert (pipe.settings.hang_timeout, pipe.settings.kill_timeout) == (5, 0)
    assert (pipe.blueprint.network.max_queue_sizes, pipe.blueprint.network.timeout) == (3, 2)
    assert isinstance(pipe.blueprint.data_transmitter, SharedMemoryTransmitter)
    assert pipe.blueprint.data_transmitter.data_size_threshold == 7
    (wire,) = pipe.blueprint.wires
    assert [end.name for end in wire.destinations] == ["b", "c"]
    assert (wire.lossless, wire.capacity, repr(wire.data_transmitter)) == (False, 2, "BasicTransmitter()")


def test_a_pipe_without_a_name_takes_that_of_its_file(load: Load) -> None:
    assert load(CAMERA_AND_SHOW).name == "pipe"


def test_a_routine_without_a_name_takes_that_of_its_class_or_function(load: Load) -> None:
    pipe = load("flows: {a: {routines: [{class: parts:numbers}, {class: parts:double}, {class: parts:Show}]}}")
    assert list(routines_of(pipe)) == ["numbers", "twice", "Show"]


def test_a_class_whose_constructor_takes_no_name_gets_one_all_the_same(load: Load) -> None:
    pipe = load("""\
        flows:
          a:
            routines:
              - {class: parts:Needy, name: camera, options: {url: x}}
              - {class: parts:Show}
        """)
    assert routines_of(pipe)["camera"].url == "x"


def test_each_use_of_a_function_routine_is_an_object_of_its_own(load: Load) -> None:
    before = parts.double.flow_name
    found = routines_of(
        load("""\
            flows:
              a:
                routines:
                  - class: parts:numbers
                  - {class: parts:double, name: first}
                  - {class: parts:double, name: second}
                  - class: parts:note
            """)
    )
    assert found["first"] is not found["second"]
    assert parts.double.name == "twice"
    assert parts.double.flow_name == before


def test_nested_classes_and_classes_open_to_any_option_can_be_named(load: Load) -> None:
    pipe = load("""\
        flows:
          a:
            routines:
              - class: parts:Camera
              - {class: parts:Free, options: {x: 1, y: {z: [2]}}}
              - class: parts:Outer.Inner
        """)
    assert routines_of(pipe)["Free"].kwargs == {"x": 1, "y": {"z": [2]}}


def test_two_uses_of_an_anchor_share_nothing(load: Load) -> None:
    pipe = load("""\
        flows:
          a:
            auto_wire: false
            routines:
              - {class: parts:Camera, name: a, options: &o {tags: [x]}}
              - {class: parts:Camera, name: b, options: *o}
              - {class: parts:Show, name: c}
        wires: [{source: a, destinations: c}, {source: b, destinations: c}]
        """)
    found = routines_of(pipe)
    found["a"].tags.append("y")
    assert found["b"].tags == ["x"]


@pytest.mark.usefixtures("_path")
def test_a_file_beside_the_document_can_be_named(tmp_path: Path, load: Load) -> None:
    (tmp_path / "documented_routines.py").write_text(
        "from pipert2 import source\n@source\ndef one():\n    yield 1\n", "utf-8"
    )
    pipe = load("flows: {a: {routines: [{class: './documented_routines.py:one'}, {class: parts:Show}]}}")
    assert list(routines_of(pipe)) == ["one", "Show"]


def test_a_plugin_can_be_named(monkeypatch: pytest.MonkeyPatch, load: Load, check: Check) -> None:
    point = importlib.metadata.EntryPoint("camera", "parts:Camera", "pipert2.routines")
    broken = importlib.metadata.EntryPoint("broken", "nowhere_at_all:Camera", "pipert2.routines")
    points = importlib.metadata.EntryPoints([point, broken])
    monkeypatch.setattr("pipert2.document.classes.entry_points", lambda group: points.select(group=group))
    assert list(routines_of(load("flows: {a: {routines: [{class: camera}, {class: parts:Show}]}}"))) == [
        "Camera",
        "Show",
    ]
    found = check("flows: {a: {routines: [{class: camra}, {class: broken}]}}")
    assert found[0].startswith("1:32: 'camra' is neither module:Class nor ./file.py:Class")
    assert found[0].endswith("did you mean 'camera'?")
    assert found[1].startswith("1:48: plugin 'broken' (nowhere_at_all:Camera) cannot be imported: ModuleNotFoundError")


def test_a_loaded_pipe_runs(load: Load, tmp_path: Path) -> None:
    text = """\
        lossless: true
        flows: {a: {routines: [{class: parts:numbers}, {class: parts:double}, {class: parts:note}]}}
        """
    load(text)
    summary = load_pipe(tmp_path / "pipe.yaml", inline=True).run()
    assert summary.ok
    assert next(routine for routine in summary.routines if routine.name == "note").received == 3


# --- classes that are not there


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("parts:Camra", "parts has no 'Camra': did you mean 'Camera'?"),
        ("parts:Outer.Iner", "Outer has no 'Iner': did you mean 'Inner'?"),
        ("parts:plain", "parts:plain is no routine: make the function one with @source, @middle"),
        ("parts:show", "parts:show is no routine: it is an instance, name its class Show"),
        ("parts:Colour", "parts:Colour is no routine: the class is not derived from Routine"),
        ("parts:NUMBER", "parts:NUMBER is no routine: it is a int"),
        ("tests.unit.document.prts:Show", "there is no module 'tests.unit.document.prts': did you mean 'parts'?"),
        ("jsn:Show", "there is no module 'jsn': did you mean 'json'?"),
        ("json.tool.deeper:Show", "there is no module 'json.tool.deeper'"),
        ("not a module:Show", "'not a module' is no module's name: write module:Class or ./file.py:Class"),
        (".relative:Show", "'.relative' is no module's name"),
        (":Show", "':Show' names no class: write module:Class or ./file.py:Class"),
        ("json:", "'json:' names no class: write module:Class or ./file.py:Class"),
        ("Show", "'Show' is neither module:Class nor ./file.py:Class, and no installed plugin offers it"),
        ("./nowhere.py:Show", "there is no file './nowhere.py' in "),
        ("os:abc.ABC", "os:abc.ABC is no routine: the class is not derived from Routine"),
        ("pipert2:MiddleRoutine", "MiddleRoutine cannot be made with these options: TypeError: Can't instantiate"),
    ],
)
def test_a_class_that_is_not_there_is_found_where_it_is_named(check: Check, reference: str, message: str) -> None:
    found = check(f"flows:\n  a:\n    routines:\n      - class: '{reference}'\n      - class: parts:Anything\n")
    assert any(one.startswith(f"4:16: {message}") for one in found), found


@pytest.mark.usefixtures("_path")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero ({file}, line 1)"),
        ("import nowhere_at_all\n", "ModuleNotFoundError: No module named 'nowhere_at_all' ({file}, line 1)"),
        ("x = (\n", "SyntaxError: '(' was never closed"),
        ("raise SystemExit(3)\n", "SystemExit: 3 ({file}, line 1)"),
    ],
)
def test_a_file_that_cannot_be_imported_is_said_once_with_the_reason(
    tmp_path: Path, check: Check, text: str, reason: str
) -> None:
    file = tmp_path / "documented_broken.py"
    file.write_text(text, "utf-8")
    one = "{class: './documented_broken.py:Camera', name: a}"
    found = check(f"flows: {{a: {{routines: [{one}, {one.replace('name: a', 'name: b')}]}}}}")
    assert len(found) == 1, found
    assert "'./documented_broken.py' cannot be imported: " + reason.format(file=file) in found[0]


@pytest.mark.usefixtures("_path")
def test_a_file_that_cannot_be_told_from_another_module_is_refused(tmp_path: Path, check: Check) -> None:
    for name in ("json.py", "my-routines.py"):
        (tmp_path / name).write_text("", "utf-8")
    found = check("flows: {a: {routines: [{class: './json.py:a'}, {class: './my-routines.py:b'}]}}")
    assert any(
        re.match(r"1:32: './json.py' cannot be imported: 'json' is also the name of .*; rename", one) for one in found
    )
    assert "1:56: './my-routines.py' cannot be imported: rename it to letters, digits and _ only" in found


def test_a_module_beside_the_document_is_offered(tmp_path: Path, check: Check) -> None:
    (tmp_path / "documented_here.py").write_text("", "utf-8")
    found = check("flows: {a: {routines: [{class: 'documented_here:x'}]}}")
    assert "1:32: there is no module 'documented_here': did you mean ./documented_here.py:x?" in found


# --- options and parameters that do not fit


@pytest.mark.parametrize(
    ("routine", "where", "message"),
    [
        ("{class: parts:Camera, options: {fsp: 3}}", "fsp", "Camera has no option 'fsp': did you mean 'fps'?"),
        ("{class: parts:Camera, options: {zzz: 3}}", "zzz", "Camera has no option 'zzz': known are fps, size, folder"),
        ("{class: parts:Camera, options: {fps: fast}}", "fast", "option 'fps' of Camera takes float, not 'fast'"),
        ("{class: parts:Camera, options: {fps: true}}", "true", "option 'fps' of Camera takes float, not True"),
        ("{class: parts:Camera, options: {size: [1, 2, 3]}}", "[1", "option 'size' of Camera takes tuple[int, int]"),
        (
            "{class: parts:Camera, options: {tags: [1]}}",
            "[1",
            "option 'tags' of Camera takes list[str] | None, not [1]",
        ),
        ("{class: parts:Camera, options: {fps: -1}}", "{fps", "Camera cannot be made with these options: ValueError"),
        ("{class: parts:Camera, options: {name: x}}", "name", "write 'name' beside options, not among them"),
        ("{class: parts:Needy}", "parts", "Needy needs the option 'url'"),
        ("{class: parts:Needy, options: {ulr: x}}", "ulr", "Needy has no option 'ulr': did you mean 'url'?"),
        ("{class: parts:numbers, options: {a: 1}}", "options", "parts:numbers is a function routine, it takes no opt"),
        (
            "{class: parts:Camera, parameters: {gian: 1}}",
            "gian",
            "Camera has no parameter 'gian': did you mean 'gain'?",
        ),
        ("{class: parts:Camera, parameters: {gain: 9}}", "9", "parameter 'gain' of 'Camera' is at most 8"),
        (
            "{class: parts:Camera, parameters: {tint: green}}",
            "green",
            "parameter 'tint' of 'Camera' takes one of 'red'",
        ),
        ("{class: parts:numbers, parameters: {a: 1}}", "a: 1", "FunctionSource has no parameter 'a': it has none"),
    ],
)
def test_an_option_that_does_not_fit_is_found_where_it_stands(
    check: Check, routine: str, where: str, message: str
) -> None:
    line = f"      - {routine}"
    found = check(f"flows:\n  a:\n    routines:\n{line}\n      - class: parts:Show\n")
    assert len(found) == 1, found
    assert found[0].startswith(f"4:{line.index(where) + 1}: {message}"), found


def test_parameters_are_checked_even_if_the_options_are_wrong(check: Check) -> None:
    found = check("""\
        flows:
          a:
            routines:
              - class: parts:Camera
                options: {fps: fast}
                parameters: {gain: 9}
              - class: parts:Show
        """)
    assert [one.split(": ")[0] for one in found] == ["5:24", "6:28"]


@pytest.mark.parametrize(
    ("transmitter", "finding"),
    [
        ("basik", "1:19: there is no data transmitter 'basik': did you mean 'basic'?"),
        ("zzz", "1:19: there is no data transmitter 'zzz': it is basic, shared_memory or module:Class"),
        ("parts:Mien", "1:19: parts has no 'Mien': did you mean 'Mine'?"),
        ("parts:Show", "1:19: parts:Show is no data transmitter: name a subclass of DataTransm"),
        ("{class: basic, options: {a: 1}}", "1:44: BasicTransmitter has no option 'a': it has none"),
        ("{class: shared_memory, options: {data_size: 1}}", "1:52: SharedMemoryTransmitter has no option 'data_size':"),
        (
            "{class: shared_memory, options: {data_size_threshold: -1}}",
            "1:51: SharedMemoryTransmitter cannot be made with these options: ValueError: data_size_threshold",
        ),
    ],
)
def test_a_transmitter_that_cannot_be_made_is_found_where_it_stands(
    check: Check, transmitter: str, finding: str
) -> None:
    found = check(f"data_transmitter: {transmitter}\n{CAMERA_AND_SHOW}")
    assert len(found) == 1, found
    assert found[0].startswith(finding), found


# --- the graph


def test_a_wire_to_nowhere_is_found_where_it_names_it(check: Check) -> None:
    found = check("""\
        flows:
          a:
            auto_wire: false
            routines: [{class: parts:Camera, name: cam}, {class: parts:Show, name: show}]
        wires:
          - source: cma
            destinations: [show, zzzzzzz]
        """)
    assert found == [
        "6:13: there is no routine 'cma': did you mean 'cam'?",
        "7:26: there is no routine 'zzzzzzz': there are 'cam', 'show'",
    ]


@pytest.mark.parametrize(
    ("routines", "wires", "finding"),
    [
        ("[{class: parts:Camera, name: a}]", "", "4:44: Camera 'a' is not linked to anything: give its flow auto_wire"),
        (
            "[{class: parts:Camera, name: a}, {class: parts:Camera, name: b}]",
            "wires: [{source: a, destinations: b}]",
            "4:76: Camera 'b' is a source but a wire leads into it",
        ),
        (
            "[{class: parts:Camera, name: a}, {class: parts:Show, name: a}]",
            "wires: [{source: a, destinations: a}]",
            "4:74: 2 routines are named 'a': names are unique within a pipe",
        ),
        (
            "[{class: parts:Camera, name: a}, {class: parts:Read, name: b}]",
            "wires: [{source: a, destinations: b}]",
            "5:35: 'a' returns int but 'b' takes str: mend one of the two type hints",
        ),
        (
            "[{class: parts:Camera, name: a}, {class: parts:Show, name: b}]",
            "wires: [{source: a, destinations: b}, {source: a, destinations: [b]}]",
            "5:66: 'a' is linked to 'b' 2 times: keep one of these wires",
        ),
        (
            "[{class: parts:Anything, name: a}]",
            "wires: [{source: a, destinations: [a]}]",
            "5:36: 'a' is linked to itself: a routine cannot be its own destination",
        ),
        (
            "[{class: parts:Anything, name: a}, {class: parts:Anything, name: b}]",
            "wires: [{source: a, destinations: b}, {source: b, destinations: a}]\nlossless: true",
            "5:35: lossless wires form a cycle (a -> b -> a) that would stop for ever once full: make one of them "
            "real-time (lossless: false)",
        ),
    ],
)
def test_what_is_wrong_with_the_graph_is_found_at_the_routine_or_wire(
    check: Check, routines: str, wires: str, finding: str
) -> None:
    found = check(f"flows:\n  f:\n    auto_wire: false\n    routines: {routines}\n{wires}\n")
    assert any(one.startswith(finding) for one in found), found


def test_what_a_flows_own_wires_get_wrong_is_found_in_the_flow(check: Check) -> None:
    assert check("""\
        flows:
          f:
            routines:
              - class: parts:Camera
              - class: parts:Read
        """) == [
        "4:9: 'Camera' returns int but 'Read' takes str: mend one of the two type hints, or put a routine between them"
    ]


def test_the_advice_that_is_put_in_other_words_is_what_the_validation_gives() -> None:
    text = Path(validation.__file__).read_text("utf-8")
    assert [advice for advice in ADVICE if advice not in text] == []


def test_routines_that_cannot_be_made_hide_nothing_about_the_others(check: Check) -> None:
    found = check("""\
        flows:
          a:
            routines:
              - {class: parts:Camra, name: cam}
              - {class: parts:Show, name: show}
          b:
            routines:
              - {class: parts:Camera, name: lonely, options: {fps: x}}
        """)
    assert found == [
        "4:17: parts has no 'Camra': did you mean 'Camera'?",
        "8:37: Camera 'lonely' is not linked to anything: give its flow auto_wire: true, or name it in wires",
        "8:60: option 'fps' of Camera takes float, not 'x'",
    ]


# --- the ways in


def test_load_raises_everything_at_once(load: Load) -> None:
    with pytest.raises(DocumentError) as caught:
        load("losless: true\n" + CAMERA_AND_SHOW.replace("fps", "fsp"))
    assert [(finding.line, finding.column) for finding in caught.value.findings] == [(1, 1), (6, 19)]
    assert isinstance(caught.value, PipeBuildError)
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 problems:"
    assert re.fullmatch(r"  .*pipe\.yaml:1:1: the document has no key 'losless': did you mean 'lossless'\?", lines[1])


def test_the_error_survives_pickling(load: Load) -> None:
    with pytest.raises(DocumentError) as caught:
        load("losless: true\n" + CAMERA_AND_SHOW)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.findings, str(again)) == (caught.value.findings, str(caught.value))


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.yaml"
    assert list(map(str, check_document(missing))) == [
        f"{missing}: the document cannot be read: No such file or directory"
    ]
    assert list(map(str, check_document(tmp_path))) == [f"{tmp_path}: the document cannot be read: Is a directory"]
    with pytest.raises(DocumentError, match="cannot be read"):
        load_pipe(missing)


def test_a_document_can_be_read_from_a_text(tmp_path: Path) -> None:
    text = CAMERA_AND_SHOW.replace("parts:", "parts:")
    document = read_document(text)
    (tmp_path / "x.yaml").write_text(text, "utf-8")
    assert read_document(tmp_path / "x.yaml") == read_document(str(tmp_path / "x.yaml")) == document
    assert list(routines_of(build_pipe(document))) == ["Camera", "Show"]
    with pytest.raises(DocumentError, match=r"<text>:1:1: "):
        read_document("losless: true\n" + text)


def test_a_document_in_memory_that_does_not_fit_is_refused_as_well() -> None:
    document = read_document("flows:\n  a: {routines: [{class: nowhere_at_all:X}]}\n")
    with pytest.raises(DocumentError, match="<document>: there is no module 'nowhere_at_all'"):
        build_pipe(document)


def test_a_document_that_is_checked_makes_no_store(tmp_path: Path, check: Check) -> None:
    assert check("store: run.db\nflows: {f: {routines: [{class: parts:Camera}, {class: parts:Show}]}}\n") == []
    assert not (tmp_path / "run.db").exists()


def test_what_a_pipe_waits_for_and_keeps_arrives(tmp_path: Path, load: Load) -> None:
    pipe = load("""\
        lossless: true
        drain_timeout: 9
        store: run.db
        config: .
        requires: workload
        parameters: {workload: 0.01, places: [north]}
        flows:
          first:
            routines: [{class: parts:Camera, name: a, max_in_flight: 3, trigger: every 10 s}]
          then:
            replicas: 2
            depends_on: first
            routines:
              - {class: parts:Anything, name: b, concurrency: 4, retries: 2}
              - {class: parts:Anything, name: c, service: true}
        wires:
          - {source: a, destinations: b, where: "parts:bright"}
          - {source: c, destinations: b, feedback: true}
        """)
    assert pipe.store is not None
    assert Path(pipe.store.path) == tmp_path / "run.db"
    pipe.store.close()
    assert pipe.config_folder == tmp_path / "."
    assert (pipe.requires, pipe.shared_parameters) == (("workload",), {"workload": 0.01, "places": ["north"]})
    assert (pipe.replicas, pipe.depends_on) == ({"then": 2}, {"then": ("first",)})
    a, b, c = (pipe.routine(name) for name in "abc")
    assert (a.max_in_flight, a.trigger) == (3, Every(10))
    assert (b.concurrency, b.retries, b.service, c.service) == (4, 2, False, True)
    assert {(wire.source.name, wire.where, wire.feedback) for wire in pipe.wires} == {
        ("a", parts.bright, False),
        ("b", None, False),
        ("c", None, True),
    }


@pytest.mark.parametrize(
    ("flow", "routine", "wire", "finding"),
    [
        ("replicas: 0", "", "", "3:15: replicas is at least 1, not 0"),
        ("replicas: 100000", "", "", "3:15: replicas is at most "),
        ("replicas: true", "", "", "3:15: replicas takes a whole number, not true"),
        ("depends_on: [g, ff]", "", "", "3:21: there is no flow 'ff': did you mean 'f'?"),
        ("depends_on: f", "", "", "3:5: flows wait for one another in a circle (f -> f)"),
        ("depends_on: {f: 1}", "", "", "3:17: depends_on takes a list"),
        ("depnds_on: g", "", "", "3:5: a flow has no key 'depnds_on': did you mean 'depends_on'?"),
        ("", "concurrency: 0", "", "5:53: concurrency is at least 1, not 0"),
        ("", "retries: many", "", "5:49: retries takes a whole number, not 'many'"),
        ("", "service: 1", "", "5:49: service takes true or false, not 1"),
        ("", "max_in_flight: 3", "", "max_in_flight needs acknowledgements"),
        ("", "trigger: every 10 elephants", "", "5:49: a: 'trigger' is "),
        ("", "trigger: {a: 1}", "", "5:49: a: 'trigger' is "),
        ("", "", "where: parts:dark", "8:41: parts has no 'dark'"),
        ("", "", "where: parts:Camera", "8:41: parts:Camera is no function of the data but a class"),
        ("", "", "where: bright", "8:41: 'bright' is neither module:Class"),
        ("", "", "feedback: maybe", "8:44: feedback takes true or false, not 'maybe'"),
    ],
)
def test_what_is_wrong_with_work_options_is_found_where_it_stands(
    check: Check, flow: str, routine: str, wire: str, finding: str
) -> None:
    found = check(
        "flows:\n  f:\n"
        f"    {flow or 'auto_wire: true'}\n"
        "    routines:\n"
        f"      - {{class: parts:Camera, name: a, {routine or 'options: {}'}}}\n"
        "  g: {routines: [{class: parts:Show, name: b}]}\n"
        "wires:\n"
        f"  - {{source: a, destinations: b, {wire or 'lossless: false'}}}\n"
    )
    assert any(finding in one for one in found), found
    assert len(found) == 1


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("requires: {a: 1}", "1:11: requires takes a list"),
        ("parameters: [a]", "1:13: parameters takes keys with values"),
        ("store: 3", "1:8: store takes a text, not 3"),
        ("config: nowhere", "1:9: there is no folder 'nowhere' in "),
        ("store: nowhere/run.db", "1:8: the store 'nowhere/run.db' cannot be: there is no folder "),
        ("store: .", "1:8: the store '.' cannot be: it is a folder"),
        ("drain_timeout: -1", "1:16: drain_timeout is at least 0, not -1"),
    ],
)
def test_what_is_wrong_with_the_pipes_own_keys_is_found(check: Check, line: str, finding: str) -> None:
    text = f"{line}\nflows:\n  f:\n    routines: [{{class: parts:Camera, name: a}}, {{class: parts:Show, name: b}}]\n"
    (found,) = check(text)
    assert found.startswith(finding)
