"""Tardis's CSV: `incremental_book_L2` and `trades`, a gzipped file each a day, times in microseconds.

Columns as Tardis documents them (docs.tardis.dev, "Downloadable CSV files", read 2026-11). Beyond them, so that its
readers come to our very book: a hole begins with an `amount` of 0 for every level, and a snapshot is followed at once
by an update. hftbacktest's converter would otherwise keep far levels, and cuts each snapshot to the shortest one before
it: what is beyond that comes as updates.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from l2vault.book.change import Level
from l2vault.exports.csv_file import CsvFile
from l2vault.exports.events import BookEvent, Prices, TradeEvent
from l2vault.exports.label import Day, Subject

_EXCHANGE: Final = "okex-swap"
_BOOK: Final = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
_TRADES: Final = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
_SIDES: Final = ("bid", "ask")


class TardisCsv:
    """Writes events as they come; `files` are those of the days that are done."""

    def __init__(self, folder: Path, subject: Subject, has_trades: bool) -> None:
        self.files: list[str] = []
        self.notes: list[str] = []
        self._open = ExitStack()
        self._folder = folder
        self._symbol = subject.inst_id
        self._has_trades = has_trades
        self._book: CsvFile | None = None
        self._trades: CsvFile | None = None
        self._prices = Prices()
        self._room = [0, 0]
        self._last_us = 0

    def begin(self, day: Day) -> None:
        """The files of a day."""
        self._room = [1 << 30, 1 << 30]
        self._book = self._new(f"{_EXCHANGE}_incremental_book_L2_{day.day}_{self._symbol}.csv.gz", _BOOK)
        if self._has_trades:
            self._trades = self._new(f"{_EXCHANGE}_trades_{day.day}_{self._symbol}.csv.gz", _TRADES)

    def book(self, event: BookEvent, local_us: int) -> None:
        head = self._head(event.ts_ms, local_us)
        if event.kind == "update":
            for side, levels in enumerate((event.bids, event.asks)):
                self._levels(head, side, levels)
            return
        gone = [self._prices.replace(side, levels) for side, levels in enumerate((event.bids, event.asks))]
        rows = [f"{head}false,{_SIDES[side]},{price},0\n" for side in (0, 1) for price in gone[side]]
        if event.kind == "full":
            rows += self._snapshot(head, event)
        self._write(rows)

    def trade(self, event: TradeEvent, local_us: int) -> bool:
        """Whether it is written: one without a size cannot be."""
        assert self._trades is not None
        if event.size is None:
            return False
        head = self._head(event.ts_ms, local_us)
        self._trades.write([f"{head}{event.trade_id},{event.side},{event.price},{event.size}\n"])
        return True

    def end(self, day: Day) -> None:
        self.close()

    def close(self) -> None:
        """What is still open."""
        self._open.close()

    def _snapshot(self, head: str, event: BookEvent) -> list[str]:
        first, behind = [], []
        for side, levels in enumerate((event.bids, event.asks)):
            name = _SIDES[side]
            room = self._room[side] = min(self._room[side], len(levels))
            first += [f"{head}true,{name},{level[0]},{level[1]}\n" for level in levels[:room]]
            behind += [f"{head}false,{name},{level[0]},{level[1]}\n" for level in levels[room:]]
            if levels and side == 0 or (not event.bids and levels):
                behind.append(f"{head}false,{name},{levels[0][0]},{levels[0][1]}\n")
        return first + behind

    def _levels(self, head: str, side: int, levels: list[Level]) -> None:
        rows = []
        for level in levels:
            self._prices.update(side, level)
            rows.append(f"{head}false,{_SIDES[side]},{level[0]},{level[1]}\n")
        self._write(rows)

    def _write(self, rows: list[str]) -> None:
        assert self._book is not None
        self._book.write(rows)

    def _head(self, ts_ms: int, local_us: int) -> str:
        """Rows stand in order of their local time."""
        self._last_us = max(self._last_us, local_us)
        return f"{_EXCHANGE},{self._symbol},{ts_ms * 1000},{self._last_us},"

    def _new(self, name: str, columns: str) -> CsvFile:
        self.files.append(name)
        return self._open.enter_context(CsvFile(self._folder / name, columns))
