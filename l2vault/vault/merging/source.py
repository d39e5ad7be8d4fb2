"""One of the vaults that are merged, or the result of an earlier merge: its hours, its lines and what it knows of them.

Coverage is asked a day at a time, before any hour of that day is written, so that neither a long journal nor what this
run notes is read again for every hour.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Final, Literal

from l2vault.book.context import Context
from l2vault.book.deep import DEEP_CHANNELS, DeepKind
from l2vault.book.snapshot import Snapshot, from_line, to_line
from l2vault.book.trade import TradePush
from l2vault.book.utc import DAY_MS, HOUR_MS
from l2vault.errors import LineError
from l2vault.vault.coverage.changes import ChangeCoverage
from l2vault.vault.coverage.context import ContextCoverage
from l2vault.vault.coverage.deep import DeepCoverage
from l2vault.vault.coverage.model import Coverage
from l2vault.vault.coverage.proved import TimeStretch
from l2vault.vault.coverage.slots import Grid
from l2vault.vault.coverage.sync_history import SyncHistory
from l2vault.vault.coverage.trades import IdRun, TradeCoverage, TradeHistory, trade_history
from l2vault.vault.journal.log import journal_files
from l2vault.vault.merging.books import Line
from l2vault.vault.reading.changes import change_coverage
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, Report, unreported
from l2vault.vault.store.forms import PlacedLine, hour_book, hour_lines
from l2vault.vault.store.layout import KINDS, WRITTEN_AS_GZIP, Kind, Layout
from l2vault.vault.store.line import is_flagged, split
from l2vault.vault.store.linecheck import why_unreadable
from l2vault.vault.store.lock import is_held, open_hours

_LONGEST_GAP: Final = 31 * 24
"""Hours without a file between two that have one, or beside them, of which anything is asked."""
_KEY_BYTES: Final = 16

Stamp = tuple[str, int, int]
"""A file by its path in the vault, with its size in bytes and the time of its last change in nanoseconds."""


class Source:
    """`name` is how the notes call the vault."""

    def __init__(self, layout: Layout, name: str) -> None:
        self.layout = layout
        self.name = name
        self._catalogs = {kind: Catalog(layout.of(kind)) for kind in KINDS}
        self._books_day: tuple[str, int, Coverage] | None = None
        self._trades_day: tuple[str, int, TradeCoverage] | None = None
        self._context_day: tuple[str, int, ContextCoverage] | None = None
        self._changes_day: tuple[str, int, ChangeCoverage] | None = None
        self._deep_days: dict[DeepKind, tuple[str, int, DeepCoverage]] = {}
        self._newest: dict[tuple[Kind, str], int] = {}
        self._last: tuple[str, int, Line | None] = "", 0, None
        """The end of the hour of books that was read last, and its newest unflagged line."""

    # Each of these holds a journal in memory: of what nobody asks none is read.

    @cached_property
    def vault(self) -> Vault:
        """The vault as a reader sees it."""
        return Vault(self.layout)

    @cached_property
    def trades(self) -> TradeReader:
        """Its trades."""
        return TradeReader(self.layout)

    @cached_property
    def _context(self) -> ContextReader:
        return ContextReader(self.layout)

    @cached_property
    def _deep(self) -> dict[DeepKind, DeepReader]:
        return {kind: DeepReader(self.layout, kind=kind) for kind in DEEP_CHANNELS}

    def instruments(self, kind: Kind) -> set[str]:
        """Those of which there is a line, or of whose books anything was noted."""
        noted = self.vault.noted_instruments() if kind == "books" else []
        return {*self._catalogs[kind].instruments(), *noted}

    def hours(self, kind: Kind, inst_id: str) -> set[int]:
        """The hours of which this vault has lines or, of books, evidence; and those between, but for long gaps."""
        held = {forms.hour_ms for forms in self._catalogs[kind].hours(inst_id)}
        self._newest[kind, inst_id] = max(held, default=0)
        if kind == "books" and inst_id in self.vault.noted_instruments():
            bounds = self.vault.first_evidence_ms(inst_id), self.vault.newest_evidence_ms(inst_id)
            held |= {ms // HOUR_MS * HOUR_MS for ms in bounds if ms is not None}
        return held

    def forms(self, kind: Kind, inst_id: str, hour_ms: int) -> HourForms:
        """What there is of an hour."""
        return self._catalogs[kind].hour(inst_id, hour_ms)

    def is_open(self, inst_id: str, hour_ms: int) -> bool:
        """Whether an hour of an instrument may still be written to, by the recorder that held the vault when it was
        first asked."""
        return self._open is not None and hour_ms >= self._open.get(inst_id, self._newest_hour(inst_id))

    @cached_property
    def _open(self) -> dict[str, int] | None:
        """The first hour being written of each instrument; None where nobody records."""
        if is_held(self.layout) is False:
            return None
        firsts: dict[str, int] = {}
        for inst_id, hour_ms in open_hours(self.layout):
            firsts[inst_id] = min(hour_ms, firsts.get(inst_id, hour_ms))
        return firsts

    def stamp(self, kind: Kind, inst_id: str, hour_ms: int) -> list[Stamp]:
        """The files on which an hour rests: its own, its note if it was merged, and the journal's days around it. What
        is noted of an hour more than a day after it does not count."""
        paths = [stored.path for stored in self.forms(kind, inst_id, hour_ms).every]
        paths.append(self.layout.of(kind).merged_file(inst_id, hour_ms))
        days = {self.layout.journal_file(hour_ms + by * DAY_MS).name for by in (-1, 0, 1)}
        paths += [path for path in journal_files(self.layout) if path.name in days]
        return [stamp for path in paths if (stamp := self._stamp_of(path)) is not None]

    # Lines.

    def texts(self, kind: Kind, inst_id: str, hour_ms: int, report: Report) -> Iterator[PlacedLine]:
        """The lines of an hour as they stand."""
        forms = self.forms(kind, inst_id, hour_ms)
        newest_ms = self._newest.get((kind, inst_id), 0) - HOUR_MS * (
            kind in WRITTEN_AS_GZIP
        )  # these are closed a little later
        yield from hour_lines(self._catalogs[kind], forms, hour_ms >= newest_ms, report)

    def books(self, inst_id: str, hour_ms: int, report: Report) -> Iterator[tuple[Line, int]]:
        """Each line of an hour that reads, and its depth; of unflagged ones of one time the first."""
        newest: Line | None = None
        flagged: set[bytes] = set()
        for placed in self.texts("books", inst_id, hour_ms, report):
            try:
                line, depth = as_line(placed.text, inst_id, self.name)
            except LineError as error:
                report(Finding(placed.path, placed.offset, error.message))
                continue
            if line.is_flagged:
                if line.key not in flagged:
                    yield line, depth
                flagged.add(line.key)
            elif newest is None or line.ts_ms > newest.ts_ms:
                newest = line
                yield line, depth
        self._last = inst_id, hour_ms + HOUR_MS, newest

    def pushes(self, inst_id: str, hour_ms: int, report: Report) -> list[TradePush]:
        """The trades of an hour as they stand in its files."""
        forms = self.forms("trades", inst_id, hour_ms)
        is_newest = hour_ms >= self._newest.get(("trades", inst_id), 0)
        return list(self.trades.lines(inst_id, forms, is_newest, report))

    def rows(self, inst_id: str, hour_ms: int, report: Report) -> list[Context]:
        """The context of an hour."""
        return list(self._context.rows(inst_id, (hour_ms, hour_ms + HOUR_MS), report))

    def before(self, inst_id: str, hour_ms: int) -> Line | None:
        """The newest unflagged line of books in the hour before, as it was when that was read: nothing that is quiet
        rests on an older one (OKX sends a heartbeat each minute)."""
        if self._last[:2] == (inst_id, hour_ms):
            return self._last[2]
        catalog = self._catalogs["books"]
        found = hour_book(catalog, catalog.hour(inst_id, hour_ms - HOUR_MS), hour_ms - 1, False, unreported)
        return None if found is None else line_of(found, self.name)

    # What is known.

    def history(self, inst_id: str) -> SyncHistory:
        """What the journal says of the instrument's books."""
        return self.vault.journal.history(inst_id)

    def trade_history(self, inst_id: str) -> TradeHistory:
        """What the journal says of its trades."""
        return trade_history(self.vault.journal.entries(), inst_id)

    def cadence_ms(self, inst_id: str, hour_ms: int) -> set[int]:
        """The cadences of the hour; empty where the journal names none."""
        history = self.history(inst_id)
        grid = Grid(history)
        return {grid.cadence_ms(at_ms) for at_ms in (hour_ms, hour_ms + HOUR_MS - 1)} if history.cadences else set()

    def evidence(self, inst_id: str) -> tuple[int, int] | None:
        """The first and the newest moment of which the vault knows anything of the books."""
        first_ms, newest_ms = self.vault.first_evidence_ms(inst_id), self.vault.newest_evidence_ms(inst_id)
        return None if first_ms is None or newest_ms is None else (first_ms, newest_ms)

    def books_coverage(self, inst_id: str, hour_ms: int) -> Coverage:
        """From the start of an hour to the slot at its end."""
        day_ms = hour_ms // DAY_MS * DAY_MS
        if self._books_day is None or self._books_day[:2] != (inst_id, day_ms):
            end_ms = day_ms + DAY_MS + HOUR_MS
            self._books_day = inst_id, day_ms, self.vault.coverage(inst_id, day_ms, end_ms)
        return self._books_day[2].clip(hour_ms, hour_ms + HOUR_MS + 1)

    def trades_coverage(self, inst_id: str, hour_ms: int) -> TradeCoverage:
        """Of an hour; a hole is in the hour in which it begins."""
        return next(each for each in self._trades_of_day(inst_id, hour_ms).every(HOUR_MS) if each.start_ms == hour_ms)

    def trade_runs(self, inst_id: str, hour_ms: int) -> list[IdRun]:
        """The ids of the day in which an hour lies."""
        return self._trades_of_day(inst_id, hour_ms).runs

    def _trades_of_day(self, inst_id: str, hour_ms: int) -> TradeCoverage:
        day_ms = hour_ms // DAY_MS * DAY_MS
        if self._trades_day is None or self._trades_day[:2] != (inst_id, day_ms):
            self._trades_day = inst_id, day_ms, self.trades.coverage(inst_id, (day_ms, day_ms + DAY_MS))
        return self._trades_day[2]

    def context_coverage(self, inst_id: str, hour_ms: int) -> ContextCoverage:
        """Of the day in which an hour lies."""
        day_ms = hour_ms // DAY_MS * DAY_MS
        if self._context_day is None or self._context_day[:2] != (inst_id, day_ms):
            self._context_day = inst_id, day_ms, self._context.coverage(inst_id, (day_ms, day_ms + DAY_MS))
        return self._context_day[2]

    def changes_coverage(self, inst_id: str, hour_ms: int) -> ChangeCoverage:
        """Of the day in which an hour lies."""
        day_ms = hour_ms // DAY_MS * DAY_MS
        if self._changes_day is None or self._changes_day[:2] != (inst_id, day_ms):
            span = day_ms, day_ms + DAY_MS
            coverage = change_coverage(self._catalogs["changes"], self.vault.journal, inst_id, span)
            self._changes_day = inst_id, day_ms, coverage
        return self._changes_day[2]

    def deep_coverage(self, inst_id: str, hour_ms: int, kind: DeepKind = "deep") -> DeepCoverage:
        """Of the day in which an hour lies, of deep or RPI books."""
        day_ms = hour_ms // DAY_MS * DAY_MS
        known = self._deep_days.get(kind)
        if known is None or known[:2] != (inst_id, day_ms):
            coverage = self._deep[kind].coverage(inst_id, (day_ms, day_ms + DAY_MS))
            known = self._deep_days[kind] = inst_id, day_ms, coverage
        return known[2]

    def stretches(self, kind: Literal["changes", "deep", "rpi"], inst_id: str, hour_ms: int) -> list[TimeStretch]:
        """What the day in which an hour lies is known by, of one of these kinds."""
        if kind == "changes":
            return self.changes_coverage(inst_id, hour_ms).stretches
        return self.deep_coverage(inst_id, hour_ms, kind).stretches

    def look_ahead(self, kind: Kind, inst_id: str, hour_ms: int) -> None:
        """Ask now what is known of the day of an hour: before anything of it is written."""
        ask: dict[Kind, Callable[[str, int], object]] = {
            "books": self.books_coverage,
            "trades": self.trades_coverage,
            "context": self.context_coverage,
            "changes": self.changes_coverage,
            "deep": self.deep_coverage,
            "rpi": partial(self.deep_coverage, kind="rpi"),
        }
        ask[kind](inst_id, hour_ms)

    def _newest_hour(self, inst_id: str) -> int:
        return max((newest_ms for (_, name), newest_ms in self._newest.items() if name == inst_id), default=0)

    def _stamp_of(self, path: Path) -> Stamp | None:
        try:
            facts = path.stat()
        except OSError:
            return None
        return path.relative_to(self.layout.root).as_posix(), facts.st_size, facts.st_mtime_ns


def with_gaps(hours: set[int]) -> list[int]:
    """Hours in order, and those between them but for gaps that are too long to have been one recording."""
    found: list[int] = []
    for hour_ms in sorted(hours):
        if found and hour_ms - found[-1] <= _LONGEST_GAP * HOUR_MS:
            found += range(found[-1] + HOUR_MS, hour_ms, HOUR_MS)
        found.append(hour_ms)
    return found


def as_line(text: bytes, inst_id: str, origin: str) -> tuple[Line, int]:
    """A line of books without its text, and its depth. Raises LineError for one that is none of the instrument."""
    if why := why_unreadable(text, inst_id):
        raise LineError(why)
    try:
        parts = split(text, inst_id)
    except LineError:  # of a later version, or written in another way
        snapshot = from_line(text)
        return line_of(snapshot, origin)._replace(key=key_of(text)), snapshot.depth
    sides = b"|".join(text[first : last + 1] for first, last in zip(parts.opens, parts.closes, strict=True))
    line = Line(parts.ts_ms, parts.seq_id, key_of(sides), key_of(text), is_flagged(text), origin)
    return line, parts.depth


def line_of(snapshot: Snapshot, origin: str) -> Line:
    """The same of a snapshot."""
    return as_line(to_line(snapshot), snapshot.inst_id, origin)[0]


def key_of(data: bytes) -> bytes:
    """A digest that differs for different bytes."""
    return hashlib.blake2b(data, digest_size=_KEY_BYTES).digest()
