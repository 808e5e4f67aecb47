"""A value made once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pipert2.control.http.fresh import Fresh
from pipert2.testing import VirtualClock


class Maker:
    """Counts how often it made the value, and makes it when it is told to."""

    def __init__(self) -> None:
        self.made = 0
        self.go = asyncio.Event()
        self.go.set()
        self.failure: Exception | None = None

    async def __call__(self) -> int:
        self.made += 1
        number = self.made
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return number


def run(test: Callable[[Maker, Fresh[int], VirtualClock], Awaitable[None]]) -> None:
    async def go() -> None:
        clock, maker = VirtualClock(100.0), Maker()
        await test(maker, Fresh(maker, 0.05, clock.now), clock)

    asyncio.run(go())


def test_those_who_ask_at_the_same_time_share_one() -> None:
    async def check(maker: Maker, fresh: Fresh[int], clock: VirtualClock) -> None:
        maker.go.clear()
        asked = [asyncio.ensure_future(fresh.get()) for _ in range(20)]
        await asyncio.sleep(0)
        clock.advance(10.0)
        asked.append(asyncio.ensure_future(fresh.get()))
        await asyncio.sleep(0)
        maker.go.set()
        assert await asyncio.gather(*asked) == [1] * 21

    run(check)


def test_it_is_made_again_when_it_is_old() -> None:
    async def check(maker: Maker, fresh: Fresh[int], clock: VirtualClock) -> None:
        assert await fresh.get() == 1
        clock.advance(0.049)
        assert await fresh.get() == 1
        clock.advance(0.002)
        assert await fresh.get() == 2

    run(check)


def test_what_was_forgotten_is_not_handed_out_any_more_even_if_it_is_just_being_made() -> None:
    async def check(maker: Maker, fresh: Fresh[int], clock: VirtualClock) -> None:
        maker.go.clear()
        early = asyncio.ensure_future(fresh.get())
        await asyncio.sleep(0)
        fresh.forget()
        late = asyncio.ensure_future(fresh.get())
        await asyncio.sleep(0)
        maker.go.set()
        assert (await early, await late) == (1, 2)

    run(check)


def test_an_error_goes_to_those_who_waited_and_is_not_kept() -> None:
    async def check(maker: Maker, fresh: Fresh[int], clock: VirtualClock) -> None:
        maker.failure = ValueError("not now")
        with pytest.raises(ValueError, match="not now"):
            await fresh.get()
        maker.failure = None
        assert await fresh.get() == 2

    run(check)


def test_one_who_goes_away_does_not_stop_it_for_the_others() -> None:
    async def check(maker: Maker, fresh: Fresh[int], clock: VirtualClock) -> None:
        maker.go.clear()
        leaves, stays = asyncio.ensure_future(fresh.get()), asyncio.ensure_future(fresh.get())
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.sleep(0)
        maker.go.set()
        assert await stays == 1

    run(check)
