"""Map-reduce in processes: scans end as they should whatever happens to frames, events, workers and the analysis."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipert2 import Pipe, PipertError
from pipert2.patterns.events.batch import ABORT
from pipert2.patterns.events.plan import ANY, DISCARD, Plan, PlanError, tagged
from pipert2.patterns.map_reduce.parameters import IntParameter, ParameterSet
from pipert2.patterns.map_reduce.pipes import map_reduce
from pipert2.patterns.map_reduce.recorded_events import ScanSource
from pipert2.patterns.streams.stins import StinsData, StinsEnd, StinsStart, parse
from pipert2.patterns.streams.stream_data import EventData, StreamFrame
from pipert2.testing import wait_until
from tests.ports import free_port
from tests.processes import whole_lines

INLINE = pytest.mark.parametrize("inline", [True, False], ids=["inline", "processes"])


def start(stream: str) -> StreamFrame:
    return StreamFrame(stream, StinsStart("").to_stream_data())


def frame(stream: str, number: int) -> StreamFrame:
    return StreamFrame(stream, StinsData.of(np.full((4, 4), number, np.uint16), frame=number).to_stream_data())


def end(stream: str) -> StreamFrame:
    return StreamFrame(stream, StinsEnd().to_stream_data())


def scan(stream: str, frames: int) -> list[StreamFrame]:
    return [start(stream), *(frame(stream, number) for number in range(frames)), end(stream)]


class Detector(ScanSource):
    """Sends messages one by one; those from number *pause* on not before a file is there."""

    seconds = 0.0
    pause: tuple[int, Path] | None = None

    def __init__(self, messages: list[Any], name: str = "detector") -> None:
        super().__init__(name)
        self.given = messages

    def messages(self) -> Iterator[Any]:
        for number, message in enumerate(self.given):
            while self.pause is not None and number >= self.pause[0] and not self.pause[1].exists():
                self.wait(0.01)
                yield []  # and hears what it is told
            if self.seconds:
                self.wait(self.seconds)
            yield message


class Numbers:
    """A worker that says what it saw of an event."""

    def __init__(self, context: dict[str, Any]) -> None:
        context["scans"] = self.scan = context.get("scans", 0) + 1

    def process_event(self, event: Any) -> Any:
        found = {}
        for stream, data in event.streams.items():
            message = parse(data)
            if isinstance(message, StinsData):
                found[stream] = int(message.data[0, 0])
        return found, self.scan, os.getpid()


class Keep:
    """A reducer that writes down what it gets, in a file of the journal."""

    path: Path

    def __init__(self, context: dict[str, Any]) -> None:
        context["scans"] = self.scan = context.get("scans", 0) + 1
        self.note("begin")

    def note(self, what: str, *more: Any) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps([self.scan, what, *more]) + "\n")

    def process_result(self, result: Any) -> None:
        self.note(
            "result", result.event_number, *(result.payload if isinstance(result.payload, tuple) else [result.payload])
        )

    def finish(self) -> None:
        self.note("finish")


def keep_in(path: Path) -> type[Keep]:
    return type("KeepHere", (Keep,), {"path": path})


class Run:
    """A pipe with map-reduce, and what came of it."""

    def __init__(self, folder: Path, messages: list[Any], worker: Any = Numbers, reducer: Any = None, **options: Any):
        self.notes_file, self.report = folder / "notes", folder / "report"
        self.pipe = Pipe(lossless=True, inline=options.pop("inline", False))
        self.detector = Detector(messages)
        self.detector.seconds = options.pop("seconds", 0.0)
        self.resume = folder / "resume"
        if "pause" in options:
            self.detector.pause = options.pop("pause"), self.resume
        map_reduce(
            self.pipe,
            self.detector,
            worker,
            reducer or keep_in(self.notes_file),
            report=self.report,
            **{"streams": ["a"], **options},
        )

    def run(self) -> list[dict[str, Any]]:
        self.summary = self.pipe.run(timeout=60)
        return self.scans

    @property
    def scans(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in whole_lines(self.report)]

    @property
    def notes(self) -> list[list[Any]]:
        return [json.loads(line) for line in whole_lines(self.notes_file)]

    def frames(self, number: int = 1) -> dict[int, Any]:
        """What was seen of each event of a scan, other than its first and last."""
        found = {note[2]: note[3] for note in self.notes if note[:2] == [number, "result"] and note[3]}
        return dict(sorted(found.items()))


NO_FRAMES = dict.fromkeys(("frames", "duplicate", "late", "malformed", "surplus", "overflow", "refused"), 0)


def accounts(report: dict[str, Any]) -> tuple[int, ...]:
    found = tuple(report[name] for name in ("done", "failed", "lost", "late", "discarded"))
    assert sum(found) == report["events"]
    return found


@INLINE
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_event_is_reduced_once_in_order_and_finish_comes_last(tmp_path: Path, inline: bool, workers: int) -> None:
    run = Run(tmp_path, scan("a", 100), workers=workers, inline=inline)
    (report,) = run.run()
    assert report["state"] == "done"
    assert accounts(report) == (102, 0, 0, 0, 0)
    numbers = [note[2] for note in run.notes if note[1] == "result"]
    assert numbers == [0] * workers + list(range(1, 101)) + [101] * workers
    assert [note[1] for note in run.notes if note[1] != "result"] == ["begin", "finish"]
    assert run.notes[-1][1] == "finish"
    assert run.frames() == {number: {"a": number - 1} for number in range(1, 101)}


def test_streams_meet_by_the_number_of_their_frames(tmp_path: Path) -> None:
    messages = [start("a"), start("b")]
    for number in range(6):
        messages += [frame("a", number)] + ([frame("b", number)] if number != 2 else [])
    messages += [end("a"), end("b")]
    run = Run(tmp_path, messages, streams=["a", "b"])
    (report,) = run.run()
    assert run.frames() == {number: {"a": number - 1, "b": number - 1} for number in (1, 2, 4, 5, 6)}
    assert accounts(report) == (7, 0, 1, 0, 0)
    assert report["state"] == "short"


def test_a_sparse_stream_is_in_every_fourth_event_and_the_ends_are_everyones(tmp_path: Path) -> None:
    messages = [start("xrd"), start("aux")]
    for number in range(8):
        messages += [frame("xrd", number)] + ([frame("aux", number // 4)] if number % 4 == 3 else [])
    plan = Plan({"main": {"xrd": [ANY] * 8, "aux": [ANY if at % 4 == 3 else None for at in range(8)]}})
    run = Run(tmp_path, [*messages, end("xrd"), end("aux")], plan=plan, streams=(), workers=2)
    (report,) = run.run()
    assert run.frames() == {
        number: {"xrd": number - 1} | ({"aux": number // 4 - 1} if number % 4 == 0 else {}) for number in range(1, 9)
    }
    assert (report["state"], accounts(report)) == ("done", (10, 0, 0, 0, 0))
    numbers = [note[2] for note in run.notes if note[1] == "result"]
    assert [numbers.count(number) for number in (0, 9)] == [2, 2]


def test_discarded_frames_are_read_and_counted_and_reach_nobody(tmp_path: Path) -> None:
    plan = Plan({"main": {"xrd": [DISCARD if 4 <= number <= 7 else ANY for number in range(1, 9)]}})
    run = Run(tmp_path, scan("xrd", 8), plan=plan, streams=())
    (report,) = run.run()
    assert run.frames() == {1: {"xrd": 0}, 2: {"xrd": 1}, 3: {"xrd": 2}, 8: {"xrd": 7}}
    assert (report["state"], accounts(report)) == ("done", (6, 0, 0, 0, 4))


def test_partial_events_are_processed_where_that_is_the_policy(tmp_path: Path) -> None:
    messages = [start("a"), start("b"), frame("a", 0), frame("a", 1), frame("b", 1), end("a"), end("b")]
    run = Run(tmp_path, messages, streams=["a", "b"], missing="partial")
    (report,) = run.run()
    assert run.frames() == {1: {"a": 0}, 2: {"a": 1, "b": 1}}
    assert (report["state"], accounts(report)) == ("done", (4, 0, 0, 0, 0))


def test_a_source_with_fewer_frames_than_planned_makes_the_scan_short(tmp_path: Path) -> None:
    run = Run(tmp_path, scan("a", 8), plan=Plan.every({"a": 1}, events=12))
    (report,) = run.run()
    assert (report["state"], accounts(report)) == ("short", (10, 0, 4, 0, 0))


def test_frames_beyond_the_plan_do_not_take_the_place_of_the_end(tmp_path: Path) -> None:
    run = Run(tmp_path, scan("a", 9), plan=Plan.every({"a": 1}, events=4))
    (report,) = run.run()
    assert run.frames() == {number: {"a": number - 1} for number in range(1, 5)}
    assert (report["state"], report["events"]) == ("done", 6)
    assert report["frames"] == {**NO_FRAMES, "frames": 9, "surplus": 5}


def test_a_malformed_frame_is_told_and_moves_nothing(tmp_path: Path) -> None:
    messages = scan("a", 6)
    broken = messages[3].data.frames
    messages[3] = StreamFrame("a", type(messages[3].data)("STINS", [b"{broken", broken[1]]))
    run = Run(tmp_path, messages, plan=Plan.every({"a": 1}, events=6), key="count")
    (report,) = run.run()
    assert run.frames() == {number: {"a": number - 1} for number in (1, 2, 4, 5, 6)}
    assert accounts(report) == (7, 0, 1, 0, 0)
    assert report["frames"] == {**NO_FRAMES, "frames": 6, "malformed": 1}


def test_frames_before_a_start_belong_to_no_scan(tmp_path: Path) -> None:
    run = Run(tmp_path, [frame("a", 7), *scan("a", 3)])
    (report,) = run.run()
    assert run.frames() == {1: {"a": 0}, 2: {"a": 1}, 3: {"a": 2}}
    assert report["state"] == "done"
    assert report["frames"] == {**NO_FRAMES, "frames": 3, "refused": 1}


def test_frames_that_come_twice_are_told(tmp_path: Path) -> None:
    run = Run(tmp_path, [*scan("a", 3)[:3], frame("a", 1), *scan("a", 3)[3:]])
    (report,) = run.run()
    assert (report["state"], report["frames"]) == ("done", {**NO_FRAMES, "frames": 4, "duplicate": 1})


def test_scans_follow_one_another_and_the_context_stays(tmp_path: Path) -> None:
    run = Run(tmp_path, scan("a", 5) + scan("a", 7) + scan("a", 0), workers=1)
    reports = run.run()
    assert [(report["state"], report["events"]) for report in reports] == [("done", 7), ("done", 9), ("done", 2)]
    assert len({report["scan_id"] for report in reports}) == 3
    assert [note[:2] for note in run.notes if note[1] != "result"] == [
        [number, what] for number in (1, 2, 3) for what in ("begin", "finish")
    ]
    assert {(note[0], note[4]) for note in run.notes if note[1] == "result"} == {(1, 1), (2, 2), (3, 3)}


@pytest.mark.expects_errors
@INLINE
def test_an_exception_fails_its_event_and_is_kept_with_it(tmp_path: Path, inline: bool) -> None:
    def third(event: Any) -> Any:
        if event.event_number == 3:
            raise ValueError("no third one")
        return event.event_number

    run = Run(tmp_path, scan("a", 10), third, inline=inline)
    (report,) = run.run()
    assert accounts(report) == (11, 1, 0, 0, 0)
    (failure,) = report["failures"]
    assert (failure["event_number"], failure["reason"]) == (3, "ValueError: no third one")
    assert "raise ValueError" in failure["traceback"]


@pytest.mark.expects_errors
def test_a_worker_that_cannot_be_made_fails_the_scan(tmp_path: Path) -> None:
    class Broken:
        def __init__(self) -> None:
            raise RuntimeError("no license")

        def process_event(self, event: Any) -> None: ...

    (report,) = Run(tmp_path, scan("a", 4), Broken).run()
    assert report["state"] == "failed"
    assert accounts(report) == (0, 6, 0, 0, 0)
    assert "no license" in report["failures"][0]["reason"]


@pytest.mark.expects_errors
def test_a_reducer_that_cannot_be_made_fails_the_scan_at_once(tmp_path: Path) -> None:
    class Broken:
        def __init__(self) -> None:
            raise RuntimeError("no disk")

        def process_result(self, result: Any) -> None: ...

    (report,) = Run(tmp_path, scan("a", 4), reducer=Broken).run()
    assert report["state"] == "failed"
    assert "no disk" in report["reason"]


@pytest.mark.expects_errors
def test_a_result_that_cannot_be_sent_fails_its_event(tmp_path: Path) -> None:
    run = Run(tmp_path, scan("a", 3), lambda event: (lambda: 0) if event.event_number == 2 else event.event_number)
    (report,) = run.run()
    assert accounts(report) == (4, 1, 0, 0, 0)
    assert "cannot be sent" in report["failures"][0]["reason"]


@pytest.mark.expects_errors
def test_what_a_killed_worker_had_is_done_by_another_and_nothing_twice(tmp_path: Path) -> None:
    marker = tmp_path / "killed"

    class Fragile(Numbers):
        def process_event(self, event: Any) -> Any:
            if event.event_number == 20 and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().process_event(event)

    run = Run(tmp_path, scan("a", 60), Fragile)
    (report,) = run.run()
    assert marker.exists()
    assert run.frames() == {number: {"a": number - 1} for number in range(1, 61)}
    repeated = Counter(note[2] for note in run.notes if note[1] == "result" and note[3])
    assert set(repeated.values()) == {1}
    assert (report["state"], accounts(report)) == ("done", (62, 0, 0, 0, 0))
    assert run.notes[-1][1] == "finish"


def test_slow_events_among_quick_ones_are_waited_for_though_they_come_in_bulk(tmp_path: Path) -> None:
    def slow_in_turns(event: Any) -> int:
        if event.event_number % 64 < 32:
            time.sleep(0.05)
        return int(event.event_number)

    run = Run(tmp_path, [scan("a", 160)], slow_in_turns, timeout=1.2)
    (report,) = run.run()
    assert (report["state"], accounts(report)) == ("done", (162, 0, 0, 0, 0))
    assert [note[2] for note in run.notes if note[1] == "result"][2:-2] == list(range(1, 161))


@pytest.mark.expects_errors
def test_an_event_that_kills_every_worker_is_lost_and_the_scan_ends(tmp_path: Path) -> None:
    class Deadly(Numbers):
        def process_event(self, event: Any) -> Any:
            if event.event_number == 5:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().process_event(event)

    run = Run(tmp_path, scan("a", 10), Deadly, timeout=6.0)
    (report,) = run.run()
    assert run.frames() == {number: {"a": number - 1} for number in range(1, 11) if number != 5}
    assert report["state"] == "short"
    assert accounts(report)[2] >= 1


def fragile(folder: Path, event: int) -> type[Keep]:
    """A reducer that is killed at an event of the first scan."""

    class Fragile(Keep):
        path = folder / "notes"

        def process_result(self, result: Any) -> None:
            super().process_result(result)
            if result.event_number == event and not (folder / "killed").exists():
                (folder / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)

    return Fragile


@pytest.mark.expects_errors
def test_a_scan_whose_reducer_was_killed_has_failed_and_the_next_one_is_done(tmp_path: Path) -> None:
    run = Run(tmp_path, [*scan("a", 60), *scan("a", 7)], reducer=fragile(tmp_path, 20), seconds=0.005)
    first, second = run.run()
    assert first["state"] == "failed"
    assert "process of the reducer died" in first["reason"]
    assert accounts(first)[0] == 0
    assert 20 <= first["events"] <= 62
    assert (second["state"], accounts(second)) == ("done", (9, 0, 0, 0, 0))
    whats = [note[1] for note in run.notes if note[1] != "result"]
    assert whats == ["begin", "begin", "finish"]  # none is made anew for what is lost, and would overwrite its files


@pytest.mark.expects_errors
def test_a_replay_whose_reducer_was_killed_goes_on_with_the_next_scan(tmp_path: Path) -> None:
    def events(frames: int) -> list[EventData]:
        messages = [one.data for one in scan("a", frames)]
        return [EventData(number, {"a": data}) for number, data in enumerate(messages)]

    run = Run(tmp_path, [*events(60), *events(5)], reducer=fragile(tmp_path, 20), streams=(), seconds=0.005)
    first, second = run.run()
    assert (first["state"], second["state"], second["events"]) == ("failed", "done", 7)


@pytest.mark.expects_errors
def test_when_the_streams_come_from_a_new_process_a_new_scan_begins_and_the_old_one_ends(tmp_path: Path) -> None:
    run = Run(tmp_path, scan("a", 100), seconds=0.01, pause=90, timeout=10.0)
    with run.pipe:
        run.pipe.notify_event("start", wait=60)
        wait_until(lambda: len(run.notes) > 10, timeout=60)
        pid = run.pipe.status().flow("input").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        run.resume.touch()
        wait_until(lambda: len(run.scans) == 2, timeout=60)
    states = sorted(report["state"] for report in run.scans)
    assert states == ["done", "failed"]
    for report in run.scans:
        accounts(report)
    complete = next(report for report in run.scans if report["state"] == "done")
    assert complete["events"] == 102


def test_a_pipe_that_may_lose_messages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipertError, match="lossless=True"):
        map_reduce(Pipe(), Detector([]), Numbers, Keep, streams=["a"])


def test_an_aborted_scan_is_finished_at_once_and_only_once(tmp_path: Path) -> None:
    run = Run(tmp_path, [*scan("a", 200), *scan("a", 3)], seconds=0.01, pause=190)
    with run.pipe:
        run.pipe.notify_event("start", wait=60)
        wait_until(lambda: len(run.notes) > 10, timeout=60)
        run.pipe.notify_event(ABORT, wait=60)
        run.resume.touch()
        first = wait_until(lambda: run.scans, timeout=60)[0]
        assert first["state"] == "aborted"
        accounts(first)
        wait_until(lambda: len(run.scans) == 2, timeout=60)
        assert run.scans[1]["state"] == "done"
    assert [note[:2] for note in run.notes if note[1] == "finish"] == [[1, "finish"], [2, "finish"]]
    after = run.notes[[note[:2] for note in run.notes].index([1, "finish"]) + 1 :]
    assert all(note[0] == 2 for note in after)


def test_a_pipe_that_is_stopped_in_the_middle_finishes_its_scan(tmp_path: Path) -> None:
    run = Run(tmp_path, scan("a", 1000), seconds=0.01)
    with run.pipe:
        run.pipe.notify_event("start", wait=60)
        wait_until(lambda: len(run.notes) > 10, timeout=60)
    (report,) = run.scans
    assert report["state"] == "aborted"
    assert run.notes[-1][1] == "finish"


def test_tags_lead_to_their_own_workers(tmp_path: Path) -> None:
    plan = Plan({"main": {"a": [(*(ANY or ()), *(tagged("debug") or ())) if at % 5 == 0 else ANY for at in range(20)]}})
    run = Run(tmp_path, scan("a", 20), workers={"": 2, "debug": 1}, plan=plan)
    (report,) = run.run()
    assert (report["state"], accounts(report)) == ("done", (22, 0, 0, 0, 0))
    repeated = Counter(note[2] for note in run.notes if note[1] == "result" and note[3])
    assert repeated == {number: 2 if (number - 1) % 5 == 0 else 1 for number in range(1, 21)}


def test_a_tag_that_no_worker_has_is_refused_before_anything_starts(tmp_path: Path) -> None:
    plan = Plan({"main": {"a": [tagged("debug")]}})
    with pytest.raises(PlanError, match="'debug'"):
        Run(tmp_path, [], plan=plan)


def test_a_changed_parameter_holds_from_one_event_on(tmp_path: Path) -> None:
    def rows(event: Any, rows: int = 2) -> int:
        return rows

    class Pairs(Keep):
        path = tmp_path / "notes"

        def process_result(self, result: Any) -> None:
            self.note("result", result.event_number, result.payload, result.parameters_hash)

    run = Run(tmp_path, scan("a", 200), rows, Pairs, seconds=0.005, pause=190)
    with run.pipe:
        run.pipe.notify_event("start", wait=60)
        wait_until(lambda: len(run.notes) > 20, timeout=60)
        run.pipe.set_parameters("align", {"rows": 3})
        run.resume.touch()
        wait_until(lambda: run.scans, timeout=60)
    seen = [(note[3], note[4]) for note in run.notes if note[1] == "result"]
    values = [value for value, _ in seen]
    assert set(values) == {2, 3}
    assert values == sorted(values)
    assert len(set(seen)) == 2
    hashes = {
        rows: ParameterSet([IntParameter("rows", rows)]).hash for rows in (2, 3)
    }  # of the values, not of the time
    assert dict(seen) == hashes


def test_ticks_and_timers_come_while_the_scan_runs(tmp_path: Path) -> None:
    class Ticking:
        def get_tick_interval(self) -> float:
            return 0.05

        def process_event(self, event: Any, tick: bool) -> Any:
            return tick or None

    class Timed(Keep):
        path = tmp_path / "notes"

        def timer(self) -> float:
            self.note("timer")
            return 0.05

    run = Run(tmp_path, scan("a", 100), Ticking, Timed, seconds=0.005)
    (report,) = run.run()
    assert report["state"] == "done"
    kinds = Counter(note[1] for note in run.notes)
    assert kinds["timer"] >= 2
    assert 2 <= kinds["result"] < 50
    assert run.notes[-1][1] == "finish"


def test_results_are_in_order_though_workers_are_not(tmp_path: Path) -> None:
    def slow(event: Any) -> int:
        time.sleep(0.02 if event.event_number % 3 == 0 else 0.0)
        number: int = event.event_number
        return number

    run = Run(tmp_path, scan("a", 60), slow, workers=3)
    run.run()
    numbers = [note[2] for note in run.notes if note[1] == "result"]
    assert numbers == sorted(numbers)


def test_what_is_published_can_be_read_while_the_scan_runs(tmp_path: Path) -> None:
    class Shown(Keep):
        path = tmp_path / "notes"

        def __init__(self, context: dict[str, Any]) -> None:
            super().__init__(context)
            self.publish: dict[str, Any] = {"curve": []}

        def process_result(self, result: Any) -> None:
            super().process_result(result)
            self.publish["curve"].append(result.event_number)

    port = free_port()
    run = Run(tmp_path, scan("a", 500), reducer=Shown, seconds=0.01, publish=port)

    def curve() -> Any:
        try:
            root = ask(port, "/")["root"]
            found = ask(port, f"/groups/{root}/links/curve")["link"]["id"]
            return ask(port, f"/datasets/{found}/value")["value"]
        except (OSError, KeyError):
            return []

    with run.pipe:
        run.pipe.notify_event("start", wait=60)
        seen = wait_until(lambda: len(found := curve()) > 10 and found, timeout=60)
        assert seen == sorted(seen)
        wait_until(lambda: len(curve()) > len(seen), timeout=60)


def test_what_is_published_is_shown_also_the_last_of_it_before_a_pause(tmp_path: Path) -> None:
    class Shown(Keep):
        path = tmp_path / "notes"

        def __init__(self, context: dict[str, Any]) -> None:
            super().__init__(context)
            self.publish: dict[str, Any] = {"scan": {"newest": -1}, "cube": np.zeros((2, 2, 2))}

        def process_result(self, result: Any) -> None:
            super().process_result(result)
            self.publish["scan"]["newest"] = result.event_number

    run = Run(tmp_path, scan("a", 50)[:-1], reducer=Shown)
    with run.pipe:
        run.pipe.notify_event("start", wait=60)
        wait_until(
            lambda: [(one.name, one.text) for one in run.pipe.results("reduce").values] == [("scan/newest", "50")]
        )


@INLINE
def test_large_frames_arrive_whole(tmp_path: Path, inline: bool) -> None:
    def total(event: Any) -> Any:
        message = parse(event["a"])
        return int(message.data.sum()) if isinstance(message, StinsData) else None

    messages = [start("a")]
    for number in range(12):
        image = StinsData.of(np.full((512, 512), number, np.uint16), frame=number)
        messages.append(StreamFrame("a", image.to_stream_data()))
    run = Run(tmp_path, [*messages, end("a")], total, inline=inline)
    (report,) = run.run()
    assert report["state"] == "done"
    assert [note[3] for note in run.notes if note[1] == "result"] == [512 * 512 * number for number in range(12)]


def test_recorded_events_of_any_source_make_scans(tmp_path: Path) -> None:
    def events(frames: int) -> list[EventData]:
        messages = [one.data for one in scan("a", frames)]
        return [EventData(number, {"a": data}) for number, data in enumerate(messages)]

    run = Run(tmp_path, [*events(3), events(5), *events(4)[:-1], *events(0)], streams=())
    reports = run.run()
    found = [
        (report["state"], report["events"]) for report in reports
    ]  # a short one may be over before one in progress
    assert sorted(found) == [("done", 2), ("done", 5), ("done", 7), ("short", 5)]


def ask(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return json.loads(answer.read())
