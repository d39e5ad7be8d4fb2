"""What one stream counts, message by message."""

import pytest

from l2vault.book.change import BookChange
from l2vault.okx.checksum import book_checksum
from l2vault.probe.stream import BookStream, Step, TradeData, TradeStream, decode_trades
from support.received import received_frames

BTC = "BTC-USDT-SWAP"
BIDS = [("99", "1", "0", "1"), ("98", "2", "0", "1")]
ASKS = [("101", "1", "0", "1"), ("103", "2", "0", "1")]


def full(seq_id=10, checksum=0, bids=BIDS, asks=ASKS):
    return BookChange(BTC, True, list(bids), list(asks), 1_000, seq_id, -1, checksum)


def update(seq_id, prev_seq_id, asks=(("101", "5", "0", "1"),), checksum=0, ts_ms=1_100):
    return BookChange(BTC, False, [], list(asks), ts_ms, seq_id, prev_seq_id, checksum)


@pytest.fixture
def stream():
    one = BookStream(BTC)
    one.begin()
    return one


def feed(stream, *changes, now_ms=0, wall_ms=1_150):
    return [stream.take(change, 100, wall_ms, now_ms + place) for place, change in enumerate(changes)]


def test_the_wait_for_a_full_book_counts_from_its_ack(stream):
    stream.acknowledge(500)
    stream.take(full(), 100, 0, 620)

    assert stream.full_after_ack_ms == [120]


def test_a_full_book_before_its_ack_and_one_nobody_asked_for_are_counted_apart(stream):
    feed(stream, full(), full(20))

    assert (stream.full_before_ack, stream.unasked_full_books, stream.full_after_ack_ms) == (1, 1, [])


def test_each_kind_of_update_is_told_from_the_others(stream):
    steps = feed(
        stream,
        full(10),
        update(15, 10),
        update(15, 10),  # once more
        update(15, 15, asks=()),  # heartbeat
        update(3, 15),  # reset
        update(5, 3),
        update(9, 7),  # a break
    )

    assert steps == [Step.FULL, Step.APPLIED, Step.DUPLICATE, Step.APPLIED, Step.APPLIED, Step.APPLIED, Step.BROKEN]
    assert (stream.duplicates, stream.heartbeats, stream.resets) == (1, 1, 1)
    assert [(broken.expected, broken.got) for broken in stream.breaks] == [(5, 7)]
    assert stream.book is None


def test_the_same_numbers_with_other_levels_are_a_break(stream):
    assert feed(stream, full(10), update(15, 10), update(15, 10, asks=(("101", "7", "0", "1"),)))[-1] is Step.BROKEN


def test_two_heartbeats_are_no_duplicates(stream):
    feed(stream, full(10), update(10, 10, asks=()), update(10, 10, asks=()))

    assert (stream.heartbeats, stream.duplicates) == (2, 0)


def test_updates_without_a_book_keep_their_own_chain(stream):
    assert feed(stream, update(15, 10), update(20, 15), update(30, 25)) == [Step.UNSEEDED] * 3
    assert len(stream.breaks) == 1


def test_a_seeded_book_takes_the_updates_from_there(stream):
    feed(stream, update(15, 10))
    stream.seed([full(10), update(15, 10)])

    assert feed(stream, update(20, 15)) == [Step.APPLIED]
    assert stream.joined_by_rest == 1


def test_the_reach_is_the_distance_of_the_worst_level_from_mid(stream):
    feed(stream, full())

    assert stream.bid_reach_bps == [pytest.approx(200.0)]
    assert stream.ask_reach_bps == [pytest.approx(300.0)]
    assert stream.sides == (2, 2)


def test_delays_count_updates_with_a_time(stream):
    feed(stream, full(), update(15, 10), update(20, 15, ts_ms=None), wall_ms=1_150)

    assert list(stream.delays_ms) == [50]


def test_checksums_are_computed_where_they_are_sent(stream):
    right = book_checksum(BIDS, ASKS)
    feed(stream, full(checksum=right), update(15, 10, checksum=7), update(20, 15))

    assert (stream.checksums_right, stream.checksums_wrong, stream.checksums_absent) == (1, 1, 1)


def test_a_number_that_is_none_ends_the_book(stream):
    assert feed(stream, full(), update(15, 10, asks=(("x", "1", "0", "1"),)))[-1] is Step.BROKEN
    assert stream.unreadable == 1


def test_a_new_connection_begins_a_new_chain(stream):
    feed(stream, full(10), update(15, 10))
    stream.begin()

    assert feed(stream, full(500), update(510, 500)) == [Step.FULL, Step.APPLIED]
    assert stream.breaks == []


def trade(trade_id, count="1", **more):
    return TradeData(str(trade_id), "1000", count, **({"source": "0", "seqId": 100} | more))


def taken(*trades, book_seq_id=90):
    stream = TradeStream(BTC)
    for one in trades:
        stream.take(one, book_seq_id, 1_050)
    return stream


def test_a_step_fits_where_the_id_less_the_count_is_the_id_before():
    stream = taken(trade(120), trade(123, "3"), trade(124))

    assert (stream.fits, stream.unexplained, stream.matches) == (2, [], 5)


def test_every_other_step_is_kept_with_its_size():
    stream = taken(trade(120), trade(130, "3"), trade(132, "4"), trade(133))

    assert stream.unexplained == [7, -2]
    assert stream.fits == 1


def test_the_same_id_again_is_a_repeat_and_no_step():
    stream = taken(trade(120), trade(121), trade(121), trade(122))

    assert (stream.fits, stream.repeats, stream.unexplained) == (2, 1, [])


def test_a_new_connection_is_no_step():
    stream = taken(trade(120))
    stream.begin()
    stream.take(trade(500), 90, 0)

    assert (stream.fits, stream.unexplained) == (0, [])


def test_sequence_numbers_sources_and_missing_keys_are_counted():
    stream = taken(trade(1), trade(2, seqId=80), trade(3, seqId=None), trade(4, None, source="1"), trade("x"))

    assert (stream.with_seq_id, stream.compared_with_book, stream.above_book) == (3, 3, 2)
    assert (stream.without_count, stream.unreadable) == (1, 1)
    assert stream.sources == {"0": 3, "1": 1}
    assert list(stream.delays_ms) == [50] * 4


def test_only_pushes_of_trades_are_decoded():
    assert decode_trades(b"pong") is None
    assert decode_trades(b'{"event":"subscribe","arg":{"channel":"trades","instId":"X"}}') is None
    assert decode_trades(b'{"arg":{"channel":"trades-all","instId":"X"},"data":[]}') is None
    assert decode_trades(b'{"arg":{"channel":"trades","instId":"X"},"data":[]}') == ("X", [])


def test_the_trades_of_the_capture_of_2022_have_no_gap():
    streams = {}
    for frame in received_frames("okx-ws/cryptofeed_2022-05-13_books.log.zst"):
        found = decode_trades(frame)
        for one in found[1] if found else ():
            streams.setdefault(found[0], TradeStream(found[0])).take(one, None, 0)

    assert (streams["BTC-USDT"].fits, streams["BTC-USDT"].unexplained) == (68, [])
    assert (streams["BTC-USD-220527"].fits, streams["BTC-USD-220527"].unexplained) == (3, [])
    assert streams["BTC-USDT"].without_count == 69
