"""Readiness and watchdog, as a socket of the test's own receives them."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2vault.okx.outputs import Counts
from l2vault.recording.counters import Counters
from l2vault.recording.tasks.service import EVERY_SEC, ServiceManager
from support.manual_clock import ManualClock, some_turns

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="service managers with sockets are those of Unix")
WATCHDOG = {"WATCHDOG_USEC": "180000000"}


class Books:
    """In place of the pipelines: what is in sync is what the test says."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}

    def book_times(self) -> dict[str, int]:
        return self.times


class World:
    def __init__(self, environment: dict[str, str]) -> None:
        self.pipelines, self.counts, self.counters = Books(), Counts(), Counters(("BTC-USDT-SWAP",))
        self.clock = ManualClock()
        self.manager = ServiceManager(environment, self.clock, self)  # type: ignore[arg-type]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind(str(tmp_path / "s"))
        receiving.setblocking(False)
        yield receiving


def received(receiving: socket.socket) -> list[list[str]]:
    """The words of each datagram that is there."""
    found = []
    while True:
        try:
            found.append(receiving.recv(4096).decode().split("\n"))
        except BlockingIOError:
            return found


async def next_words(world: World, receiving: socket.socket, messages: int) -> list[str]:
    world.counts.messages += messages
    world.clock.advance(round(EVERY_SEC * 1000))
    await some_turns()
    (words,) = received(receiving)
    assert words[0].startswith("STATUS=")
    return words[1:]


async def test_ready_comes_once_with_the_first_book_and_the_watchdog_is_fed_only_while_books_advance(
    manager: socket.socket,
) -> None:
    world = World({"NOTIFY_SOCKET": manager.getsockname(), **WATCHDOG})
    running = asyncio.create_task(world.manager.run())
    await some_turns()
    assert received(manager) == [["STATUS=Books in sync: 0; 0 messages of books, 0 lines since the start"]]
    assert await next_words(world, manager, 3) == [], "messages without a book make nothing ready"
    world.pipelines.times = {"BTC-USDT-SWAP": 1}
    assert await next_words(world, manager, 1) == ["READY=1", "WATCHDOG=1"]
    assert await next_words(world, manager, 1) == ["WATCHDOG=1"]
    assert await next_words(world, manager, 0) == []
    assert await next_words(world, manager, 0) == []
    assert await next_words(world, manager, 1) == ["WATCHDOG=1"]
    unit = (Path(__file__).parents[3] / "ops" / "systemd" / "l2vault.service").read_text(encoding="utf-8")
    (within_sec,) = (int(line.split("=")[1]) for line in unit.splitlines() if line.startswith("WatchdogSec="))
    assert within_sec > 4 * EVERY_SEC, "several are fed within the time after which systemd restarts the unit"
    running.cancel()
    await some_turns()
    assert received(manager) == [["STOPPING=1"]]


async def test_without_a_watchdog_or_with_that_of_another_process_none_is_fed(manager: socket.socket) -> None:
    for more in ({}, {**WATCHDOG, "WATCHDOG_PID": str(os.getpid() + 1)}):
        world = World({"NOTIFY_SOCKET": manager.getsockname(), **more})
        world.pipelines.times, world.counts.messages = {"BTC-USDT-SWAP": 1}, 1
        running = asyncio.create_task(world.manager.run())
        await some_turns()
        running.cancel()
        await some_turns()
        assert [words[1:] for words in received(manager)] == [["READY=1"], []]


async def test_a_name_with_an_at_sign_is_an_abstract_one() -> None:
    if sys.platform != "linux":
        pytest.skip("abstract names are Linux' own")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind(f"\0l2vault-test-{os.getpid()}")
        receiving.setblocking(False)
        running = asyncio.create_task(World({"NOTIFY_SOCKET": f"@l2vault-test-{os.getpid()}"}).manager.run())
        await some_turns()
        running.cancel()
        await some_turns()
        assert len(received(receiving)) == 2


async def test_where_no_service_manager_is_there_is_nothing_to_do() -> None:
    await World({}).manager.run()
    await World(WATCHDOG).manager.run()


async def test_a_socket_that_is_gone_or_full_ends_nothing(
    tmp_path: Path, manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    world = World({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    running = asyncio.create_task(world.manager.run())
    for _ in range(3):
        await some_turns()
        world.clock.advance(round(EVERY_SEC * 1000))
    assert not running.done()
    running.cancel()
    await some_turns()
    assert len(caplog.records) == 1, "said once"
    full = World({"NOTIFY_SOCKET": manager.getsockname()})
    running = asyncio.create_task(full.manager.run())
    for _ in range(2000):  # nobody reads
        full.clock.advance(round(EVERY_SEC * 1000))
        await asyncio.sleep(0)
    await some_turns()
    assert not running.done()
    running.cancel()
    await some_turns()
