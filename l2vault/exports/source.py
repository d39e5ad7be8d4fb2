"""The books and trades of a vault as events: from every recorded change where there are changes, from the sampled books
elsewhere, and from OKX's archive where the vault was opened with it. Holds an hour of lines at a time, however long the
span.
"""

from collections.abc import Callable, Iterator, Sequence

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change_line import RecordedChange
from l2vault.book.replay import Replay
from l2vault.book.snapshot import Snapshot
from l2vault.exports.events import Levels, Piece, Shown, Source, Span, TradeEvent, changed
from l2vault.vault.coverage.model import COVERED, Coverage
from l2vault.vault.reading.changes import apply_reported, changes
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Report
from l2vault.vault.store.layout import HOUR_MS


def standing_books(vault: Vault, inst_id: str, span: Span, report: Report) -> Iterator[Piece]:
    """Every book that bears on a span, and how long it is known to stand. Where the changes have a hole, the sampled
    books fill it; where these have one too, those of the archive, if the vault was opened with it."""
    known_ms, is_first = span[0], True
    for piece in _of_changes(vault, inst_id, span, report):
        if piece.from_ms > known_ms:
            yield from _sampled(vault, inst_id, (known_ms, min(piece.from_ms, span[1])), is_first, report)
        is_first = False
        yield piece
        known_ms = max(known_ms, piece.to_ms)
    if known_ms < span[1]:
        yield from _sampled(vault, inst_id, (known_ms, span[1]), is_first, report)


def _sampled(vault: Vault, inst_id: str, span: Span, is_first: bool, report: Report) -> Iterator[Piece]:
    """Those of each source in its part of the time. Behind a hole of what was recorded a line begins anew; a book of
    the archive may have stood before."""
    for own, part in vault.sampled_parts(inst_id, span):
        if own.source == "recorded":
            yield from _of_lines(own, inst_id, part, is_first and part[0] == span[0], report)
            continue
        for piece in _of_lines(own, inst_id, part, True, report):
            yield piece._replace(from_ms=max(piece.from_ms, part[0]))


def shown_books(vault: Vault, inst_id: str, span: Span) -> tuple[Shown, Coverage]:
    """The frame of the events of a span, in which no book is shown that is in doubt, and what is known of the span."""
    coverage, recorded = vault.coverage(inst_id, *span), vault.recorded
    own = coverage if recorded is vault else recorded.coverage(inst_id, *span)
    holes = [(hole.start_ms, hole.end_ms) for hole in own.holes]
    archive = holes if vault.source == "archive" else []  # elsewhere it is read within what it covers
    hidden: dict[Source, Sequence[Span]] = {"changes": recorded.left_out(inst_id, span), "lines": holes}
    return Shown(span, {**hidden, "archive": archive}), coverage


def trade_events(reader: TradeReader, inst_id: str, span: Span, report: Report) -> Iterator[TradeEvent]:
    """Every trade of a span once, in order of ids; a time that runs back within them is that of the one before. One
    that only REST brought has no receive time."""
    last_ms = span[0]
    for row in reader.rows(inst_id, span, report):
        push = row.push
        last_ms = max(last_ms, push.ts_ms)
        recv_us = push.recv_us if push.origin == "ws" else 0
        count = row.last_id - row.first_id + 1
        is_archive = push.origin == "archive"
        yield TradeEvent(last_ms, recv_us, row.last_id, count, push.side, push.px, row.size, is_archive)


def _of_changes(vault: Vault, inst_id: str, span: Span, report: Report) -> Iterator[Piece]:
    """The book after each line, until the next line if that follows, and otherwise for its own millisecond. Reads an
    hour more, for the line that shows until when the last book stood."""
    replay = Replay()
    last: RecordedChange | None = None
    update: Levels | None = None

    def full() -> Levels:
        assert replay.book is not None
        return replay.book.top(CHANNEL_DEPTH)

    for placed in changes(vault.change_catalog, inst_id, (span[0], span[1] + HOUR_MS), report):
        recorded = placed.recorded
        follows = replay.follows(recorded)
        if last is not None:
            yield _piece_of(last, recorded.ts_ms if follows else last.ts_ms + 1, update, full)
        if recorded.ts_ms >= span[1]:
            return
        update = None
        before = full() if follows and recorded.change.is_snapshot else None
        if follows:
            update = recorded.change.bids, recorded.change.asks
        apply_reported(replay, placed, report)
        last = recorded if replay.book is not None else None
        if before is not None and last is not None:
            update = changed(before, full())
    if last is not None:
        yield _piece_of(last, last.ts_ms + 1, update, full)


def _piece_of(recorded: RecordedChange, to_ms: int, update: Levels | None, full: Callable[[], Levels]) -> Piece:
    change = recorded.change
    recv_us = change.recv_us if recorded.origin == "ws" else 0
    return Piece("changes", recorded.ts_ms, to_ms, recv_us, change.seq_id, update, full, recorded)


def _of_lines(vault: Vault, inst_id: str, span: Span, begins_before: bool, report: Report) -> Iterator[Piece]:
    """The book of each line until the next one or the end of the span; what coverage calls a hole in between is the
    caller's to hide. `begins_before`: of the time before the first line, too, the book of the line before that."""
    last = _standing(vault, inst_id, span[0] - 1) if begins_before else None
    update: Levels | None = None
    source: Source = "archive" if vault.source == "archive" else "lines"
    lines = vault.snapshots(inst_id, *span)
    for line in lines:
        if last is not None:
            yield _piece_of_line(source, last, line.ts_ms, update)
        update = None if last is None else changed((last.bids, last.asks), (line.bids, line.asks))
        last = line
        if line.gap_detected:
            yield _piece_of_line(source, line, line.ts_ms + 1, update)
            last = None
    if last is not None:
        yield _piece_of_line(source, last, span[1], update)
    for finding in lines.findings:
        report(finding)


def _piece_of_line(source: Source, line: Snapshot, to_ms: int, update: Levels | None) -> Piece:
    return Piece(source, line.ts_ms, to_ms, 0, line.seq_id, update, lambda: (line.bids, line.asks), line)


def _standing(vault: Vault, inst_id: str, t_ms: int) -> Snapshot | None:
    found = vault.book_at(inst_id, t_ms)
    return found.snapshot if found is not None and found.state in COVERED else None
