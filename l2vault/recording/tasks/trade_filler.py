"""REST at work for trades: fetches the ids that no feed brought, page by page, and looks after chains that are quiet.

One request at a time, well under OKX's limit; every search in its turn, so that a long one keeps no other waiting.
What a page proves is the chain's business.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from l2vault.book.trade import TradePush
from l2vault.clock import Clock
from l2vault.errors import RestError
from l2vault.okx.rest import OkxRest, wait_sec
from l2vault.okx.trade_chain import NeedTrades
from l2vault.recording.threads import in_daemon_thread
from l2vault.recording.trades import TradeIntake

SPACING_SEC: Final = 0.125
"""Between two requests: 16 in 2 s, where OKX allows 20 (docs, "Get trades history", 2026-07)."""
LOOK_SEC: Final = 0.25
PAGE: Final = 100
ATTEMPT_MS: Final = 600_000
"""Of exchange time: an attempt goes no further back, and the rest of the hole waits for its next turn."""
MOST_ATTEMPTS: Final = 6
"""An hour of BTC is about 1,200 requests; a longer hole is cheaper to fill from OKX's archive."""
RETRY_SEC: Final = (2.0, 5.0, 15.0, 60.0, 300.0)
"""After a request that failed, or an answer that does not reach the hole yet: REST's cache may be behind."""
QUIET_MS: Final = 120_000
"""A chain without a trade for so long is compared with REST's newest trade, and again after as long."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Search:
    """Ids that are looked for, newest first: `last` comes down with each page."""

    inst_id: str
    first: int
    last: int
    above: int | None = None
    """The id that the page before ended with."""
    due_ms: int = 0
    failures: int = 0
    attempts: int = 1
    from_ms: int | None = None
    """Exchange time of the newest row of this attempt."""


@dataclass(slots=True)
class TradeFiller:
    """`run` until cancelled. `room` returns when the disk can take more."""

    rest: OkxRest
    clock: Clock
    intake: TradeIntake
    room: Callable[[], Awaitable[None]]
    _searches: deque[_Search] = field(default_factory=deque)
    _asked_ms: dict[str, int] = field(default_factory=dict)
    """When a quiet chain was compared last."""

    async def run(self) -> None:
        while True:
            await self.clock.sleep(SPACING_SEC if self._searches else LOOK_SEC)
            while self.intake.searches:
                self._begin(self.intake.searches.popleft())
            now_ms = self.clock.monotonic_ms()
            search = next((one for one in self._searches if one.due_ms <= now_ms), None)
            if search is not None:
                await self.room()
                await self._ask(search)
            elif (inst_id := self._quiet(now_ms)) is not None:
                await self._compare(inst_id)

    def _begin(self, need: NeedTrades) -> None:
        self._searches.append(_Search(need.inst_id, need.first, need.last))

    async def _ask(self, search: _Search) -> None:
        """One page; the search then stands behind the others, or has ended."""
        self._searches.remove(search)
        below = search.last + 2 if search.above is None else search.above
        try:
            rows = await self._fetch(search.inst_id, below, PAGE)
        except RestError as error:
            self._again(search, str(error), error)
            return
        self.intake.join(search.inst_id, rows, search.above)
        if not rows:
            self._again(search, "REST has no trades there")
            return
        if search.above is None and rows[0].last_id < search.last:
            late = _Search(search.inst_id, max(search.first, rows[0].last_id + 1), search.last)
            late.failures = search.failures
            self._again(late, f"REST's newest trade is {rows[0].last_id}")
        search.failures = 0
        self._go_on(search, rows)

    def _go_on(self, search: _Search, rows: list[TradePush]) -> None:
        bottom = rows[-1]
        if bottom.last_id <= search.first:
            return  # each of them is filled or skipped
        search.above, search.last = bottom.last_id, min(search.last, bottom.last_id - 1)
        if search.from_ms is None:
            search.from_ms = rows[0].ts_ms
        if search.from_ms - bottom.ts_ms >= ATTEMPT_MS:
            if search.attempts == MOST_ATTEMPTS:
                self._end(search, f"more than {MOST_ATTEMPTS * ATTEMPT_MS // 60_000} minutes back")
                return
            search.attempts += 1
            search.from_ms = bottom.ts_ms
        self._searches.append(search)

    def _again(self, search: _Search, detail: str, error: RestError | None = None) -> None:
        if search.failures == len(RETRY_SEC):
            self._end(search, detail)
            return
        retry_sec = wait_sec(error, RETRY_SEC[search.failures])
        search.failures += 1
        search.due_ms = self.clock.monotonic_ms() + round(retry_sec * 1000)
        _log.debug("Trades of %s from %d to %d: %s", search.inst_id, search.first, search.last, detail)
        self._searches.append(search)

    def _end(self, search: _Search, detail: str) -> None:
        self.intake.give_up(NeedTrades(search.inst_id, search.first, search.last), detail)

    def _quiet(self, now_ms: int) -> str | None:
        quiet = self.intake.quiet(QUIET_MS)
        return next((inst_id for inst_id in quiet if now_ms - self._asked_ms.get(inst_id, -QUIET_MS) >= QUIET_MS), None)

    async def _compare(self, inst_id: str) -> None:
        """Silence is normal for trades; that nothing was missed in it shows by REST's newest."""
        self._asked_ms[inst_id] = self.clock.monotonic_ms()
        try:
            rows = await self._fetch(inst_id, None, 1)
        except RestError as error:
            _log.debug("The newest trade of %s cannot be had: %s", inst_id, error)
            return
        for row in rows[:1]:
            self.intake.reach(row)

    async def _fetch(self, inst_id: str, older_than: int | None, limit: int) -> list[TradePush]:
        return await in_daemon_thread(self.rest.trades, inst_id, older_than, self.clock.wall_us, limit)
