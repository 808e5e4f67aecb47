"""Records on their way to the cockpit: none twice, none lost that was there, what was dropped is counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from pipert2.cockpit.link.records import MOST_BYTES, MOST_RECORDS, RecordFeed
from pipert2.observe.recent_logs import MOST_RECORDS as KEPT
from pipert2.observe.recent_logs import RecentLogs

NAME = "test-link-records"


@pytest.fixture
def logger() -> logging.Logger:
    found = logging.getLogger(NAME)
    found.setLevel(logging.DEBUG)
    found.propagate = False
    return found


@pytest.fixture
def logs(logger: logging.Logger) -> Iterator[RecentLogs]:
    found = RecentLogs(logger, [])
    yield found
    found.close()


def _feed(logs: RecentLogs, least: int = logging.INFO) -> RecordFeed:
    return RecordFeed(logs, least, NAME)


def _all(feed: RecordFeed) -> list[dict[str, Any]]:
    found = []
    while (batch := feed.next()) is not None:
        found += batch.records
        feed.sent(batch)
    return found


def test_all_records_come_in_batches_in_their_order(logger: logging.Logger, logs: RecentLogs) -> None:
    for number in range(4_321):
        logger.info("record %d", number)
    feed = _feed(logs)
    first = feed.next()
    assert first is not None
    assert len(first.records) == MOST_RECORDS
    assert [one["number"] for one in _all(feed)] == list(range(1, 4_322))
    assert not feed.waiting


def test_a_batch_that_was_not_acknowledged_comes_again(logger: logging.Logger, logs: RecentLogs) -> None:
    logger.info("once")
    feed = _feed(logs)
    assert feed.next() == feed.next()
    assert len(_all(feed)) == 1
    assert feed.next() is None


def test_what_is_gone_before_it_was_sent_is_counted(logger: logging.Logger, logs: RecentLogs) -> None:
    feed = _feed(logs)
    for _ in range(KEPT + 300):
        logger.info("much")
    assert len(_all(feed)) == KEPT
    assert feed.dropped == 300
    for _ in range(KEPT + 200):
        logger.info("much")
    assert len(_all(feed)) == KEPT
    assert feed.dropped == 500


def test_records_below_the_level_stay_here_unless_their_own_logger_was_set(
    logger: logging.Logger, logs: RecentLogs
) -> None:
    routine = logger.getChild("flow.routine")
    logger.debug("no")
    routine.debug("no")
    routine.setLevel(logging.DEBUG)
    try:
        routine.debug("yes")
    finally:
        routine.setLevel(logging.NOTSET)
    logger.warning("yes")
    routine.setLevel(logging.DEBUG)
    feed = _feed(logs)
    assert [one["message"] for one in _all(feed) if one["logger"] == NAME] == ["yes"]
    assert not feed.waiting
    routine.setLevel(logging.NOTSET)


def test_a_batch_does_not_become_too_large(logger: logging.Logger, logs: RecentLogs) -> None:
    for _ in range(200):
        logger.info("x" * 19_000)
    feed = _feed(logs)
    sizes = []
    while (batch := feed.next()) is not None:
        sizes.append(len(json.dumps(batch.records)))
        feed.sent(batch)
    assert len(sizes) > 3
    assert max(sizes) < MOST_BYTES + 50_000


class _Unreadable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"n": 1, "deep": {"a": [None, 2.5]}}, {"n": 1, "deep": {"a": [None, 2.5]}}),
        ({"n": float("nan")}, {"n": None}),
        (
            {"n": 1, "f": 2.5, "t": True, "s": '"a\n', "none": None},
            {"n": 1, "f": 2.5, "t": True, "s": '"a\n', "none": None},
        ),
        ({"large": 2**60, "ü": "ä"}, {"large": 2**60, "ü": "ä"}),
        ({"half": "\ud800"}, {"half": "\ud800"}),
        ({"set": {1}}, {"set": [1]}),
    ],
)
def test_extra_fields_are_sent_as_json(
    logger: logging.Logger, logs: RecentLogs, given: dict[str, Any], sent: dict[str, Any]
) -> None:
    logger.info("extra", extra=given)
    (one,) = _all(_feed(logs))
    if "half" not in given:
        assert one["extra"] == sent
    json.dumps(one).encode()


def test_what_cannot_be_sent_does_not_hold_up_the_rest(logger: logging.Logger, logs: RecentLogs) -> None:
    logger.info("bad", extra={"object": _Unreadable()})
    logger.info("half a character: \ud800")
    logger.info("big", extra={"text": "y" * 100_000})
    logger.info("good")
    found = _all(_feed(logs))
    assert [one["message"] for one in found] == ["bad", "half a character: ?", "big", "good"]
    assert "unreadable" in found[0]["extra"]
    assert len(json.dumps(found[2]["extra"])) < 50_000


def test_a_batch_that_the_cockpit_will_never_take_is_counted_as_dropped(
    logger: logging.Logger, logs: RecentLogs
) -> None:
    logger.info("one")
    feed = _feed(logs)
    batch = feed.next()
    assert batch is not None
    feed.refused(batch)
    assert (feed.next(), feed.dropped) == (None, 1)
