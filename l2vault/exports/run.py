"""A span of a vault into one of the formats, day after day of UTC: memory is that of an hour, whatever the span."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

from l2vault.book.utc import DAY_MS, utc_text
from l2vault.exports.events import BookEvent, Event, Receipts, Shown, Span, TradeEvent, in_order
from l2vault.exports.label import (
    NO_RECEIVE_TIME,
    NO_TRADES,
    OF_ARCHIVE,
    TWO_SECOND_BOOKS,
    Day,
    Label,
    Subject,
    book_holes,
    subject_of,
    trade_holes,
)
from l2vault.exports.source import shown_books, standing_books, trade_events
from l2vault.exports.target import new_folder
from l2vault.vault.coverage.model import Coverage
from l2vault.vault.reading.sources import sources_of
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Report
from l2vault.vault.store.spans import split

Format = Literal["hftbacktest", "nautilus", "tardis-csv", "parquet", "csv"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
Show = Callable[[int, int, str], None]

_DISBELIEVED: Final = "receive times of {} events were more than ten minutes off the exchange's, and were not used"
_EVENTS_SHOWN: Final = 4096
"""The bar moves once in so many events."""


class Writer(Protocol):
    """One format. Each day is begun, given its events in order of exchange time, and ended; `files` then names what is
    written, and `notes` what a user must know of it. `close` comes last, whatever happened."""

    files: list[str]
    notes: list[str]

    def begin(self, day: Day) -> None: ...

    def book(self, event: BookEvent, local_us: int) -> None: ...

    def trade(self, event: TradeEvent, local_us: int) -> bool: ...

    def end(self, day: Day) -> None: ...

    def close(self) -> None: ...


def writer_of(form: Format, folder: Path, subject: Subject, has_trades: bool) -> Writer:
    """Raises VaultError with the install command where the format's extra is missing."""
    if form == "hftbacktest":
        from l2vault.exports.hftbacktest import HftBacktest

        return HftBacktest(folder, subject, has_trades)
    if form == "nautilus":
        from l2vault.exports.nautilus import Nautilus

        return Nautilus(folder, subject, has_trades)
    if form == "tardis-csv":
        from l2vault.exports.tardis_csv import TardisCsv

        return TardisCsv(folder, subject, has_trades)
    from l2vault.exports.plain import Csv, Parquet

    return (Parquet if form == "parquet" else Csv)(folder, subject, has_trades)


class Export:
    """One instrument over one span. `report` is given what does not read, `show` the progress."""

    def __init__(self, vault: Vault, inst_id: str, span: Span, report: Report, show: Show) -> None:
        self._vault, self._inst_id, self._span = vault, inst_id, span
        self._report, self._show = report, show
        self._trades = vault.trades()
        self._receipts = Receipts()
        self._has_trades = inst_id in self._trades.instruments()

    def write(self, form: Format, out: Path, is_forced: bool = False) -> Label:
        """Into the new folder `out`; what it rests on. Raises as `new_folder` and `writer_of` do, and leaves nothing
        half done."""
        subject = subject_of(self._vault, self._inst_id, self._span)
        with new_folder(out, is_forced) as folder:
            writer = writer_of(form, folder, subject, self._has_trades)
            try:
                days = [self._day(writer, span) for span in split(self._span, DAY_MS)]
            finally:
                writer.close()
            notes = [*writer.notes, *self._notes(days)]
            label = Label(form, subject, self._span, self._has_trades, days, notes, writer.files, self._sources())
            label.write(folder)
        return label

    def _day(self, writer: Writer, span: Span) -> Day:
        vault, inst_id = self._vault, self._inst_id
        shown, coverage = shown_books(vault, inst_id, span)
        day = Day(utc_text(span[0])[:10], *span, shown.shown_ms, [])
        writer.begin(day)
        pieces = standing_books(vault, inst_id, span, self._report)
        trades = trade_events(self._trades, inst_id, span, self._report) if self._has_trades else iter(())
        self._write(writer, in_order(shown.events(pieces), trades), day)
        self._describe(day, shown, coverage)
        writer.end(day)
        return day

    def _write(self, writer: Writer, events: Iterator[Event], day: Day) -> None:
        for number, event in enumerate(events):
            local_us = self._receipts.local_us(event)
            if isinstance(event, BookEvent):
                writer.book(event, local_us)
            else:
                day.trades += writer.trade(event, local_us)
                day.unsized_trades += event.size is None
                day.archive_trades += event.is_archive
            if number % _EVENTS_SHOWN == 0:
                self._show(event.ts_ms - self._span[0], self._span[1] - self._span[0], day.day)

    def _describe(self, day: Day, shown: Shown, coverage: Coverage) -> None:
        day.holes = book_holes(shown.holes, coverage)
        day.archived = shown.archived
        if self._has_trades:
            known = self._trades.coverage(self._inst_id, (day.from_ms, day.to_ms))
            day.trades_proved_share, day.trade_holes = known.known_share, trade_holes(known)

    def _sources(self) -> tuple[str, ...]:
        if self._vault.source == "archive":
            return ("archive",)
        return sources_of(self._vault) or ("recorded", "repaired")

    def _notes(self, days: list[Day]) -> Iterator[str]:
        if any(day.shown_ms["lines"] or day.shown_ms["archive"] for day in days):
            yield TWO_SECOND_BOOKS
            yield NO_RECEIVE_TIME
        if any(day.archived or day.archive_trades for day in days):
            yield OF_ARCHIVE
        if self._receipts.disbelieved:
            yield _DISBELIEVED.format(self._receipts.disbelieved)
        if not self._has_trades:
            yield NO_TRADES
