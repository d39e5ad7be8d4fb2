"""Recorded deep books re-checked: each file and line, and that every sample can be rebuilt with the checksum that its
line carries; every closed hour against its digest.
"""

from collections.abc import Callable, Iterator
from typing import Final

from l2vault.book.deep import to_deep_line
from l2vault.vault.checking.changes import Kind, Trouble, archive_trouble, contradicted, trouble_of
from l2vault.vault.checking.journal import rightly_gone
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.journal.events import HourClosed
from l2vault.vault.reading.deep import samples_of_hour
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, StoredHour
from l2vault.vault.store.layout import Layout, packed_path
from l2vault.vault.store.line import is_of_later_version

_MAY_BE_WRITTEN: Final = 2


class DeepCheck:
    """One walk through the deep books of a vault; `files`, `lines`, `bytes_read` count what was checked."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout.of("deep")
        self._catalog = Catalog(self._layout)
        self._journal = JournalIndex(self._layout)
        self.files = 0
        self.lines = 0
        self.bytes_read = 0

    def run(self, on_hour: Callable[[StoredHour], None] = lambda hour: None) -> Iterator[Trouble]:
        """Instrument by instrument, oldest hour first. `on_hour` is told of each file before it is read."""
        entries = list(self._journal.entries())
        closings = (entry.event for entry in entries if isinstance(entry.event, HourClosed))
        noted = {event.inst_id for event in closings if event.kind == "deep"}
        for inst_id in sorted(noted.union(self._catalog.instruments())):
            closed = self._journal.closed_hours(inst_id, "deep")
            every = self._catalog.hours(inst_id)
            for at, forms in enumerate(every):
                for stored in forms.every:
                    on_hour(stored)
                yield from self._check_hour(forms, at >= len(every) - _MAY_BE_WRITTEN)
                yield from contradicted(forms, closed.get(forms.hour_ms))
            gone = {*rightly_gone(self._layout, entries, inst_id), *(forms.hour_ms for forms in every)}
            for hour_ms in sorted(closed.keys() - gone):
                path = packed_path(self._layout.hour_file(inst_id, hour_ms))
                lines = closed[hour_ms].lines
                text = f"the journal says that it holds {lines} lines; it is gone, and nothing deleted it"
                yield Trouble(path, None, "missing", text)

    def _check_hour(self, forms: HourForms, may_be_written: bool) -> Iterator[Trouble]:
        for stored in forms.every:
            self.files += 1
            self.bytes_read += stored.size_bytes
            trouble = archive_trouble(stored) if stored.form == "archive" else None
            if trouble is not None:
                yield trouble
                return
        unread: list[Finding] = []
        for line, deep, why, _ in samples_of_hour(self._catalog, forms, may_be_written, unread.append):
            self.lines += 1
            canonical = to_deep_line(deep)
            if canonical != line.text:
                kind: Kind = "newer" if is_of_later_version(line.text, canonical) else "altered"
                yield Trouble(line.path, line.offset, kind, "its keys, their order or the spacing are other ones")
            if why:
                yield Trouble(line.path, line.offset, "changes", f"no deep book can be rebuilt: {why}")
        yield from map(trouble_of, unread)
