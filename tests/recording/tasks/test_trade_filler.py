"""REST for trades: pages in order and in time, patience where it fails, and an end to every search."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from l2vault.book.trade import IdSpan, TradePush
from l2vault.errors import RestError
from l2vault.okx.messages import Traded
from l2vault.okx.rest import Throttled, Unavailable
from l2vault.recording.counters import Counters
from l2vault.recording.tasks.trade_filler import (
    ATTEMPT_MS,
    MOST_ATTEMPTS,
    PAGE,
    QUIET_MS,
    RETRY_SEC,
    SPACING_SEC,
    TradeFiller,
)
from l2vault.recording.trades import TradeIntake
from l2vault.vault.journal.events import Event
from l2vault.vault.journal.trade_events import TradesFilled, TradesHole, TradesMissing, TradesSkipped
from support.manual_clock import ManualClock, some_turns

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
T0 = 1_767_225_600_000
STEP_MS = 100
"""Between two trades of this exchange."""


def trade(inst_id: str, trade_id: int, origin: str = "ws") -> TradePush:
    ts = str(T0 + trade_id * STEP_MS)
    return TradePush(inst_id, str(trade_id), "100", "1", "buy", ts, "1", "0", None, 0, origin)


class Rest:
    """OKX's trades up to `newest`, but for those that were never used."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.newest = 100_000
        self.step_ms = STEP_MS
        self.unused: set[int] = set()
        self.errors: list[RestError] = []
        self.empty = 0
        self.asked: list[tuple[int, str, int | None, int]] = []

    def trades(
        self, inst_id: str, older_than: int | None, now_us: Callable[[], int], limit: int = 100
    ) -> list[TradePush]:
        self.asked.append((self._clock.now_ms, inst_id, older_than, limit))
        if self.errors:
            raise self.errors.pop(0)
        if self.empty:
            self.empty -= 1
            return []
        below = self.newest + 1 if older_than is None else min(older_than, self.newest + 1)
        ids = (one for one in range(below - 1, 0, -1) if one not in self.unused)
        found = [one for one, _ in zip(ids, range(limit), strict=False)]
        return [
            TradePush(
                *(inst_id, str(one), "100", "1", "buy", str(T0 + one * self.step_ms), None, "0", None),
                recv_us=now_us(),
                origin="rest",
            )
            for one in found
        ]


class Rig:
    def __init__(self, *inst_ids: str) -> None:
        self.clock = ManualClock()
        self.rest = Rest(self.clock)
        self.items: list[TradePush | Event] = []
        names = inst_ids or (BTC,)
        self.intake = TradeIntake(names, Counters(names), self.clock, self.items.append)
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.filler = TradeFiller(self.rest, self.clock, self.intake, self._room)

    async def _room(self) -> None:
        await self.may_go_on.wait()

    def push(self, *ids: int, inst_id: str = BTC) -> None:
        self.intake.take(1, [Traded(inst_id, [trade(inst_id, one)]) for one in ids])

    def hole(self, first: int, last: int, inst_id: str = BTC) -> None:
        """These ids are missing, and asked for."""
        self.push(first - 1, last + 1, inst_id=inst_id)
        self.clock.now_ms += 11_000
        self.intake.tick()

    def ids(self, origin: str = "rest") -> list[int]:
        return [item.last_id for item in self.items if isinstance(item, TradePush) and item.origin == origin]

    def events(self, kind: type) -> list[Event]:
        return [item for item in self.items if isinstance(item, kind)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.filler.run())
        await some_turns()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    async def pass_time(self, seconds: float, step_ms: int = 125) -> None:
        for _ in range(round(seconds * 1000 / step_ms)):
            self.clock.advance(step_ms)
            await some_turns(400)


async def test_a_hole_is_filled_in_one_request_that_has_both_neighbours() -> None:
    rig = Rig()
    rig.hole(50, 60)
    async with rig.running():
        await rig.pass_time(1)
    assert rig.ids() == list(range(50, 61))
    ((_, inst_id, older_than, limit),) = rig.rest.asked
    assert (inst_id, older_than, limit) == (BTC, 62, 100)
    assert [event.by for event in rig.events(TradesFilled)] == ["rest"]
    assert rig.events(TradesMissing) == []


async def test_a_long_hole_is_fetched_page_by_page_under_the_limit_of_okx() -> None:
    rig = Rig()
    rig.hole(1_000, 3_999)
    async with rig.running():
        await rig.pass_time(8, step_ms=25)
    assert sorted(rig.ids()) == list(range(1_000, 4_000))
    times = [at for at, *_ in rig.rest.asked]
    assert len(times) == 31
    assert all(after - before >= SPACING_SEC * 1000 for before, after in zip(times, times[1:], strict=False))
    assert max(sum(at <= one < at + 2_000 for one in times) for at in times) < 20


async def test_two_searches_take_turns() -> None:
    rig = Rig(BTC, ETH)
    rig.hole(1_000, 1_999)
    rig.hole(500, 510, ETH)
    async with rig.running():
        await rig.pass_time(1)
    assert [inst_id for _, inst_id, *_ in rig.rest.asked[:3]] == [BTC, ETH, BTC]
    assert rig.intake.missing() < 1_000


async def test_ids_that_okx_never_used_are_skipped_on_a_page_and_between_two() -> None:
    rig = Rig()
    rig.rest.unused = {55, 56, *range(195, 310)}
    rig.hole(50, 400)
    async with rig.running():
        await rig.pass_time(2)
    skipped = [(event.from_id, event.to_id) for event in rig.events(TradesSkipped)]
    assert skipped == [(195, 309), (55, 56)]
    assert rig.intake.missing() == 0


async def test_an_answer_that_fails_is_asked_for_again_and_at_last_given_up() -> None:
    rig = Rig()
    rig.hole(50, 60)
    rig.rest.errors = [Unavailable("no answer.", "again later") for _ in range(10)]
    async with rig.running():
        await rig.pass_time(sum(RETRY_SEC) + 5, step_ms=1000)
    times = [at for at, _, older_than, _ in rig.rest.asked if older_than is not None]
    assert len(times) == len(RETRY_SEC) + 1
    waits = [(after - before) / 1000 for before, after in zip(times, times[1:], strict=False)]
    assert all(wait >= wanted for wait, wanted in zip(waits, RETRY_SEC, strict=True))
    (missing,) = rig.events(TradesMissing)
    assert (missing.from_id, missing.to_id, missing.size) == (50, 60, 11)
    assert "no answer" in missing.detail


async def test_an_answer_ends_the_row_of_failures_so_that_the_next_one_is_asked_for_soon_again() -> None:
    rig = Rig()
    rig.hole(1_000, 1_350)
    rig.rest.errors = [Unavailable("no answer.", "again later") for _ in range(3)]
    async with rig.running():
        await rig.pass_time(sum(RETRY_SEC[:3]) - 1, step_ms=1000)
        rig.rest.errors.clear()
        while not rig.ids():
            await rig.pass_time(0.125)
        rig.rest.errors = [Unavailable("no answer.", "again later")]
        asked = len(rig.rest.asked)
        await rig.pass_time(RETRY_SEC[0] + 2)
    assert len(rig.rest.asked) >= asked + 2
    assert rig.events(TradesMissing) == []
    waited_ms = rig.rest.asked[asked + 1][0] - rig.rest.asked[asked][0]
    assert RETRY_SEC[0] * 1000 <= waited_ms < RETRY_SEC[1] * 1000


async def test_what_the_server_asks_for_is_waited() -> None:
    rig = Rig()
    rig.hole(50, 60)
    rig.rest.errors = [Throttled("too often.", "less often", 30)]
    async with rig.running():
        await rig.pass_time(29, step_ms=1000)
        assert len(rig.rest.asked) == 1
        await rig.pass_time(3)
    assert rig.ids() == list(range(50, 61))


async def test_a_cache_that_is_behind_is_asked_again_for_what_it_lacks() -> None:
    rig = Rig()
    rig.hole(50, 60)
    rig.rest.newest = 55
    async with rig.running():
        await rig.pass_time(1)
        assert rig.ids() == list(range(50, 56))
        rig.rest.newest = 100
        await rig.pass_time(3)
    assert sorted(rig.ids()) == list(range(50, 61))
    assert rig.events(TradesMissing) == []


async def test_of_a_cache_that_is_behind_only_what_it_lacks_is_asked_again() -> None:
    """One page reaches from above the hole down to the first id that the cache did not have, and no other is asked."""
    rig = Rig()
    rig.hole(50, 160)
    rig.rest.newest = 160 + 1 - PAGE
    async with rig.running():
        await rig.pass_time(1)
        rig.rest.newest = 200
        await rig.pass_time(3)
    assert sorted(rig.ids()) == list(range(50, 161))
    assert len(rig.rest.asked) == 2


async def test_an_empty_answer_proves_nothing() -> None:
    rig = Rig()
    rig.hole(50, 60)
    rig.rest.empty = 1
    async with rig.running():
        await rig.pass_time(1)
        assert (rig.ids(), rig.events(TradesSkipped)) == ([], [])
        await rig.pass_time(3)
    assert rig.ids() == list(range(50, 61))


async def test_a_search_goes_back_an_hour_at_most_in_attempts_of_ten_minutes() -> None:
    rig = Rig()
    rig.rest.step_ms = 10_000  # a page of a hundred is 1000 s
    rig.hole(1_000, 20_000)
    async with rig.running():
        await rig.pass_time(3)
    assert len(rig.rest.asked) == MOST_ATTEMPTS
    assert MOST_ATTEMPTS * ATTEMPT_MS == 3_600_000
    (missing,) = rig.events(TradesMissing)
    assert "60 minutes" in missing.detail
    assert missing.from_id == 1_000


async def test_nothing_is_asked_while_the_disk_has_no_room() -> None:
    rig = Rig()
    rig.hole(50, 60)
    rig.may_go_on.clear()
    async with rig.running():
        await rig.pass_time(2)
        assert rig.rest.asked == []
        rig.may_go_on.set()
        await rig.pass_time(1)
    assert rig.ids() == list(range(50, 61))


async def test_a_quiet_chain_is_compared_with_the_newest_trade_now_and_then() -> None:
    rig = Rig()
    rig.push(70)
    rig.rest.newest = 70
    async with rig.running():
        await rig.pass_time(QUIET_MS / 1000 * 2 + 10, step_ms=1000)
        asked = [(older_than, limit) for _, _, older_than, limit in rig.rest.asked]
        assert asked == [(None, 1), (None, 1)]
        rig.rest.newest = 73
        await rig.pass_time(QUIET_MS / 1000, step_ms=1000)
        rig.clock.now_ms += 11_000
        rig.intake.tick()
        await rig.pass_time(1)
    assert rig.ids() == [71, 72, 73]
    (hole,) = rig.events(TradesHole)
    assert hole.cause == "silence"


async def test_a_busy_chain_and_one_that_never_began_are_not_compared() -> None:
    rig = Rig(BTC, ETH)
    rig.rest.newest = 100
    async with rig.running():
        for one in range(10, 40):
            rig.push(one)
            await rig.pass_time(10, step_ms=1000)
    assert rig.rest.asked == []


async def test_after_a_restart_what_was_missed_is_looked_for_at_once() -> None:
    rig = Rig()
    rig.intake.resume({BTC: [IdSpan(10, 50, T0, T0 + 5_000)]})
    rig.rest.newest = 60
    async with rig.running():
        await rig.pass_time(1)
        rig.clock.now_ms += 11_000
        rig.intake.tick()
        await rig.pass_time(1)
    assert rig.ids() == list(range(51, 61))
    (hole,) = rig.events(TradesHole)
    assert (hole.cause, hole.from_id) == ("our_restart", 51)
