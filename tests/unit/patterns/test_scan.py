"""A scan's accounts add up whatever comes, comes twice, or never comes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipert2.patterns.events.scan import Closing, EventFailure, Scan, ScanState
from pipert2.patterns.events.scan_report import irregular, report_of, sentence_of
from pipert2.patterns.events.settled import Outcome


def failure(number: int) -> EventFailure:
    return EventFailure(number, "work", "ValueError: no", "")


def test_a_scan_goes_from_armed_to_done() -> None:
    scan = Scan("one")
    states = [scan.state]
    scan.batch(0)
    scan.done(1)
    states.append(scan.state)
    scan.close(Closing(1, 1))
    states.append(scan.state)
    assert scan.complete
    scan.finish()
    assert [*states, scan.state] == [ScanState.ARMED, ScanState.RUNNING, ScanState.FINISHING, ScanState.DONE]


def test_what_comes_twice_or_after_the_end_is_refused() -> None:
    scan = Scan("one")
    assert [scan.batch(number) for number in (1, 1, 0, 0)] == [True, False, True, False]
    scan.close(Closing(0, 2))
    scan.finish()
    assert not scan.batch(2)
    assert scan.stale == 3


def test_the_end_may_come_before_results() -> None:
    scan = Scan("one")
    scan.batch(1)
    scan.close(Closing(2, 2))
    scan.done(2)
    assert not scan.complete
    scan.batch(0)
    scan.done(1)
    assert scan.complete


def test_an_event_of_several_workers_is_done_once_and_failed_if_one_of_them_failed() -> None:
    scan = Scan("one")
    assert [scan.done(1, 2), scan.done(1, 2)] == [False, True]
    assert [scan.failed(failure(2), 2), scan.done(2, 2)] == [False, True]
    assert (scan.counts.done, scan.counts.failed) == (1, 1)


def test_a_scan_that_misses_events_is_short_and_one_without_an_end_aborted() -> None:
    short, aborted, damaged = Scan("a"), Scan("b"), Scan("c")
    short.close(Closing(5, 1))
    aborted.batch(0)
    damaged.close(Closing(0, 0, "the file ends in the middle of a record"))
    assert [scan.finish() for scan in (short, aborted, damaged)] == [
        ScanState.SHORT,
        ScanState.ABORTED,
        ScanState.SHORT,
    ]
    assert short.counts.lost == 5
    assert damaged.reason == "the file ends in the middle of a record"


def test_a_scan_of_which_every_event_failed_has_failed() -> None:
    scan = Scan("one")
    scan.batch(0)
    scan.failed(failure(0))
    scan.close(Closing(1, 1))
    assert scan.finish() is ScanState.FAILED


def test_how_a_scan_ended_is_not_changed_any_more() -> None:
    scan = Scan("one")
    scan.finish(ScanState.FAILED, "the input is gone")
    assert scan.finish() is ScanState.FAILED
    assert scan.reason == "the input is gone"


@given(st.data())
def test_the_accounts_add_up(data: Any) -> None:
    scan = Scan("one")
    number, batches = 0, []
    for _ in range(data.draw(st.integers(0, 8))):
        events = []
        for _ in range(data.draw(st.integers(0, 4))):
            number += 1
            events.append((number, data.draw(st.sampled_from(["done", "failed", "lost", "discarded", "late", "two"]))))
        batches.append(events)
    events_in_all = number + data.draw(st.integers(0, 3))
    arriving = data.draw(st.lists(st.integers(0, max(0, len(batches) - 1)), max_size=20)) if batches else []
    closes_at = data.draw(st.integers(0, len(arriving)))
    for at, batch in enumerate([*arriving, -1]):
        if at == closes_at:
            scan.close(Closing(events_in_all, len(batches)))
        if batch < 0 or not scan.batch(batch):
            continue
        for event, fate in batches[batch]:
            if fate == "done":
                scan.done(event)
            elif fate == "failed":
                scan.failed(failure(event))
            elif fate == "two":
                scan.done(event, 2)
                if data.draw(st.booleans()):
                    scan.failed(failure(event), 2)
            else:
                scan.lost([(event, Outcome.DISCARDED if fate == "discarded" else Outcome.LOST)])
                if fate == "late":
                    scan.lost([(event, Outcome.LATE)])
    scan.finish()
    counts = scan.counts
    assert counts.events == events_in_all == counts.settled
    assert min(counts.done, counts.failed, counts.lost, counts.late, counts.discarded) >= 0
    if not counts.lost and not counts.late:
        assert scan.state is (ScanState.FAILED if counts.failed and not counts.done else ScanState.DONE)


def test_a_result_that_comes_after_its_turn_makes_its_event_late_and_the_scan_short() -> None:
    scan = Scan("s")
    scan.batch(0)
    scan.done(1)
    scan.done(2)

    scan.overdue()
    scan.close(Closing(1, 2))

    assert scan.finish() is ScanState.SHORT
    assert (scan.counts.done, scan.counts.late, scan.counts.lost) == (1, 1, 0)


def test_a_report_says_what_was_odd_with_the_frames() -> None:
    scan = Scan("one")
    scan.close(Closing(0, 0, frames={"frames": 9, "duplicate": 0, "surplus": 5}))
    scan.finish()
    report = report_of(scan)
    assert report["frames"] == {"frames": 9, "duplicate": 0, "surplus": 5}
    assert irregular(report) == "5 surplus"
    assert sentence_of(report).endswith("; frames: 5 surplus")
