"""What was fetched made into hours of the archive's vault: books by our own law, trades by their ids.

Each hour is kept whole and noted, so that a run that was killed goes on with the hours that lack; a day of books is
noted too, and not read again. What is recorded is never touched.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from l2vault.book.utc import DAY_MS, utc_text
from l2vault.errors import LineError, VaultError
from l2vault.foreign import printable
from l2vault.history.books import BookDay, DayReport, Law
from l2vault.history.deep import DeepDay
from l2vault.history.funding import keep_funding
from l2vault.history.hours import DayNote, HourKeeper
from l2vault.history.naming import Wanted
from l2vault.history.shelf import Shelf
from l2vault.history.trades import TradeDay
from l2vault.history.unpack import lines_of
from l2vault.vault.journal.log import Journal
from l2vault.vault.store.layout import Kind, Layout

Progress = Callable[[int, int, str], None]


class Place(NamedTuple):
    """The vault, its journal for what is made of the archive, and our clock."""

    layout: Layout
    journal: Journal
    wall_text: Callable[[], str]


def backfill_books(
    place: Place,
    files: Sequence[Wanted],
    law: Law,
    progress: Progress,
    only: Callable[[int], bool] | None = None,
) -> DayReport:
    """The books of some days of one instrument, oldest first; `only` says which hours. Raises VaultError for a file
    that does not read: the hours before stay."""
    keeper = HourKeeper(place.layout.okx_archive, "books", place.journal, place.wall_text)
    shelf = Shelf(place.layout)
    report = DayReport()
    day: BookDay | None = None
    for at, wanted in enumerate(files):
        span = wanted.span
        note = _note(keeper, shelf, wanted, law)
        if day is None:
            made = keeper.made_of(wanted.inst_id, span[0], note) if only is None else None
            if made is not None:
                report.kept_hours += len(made.hours)
                continue
            day = BookDay(wanted.inst_id, law, keeper, only)
            day.report = report
            _begin_where_it_ended(day, keeper, shelf, wanted)
        is_followed = at + 1 < len(files) and files[at + 1].span[0] == span[1]
        path = shelf.path(wanted)
        show = _shown(progress, at, len(files), wanted, span)
        try:
            day.read(lines_of(path), (note.name, note.sha256), span, show)
            day.end(is_followed)
            _end(day, keeper, wanted, note if only is None else None)
        except LineError as error:
            day.drop()
            raise _damaged(path, error) from error
        except BaseException:
            day.drop()
            raise
        day = day if is_followed else None
    return report


def backfill_trades(place: Place, files: Sequence[Wanted], progress: Progress) -> DayReport:
    """The trades of some days of UTC+8, oldest first. Raises as `backfill_books` does."""
    return _each(place, files, progress, "trades", TradeDay)


def backfill_deep(place: Place, files: Sequence[Wanted], progress: Progress) -> DayReport:
    """Deep books of files of 5000 levels, oldest first. Raises as `backfill_books` does."""
    return _each(place, files, progress, "deep", DeepDay)


def _each(
    place: Place,
    files: Sequence[Wanted],
    progress: Progress,
    kind: Kind,
    day_of: Callable[[Wanted, HourKeeper, str, DayReport], TradeDay | DeepDay],
) -> DayReport:
    """Files whose hours need nothing of one another."""
    keeper = HourKeeper(place.layout.okx_archive, kind, place.journal, place.wall_text)
    shelf, report = Shelf(place.layout), DayReport()
    for at, wanted in enumerate(files):
        path = shelf.path(wanted)
        day = day_of(wanted, keeper, _digest(shelf, wanted), report)
        try:
            day.read(lines_of(path), _shown(progress, at, len(files), wanted, wanted.span))
        except LineError as error:
            raise _damaged(path, error) from error
        finally:
            day.drop()
    return report


def backfill_funding(place: Place, files: Sequence[Wanted], progress: Progress) -> DayReport:
    """The rates of some days of UTC+8, as context. Raises as `backfill_books` does."""
    keeper = HourKeeper(place.layout.okx_archive, "context", place.journal, place.wall_text)
    shelf, report = Shelf(place.layout), DayReport()
    for at, wanted in enumerate(files):
        progress(at, len(files), f"{wanted.inst_id} funding {wanted.date}")
        path = shelf.path(wanted)
        try:
            keep_funding(wanted, lines_of(path), keeper, _digest(shelf, wanted), report)
        except LineError as error:
            raise _damaged(path, error) from error
    return report


def _end(day: BookDay, keeper: HourKeeper, wanted: Wanted, note: DayNote | None) -> None:
    """Keep the book with which a day ended, and note that all of it was read."""
    inst_id, (start_ms, end_ms) = wanted.inst_id, wanted.span
    carried = day.carried()
    if carried is not None and carried.ts_ms < end_ms:
        keeper.carry(inst_id, carried)
    if note is not None:
        hours = [utc_text(hour_ms) for hour_ms in sorted(day.filled)]
        ended_with = keeper.carried_digest(inst_id, start_ms)
        keeper.keep_day(inst_id, start_ms, msgspec.structs.replace(note, ended_with=ended_with, hours=hours))


def _note(keeper: HourKeeper, shelf: Shelf, wanted: Wanted, law: Law) -> DayNote:
    """What is known of a day before it is read."""
    is_joined = _day_before(shelf, wanted) is not None
    began_with = keeper.carried_digest(wanted.inst_id, wanted.span[0] - DAY_MS) if is_joined else ""
    return DayNote(wanted.name, _digest(shelf, wanted), *law, began_with, "", [])


def _day_before(shelf: Shelf, wanted: Wanted) -> Wanted | None:
    """Its file, if that is here."""
    before = wanted._replace(date=utc_text(wanted.span[0] - DAY_MS)[:10])
    return None if shelf.note(before) is None else before


def _begin_where_it_ended(day: BookDay, keeper: HourKeeper, shelf: Shelf, wanted: Wanted) -> None:
    """The day before may have been made by an earlier run."""
    carried = keeper.carried(wanted.inst_id, wanted.span[0] - DAY_MS)
    if carried is not None:
        before = _day_before(shelf, wanted)
        if before is not None:
            day.begin_with(carried, (before.name, _digest(shelf, before)))


def _digest(shelf: Shelf, wanted: Wanted) -> str:
    note = shelf.note(wanted)
    if note is None:
        raise VaultError(f"{wanted.name} is not here.", f"l2vault fetch {wanted.inst_id} --what {wanted.what}")
    return note.sha256


def _shown(progress: Progress, at: int, count: int, wanted: Wanted, span: tuple[int, int]) -> Callable[[int], None]:
    def show(ts_ms: int) -> None:
        share = min(1.0, max(0.0, (ts_ms - span[0]) / (span[1] - span[0])))
        progress(round(1000 * (at + share)), 1000 * count, f"{wanted.inst_id} {wanted.what} {wanted.date}")

    return show


def _damaged(path: Path, error: LineError) -> VaultError:
    return VaultError(
        f"{printable(path, 400)}: {printable(error.message)}. The hours before it are whole.",
        "delete the file, then l2vault fetch again",
    )
