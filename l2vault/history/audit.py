"""Our recorded books against those of OKX's archive at the same exchange time, and the archive against itself.

A line that was recorded is the state after one push, which covers 100 ms; the archive has a line each 10 ms. So a
recorded book of time `T` is looked for among the archive's states from `T - 100` to `T + 100` ms, compared as decimals.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from l2vault.book.book import Book
from l2vault.book.change import BookChange, Level
from l2vault.book.price import price_key
from l2vault.book.snapshot import Snapshot
from l2vault.book.trade import TradePush
from l2vault.book.utc import HOUR_MS, utc_text
from l2vault.history.rows import EVERY_LEVEL, apply_line, is_same_book

WINDOW_MS: Final = 100
"""OKX's pace of `books`: what a push sums up."""
Verdict = Literal["exact", "window", "batching", "ours", "theirs", "no witness"]
VERDICTS: Final[tuple[Verdict, ...]] = get_args(Verdict)
AGREED: Final[tuple[Verdict, ...]] = ("exact", "window", "batching")
_SILENCE_MS: Final = 60_000
"""For so long the archive's newest line tells the book."""
_MOST_TRADES: Final = 200_000
_Sides = tuple[list[Level], list[Level]]
"""Bids and asks, each best first."""
_Value = tuple[int, str] | None
"""Size and orders of a price; None where the book does not have it."""


class Disagreement(msgspec.Struct, frozen=True):
    """A recorded line that no state of the archive explains. `theirs`: the archive's own stretch does not rebuild to
    its next full book, so that the fault may well be its own. `levels` differ; `price` is the best of them."""

    time_utc: str
    seq_id: int | None
    verdict: Verdict
    levels: int
    side: str
    price: str
    ours: str
    theirs: str


class HourOfAudit(msgspec.Struct):
    """How many recorded lines of an hour came to which verdict."""

    hour_utc: str
    counts: dict[Verdict, int]

    @property
    def compared(self) -> int:
        """Those that there was something to compare with."""
        return sum(count for verdict, count in self.counts.items() if verdict != "no witness")

    @property
    def agreed(self) -> int:
        """Equal to a state within the window, or explained by states within it."""
        return sum(self.counts[verdict] for verdict in AGREED)


@dataclass(slots=True)
class Audit:
    """What came of a day. `whole` full books, `rebuilt` of them as they were rebuilt; `inside` of `trades` lie within
    the spread of their time, `control` of them within that of a time drawn at random."""

    hours: dict[int, HourOfAudit] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)
    whole: int = 0
    rebuilt: int = 0
    trades: int = 0
    inside: int = 0
    control: int = 0

    def count(self, verdict: Verdict) -> int:
        """Lines of the day with this verdict."""
        return sum(hour.counts[verdict] for hour in self.hours.values())

    @property
    def compared(self) -> int:
        return sum(hour.compared for hour in self.hours.values())

    @property
    def agreed(self) -> int:
        return sum(hour.agreed for hour in self.hours.values())


class _Suspect(NamedTuple):
    """A disagreement whose class waits for the archive's next full book."""

    ts_ms: int
    found: Disagreement


class Auditor:
    """Goes once through the archive's lines and the recorded books of a day, both in order of time. `touches` gathers
    the best prices for the trades."""

    def __init__(self) -> None:
        self.audit = Audit()
        self.touches = Touches()
        self._book = Book()
        self._ahead: deque[BookChange] = deque()
        self._is_over = False
        self._suspects: list[_Suspect] = []

    def run(self, changes: Iterable[BookChange], recorded: Iterable[Snapshot]) -> Audit:
        """The verdicts. Raises LineError for a line of the archive that is none."""
        lines = iter(changes)
        for book in recorded:
            if book.gap_detected:
                continue
            self._advance(lines, book.ts_ms - WINDOW_MS)
            self._look_ahead(lines, book.ts_ms + WINDOW_MS)
            self._judge(book)
        for change in (*self._ahead, *lines):
            self._apply(change)
        self._settle(is_proved=True)  # nothing behind the last full book says otherwise
        return self.audit

    def _look_ahead(self, lines: Iterator[BookChange], until_ms: int) -> None:
        while not self._ahead or (self._ahead[-1].ts_ms or 0) <= until_ms:
            change = next(lines, None)
            if change is None:
                self._is_over = True
                return
            self._ahead.append(change)

    def _advance(self, lines: Iterator[BookChange], until_ms: int) -> None:
        """Apply all lines up to a time."""
        self._look_ahead(lines, until_ms)
        while self._ahead and (self._ahead[0].ts_ms or 0) <= until_ms:
            self._apply(self._ahead.popleft())
            self._look_ahead(lines, until_ms)

    def _apply(self, change: BookChange) -> None:
        if change.is_snapshot and self._book.ts_ms is not None:
            whole = Book()
            apply_line(whole, change)
            is_same = is_same_book(self._book.top(EVERY_LEVEL), whole.top(EVERY_LEVEL))
            self.audit.whole += 1
            self.audit.rebuilt += is_same
            self._settle(is_same)
        if change.is_snapshot or self._book.ts_ms is not None:
            apply_line(self._book, change)
            self.touches.note(self._book)

    def _judge(self, book: Snapshot) -> None:
        verdict, found = self._verdict(book)
        hour_ms = book.ts_ms // HOUR_MS * HOUR_MS
        hour = self.audit.hours.get(hour_ms)
        if hour is None:
            hour = self.audit.hours[hour_ms] = HourOfAudit(utc_text(hour_ms), dict.fromkeys(VERDICTS, 0))
        if found is None:
            hour.counts[verdict] += 1
        else:
            self._suspects.append(_Suspect(book.ts_ms, found))

    def _settle(self, is_proved: bool) -> None:
        """The stretch is over: a disagreement in one that rebuilds is ours, in another one theirs."""
        verdict: Verdict = "ours" if is_proved else "theirs"
        for suspect in self._suspects:
            self.audit.hours[suspect.ts_ms // HOUR_MS * HOUR_MS].counts[verdict] += 1
            self.audit.disagreements.append(msgspec.structs.replace(suspect.found, verdict=verdict))
        self._suspects.clear()

    def _verdict(self, book: Snapshot) -> tuple[Verdict, Disagreement | None]:
        ahead = [change for change in self._ahead if (change.ts_ms or 0) <= book.ts_ms + WINDOW_MS]
        known = self._book.ts_ms is not None or any(change.is_snapshot for change in ahead)
        newest_ms = ((ahead[-1].ts_ms if ahead else self._book.ts_ms) or 0) if known else None
        if newest_ms is None or book.ts_ms - newest_ms > _SILENCE_MS or (self._is_over and newest_ms < book.ts_ms):
            return "no witness", None  # behind the archive's last line nobody says what changed
        own = book.bids, book.asks
        standing = self._standing(ahead, book)
        if is_same_book(own, standing):
            return "exact", None  # nearly every line: the other states need not be made
        states = self._states(ahead, book.depth)
        if any(is_same_book(own, state) for state in states):
            return "window", None
        if all(_is_mixed(own[side], [state[side] for state in states]) for side in (0, 1)):
            return "batching", None
        return "ours", _disagreement(book, standing)

    def _standing(self, ahead: Sequence[BookChange], book: Snapshot) -> _Sides:
        """The state at the time of a recorded book; the first that is known, where that is later."""
        at = self._book.copy()
        for change in ahead:
            if at.ts_ms is not None and (change.ts_ms or 0) > book.ts_ms:
                break
            if at.ts_ms is not None or change.is_snapshot:
                apply_line(at, change)
        return at.top(book.depth)

    def _states(self, ahead: Sequence[BookChange], depth: int) -> list[_Sides]:
        """All of the window, in order; nothing is known before the first full book."""
        at = self._book.copy()
        states = [] if at.ts_ms is None else [at.top(depth)]
        for change in ahead:
            if at.ts_ms is not None or change.is_snapshot:
                apply_line(at, change)
                states.append(at.top(depth))
        return states


def _values(levels: Sequence[Level]) -> dict[int, tuple[int, str]]:
    return {price_key(price): (price_key(size), orders) for price, size, _, orders in levels}


def _is_mixed(own: Sequence[Level], states: Sequence[Sequence[Level]]) -> bool:
    """Whether each price of a side is as some state of the window has it: what a push sums up is then cut elsewhere."""
    every = [_values(state) for state in states]
    mine = _values(own)
    for price in {*mine, *(price for state in every for price in state)}:
        value: _Value = mine.get(price)
        if all(state.get(price) != value for state in every):
            return False
    return True


def _disagreement(book: Snapshot, state: tuple[list[Level], list[Level]]) -> Disagreement:
    count, first = 0, ("", "", "", "")
    for side, own, other in (("bid", book.bids, state[0]), ("ask", book.asks, state[1])):
        mine, theirs = _values(own), _values(other)
        texts = {price_key(level[0]): level for level in (*other, *own)}
        differing = [price for price in {*mine, *theirs} if mine.get(price) != theirs.get(price)]
        count += len(differing)
        if differing and not first[0]:
            price = max(differing) if side == "bid" else min(differing)
            first = side, texts[price][0], _text(own, price), _text(other, price)
    return Disagreement(utc_text(book.ts_ms), book.seq_id, "ours", count, *first)


def _text(levels: Sequence[Level], price: int) -> str:
    """Size and orders as printed, or that there is no such level."""
    found = next((level for level in levels if price_key(level[0]) == price), None)
    return "no level" if found is None else f"{found[1]} ({found[3]})"


class Touches:
    """The best bid and ask of a day, each from the time at which it was new."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._best: list[tuple[int, int]] = []

    def note(self, book: Book) -> None:
        """The book after a line."""
        bids, asks = book.top(1)
        if bids and asks and book.ts_ms is not None:
            best = price_key(bids[0][0]), price_key(asks[0][0])
            if not self._best or self._best[-1] != best:
                self._times.append(book.ts_ms)
                self._best.append(best)

    def holds(self, price: int, ts_ms: int) -> bool:
        """Whether a price lies within a spread of that time, give or take the window."""
        first = max(0, bisect_right(self._times, ts_ms - WINDOW_MS) - 1)
        after = bisect_left(self._times, ts_ms + WINDOW_MS + 1)
        best = self._best[first:after]
        return bool(best) and min(bid for bid, _ in best) <= price <= max(ask for _, ask in best)

    def spans(self, ts_ms: int) -> bool:
        """Whether a time is one of which something is known."""
        return bool(self._times) and self._times[0] <= ts_ms <= self._times[-1]


def check_trades(audit: Audit, touches: Touches, pushes: Iterable[TradePush], seed: int = 0) -> None:
    """Trades against the rebuilt spread of their time, and as a control against that of other trades' times."""
    kept = [(push.ts_ms, price_key(push.px)) for push in pushes if touches.spans(push.ts_ms)]
    step = -(-len(kept) // _MOST_TRADES) or 1
    kept = kept[::step]
    times = [ts_ms for ts_ms, _ in kept]
    Random(seed).shuffle(times)
    audit.trades = len(kept)
    audit.inside = sum(touches.holds(price, ts_ms) for ts_ms, price in kept)
    audit.control = sum(touches.holds(price, ts_ms) for ts_ms, (_, price) in zip(times, kept, strict=True))
