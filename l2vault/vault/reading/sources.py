"""What was recorded and what was made of OKX's archive as one vault for reading: recorded first, that in its holes.

What was recorded stands wherever it is covered. Only where it is not, a book of the archive stands in, if the archive's
own vault covers that time; such slots are `archive`, never `recorded`. Trades, funding and deep books likewise
(`joined_beside`), but for what `repair` filled: that is of books. The two are joined while they are read, never on the
disk.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from msgspec.structs import replace

from l2vault.book.moments import Moment, as_ms, span_ms
from l2vault.book.snapshot import Snapshot
from l2vault.errors import UsageError, VaultError, analysis_extra
from l2vault.foreign import quoted
from l2vault.vault.coverage.filled import filled, given_spans
from l2vault.vault.coverage.model import COVERED, Coverage, Source, Stretch
from l2vault.vault.coverage.slots import Grid
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.reading.joined_beside import JoinedContext, JoinedDeep, JoinedTrades
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import BookAt, Resolution, Snapshots, Vault, open_vault
from l2vault.vault.store.catalog import HourForms, Report
from l2vault.vault.store.instruments import Row, read_rows
from l2vault.vault.store.layout import HOUR_MS, KINDS, ArchivedHour, Layout
from l2vault.vault.store.repairs import RepairedSpans, has_repairs
from l2vault.vault.store.root import open_layout
from l2vault.vault.store.spans import Spans, holds, meets, outside

if TYPE_CHECKING:
    from l2vault.vault.reading.level_table import Levels

SOURCES: Final[tuple[Source, ...]] = get_args(Source)
RECORDED: Final[tuple[Source, ...]] = ("recorded",)


def open_sources(path: str | Path, sources: Sequence[Source] | None = None) -> Vault:
    """The vault at `path` with the books of these sources; None: what was recorded, and what was repaired, or all of
    the archive's own vault. Raises VaultError where there is none, UsageError for a source that is none."""
    if sources is None:
        return _with_repairs(path)
    asked = set(sources)
    if not asked or asked - set(SOURCES):
        named = ", ".join(map(str, sources)) or "nothing"
        raise UsageError(f"{named} is no source of books.", "recorded, archive, or both")
    layout = Layout(Path(path))
    if layout.is_okx_archive:  # it has that one source, whatever is asked for
        return ArchiveVault(open_layout(path))
    if asked == {"recorded"}:
        return open_vault(path)
    archive = layout.okx_archive
    if not any(archive.of(kind).raw.is_dir() for kind in KINDS):
        raise VaultError(
            f"nothing was made of OKX's archive in {archive.root}.", "l2vault fetch, then l2vault backfill"
        )
    if asked == {"archive"}:
        return ArchiveVault(open_layout(archive.root))
    has_own = layout.raw.parent.is_dir() or layout.archive.parent.is_dir()
    return JoinedVault(open_layout(path) if has_own else layout, ArchiveVault(archive))


def _with_repairs(path: str | Path) -> Vault:
    layout = open_layout(path)
    if layout.is_okx_archive:
        return ArchiveVault(layout)
    if not has_repairs(layout) or not layout.okx_archive.raw.is_dir():
        return open_vault(path)
    return JoinedVault(layout, ArchiveVault(layout.okx_archive), RepairedSpans(layout).of)


def sources_named(text: str) -> tuple[Source, ...]:
    """`recorded,archive`, in that order however they stand. Raises UsageError."""
    words = text.lower().replace(" ", "").split(",")
    if set(words) - set(SOURCES):
        raise UsageError(f"{quoted(text, 64)} are no sources.", "recorded, archive or recorded,archive")
    return tuple(source for source in SOURCES if source in words)


def sources_of(vault: Vault) -> tuple[Source, ...] | None:
    """With which `open_sources` opens the same again at its root."""
    if isinstance(vault, JoinedVault):
        return None if vault.is_of_repairs else SOURCES
    return None if isinstance(vault, ArchiveVault) else RECORDED


class ArchiveVault(Vault):
    """The archive's vault read as what it is: what it covers is `archive`, and nothing of it was recorded here."""

    @property
    def source(self) -> Source:
        return "archive"

    def coverage(self, inst_id: str, start: Moment | None = None, end: Moment | None = None) -> Coverage:
        found = super().coverage(inst_id, start, end)
        stretches = [
            Stretch(each.first_ms, each.last_ms, each.cadence_ms, "archive", "") if each.state in COVERED else each
            for each in found.stretches
        ]
        return Coverage(found.inst_id, found.start_ms, found.end_ms, stretches, found.holes)

    def book_at(
        self, inst_id: str, t: Moment, with_flagged: bool = False, resolution: Resolution = "lines"
    ) -> BookAt | None:
        found = super().book_at(inst_id, t, with_flagged, resolution)
        if found is None or found.state not in COVERED:
            return found
        return replace(found, state="archive", cause="")

    def trades(self) -> TradeReader:
        return TradeReader(self.layout, source="archive")

    def context(self) -> ContextReader:
        return ContextReader(self.layout, "archive")

    def deep(self) -> DeepReader:
        return DeepReader(self.layout, "archive")


class JoinedVault(Vault):
    """A vault whose holes another one fills. It is one, so that whoever reads a vault reads it: of the other it takes
    part by part what its own lacks. `only` gives, by instrument, where it may; None: everywhere."""

    def __init__(self, layout: Layout, archive: Vault, only: Callable[[str], Spans] | None = None) -> None:
        super().__init__(layout)
        self.archive = archive
        self._only = only
        self._spans_given: dict[tuple[str, tuple[int, int]], list[tuple[int, int]]] = {}

    @property
    def is_of_repairs(self) -> bool:
        """Whether the other vault stands in only where that was noted."""
        return self._only is not None

    @cached_property
    def recorded(self) -> Vault:
        return Vault(self.layout)

    @property
    def parts(self) -> tuple[Vault, ...]:
        return self.recorded, self.archive

    def refresh(self) -> None:
        self._spans_given.clear()

    def sampled_parts(self, inst_id: str, span: tuple[int, int]) -> Iterator[tuple[Vault, tuple[int, int]]]:
        given = self._find_given(inst_id, span)
        parts = [(self.archive, part) for part in given]
        parts += [(self.recorded, part) for part in outside(given, *span)]
        yield from sorted(parts, key=lambda each: each[1])

    def instruments(self) -> list[str]:
        return sorted({*super().instruments(), *self.archive.instruments()})

    def noted_instruments(self) -> list[str]:
        return sorted({*super().noted_instruments(), *self.archive.noted_instruments()})

    def instrument_rows(self, inst_id: str) -> list[tuple[int | None, Row]]:
        return super().instrument_rows(inst_id) or read_rows(self.archive.layout, inst_id)

    def trades(self) -> TradeReader:
        return super().trades() if self.is_of_repairs else JoinedTrades(self.layout, self.archive.trades())

    def context(self) -> ContextReader:
        return super().context() if self.is_of_repairs else JoinedContext(self.layout, self.archive.context())

    def deep(self) -> DeepReader:
        return super().deep() if self.is_of_repairs else JoinedDeep(self.layout, self.archive.deep())

    def first_line_ms(self, inst_id: str) -> int | None:
        return _least(super().first_line_ms(inst_id), self.archive.first_line_ms(inst_id))

    def newest_line_ms(self, inst_id: str) -> int | None:
        return _most(super().newest_line_ms(inst_id), self.archive.newest_line_ms(inst_id))

    def first_evidence_ms(self, inst_id: str) -> int | None:
        return _least(super().first_evidence_ms(inst_id), self.archive.first_evidence_ms(inst_id))

    def newest_evidence_ms(self, inst_id: str) -> int | None:
        return _most(super().newest_evidence_ms(inst_id), self.archive.newest_evidence_ms(inst_id))

    def coverage(self, inst_id: str, start: Moment | None = None, end: Moment | None = None) -> Coverage:
        span = span_ms(*self._bounds(inst_id, start, end))
        own, other = self._own_coverage(inst_id, span), self.archive.coverage(inst_id, *span)
        return filled(own, other, self._allowed(inst_id))

    def snapshots(
        self,
        inst_id: str,
        start: Moment,
        end: Moment,
        resolution: Resolution = "lines",
        every_ms: int | None = None,
    ) -> Snapshots:
        own = super().snapshots(inst_id, start, end, resolution, every_ms)
        if resolution != "lines":
            return own
        span = own.start_ms, own.end_ms

        def read(report: Report) -> Iterator[tuple[Source, Snapshot]]:
            given = self._given(inst_id, span)
            own_grid, grid = (Grid(vault.journal.history(inst_id)) for vault in (self, self.archive))
            lines, archived = (vault._snapshots(inst_id, span, report) for vault in (self, self.archive))
            # A flagged line says itself that it is no book; any other would stand beside the archive's of its slot.
            kept = (line for line in lines if line.gap_detected or not holds(given, own_grid.slot_of(line.ts_ms)))
            filling = (book for book in archived if holds(given, grid.slot_of(book.ts_ms)))
            both = self._of_own(kept), self.archive._of_own(filling)
            return heapq.merge(*both, key=lambda labelled: labelled[1].ts_ms)

        return Snapshots(inst_id, span, read, self)

    def levels(
        self,
        inst_id: str,
        start: Moment,
        end: Moment,
        include_disputed: bool = False,
        resolution: Resolution = "lines",
        left_out: Sequence[tuple[int, int]] | None = None,
    ) -> "Levels":
        own = super().levels(inst_id, start, end, include_disputed, resolution, left_out)
        if resolution != "lines":
            return own
        span = own.start_ms, own.end_ms
        kept_out = list(outside(self._given(inst_id, span), *span))
        return self._joined(own, self.archive.levels(inst_id, *span, left_out=kept_out), inst_id, span)

    def levels_of_hour(
        self,
        inst_id: str,
        span: tuple[int, int],
        hour_ms: int,
        left_out: Sequence[tuple[int, int]],
        resolution: Resolution = "lines",
    ) -> "Levels":
        own = super().levels_of_hour(inst_id, span, hour_ms, left_out, resolution)
        if resolution != "lines":
            return own
        kept_out = list(outside(self._given(inst_id, span), *span))
        return self._joined(own, self.archive.levels_of_hour(inst_id, span, hour_ms, kept_out), inst_id, span)

    def bearing_hours(self, inst_id: str, span: tuple[int, int], resolution: Resolution = "lines") -> list[int]:
        own = super().bearing_hours(inst_id, span, resolution)
        return own if resolution != "lines" else sorted({*own, *self.archive.bearing_hours(inst_id, span)})

    def book_at(
        self, inst_id: str, t: Moment, with_flagged: bool = False, resolution: Resolution = "lines"
    ) -> BookAt | None:
        own = super().book_at(inst_id, t, with_flagged, resolution)
        t_ms = as_ms(t)
        if resolution != "lines" or (own is not None and own.state in COVERED):
            return own
        if not holds(self._find_given(inst_id, (t_ms, t_ms + 1)), t_ms):
            return own
        return self.archive.book_at(inst_id, t_ms) or own  # covered where it stands in

    def column_files(self, forms: HourForms) -> ArchivedHour | None:
        """None for an hour of which a part may be the archive's: it is read as both."""
        spans = self._allowed(forms.inst_id)
        if spans is None or meets(spans, forms.hour_ms, forms.hour_ms + HOUR_MS):
            return None
        return super().column_files(forms)

    def _allowed(self, inst_id: str) -> Spans | None:
        return None if self._only is None else self._only(inst_id)

    def _given(self, inst_id: str, span: tuple[int, int]) -> list[tuple[int, int]]:
        """Where the archive stands in."""
        key = inst_id, span
        if key not in self._spans_given:
            self._spans_given[key] = self._find_given(inst_id, span)
        return self._spans_given[key]

    def _find_given(self, inst_id: str, span: tuple[int, int]) -> list[tuple[int, int]]:
        """The same, not kept: for the many spans of who asks for one moment after another."""
        own, other = self._own_coverage(inst_id, span), self.archive.coverage(inst_id, *span)
        return given_spans(own, other, self._allowed(inst_id))

    def _left_out(self, inst_id: str, span: tuple[int, int], include_disputed: bool = False) -> list[tuple[int, int]]:
        """Where no recorded book may stand: what `Vault` says, and wherever the archive stands in."""
        return sorted([*super()._left_out(inst_id, span, include_disputed), *self._given(inst_id, span)])

    def _joined(self, own: "Levels", other: "Levels", inst_id: str, span: tuple[int, int]) -> "Levels":
        with analysis_extra():
            from l2vault.vault.reading.joined_levels import JoinedLevels
        return JoinedLevels(own, other, lambda: self.coverage(inst_id, *span))


def _least(*times: int | None) -> int | None:
    return min((each for each in times if each is not None), default=None)


def _most(*times: int | None) -> int | None:
    return max((each for each in times if each is not None), default=None)
