"""Memory given back where glibc is, and nowhere else; threads that give way."""

import os
import platform
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from l2vault.recording.footprint import NICENESS, give_back_memory, give_way


def test_glibc_is_asked_to_trim() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("another C library than glibc")
    assert give_back_memory() is True


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert give_back_memory() is False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a thread's priority")
def test_a_thread_gives_way_and_the_others_keep_their_priority() -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = priority()
    with ThreadPoolExecutor(1, initializer=give_way) as thread:
        assert thread.submit(priority).result() == max(before, NICENESS)
    assert priority() == before


def test_where_there_is_no_such_priority_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    give_way()
