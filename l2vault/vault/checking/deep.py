"""Recorded deep books, or RPI books, re-checked: each file and line, and that every sample can be rebuilt with the
checksum that its line carries; every closed hour against its digest.
"""

from collections.abc import Callable, Iterator

from l2vault.book.deep import DEEP_CHANNELS, DeepKind, to_deep_line
from l2vault.vault.checking.changes import Kind, Trouble, archive_trouble, trouble_of, walk_hours
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.reading.deep import samples_of_hour
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, StoredHour
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.line import is_of_later_version


class DeepCheck:
    """One walk through the deep books of a vault, or its RPI books; `files`, `lines`, `bytes_read` count what was
    checked."""

    def __init__(self, layout: Layout, kind: DeepKind = "deep") -> None:
        self._channel = DEEP_CHANNELS[kind]
        self._layout = layout.of(kind)
        self._catalog = Catalog(self._layout)
        self._journal = JournalIndex(self._layout)
        self.files = 0
        self.lines = 0
        self.bytes_read = 0

    def run(self, on_hour: Callable[[StoredHour], None] = lambda hour: None) -> Iterator[Trouble]:
        """Instrument by instrument, oldest hour first. `on_hour` is told of each file before it is read."""
        return walk_hours(self._catalog, self._journal, self._channel.kind, self._check_hour, on_hour)

    def _check_hour(self, forms: HourForms, may_be_written: bool) -> Iterator[Trouble]:
        for stored in forms.every:
            self.files += 1
            self.bytes_read += stored.size_bytes
            trouble = archive_trouble(stored) if stored.form == "archive" else None
            if trouble is not None:
                yield trouble
                return
        unread: list[Finding] = []
        every = samples_of_hour(self._catalog, forms, may_be_written, unread.append, self._channel)
        for line, deep, why, _ in every:
            self.lines += 1
            canonical = to_deep_line(deep)
            if canonical != line.text:
                kind: Kind = "newer" if is_of_later_version(line.text, canonical) else "altered"
                yield Trouble(line.path, line.offset, kind, "its keys, their order or the spacing are other ones")
            if why:
                yield Trouble(line.path, line.offset, "changes", f"no {self._channel.noun} can be rebuilt: {why}")
        yield from map(trouble_of, unread)
