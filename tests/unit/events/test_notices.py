"""What has happened is kept, counted and waited for."""

from __future__ import annotations

import threading

from pipert2.events.notices import Notices
from pipert2.testing import wait_until


def test_a_page_begins_behind_a_number_and_the_next_one_behind_its_last() -> None:
    notices = Notices()
    for number in range(5):
        notices.add("fired", {"run": number})
    first = notices.page(0, 3)
    assert [(one.number, one.name, one.values) for one in first.notices] == [
        (number + 1, "fired", {"run": number}) for number in range(3)
    ]
    second = notices.page(first.last, 3)
    assert [one.number for one in second.notices] == [4, 5]
    assert notices.page(second.last, 3).notices == ()


def test_notices_that_are_gone_are_counted() -> None:
    notices = Notices(most=2)
    for number in range(5):
        notices.add("fired", {"run": number})
    page = notices.page(1, 10)
    assert ([one.number for one in page.notices], page.missed, page.last) == ([4, 5], 2, 5)


def test_who_waits_is_woken_by_the_next_one_and_by_the_end() -> None:
    notices = Notices()
    found: list[int] = []

    def listen() -> None:
        page = notices.page(0, 10, wait=60.0)
        found.append(len(page.notices))
        found.append(len(notices.page(page.last, 10, wait=60.0).notices))

    listener = threading.Thread(target=listen)
    listener.start()
    notices.add("fired", {})
    wait_until(lambda: found)
    notices.close()
    listener.join(10)
    assert found == [1, 0]


def test_a_number_of_an_earlier_run_is_no_reason_to_wait_for_ever() -> None:
    notices = Notices()
    notices.add("fired", {})
    assert notices.page(1000, 10).last == 1
