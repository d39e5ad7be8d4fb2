import asyncio

import pytest

from l2vault.sim.exchange.scaled_clock import ScaledClock


@pytest.mark.parametrize(("scale", "host_ms"), [(1.0, 3000), (20.0, 150), (0.5, 6000)])
async def test_time_passes_so_many_times_as_fast(clock, scale, host_ms):
    scaled_clock = ScaledClock(clock, scale)
    start_ms = scaled_clock.now_ms()
    sleeping = asyncio.create_task(scaled_clock.sleep(3000))
    await clock.somebody_sleeps(host_ms)
    clock.advance(host_ms)
    await sleeping

    assert scaled_clock.now_ms() - start_ms == 3000


async def test_waiting_ends_with_its_time(clock):
    waiting = asyncio.create_task(ScaledClock(clock, 1.0).wait(3000))
    await clock.somebody_sleeps(3000)
    assert not waiting.done()
    clock.advance(3000)
    await waiting


async def test_nobody_is_kept_waiting_at_the_end(clock):
    scaled_clock = ScaledClock(clock, 1.0)
    waiting = asyncio.create_task(scaled_clock.wait(3000))
    await clock.somebody_sleeps(3000)
    scaled_clock.stop()
    await waiting
    await scaled_clock.wait(3000)
