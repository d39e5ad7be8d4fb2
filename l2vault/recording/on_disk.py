"""What the disk took since the minute record before, by instrument: lines of books, and lines of trades.

Pure. What was queued, and what the disk refused, is in none of it.
"""

from dataclasses import dataclass, field

import msgspec

from l2vault.book.snapshot import Snapshot
from l2vault.book.trade import TradePush
from l2vault.book.utc import utc_text
from l2vault.vault.journal.events import Minute, MinuteOf
from l2vault.vault.journal.trade_events import TradesOf
from l2vault.vault.store.layout import Kind
from l2vault.vault.store.writer import Row


@dataclass(slots=True)
class _Books:
    lines: int = 0
    flagged: int = 0
    last_ms: int | None = None

    def add(self, snapshot: Snapshot) -> None:
        if snapshot.gap_detected:
            self.flagged += 1
        else:
            self.lines += 1
            self.last_ms = snapshot.ts_ms


@dataclass(slots=True)
class _Trades:
    first_id: int
    last_id: int = 0
    lines: int = 0
    ids: int = 0
    last_ms: int = 0

    def add(self, push: TradePush) -> None:
        first_id, last_id = push.first_id, push.last_id
        self.lines += 1
        self.ids += last_id - first_id + 1
        self.first_id = min(first_id, self.first_id)
        self.last_id = max(last_id, self.last_id)
        self.last_ms = max(push.ts_ms, self.last_ms)


@dataclass(slots=True)
class OnDisk:
    """`add` each line that was appended, and `drop` those that are gone again."""

    _books: dict[str, _Books] = field(default_factory=dict)
    _trades: dict[str, _Trades] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._books or self._trades)

    def add(self, row: Row) -> None:
        if isinstance(row, Snapshot):
            self._books.setdefault(row.inst_id, _Books()).add(row)
        else:
            self._trades.setdefault(row.inst_id, _Trades(row.first_id)).add(row)

    def drop(self, kind: Kind, inst_id: str, lines: int) -> None:
        """The file that so many lines went into is no longer where it was."""
        one = (self._books if kind == "books" else self._trades).get(inst_id)
        if one is not None:
            one.lines = max(0, one.lines - lines)

    def completed(self, minute: Minute) -> Minute:
        """The record, with the lines of every instrument."""
        instruments = dict(minute.instruments)
        for inst_id, one in self._books.items():
            if one.lines + one.flagged:
                last = None if one.last_ms is None else utc_text(one.last_ms)
                known = instruments.get(inst_id, MinuteOf())
                of_disk = {"lines": one.lines, "flagged": one.flagged, "last_line": last}
                instruments[inst_id] = msgspec.structs.replace(known, **of_disk)
        trades = {
            inst_id: TradesOf(one.lines, one.ids, one.first_id, one.last_id, utc_text(one.last_ms))
            for inst_id, one in self._trades.items()
            if one.lines
        }
        return msgspec.structs.replace(minute, instruments=instruments, trades=trades)

    def clear(self) -> None:
        """A new record begins."""
        self._books.clear()
        self._trades.clear()
