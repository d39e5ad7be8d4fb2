import json

import pytest

from l2vault.book.change import BookChange
from l2vault.okx.messages import decode
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.server.limits import Limits
from l2vault.sim.server.peer import ServerSession

BTC, ETH, NEW = "BTC-USDT-SWAP", "ETH-USDT-SWAP", "NEW-USDT-SWAP"
CONN_ID = "a4d3ae55"
HOUR_MS = 3_600_000


def change(inst_id, seq_id, is_snapshot=False, bids=()):
    prev_seq_id = -1 if is_snapshot else seq_id - 1
    return BookChange(inst_id, is_snapshot, list(bids), [], 1000 + seq_id, seq_id, prev_seq_id, 0)


@pytest.fixture
def exchange():
    """BTC and ETH have a book, NEW is listed but has none yet."""
    one = Exchange([BTC, ETH, NEW], {})
    one.apply(change(BTC, 10, is_snapshot=True))
    one.apply(change(ETH, 20, is_snapshot=True))
    return one


@pytest.fixture
def peer(exchange):
    return ServerSession(exchange, CONN_ID, 0, Limits())


def ask(op, *inst_ids, channel="books", **more):
    args = [{"channel": channel, "instId": inst_id} for inst_id in inst_ids]
    return json.dumps(more | {"op": op, "args": args})


def ack(event, inst_id, request_id=None):
    head = f'{{"id":"{request_id}",' if request_id else "{"
    return f'{head}"event":"{event}","arg":{{"channel":"books","instId":"{inst_id}"}},"connId":"{CONN_ID}"}}'


def error(code, message, request_id=None):
    head = f'{{"id":"{request_id}",' if request_id else "{"
    return f'{head}"event":"error","msg":{json.dumps(message)},"code":"{code}","connId":"{CONN_ID}"}}'


def no_such(channel, inst_id):
    return (
        f"Wrong URL or channel:{channel}, instId:{inst_id} doesn't exist. "
        "Please use the correct URL, channel and parameters referring to API document."
    )


def said(peer, text, now_ms):
    """The texts of the answers."""
    return [frame.text for frame in peer.receive(text, now_ms)]


def numbers(frame):
    push = decode(frame.encode())
    return push.inst_id, push.is_snapshot, push.prev_seq_id, push.seq_id


def test_a_bare_ping_is_answered_by_a_bare_pong(peer):
    assert said(peer, "ping", 0) == ["pong"]


ILLEGAL = [
    '{"op":"ping"}',
    '"ping"',
    "not json",
    "[]",
    '{"args":[]}',
    '{"op":"subscribe"}',
    '{"op": "subscribe", "argss":[{ "channel" : "books", "instId" : "BTC-USDT"}]}',
    '{"op":"subscribe","args":"books"}',
    '{"op":"subscribe","args":["books"]}',
    '{"op":"subscribe","id":7,"args":[{"channel":"books","instId":"BTC-USDT-SWAP"}]}',
    '{"op":"subscribe","id":"over-32-or-not-alphanumeric","args":[{"channel":"books","instId":"BTC-USDT-SWAP"}]}',
]


@pytest.mark.parametrize("text", ILLEGAL)
def test_what_is_no_request_is_answered_60012_and_quoted(peer, text):
    assert said(peer, text, 0) == [error("60012", f"Illegal request: {text}")]
    assert peer.subscriptions == 0


REFUSALS = [
    (ask("login", BTC), "60019", "Invalid op: login"),
    (ask("subscribe"), "60013", "Invalid args"),
    (ask("subscribe", "NEAR-USDT-SWAP"), "60018", no_such("books", "NEAR-USDT-SWAP")),
    (ask("subscribe", BTC, channel="index-tickers"), "60018", no_such("index-tickers", BTC)),
    (ask("subscribe", BTC, channel="books5"), "60018", no_such("books5", BTC)),
    (ask("unsubscribe", "NEAR-USDT-SWAP"), "60018", no_such("books", "NEAR-USDT-SWAP")),
    (ask("subscribe", BTC, channel="books-l2-tbt"), "60011", "Please log in"),
]


@pytest.mark.parametrize(("text", "code", "message"), REFUSALS)
def test_a_request_that_cannot_be_met_is_refused_with_its_code(peer, text, code, message):
    assert said(peer, text, 0) == [error(code, message)]


@pytest.mark.parametrize(("text", "code", "message"), REFUSALS)
def test_a_refusal_echoes_the_id_first(peer, text, code, message):
    with_id = json.dumps({"id": "1512"} | json.loads(text))

    assert said(peer, with_id, 0) == [error(code, message, "1512")]


def test_a_subscription_is_acknowledged_and_starts_with_the_full_book(peer):
    acknowledged, full_book = said(peer, ask("subscribe", BTC), 0)

    assert acknowledged == ack("subscribe", BTC)
    assert numbers(full_book) == (BTC, True, -1, 10)


def test_a_request_of_many_is_acknowledged_arg_by_arg_in_order_with_its_id(peer):
    frames = said(peer, ask("subscribe", ETH, BTC, id="aB1"), 0)

    assert frames[:2] == [ack("subscribe", ETH, "aB1"), ack("subscribe", BTC, "aB1")]
    assert [numbers(frame)[0] for frame in frames[2:]] == [ETH, BTC]


def test_one_bad_arg_leaves_the_others_alone(peer):
    frames = said(peer, ask("subscribe", BTC, "XX", ETH, id="9"), 0)

    assert frames[:3] == [
        ack("subscribe", BTC, "9"),
        error("60018", no_such("books", "XX"), "9"),
        ack("subscribe", ETH, "9"),
    ]
    assert [numbers(frame)[0] for frame in frames[3:]] == [BTC, ETH]


def test_a_duplicate_subscription_is_only_acknowledged(peer):
    said(peer, ask("subscribe", BTC), 0)

    assert said(peer, ask("subscribe", BTC), 0) == [ack("subscribe", BTC)]
    assert len(said(peer, ask("subscribe", ETH, ETH), 0)) == 3


def test_updates_go_to_whoever_is_subscribed_and_to_nobody_else(peer):
    said(peer, ask("subscribe", BTC), 0)

    assert peer.takes(change(BTC, 11))
    assert peer.takes(change(BTC, 12, is_snapshot=True))
    assert not peer.takes(change(ETH, 21))
    assert not peer.takes(change(ETH, 22, is_snapshot=True))


def test_after_the_ack_of_an_unsubscribe_nothing_comes_any_more(peer):
    said(peer, ask("subscribe", BTC, ETH), 0)

    assert said(peer, ask("unsubscribe", BTC, id="u"), 0) == [ack("unsubscribe", BTC, "u")]
    assert not peer.takes(change(BTC, 11))
    assert peer.takes(change(ETH, 21))


def test_an_unsubscribe_of_what_was_not_subscribed_is_acknowledged(peer):
    assert said(peer, ask("unsubscribe", BTC), 0) == [ack("unsubscribe", BTC)]


def test_a_fresh_subscription_gets_the_book_of_its_own_moment(peer, exchange):
    said(peer, ask("subscribe", BTC), 0)
    said(peer, ask("unsubscribe", BTC), 0)
    exchange.apply(change(BTC, 11, bids=[("99", "1", "0", "1")]))

    acknowledged, full_book = said(peer, ask("subscribe", BTC), 0)

    assert acknowledged == ack("subscribe", BTC)
    assert decode(full_book.encode()).bids == [("99", "1", "0", "1")]
    assert numbers(full_book) == (BTC, True, -1, 11)


def test_the_full_book_follows_when_there_is_one(peer):
    assert said(peer, ask("subscribe", NEW), 0) == [ack("subscribe", NEW)]
    assert not peer.takes(change(NEW, 1))
    assert said(peer, ask("subscribe", NEW), 0) == [ack("subscribe", NEW)]
    assert peer.takes(change(NEW, 5, is_snapshot=True))
    assert peer.takes(change(NEW, 6))


def test_the_481st_request_of_an_hour_is_too_many(peer):
    for number in range(480):
        op = "subscribe" if number % 2 else "unsubscribe"
        assert said(peer, ask(op, BTC), number)[0] == ack(op, BTC)

    assert said(peer, ask("unsubscribe", BTC, id="x"), 480) == [error("60014", "Requests too frequent", "x")]
    assert peer.subscriptions == 1
    assert said(peer, ask("subscribe", BTC), HOUR_MS - 1) == [error("60014", "Requests too frequent")]
    assert said(peer, ask("subscribe", BTC), HOUR_MS) == [ack("subscribe", BTC)]
    assert said(peer, ask("subscribe", BTC), HOUR_MS) == [error("60014", "Requests too frequent")]


def test_pings_and_unknown_ops_are_no_requests_of_the_hour(peer):
    for _ in range(500):
        said(peer, "ping", 0)
        said(peer, '{"op":"login"}', 0)

    assert said(peer, ask("unsubscribe", BTC), 0) == [ack("unsubscribe", BTC)]


def test_silence_counts_from_the_last_frame_in_either_direction(peer):
    assert peer.silence_deadline_ms == 30_000
    said(peer, "ping", 4_000)
    assert peer.silence_deadline_ms == 34_000
    peer.note_sent(9_000)
    assert peer.silence_deadline_ms == 39_000


def test_books_and_trades_of_an_instrument_are_two_subscriptions(peer, exchange):
    acked = said(peer, ask("subscribe", BTC, channel="trades"), 0)

    assert acked == [ack("subscribe", BTC).replace("books", "trades")]
    assert peer.takes_trades(BTC)
    assert not peer.takes(change(BTC, 11))
    peer.receive(ask("subscribe", BTC), 0)
    peer.receive(ask("unsubscribe", BTC, channel="trades"), 0)
    assert not peer.takes_trades(BTC)
    assert peer.takes(change(BTC, 11))


def test_trades_of_an_unknown_instrument_are_refused_by_their_channel(peer):
    assert said(peer, ask("subscribe", "XX-USDT-SWAP", channel="trades"), 0) == [
        error("60018", no_such("trades", "XX-USDT-SWAP"))
    ]
    assert said(peer, ask("subscribe", BTC, channel="trades-all"), 0) == [error("60018", no_such("trades-all", BTC))]
