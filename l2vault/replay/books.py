"""The books of a vault as pushes of OKX: the recorded changes as they came, and of sampled books updates that lead from
one to the next.

A line holds the `seqId` and the `prevSeqId` of the message before it was sampled. So it is told in two pushes where it
must be: one that leads to its `prevSeqId` with all the levels, and one of its own numbers. Whoever records them writes
the same line.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange
from l2vault.book.snapshot import Snapshot
from l2vault.exports.events import Levels, Piece, Span, changed
from l2vault.exports.source import standing_books
from l2vault.sim.exchange.books import Tick
from l2vault.sim.exchange.timeline import Cut
from l2vault.vault.coverage.model import Coverage, Hole
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Report

_FULL: Final = -1
"""`prevSeqId` of a full book."""
_CADENCE_MS: Final = 2_000
_CHECKED_LEVELS: Final = 25
"""Best levels of each side that OKX's checksum is of."""


def book_events(vault: Vault, inst_id: str, span: Span, coverage: Coverage, report: Report) -> Iterator[Tick | Cut]:
    """Of one instrument, in order of time; first the book that stood at the start of the span, if one is known to have.
    `coverage` is of the span."""
    teller = _Teller(inst_id, span, coverage, partial(_flagged, vault, inst_id))
    for piece in standing_books(vault, inst_id, span, report):
        yield from teller.tell(piece)
    yield from teller.end()


class _Teller:
    """Holds the book that a client has been told of."""

    def __init__(self, inst_id: str, span: Span, coverage: Coverage, flagged: Callable[[int], Snapshot | None]) -> None:
        """`flagged` gives the line that says of a book's time that the chain broke behind it."""
        self._flagged = flagged
        self._inst_id = inst_id
        self._span = span
        self._coverage = coverage
        self._now_ms = span[0]
        self._book = Book()
        self._last: Piece | None = None
        """What was told last; None where the client has no book."""

    def tell(self, piece: Piece) -> Iterator[Tick | Cut]:
        start_ms, end_ms = self._span
        if piece.from_ms >= end_ms or (piece.from_ms < start_ms and piece.to_ms <= start_ms):
            return
        last, of = self._last, piece.of
        if last is None:
            yield from self._begin(piece)
        elif isinstance(of, RecordedChange) and _leads_on(last, piece):
            if of.origin != "book":
                yield self._tick(of.change, of.ts_ms)
        elif (hole := self._hole(last, piece)) is not None:
            line = self._flagged(last.from_ms) if isinstance(last.of, RecordedChange) else None
            if line is not None:
                yield from self._break(line)
            else:
                yield from self._close(last)
                yield self._cut(hole.start_ms, _cause(hole))
            yield from self._begin(piece)
        else:
            yield from self._lead(piece)
        self._last = piece
        if isinstance(of, Snapshot) and of.gap_detected:
            yield from self._break(of)

    def end(self) -> Iterator[Tick | Cut]:
        """What shows that the last book stood when it was sampled, and the hole with which the span ends."""
        if self._last is None:
            return
        # Behind the last change, too, if a line beyond the span shows that its book stood so long.
        last, of = self._last, self._last.of
        grid_ms = self._grid_ms(last.from_ms)
        if isinstance(of, RecordedChange) and last.to_ms > last.from_ms + 1 and grid_ms < last.to_ms:
            yield self._heartbeat(last, grid_ms + 1)
        yield from self._close(last)
        holes = self._coverage.holes
        at = bisect_left(holes, last.from_ms, key=lambda hole: hole.start_ms)
        if at < len(holes) and holes[-1].end_ms >= self._span[1]:
            yield self._cut(holes[at].start_ms, _cause(holes[at]))

    def _begin(self, piece: Piece) -> Iterator[Tick]:
        """With a full book."""
        of = piece.of
        if isinstance(of, RecordedChange) and of.origin == "ws" and of.is_full:
            yield self._tick(of.change, of.ts_ms)
            return
        seq_id, prev_seq_id = _numbers(piece)
        first_id = seq_id if prev_seq_id in (None, _FULL) else prev_seq_id
        yield self._push(piece, piece.full(), first_id, None if first_id is None else _FULL, is_full=True)
        if prev_seq_id not in (None, _FULL):
            yield self._push(piece, ([], []), seq_id, prev_seq_id)

    def _lead(self, piece: Piece) -> Iterator[Tick]:
        """From the book that the client has to this one."""
        held_id = self._book.seq_id
        seq_id, prev_seq_id = _numbers(piece)
        if seq_id is None or held_id is None or prev_seq_id == _FULL:
            yield from self._begin(piece)
            return
        update = changed(self._book.top(CHANNEL_DEPTH), piece.full())
        if prev_seq_id not in (None, held_id):
            yield self._push(piece, update, prev_seq_id, held_id)
            held_id, update = prev_seq_id, ([], [])
        yield self._push(piece, update, seq_id, held_id)

    def _close(self, last: Piece) -> Iterator[Tick]:
        """A line says that its book stood at its grid time: so does a heartbeat just behind that."""
        if isinstance(last.of, Snapshot):
            yield self._heartbeat(last, self._grid_ms(last.of.ts_ms) + 1)

    def _heartbeat(self, last: Piece, at_ms: int) -> Tick:
        held_id = self._book.seq_id
        return self._tick(BookChange(self._inst_id, False, [], [], at_ms, held_id, held_id, _checksum(last)), at_ms)

    def _break(self, line: Snapshot) -> Iterator[Tick | Cut]:
        """A message that fits no book, with the number of the one that was recorded."""
        number = line.prev_seq_id
        after = None if number is None else number + 1
        yield Tick(self._now_ms, BookChange(self._inst_id, False, [], [], line.ts_ms, after, number, 0), None)
        yield self._cut(self._now_ms, "missing: chain")

    def _hole(self, last: Piece, piece: Piece) -> Hole | None:
        """The first one that coverage knows between two books, of which the second does not follow the first."""
        from_ms = self._grid_ms(last.from_ms) if last.source == "lines" else last.to_ms - 1
        is_whole = isinstance(piece.of, Snapshot) and not piece.of.gap_detected
        to_ms = self._grid_ms(piece.from_ms) if is_whole else piece.from_ms
        holes = self._coverage.holes
        at = bisect_right(holes, from_ms, key=lambda hole: hole.end_ms)
        return holes[at] if at < len(holes) and holes[at].start_ms < to_ms else None

    def _grid_ms(self, ts_ms: int) -> int:
        stretches = self._coverage.stretches
        at = max(0, bisect_right(stretches, ts_ms, key=lambda stretch: stretch.first_ms) - 1)
        cadence_ms = stretches[at].cadence_ms if stretches else _CADENCE_MS
        return -(-ts_ms // cadence_ms) * cadence_ms

    def _push(
        self, piece: Piece, levels: Levels, seq_id: int | None, prev_seq_id: int | None, is_full: bool = False
    ) -> Tick:
        numbers = seq_id, prev_seq_id, _checksum(piece)
        return self._tick(BookChange(self._inst_id, is_full, *levels, piece.from_ms, *numbers), piece.from_ms)

    def _tick(self, change: BookChange, ts_ms: int) -> Tick:
        self._now_ms = max(self._now_ms, ts_ms)
        self._book.apply(change)
        return Tick(self._now_ms, change, None)

    def _cut(self, ts_ms: int, cause: str) -> Cut:
        self._now_ms = max(self._now_ms, ts_ms)
        self._book, self._last = Book(), None
        return Cut(self._now_ms, self._inst_id, cause)


def _flagged(vault: Vault, inst_id: str, ts_ms: int) -> Snapshot | None:
    return next((line for line in vault.snapshots(inst_id, ts_ms, ts_ms + 1) if line.gap_detected), None)


def _leads_on(last: Piece, piece: Piece) -> bool:
    return last.source == "changes" and piece.update is not None and last.to_ms == piece.from_ms


def _numbers(piece: Piece) -> tuple[int | None, int | None]:
    """`seqId` and `prevSeqId`; the latter None where it is not of the message that made the book."""
    of = piece.of
    if isinstance(of, Snapshot):
        return of.seq_id, None if of.gap_detected else of.prev_seq_id
    assert of is not None
    return of.change.seq_id, of.change.prev_seq_id


def _checksum(piece: Piece) -> int | None:
    """As recorded, where the levels that it is of were recorded too; else "not provided"."""
    of = piece.of
    if isinstance(of, Snapshot):
        return of.checksum if of.checksum is None or of.depth >= _CHECKED_LEVELS else 0
    assert of is not None
    return of.change.checksum


def _cause(hole: Hole) -> str:
    return f"{hole.kind}: {hole.cause}" if hole.cause else hole.kind
