"""All connection attempts of the process wait for one limiter."""

import asyncio
from random import Random

import pytest

from l2vault.okx.limiter import WINDOW_MS, ConnectLimiter
from support.manual_clock import ManualClock, some_turns


@pytest.mark.parametrize("seed", range(20))
async def test_no_more_than_three_arrive_within_any_second_however_long_each_is_on_its_way(seed: int) -> None:
    """OKX counts arrivals: a slow look-up of the name may let an attempt arrive seconds after it began."""
    clock, rng = ManualClock(), Random(seed)
    limiter, begun, arrived = ConnectLimiter(clock), [], []

    async def connect(name: int) -> None:
        with await limiter.turn():
            begun.append(name)
            await clock.sleep(rng.choice((0.02, 0.4, 1.4, 3.0)))
            arrived.append(clock.now_ms)
            await clock.sleep(rng.choice((0.02, 0.2)))

    tasks = [asyncio.create_task(connect(name)) for name in range(12)]
    await some_turns()
    assert begun == [0, 1, 2]
    for _ in range(2_000):
        clock.advance(10)
        await some_turns(5)
    await asyncio.gather(*tasks)
    assert all(later - earlier > 1_000 for earlier, later in zip(arrived, arrived[3:], strict=False))


async def test_quick_attempts_go_three_in_a_window_and_no_slower() -> None:
    clock = ManualClock()
    limiter, begun = ConnectLimiter(clock), []

    async def connect() -> None:
        with await limiter.turn():
            begun.append(clock.now_ms)

    start_ms = clock.now_ms
    tasks = [asyncio.create_task(connect()) for _ in range(10)]
    for _ in range(400):
        await some_turns(5)
        clock.advance(10)
    await asyncio.gather(*tasks)
    assert [(ms - start_ms) // 100 for ms in begun] == [0, 0, 0, 11, 11, 11, 22, 22, 22, 33]


async def test_who_asked_first_goes_first_and_who_gives_up_blocks_nobody() -> None:
    clock = ManualClock()
    limiter, begun = ConnectLimiter(clock), []

    async def connect(name: str) -> None:
        with await limiter.turn():
            begun.append(name)

    tasks = {name: asyncio.create_task(connect(name)) for name in "abcdefg"}
    await some_turns()
    tasks["d"].cancel()  # the one that waits for the clock
    tasks["f"].cancel()  # one that waits for its turn
    await some_turns()
    clock.advance(WINDOW_MS)
    await some_turns()
    assert begun == ["a", "b", "c", "e", "g"]


async def test_where_three_are_on_their_way_the_next_waits_for_one_to_end_even_by_being_broken_off() -> None:
    clock = ManualClock()
    limiter, begun = ConnectLimiter(clock), []

    async def connect(name: str) -> None:
        with await limiter.turn():
            begun.append(name)
            await asyncio.Event().wait()

    tasks = {name: asyncio.create_task(connect(name)) for name in "abcd"}
    await some_turns()
    clock.advance(60_000)
    await some_turns()
    assert begun == ["a", "b", "c"]
    tasks["b"].cancel()
    await some_turns()
    clock.advance(WINDOW_MS)
    await some_turns()
    assert begun == ["a", "b", "c", "d"]
    for task in tasks.values():
        task.cancel()


async def test_attempts_that_are_far_apart_wait_for_nothing() -> None:
    clock = ManualClock()
    limiter = ConnectLimiter(clock)
    for _ in range(10):
        with await limiter.turn():
            pass
        clock.advance(500)
    assert clock.slept_sec == []
