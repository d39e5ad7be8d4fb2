import asyncio

import pytest

from l2vault.sim.exchange.scaled_clock import Patience


@pytest.mark.parametrize(("scale", "host_ms"), [(1.0, 3000), (20.0, 150), (0.5, 6000)])
async def test_time_passes_so_many_times_as_fast(clock, scale, host_ms):
    patience = Patience(clock, scale)
    start_ms = patience.now_ms()
    sleeping = asyncio.create_task(patience.sleep(3000))
    await clock.somebody_sleeps(host_ms)
    clock.advance(host_ms)
    await sleeping

    assert patience.now_ms() - start_ms == 3000


async def test_waiting_ends_with_its_time(clock):
    waiting = asyncio.create_task(Patience(clock, 1.0).wait(3000))
    await clock.somebody_sleeps(3000)
    assert not waiting.done()
    clock.advance(3000)
    await waiting


async def test_nobody_is_kept_waiting_at_the_end(clock):
    patience = Patience(clock, 1.0)
    waiting = asyncio.create_task(patience.wait(3000))
    await clock.somebody_sleeps(3000)
    patience.stop()
    await waiting
    await patience.wait(3000)
