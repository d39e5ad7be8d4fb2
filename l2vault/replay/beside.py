"""The trades and the values of a vault as pushes of OKX.

A push of trades is as it was recorded; of one whose ids partly stood elsewhere, the rest, where its size is known. A
value stands in a line each 2 s beside the book: it is pushed at its own time, and what came between two lines is not
there. Lines go on with the last value that came, also where it was lost: coverage says when it was current.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, groupby
from typing import Final, NamedTuple

from l2vault.book.context import KINDS, Context, Funding, Index, Kind, Limits, Mark, OpenInterest, Value
from l2vault.exports.events import Span
from l2vault.sim.exchange.books import TradeTick
from l2vault.sim.exchange.context import FUNDING, INDEX, INTEREST, LIMITS, MARK, SWAP, ContextPush, index_name
from l2vault.sim.exchange.timeline import ContextTick
from l2vault.sim.exchange.trades import encode_trade, trade_of
from l2vault.vault.coverage.context import ContextState, ContextStretch
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.catalog import Report
from l2vault.vault.store.layout import HOUR_MS
from l2vault.vault.store.spans import split

CHANNELS: Final[dict[Kind, str]] = {
    "mark": MARK,
    "index": INDEX,
    "funding": FUNDING,
    "open_interest": INTEREST,
    "limits": LIMITS,
}

_CURRENT: Final[frozenset[ContextState]] = frozenset({"present", "archive"})


class ValuesLost(NamedTuple):
    """From `ts_ms` on nothing shows that these values are OKX's newest, until the next tick of each."""

    ts_ms: int
    kinds: tuple[Kind, ...]
    state: ContextState
    cause: str


_Ranked = tuple[int, ContextTick | ValuesLost]
"""What happens to a value, and its rank among what happens to it in one millisecond."""


def trade_ticks(trades: TradeReader, inst_id: str, span: Span, report: Report) -> Iterator[TradeTick]:
    """Each id of a span once, in order; a time that runs back is that of the trade before it."""
    now_ms = span[0]
    for row in trades.rows(inst_id, span, report):
        if row.size is not None:
            now_ms = max(now_ms, row.push.ts_ms)
            matches = row.last_id - row.first_id + 1
            trade = trade_of(row.push)._replace(trade_id=row.last_id, sz=row.size, matches=matches)
            recv_us = row.push.recv_us if row.push.origin == "ws" else 0
            yield TradeTick(now_ms, trade, encode_trade(trade), recv_us)


def context_events(
    context: ContextReader, inst_id: str, span: Span, kinds: Collection[Kind], report: Report
) -> Iterator[ContextTick | ValuesLost]:
    """Values as coverage knows them, in order of time: each where it changes, and again where it is current after a
    loss; first those that stand at the start of the span, and a loss of those that do not. A value whose own time is in
    a loss is of the moment at which it is known to be current; one that never is does not come."""
    values = {kind: _Standing(inst_id, kind) for kind in kinds}
    before = context.at(inst_id, span[0] - 1)
    hours, covered_ms, now_ms = split(span, HOUR_MS), span[0], span[0]
    lines: Iterator[tuple[int, Context | None]] = ((row.grid_ms, row) for row in context.rows(inst_id, span, report))
    first = span[0], None if before is None else before.context
    for grid_ms, line in chain([first], lines, [(span[1] - 1, None)]):
        while covered_ms <= grid_ms:
            hour = next(hours)
            covered_ms = hour[1]
            for stretch in context.coverage(inst_id, hour).stretches:
                if stretch.kind in values:
                    values[stretch.kind].turns.append(stretch)
        found = [each for value in values.values() for each in value.up_to(grid_ms, line, now_ms)]
        yield from _in_order(found)
        now_ms = max([now_ms, *(event.ts_ms for _, event in found)])


class _Standing:
    """One value: what the last line held, and whether that is current. `turns` are the stretches of its coverage that
    lie ahead, in order."""

    def __init__(self, inst_id: str, kind: Kind) -> None:
        self.turns: deque[ContextStretch] = deque()
        self._inst_id = inst_id
        self._kind: Kind = kind
        self._held: Value | None = None
        self._is_told = False
        self._is_current: bool | None = None
        self._since_ms = 0
        """From when it is current, where it is."""

    def up_to(self, grid_ms: int, line: Context | None, now_ms: int) -> Iterator[_Ranked]:
        """What happens to it up to a grid time, nothing of it before `now_ms`; `line` is that of the grid time, and
        without one losses alone happen. A value that came in the millisecond of a loss came before it."""
        value = self._held if line is None else line.value(self._kind)
        came_ms = None if value == self._held else now_ms if value is None else max(now_ms, value.ts_ms)
        while self.turns and self.turns[0].start_ms <= grid_ms:
            turn = self.turns.popleft()
            if came_ms is not None and came_ms <= turn.start_ms:
                yield from self._take(value, came_ms)
                came_ms = None
            yield from self._turn(turn, now_ms)
            if line is not None and came_ms is None:
                yield from self._tell(2, now_ms)
        if came_ms is not None:
            yield from self._take(value, came_ms)
        elif line is not None:
            yield from self._tell(2, now_ms)

    def _take(self, value: Value | None, ts_ms: int) -> Iterator[_Ranked]:
        self._held, self._is_told = value, False
        yield from self._tell(0, ts_ms)

    def _tell(self, rank: int, ts_ms: int) -> Iterator[_Ranked]:
        if self._is_current and not self._is_told and self._held is not None:
            self._is_told = True
            yield rank, ContextTick(max(ts_ms, self._since_ms), _push(self._inst_id, self._kind, self._held))

    def _turn(self, turn: ContextStretch, now_ms: int) -> Iterator[_Ranked]:
        was_current, self._is_current = self._is_current, turn.state in _CURRENT
        if self._is_current and not was_current:
            self._since_ms, self._is_told = turn.start_ms, False
        elif not self._is_current and was_current is not False:
            yield 1, ValuesLost(max(now_ms, turn.start_ms), (self._kind,), turn.state, turn.cause)


def _in_order(found: Sequence[_Ranked]) -> Iterator[ContextTick | ValuesLost]:
    """Those of one time by their rank and the values' own times, and losses of one time and cause as one."""
    for _, group in groupby(sorted(found, key=_place), key=_place):
        events = [event for _, event in group]
        lost: dict[tuple[ContextState, str], list[ValuesLost]] = {}
        for event in events:
            if isinstance(event, ContextTick):
                yield event
            else:
                lost.setdefault((event.state, event.cause), []).append(event)
        for several in lost.values():
            yield several[0]._replace(kinds=tuple(kind for each in several for kind in each.kinds))


def _place(ranked: _Ranked) -> tuple[int, int, int]:
    rank, event = ranked
    return event.ts_ms, rank, event.push.ts_ms if isinstance(event, ContextTick) else 0


def context_names(context: ContextReader, inst_id: str, span: Span) -> dict[str, frozenset[str]]:
    """What may be subscribed to, by channel: the values that the span's last line has."""
    last = context.at(inst_id, span[1] - 1)
    if last is None or last.context.grid_ms < span[0]:
        return {}
    return {CHANNELS[kind]: frozenset({_name(inst_id, kind)}) for kind in KINDS if _has(last.context, kind)}


def channels_of(inst_id: str, kinds: Sequence[Kind]) -> list[tuple[str, str]]:
    """The channel of each value, and its name there."""
    return [(CHANNELS[kind], _name(inst_id, kind)) for kind in kinds]


def _has(context: Context, kind: Kind) -> bool:
    return context.value(kind) is not None


def _name(inst_id: str, kind: Kind) -> str:
    return index_name(inst_id) if kind == "index" else inst_id


def _push(inst_id: str, kind: Kind, value: Value) -> ContextPush:
    name = _name(inst_id, kind)
    row = {"instId": name} | _fields(value) | {"ts": str(value.ts_ms)}
    return ContextPush(CHANNELS[kind], name, value.ts_ms, row)


def _fields(value: Value) -> dict[str, object]:
    """The keys of OKX's row that were recorded; what it left empty is empty."""
    if isinstance(value, Mark):
        return {"instType": SWAP, "markPx": value.price}
    if isinstance(value, Index):
        return {"idxPx": value.price}
    if isinstance(value, OpenInterest):
        return {"instType": SWAP, "oi": value.contracts, "oiCcy": value.coin or "", "oiUsd": value.usd or ""}
    if isinstance(value, Limits):
        return {"buyLmt": value.buy or "", "sellLmt": value.sell or "", "enabled": value.is_enabled}
    return {"instType": SWAP} | _funding(value)


def _funding(value: Funding) -> dict[str, object]:
    return {
        "fundingRate": value.rate,
        "fundingTime": value.time,
        "nextFundingRate": value.next_rate or "",
        "nextFundingTime": value.next_time or "",
        "premium": value.premium or "",
        "prevFundingTime": value.previous_time or "",
        "settFundingRate": value.settled_rate or "",
        "settState": value.settle_state or "",
    }
