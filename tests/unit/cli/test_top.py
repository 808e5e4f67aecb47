"""The live view, apart from terminals and connections."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipert2.cli.top_model import Action, View, after_key, keys_in, with_status, without_answer
from pipert2.cli.top_picture import picture
from pipert2.observe.snapshot import FlowStatus, Latency, PipeState, PipeStatus, RoutineStatus, SiteStatus, WireStatus

NO_TIME = Latency(None, None)


def routine(name, **changes):
    values = {
        "name": name,
        "flow": "all",
        "kind": "middle",
        "state": "running",
        "finished": False,
        "received": 10,
        "sent": 10,
        "rate": 29.97,
        "logic_time": Latency(0.0023, 0.046),
        "age": NO_TIME,
        "errors": 0,
        "last_error": None,
        "skipped": 0,
        "interrupted": 0,
        "busy_for": 0.0,
        **changes,
    }
    return RoutineStatus(**values)


def status(*names, **changes):
    wire = WireStatus("a", "b", False, 4, "shared_memory", 12, 10, 2, 1, 29.9, 0, 0.0, False, False)
    flow = FlowStatus("all", "running", 4711, 12.0, 50 << 20, 0, 75.0, None)
    values = {
        "name": "faces",
        "state": PipeState.RUNNING,
        "reason": None,
        "time": 0.0,
        "shared_memory_bytes": 1 << 20,
        "routines": tuple(routine(name) for name in names),
        "wires": (wire,),
        "flows": (flow,),
        **changes,
    }
    return PipeStatus(**values)


def text_of(view, rows=40, keys=True, width=120):
    file = io.StringIO()
    Console(file=file, width=width, markup=False, emoji=False).print(picture(view, rows, keys=keys))
    return file.getvalue()


def press(view, *keys):
    action = None
    for key in keys:
        view, action = after_key(view, key)
    return view, action


def test_keys_choose_a_routine_and_stay_within_them():
    view = View("url", status("a", "b"))
    assert view.routine is None
    assert press(view, "j")[0].routine.name == "a"
    assert press(view, "down", "down", "down")[0].routine.name == "b"
    assert press(view, "down", "k", "up", "up")[0].routine is None


def test_keys_without_a_status_do_no_harm():
    assert press(View("url"), "j", "j", "enter", "k", "z")[0].routine is None


@pytest.mark.parametrize(("key", "action"), [("s", Action.START), ("x", Action.STOP), ("q", Action.QUIT), ("z", None)])
def test_keys_ask_for_actions(key, action):
    assert press(View("url", status("a")), key)[1] is action


def test_the_choice_follows_its_routine_when_the_order_changes():
    view = press(View("url", status("a", "b")), "j", "j")[0]
    assert with_status(view, status("b", "a", "c"), "url").routine.name == "b"
    assert with_status(view, status("a"), "url").routine is None


def test_a_pipe_that_is_gone_stays_visible_with_the_time_it_left():
    view = without_answer(View("url", status("a")), "connection refused", 1000.0)
    view = without_answer(view, "connection refused", 2000.0)
    assert view.disconnected_since == 1000.0
    text = text_of(view)
    assert "disconnected since" in text
    assert "connection refused" in text
    assert "faces" in text
    back = with_status(view, status("a"), "elsewhere")
    assert "disconnected" not in text_of(back)
    assert "connection refused" not in text_of(back)
    assert "elsewhere" in text_of(back)


def test_the_picture_shows_routines_wires_flows_and_keys():
    text = text_of(View("http://here", status("a", "b")))
    rows = [line.split() for line in text.splitlines()]
    assert ["a", "all", "running", "10", "10", "30.0", "2.3/46", "-", "-", "-"] in rows
    assert ["a", "->", "b", "newest", "1/4", "29.9", "12", "10", "2", "-"] in rows
    assert ["all", "running", "4711", "12", "50.0", "MiB", "1", "min", "15", "s", "-"] in rows
    assert "q quit" in text
    assert "q quit" not in text_of(View("http://here", status("a")), keys=False)


def test_a_cluster_shows_which_flow_is_where_and_how_far_clocks_are_apart():
    flow = FlowStatus("all", "running", 4711, 12.0, 50 << 20, 0, 75.0, None, host="10.0.0.2")
    sites = (
        SiteStatus("driver", "10.0.0.1", "running", pid=1),
        SiteStatus("lab", "10.0.0.2", "running", pid=2, clock_offset=-0.0042, clock_uncertainty=0.0003),
    )
    rows = [line.split() for line in text_of(View("here", status("a", flows=(flow,), sites=sites))).splitlines()]
    assert next(row for row in rows if row[:2] == ["all", "running"])[-1] == "10.0.0.2"
    assert ["driver", "10.0.0.1", "running", "1", "-", "-"] in rows
    assert ["lab", "10.0.0.2", "running", "2", "-", "-4.2", "±", "0.3"] in rows


def test_details_show_the_chosen_routine():
    view = press(View("url", status("a", routines=(routine("a", last_error="boom"),))), "j", "enter")[0]
    assert "boom" in text_of(view)
    assert "work p50/p99" in text_of(view)
    assert "work p50/p99" not in text_of(press(view, "escape")[0])


def test_a_small_terminal_gets_what_fits_and_the_chosen_routine():
    names = [f"routine-{number}" for number in range(50)]
    view = press(View("url", status(*names)), *["j"] * 40)[0]
    text = text_of(view, rows=15)
    assert len(text.splitlines()) <= 15
    assert "routine-39" in text


def test_names_cannot_play_tricks_with_the_terminal():
    wild = status(routines=(routine("a\x1b[2J", last_error="\x1b]0;title\x07"),), name="p\x1b[31m")
    text = text_of(View("url", wild))
    assert "\x1b" not in text
    assert "a\\x1b[2J" in text


def test_brackets_in_names_are_shown_as_they_are():
    assert "[red]a[/red]" in text_of(View("url", status("[red]a[/red]")))


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA", ["up"]),
        (b"\x1b", ["escape"]),
        (b"\r\n", ["enter", "enter"]),
        (b"\x1b[C", []),
        ("ä".encode(), []),
    ],
)
def test_what_the_terminal_sends_is_read_as_keys(data, keys):
    assert keys_in(data) == keys
