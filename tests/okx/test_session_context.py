"""The channels of the context on a connection: carried or not, few requests, and never at the cost of a book."""

import json
from random import Random

from l2vault.book.change import BookChange
from l2vault.okx.context import topics_of
from l2vault.okx.context_messages import ContextFailure, ContextPush
from l2vault.okx.session import KEPT_FOR_BOOKS, REQUEST_BURST, REQUEST_EVERY_MS, Dead, Refused, Session
from l2vault.okx.subscription import ANSWER_WITHIN_MS, BATCH
from support.wire import ack, as_bytes, full, unknown_instrument, update

BTC, ETH, INVERSE = "BTC-USDT-SWAP", "ETH-USDT-SWAP", "BTC-USD-SWAP"
T0 = 1_790_000_000_000
TICK_MS = 100


def mark(inst_id: str, price: str = "5", **row: object) -> bytes:
    data = {"instId": inst_id, "instType": "SWAP", "markPx": price, "ts": str(T0)} | row
    return as_bytes({"arg": {"channel": "mark-price", "instId": inst_id}, "data": [data]})


class Connection:
    """A session that carries the context of its instruments, and whose caller takes every full book at its word."""

    def __init__(self, *inst_ids: str, is_carrying: bool = True) -> None:
        self.session = Session(inst_ids, Random(1), ("trades",))
        self.topics = topics_of(inst_ids)
        self.now_ms = 5_000_000
        self.events: list[object] = []
        self.session.open(self.now_ms)
        if is_carrying:
            self.session.carry(self.topics, self.now_ms)

    def tick(self, milliseconds: int = 0) -> list[dict]:
        requests = []
        for _ in range(max(1, milliseconds // TICK_MS)):
            self.now_ms += TICK_MS
            self.events += self.session.tick(self.now_ms)
            requests += self.sent()
        return requests

    def sent(self) -> list[dict]:
        return [json.loads(frame) for frame in self.session.take_outgoing() if frame != "ping"]

    def receive(self, *frames: bytes) -> list[object]:
        events = [event for frame in frames for event in self.session.receive(frame, self.now_ms)]
        for event in events:
            if isinstance(event, BookChange) and event.is_snapshot:
                self.session.synced(event.inst_id, self.now_ms)
        self.events += events
        return events

    def acknowledge(self, requests: list[dict]) -> None:
        for request in requests:
            for arg in request["args"]:
                event = {"id": request["id"], "event": request["op"], "arg": arg, "connId": "a"}
                self.receive(as_bytes(event))
                if arg["channel"] == "books" and request["op"] == "subscribe":
                    self.receive(full(arg["instId"], T0, 1))

    def subscribe(self) -> "Connection":
        self.acknowledge(self.tick())
        return self


def args(request: dict) -> list[tuple[str, ...]]:
    return [tuple(arg.values()) for arg in request["args"]]


def test_the_topics_of_instruments_are_their_values_each_index_once_and_the_three_of_all() -> None:
    topics = topics_of([BTC, INVERSE, BTC, "BTC-USDT-240101-SWAP"])

    assert len(set(topics)) == len(topics)
    assert [name for channel, name in topics if channel == "index-tickers"] == [
        "BTC-USDT",
        "BTC-USD",
        "BTC-USDT-240101",
    ]
    assert [name for channel, name in topics if channel == "mark-price"] == [BTC, INVERSE, "BTC-USDT-240101-SWAP"]
    assert topics[-3:] == [("liquidation-orders", "SWAP"), ("instruments", "SWAP"), ("status", "")]


def test_all_of_the_context_is_asked_for_in_one_request_between_trades_and_books() -> None:
    trades, context, books = Connection(BTC, ETH).tick()

    assert {channel for channel, _ in args(books)} == {"books"}
    assert {channel for channel, _ in args(trades)} == {"trades"}
    assert [tuple(arg) for arg in context["args"]][-3:] == [
        ("channel", "instType"),
        ("channel", "instType"),
        ("channel",),
    ]
    assert {("mark-price", BTC), ("price-limit", ETH), ("index-tickers", "ETH-USDT")} < set(args(context))
    assert len(context["args"]) == 2 * 5 + 3


def test_fifty_instruments_take_three_requests() -> None:
    inst_ids = [f"I{number}-USDT-SWAP" for number in range(50)]
    requests = [request for request in Connection(*inst_ids).tick() if request["args"][0]["channel"] == "index-tickers"]

    assert len(Connection(*inst_ids).tick()) - 2 == -(-(50 * 5 + 3) // BATCH) == 3
    assert len(json.dumps(requests[0])) < 16_000  # OKX allows 64 KB


def test_a_session_that_does_not_carry_it_asks_for_nothing_and_takes_nothing() -> None:
    one = Connection(BTC, is_carrying=False).subscribe()

    assert one.receive(mark(BTC)) == []
    assert one.tick(20_000) == []


def test_pushes_come_out_as_they_are_and_may_overtake_their_ack() -> None:
    one = Connection(BTC)
    one.tick()

    (pushed,) = one.receive(mark(BTC))
    assert isinstance(pushed, ContextPush)
    assert (pushed.channel, pushed.name) == ("mark-price", BTC)
    assert one.receive(mark("SOL-USDT-SWAP")) == []


def test_the_channels_without_an_instrument_are_taken_too() -> None:
    one = Connection(BTC).subscribe()
    status = {"title": "x", "state": "scheduled", "begin": "", "end": "", "ts": "5"}

    assert len(one.receive(as_bytes({"arg": {"channel": "status"}, "data": [status]}))) == 1
    arg = {"channel": "instruments", "instType": "SWAP"}
    assert len(one.receive(as_bytes({"arg": arg, "data": [{"instId": BTC}]}))) == 1


def test_what_cannot_be_read_is_no_trouble_of_a_book() -> None:
    one = Connection(BTC).subscribe()

    (failure,) = one.receive(mark(BTC, "NaN"))
    assert isinstance(failure, ContextFailure)
    assert one.receive(update(BTC, T0 + 100, 1, 2)) != []


def test_it_may_be_silent_for_hours_without_a_request_or_an_end() -> None:
    one = Connection(BTC).subscribe()
    for _ in range(3 * 360):
        assert one.tick(10_000) == []
        one.receive(update(BTC, T0, 1, 1))

    assert not any(isinstance(event, Dead) for event in one.events)


def test_a_channel_that_is_not_answered_is_asked_again_and_never_ends_the_connection() -> None:
    one = Connection(BTC)
    one.acknowledge([request for request in one.tick() if request["args"][0]["channel"] in ("books", "trades")])
    again = []
    for _ in range(6):
        again += one.tick(10_000)
        one.receive(update(BTC, T0, 1, 1))

    assert len(again) > 1
    assert not any(isinstance(event, Dead) for event in one.events)


def test_an_index_that_okx_does_not_have_is_refused_alone() -> None:
    one = Connection(BTC)
    requests = one.tick()
    _, context, _ = requests
    one.receive(unknown_instrument("BTC-USDT", context["id"], "index-tickers"))
    one.acknowledge([context | {"args": context["args"][1:]}])

    (refused,) = [event for event in one.events if isinstance(event, Refused)]
    assert (refused.channel, refused.inst_id, refused.code) == ("index-tickers", "BTC-USDT", "60018")
    assert len(one.receive(mark(BTC))) == 1


def test_dropping_it_ends_the_subscriptions_and_its_data_at_once() -> None:
    one = Connection(BTC).subscribe()
    one.session.drop(one.topics, one.now_ms)

    (request,) = one.sent()
    assert request["op"] == "unsubscribe"
    assert len(request["args"]) == 8
    assert one.receive(mark(BTC)) == []
    one.acknowledge([request])
    assert one.tick(60_000 // 4) == []


def test_what_was_never_asked_for_needs_no_unsubscribing() -> None:
    one = Connection(BTC)
    one.session.drop(one.topics, one.now_ms)

    assert [request["args"][0]["channel"] for request in one.tick()] == ["trades", "books"]


def test_it_may_be_carried_again_on_the_same_connection() -> None:
    one = Connection(BTC).subscribe()
    one.session.drop(one.topics, one.now_ms)
    one.session.carry(one.topics, one.now_ms)

    ended, begun = one.tick()
    assert (ended["op"], begun["op"]) == ("unsubscribe", "subscribe")
    one.acknowledge([begun, ended])
    assert len(one.receive(mark(BTC))) == 1
    assert one.tick(ANSWER_WITHIN_MS * 2) == []


def test_a_new_connection_carries_it_on() -> None:
    one = Connection(BTC).subscribe()
    one.session.open(one.now_ms)

    assert [request["args"][0]["channel"] for request in one.tick()] == ["trades", "index-tickers", "books"]


def test_the_context_leaves_books_their_share_of_the_requests() -> None:
    one, sent = Connection(BTC).subscribe(), 3
    for _ in range(200):
        one.session.drop(one.topics, one.now_ms)
        one.session.carry(one.topics, one.now_ms)
        sent += len(one.tick())

    assert sent <= REQUEST_BURST - KEPT_FOR_BOOKS + 200 * TICK_MS // REQUEST_EVERY_MS + 1
    one.session.resync(BTC, one.now_ms)
    assert [request["args"][0]["channel"] for request in one.tick()] == ["books"]


def test_carried_twice_it_is_asked_for_once() -> None:
    one = Connection(BTC).subscribe()
    one.session.carry(one.topics, one.now_ms)

    assert one.tick(1000) == []
    assert len(one.receive(mark(BTC))) == 1


def test_an_ack_in_full_form_is_matched_to_its_channel() -> None:
    one = Connection(BTC)
    requests = one.tick()
    one.receive(ack("subscribe", BTC, requests[-1]["id"], channel="mark-price"))

    assert len(one.receive(mark(BTC))) == 1
