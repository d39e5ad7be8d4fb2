"""Memory given back each hour."""

import asyncio

import pytest

from l2vault import allocator
from l2vault.recording.tasks import memory
from support.manual_clock import ManualClock


async def test_the_heap_is_trimmed_every_hour_and_not_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, trimmed = ManualClock(), list[int]()
    began_ms = clock.now_ms
    monkeypatch.setattr(allocator, "trim", lambda: trimmed.append((clock.now_ms - began_ms) // 60_000))
    task = asyncio.create_task(memory.trim_regularly(clock))
    await clock.pass_time(3 * 3_600_000 + 1000)
    assert trimmed == [60, 120, 180]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
