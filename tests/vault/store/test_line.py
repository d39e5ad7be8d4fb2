"""Where something stands in a line, and how a line is cut in two and made one again."""

import pytest
from hypothesis import given

from l2vault.book.snapshot import to_line
from l2vault.book.utc import utc_text
from l2vault.errors import LineError
from l2vault.vault.store.line import (
    as_time_text,
    has_time,
    is_flagged,
    joined,
    may_be_unflagged,
    peek,
    split,
    start_in_hour,
    time_in_hour,
    time_ms,
    time_text,
    with_levels,
)
from support.hours import HOUR_AT_MS, INST, hours_of_lines, line

TRADE = b'{"timestamp_utc":"2024-08-20T03:00:00.007Z","instId":"BTC-USDT-SWAP","px":"1"}'


@given(hours_of_lines())
def test_a_line_says_its_time_its_hour_and_its_flag(books):
    for book in books:
        text = to_line(book)
        assert has_time(text)
        assert time_ms(text) == book.ts_ms
        assert time_text(text) == as_time_text(book.ts_ms) == utc_text(book.ts_ms).encode()
        is_of_hour = book.ts_ms // 3_600_000 == HOUR_AT_MS // 3_600_000
        assert time_in_hour(text, start_in_hour(HOUR_AT_MS)) == (time_text(text) if is_of_hour else None)
        assert is_flagged(text) == book.gap_detected
        assert may_be_unflagged(text + b"\n") != book.gap_detected
        assert peek(text) == (book.ts_ms, book.gap_detected, book.seq_id)


@given(hours_of_lines())
def test_a_line_cut_at_its_levels_says_what_its_book_says_and_is_made_one_again(books):
    for book in books:
        text = to_line(book)
        cut = split(text, INST)
        bids, asks = (text[opens + 1 : closes] for opens, closes in zip(cut.opens, cut.closes, strict=True))
        assert (cut.ts_ms, cut.depth, cut.checksum) == (book.ts_ms, book.depth, book.checksum)
        assert (cut.seq_id, cut.prev_seq_id, cut.gap_detected) == (book.seq_id, book.prev_seq_id, book.gap_detected)
        assert (
            with_levels(line(book.ts_ms - HOUR_AT_MS, book.bids[:1], book.asks[:1], **tail(book)), bids, asks) == text
        )


def tail(book):
    names = ("depth", "checksum", "seq_id", "prev_seq_id", "gap_detected")
    return {name: getattr(book, name) for name in names}


def test_a_line_of_another_kind_has_a_time_and_no_flag():
    assert has_time(TRADE)
    assert peek(TRADE) == (HOUR_AT_MS + 7, False, None)


@pytest.mark.parametrize(
    "text",
    [
        TRADE,
        to_line(line(0)).replace(b"BTC", b"ETH"),
        to_line(line(0)).replace(b',"asks_top400"', b', "asks_top400"'),
        to_line(line(0)).replace(b"03:00", b"03:99"),
        to_line(line(0))[:-1] + b',"new":1}',
        b"",
    ],
)
def test_what_is_not_written_as_a_line_of_the_instrument_is_refused(text):
    with pytest.raises(LineError, match="not a snapshot line"):
        split(text, INST)


def test_pieces_longer_than_any_line_are_none_and_stay_so():
    longest = b"x" * (1 << 20)
    assert joined(longest, b"") == joined(b"", longest) == longest
    assert joined(longest, b"y") is joined(None, b"y") is joined(b"y", None) is None
