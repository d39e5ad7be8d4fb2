"""Books rebuilt from recorded changes, and what the lines prove of the time between them."""

import msgspec

from l2vault.book.book import Book
from l2vault.book.change import BookChange, Level
from l2vault.book.change_line import Origin, RecordedChange
from l2vault.book.replay import Replay, full_book

T0 = 1_767_225_600_000
FULL = BookChange("X-USDT-SWAP", True, [("99", "5", "0", "1")], [("101", "7", "0", "2")], T0, 10, -1, 0)


def line(change: BookChange, ts_ms: int | None = None, origin: Origin = "ws") -> RecordedChange:
    return RecordedChange(ts_ms or change.ts_ms or 0, change, origin, 1)


def update(ts_ms: int, seq_id: int, prev_seq_id: int, *bids: Level) -> BookChange:
    return BookChange("X-USDT-SWAP", False, list(bids), [], ts_ms, seq_id, prev_seq_id, 0)


def test_an_update_follows_by_its_numbers_and_is_applied() -> None:
    replay = Replay()
    assert replay.apply(line(FULL)) == "begins"
    assert replay.apply(line(update(T0 + 100, 12, 10, ("98", "1", "0", "1")))) == "follows"
    assert replay.snapshot("X-USDT-SWAP").bids == [("99", "5", "0", "1"), ("98", "1", "0", "1")]
    assert replay.snapshot("X-USDT-SWAP").ts_ms == T0 + 100


def test_a_missing_push_leaves_no_book_until_a_full_one_comes() -> None:
    replay = Replay()
    replay.apply(line(FULL))
    assert replay.apply(line(update(T0 + 200, 14, 12))) == "refused"
    assert replay.book is None
    assert "prevSeqId 12, where the line before has seqId 10" in replay.why_refused
    assert replay.apply(line(update(T0 + 300, 15, 14))) == "refused"
    assert replay.apply(line(msgspec.structs.replace(FULL, ts_ms=T0 + 400, seq_id=15))) == "begins"


def test_the_same_numbers_with_other_levels_and_a_level_that_is_no_number_fit_no_book() -> None:
    replay = Replay()
    replay.apply(line(FULL))
    assert replay.apply(line(update(T0 + 100, 10, 10))) == "follows", "a heartbeat"
    assert replay.apply(line(update(T0 + 200, 10, 10, ("98", "1", "0", "1")))) == "refused"
    replay.apply(line(FULL))
    assert replay.apply(line(update(T0 + 100, 12, 10, ("x", "1", "0", "1")))) == "refused"
    assert "plain decimal" in replay.why_refused


def test_a_full_book_from_outside_begins_anew_even_at_the_same_number() -> None:
    replay = Replay()
    replay.apply(line(FULL))
    assert replay.apply(line(FULL)) == "begins"
    assert replay.apply(line(FULL, origin="rest")) == "begins"


def test_a_book_of_the_recorders_own_follows_at_the_same_number_or_at_the_same_time() -> None:
    replay = Replay()
    replay.apply(line(FULL))
    assert replay.apply(line(FULL, T0 + 60_000, "book")) == "follows", "at the turn of an hour"
    assert replay.snapshot("X-USDT-SWAP").ts_ms == T0, "the book's own time stays that of its last change"
    other = msgspec.structs.replace(FULL, ts_ms=T0 - 5, seq_id=9, prev_seq_id=8)
    assert replay.apply(line(other, T0 + 60_000, "book")) == "follows", "another feed goes on at this moment"
    assert replay.apply(line(other, T0 + 60_001, "book")) == "follows"
    later = msgspec.structs.replace(FULL, seq_id=30)
    assert replay.apply(line(later, T0 + 60_002, "book")) == "begins", "after a hole"


def test_without_numbers_only_the_time_shows_that_a_book_follows() -> None:
    replay = Replay()
    bare = msgspec.structs.replace(FULL, seq_id=None, prev_seq_id=None)
    replay.apply(line(bare))
    assert replay.apply(line(bare, T0 + 1, "book")) == "begins"
    assert replay.apply(line(bare, T0 + 1, "book")) == "follows"


def test_the_time_of_a_push_without_one_is_that_of_its_line() -> None:
    replay = Replay()
    replay.apply(line(FULL))
    timeless = msgspec.structs.replace(update(1, 12, 10), ts_ms=None)
    replay.apply(line(timeless, T0))
    assert replay.snapshot("X-USDT-SWAP").ts_ms == T0
    replay.apply(line(msgspec.structs.replace(FULL, ts_ms=T0 - 4_000), T0))
    assert replay.snapshot("X-USDT-SWAP").ts_ms == T0, "a full book a little older than the one it replaced"


def test_a_book_written_whole_is_the_book() -> None:
    book = Book()
    book.apply(FULL)
    book.apply(update(T0 + 100, 12, 10, ("98", "1", "0", "1")))
    replay = Replay()
    replay.apply(line(full_book("X-USDT-SWAP", book, 17), T0 + 100, "book"))
    assert replay.book is not None
    assert replay.book.top(400) == book.top(400)
    assert (replay.book.ts_ms, replay.book.seq_id, replay.book.prev_seq_id) == (T0 + 100, 12, 10)


def test_a_book_of_the_recorders_own_at_the_same_number_does_not_set_the_time_back() -> None:
    """A heartbeat that only the feed before brought has shown the book to stand until then."""
    replay = Replay()
    replay.apply(line(FULL))
    replay.apply(line(update(T0 + 60_000, 10, 10)))
    assert replay.apply(line(FULL, T0 + 60_000, "book")) == "follows"
    assert replay.snapshot("X-USDT-SWAP").ts_ms == T0 + 60_000
    other = msgspec.structs.replace(FULL, seq_id=12)
    assert replay.apply(line(other, T0 + 60_000, "book")) == "follows", "feeds batch differently: its time is its own"
    assert replay.snapshot("X-USDT-SWAP").ts_ms == T0
