"""Spans of the built-in exchange for whoever reads its archive: the files it serves, what is wrong with them, a vault
in which a recorder kept the same market with holes and wrong lines, and what was true at each grid time.

What was true is the market's own state (`Market.standing`): no push, file or book of ours is asked for it.
"""

import gzip
import io
import json
import tarfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import BookChange
from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import DAY_MS, HOUR_MS, utc_text
from l2vault.sim.exchange.archive import ArchivedFile, make_archive
from l2vault.sim.exchange.books import Tick
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.levels import Image
from l2vault.sim.exchange.market import Market
from l2vault.sim.exchange.trades import TRADED_SHARE, Trade, Trades, single_matches
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.log import Journal, start_of_run
from l2vault.vault.store.layout import Layout

INST = "BTC-USDT-SWAP"
CADENCE_MS = 2_000
DEEP_MS = 30_000
QUARTER_MS = 900_000
LONGEST_QUIET_MS = 60_000
NEAR_STEPS = 5
"""So many steps before a grid time a push may be the newest one of it."""

Span = tuple[int, int]
UNKNOWN, KNOWN, DENIED = range(3)
"""Of a slot in a source: no book, a book, a book of a stretch that the next full book of the archive denies."""


class Plan(NamedTuple):
    """What there is and what goes wrong. Spans are half-open, in exchange time."""

    step_ms: int
    spans: Sequence[Span]
    """In which there is a market; each begins anew with a full book."""
    depth: int
    seed: int = 1
    silences: Sequence[Span] = ()
    """Of which the archive lacks every line; behind one it begins with a full book."""
    lying: Sequence[int] = ()
    """Moments; in the quarter of each the archive lacks one line, so that its next full book is another one."""
    absent: Sequence[str] = ()
    """Days of which OKX has no file of books."""
    off: Sequence[Span] = ()
    """In which nothing is recorded."""
    wrong_every: int = 0
    """So many recorded books after another one of them is wrong."""
    traded_share: float = TRADED_SHARE
    """How often a loss at the touch is a trade."""


class Moment:
    """The market behind one push; most are never looked at."""

    def __init__(self, tick: Tick, standing: Callable[[], Image]) -> None:
        self.ts_ms, self.seq_id, self.prev_seq_id = tick.ts_ms, tick.change.seq_id, tick.change.prev_seq_id
        self._standing = standing

    @cached_property
    def image(self) -> Image:
        return self._standing()

    @cached_property
    def books(self) -> int:
        return digest(*self.image)


def digest(bids, asks) -> int:
    """Of all levels as texts, order counts included."""
    text = "|".join(";".join(f"{price} {size} {orders}" for price, size, _, orders in side) for side in (bids, asks))
    return _number(text.encode())


def digest_of_sizes(bids, asks) -> int:
    """Of prices and sizes as numbers, which is what every format has. `bids` and `asks`: pairs, best first."""
    return _number(array("d", [value for side in (bids, asks) for pair in side for value in pair]).tobytes())


def _number(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little") or 1


class Slots:
    """What stood at each grid time of one span, and what each source must know of it."""

    def __init__(self, span: Span) -> None:
        self.first_ms = -(-span[0] // CADENCE_MS) * CADENCE_MS
        self.span = span
        self.count = max(0, -(-(span[1] - self.first_ms) // CADENCE_MS))
        self.books = array("Q", bytes(8 * self.count))
        self.sizes = array("Q", bytes(8 * self.count))
        self.archive = bytearray(self.count)
        self.recorded = bytearray(self.count)
        self.altered: dict[int, int] = {}
        """By slot the digest of a book that was recorded wrongly."""

    def place(self, slot_ms: int) -> int:
        return (slot_ms - self.first_ms) // CADENCE_MS

    def times(self) -> Iterator[tuple[int, int]]:
        """Each place with its grid time."""
        return enumerate(range(self.first_ms, self.first_ms + self.count * CADENCE_MS, CADENCE_MS))


class Wrong(NamedTuple):
    """A recorded line that is not the exchange's book: what an audit must call it, and what it must say of it."""

    ts_ms: int
    seq_id: int | None
    verdict: str
    side: str = ""
    price: str = ""
    ours: str = ""
    theirs: str = ""


class Silence(NamedTuple):
    """The archive's last line before one and the first behind it, and the book of the former."""

    from_ms: int
    to_ms: int
    books: int
    whole_ms: int
    """The full book before it, from which on the one behind it denies everything."""


@dataclass
class World:
    """What the exchange knows."""

    plan: Plan
    files: list[ArchivedFile] = field(default_factory=list)
    slots: list[Slots] = field(default_factory=list)
    lines: array = field(default_factory=lambda: array("q"))
    """Of every recorded line its time and `seqId`."""
    wrong: dict[int, Wrong] = field(default_factory=dict)
    """By their times the recorded lines that are another book than the exchange's then."""
    silences: list["Silence"] = field(default_factory=list)
    misled: dict[int, int] = field(default_factory=dict)
    """By the time of a recorded line the book that the archive has there, which is wrong."""
    deep: dict[int, int] = field(default_factory=dict)
    """By the time of the newest push at a multiple of 30 s, of those that end a second or begin a quarter, the book."""
    trades: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By hour the number of single trades, and a digest of all of them in order of their ids."""
    wholes: list[int] = field(default_factory=list)
    """Times of the full books of the archive."""
    pushes: int = 0


class _TradeDigests:
    """Of every trade the exchange made, by hour."""

    def __init__(self) -> None:
        self._hours: dict[int, tuple[int, object]] = {}

    def __call__(self, trade: Trade) -> None:
        for one in single_matches(trade):
            self.add(one.ts_ms, one.trade_id, one.px, one.sz, one.side)

    def add(self, ts_ms, trade_id, px, sz, side) -> None:
        hour_ms = ts_ms // HOUR_MS * HOUR_MS
        count, running = self._hours.get(hour_ms) or (0, blake2b(digest_size=8))
        running.update(f"{trade_id} {px} {sz} {side} {ts_ms}\n".encode())
        self._hours[hour_ms] = count + 1, running

    def end(self) -> dict[int, tuple[int, int]]:
        return {hour_ms: (count, int(run.hexdigest(), 16)) for hour_ms, (count, run) in self._hours.items()}


def trade_digests(rows) -> dict[int, tuple[int, int]]:
    """The same of rows that were read: time, id, price, size, side."""
    found = _TradeDigests()
    for row in rows:
        found.add(*row)
    return found.end()


def make_world(plan: Plan, folder: Path, recorded: Path | None = None) -> World:
    """Plays the market once: its archive goes to `folder`, what a recorder kept of it to the vault `recorded`."""
    world = World(plan)
    digests = _TradeDigests()
    keeper = None if recorded is None else _Recorder(world, Layout(recorded))
    trades = Trades(plan.seed, traded_share=plan.traded_share)
    trades.watch(digests)
    world.files = make_archive(folder, _played(world, keeper), plan.seed, trades=trades)
    world.trades = digests.end()
    if keeper is not None:
        keeper.close()
    for at_ms in plan.lying:
        _leave_a_line_out(world, at_ms)
    return world


def _played(world: World, keeper: "_Recorder | None") -> Iterator[Tick]:
    for span in world.plan.spans:
        slots = Slots(span)
        world.slots.append(slots)
        market = Market([INST], world.plan.seed, span[0], world.plan.step_ms)
        yield from _Play(world, slots, market, keeper).ticks()


class _Play:
    """One span: passes on what the archive has, and notes what was true."""

    def __init__(self, world: World, slots: Slots, market: Market, keeper: "_Recorder | None") -> None:
        self._world, self._slots, self._market, self._keeper = world, slots, market, keeper
        self._plan = world.plan
        self._near_ms = NEAR_STEPS * world.plan.step_ms
        self._whole_ms = 0
        self._day_ms = -1
        self._last = 0, 0
        self._line: tuple[int, Moment | None] = (0, None)

    def ticks(self) -> Iterator[Tick]:
        before: Tick | None = None
        moment: Moment | None = None
        is_silent = False
        for tick in self._market.ticks():
            ts_ms = tick.ts_ms
            if ts_ms >= self._slots.span[1]:
                break
            self._world.pushes += 1
            was_silent, is_silent = is_silent, _is_in(ts_ms, self._plan.silences)
            if before is not None:
                self._between(before.ts_ms, moment, ts_ms, was_silent, is_silent)
            if not is_silent:
                self._note_whole(ts_ms, was_silent)
                yield self._full(tick) if was_silent else tick
            if is_silent and not was_silent and before is not None:
                self._last = before.ts_ms, 0 if moment is None else moment.books
            if before is not None and ts_ms // 1_000 != before.ts_ms // 1_000:
                self._deep_line(before.ts_ms, moment)
            is_whole = before is None or ts_ms // QUARTER_MS != before.ts_ms // QUARTER_MS
            before, moment = tick, self._moment(tick)
            if is_whole:  # with a full book goes a line, whatever follows in its second
                self._deep_line(ts_ms, moment)
            if self._keeper is not None:
                self._keeper.push(tick, moment, self._slots)
        if self._keeper is not None:
            self._keeper.end_span()

    def _moment(self, tick: Tick) -> Moment | None:
        """The market as it stands, if it may be asked for: shortly before a grid time, or in a pause."""
        ts_ms = tick.ts_ms
        if -ts_ms % CADENCE_MS > self._near_ms:
            return None
        return Moment(tick, self._market.standing(self._plan.depth))

    def _between(self, s_ms: int, moment: Moment | None, t_ms: int, was_silent: bool, is_silent: bool) -> None:
        first_ms = -(-s_ms // CADENCE_MS) * CADENCE_MS
        if first_ms >= t_ms:
            return
        assert moment is not None, f"no push for a while before {utc_text(first_ms)}: a larger NEAR_STEPS"
        books = moment.books
        sizes = digest_of_sizes(*([(float(level[0]), float(level[1])) for level in side] for side in moment.image))
        is_known = not was_silent and not self._is_absent(s_ms)
        has_next = not is_silent and not self._is_absent(t_ms)
        for slot_ms in range(first_ms, t_ms, CADENCE_MS):
            at = self._slots.place(slot_ms)
            self._slots.books[at], self._slots.sizes[at] = books, sizes
            if is_known and (has_next or (is_silent and slot_ms == first_ms)):
                self._slots.archive[at] = KNOWN if has_next else DENIED

    def _deep_line(self, ts_ms: int, moment: Moment | None) -> None:
        """The last push of a second is a line of the file of 5000 levels, and so is one with which a full book comes.
        The line before it is a sample if it was the newest at a multiple of 30 s."""
        last_ms, last = self._line
        if last is not None and -(-last_ms // DEEP_MS) * DEEP_MS < ts_ms:
            self._world.deep[last_ms] = last.books
        self._line = ts_ms, moment

    def _note_whole(self, ts_ms: int, was_silent: bool) -> None:
        """When the archive has a full book; one behind a silence denies all since the one before."""
        if was_silent:
            deny(self._slots, self._whole_ms, ts_ms)
            self._world.silences.append(Silence(self._last[0], ts_ms, self._last[1], self._whole_ms))
        is_new_day = ts_ms // DAY_MS != self._day_ms
        if was_silent or is_new_day or ts_ms // QUARTER_MS != self._whole_ms // QUARTER_MS:
            self._whole_ms, self._day_ms = ts_ms, ts_ms // DAY_MS
            self._world.wholes.append(ts_ms)

    def _full(self, tick: Tick) -> Tick:
        bids, asks = self._market.standing(CHANNEL_DEPTH)()
        return Tick(tick.ts_ms, BookChange(INST, True, bids, asks, tick.ts_ms, tick.change.seq_id, -1, 0), None)

    def _is_absent(self, ts_ms: int) -> bool:
        return bool(self._plan.absent) and utc_text(ts_ms)[:10] in self._plan.absent


def deny(slots: Slots, from_ms: int, to_ms: int) -> None:
    """The books of a stretch between two full ones are not to be believed: their grid times lie before its end."""
    for slot_ms in range(-(-from_ms // CADENCE_MS) * CADENCE_MS, to_ms, CADENCE_MS):
        at = slots.place(slot_ms)
        if 0 <= at < slots.count and slots.archive[at] == KNOWN:
            slots.archive[at] = DENIED


def _is_in(ts_ms: int, spans: Sequence[Span]) -> bool:
    return any(from_ms <= ts_ms < to_ms for from_ms, to_ms in spans)


class _Recorder:
    """Keeps what a recorder does of the pushes that it sees: lines by the law of sampling, hours, and the journal."""

    def __init__(self, world: World, layout: Layout) -> None:
        self._world, self._layout, self._plan = world, layout, world.plan
        clock = iter(range(1, 1 << 40))
        self._journal = Journal(layout, lambda: next(clock), lambda place: self._started())
        self._hour_ms = -1
        self._rows: list[bytes] = []
        self._quiet: list[noted.Quiet] = []
        self._first_ms = self._last_ms = -1
        self._noted_lines = self._number = 0
        self._held: tuple[int, Moment | None] | None = None
        self._recent: list[Moment] = []
        row = layout.instrument_file(INST)
        row.parent.mkdir(parents=True, exist_ok=True)
        row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")

    def push(self, tick: Tick, moment: Moment | None, slots: Slots) -> None:
        ts_ms = tick.ts_ms
        if _is_in(ts_ms, self._plan.off):
            self._lose()
            return
        if self._held is None:
            self._journal.append(noted.Synced(utc_text(ts_ms), 1, INST, utc_text(ts_ms), tick.change.seq_id))
        else:
            self._sample(ts_ms, slots)
        self._held = ts_ms, moment
        if moment is not None:
            self._recent = [each for each in self._recent if ts_ms - each.ts_ms <= 90] + [moment]

    def end_span(self) -> None:
        """The recorder is stopped until the next one."""
        self._lose()

    def close(self) -> None:
        self._close_hour()

    def _lose(self) -> None:
        if self._held is None:
            return
        self._note_minute(self._held[0])
        at = utc_text(self._held[0])
        self._journal.append(noted.Lost(at, 1, INST, "our_restart", at, None, ""))
        self._held, self._recent = None, []

    def _sample(self, t_ms: int, slots: Slots) -> None:
        s_ms, moment = self._held
        first_ms = -(-s_ms // CADENCE_MS) * CADENCE_MS
        if first_ms >= t_ms:
            return
        hour_ms = s_ms // HOUR_MS * HOUR_MS
        if hour_ms != self._hour_ms:
            self._close_hour()
            self._hour_ms = hour_ms
        last_ms = (t_ms - 1) // CADENCE_MS * CADENCE_MS
        self._write(moment, slots, range(first_ms, last_ms + 1, CADENCE_MS))
        self._first_ms = first_ms if self._first_ms < 0 else self._first_ms
        self._last_ms = last_ms
        if last_ms > first_ms:
            self._quiet.append(noted.Quiet(*map(utc_text, (s_ms, first_ms + CADENCE_MS, last_ms))))

    def _write(self, moment: Moment, slots: Slots, covered: range) -> None:
        bids, asks = moment.image
        self._number += 1
        every = self._plan.wrong_every
        if every and self._number % every == 0:
            bids, asks, wrong = _spoiled(moment, self._recent, self._number // every)
            self._world.wrong[moment.ts_ms] = wrong
        for slot_ms in covered:
            at = slots.place(slot_ms)
            slots.recorded[at] = KNOWN
            if bids is not moment.image.bids or asks is not moment.image.asks:
                slots.altered[at] = digest(bids, asks)
        line = Snapshot(INST, moment.ts_ms, self._plan.depth, bids, asks, 0, moment.seq_id, moment.prev_seq_id)
        self._rows.append(to_line(line))
        self._world.lines.extend((moment.ts_ms, moment.seq_id))

    def _note_minute(self, book_ms: int) -> None:
        """What was due since the one before it, with no hole in between."""
        if self._first_ms < 0:
            return
        last_line = utc_text(self._world.lines[-2])
        due = (self._last_ms - self._first_ms) // CADENCE_MS + 1
        lines = len(self._rows) - self._noted_lines
        self._noted_lines = len(self._rows)
        bounds = utc_text(self._first_ms), utc_text(self._last_ms)
        one = noted.MinuteOf(due, *bounds, lines, 0, last_line, 0, self._quiet, utc_text(book_ms))
        self._journal.append(noted.Minute(utc_text(book_ms), {INST: one}))
        self._first_ms, self._quiet = -1, []

    def _close_hour(self) -> None:
        if not self._rows:
            return
        self._note_minute(self._world.lines[-2])
        data = b"".join(row + b"\n" for row in self._rows)
        path = self._layout.hour_file(INST, self._hour_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(data, 1))
        self._rows, self._noted_lines = [], 0

    def _started(self) -> noted.Started:
        at = utc_text(self._plan.spans[0][0])
        begun = start_of_run(at, "recorder", None)
        rest = ([INST], CADENCE_MS, self._plan.depth, 1, "digest")
        return noted.Started(begun.at, "0", "host", 1, "os", *rest, schema=noted.SCHEMA)


def _spoiled(moment: Moment, recent: Sequence[Moment], nth: int) -> tuple[list, list, Wrong]:
    """Another book than the one that stood, and what an audit must call it."""
    (bids, asks), of = moment.image, (moment.ts_ms, moment.seq_id)
    earlier = recent[0]
    if nth % 2 and earlier.books != moment.books:
        if nth % 4 == 1:
            return *earlier.image, Wrong(*of, "window")
        mixed = digest(earlier.image.bids, asks)
        states = [each.books for each in recent]
        verdict = "exact" if mixed == moment.books else "window" if mixed in states else "batching"
        return earlier.image.bids, asks, Wrong(*of, verdict)
    is_bid, side = nth % 3 == 0, list(bids if nth % 3 == 0 else asks)
    at = nth % min(len(side), 7)
    price, size, zero, orders = side[at]
    theirs = f"{size} ({orders})"
    if nth % 8 < 3:
        side[at], ours = (price, str(Decimal(size) + 1), zero, orders), f"{Decimal(size) + 1} ({orders})"
    elif nth % 8 < 6:
        side[at], ours = (price, size, zero, str(int(orders) + 1)), f"{size} ({int(orders) + 1})"
    else:  # one at a price that is no multiple of the tick, in the place of the last
        price, ours, theirs = (
            str(Decimal(price) + Decimal("-0.05" if is_bid else "0.05")),
            f"{size} ({orders})",
            "no level",
        )
        side[at + 1 :] = [(price, size, zero, orders), *side[at + 1 : -1]]
    wrong = Wrong(*of, "ours", "bid" if is_bid else "ask", price, ours, theirs)
    return (side, asks, wrong) if is_bid else (bids, side, wrong)


def _leave_a_line_out(world: World, at_ms: int) -> None:
    """One line of a file before the full book behind `at_ms`, so that this is not the one that is rebuilt."""
    to_at = next(at for at, whole_ms in enumerate(world.wholes) if whole_ms > at_ms)
    from_ms, to_ms = world.wholes[to_at - 1], world.wholes[to_at]
    (file,) = [
        each
        for each in world.files
        if each.kind == "books400" and each.date_ms <= from_ms < to_ms < each.date_ms + DAY_MS
    ]
    with tarfile.open(file.path) as tar:
        member = tar.next()
        lines = tar.extractfile(member).read().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines]
    first = next(at for at, row in enumerate(rows) if int(row["ts"]) == from_ms and row["action"] == "snapshot")
    last = next(at for at, row in enumerate(rows) if int(row["ts"]) == to_ms and row["action"] == "snapshot")
    depth = world.plan.depth
    true = _top(_replayed(rows[first:last]), depth)
    left_out = next(
        at for at in range(last - 2, first, -1) if _top(_replayed(_without(rows, first, last, at)), depth) != true
    )
    with tarfile.open(file.path, "w:gz") as tar:
        data = b"".join(lines[:left_out] + lines[left_out + 1 :])
        member = tarfile.TarInfo(member.name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    slots = next(each for each in world.slots if each.span[0] <= at_ms < each.span[1])
    deny(slots, from_ms, to_ms)
    times = {int(row["ts"]): at for at, row in enumerate(rows[:last]) if at >= left_out and int(row["ts"]) < to_ms}
    for ts_ms in world.lines[::2]:
        if ts_ms in times:
            bids, asks = _top(_replayed(_without(rows, first, times[ts_ms] + 1, left_out)), depth)
            world.misled[ts_ms] = digest(bids, asks)


def _without(rows: list, first: int, last: int, left_out: int) -> list:
    return [rows[at] for at in range(first, last) if at != left_out]


def _replayed(rows: list) -> tuple[dict, dict]:
    """Both sides as anybody would first write it: texts by price."""
    sides: tuple[dict, dict] = ({}, {})
    for row in rows:
        for side, levels in zip(sides, (row["bids"], row["asks"]), strict=True):
            if row["action"] == "snapshot":
                side.clear()
            for price, size, orders in levels:
                if Decimal(size):
                    side[Decimal(price)] = price, size, "0", orders
                else:
                    side.pop(Decimal(price), None)
    return sides


def _top(sides: tuple[dict, dict], depth: int) -> tuple[list, list]:
    bids, asks = sides
    best = sorted(bids, reverse=True)[:depth], sorted(asks)[:depth]
    return [bids[price] for price in best[0]], [asks[price] for price in best[1]]
