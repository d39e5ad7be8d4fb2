"""Recorded trades and context re-checked: each file and line against its place and form, the ids of trades against each
other and against the journal, the lines of the context in their order, and every closed hour against its digest.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

from l2vault.book.context import KINDS, Context
from l2vault.book.context import from_line as context_from_line
from l2vault.book.context import to_line as context_to_line
from l2vault.book.id_set import IdSet
from l2vault.book.trade import Numberings, TradePush, trade_from_line, trade_to_line
from l2vault.book.utc import utc_text
from l2vault.errors import LineError, install_command
from l2vault.vault.checking.journal import HourContents, rightly_gone
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.missing import NO_FILE
from l2vault.vault.coverage.sync_history import ALWAYS_MS, NEVER_MS
from l2vault.vault.coverage.trades import NO_LINE, TradeHistory, trade_history
from l2vault.vault.journal.events import HourClosed
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.catalog import Catalog, HourForms, StoredHour
from l2vault.vault.store.forms import why_no_file
from l2vault.vault.store.layout import HOUR_MS, Kind, Layout, packed_path
from l2vault.vault.store.line import is_of_later_version
from l2vault.vault.store.stream import GzipDamage, Line, read_lines

TroubleKind = Literal[
    "unreadable", "gzip", "torn", "line", "newer", "altered", "misplaced", "order", "double",
    "archive", "contents", "missing", "lacking", "journal",
]  # fmt: skip
ROW_KINDS: Final[tuple[Kind, ...]] = ("trades", "context")


class Trouble(NamedTuple):
    path: Path
    offset: int | None
    kind: TroubleKind
    text: str


class RowCheck:
    """One walk through the trades or the context of a vault; `files`, `lines`, `bytes_read` count what was checked."""

    def __init__(self, layout: Layout, kind: Kind, now_ms: int) -> None:
        self._layout = layout.of(kind)
        self._kind: Kind = kind
        self._now_ms = now_ms
        self._catalog = Catalog(self._layout)
        self._journal = JournalIndex(self._layout)
        self.files = 0
        self.lines = 0
        self.bytes_read = 0

    def run(self, on_hour: Callable[[StoredHour], None] = lambda hour: None) -> Iterator[Trouble]:
        """Instrument by instrument, oldest hour first, then what is not there. `on_hour` is told of each file before it
        is read."""
        entries = list(self._journal.entries())  # before the files: these then hold at least what it noted
        noted = {
            entry.event.inst_id
            for entry in entries
            if isinstance(entry.event, HourClosed) and entry.event.kind == self._kind
        }
        if self._kind == "trades":
            noted |= self._journal.traded()
        for inst_id in sorted(noted.union(self._catalog.instruments())):
            closed = self._journal.closed_hours(inst_id, self._kind)
            walk = _Trades(trade_history(entries, inst_id)) if self._kind == "trades" else _Contexts()
            met = set()
            for forms in self._catalog.hours(inst_id):
                met.add(forms.hour_ms)
                yield from self._check_hour(forms, walk, closed.get(forms.hour_ms), on_hour)
            gone = set(rightly_gone(self._layout, entries, inst_id))
            for hour_ms, record in sorted(closed.items()):
                if hour_ms not in met and hour_ms not in gone and record.lines:
                    text = f"the journal says that it holds {record.lines} lines; it is gone, and nothing deleted it"
                    yield Trouble(self._layout.hour_file(inst_id, hour_ms), None, "missing", text)
            if self._kind == "trades":
                yield from self._lacking(inst_id)

    def _check_hour(
        self, forms: HourForms, walk: "_Walk", closed: HourClosed | None, on_hour: Callable[[StoredHour], None]
    ) -> Iterator[Trouble]:
        contents = HourContents(closed)
        known: set[bytes] = set()
        walk.begin_hour()
        is_whole = True
        for stored in forms.every:
            on_hour(stored)
            self.files += 1
            self.bytes_read += stored.size_bytes
            contents.begin_file()
            file = _File(stored, known if len(forms.every) > 1 else None, walk, contents)
            try:
                yield from self._archived(file) if stored.form == "archive" else self._raw(file)
            except FileNotFoundError:  # compressed or deleted meanwhile
                is_whole = False
            self.lines += file.lines
        may_go_on = closed is not None and (closed.is_open or self._now_ms < forms.hour_ms + 2 * HOUR_MS)
        text = contents.trouble(may_go_on) if is_whole else None
        if text is not None and any(stored.path.exists() for stored in forms.every):
            yield Trouble(forms.every[0].path, None, "contents", text)

    def _archived(self, file: "_File") -> Iterator[Trouble]:
        try:
            from l2vault.vault.archive.read import files_of
            from l2vault.vault.archive.write import checked_lines
        except ImportError as error:
            text = f"archives cannot be checked ({error}): {install_command('analysis')}"
            yield Trouble(file.stored.path, None, "archive", text)
            return
        trouble, lines = checked_lines(files_of(file.stored))
        if trouble is not None:
            yield Trouble(file.stored.path, None, "archive", trouble)
            return
        offset = 0
        for line in lines:
            file.contents.add(line + b"\n")
            yield from file.line(Line(offset, line, True))
            offset += len(line) + 1

    def _raw(self, file: "_File") -> Iterator[Trouble]:
        stored = file.stored
        offset = 0
        if trouble := why_no_file(stored.path):
            yield Trouble(stored.path, None, "unreadable", trouble)
            return
        try:
            for line in read_lines(stored.path, file.contents.add):
                if line.is_ended:
                    offset = line.offset
                    yield from file.line(line)
                elif stored.form == "gzip" or self._now_ms >= stored.hour_ms + 2 * HOUR_MS:
                    yield Trouble(stored.path, line.offset, "torn", "the last line lacks its end")
        except GzipDamage as damage:
            yield Trouble(stored.path, offset, "gzip", f"{damage.what}, after the line at this offset")
        except FileNotFoundError:
            raise
        except OSError as error:
            yield Trouble(stored.path, None, "unreadable", str(error))
        if file.repeated:
            text = f"{file.repeated} of its lines stand in its .gz too; `l2vault retain` makes the two one"
            yield Trouble(stored.path, None, "double", text)

    def _lacking(self, inst_id: str) -> Iterator[Trouble]:
        """Ids that are in no file, and of which the journal says nothing."""
        reader = TradeReader(self._layout, reads_all=True)
        for hole in reader.coverage(inst_id, (ALWAYS_MS, NEVER_MS)).holes:
            if hole.cause in (NO_LINE, NO_FILE):
                path = self._layout.hour_file(inst_id, hole.from_ms)
                ids = f"the ids {hole.first_id} to {hole.last_id} ({hole.size})"
                bounds = f"between {utc_text(hole.from_ms)} and {utc_text(hole.to_ms)}"
                yield Trouble(path, None, "lacking", f"{ids}, {bounds}, are in no file, and the journal names no hole")


class _File:
    """The lines of one form of an hour. `known` are those of its older forms, None where it has no other: the same
    line is no other one."""

    def __init__(self, stored: StoredHour, known: set[bytes] | None, walk: "_Walk", contents: HourContents) -> None:
        self.stored = stored
        self.contents = contents
        self._known = known
        self._walk = walk
        self._older = frozenset(known or ())
        self._stands_beside_gzip = stored.form == "plain" and packed_path(stored.path).exists()
        self.lines = 0
        self.repeated = 0

    def line(self, line: Line) -> Iterator[Trouble]:
        self.lines += 1
        if line.text is None:
            yield Trouble(self.stored.path, line.offset, "line", "far too long for a line of the vault")
            return
        if line.text in self._older:
            self.repeated += self._stands_beside_gzip
            return
        if self._known is not None:
            self._known.add(line.text)
        for kind, text in self._walk.take(line.text, self.stored.inst_id, self.stored.hour_ms):
            yield Trouble(self.stored.path, line.offset, kind, text)


_Objections = Iterable[tuple[TroubleKind, str]]


class _Walk(Protocol):
    """The lines of one instrument, hour after hour, each as it stands in the files."""

    def begin_hour(self) -> None:
        """What follows is of another hour."""

    def take(self, text: bytes, inst_id: str, hour_ms: int) -> _Objections:
        """What is said against a line."""


class _Trades:
    """`_single` ids are those of lines that no other may share, `_shared` those of overlaps."""

    def __init__(self, history: TradeHistory) -> None:
        self._numberings = Numberings(history.renumbered_ms)
        self._skipped = {name: each.skipped for name, each in history.by_name().items()}
        self._single: dict[int, IdSet] = {}
        self._every: dict[int, IdSet] = {}

    def begin_hour(self) -> None:
        """Ids go on."""

    def take(self, text: bytes, inst_id: str, hour_ms: int) -> _Objections:
        try:
            push = trade_from_line(text)
        except LineError as error:
            yield "line", error.message
            return
        yield from of_form(text, trade_to_line(push))
        yield from _of_place(push, inst_id, hour_ms)
        self._numberings.see(push)
        yield from self._of_ids(push, self._numberings.of(push.ts_ms))

    def _of_ids(self, push: TradePush, numbering_ms: int) -> _Objections:
        first, last = push.first_id, push.last_id
        single = self._single.setdefault(numbering_ms, IdSet())
        new = self._every.setdefault(numbering_ms, IdSet()).add(first, last)
        ids = f"id {last}" if first == last else f"ids {first} to {last}"
        if push.overlap:
            if not new:
                yield "double", f"all of the {ids} stand in lines before it, though it is marked as an overlap"
        elif single.add(first, last) != [(first, last)]:
            yield "double", f"the {ids} stand in another line too, and none is marked as an overlap"
        skipped = self._skipped.get(numbering_ms)
        if skipped is not None and skipped.lacking(first, last) != [(first, last)]:
            yield "journal", f"of the {ids} the journal says that OKX never used them"


class _Contexts:
    def __init__(self) -> None:
        self._last_ms = ALWAYS_MS

    def take(self, text: bytes, inst_id: str, hour_ms: int) -> _Objections:
        try:
            row = context_from_line(text)
        except LineError as error:
            yield "line", error.message
            return
        yield from of_form(text, context_to_line(row))
        yield from _of_place(row, inst_id, hour_ms)
        if row.grid_ms == self._last_ms:
            yield "double", f"{utc_text(row.grid_ms)} stands in the line before it too"
        elif row.grid_ms < self._last_ms:
            yield "order", f"{utc_text(row.grid_ms)} follows {utc_text(self._last_ms)}"
        self._last_ms = row.grid_ms
        for kind in KINDS:
            value = row.value(kind)
            if value is not None and value.ts_ms > row.grid_ms:
                yield "line", f"its {kind} is of {utc_text(value.ts_ms)}, later than the line"

    def begin_hour(self) -> None:
        self._last_ms = ALWAYS_MS


def of_form(text: bytes, canonical: bytes) -> _Objections:
    """What is said of a line that reads, against the same as this version writes it."""
    if text == canonical:
        return
    if is_of_later_version(text, canonical):
        yield "newer", "a line of a newer version of l2vault, with keys that this one does not know"
    else:
        yield "altered", "its keys, their order or the spacing are not those of such a line"


def _of_place(row: TradePush | Context, inst_id: str, hour_ms: int) -> _Objections:
    if row.inst_id != inst_id:
        yield "misplaced", f"a line of {row.inst_id[:60]!r} among those of {inst_id}"
    with suppress(ValueError, OverflowError):
        if row.ts_ms // HOUR_MS * HOUR_MS != hour_ms:
            yield "misplaced", f"a line of another hour, {utc_text(row.ts_ms)}"
