"""Memory given back each hour: where glibc is, and nowhere else."""

import asyncio
import platform
import sys

import pytest

from l2vault.recording.tasks import memory
from support.manual_clock import ManualClock


def test_glibc_is_asked_to_trim() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library than glibc")
    assert memory.trim_heap() is True


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert memory.trim_heap() is False


async def test_the_heap_is_trimmed_every_hour_and_not_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, trimmed = ManualClock(), list[int]()
    began_ms = clock.now_ms
    monkeypatch.setattr(memory, "trim_heap", lambda: trimmed.append((clock.now_ms - began_ms) // 60_000))
    task = asyncio.create_task(memory.trim_regularly(clock))
    await clock.pass_time(3 * 3_600_000 + 1000)
    assert trimmed == [60, 120, 180]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
