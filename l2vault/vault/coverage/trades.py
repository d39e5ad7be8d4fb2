"""What is known of an instrument's trades over a span: which ids the files hold, which are missing and why. Pure.

The chain of ids is the proof. Between two trades of which the ids follow each other there was no other, so that time is
proved however long it was quiet; so it is where the ids between were shown never to have been used. Where ids lack that
time is missing or unknown, with the milliseconds of the trades beside it: what lacks may have had their time. Before
the first trade and behind the newest nothing proves anything, nor does anything prove these two's own milliseconds.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from l2vault.book.id_set import IdRange, IdSet
from l2vault.book.trade import RENUMBERED_IDS, TRADES, Numberings
from l2vault.book.utc import utc_ms
from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.maintenance import MAINTENANCE, OUTSIDE, Maintenance, is_within
from l2vault.vault.coverage.merged import merged_hours
from l2vault.vault.coverage.missing import NO_FILE
from l2vault.vault.coverage.proved import KNOWN, ProofState, ProvedSpan, TimeStretch, clipped, painted
from l2vault.vault.coverage.sync_history import DISK_FULL
from l2vault.vault.journal.context_events import MaintenanceNoted
from l2vault.vault.journal.events import Minute, WriteFailed
from l2vault.vault.journal.log import Entry
from l2vault.vault.journal.merge_events import Merged, MergedIds
from l2vault.vault.journal.trade_events import TradesBegun, TradesHole, TradesMissing, TradesSkipped

if TYPE_CHECKING:
    import polars as pl

NO_LINE: Final = "no line"
"""The cause of ids that no event explains: their lines are gone from files that are there, or never were."""
NUMBERING: Final = "numbering"
"""The cause of the time between the last trade of one numbering of OKX's and the first of the next."""


class IdRun(msgspec.Struct, frozen=True):
    """Ids of one hour that follow each other and are all in the files, in `rows` rows. `rest_ids` of them came by REST.

    `unsized` rows have no size of their own: two connections summed up the same matches differently.
    """

    first_id: int
    last_id: int
    from_ms: int
    to_ms: int
    rows: int
    rest_ids: int
    unsized: int
    numbering_ms: int = 0
    is_archive: bool = False
    """Whether they are of OKX's archive, which stands in for what was not recorded. Its times are then bounds."""

    @property
    def ids(self) -> int:
        """How many ids."""
        return self.last_id - self.first_id + 1


class TradeHole(msgspec.Struct, frozen=True):
    """Ids that are not in the files, and the exchange times of the trades beside them (equal where none is known).

    `missing`: they were lost, or no line explains where they are, with the cause. `unknown`: their file was deleted by
    policy, is gone or does not read. `detail` is why nobody could give them.
    """

    first_id: int
    last_id: int
    from_ms: int
    to_ms: int
    state: ProofState
    cause: str
    detail: str = ""

    @property
    def size(self) -> int:
        """How many ids."""
        return self.last_id - self.first_id + 1


class SkippedIds(msgspec.Struct, frozen=True):
    """Ids that REST proved to be of no trade: OKX never used them."""

    first_id: int
    last_id: int
    from_ms: int
    to_ms: int

    @property
    def size(self) -> int:
        """How many ids."""
        return self.last_id - self.first_id + 1


class TradeCoverage(ProvedSpan, frozen=True):
    """What is known of the trades of `[start_ms, end_ms)`: `stretches` of time without a gap between them, `runs` of
    ids that are there, `holes` with both ids and the cause, and `skipped` ids that were proved to be of no trade.

    >>> coverage = l2vault.open("Vault").trades("BTC-USDT-SWAP").coverage
    >>> coverage
    <TradeCoverage of BTC-USDT-SWAP, 2024-08-20T03:00:00.500Z to 2024-08-20T03:09:58.501Z: 1,194 ids, 4 ...>
    >>> coverage.missing_ids, coverage.skipped_ids, round(coverage.share(), 3)
    (4, 2, 0.995)
    >>> [(hole.first_id, hole.last_id, hole.cause) for hole in coverage.holes]
    [(1603, 1606, 'disconnect')]
    """

    runs: list[IdRun]
    holes: list[TradeHole]
    skipped: list[SkippedIds]

    @property
    def ids(self) -> int:
        """Ids of the span that are in the files."""
        return sum(run.ids for run in self.runs)

    @property
    def rest_ids(self) -> int:
        """Those of them that REST brought, because no connection did."""
        return sum(run.rest_ids for run in self.runs)

    @property
    def archive_ids(self) -> int:
        """Those of them that OKX's archive brought, because they were not recorded."""
        return sum(run.ids for run in self.runs if run.is_archive)

    @property
    def rows(self) -> int:
        """Rows that reading the span gives."""
        return sum(run.rows for run in self.runs)

    @property
    def missing_ids(self) -> int:
        """Ids that were lost."""
        return sum(hole.size for hole in self.holes if hole.state == "missing")

    @property
    def unknown_ids(self) -> int:
        """Ids of which the file is gone by policy, or otherwise, or does not read."""
        return sum(hole.size for hole in self.holes if hole.state == "unknown")

    @property
    def skipped_ids(self) -> int:
        """Ids that were proved to be of no trade."""
        return sum(each.size for each in self.skipped)

    @property
    def is_quiet(self) -> bool:
        """Whether the chain proves that no trade happened in the whole span."""
        return not self.ids and all(each.state in KNOWN for each in self.stretches) and self.start_ms < self.end_ms

    def every(self, length_ms: int) -> Iterator["TradeCoverage"]:
        """The same for each piece of so many milliseconds since 1970, hours or more; a hole is in the piece in which it
        begins."""
        start_ms = self.start_ms
        while start_ms < self.end_ms:
            end_ms = min(self.end_ms, (start_ms // length_ms + 1) * length_ms)
            yield self._cut(start_ms, end_ms)
            start_ms = end_ms

    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """A row per hole: `t_from`, `t_to` (`Datetime("ms", "UTC")`, or with `raw` integers), `kind` (the state),
        `cause`, `first_id`, `last_id`, `ids`. Needs polars."""
        import polars as pl

        rows = [
            (each.from_ms, each.to_ms, each.state, each.cause, each.first_id, each.last_id, each.size)
            for each in self.holes
        ]
        schema = {"t_from": pl.Int64, "t_to": pl.Int64, "kind": pl.String, "cause": pl.String}
        frame = pl.DataFrame(rows, schema | dict.fromkeys(("first_id", "last_id", "ids"), pl.Int64), orient="row")
        return frame if raw else frame.with_columns(pl.col("t_from", "t_to").cast(pl.Datetime("ms", "UTC")))

    def _cut(self, start_ms: int, end_ms: int) -> "TradeCoverage":
        def begins(from_ms: int) -> bool:
            return start_ms <= max(from_ms, self.start_ms) < end_ms

        return TradeCoverage(
            self.inst_id,
            start_ms,
            end_ms,
            list(clipped(self.stretches, (start_ms, end_ms))),
            [run for run in self.runs if begins(run.from_ms)],
            [hole for hole in self.holes if begins(hole.from_ms)],
            [each for each in self.skipped if begins(each.from_ms)],
        )

    def __repr__(self) -> str:
        words = f"{self.ids:,} ids, {self.rest_ids:,} of them by REST, {self.missing_ids:,} missing"
        words += f", {self.unknown_ids:,} unknown" if self.unknown_ids else ""
        words += f", {self.skipped_ids:,} skipped"
        words += f", {self.archive_ids:,} of the archive" if self.archive_ids else ""
        return self._described(f"{words}; ", "proved")


_OF_TRADES: Final = (TradesBegun, TradesHole, TradesMissing, TradesSkipped)


class _NotedHole(NamedTuple):
    first: int
    last: int
    from_ms: int
    to_ms: int
    cause: str
    detail: str
    state: ProofState = "missing"


class _Numbering:
    """What the journal says of one numbering of an instrument."""

    def __init__(self) -> None:
        self.begun: tuple[int, int] | None = None
        """Its first id and that one's time."""
        self.holes: list[_NotedHole] = []
        self.skipped = IdSet()
        self.newest: tuple[int, int] | None = None
        """The greatest id that was put on the disk and the newest time, of one minute."""

    def take(self, event: TradesBegun | TradesHole | TradesMissing | TradesSkipped) -> None:
        if isinstance(event, TradesBegun):
            if self.begun is None or event.id < self.begun[0]:
                self.begun = event.id, utc_ms(event.ts)
        elif isinstance(event, TradesHole):
            bounds = event.from_id, event.to_id, utc_ms(event.from_), utc_ms(event.to)
            self.holes.append(_NotedHole(*bounds, event.cause, ""))
        elif isinstance(event, TradesMissing):
            for at, hole in enumerate(self.holes):
                if _meet(hole, event.from_id, event.to_id):
                    self.holes[at] = hole._replace(detail=event.detail)
        else:
            self.skipped.add(event.from_id, event.to_id)

    def take_merged(self, ids: MergedIds) -> None:
        if ids.state == "skipped":
            self.skipped.add(ids.first, ids.last)
        else:
            bounds = ids.first, ids.last, utc_ms(ids.from_), utc_ms(ids.to)
            self.holes.append(_NotedHole(*bounds, ids.cause, ids.detail, ids.state))

    def put_on_disk(self, last_id: int, last_ms: int) -> None:
        if self.newest is None or last_id > self.newest[0]:
            self.newest = last_id, last_ms

    def end(self) -> tuple[int, int]:
        """The greatest id of which anything was noted, and the newest time; (-1, 0) where nothing was."""
        ids = [hole.last for hole in self.holes] + [last for _, last in self.skipped]
        times = [hole.to_ms for hole in self.holes]
        if self.newest is not None:
            ids, times = [*ids, self.newest[0]], [*times, self.newest[1]]
        return max(ids, default=-1), max(times, default=0)


class TradeHistory(NamedTuple):
    """What the journal says of one instrument's trades: by the number of times that OKX had begun its ids anew."""

    numberings: list[_Numbering]
    windows: list[tuple[int, int]]
    """Announced maintenance."""
    refused: list[MissingLines]
    """Lines that the disk refused, by their times."""

    @property
    def renumbered_ms(self) -> list[int]:
        """The times from which OKX's ids began anew."""
        return [each.begun[1] for each in self.numberings[1:] if each.begun is not None]

    def by_name(self) -> dict[int, _Numbering]:
        """The numberings as `Numberings` names them."""
        names = Numberings(self.renumbered_ms)
        return {
            names.of(each.begun[1]) if at and each.begun is not None else 0: each
            for at, each in enumerate(self.numberings)
        }


def trade_history(entries: Iterable[Entry], inst_id: str) -> TradeHistory:
    """The history of entries in the order in which they happened (`log.in_order`)."""
    entries = list(entries)
    numberings, maintenance, refused = [_Numbering()], Maintenance(), list[MissingLines]()
    if hours := merged_hours(entries, inst_id, "trades"):
        numberings = _merged_numberings(hours)
    for entry in entries:
        event = entry.event
        if isinstance(event, MaintenanceNoted):
            maintenance.take(event)
        elif isinstance(event, Minute):
            if (of := event.trades.get(inst_id)) is not None:
                numberings[-1].put_on_disk(of.last_id, utc_ms(of.last_ts))
        elif isinstance(event, WriteFailed) and (event.inst_id, event.kind) == (inst_id, TRADES):
            refused.append(MissingLines(utc_ms(event.from_), utc_ms(event.to) + 1, DISK_FULL))
        elif isinstance(event, _OF_TRADES) and event.inst_id == inst_id:
            if isinstance(event, TradesBegun) and event.cause == "numbering":
                numberings.append(_Numbering())
            numberings[-1].take(event)
    return TradeHistory(numberings, maintenance.windows(), refused)


def _merged_numberings(hours: Iterable[Merged]) -> list[_Numbering]:
    """Those of merged hours, in order of time. Two vaults notice the same new numbering within moments."""
    hours = list(hours)
    begun = sorted((utc_ms(each.ts), each.id) for event in hours for each in event.begun)
    numberings: list[_Numbering] = []
    for ts_ms, first_id in begun:
        held = numberings[-1] if numberings else None
        if held is None or held.begun is None or first_id + RENUMBERED_IDS < held.begun[0]:
            held = _Numbering()
            held.begun = first_id, ts_ms
            numberings.append(held)
        elif first_id < held.begun[0]:
            held.begun = first_id, ts_ms
    numberings = numberings or [_Numbering()]
    names = Numberings([each.begun[1] for each in numberings[1:] if each.begun is not None])
    of_name = {names.of(each.begun[1]): each for each in numberings if each.begun is not None}
    for event in hours:
        for ids in event.ids:
            of_name.get(names.of(utc_ms(ids.from_)), numberings[0]).take_merged(ids)
    return numberings


def _meet(hole: _NotedHole, first: int, last: int) -> bool:
    return hole.first <= last and first <= hole.last


class _Piece(NamedTuple):
    """Ids that no run has, and the times of the trades beside them."""

    first: int
    last: int
    from_ms: int
    to_ms: int


class TradesRead(NamedTuple):
    """What was read of the files: every trade of `[from_ms, to_ms)`, as runs in the order of numberings and ids.
    `missing` is time of which there is no file, or lines that do not read."""

    from_ms: int
    to_ms: int
    runs: Sequence[IdRun]
    missing: Sequence[MissingLines]


def cover_trades(history: TradeHistory, inst_id: str, span: tuple[int, int], read: TradesRead) -> TradeCoverage:
    """The coverage of a span; `read` reaches beyond it on both sides to the next hour that has trades, if there is one.

    The history must have been read before the files, so that these hold at least what it noted.
    """
    holes: list[TradeHole] = []
    skipped: list[SkippedIds] = []
    marks = [TimeStretch(each.from_ms, each.to_ms, "unknown", each.cause) for each in read.missing if _is_told(each)]
    before_ms: int | None = None
    for of, runs in _by_numbering(history, read.runs):
        pieces = list(_pieces(of, runs, read))
        gone = [*read.missing, *history.refused]
        found = [hole for piece in pieces for hole in _holes_in(piece, of, history.windows, gone)]
        holes += found
        skipped += [each for piece in pieces for each in _skipped_in(piece, of.skipped)]
        bounds = [ms for run in runs for ms in (run.from_ms, run.to_ms)]
        bounds += [ms for piece in pieces for ms in (piece.from_ms, piece.to_ms)]
        if not bounds:
            continue
        if before_ms is not None:
            marks.append(TimeStretch(before_ms, min(bounds) + 1, "unknown", NUMBERING))
        before_ms = max(bounds)
        marks.append(TimeStretch(min(bounds) + 1, before_ms, "proved", ""))
        found.sort(key=lambda hole: hole.state == "missing")  # of one time it is the graver word
        marks += [TimeStretch(hole.from_ms, hole.to_ms + 1, hole.state, hole.cause) for hole in found]
    return TradeCoverage(
        inst_id,
        *span,
        painted(span, marks),
        [run for run in read.runs if span[0] <= run.from_ms and run.to_ms < span[1]],
        [each for each in holes if each.from_ms < span[1] and each.to_ms >= span[0]],
        [each for each in skipped if each.from_ms < span[1] and each.to_ms >= span[0]],
    )


def _is_told(gone: MissingLines) -> bool:
    """That an hour has no file says nothing of trades: it may have had none."""
    return gone.cause != NO_FILE


def _by_numbering(history: TradeHistory, runs: Sequence[IdRun]) -> Iterator[tuple[_Numbering, list[IdRun]]]:
    """Each numbering in order of time: what the journal says of it, and its runs."""
    noted = history.by_name()
    held: dict[int, list[IdRun]] = {}
    for run in runs:
        held.setdefault(run.numbering_ms, []).append(run)
    for name in sorted(noted.keys() | held.keys()):
        yield noted.get(name, _Numbering()), held.get(name, [])


def _pieces(of: _Numbering, runs: Sequence[IdRun], read: TradesRead) -> Iterator[_Piece]:
    """What lies between the runs; and before the first and behind the last what the journal knows of, where all of that
    time was read."""
    last_id, last_ms = of.end()
    if of.begun is not None and of.begun[1] >= read.from_ms:
        first_id, first_ms = of.begun
        if runs and first_id < runs[0].first_id:
            yield _Piece(first_id, runs[0].first_id - 1, min(first_ms, runs[0].from_ms), runs[0].from_ms)
        elif not runs and first_id <= last_id:
            yield _Piece(first_id, last_id, first_ms, max(first_ms, last_ms))
    for before, after in zip(runs, runs[1:], strict=False):
        if before.last_id + 1 < after.first_id:
            yield _Piece(before.last_id + 1, after.first_id - 1, before.to_ms, max(before.to_ms, after.from_ms))
    if runs and runs[-1].last_id < last_id and last_ms < read.to_ms:
        yield _Piece(runs[-1].last_id + 1, last_id, runs[-1].to_ms, max(runs[-1].to_ms, last_ms))


def _holes_in(
    piece: _Piece, of: _Numbering, windows: list[tuple[int, int]], gone: Sequence[MissingLines]
) -> Iterator[TradeHole]:
    for first, last in of.skipped.lacking(piece.first, piece.last):
        yield from _explained(piece._replace(first=first, last=last), of.holes, windows, gone)


def _skipped_in(piece: _Piece, skipped: IdSet) -> Iterator[SkippedIds]:
    for first, last in skipped:
        low, high = max(first, piece.first), min(last, piece.last)
        if low <= high:
            yield SkippedIds(low, high, piece.from_ms, piece.to_ms)


def _explained(
    piece: _Piece, holes: Sequence[_NotedHole], windows: list[tuple[int, int]], gone: Sequence[MissingLines]
) -> Iterator[TradeHole]:
    """Cut where the journal's holes are; of several that name an id the newest counts."""
    rest = [(piece.first, piece.last)]
    found: list[TradeHole] = []
    for hole in reversed(holes):
        left: list[IdRange] = []
        for first, last in rest:
            if not _meet(hole, first, last):
                left.append((first, last))
                continue
            low, high = max(first, hole.first), min(last, hole.last)
            left += [each for each in ((first, low - 1), (high + 1, last)) if each[0] <= each[1]]
            is_announced = hole.cause in OUTSIDE and is_within(windows, hole.from_ms)
            cause = MAINTENANCE if is_announced else hole.cause
            found.append(TradeHole(low, high, piece.from_ms, piece.to_ms, hole.state, cause, hole.detail))
        rest = left
    for first, last in rest:
        causes = [each.cause for each in gone if each.from_ms <= piece.to_ms and piece.from_ms < each.to_ms]
        cause = max(causes, key=lambda cause: (cause == DISK_FULL, cause != NO_FILE), default="")
        state: ProofState = "unknown" if cause not in ("", DISK_FULL) else "missing"
        found.append(TradeHole(first, last, piece.from_ms, piece.to_ms, state, cause or NO_LINE))
    yield from sorted(found, key=lambda hole: hole.first_id)
