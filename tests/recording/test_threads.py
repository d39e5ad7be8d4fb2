"""Blocking calls beside the event loop: their outcome comes back, and one that hangs holds nobody up."""

import asyncio
import subprocess
import sys
import threading

import pytest

from l2vault.recording.threads import NoThread, in_daemon_thread
from support.manual_clock import until
from support.no_thread import no_thread


async def test_what_it_returns_and_raises_comes_back() -> None:
    assert await in_daemon_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(divmod, 7, 0)
    assert await in_daemon_thread(sorted, [1, 2], reverse=True) == [2, 1]


@pytest.mark.parametrize("ended", [SystemExit(3), StopIteration(), GeneratorExit(), KeyboardInterrupt()])
async def test_whatever_ends_it_ends_the_wait_and_never_the_event_loop(ended: BaseException) -> None:
    def end() -> None:
        raise ended

    with pytest.raises(RuntimeError, match=f"a thread ended with {type(ended).__name__}") as raised:
        await asyncio.wait_for(in_daemon_thread(end), 10)
    assert raised.value.__cause__ is ended


async def test_where_the_system_has_no_thread_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(NoThread, match="can't start new thread"):
            await in_daemon_thread(done.append, 1)
    await in_daemon_thread(done.append, 2)
    assert done == [2]


async def test_it_runs_in_a_thread_of_its_own() -> None:
    assert await in_daemon_thread(threading.get_ident) != threading.get_ident()


async def test_cancelled_it_returns_at_once_and_the_outcome_is_dropped() -> None:
    gate, is_inside = threading.Event(), threading.Event()

    def hang() -> str:
        is_inside.set()
        gate.wait(10)
        raise ValueError("too late")

    task = asyncio.create_task(in_daemon_thread(hang))
    await until(is_inside.is_set)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await until(lambda: "hang" not in [thread.name for thread in threading.enumerate()])


def test_a_call_that_hangs_does_not_keep_the_process_from_ending() -> None:
    code = (
        "import asyncio, threading\n"
        "from l2vault.recording.threads import in_daemon_thread\n"
        "async def main():\n"
        "    task = asyncio.create_task(in_daemon_thread(threading.Event().wait))\n"
        "    await asyncio.sleep(0)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
        "print('ended')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "ended\n"
