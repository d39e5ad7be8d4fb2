"""Books rebuilt from recorded changes, and what a row of them proves: which book stood until when. Pure.

The lines prove themselves, without any journal: an update follows the line whose `seqId` is its `prevSeqId`. A full
book from outside begins anew, since nothing shows what happened before it. One of the recorder's own follows if it
stands at the `seqId` or at the time of the line before it.
"""

from typing import Literal

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange, contradicts_its_numbers
from l2vault.book.change_line import RecordedChange
from l2vault.book.snapshot import Snapshot, take_snapshot
from l2vault.errors import LevelError

Step = Literal["follows", "begins", "refused"]
"""follows: the book before stood until this line. begins: a full book, of the time before it nothing is known here.
refused: it fits no book, so from here on none is known, until one begins."""


class Replay:
    """The book of one instrument, line by line in the order of the files."""

    def __init__(self) -> None:
        self.book: Book | None = None
        """After the last line; None where none is known."""
        self.why_refused = ""
        self._last_ms = 0

    def apply(self, recorded: RecordedChange) -> Step:
        """Give it every line; `why_refused` says why one does not fit."""
        change, book = recorded.change, self.book
        step: Step = "begins"
        if self.follows(recorded):
            step = "follows"
        elif not change.is_snapshot:
            return self._refuse("no full book before it" if book is None else _mismatch(change, book))
        held = book
        if book is None or step == "begins":
            book = Book()
        is_same = step == "follows" and held is not None and held.seq_id is not None and held.seq_id == change.seq_id
        held_ms = held.ts_ms if held is not None and is_same else None
        try:
            book.apply(change)
        except LevelError as error:
            return self._refuse(str(error))
        # The book's own time is older than the line only where the recorder wrote its book at the turn of an hour.
        book.ts_ms = change.ts_ms if recorded.origin == "book" and change.ts_ms is not None else recorded.ts_ms
        if held_ms is not None:  # a heartbeat that only the feed before brought has shown it to stand until then
            book.ts_ms = max(book.ts_ms, held_ms)
        self.book, self._last_ms = book, recorded.ts_ms
        return step

    def snapshot(self, inst_id: str, depth: int = CHANNEL_DEPTH) -> Snapshot:
        """The book as it stands, as the recorder would sample it. Ask only where there is one."""
        assert self.book is not None
        return take_snapshot(inst_id, self.book, depth)

    def follows(self, recorded: RecordedChange) -> bool:
        """Whether the book that is held stood unchanged until this line, which is to be applied next."""
        change, book = recorded.change, self.book
        if book is None:
            return False
        if not change.is_snapshot:
            return change.prev_seq_id == book.seq_id and not contradicts_its_numbers(change)
        if recorded.origin != "book":
            return False
        return recorded.ts_ms == self._last_ms or (change.seq_id is not None and change.seq_id == book.seq_id)

    def _refuse(self, why: str) -> Step:
        self.book, self.why_refused = None, why
        return "refused"


def full_book(inst_id: str, book: Book, recv_us: int) -> BookChange:
    """A book of the recorder's own as a push: every level, and the numbers of the last one that was applied to it."""
    bids, asks = book.top(CHANNEL_DEPTH)
    return BookChange(inst_id, True, bids, asks, book.ts_ms, book.seq_id, book.prev_seq_id, book.checksum, recv_us)


def _mismatch(change: BookChange, book: Book) -> str:
    if change.prev_seq_id == book.seq_id:
        return f"seqId {change.seq_id} again, with other levels"
    return f"prevSeqId {change.prev_seq_id}, where the line before has seqId {book.seq_id}"
