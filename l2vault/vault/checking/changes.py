"""Recorded changes re-checked: each file and line, that they follow each other, and that the books rebuilt from them
are the recorded lines, key by key.

Which book is a line's is the law of the sampler: the one after the last change that is not later than the line's time.
A line is compared wherever changes prove the book of its time; where none were kept there is nothing to compare.

A push may have come without a time that its book could take over, on one feed and not on the other: then the line that
the one brought and the changes of the other date the same book differently. Its book must still be that of its slot.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from l2vault.book.change_line import RecordedChange, from_change_line, to_change_line
from l2vault.book.replay import Replay
from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.errors import LineError, VaultError, install_command
from l2vault.vault.checking.journal import HourContents, rightly_gone
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.merged import hour_after
from l2vault.vault.coverage.slots import Grid
from l2vault.vault.journal.change_events import ChangesLost
from l2vault.vault.journal.events import HourClosed, Minute, MinuteOf
from l2vault.vault.journal.log import read_journal
from l2vault.vault.journal.merge_events import Merged
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, StoredHour, unreported
from l2vault.vault.store.forms import PlacedLine, hour_lines, snapshot_of
from l2vault.vault.store.layout import MAY_BE_WRITTEN, Layout, packed_path
from l2vault.vault.store.stream import GzipDamage, read_chunks

Kind = Literal["line", "altered", "newer", "misplaced", "unreadable", "archive", "changes", "contents", "missing"]

_CLIP: Final = 80
"""Of a value in a finding."""
_DISPROVED: Final = frozenset({"conflict", "audit"})
_UNTIMED_MS: Final = 500
"""A feed does not go on with a book whose newest change had no time and whose next one is more than this later
(`okx.book_time`)."""
_UNTIMED_AT_MOST: Final = 64
"""Changes in a row without a time of their own, of which the books before them are remembered."""
_OF_ITS_FEED: Final = ("prevSeqId", "checksum")
"""A feed that has just joined shows the full book's own, where another one shows those of the update before."""


class Trouble(NamedTuple):
    path: Path
    offset: int | None
    kind: Kind
    text: str


@dataclass(slots=True)
class Compared:
    """Lines of books, by what became of their comparison."""

    equal: int = 0
    different: int = 0
    unaligned: int = 0
    """The two feeds batch their pushes differently, and the line is the other feed's: no book has its `seqId`."""
    uncovered: int = 0
    """No changes prove the book of the line's time."""


class ChangeCheck:
    """One walk through the changes of a vault; `files`, `lines` and `compared` count what was checked."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._catalog = Catalog(layout.of("changes"))
        self._books = Catalog(layout)
        self._journal = JournalIndex(layout)
        self._of_changes = JournalIndex(layout.of("changes"))
        self.files = 0
        self.lines = 0
        self.bytes_read = 0
        self.compared = Compared()

    def run(self, on_hour: Callable[[StoredHour], None] = lambda hour: None) -> Iterator[Trouble]:
        """Instrument by instrument, oldest hour first. `on_hour` is told of each file before it is read."""
        doubts_of = lru_cache(maxsize=1)(self._doubts)  # instrument by instrument

        def check(forms: HourForms, may_be_written: bool) -> Iterator[Trouble]:
            return self._check_hour(forms, may_be_written, doubts_of(forms.inst_id))

        return walk_hours(self._catalog, self._of_changes, "changes", check, on_hour)

    def _check_hour(self, forms: HourForms, may_be_written: bool, doubts: "_Doubts") -> Iterator[Trouble]:
        """Every line by itself, then in their order, beside the hour's lines of books."""
        found: list[Trouble] = []
        for stored in forms.every:
            self.files += 1
            self.bytes_read += stored.size_bytes
            if stored.form == "archive" and (trouble := archive_trouble(stored)) is not None:
                found.append(trouble)
        if any(trouble.kind == "archive" for trouble in found):
            yield from found
            return
        walk = _Walk(self._books_of(forms), doubts, self.compared)
        unread: list[Finding] = []
        for placed in hour_lines(self._catalog, forms, may_be_written, unread.append):
            self.lines += 1
            trouble = _line_trouble(placed, forms.inst_id)
            if trouble is not None:
                yield trouble
            if trouble is None or trouble.kind == "altered":
                yield from walk.take(placed, from_change_line(placed.text))
        yield from walk.end()
        yield from map(trouble_of, unread)

    def _books_of(self, forms: HourForms) -> Iterator[tuple[PlacedLine, Snapshot]]:
        """The unflagged lines of the same hour that read."""
        books = self._books.hour(forms.inst_id, forms.hour_ms)
        try:
            for line in hour_lines(self._books, books, True, unreported):
                snapshot = snapshot_of(line, forms.inst_id, unreported)
                if snapshot is not None and not snapshot.gap_detected:
                    yield line, snapshot
        except VaultError:  # archived, and the extra is absent: said of the archive
            return

    def _doubts(self, inst_id: str) -> "_Doubts":
        """Where a difference is known already."""
        history = self._journal.history(inst_id)
        spans = [*history.disputed]
        unaligned = []
        for event in read_journal(self._layout):
            if isinstance(event, ChangesLost) and event.inst_id == inst_id and event.cause in _DISPROVED:
                if event.from_ is not None and event.to is not None:
                    spans.append((utc_ms(event.from_), utc_ms(event.to)))
            elif isinstance(event, Minute) and event.unaligned:
                of = event.instruments.get(inst_id, MinuteOf())
                if of.first is not None and of.last is not None:
                    unaligned.append((utc_ms(of.first), utc_ms(of.last)))
            elif isinstance(event, Merged) and (event.inst_id, event.kind) == (inst_id, "books"):
                unaligned.append((utc_ms(event.hour), hour_after(event)))  # its changes are of one vault
        return _Doubts(spans, unaligned, Grid(history))


class _Doubts(NamedTuple):
    """Spans, both ends included: what is disputed, and the minutes in which feeds were not aligned; and the slots."""

    disputed: list[tuple[int, int]]
    unaligned: list[tuple[int, int]]
    grid: Grid

    def covers(self, ts_ms: int) -> bool:
        return any(start <= ts_ms <= end for start, end in self.disputed)

    def explains_other_number(self, ts_ms: int) -> bool:
        """A minute names its first and last slot; the line's time may lie up to a cadence before it."""
        return any(start - 60_000 <= ts_ms <= end for start, end in self.unaligned)

    def latest_ms(self, ts_ms: int) -> int:
        """Up to when a push may have come whose book is in a line of this time: in its slot, and without a time."""
        return min(self.grid.slot_of(ts_ms), ts_ms + _UNTIMED_MS)


class _Early(NamedTuple):
    """A line that is not the book of its time: it may be that of a later change of its slot, up to `until_ms`."""

    line: PlacedLine
    snapshot: Snapshot
    until_ms: int
    trouble: Trouble


class _Walk:
    """The changes of an hour in order, and the lines of books that fall between them."""

    def __init__(self, books: Iterator[tuple[PlacedLine, Snapshot]], doubts: _Doubts, compared: Compared) -> None:
        self._books = books
        self._doubts = doubts
        self._compared = compared
        self._replay = Replay()
        self._next = next(books, None)
        self._untimed: list[Snapshot] = []
        """The books before each of the newest changes that have no time of their own."""
        self._early: _Early | None = None

    def take(self, placed: PlacedLine, recorded: RecordedChange) -> Iterator[Trouble]:
        """A change: first the lines whose book is the one before it."""
        yield from self._give_up(recorded.ts_ms)
        follows = self._replay.follows(recorded)
        while self._next is not None and self._next[1].ts_ms < recorded.ts_ms:
            self._compare(*self._next, follows)
            yield from self._give_up(recorded.ts_ms)
            self._next = next(self._books, None)
        had_book = self._replay.book is not None
        self._remember(recorded)
        if self._replay.apply(recorded) == "refused" and had_book:
            text = f"a change that fits no book: {self._replay.why_refused}"
            yield Trouble(placed.path, placed.offset, "changes", text)
        early = self._early
        if early is not None and self._is_any(early.line, early.snapshot):
            self._compared.equal += 1
            self._early = None

    def end(self) -> Iterator[Trouble]:
        yield from self._give_up(None)
        while self._next is not None:
            self._compare(*self._next, False)
            yield from self._give_up(None)
            self._next = next(self._books, None)

    def _remember(self, recorded: RecordedChange) -> None:
        """The book before a change without a time of its own may be that of any moment up to the next one with one."""
        change = recorded.change
        if change.is_snapshot or change.ts_ms == recorded.ts_ms:
            self._untimed.clear()
        elif self._replay.book is not None:
            self._untimed.append(self._replay.snapshot(change.inst_id))
            del self._untimed[:-_UNTIMED_AT_MOST]

    def _is_any(self, line: PlacedLine, snapshot: Snapshot) -> bool:
        """Whether the line is, but for its time, the book that is held or one before a change without a time."""
        if self._replay.book is None:
            return False
        depth = snapshot.depth
        for one in (self._replay.snapshot(snapshot.inst_id, depth), *self._untimed):
            levels = {"bids": one.bids[:depth], "asks": one.asks[:depth]}
            alike = msgspec.structs.replace(one, ts_ms=snapshot.ts_ms, depth=depth, **levels)
            if one.seq_id == snapshot.seq_id and not differences(line.text, to_line(alike)):
                return True
        return False

    def _give_up(self, now_ms: int | None) -> Iterator[Trouble]:
        """No change up to `now_ms`, None for the last, has the book of the line that is dated early."""
        if self._early is not None and (now_ms is None or now_ms > self._early.until_ms):
            self._compared.different += 1
            yield self._early.trouble
            self._early = None

    def _compare(self, line: PlacedLine, snapshot: Snapshot, is_proved: bool) -> None:
        """`is_proved`: the book that is held stood until after the line's time. `_give_up` names what differs."""
        book = self._replay.book
        is_same_time = book is not None and book.ts_ms == snapshot.ts_ms
        if book is None or not (is_proved or (is_same_time and book.seq_id == snapshot.seq_id)):
            self._compared.uncovered += 1
            return
        rebuilt = self._replay.snapshot(snapshot.inst_id, snapshot.depth)
        differing = differences(line.text, to_line(rebuilt))
        if not differing:
            self._compared.equal += 1
        elif self._doubts.covers(snapshot.ts_ms):
            self._compared.uncovered += 1
        elif book.seq_id != snapshot.seq_id and self._doubts.explains_other_number(snapshot.ts_ms):
            self._compared.unaligned += 1
        elif self._untimed and self._is_any(line, snapshot):
            self._compared.equal += 1
        else:
            at = utc_text(snapshot.ts_ms)
            text = f"the line of {at} is not the book that the changes give: {'; '.join(differing)}"
            until_ms = self._doubts.latest_ms(snapshot.ts_ms) if is_same_time and is_proved else 0
            self._early = _Early(line, snapshot, until_ms, Trouble(line.path, line.offset, "changes", text))


def walk_hours(
    catalog: Catalog,
    journal: JournalIndex,
    kind: Literal["changes", "deep", "rpi"],
    check_hour: Callable[[HourForms, bool], Iterator[Trouble]],
    on_hour: Callable[[StoredHour], None],
) -> Iterator[Trouble]:
    """The troubles of every hour of a kind that is written as gzip, by `check_hour` (told whether the hour may still be
    written) and by what the journal says of it, and the hours that are gone; instruments by name, oldest hour first."""
    entries = list(journal.entries())  # before the files: these then hold at least what it noted
    closings = (entry.event for entry in entries if isinstance(entry.event, HourClosed))
    noted = {event.inst_id for event in closings if event.kind == kind}
    for inst_id in sorted(noted.union(catalog.instruments())):
        closed = journal.closed_hours(inst_id, kind)
        every = catalog.hours(inst_id)
        for at, forms in enumerate(every):
            for stored in forms.every:
                on_hour(stored)
            yield from check_hour(forms, at >= len(every) - MAY_BE_WRITTEN)
            yield from contradicted(forms, closed.get(forms.hour_ms))
        gone = {*rightly_gone(catalog.layout, entries, inst_id), *(forms.hour_ms for forms in every)}
        for hour_ms in sorted(closed.keys() - gone):
            path = packed_path(catalog.layout.hour_file(inst_id, hour_ms))
            text = f"the journal says that it holds {closed[hour_ms].lines} lines; it is gone, and nothing deleted it"
            yield Trouble(path, None, "missing", text)


def archive_trouble(stored: StoredHour) -> Trouble | None:
    """What an archived hour says against itself."""
    try:
        from l2vault.vault.archive.read import files_of
        from l2vault.vault.archive.write import check_archive
    except ImportError as error:
        text = f"archives cannot be checked ({error}): {install_command('analysis')}"
        return Trouble(stored.path, None, "archive", text)
    text = check_archive(files_of(stored)) or ""
    return Trouble(stored.path, None, "archive", text) if text else None


def contradicted(forms: HourForms, closed: HourClosed | None) -> Iterator[Trouble]:
    """An hour whose raw file is not what the journal noted of it; archives are held against themselves."""
    if closed is None or not forms.raw or forms.archive is not None:
        return
    contents = HourContents(closed)
    for stored in forms.raw:
        contents.begin_file()
        try:
            for chunk in read_chunks(stored.path):
                contents.add(chunk)
        except (OSError, GzipDamage):  # told by whoever reads its lines
            return
    if (text := contents.trouble(False)) is not None:
        yield Trouble(forms.raw[0].path, None, "contents", text)


def _line_trouble(placed: PlacedLine, inst_id: str) -> Trouble | None:
    """What a line says against itself."""
    try:
        recorded = from_change_line(placed.text)
    except LineError as error:
        return Trouble(placed.path, placed.offset, "line", error.message)
    if recorded.inst_id != inst_id:
        return Trouble(placed.path, placed.offset, "misplaced", f"a change of {recorded.inst_id}")
    if to_change_line(recorded) != placed.text:
        text = "its keys, their order or the spacing are not those of a line of changes"
        return Trouble(placed.path, placed.offset, "altered", text)
    return None


def differences(line: bytes, rebuilt: bytes) -> list[str]:
    """Which values of a line are not those of the book rebuilt, in words."""
    if line == rebuilt:
        return []
    found = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    wanted = msgspec.json.decode(rebuilt, type=dict[str, msgspec.Raw])
    keys = [key for key in wanted if bytes(found.get(key, msgspec.Raw(b""))) != bytes(wanted[key])]
    if {bytes(each["prevSeqId"]) for each in (found, wanted)} & {b"-1", b"null"}:
        keys = [key for key in keys if key not in _OF_ITS_FEED]
    return [_difference(key, bytes(found[key]), bytes(wanted[key])) for key in keys]


def _difference(key: str, found: bytes, wanted: bytes) -> str:
    if not key.startswith(("bids_top", "asks_top")):
        return f"{key} is {found.decode()[:_CLIP]}, the changes give {wanted.decode()[:_CLIP]}"
    levels, others = (msgspec.json.decode(text, type=list[list[str]]) for text in (found, wanted))
    for at, (level, other) in enumerate(zip(levels, others, strict=False)):
        if level != other:
            return f"{key}: level {at} is {level}, the changes give {other}"
    return f"{key} has {len(levels)} levels, the changes give {len(others)}"


def trouble_of(finding: Finding) -> Trouble:
    """What could not be read, as a trouble."""
    return Trouble(finding.path, finding.offset, "unreadable" if finding.is_of_file else "line", finding.reason)
