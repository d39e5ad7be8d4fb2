"""Books that stood for a known time as events: what a reader of the events has at each millisecond."""

import pytest

from l2vault.exports.events import BookEvent, Piece, Prices, Receipts, Shown, TradeEvent, changed, in_order

NONE = {"changes": [], "lines": []}


def level(price, qty="1", orders="1"):
    return (str(price), qty, "0", orders)


def piece(from_ms, to_ms, follows=True, source="changes"):
    """Its one bid is of the price of its time."""
    update = ([level(from_ms)], []) if follows else None
    return Piece(source, from_ms, to_ms, from_ms * 1000 + 7, from_ms, update, lambda: ([level(from_ms)], []))


def events(pieces, span=(0, 100), hidden=NONE):
    shown = Shown(span, hidden)
    return [(event.kind, event.ts_ms) for event in shown.events(pieces)], shown


@pytest.mark.parametrize(
    ("pieces", "hidden", "wanted", "holes"),
    [
        ([], [], [("clear", 0)], [(0, 100)]),
        ([piece(-5, 50, False), piece(50, 100)], [], [("full", 0), ("update", 50)], []),
        ([piece(10, 100, False)], [], [("clear", 0), ("full", 10)], [(0, 10)]),
        ([piece(0, 40, False)], [], [("full", 0), ("clear", 40)], [(40, 100)]),
        (
            [piece(0, 40, False), piece(60, 100, False)],
            [],
            [("full", 0), ("clear", 40), ("full", 60)],
            [(40, 60)],
        ),
        # two messages of one millisecond are two events
        (
            [piece(0, 30, False), piece(30, 30), piece(30, 100)],
            [],
            [("full", 0), ("update", 30), ("update", 30)],
            [],
        ),
        # a book that begins anew where the one before ended leaves no hole
        ([piece(0, 30, False), piece(30, 100, False)], [], [("full", 0), ("full", 30)], []),
        # what is hidden is no book, and behind it stands the one of then
        (
            [piece(0, 30, False), piece(30, 60), piece(60, 100)],
            [(40, 50)],
            [("full", 0), ("update", 30), ("clear", 40), ("full", 50), ("update", 60)],
            [(40, 50)],
        ),
        (
            [piece(0, 30, False), piece(30, 60), piece(60, 100)],
            [(30, 70)],
            [("full", 0), ("clear", 30), ("full", 70)],
            [(30, 70)],
        ),
        ([piece(0, 100, False)], [(0, 100)], [("clear", 0)], [(0, 100)]),
        ([piece(0, 30, False), piece(30, 30), piece(30, 100)], [(30, 31)], [("full", 0), ("clear", 30), ("full", 31)],
         [(30, 31)]),
    ],
)  # fmt: skip
def test_a_reader_has_the_book_that_is_known_and_none_where_none_is(pieces, hidden, wanted, holes):
    found, shown = events(pieces, hidden={"changes": hidden, "lines": []})
    assert found == wanted
    assert [hole for hole in shown.holes if hole[0] < hole[1]] == holes
    assert shown.shown_ms["changes"] == 100 - sum(end - start for start, end in holes)


def test_only_books_of_the_source_are_hidden():
    pieces = [piece(0, 50, False, "lines"), piece(50, 100, False)]
    assert events(pieces, hidden={"changes": [], "lines": [(60, 70)]})[0] == [("full", 0), ("full", 50)]


def test_behind_a_hole_a_sampled_book_is_known_again_with_the_next_sample_alone():
    pieces = [piece(0, 50, False, "lines"), piece(50, 100, True, "lines")]
    found, shown = events(pieces, hidden={"changes": [], "lines": [(10, 20)]})
    assert found == [("full", 0), ("clear", 10), ("full", 50)]
    assert shown.holes == [(10, 50)]


def test_a_book_that_did_not_just_come_has_no_receive_time():
    shown = Shown((10, 100), NONE)
    first, second = shown.events([piece(0, 50, False), piece(50, 100)])
    assert (first.kind, first.recv_us) == ("full", 0)
    assert (second.kind, second.recv_us) == ("update", 50_007)


def test_a_message_without_levels_is_no_event():
    heartbeat = Piece("changes", 20, 100, 20_007, 1, ([], []), lambda: ([level(0)], []))
    assert events([piece(0, 20, False), heartbeat])[0] == [("full", 0)]


def test_trades_come_before_the_book_of_the_same_time():
    books = [BookEvent("update", ts_ms, 0, None, [], []) for ts_ms in (1, 3, 3, 9)]
    trades = [TradeEvent(ts_ms, 0, 1, 1, "buy", "1", "1") for ts_ms in (0, 3, 9)]
    kinds = [("trade" if isinstance(event, TradeEvent) else "book", event.ts_ms) for event in in_order(books, trades)]
    assert kinds == [
        *(("trade", 0), ("book", 1), ("trade", 3), ("book", 3), ("book", 3), ("trade", 9), ("book", 9)),
    ]


def test_what_has_no_receive_time_is_given_the_latency_before_it():
    receipts = Receipts()
    assert [receipts.local_us(BookEvent("update", 10, recv_us, None, [], [])) for recv_us in (0, 60_000, 0)] == [
        *(10_000, 60_000, 60_000),
    ]
    assert receipts.local_us(BookEvent("update", 20, 0, None, [], [])) == 70_000


def test_a_receive_time_of_a_clock_that_was_set_wrong_is_not_used():
    receipts = Receipts()
    assert receipts.local_us(BookEvent("update", 5_000, 3_600_000_000, None, [], [])) == 5_000_000
    assert receipts.disbelieved == 1


def test_no_book_is_received_before_the_one_it_changes_however_late_the_trades_between_them_came():
    """Books of 2 s have the latency of the trade before them."""
    receipts = Receipts()

    def book(ts_ms):
        return receipts.local_us(BookEvent("update", ts_ms, 0, None, [], []))

    def trade(ts_ms, recv_us):
        return receipts.local_us(TradeEvent(ts_ms, recv_us, 1, 1, "buy", "1", "1"))

    assert [trade(1_000, 4_900_000), book(1_100)] == [4_900_000, 5_000_000]
    assert [trade(2_000, 2_010_000), book(3_100)] == [4_900_000, 5_000_000]
    assert [trade(5_000, 5_010_000), book(5_100)] == [5_010_000, 5_110_000]


def test_what_changed_makes_one_book_of_the_other():
    before = [level(9), level(8), level("7.0"), level(6)], [level(10)]
    after = [level(9, "2"), level(7), level(6)], [level(10), level(11)]
    bids, asks = changed(before, after)
    # a price that is only spelled another way is not deleted
    assert bids == [("8", "0", "0", "0"), level(9, "2"), level(7)]
    assert asks == [level(11)]


def test_prices_are_one_however_they_are_spelled():
    prices = Prices()
    assert [prices.update(0, level(price, qty)) for price, qty in (("7", "1"), ("7.0", "2"), ("7.00", "0"))] == [
        *("added", "changed", "deleted"),
    ]
    assert prices.update(0, level(7, "0")) == "none"
    prices.update(1, level(8))
    assert prices.replace(1, [level(9)]) == ["8"]
