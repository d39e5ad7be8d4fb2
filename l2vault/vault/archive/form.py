"""The archive as one form of an hour among the others. Its libraries are loaded when an archive is really read or made.

The one place that says what becomes of a reader that lacks them.
"""

from collections.abc import Iterator
from pathlib import Path

from l2vault.book.snapshot import Snapshot
from l2vault.errors import analysis_extra
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.store.catalog import Report, StoredHour, unreported
from l2vault.vault.store.forms import PlacedLine, TimedLine
from l2vault.vault.store.layout import Layout


class Archive:
    """See `store.forms.ArchiveForm`. Of the journal of the vault whose hours it makes last it keeps the index."""

    def __init__(self) -> None:
        self._journal: tuple[Path, JournalIndex] | None = None

    def lines(self, hour: StoredHour, is_newest: bool, report: Report) -> Iterator[PlacedLine]:
        with analysis_extra():
            from l2vault.vault.archive.read import archived_lines, files_of, or_reported
        offset = 0
        for text in or_reported(hour, report, lambda: archived_lines(files_of(hour))) or ():
            yield PlacedLine(text, hour.path, offset)
            offset += len(text) + 1

    def books(self, hour: StoredHour, span: tuple[int, int], report: Report) -> Iterator[Snapshot]:
        with analysis_extra():
            from l2vault.vault.archive.read import archived_books, files_of, or_reported
        yield from or_reported(hour, report, lambda: archived_books(files_of(hour), span)) or ()

    def times(self, hour: StoredHour, is_newest: bool, report: Report) -> Iterator[TimedLine]:
        with analysis_extra():
            from l2vault.vault.archive.read import archived_stands, files_of, or_reported
        for ts_ms, is_flagged in or_reported(hour, report, lambda: archived_stands(files_of(hour))) or ():
            yield TimedLine(ts_ms, is_flagged, hour.path, 0)

    def book_at(self, hour: StoredHour, t_ms: int, with_flagged: bool, report: Report) -> Snapshot | None:
        with analysis_extra():
            from l2vault.vault.archive.read import archived_book, files_of, or_reported
        return or_reported(hour, report, lambda: archived_book(files_of(hour), t_ms, with_flagged))

    def first_ms(self, hour: StoredHour) -> int | None:
        return next(iter(self.all_times(hour, unreported)), None)

    def all_times(self, hour: StoredHour, report: Report) -> list[int]:
        with analysis_extra():
            from l2vault.vault.archive.read import archived_times, files_of, or_reported
        try:
            return or_reported(hour, report, lambda: archived_times(files_of(hour), with_flagged=True)) or []
        except FileNotFoundError:  # deleted or restored meanwhile
            return []

    def make(self, layout: Layout, hour: StoredHour) -> int:
        with analysis_extra():
            from l2vault.vault.archive.write import archive_hour
        file = layout.parse_hour_file(hour.path)
        assert file is not None, "an archive is made of raw files"
        if self._journal is None or self._journal[0] != layout.root:
            self._journal = layout.root, JournalIndex(layout)
        return archive_hour(layout, file, self._journal[1])
