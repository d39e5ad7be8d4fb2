"""When REST is asked for deep books: each instrument every 30 s in a place of its own, and sooner after a failure."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from l2vault.book.deep import DEEP_EVERY_MS
from l2vault.errors import RestError
from l2vault.okx.exchange_time import FUTURE_MS
from l2vault.okx.rest import Throttled, Unavailable
from l2vault.recording.tasks.deep_books import RETRY_MS, DeepBooks
from support.manual_clock import ManualClock

A, B = "A-USDT-SWAP", "B-USDT-SWAP"


@dataclass
class Rig:
    """Stands for REST and for the keeper. `asked` and `missed` have the seconds since the start."""

    clock: ManualClock = field(default_factory=ManualClock)
    answers: list[Exception | int] = field(default_factory=list)
    """What REST does next: raise this, or send a book of so many milliseconds ahead; without any a book of now."""
    undue: int = 0
    asked: list[tuple[float, str]] = field(default_factory=list)
    missed_of: list[tuple[str, str]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    takes: bool = True
    exchange_ms: int | None = 0

    def __post_init__(self) -> None:
        self.began_ms = self.clock.monotonic_ms()

    def full_book(self, inst_id: str, wall_us: object) -> object:
        self.asked.append(((self.clock.monotonic_ms() - self.began_ms) / 1000, inst_id))
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(inst_id=inst_id, ts_ms=answer)

    def is_due(self, inst_id: str) -> bool:
        self.undue -= 1
        return self.undue < 0

    def missed(self, inst_id: str, cause: str, detail: str) -> None:
        self.missed_of.append((inst_id, cause))

    def take(self, sample: SimpleNamespace) -> bool:
        self.taken.append(sample.inst_id)
        return self.takes

    async def room(self) -> None:
        return

    @contextmanager
    def asking(self, *inst_ids: str) -> Iterator[None]:
        books = DeepBooks(self.full_book, self.clock, lambda: self, lambda: self.exchange_ms, self.room)  # type: ignore[arg-type]
        task = asyncio.create_task(books.run(inst_ids))
        try:
            yield
        finally:
            task.cancel()

    def times(self) -> list[float]:
        return [at for at, _ in self.asked]


async def test_each_instrument_is_asked_for_every_30_s_in_a_place_of_its_own() -> None:
    rig = Rig()
    with rig.asking(A, B):
        await rig.clock.pass_time(3 * DEEP_EVERY_MS - 1)
    assert rig.asked == [(0, A), (15, B), (30, A), (45, B), (60, A), (75, B)]
    assert rig.taken == [A, B, A, B, A, B]


async def test_what_is_not_due_is_asked_for_at_the_next_beat_and_no_sooner() -> None:
    rig = Rig(undue=1)
    with rig.asking(A):
        await rig.clock.pass_time(2 * DEEP_EVERY_MS + 1_000)
    assert rig.times() == [30, 60]


@pytest.mark.parametrize(
    ("answer", "cause", "again_sec"),
    [
        (Unavailable("gone", ""), "unavailable", RETRY_MS / 1000),
        (RestError("no", ""), "refused", RETRY_MS / 1000),
        (Throttled("slow", ""), "throttled", RETRY_MS / 1000),
        (Throttled("slow", "", 75), "throttled", 75),
        (FUTURE_MS + 1, "clock", RETRY_MS / 1000),
    ],
)
async def test_after_a_failure_it_asks_again_soon_but_not_before_it_may(
    answer: Exception | int, cause: str, again_sec: float
) -> None:
    rig = Rig(answers=[answer])
    with rig.asking(A):
        await rig.clock.pass_time(95_000)
    assert rig.times()[:2] == [0, again_sec]
    assert rig.missed_of == [(A, cause)]
    assert rig.times()[2] == (again_sec // 30 + 1) * 30, "then the beat goes on as before"


async def test_a_book_of_the_newest_bearable_time_is_taken_and_one_that_nobody_can_judge_too() -> None:
    rig = Rig(answers=[FUTURE_MS])
    with rig.asking(A):
        await rig.clock.pass_time(1_000)
    blind = Rig(answers=[10**15], exchange_ms=None)
    with blind.asking(A):
        await blind.clock.pass_time(1_000)
    assert (rig.taken, blind.taken, rig.missed_of + blind.missed_of) == ([A], [A], [])


async def test_a_book_that_the_keeper_refuses_is_asked_for_again() -> None:
    rig = Rig(takes=False)
    with rig.asking(A):
        await rig.clock.pass_time(2 * RETRY_MS)
    assert rig.times() == [0, 10, 20]
