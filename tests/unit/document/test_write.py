"""From pipes to documents and YAML, and what cannot be written."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipert2 import (
    BasicTransmitter,
    Pipe,
    QueueNetwork,
    Restart,
    SharedMemoryTransmitter,
    Wire,
    destination,
    source,
)
from pipert2.document import UnwritablePipeError, document_of, dump_document
from pipert2.runtime.triggers.triggers import Cron, Every
from tests.unit.document.parts import (
    Camera,
    Colour,
    Free,
    Judge,
    Mine,
    Needy,
    Outer,
    Show,
    bright,
    double,
    eager,
    note,
    numbers,
)


def written(pipe: Pipe) -> Any:
    return yaml.safe_load(dump_document(document_of(pipe)))


def problems_of(*routines: Any) -> tuple[str, ...]:
    pipe = Pipe("p")
    pipe.create_flow("a", True, *routines)
    with pytest.raises(UnwritablePipeError) as caught:
        document_of(pipe)
    return caught.value.problems


def test_a_pipe_is_written_with_all_that_differs_from_what_is_usual() -> None:
    camera = Camera(fps=30, size=(3, 4), name="cam", folder=Path("/data"), tags=["x"])
    camera.gain, camera.tint = 2, Colour.BLUE
    show, other = Show("show"), Outer.Inner("other")
    pipe = Pipe(
        "cams",
        lossless=True,
        auto_pacing_mechanism=True,
        restart=Restart(1, window=9),
        hang_timeout=5,
        kill_timeout=1,
        network=QueueNetwork(max_queue_sizes=3),
        data_transmitter=SharedMemoryTransmitter(7),
    )
    pipe.create_flow("a", True, camera, double, show, data_transmitter=SharedMemoryTransmitter())
    pipe.create_flow("b", False, other)
    pipe.link(Wire(camera, (other,), Mine(level=2), lossless=False, capacity=4))
    module = "tests.unit.document.parts"
    assert dump_document(document_of(pipe)) == (
        f"""\
name: cams
lossless: true
auto_pacing: true
restart:
  times: 1
  window: 9.0
hang_timeout: 5.0
kill_timeout: 1.0
network:
  max_queue_sizes: 3
data_transmitter:
  class: shared_memory
  options:
    data_size_threshold: 7
flows:
  a:
    data_transmitter: shared_memory
    routines:
      - class: {module}:Camera
        name: cam
        options:
          fps: 30.0
          size: [3, 4]
          folder: /data
          tags: [x]
        parameters:
          gain: 2.0
          tint: blue
      - class: {module}:double
        name: twice
      - class: {module}:Show
        name: show
  b:
    routines:
      - class: {module}:Outer.Inner
        name: other
wires:
  - source: cam
    destinations: [other]
    lossless: false
    capacity: 4
    data_transmitter:
      class: {module}:Mine
      options:
        level: 2
"""
    )


def test_a_restart_rule_that_is_a_number_is_written_as_one() -> None:
    pipe = Pipe("p", restart=5)
    pipe.create_flow("a", True, Camera(name="c"), Show("s"))
    assert written(pipe)["restart"] == 5


def test_arguments_given_by_position_are_written_by_name() -> None:
    pipe = Pipe("p")
    pipe.create_flow("a", True, Camera(30.0, (1, 2), "cam"), Free(x=1), Show("s"))
    options = [routine.get("options") for routine in written(pipe)["flows"]["a"]["routines"]]
    assert options == [{"fps": 30.0, "size": [1, 2]}, {"x": 1}, None]


def test_names_that_were_made_up_are_written() -> None:
    show = Show()
    pipe = Pipe("p")
    pipe.create_flow("a", True, Needy(url="x"), show)
    assert written(pipe)["flows"]["a"]["routines"][1]["name"] == show.name


def test_a_flow_whose_wires_are_not_the_usual_ones_is_written_with_its_wires() -> None:
    camera, one, two = Camera(name="c"), Show("one"), Show("two")
    pipe = Pipe("p")
    pipe.create_flow("a", False, camera, one, two)
    pipe.link(Wire(camera, (one, two)))
    found = written(pipe)
    assert found["flows"]["a"]["auto_wire"] is False
    assert found["wires"] == [{"source": "c", "destinations": ["one", "two"]}]


def test_wires_made_by_hand_that_are_the_usual_ones_are_written_as_auto_wire() -> None:
    camera, show = Camera(name="c"), Show("s")
    pipe = Pipe("p")
    pipe.create_flow("a", False, camera, show)
    pipe.link(Wire(camera, show, BasicTransmitter()))
    found = written(pipe)
    assert "auto_wire" not in found["flows"]["a"]
    assert found["flows"]["a"]["data_transmitter"] == "basic"
    assert "wires" not in found


def test_a_pipe_is_written_as_it_is_wired_now() -> None:
    camera, show, other = Camera(name="c"), Show("s"), Show("o")
    pipe = Pipe("p")
    pipe.create_flow("a", False, camera, show, other)
    pipe.link(Wire(camera, (show, other)))
    pipe.unlink("c", "s")
    assert written(pipe)["wires"] == [{"source": "c", "destinations": ["o"]}]


def test_routines_of_a_file_are_named_from_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tests.unit.document.parts as parts

    (tmp_path / "sub").mkdir()
    monkeypatch.setitem(
        __import__("pipert2.document.classes", fromlist=["_files"])._files, parts.__name__, tmp_path / "sub" / "x.py"
    )
    pipe = Pipe("p")
    pipe.create_flow("a", True, numbers, note)

    def classes(folder: Path) -> list[str]:
        return [routine.class_ for routine in document_of(pipe, folder).flows["a"].routines]

    assert classes(tmp_path) == ["./sub/x.py:numbers", "./sub/x.py:note"]
    assert classes(tmp_path / "elsewhere") == [f"{tmp_path}/sub/x.py:numbers", f"{tmp_path}/sub/x.py:note"]


def test_everything_that_cannot_be_written_is_listed_with_the_routine() -> None:
    class Local(Show):
        pass

    found = problems_of(
        source(lambda: 1, name="ones"),
        Judge(lambda data: True, name="judge"),
        Free(1, 2),
        Local("local"),
        destination(print, name="printer"),
        destination(partial(note), name="part"),
    )
    assert [problem.split(":")[0] for problem in found] == [
        "routine 'ones'",
        "routine 'judge'",
        *[problem.split(":")[0] for problem in found if problem.startswith("routine 'Free")],
        "routine 'local'",
        "routine 'printer'",
        "routine 'part'",
    ]
    assert "is a lambda" in found[0]
    assert found[1].startswith("routine 'judge': its option 'judge' is <function ")
    assert "which is no plain value" in found[1]
    assert "can be given by position only" in found[2]
    assert "defined inside a function" in found[3]
    assert "made from builtins:print, which is a plain function: decorate it" in found[4]
    assert "made from functools.partial" in found[5]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "which is no plain value"),
        ((1, 2), "which is no plain value: give it a type hint, or pass a list"),
        ({1: 2}, "and the keys of a document are texts"),
        ([1, {"a": {3}}], "its option 'extra' [1]['a'] is {3}, which is no plain value"),
        (float("nan"), "which is no value that can be compared"),
        ("\ud800", "which is no text that can be written"),
        (timedelta(1), "which is no plain value"),
    ],
)
def test_an_option_without_a_hint_is_a_plain_value_or_refused(value: Any, reason: str) -> None:
    (problem,) = problems_of(Camera(name="cam", extra=value), Show("s"))
    assert problem.startswith("routine 'cam': its option 'extra' ")
    assert reason in problem


def test_classes_of_the_script_itself_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Needy, "__module__", "__main__")
    (problem,) = problems_of(Needy(url="x"), Show("s"))
    assert problem.endswith("Needy is defined in the script itself: move it into a module that can be imported")


def test_a_name_that_means_something_else_by_now_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Needy(url="x")
    monkeypatch.setattr("tests.unit.document.parts.Needy", Camera)
    (problem,) = problems_of(camera, Show("s"))
    assert problem.endswith("parts:Needy is something else now: keep it under the name that it was defined with")


def test_a_transmitter_that_cannot_be_written_is_refused_with_its_wire() -> None:
    camera, show = Camera(name="c"), Show("s")
    pipe = Pipe("p")
    pipe.create_flow("a", False, camera, show)
    pipe.link(Wire(camera, show, Mine(level=object())))  # type: ignore[arg-type]
    with pytest.raises(UnwritablePipeError, match="wire from 'c' to 's', data transmitter: its option 'level' is <obj"):
        document_of(pipe)


def test_a_pipe_without_flows_is_refused() -> None:
    with pytest.raises(UnwritablePipeError, match="pipe 'p' has no flows"):
        document_of(Pipe("p"))


def test_parameters_are_written_as_they_are_now() -> None:
    camera = Camera(name="c")
    pipe = Pipe("p")
    pipe.create_flow("a", True, camera, Show("s"))
    pipe.set_parameters("c", {"gain": 3, "tint": "blue"})
    assert written(pipe)["flows"]["a"]["routines"][0]["parameters"] == {"gain": 3.0, "tint": "blue"}
    camera.gain = 1.0
    assert written(pipe)["flows"]["a"]["routines"][0]["parameters"] == {"tint": "blue"}


def test_wires_that_choose_by_something_without_a_name_are_refused() -> None:
    camera, show, other, third = Camera(name="cam"), Show("show"), Show("other"), Show("third")
    pipe = Pipe("p")
    pipe.create_flow("a", False, camera, show, other, third)
    pipe.link(
        Wire(camera, show, where=lambda data: True),
        Wire(camera, other, where=partial(bright, number=3)),
        Wire(camera, third, capture="x.mcap"),
    )
    with pytest.raises(UnwritablePipeError) as caught:
        document_of(pipe)
    first, second, third_problem = caught.value.problems
    assert first.startswith("wire from 'cam' to 'show', where: ")
    assert "is a lambda" in first
    assert second.startswith("wire from 'cam' to 'other', where: functools.partial")
    assert third_problem.startswith("wire from 'cam' to 'third': its capture, which no document has")


def test_parameters_of_the_pipe_that_are_no_plain_values_are_refused() -> None:
    pipe = Pipe("p")
    pipe.create_flow("a", True, Camera(name="cam"), Show("show"))
    pipe.set_parameters(workload=0.01, when=[timedelta(1)])
    with pytest.raises(UnwritablePipeError, match=r"its parameter 'when' \[0\] is datetime.timedelta\(days=1\)"):
        document_of(pipe)


def test_options_and_the_store_are_written(tmp_path: Path) -> None:
    pipe = Pipe("p", store=tmp_path / "a.db", config=tmp_path, requires=("workload",))
    pipe.create_flow("a", True, Camera(name="cam"), eager, Show("show"), replicas=1)
    assert pipe.store is not None
    pipe.store.close()
    found = yaml.safe_load(dump_document(document_of(pipe, tmp_path)))
    assert written(pipe)["store"] == str(tmp_path / "a.db")
    assert found["flows"]["a"]["routines"][1] == {
        "class": "tests.unit.document.parts:eager",
        "name": "eager",
        "concurrency": 4,
        "retries": 2,
    }
    assert (found["store"], found["requires"], found["flows"]["a"]["replicas"]) == ("a.db", ["workload"], 1)
    assert found["config"] == "."


def test_a_trigger_is_written_as_a_phrase_with_its_time_out_and_a_timeout_of_ones_own_is_not() -> None:
    camera, other = Camera(name="cam"), Camera(name="other")
    camera.trigger, camera.timeout = Every("10 s") | Cron("0 * * * *"), 2.5
    other.timeout = "whatever it means there"  # type: ignore[assignment]
    pipe = Pipe("p")
    pipe.create_flow("a", True, camera, Show("show"))
    pipe.create_flow("b", True, other, Show("shown"))
    flows = written(pipe)["flows"]
    first, second = (flows[name]["routines"][0] for name in "ab")
    assert (first["trigger"], first["timeout"]) == ("every 10 s | cron 0 * * * *", 2.5)
    assert "timeout" not in second
