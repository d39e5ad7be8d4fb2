"""The chain of one instrument's trades over all feeds: which ids are new, which step is a hole, what fills it. Pure.

OKX: `tradeId` is the last id of a push and `count` how many it stands for, so trades are complete where each push
begins behind the ids before it. Knows no file, no socket and no clock: whoever asks REST hands over what it answered.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, Literal

import msgspec

from l2vault.book.trade import IdSpan, TradePush
from l2vault.okx.trade_leaps import REST, Held, TradeLeaps

GRACE_MS: Final = 500
"""Of exchange time: a message that only changed places with the next one closes its own hole within that."""
WAIT_MS: Final = 3_000
"""Of exchange time: for another feed that is on its way to the hole. Connections differ by far less."""
STANDSTILL_MS: Final = 10_000
"""Monotonic: where messages no longer come, nothing else would end a wait."""
MOST_HOLES: Final = 256
"""Of an instrument: beyond it the oldest is said to be missing and forgotten."""

HoleCause = Literal["chain", "disconnect", "notice", "our_restart", "disk_full", "silence", "task_failed"]


@dataclass(frozen=True, slots=True)
class Take:
    """Write this push: all its ids are new, or it is marked as an overlap."""

    push: TradePush


@dataclass(frozen=True, slots=True)
class Begun:
    """The chain of this instrument begins with this id; nothing is said of those before it."""

    inst_id: str
    trade_id: int
    ts_ms: int
    cause: Literal["first", "numbering"]


@dataclass(frozen=True, slots=True)
class Hole:
    """No feed brought the ids `first` to `last`, which lie between the exchange times `from_ms` and `to_ms`."""

    inst_id: str
    first: int
    last: int
    from_ms: int
    to_ms: int
    cause: HoleCause


@dataclass(frozen=True, slots=True)
class NeedTrades:
    """Ask REST for these ids and their neighbours; hand each page to `join` and the end of the search to `give_up`."""

    inst_id: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Filled:
    """Of a hole that was reported so many ids, all between `first` and `last`, have come after all."""

    inst_id: str
    first: int
    last: int
    ids: int
    by: Literal["feed", "rest"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """REST names the trades on both sides of these ids and none between: OKX never used them, so nothing is lost."""

    inst_id: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class StillMissing:
    """Nobody has these ids, or nobody could be asked: they stay missing."""

    inst_id: str
    first: int
    last: int
    from_ms: int
    to_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A push whose ids are far from the chain, and with which nothing agreed: it is not written."""

    inst_id: str
    first: int
    last: int
    ts_ms: int
    feed: int


Reported = Foreign | Begun | Hole | Filled | Skipped | StillMissing
"""What is written to the journal."""
TradeOutput = Take | NeedTrades | Reported


class _State(Enum):
    WAITS = auto()  # for another feed
    ASKED = auto()  # REST
    UNWRITTEN = auto()  # the disk refused the lines; to be asked of REST once it takes lines again
    GIVEN_UP = auto()  # a late push may fill it all the same


@dataclass(slots=True)
class _Hole:
    first: int
    last: int
    from_ms: int
    to_ms: int
    cause: HoleCause
    seen_ms: int
    """Exchange time of the push that showed it."""
    until_ms: int
    """Monotonic: the wait ends then at the latest."""
    state: _State = _State.WAITS
    is_reported: bool = False


class TradeChain:
    """`offer`, `tick`, `join` and `give_up` return all consequences, in the order in which they take effect.

    `Take`n pushes are in the order in which they came. No id is in two of them, but for those of an overlap.
    """

    def __init__(self, inst_id: str) -> None:
        self._inst_id = inst_id
        self._head: int | None = None
        """The greatest id; all up to it are known, but for the holes."""
        self._head_ms = 0
        self._newest_ms = 0
        self._holes: list[_Hole] = []
        """By id, disjoint."""
        self._feeds: dict[int, int] = {}
        """Of each feed that has brought a push since it connected, the greatest id."""
        self._down_cause: HoleCause | None = None
        """Why the last feed went; until the next push."""
        self._late: Filled | None = None
        """What feeds have put into reported holes since the last `tick`."""
        self._new_in: OrderedDict[int, tuple[tuple[int, int], ...]] = OrderedDict()
        """Of the newest overlaps, by their last id: which of their ids were new."""
        self._leaps = TradeLeaps()
        self.pushed_ms = 0
        """Monotonic time of the last new push."""

    @property
    def head(self) -> int | None:
        return self._head

    @property
    def missing(self) -> int:
        """Ids that are not known at this moment."""
        return sum(hole.last - hole.first + 1 for hole in self._holes)

    def resume(self, known: Sequence[IdSpan], now_ms: int, cause: HoleCause = "our_restart") -> None:
        """What the vault holds, by id and disjoint: each step between is a hole of what ended there by that `cause`,
        and so is the next."""
        for before, after in zip(known, known[1:], strict=False):
            bounds = before.last + 1, after.first - 1, before.to_ms, after.from_ms
            self._open(_Hole(*bounds, cause, after.from_ms, now_ms + STANDSTILL_MS))
        if known:
            self._head, self._head_ms = known[-1].last, known[-1].to_ms
            self._newest_ms = self._head_ms
            self._down_cause = cause

    def feed_down(self, feed: int, cause: HoleCause) -> None:
        """The feed's connection is gone, and what it did not bring by now it never will."""
        if self._feeds.pop(feed, None) is not None and not self._feeds:
            self._down_cause = cause

    def offer(self, feed: int, push: TradePush, now_ms: int) -> list[TradeOutput]:
        """A feed's push, in the order in which the feed brought it. `now_ms` is monotonic.

        One whose ids are far from the chain is held, and comes when a second word agrees with it."""
        if self._head is not None and self._leaps.is_leap(push, self._head, self._head_ms):
            return self._doubt(Held(feed, push, now_ms))
        return [*self._foreign(self._leaps.fitted(now_ms)), *self._accept(feed, push, now_ms)]

    def _accept(self, feed: int, push: TradePush, now_ms: int) -> list[TradeOutput]:
        outputs: list[TradeOutput] = []
        if self._head is None or push.is_renumbered(self._head, self._head_ms):
            outputs += self._begin(push, "first" if self._head is None else "numbering")
        self._feeds[feed] = max(push.last_id, self._feeds.get(feed, push.last_id))
        self._newest_ms = max(self._newest_ms, push.ts_ms)
        new = self._new_of(push)
        self._note(push, now_ms)
        if new:
            self.pushed_ms = now_ms
            if new != ((push.first_id, push.last_id),):
                push = msgspec.structs.replace(push, overlap=True)
                self._new_in[push.last_id] = new
                if len(self._new_in) > MOST_HOLES:
                    self._new_in.popitem(last=False)
            outputs.append(Take(push))
        return outputs + self._end_waits(now_ms) if self._holes else outputs

    def tick(self, now_ms: int) -> list[TradeOutput]:
        """Call it about once a second: waits that no message ends are ended."""
        late, self._late = self._late, None
        return [*([] if late is None else [late]), *self._end_waits(now_ms)]

    def reach(self, newest: TradePush, now_ms: int) -> list[TradeOutput]:
        """REST names this trade as the newest: if no feed brings it and those before it soon, they are a hole."""
        if self._head is None:
            return []
        if self._leaps.is_leap(newest, self._head, self._head_ms):
            return self._doubt(Held(REST, newest, now_ms))
        self._await(newest, now_ms)
        return [*self._foreign(self._leaps.fitted(now_ms))]

    def _doubt(self, held: Held) -> list[TradeOutput]:
        believed, dropped = self._leaps.hold(held)
        outputs: list[TradeOutput] = [*self._foreign(dropped)]
        for feed, push, now_ms in believed:
            if feed != REST:
                outputs += self._accept(feed, push, now_ms)
                continue
            assert self._head is not None
            if push.is_renumbered(self._head, self._head_ms):
                outputs += self._begin(push, "numbering")
            self._await(push, now_ms)
        return outputs

    def _foreign(self, dropped: Iterable[Held]) -> list[Foreign]:
        pushes = [(held.push, held.feed) for held in dropped if held.feed != REST]
        return [Foreign(self._inst_id, push.first_id, push.last_id, push.ts_ms, feed) for push, feed in pushes]

    def _await(self, newest: TradePush, now_ms: int) -> None:
        if self._head is None or newest.last_id <= self._head:
            return
        bounds = self._head + 1, newest.last_id, self._head_ms, newest.ts_ms
        seen_ms = max(newest.ts_ms, self._newest_ms)
        self._open(_Hole(*bounds, self._down_cause or "silence", seen_ms, now_ms + STANDSTILL_MS))
        self._head, self._head_ms = newest.last_id, newest.ts_ms

    def join(self, rows: Sequence[TradePush], above: int | None) -> list[TradeOutput]:
        """A page of REST's single trades, newest first: fill what is missing, and see which ids were never used.

        `above` is the id that the page before ended with: nothing lies between it and this page. None for a first page,
        which proves nothing of what is newer than its first row.
        """
        if not rows:
            return []
        taken = [row for row in reversed(rows) if self._fill(row.last_id, row.last_id, row.ts_ms)]
        outputs: list[TradeOutput] = [Take(row) for row in taken]
        if taken:
            outputs.append(Filled(self._inst_id, taken[0].last_id, taken[-1].last_id, len(taken), "rest"))
        top = rows[0].last_id if above is None else above - 1
        return [*outputs, *self._skip(rows[-1].last_id, top)]

    def give_up(self, first: int, last: int, detail: str) -> list[TradeOutput]:
        """The search for these ids has ended: what is still missing of them stays so."""
        outputs: list[TradeOutput] = []
        for hole in self._holes:
            if first <= hole.first and hole.last <= last and hole.state is not _State.GIVEN_UP:
                outputs += self._abandon(hole, detail)
        return outputs

    def unwritten(self, push: TradePush) -> None:
        """The disk refused this line: its ids are missing. Nothing is asked before `written_again`."""
        new = self._new_in.pop(push.last_id, ()) if push.overlap else ((push.first_id, push.last_id),)
        if self._head is None or push.last_id > self._head:
            return  # of a numbering that is over
        for span in new:
            for first, last in list(self._known_in(*span)):
                hole = _Hole(first, last, push.ts_ms, push.ts_ms, "disk_full", push.ts_ms, 0, _State.UNWRITTEN)
                self._open(hole)
        self._holes = list(_merged(self._holes))

    def written_again(self) -> list[TradeOutput]:
        """The disk takes lines again: what it refused is asked of REST."""
        outputs: list[TradeOutput] = []
        for hole in self._holes:
            if hole.state is _State.UNWRITTEN:
                outputs += self._ask(hole)
        return outputs

    def ask_all(self) -> list[TradeOutput]:
        """Nothing is waited for: every hole is reported, and asked of REST."""
        return [output for hole in self._holes if hole.state is _State.WAITS for output in self._ask(hole)]

    def end(self) -> list[Reported]:
        """Recording stops: what is missing now is looked for by the next run."""
        late, self._late = self._late, None
        outputs: list[Reported] = [] if late is None else [late]
        outputs += self._foreign(self._leaps.end())
        for hole in self._holes:
            if hole.state is not _State.GIVEN_UP:
                outputs += self._abandon(hole, "the recorder stopped")
        return outputs

    def _begin(self, push: TradePush, cause: Literal["first", "numbering"]) -> list[TradeOutput]:
        outputs: list[TradeOutput] = []
        for hole in self._holes:
            if hole.state is not _State.GIVEN_UP:
                outputs += self._abandon(hole, "OKX numbers its trades anew")
        self._holes.clear()
        self._feeds.clear()
        self._down_cause = None
        self._head, self._head_ms = push.first_id - 1, push.ts_ms
        return [*outputs, Begun(self._inst_id, push.first_id, push.ts_ms, cause)]

    def _new_of(self, push: TradePush) -> tuple[tuple[int, int], ...]:
        """The ids of the push that are not known: those in holes, and those behind the head."""
        first, last, head = push.first_id, push.last_id, self._head
        if head is None or first > head:
            return ((first, last),)
        new = [(max(first, hole.first), min(last, hole.last)) for hole in self._holes]
        if last > head:
            new.append((head + 1, last))
        found: list[tuple[int, int]] = []
        for low, high in new:
            if low > high:
                continue
            if found and found[-1][1] == low - 1:
                low = found.pop()[0]
            found.append((low, high))
        return tuple(found)

    def _note(self, push: TradePush, now_ms: int) -> None:
        """From now on no id of the push is new."""
        first, last, head = push.first_id, push.last_id, self._head
        assert head is not None
        if self._holes and first <= head:
            before = self.missing
            filled = self._fill(first, min(last, head), push.ts_ms)
            if any(filled):
                self._note_late(first, last, before - self.missing)
        if last <= head:
            return
        if first > head + 1:
            cause, until_ms = self._down_cause or "chain", now_ms + STANDSTILL_MS
            self._open(_Hole(head + 1, first - 1, self._head_ms, push.ts_ms, cause, push.ts_ms, until_ms))
        self._head, self._head_ms, self._down_cause = last, push.ts_ms, None

    def _known_in(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of these ids, none of them behind the head, is in no hole."""
        for hole in self._holes:
            if first <= hole.last and hole.first <= last:
                if first < hole.first:
                    yield first, hole.first - 1
                first = hole.last + 1
        if first <= last:
            yield first, last

    def _open(self, hole: _Hole) -> None:
        self._holes.append(hole)
        self._holes.sort(key=lambda one: one.first)

    def _fill(self, first: int, last: int, ts_ms: int) -> list[bool]:
        """Take ids out of the holes; of each hole that lost some, whether it had been reported."""
        met: list[bool] = []
        holes: list[_Hole] = []
        for hole in self._holes:
            if hole.last < first or last < hole.first:
                holes.append(hole)
                continue
            met.append(hole.is_reported)
            if hole.first < first:
                holes.append(replace(hole, last=first - 1, to_ms=ts_ms))
            if last < hole.last:
                holes.append(replace(hole, first=last + 1, from_ms=ts_ms))
        self._holes = holes
        return met

    def _note_late(self, first: int, last: int, ids: int) -> None:
        late = self._late
        if late is not None:
            first, last, ids = min(first, late.first), max(last, late.last), ids + late.ids
        self._late = Filled(self._inst_id, first, last, ids, "feed")

    def _skip(self, bottom: int, top: int) -> Iterator[Skipped]:
        """REST has shown everything from `bottom` to `top`: what is still in a hole there was never used."""
        for hole in list(self._holes):
            first, last = max(bottom, hole.first), min(top, hole.last)
            if first <= last:
                self._fill(first, last, hole.to_ms)
                yield Skipped(self._inst_id, first, last)

    def _end_waits(self, now_ms: int) -> list[TradeOutput]:
        outputs: list[TradeOutput] = []
        while len(self._holes) > MOST_HOLES:
            oldest = self._holes.pop(0)
            if oldest.state is not _State.GIVEN_UP:
                outputs += self._abandon(oldest, f"more than {MOST_HOLES} holes at a time")
        for hole in self._holes:
            if hole.state is _State.WAITS and self._is_due(hole, now_ms):
                outputs += self._ask(hole)
        return outputs

    def _ask(self, hole: _Hole) -> list[TradeOutput]:
        hole.state = _State.ASKED
        return [*self._report(hole), NeedTrades(self._inst_id, hole.first, hole.last)]

    def _is_due(self, hole: _Hole, now_ms: int) -> bool:
        passed_ms = self._newest_ms - hole.seen_ms
        if passed_ms >= WAIT_MS or now_ms >= hole.until_ms:
            return True
        is_awaited = any(last <= hole.last for last in self._feeds.values())
        return passed_ms >= GRACE_MS and not is_awaited

    def _report(self, hole: _Hole) -> Iterable[Hole]:
        if not hole.is_reported:
            hole.is_reported = True
            yield Hole(self._inst_id, hole.first, hole.last, hole.from_ms, hole.to_ms, hole.cause)

    def _abandon(self, hole: _Hole, detail: str) -> list[Reported]:
        hole.state = _State.GIVEN_UP
        missing = StillMissing(self._inst_id, hole.first, hole.last, hole.from_ms, hole.to_ms, detail)
        return [*self._report(hole), missing]


def _merged(holes: Iterable[_Hole]) -> Iterator[_Hole]:
    """Lines that the disk refused one after the other are one hole."""
    last: _Hole | None = None
    for hole in holes:
        is_next = last is not None and last.last == hole.first - 1
        if last is not None and is_next and last.state is hole.state is _State.UNWRITTEN:
            last = replace(last, last=hole.last, to_ms=hole.to_ms)
            continue
        if last is not None:
            yield last
        last = hole
    if last is not None:
        yield last
