"""REST books at work: audits after each join and every five minutes, seeds, second books, and rulings between feeds."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count, pairwise
from random import Random
from typing import NamedTuple

import pytest

from l2vault.book.change import BookChange, Level
from l2vault.okx.pipeline import AuditSoon, Lost, NeedBook, NeedSecondBook, Pipeline, Synced
from l2vault.okx.rest import Unavailable, UnknownInstrument
from l2vault.okx.websocket import FeedOutput
from l2vault.recording.tasks.auditor import RULE_SEC, Auditor
from l2vault.recording.tasks.rounds import (
    AGAIN_SEC,
    AGAIN_TIMES,
    ATTEMPTS,
    AUDIT_EVERY_SEC,
    FIRST_RETRY_SEC,
    LOOK_SEC,
)
from l2vault.vault.journal.events import Audited, Event
from support import wire
from support.manual_clock import ManualClock, some_turns
from support.second_book import ShortBookPipeline

BTC = "BTC-USDT-SWAP"
T0_MS = 1_767_225_600_000
DOWN = Unavailable("no answer.", "check the network")
HANGS = object()


class Slow(NamedTuple):
    seconds: float
    book: BookChange


def level(price: str, quantity: str = "5") -> Level:
    return (price, quantity, "0", "2")


def rest_book(inst_id: str, seq_id: int, bids: Sequence[Level] = ()) -> BookChange:
    asks = [tuple(one) for one in wire.ASKS]
    held = list(bids) or [tuple(one) for one in wire.BIDS]
    return BookChange(inst_id, True, held, asks, T0_MS + 100 * seq_id, seq_id, None, None)  # type: ignore[arg-type]


class FakeRest:
    """`answer` gives the book of an instrument, an exception to be raised, or HANGS; by default what all feeds hold."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._began_ms = clock.now_ms
        self.asked: list[tuple[str, int]] = []
        """Each request with the milliseconds since the start."""
        self.answer: Callable[[str], object] = lambda inst_id: rest_book(inst_id, 5)

    def book(self, inst_id: str, depth: int) -> object:
        assert depth == 400
        self.asked.append((inst_id, self._clock.now_ms - self._began_ms))
        answer = self.answer(inst_id)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Rig:
    """`feeds` pipelines of `inst_ids`, each believing its short books at once unless `kind` says otherwise."""

    def __init__(self, inst_ids: Sequence[str] = (BTC,), feeds: int = 1, kind: type[Pipeline] = ShortBookPipeline):
        self.clock = ManualClock()
        self.rest = FakeRest(self.clock)
        self.inst_ids = tuple(inst_ids)
        self.events: list[Event] = []
        self.outputs: list[tuple[int, FeedOutput]] = []
        self.resolved: list[tuple[str, int | None, str]] = []
        self.pipelines = {number: kind(self.inst_ids, 2000, 400, Random(1)) for number in range(1, feeds + 1)}
        self.auditor = Auditor(self.rest, self.clock, Random(1), self.pipelines)  # type: ignore[arg-type]
        for pipeline in self.pipelines.values():
            pipeline.open(self.clock.now_ms)
            pipeline.tick(self.clock.now_ms)

    def take(self, number: int, outputs: Sequence[FeedOutput]) -> None:
        """What the router does with everything a feed puts out, as far as it concerns audits."""
        self.outputs += [(number, output) for output in outputs]
        for output in outputs:
            match output:
                case Synced(inst_id):
                    self.auditor.synced(number, inst_id)
                case Lost(inst_id):
                    self.auditor.lost(number, inst_id)
                case NeedBook(inst_id):
                    self.auditor.need_book(number, inst_id)
                case NeedSecondBook(inst_id):
                    self.auditor.need_second_book(number, inst_id)
                case AuditSoon(inst_id):
                    self.auditor.audit_soon(inst_id)

    def note(self, event: Event) -> None:
        self.events.append(event)

    def rule(self, inst_id: str, wrong: int | None, detail: str) -> None:
        self.resolved.append((inst_id, wrong, detail))

    def hear(self, frame: bytes, *numbers: int) -> None:
        for number in numbers or self.pipelines:
            self.take(number, self.pipelines[number].receive(frame, self.clock.now_ms))

    def join(self, *numbers: int, seq_id: int = 5) -> None:
        for inst_id in self.inst_ids:
            self.hear(wire.full(inst_id, T0_MS + 100 * seq_id, seq_id), *numbers)

    def corrupt(self, number: int) -> None:
        """A level that no message brought: what neither the chain nor an invariant can show."""
        book = self.pipelines[number]._books[BTC]
        assert book is not None
        book._bids.update([level("99.5", "999")])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.auditor.run(self.inst_ids, self))
        try:
            await some_turns()
            yield
        finally:
            task.cancel()
            self.ended = (await asyncio.gather(task, return_exceptions=True))[0]

    async def pass_sec(self, seconds: float) -> None:
        """Everybody acts at each step: somebody who sleeps does not mean that nobody else could act."""
        turns = count(1)
        await self.clock.pass_time(round(seconds * 1000), lambda: next(turns) % 12 == 0)

    @property
    def outcomes(self) -> list[tuple[int, str]]:
        return [(event.feed, event.outcome) for event in self.events if isinstance(event, Audited)]

    @property
    def lost(self) -> list[tuple[int, str]]:
        return [(number, output.cause) for number, output in self.outputs if isinstance(output, Lost)]


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call(act: Callable[..., object], *args: object) -> object:
        answer = act(*args)
        if answer is HANGS:
            await act.__self__._clock.sleep(10)  # type: ignore[attr-defined]
            raise DOWN
        if isinstance(answer, Slow):
            await act.__self__._clock.sleep(answer.seconds)  # type: ignore[attr-defined]
            return answer.book
        return answer

    monkeypatch.setattr("l2vault.recording.tasks.rest_books.in_daemon_thread", call)


# Audits


async def test_a_join_is_audited_within_ten_seconds_and_then_every_five_minutes() -> None:
    rig = Rig(feeds=2)
    async with rig.running():
        rig.join(1)
        await rig.pass_sec(10)
        assert rig.outcomes == [(1, "equal")]
        rig.join(2)
        await rig.pass_sec(10)
        assert rig.outcomes[1:] == [(1, "equal"), (2, "equal")], "one REST book serves both"
        await rig.pass_sec(3600 - 20)
    times = [ms / 1000 for _, ms in rig.rest.asked]
    assert len(times) == 2 + 11, "twelve in an hour: one for each feed's join, then one in 300 s"
    steps = [after - before for before, after in zip(times[1:], times[2:], strict=False)]
    assert all(step == pytest.approx(AUDIT_EVERY_SEC, abs=1) for step in steps)
    assert AUDIT_EVERY_SEC == 300
    assert {outcome for _, outcome in rig.outcomes} == {"equal"}
    assert rig.lost == []


async def test_one_that_has_no_book_to_audit_costs_the_next_one_no_time() -> None:
    rig = Rig(["A-USDT-SWAP", BTC])
    async with rig.running():
        rig.auditor.audit_soon("A-USDT-SWAP")
        rig.hear(wire.full(BTC, T0_MS + 500, 5))
        await rig.pass_sec(LOOK_SEC)
    assert [inst_id for inst_id, _ in rig.rest.asked] == [BTC]


async def test_three_hundred_instruments_are_audited_in_turn_under_the_limit_of_requests() -> None:
    inst_ids = [f"X{number}-USDT-SWAP" for number in range(300)]
    rig = Rig(inst_ids, feeds=2)
    async with rig.running():
        rig.join()
        await rig.pass_sec(60)
        assert Counter(inst_id for inst_id, _ in rig.rest.asked) == Counter(inst_ids), "each once, in 60 s"
        await rig.pass_sec(600)
    counts = Counter(inst_id for inst_id, _ in rig.rest.asked)
    assert set(counts) == set(inst_ids)
    assert max(counts.values()) - min(counts.values()) <= 1
    times = [ms for _, ms in rig.rest.asked]
    for first, eleventh in zip(times, times[10:], strict=False):
        assert eleventh - first >= 1000, "ten a second at most"
    assert {outcome for _, outcome in rig.outcomes} == {"equal"}
    assert {feed for feed, _ in rig.outcomes} == {1, 2}


async def test_a_wrong_book_is_journaled_and_resynced_alone() -> None:
    rig = Rig(feeds=2)
    async with rig.running():
        rig.join()
        rig.corrupt(2)
        rig.hear(wire.update(BTC, T0_MS + 700, 5, 7))
        rig.rest.answer = lambda inst_id: rest_book(inst_id, 7)
        await rig.pass_sec(10)
        assert rig.outcomes == [(1, "equal"), (2, "mismatch")]
        assert [event.detail for event in rig.events if isinstance(event, Audited)][1] == "1 levels differ, first 99.5"
        assert rig.lost == [(2, "audit")]
        assert list(rig.pipelines[1].book_times()) == [BTC]
        rig.pipelines[2].tick(rig.clock.now_ms + 2000)
        assert any('"op":"unsubscribe"' in text for text in rig.pipelines[2].take_outgoing())


async def test_an_audit_is_journaled_before_the_loss_that_follows_from_it() -> None:
    rig = Rig()
    happened: list[str] = []
    async with rig.running():
        rig.join()
        rig.corrupt(1)
        rig.note = lambda event: happened.append(type(event).__name__)  # type: ignore[method-assign]
        rig.take = lambda number, outputs: happened.append(type(outputs[0]).__name__)  # type: ignore[method-assign]
        await rig.pass_sec(10)
    assert happened == ["Audited", "Lost"]


async def test_a_feed_that_joins_anew_is_audited_anew() -> None:
    rig = Rig()
    async with rig.running():
        rig.join()
        await rig.pass_sec(10)
        rig.take(1, rig.pipelines[1].close("disconnect", "gone"))
        rig.pipelines[1].open(rig.clock.now_ms)
        rig.pipelines[1].tick(rig.clock.now_ms)
        rig.join()
        await rig.pass_sec(10)
    assert rig.outcomes == [(1, "equal"), (1, "equal")]


async def test_where_rest_gives_no_book_nothing_is_claimed_and_it_is_asked_less_and_less_often() -> None:
    rig = Rig()
    rig.rest.answer = lambda inst_id: DOWN
    async with rig.running():
        rig.join()
        await rig.pass_sec(3600)
        assert {outcome for _, outcome in rig.outcomes} == {"unavailable"}
        assert rig.lost == []
        assert 12 <= len(rig.rest.asked) <= 40
        rig.rest.answer = lambda inst_id: rest_book(inst_id, 5)
        await rig.pass_sec(300)
    assert rig.outcomes[-1] == (1, "equal")


async def test_an_instrument_that_rest_does_not_know_leaves_the_others_their_audits() -> None:
    inst_ids = [BTC, "ETH-USDT-SWAP"]
    rig = Rig(inst_ids)
    rig.rest.answer = lambda inst_id: UnknownInstrument("51001.") if inst_id == BTC else rest_book(inst_id, 5)
    async with rig.running():
        rig.join()
        await rig.pass_sec(10)
    audited = {event.inst_id: event.outcome for event in rig.events if isinstance(event, Audited)}
    assert audited == {BTC: "unavailable", "ETH-USDT-SWAP": "equal"}
    times = [ms for inst_id, ms in rig.rest.asked if inst_id == BTC]
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses and all(pause >= FIRST_RETRY_SEC / 2 * 1000 for pause in pauses), "not at each look"


async def test_okx_is_left_alone_for_as_long_as_it_asks() -> None:
    rig = Rig()
    rig.rest.answer = lambda inst_id: Unavailable("HTTP 503.", "later", 120)
    async with rig.running():
        rig.join()
        await rig.pass_sec(119)
        assert len(rig.rest.asked) == 1
        await rig.pass_sec(10)
    assert len(rig.rest.asked) == 2


async def test_older_rest_books_are_asked_again_and_then_given_up() -> None:
    rig = Rig()
    answers = iter([4, 4, 5])
    rig.rest.answer = lambda inst_id: rest_book(inst_id, next(answers))
    async with rig.running():
        rig.join()
        await rig.pass_sec(10)
        assert rig.outcomes == [(1, "equal")]
        rig.rest.answer = lambda inst_id: rest_book(inst_id, 4)
        await rig.pass_sec(AUDIT_EVERY_SEC)
    assert rig.outcomes[1:] == [(1, "older")]
    assert len(rig.rest.asked) == 3 + ATTEMPTS
    times = [ms for _, ms in rig.rest.asked[3:]]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(500 <= gap <= 600 for gap in gaps), "half a second between two requests for one audit"


async def test_a_rest_book_ahead_of_the_stream_is_judged_when_the_stream_has_come_that_far() -> None:
    rig = Rig()
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 8)
    async with rig.running():
        rig.join()
        await rig.pass_sec(1)
        assert rig.outcomes == []
        rig.hear(wire.update(BTC, T0_MS + 800, 5, 8))
        await rig.pass_sec(1)
        assert rig.outcomes == [(1, "equal")]
    assert len(rig.rest.asked) == 1


async def test_a_rest_book_that_stays_ahead_is_given_up_without_a_word_against_ours() -> None:
    rig = Rig()
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 8)
    async with rig.running():
        rig.join()
        await rig.pass_sec(2)
        assert rig.outcomes == []
        await rig.pass_sec(2)
    assert rig.outcomes == [(1, "ahead")], "it is looked at every fifth of a second, for three seconds"
    assert rig.lost == []


@pytest.mark.parametrize("bids", [[level("100.5")], [level("101")]])
async def test_a_rest_book_that_could_be_none_proves_nothing_against_ours(bids: list[Level]) -> None:
    rig = Rig()
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 5, bids)
    async with rig.running():
        rig.join()
        await rig.pass_sec(10)
    assert rig.outcomes == [(1, "inconclusive")]
    assert rig.lost == []


async def test_a_join_that_no_audit_settles_is_audited_again_soon_but_not_for_ever() -> None:
    rig = Rig()
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 4)
    async with rig.running():
        rig.join()
        await rig.pass_sec((AGAIN_TIMES + 2) * (AGAIN_SEC + 3))
        assert rig.outcomes == [(1, "older")] * (1 + AGAIN_TIMES)
        await rig.pass_sec(AUDIT_EVERY_SEC)
        assert len(rig.outcomes) == 2 + AGAIN_TIMES
    assert rig.lost == []


async def test_a_level_in_neither_of_two_states_speaks_neither_for_nor_against_ours() -> None:
    rig = Rig()
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 7, [level("100"), level("99.4")])
    async with rig.running():
        rig.join()
        await rig.pass_sec(1)
        rig.hear(wire.update(BTC, T0_MS + 900, 5, 9))
        await rig.pass_sec(1)
    assert rig.outcomes == [(1, "inconclusive")]
    assert rig.lost == []


async def test_a_rest_book_between_two_states_that_explain_it_speaks_for_ours() -> None:
    rig = Rig()
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 7)
    async with rig.running():
        rig.join()
        await rig.pass_sec(1)
        rig.hear(wire.update(BTC, T0_MS + 900, 5, 9, bids=[["99.5", "8", "0", "1"]]))
        await rig.pass_sec(1)
    assert rig.outcomes == [(1, "consistent")]
    assert [event.seq_id for event in rig.events if isinstance(event, Audited)] == [7]


async def test_a_book_lost_during_its_audit_is_no_outcome() -> None:
    rig = Rig()
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 8)
    async with rig.running():
        rig.join()
        await rig.pass_sec(1)
        rig.take(1, rig.pipelines[1].close("disconnect", "gone"))
        await rig.pass_sec(60)
        asked = len(rig.rest.asked)
        await rig.pass_sec(2 * AUDIT_EVERY_SEC)
        assert len(rig.rest.asked) == asked, "and it is over"
    assert rig.outcomes == []


# Books that a feed waits for


async def test_a_book_that_never_came_in_band_is_joined_from_rest_at_its_number() -> None:
    """Protocol 2.8: updates flow after the ack, no full book does."""
    rig = Rig(kind=Pipeline)
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 5)
    async with rig.running():
        rig.hear(wire.update(BTC, T0_MS + 500, 4, 5))
        rig.hear(wire.update(BTC, T0_MS + 600, 5, 6, bids=[["100", "0", "0", "0"]]))
        rig.take(1, rig.pipelines[1].tick(rig.clock.now_ms + 3000))
        await some_turns()
    book = rig.pipelines[1]._books[BTC]
    assert book is not None
    assert (book.seq_id, book.top(400)[0]) == (6, [("99.5", "7", "0", "1")])


async def test_a_feed_that_asks_for_a_book_again_and_again_while_rest_hangs_is_one_request() -> None:
    rig = Rig(kind=Pipeline)
    rig.rest.answer = lambda inst_id: HANGS
    async with rig.running():
        for _ in range(100):
            rig.auditor.need_book(1, BTC)
            await some_turns()
    assert len(rig.rest.asked) == 1


async def test_who_waits_for_a_book_is_served_in_the_order_of_asking() -> None:
    """Whatever the hash seed: the same messages make the same requests."""
    names = [f"{name}-USDT-SWAP" for name in "QWERTZUIOP"]
    rig = Rig(names, kind=Pipeline)
    async with rig.running():
        for name in names:
            rig.auditor.need_book(1, name)
        await rig.pass_sec(5)
    assert [name for name, _ in rig.rest.asked] == names


def short_counts(rig: Rig, number: int) -> list[tuple[int, int]]:
    said: list[tuple[int, int]] = []
    rig.pipelines[number].judge_short = (  # type: ignore[method-assign]
        lambda inst_id, counts, now_ms: said.append(counts) or []
    )
    return said


async def test_a_short_book_is_judged_at_once_by_another_feed_s() -> None:
    rig = Rig(feeds=2, kind=Pipeline)
    said = short_counts(rig, 2)
    async with rig.running():
        rig.pipelines[1].receive(wire.full(BTC, T0_MS, 5), 0)
        rig.auditor.need_second_book(2, BTC)
        await some_turns()
    assert said == [(2, 2)]
    assert rig.rest.asked == []


async def test_without_another_feed_s_book_it_is_judged_by_rest_s() -> None:
    rig = Rig(feeds=2, kind=Pipeline)
    said = short_counts(rig, 2)
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 5, [level("100"), level("99"), level("98")])
    async with rig.running():
        rig.auditor.need_second_book(2, BTC)
        await some_turns()
    assert said == [(3, 2)]


@pytest.mark.parametrize("answer", [HANGS, DOWN])
async def test_where_rest_gives_none_in_time_nothing_is_answered(answer: object) -> None:
    rig = Rig(kind=Pipeline)
    said = short_counts(rig, 1)
    rig.rest.answer = lambda inst_id: answer
    async with rig.running():
        rig.auditor.need_second_book(1, BTC)
        await rig.pass_sec(3)
        rig.rest.answer = lambda inst_id: rest_book(inst_id, 5)
        rig.auditor.need_second_book(1, BTC)
        await some_turns()
    assert said == [(2, 2)], "the next short book is judged again"


@pytest.mark.parametrize(("seconds", "judged"), [(1.5, [(2, 2)]), (2.5, [])])
async def test_a_short_book_waits_two_seconds_for_rest_s(seconds: float, judged: list[tuple[int, int]]) -> None:
    rig = Rig(kind=Pipeline)
    said = short_counts(rig, 1)
    rig.rest.answer = lambda inst_id: Slow(seconds, rest_book(inst_id, 5))
    async with rig.running():
        rig.auditor.need_second_book(1, BTC)
        await rig.pass_sec(5)
    assert said == judged


async def test_a_joined_short_book_is_believed_by_rest_and_then_audited() -> None:
    rig = Rig(kind=Pipeline)
    async with rig.running():
        rig.join()
        await some_turns()
        assert [type(output) for _, output in rig.outputs if isinstance(output, Synced)] == [Synced]
        await rig.pass_sec(10)
    assert rig.outcomes == [(1, "equal")]


# Rulings


async def ruled(rig: Rig, seconds: float = RULE_SEC + 1) -> list[int | None]:
    assert rig.auditor.on_conflict(BTC, 5, (1, 2))
    await some_turns()
    await rig.pass_sec(seconds)
    return [wrong for _, wrong, _ in rig.resolved]


@pytest.mark.parametrize("number", [1, 2])
async def test_the_feed_that_differs_from_rest_is_found_wrong(number: int) -> None:
    rig = Rig(feeds=2)
    rig.join()
    rig.corrupt(number)
    async with rig.running():
        assert await ruled(rig) == [number]
        ((inst_id, _, detail),) = rig.resolved
        assert inst_id == BTC
        assert detail == "feeds 1 and 2 differ at seqId 5: REST at seqId 5: 1 levels differ, first 99.5"


async def test_rest_ahead_of_both_is_waited_for() -> None:
    rig = Rig(feeds=2)
    rig.join()
    rig.corrupt(2)
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 8)
    async with rig.running():
        assert await ruled(rig, 1) == []
        rig.hear(wire.update(BTC, T0_MS + 800, 5, 8))
        await rig.pass_sec(2)
        assert [wrong for _, wrong, _ in rig.resolved] == [2]


@pytest.mark.parametrize("answer", [DOWN, HANGS, UnknownInstrument("51001.")])
async def test_without_rest_nothing_is_decided_and_that_within_seconds(answer: object) -> None:
    rig = Rig(feeds=2)
    rig.join()
    rig.corrupt(2)
    rig.rest.answer = lambda inst_id: answer
    async with rig.running():
        assert await ruled(rig, RULE_SEC) == [None]


async def test_rest_that_differs_from_both_decides_nothing() -> None:
    rig = Rig(feeds=2)
    rig.join()
    rig.corrupt(1)
    rig.rest.answer = lambda inst_id: rest_book(inst_id, 5, [level("100"), level("99.5", "3")])
    async with rig.running():
        assert await ruled(rig, 1) == [None]


async def test_further_conflicts_of_an_instrument_under_ruling_are_the_same_one() -> None:
    rig = Rig(feeds=2)
    rig.join()
    rig.rest.answer = lambda inst_id: HANGS
    async with rig.running():
        for _ in range(3):
            rig.auditor.on_conflict(BTC, 5, (1, 2))
            await some_turns()
            await rig.pass_sec(1)
        await rig.pass_sec(RULE_SEC)
        assert len(rig.resolved) == 1
        rig.auditor.on_conflict(BTC, 9, (1, 2))
        await some_turns()
        await rig.pass_sec(RULE_SEC + 1)
        assert ["seqId 5" in rig.resolved[0][2], "seqId 9" in rig.resolved[1][2]] == [True, True]


async def test_audits_of_the_instrument_wait_for_the_ruling_and_go_on_after_it() -> None:
    rig = Rig(feeds=2)
    async with rig.running():
        rig.join()
        rig.rest.answer = lambda inst_id: rest_book(inst_id, 8)
        await rig.pass_sec(1)
        rig.auditor.on_conflict(BTC, 5, (1, 2))
        await rig.pass_sec(RULE_SEC - 1)
        assert rig.outcomes == []
        rig.rest.answer = lambda inst_id: rest_book(inst_id, 5)
        await rig.pass_sec(10)
    assert rig.outcomes == [(1, "equal"), (2, "equal")]


async def test_while_the_auditor_does_not_run_nobody_waits_for_its_decision() -> None:
    rig = Rig(feeds=2)
    assert not rig.auditor.on_conflict(BTC, 5, (1, 2))
    assert rig.resolved == []


async def test_a_bug_during_a_ruling_leaves_no_conflict_open() -> None:
    rig = Rig(feeds=2)
    rig.join()
    rig.rest.answer = lambda inst_id: KeyError("a bug of ours")
    async with rig.running():
        rig.auditor.on_conflict(BTC, 5, (1, 2))
        await some_turns()
        assert [wrong for _, wrong, _ in rig.resolved] == [None]
    assert isinstance(rig.ended, ExceptionGroup)


async def test_while_okx_asks_to_be_left_alone_no_other_instrument_asks_in_its_turn() -> None:
    rig = Rig([BTC, "ETH-USDT-SWAP", "SOL-USDT-SWAP"])
    rig.rest.answer = lambda inst_id: Unavailable("HTTP 503.", "later", 120)
    async with rig.running():
        rig.join()
        await rig.pass_sec(119)
        assert len(rig.rest.asked) == 1
        await rig.pass_sec(10)
        assert len(rig.rest.asked) == 2
