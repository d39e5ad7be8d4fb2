"""`trades` beside `books` on one connection: subscribed and healed apart, and never at the cost of a book."""

import json
from random import Random

from l2vault.book.change import BookChange
from l2vault.okx.messages import SchemaFailure, Traded
from l2vault.okx.session import KEPT_FOR_BOOKS, PING_AFTER_MS, Dead, Refused, Session, Silent
from l2vault.okx.subscription import ANSWER_WITHIN_MS, SILENCE_MS
from support.wire import ack, error, full, trade, unknown_instrument, update

BTC, ETH, SOL = "BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT-SWAP"
T0 = 1_790_000_000_000
TICK_MS = 100


class Connection:
    """A session whose caller takes every full book at its word, and whose time is ours."""

    def __init__(self, *inst_ids: str) -> None:
        self.session = Session(inst_ids, Random(1), ("trades",))
        self.now_ms = 5_000_000
        self.events: list[object] = []
        self.session.open(self.now_ms)

    def tick(self, milliseconds: int = 0) -> list[dict]:
        """Time passes; returns the requests that it brings about."""
        requests = []
        for _ in range(max(1, milliseconds // TICK_MS)):
            self.now_ms += TICK_MS
            self.events += self.session.tick(self.now_ms)
            requests += [json.loads(frame) for frame in self.session.take_outgoing() if frame != "ping"]
        return requests

    def receive(self, *frames: bytes) -> list[object]:
        events = [event for frame in frames for event in self.session.receive(frame, self.now_ms, 7)]
        for event in events:
            if isinstance(event, BookChange) and event.is_snapshot:
                self.session.synced(event.inst_id, self.now_ms)
        self.events += events
        return events

    def subscribe(self) -> "Connection":
        for request in self.tick():
            for arg in request["args"]:
                self.receive(ack("subscribe", arg["instId"], request["id"], channel=arg["channel"]))
                if arg["channel"] == "books":
                    self.receive(full(arg["instId"], T0, 1))
        return self

    def keep_books(self, milliseconds: int, *inst_ids: str) -> list[dict]:
        """So much time with heartbeats of the books."""
        requests = []
        for _ in range(milliseconds // 10_000):
            requests += self.tick(10_000)
            self.receive(*(update(inst_id, T0, 1, 1) for inst_id in inst_ids))
        return requests


def channels(requests):
    return [(request["op"], request["args"][0]["channel"], len(request["args"])) for request in requests]


def test_trades_are_asked_for_in_a_request_of_their_own_before_the_books() -> None:
    """An exchange that keeps one stream for an instrument then keeps that of its book."""
    requests = Connection(BTC, ETH).tick()
    assert channels(requests) == [("subscribe", "trades", 2), ("subscribe", "books", 2)]
    assert all(len({arg["channel"] for arg in request["args"]}) == 1 for request in requests)


def test_a_session_without_trades_asks_for_none_and_takes_none() -> None:
    session = Session([BTC], Random(1))
    session.open(0)
    session.tick(100)
    assert len(session.take_outgoing()) == 1
    assert session.receive(trade(BTC, 5, T0), 100) == []


def test_pushes_come_out_with_the_time_at_which_they_arrived() -> None:
    one = Connection(BTC).subscribe()
    (traded,) = one.receive(trade(BTC, 5, T0, 2))
    assert isinstance(traded, Traded)
    assert [(push.first_id, push.last_id, push.recv_us) for push in traded.pushes] == [(4, 5, 7)]
    assert one.receive(trade(ETH, 5, T0)) == []


def test_hours_without_a_trade_are_no_silence() -> None:
    one = Connection(BTC).subscribe()
    one.events.clear()
    assert one.keep_books(3 * 3_600_000, BTC) == []
    assert not any(isinstance(event, Silent | Dead) for event in one.events)


def test_trades_that_flow_do_not_hide_the_silence_of_the_books() -> None:
    one = Connection(BTC).subscribe()
    for at in range(SILENCE_MS // 10_000 + 1):
        one.tick(10_000)
        one.receive(trade(BTC, 5 + at, T0))
    assert Silent(BTC) in one.events


def test_trades_that_overtake_their_ack_are_taken_and_settle_it() -> None:
    one = Connection(BTC)
    one.tick()
    assert one.receive(trade(BTC, 5, T0))
    one.tick(2 * ANSWER_WITHIN_MS)
    assert not any(isinstance(event, Dead) and "trades" in event.reason for event in one.events)


def test_an_unknown_instrument_of_trades_is_put_off_and_the_books_go_on() -> None:
    one = Connection(BTC, ETH)
    trades, books = one.tick()
    one.receive(*(ack("subscribe", inst_id, books["id"]) for inst_id in (BTC, ETH)))
    one.receive(full(BTC, T0, 1), full(ETH, T0, 1), ack("subscribe", BTC, trades["id"], channel="trades"))
    (refused,) = one.receive(unknown_instrument(ETH, trades["id"], "trades"))
    assert isinstance(refused, Refused)
    assert (refused.inst_id, refused.channel, refused.code) == (ETH, "trades", "60018")
    requests = one.keep_books(120_000, BTC, ETH)
    assert {(channel, count) for _, channel, count in channels(requests)} == {("trades", 1)}
    assert not any(isinstance(event, Silent | Dead) for event in one.events)


def test_a_refusal_without_id_that_names_the_channel_is_for_that_channel_alone() -> None:
    one = Connection(BTC)
    one.tick()
    (refused,) = one.receive(unknown_instrument(BTC, None, "trades"))
    assert isinstance(refused, Refused)
    assert refused.channel == "trades"
    assert one.receive(ack("subscribe", BTC), full(BTC, T0, 1))


def test_a_whole_request_of_trades_that_is_refused_says_nothing_of_books() -> None:
    one = Connection(BTC, ETH)
    trades, books = one.tick()
    refused = one.receive(error("60014", "Requests too frequent", trades["id"]))
    assert {event.channel for event in refused if isinstance(event, Refused)} == {"trades"}
    assert one.receive(ack("subscribe", BTC, books["id"]), full(BTC, T0, 1))


def test_trades_that_are_never_acknowledged_are_asked_again_and_never_end_the_connection() -> None:
    one = Connection(BTC)
    books, _ = one.tick()
    one.receive(ack("subscribe", BTC, books["id"]), full(BTC, T0, 1))
    requests = one.keep_books(3_600_000, BTC)
    assert {channel for _, channel, _ in channels(requests)} == {"trades"}
    assert 20 < len(requests) < 200
    assert not any(isinstance(event, Dead) for event in one.events)


def test_trades_in_trouble_leave_requests_for_the_books() -> None:
    """A hundred instruments whose trades are refused one by one use up their share of the burst, and no more."""
    names = [f"C{number}-USDT-SWAP" for number in range(100)]
    one = Connection(*names).subscribe()
    one.session.open(one.now_ms)
    asked = 0
    for _ in range(400):
        for request in one.tick():
            for arg in request["args"]:
                if arg["channel"] == "trades":
                    one.receive(unknown_instrument(arg["instId"], request["id"], "trades"))
                else:
                    one.receive(ack("subscribe", arg["instId"], request["id"]), full(arg["instId"], T0, 1))
            asked += request["args"][0]["channel"] == "trades"
    assert asked > 30
    books = 0
    for name in names[:KEPT_FOR_BOOKS]:
        one.session.resync(name, one.now_ms)
        books += sum(request["args"][0]["channel"] == "books" for request in one.tick())
    assert books >= KEPT_FOR_BOOKS - 1


def test_unreadable_trades_name_their_channel_and_leave_the_book_in_sync() -> None:
    one = Connection(BTC).subscribe()
    (failure,) = one.receive(trade(BTC, 5, T0, px="?"))
    assert isinstance(failure, SchemaFailure)
    assert (failure.inst_id, failure.channel) == (BTC, "trades")
    assert one.receive(update(BTC, T0, 1, 2))


def test_a_new_connection_subscribes_to_both_again() -> None:
    one = Connection(BTC).subscribe()
    one.session.open(one.now_ms)
    assert channels(one.tick()) == [("subscribe", "trades", 1), ("subscribe", "books", 1)]


def test_trades_alone_keep_a_connection_from_being_pinged() -> None:
    one = Connection(BTC).subscribe()
    for at in range(10):
        one.tick(PING_AFTER_MS // 2)
        one.receive(trade(BTC, 5 + at, T0))
    assert one.session.take_outgoing() == []
