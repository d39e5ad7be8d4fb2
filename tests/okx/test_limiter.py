"""All connection attempts of the process wait for one limiter."""

import asyncio
from random import Random

import pytest

from l2vault.okx.limiter import ConnectLimiter
from support.manual_clock import ManualClock, some_turns


@pytest.mark.parametrize("seed", range(5))
async def test_three_begin_at_once_and_no_more_than_three_arrive_within_any_second(seed: int) -> None:
    """OKX counts arrivals, and the way there may take one attempt 450 ms longer than the next."""
    clock, rng = ManualClock(), Random(seed)
    limiter, begun = ConnectLimiter(clock), []

    async def connect(name: int) -> None:
        await limiter.turn()
        begun.append((name, clock.now_ms))

    tasks = [asyncio.create_task(connect(name)) for name in range(10)]
    await some_turns()
    start_ms = begun[0][1]
    assert [name for name, _ in begun] == [0, 1, 2]
    for _ in range(100):
        clock.advance(50)
        await some_turns(5)
    await asyncio.gather(*tasks)
    assert begun[-1][1] - start_ms <= 4_700, "and no slower than it must be"
    arrived = sorted(ms + rng.randint(20, 470) for _, ms in begun)
    assert all(later - earlier > 1_000 for earlier, later in zip(arrived, arrived[3:], strict=False))


async def test_who_asked_first_goes_first_and_who_gives_up_blocks_nobody() -> None:
    clock = ManualClock()
    limiter, begun = ConnectLimiter(clock), []

    async def connect(name: str) -> None:
        await limiter.turn()
        begun.append(name)

    tasks = {name: asyncio.create_task(connect(name)) for name in "abcdefg"}
    await some_turns()
    tasks["d"].cancel()  # the one that waits for the clock
    tasks["f"].cancel()  # one that waits for its turn
    await some_turns()
    clock.advance(1_500)
    await some_turns()
    assert begun == ["a", "b", "c", "e", "g"]


async def test_attempts_that_are_far_apart_wait_for_nothing() -> None:
    clock = ManualClock()
    limiter = ConnectLimiter(clock)
    for _ in range(10):
        await limiter.turn()
        clock.advance(500)
    assert clock.slept_sec == []
