import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.errors import LevelError
from l2vault.okx.checksum import book_checksum
from l2vault.sim.exchange.books import Exchange, encode_push
from support.captured import read_books

OKX_2022 = "okx-ws/cryptofeed_2022-05-13_books.log.zst"
TODAY_2026 = "okx-ws/tickvault_2026-08-24_BTC-USDT_books.jsonl"
INST = "BTC-USDT-SWAP"


def change(is_snapshot=False, bids=(), asks=(), ts_ms=1000, numbers=(7, 5), checksum=0):
    return BookChange(INST, is_snapshot, list(bids), list(asks), ts_ms, *numbers, checksum)


def level(price, quantity="1", orders="1"):
    return (price, quantity, "0", orders)


def exchange(*changes):
    one = Exchange([INST], {})
    for each in changes:
        one.apply(each)
    return one


def test_a_push_has_the_key_order_of_the_wire():
    push = change(bids=[level("99.5", "0", "0")], asks=[level("100", "2", "3")], ts_ms=1783786806308)

    assert encode_push(push) == (
        '{"arg":{"channel":"books","instId":"BTC-USDT-SWAP"},"action":"update","data":[{"asks":[["100","2","0","3"]],'
        '"bids":[["99.5","0","0","0"]],"ts":"1783786806308","checksum":0,"seqId":7,"prevSeqId":5}]}'
    )


def test_a_push_carries_no_key_that_the_feed_did_not_have():
    assert encode_push(change(numbers=(None, None), checksum=None, ts_ms=None)).endswith(',"bids":[],"ts":"0"}]}')


@pytest.mark.parametrize("name", [OKX_2022, TODAY_2026])
@pytest.mark.parametrize("verbatim", [True, False])
def test_a_push_encoded_anew_is_the_recorded_text(captures, name, verbatim):
    for tick in read_books([captures / name], verbatim):
        assert encode_push(tick.change) == tick.frame


@pytest.mark.parametrize("name", [OKX_2022, TODAY_2026])
def test_the_full_book_of_this_moment_is_the_applied_book(captures, name):
    ticks = list(read_books([captures / name], verbatim=False))
    one = Exchange([], {})
    books = {}
    for tick in ticks:
        inst_id = tick.change.inst_id
        books.setdefault(inst_id, Book()).apply(tick.change)
        one.apply(tick.change)

        full = one.full_book(inst_id)

        assert (full.bids, full.asks) == books[inst_id].top(400)
        assert (full.is_snapshot, full.prev_seq_id, full.seq_id) == (True, -1, tick.change.seq_id)
        assert full.ts_ms == books[inst_id].ts_ms
        assert full.checksum == tick.change.checksum


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.sampled_from("0125")), max_size=30))
def test_whoever_joins_later_holds_the_same_book_as_whoever_was_there(steps):
    one = exchange(change(is_snapshot=True))
    witness = Book()
    witness.apply(change(is_snapshot=True))
    for is_bid, price, quantity in steps:
        levels = [level(str(price), quantity)]
        push = change(bids=levels if is_bid else (), asks=() if is_bid else levels)
        one.apply(push)
        witness.apply(push)

    late = Book()
    late.apply(one.full_book(INST))

    assert late.top(400) == witness.top(400)


@pytest.mark.parametrize(
    ("last_checksum", "expected"),
    [(None, None), (0, 0), (-914047754, book_checksum([level("99")], [level("101", "4")]))],
    ids=["absent", "zero", "real"],
)
def test_the_checksum_of_a_full_book_keeps_to_the_habit_of_the_feed(last_checksum, expected):
    one = exchange(
        change(is_snapshot=True, bids=[level("99")], asks=[level("101")], checksum=last_checksum),
        change(asks=[level("101", "4")], checksum=last_checksum),
    )

    assert one.full_book(INST).checksum == expected


def test_a_feed_without_numbers_has_full_books_without_numbers():
    one = exchange(change(is_snapshot=True, numbers=(None, None)))

    full = json.loads(encode_push(one.full_book(INST)))["data"][0]

    assert list(full) == ["asks", "bids", "ts", "checksum"]


def test_a_change_that_does_not_chain_is_the_truth_all_the_same():
    one = exchange(
        change(is_snapshot=True, bids=[level("99")], numbers=(10, -1)), change(bids=[level("98")], numbers=(90, 80))
    )

    full = one.full_book(INST)

    assert (full.bids, full.seq_id) == ([level("99"), level("98")], 90)


def test_the_time_of_a_full_book_is_the_latest_known():
    one = exchange(change(is_snapshot=True, ts_ms=2000), change(ts_ms=1900), change(ts_ms=None))

    assert one.full_book(INST).ts_ms == 2000


def test_there_is_no_book_before_the_first_full_one():
    one = exchange(change(bids=[level("99")]))

    assert one.full_book(INST) is None
    assert one.books_row(INST, 5) is None


def test_a_change_nobody_can_read_costs_the_book_until_the_next_full_one():
    one = exchange(change(is_snapshot=True, bids=[level("99")]))

    with pytest.raises(LevelError):
        one.apply(change(bids=[level("ninety")]))

    assert one.full_book(INST) is None
    one.apply(change(bids=[level("97")]))
    assert one.full_book(INST) is None
    one.apply(change(is_snapshot=True, bids=[level("98")]))
    assert one.full_book(INST).bids == [level("98")]


def test_a_books_row_is_cut_to_its_depth():
    one = exchange(
        change(is_snapshot=True, bids=[level("98"), level("99")], asks=[level("102"), level("101")], numbers=(10, -1))
    )

    row = one.books_row(INST, 1)

    assert (row.bids, row.asks, row.ts, row.seqId) == ([level("99")], [level("101")], "1000", 10)
