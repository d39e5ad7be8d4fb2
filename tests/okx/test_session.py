"""One connection's subscriptions with the time in our hands: requests, answers, deadlines, and never a storm."""

import json
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from l2vault.book.change import BookChange
from l2vault.okx.messages import PING, Notice, Refusal, SchemaFailure, Unknown
from l2vault.okx.session import (
    PING_AFTER_MS,
    PONG_WITHIN_MS,
    REQUEST_BURST,
    REQUEST_EVERY_MS,
    Dead,
    Event,
    Refused,
    Session,
    Silent,
)
from l2vault.okx.subscription import ANSWER_WITHIN_MS, SETTLE_MS, SILENCE_MS, STABLE_MS
from support.wire import ack, as_bytes, error, full, unknown_instrument, update

BTC, ETH, SOL = "BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT-SWAP"
HOUR_MS = 3_600_000
OKX_REQUESTS_PER_HOUR = 480
OKX_SILENCE_MS = 30_000
TICK_MS = 100


@dataclass
class Request:
    at_ms: int
    id: str
    op: str
    inst_ids: list[str]


@dataclass
class Connection:
    """A session whose caller takes every full book at its word, as a pipeline does, and whose time is ours."""

    inst_ids: list[str]
    seed: int = 1
    now_ms: int = 5_000_000
    requests: list[Request] = field(default_factory=list)
    pings: int = 0
    full_books: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.session = Session(self.inst_ids, Random(self.seed))
        self.session.open(self.now_ms)

    def reopen(self) -> None:
        self.session.open(self.now_ms)

    def tick(self, after_ms: int = 0) -> list[Event]:
        """Time passes, in steps as the shell takes them; returns what came of it."""
        events = []
        until_ms = self.now_ms + after_ms
        while True:
            events += self.session.tick(self.now_ms)
            self._collect()
            if self.now_ms >= until_ms:
                return events
            self.now_ms = min(until_ms, self.now_ms + TICK_MS)

    def receive(self, frame: bytes) -> list[Event]:
        events = self.session.receive(frame, self.now_ms)
        for event in events:
            if isinstance(event, BookChange) and event.is_snapshot:
                self.session.synced(event.inst_id, self.now_ms)
                self.full_books[event.inst_id] += 1
        self._collect()
        return events

    def _collect(self) -> None:
        for text in self.session.take_outgoing():
            if text == PING:
                self.pings += 1
                continue
            request = json.loads(text)
            assert {arg["channel"] for arg in request["args"]} == {"books"}
            inst_ids = [arg["instId"] for arg in request["args"]]
            self.requests.append(Request(self.now_ms, request["id"], request["op"], inst_ids))

    def acknowledge(self, request: Request | None = None) -> None:
        request = request or self.requests[-1]
        for inst_id in request.inst_ids:
            assert self.receive(ack(request.op, inst_id, request.id)) == []

    def subscribe_all(self) -> None:
        """Everything in sync, from the first request on."""
        self.tick()
        for request in list(self.requests):
            self.acknowledge(request)
        for inst_id in self.inst_ids:
            self.receive(full(inst_id, 1000, 5))

    def takes(self, inst_id: str) -> bool:
        """Whether data of the instrument is passed on."""
        return bool(self.session.receive(update(inst_id, 1100, 5, 6), self.now_ms))

    def ops(self) -> list[tuple[str, list[str]]]:
        return [(request.op, request.inst_ids) for request in self.requests]


class TestSubscribing:
    def test_nothing_is_sent_before_the_first_tick(self) -> None:
        connection = Connection([BTC])
        assert connection.session.take_outgoing() == []

    def test_one_request_with_an_id_subscribes_everything(self) -> None:
        connection = Connection([BTC, ETH, SOL])
        connection.tick(4 * 1000)
        assert connection.ops() == [("subscribe", [BTC, ETH, SOL])]
        assert connection.requests[0].id.isalnum()
        assert connection.requests[0].id.isascii()
        assert len(connection.requests[0].id) <= 32

    def test_three_hundred_instruments_take_three_requests_with_ids_of_their_own_t7(self) -> None:
        inst_ids = [f"I{n}-USDT-SWAP" for n in range(300)]
        connection = Connection(inst_ids)
        connection.tick()
        assert sorted(sum((request.inst_ids for request in connection.requests), [])) == sorted(inst_ids)
        assert len({request.id for request in connection.requests}) == len(connection.requests) == 3

    def test_every_frame_is_handed_out_once(self) -> None:
        session = Session([BTC], Random(1))
        session.open(0)
        session.tick(0)
        assert len(session.take_outgoing()) == 1
        assert session.take_outgoing() == []

    def test_each_instrument_is_acknowledged_for_itself(self) -> None:
        connection = Connection([BTC, ETH])
        connection.subscribe_all()
        assert connection.takes(BTC) and connection.takes(ETH)

    def test_data_before_its_ack_counts_and_the_ack_that_follows_changes_nothing(self) -> None:
        connection = Connection([BTC])
        connection.tick()
        assert [type(event) for event in connection.receive(full(BTC, 1000, 5))] == [BookChange]
        connection.acknowledge()
        assert connection.tick(2 * ANSWER_WITHIN_MS) == []
        assert connection.takes(BTC)
        assert len(connection.requests) == 1

    @pytest.mark.parametrize("conn_id", ["a4d3ae55", None])
    def test_an_ack_without_id_serves_as_well(self, conn_id: str | None) -> None:
        """As OKX answered to requests without one; without `connId` in 2022."""
        connection = Connection([BTC])
        connection.tick()
        connection.now_ms += ANSWER_WITHIN_MS - 1
        connection.receive(ack("subscribe", BTC, None, conn_id))
        assert connection.tick(ANSWER_WITHIN_MS - 1) == []
        assert connection.ops() == [("subscribe", [BTC])]

    def test_what_was_not_asked_for_is_passed_over(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        assert connection.receive(full(ETH, 1000, 5)) == []
        assert connection.receive(ack("subscribe", ETH, "l2v1")) == []
        assert connection.receive(as_bytes({"event": "subscribe", "arg": {"channel": "status"}})) == []

    def test_the_ack_of_another_channel_is_not_ours_t21(self) -> None:
        connection = Connection([BTC])
        connection.tick(ANSWER_WITHIN_MS - TICK_MS)
        connection.receive(as_bytes({"event": "subscribe", "arg": {"channel": "books5", "instId": BTC}}))
        events = connection.tick(TICK_MS)
        assert [type(event) for event in events] == [Dead]  # still without its ack


class TestPassedOn:
    @pytest.mark.parametrize(
        ("frame", "event"),
        [
            (b'{"event":"notice","msg":"soon","code":"64008"}', Notice("64008", "soon")),
            (b'{"event":"channel-conn-count","channel":"orders"}', Unknown("event channel-conn-count")),
            (error("60011", "Please log in"), Refusal("60011", "Please log in", None)),
        ],
    )
    def test_notices_stray_errors_and_unknown_events_disturb_no_subscription_t12(
        self, frame: bytes, event: Event
    ) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        assert connection.receive(frame) == [event]
        assert connection.takes(BTC)
        assert connection.tick(1000) == []

    def test_a_frame_that_cannot_be_read_is_told_of_t24(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        assert [type(event) for event in connection.receive(b"<html>")] == [SchemaFailure]
        assert connection.takes(BTC)


class TestResubscribing:
    def test_it_is_unsubscribe_ack_subscribe_ack_full_book(self) -> None:
        connection = Connection([BTC, ETH])
        connection.subscribe_all()
        connection.session.resync(BTC, connection.now_ms)
        connection.tick(1000)
        assert connection.ops()[1:] == [("unsubscribe", [BTC])]
        connection.acknowledge()
        connection.tick(1000)
        assert connection.ops()[1:] == [("unsubscribe", [BTC]), ("subscribe", [BTC])]
        connection.acknowledge()
        connection.receive(full(BTC, 2000, 9))
        assert connection.tick(1000) == []
        assert connection.takes(BTC)
        assert len(connection.requests) == 3

    def test_an_ack_of_what_was_not_asked_changes_nothing(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        assert connection.receive(ack("unsubscribe", BTC, None)) == []
        assert connection.takes(BTC)
        connection.session.resync(BTC, connection.now_ms)
        connection.tick()
        assert connection.receive(ack("subscribe", BTC, None)) == []
        connection.tick(1000)
        assert connection.ops()[1:] == [("unsubscribe", [BTC])], "its own ack is still awaited"

    def test_what_is_in_flight_until_the_new_subscription_is_dropped(self) -> None:
        """Whole books as well: one of the old subscription must not be taken for the new one's."""
        connection = Connection([BTC])
        connection.subscribe_all()
        connection.session.resync(BTC, connection.now_ms)
        stale = [
            full(BTC, 2000, 8),
            update(BTC, 2100, 8, 9),
            b'{"arg":{"channel":"books","instId":"%s"}}' % BTC.encode(),
        ]
        assert [connection.receive(frame) for frame in stale] == [[], [], []]  # before the unsubscribe is sent
        connection.tick()
        assert [connection.receive(frame) for frame in stale] == [[], [], []]  # before its ack
        connection.acknowledge()
        assert [connection.receive(frame) for frame in stale] == [[], [], []]  # before the subscribe is sent
        connection.tick(TICK_MS)
        assert connection.ops()[-1] == ("subscribe", [BTC])
        assert len(connection.receive(full(BTC, 2200, 10))) == 1

    def test_the_other_instruments_flow_on_meanwhile(self) -> None:
        connection = Connection([BTC, ETH])
        connection.subscribe_all()
        connection.session.resync(BTC, connection.now_ms)
        for _ in range(3):
            assert connection.takes(ETH)
            connection.tick(1000)
        connection.acknowledge()
        assert connection.takes(ETH)

    def test_those_who_fail_together_are_asked_for_together_t7(self) -> None:
        inst_ids = [f"I{n}-USDT-SWAP" for n in range(40)]
        connection = Connection(inst_ids)
        connection.subscribe_all()
        for inst_id in inst_ids:
            connection.session.resync(inst_id, connection.now_ms)
        connection.tick()
        connection.acknowledge()
        connection.tick(TICK_MS)
        assert [op for op, _ in connection.ops()] == ["subscribe", "unsubscribe", "subscribe"]
        assert sorted(connection.requests[-1].inst_ids) == sorted(inst_ids)

    def test_the_late_ack_of_a_request_given_up_is_no_answer_to_the_next(self) -> None:
        connection = Connection([BTC, ETH])
        connection.subscribe_all()
        connection.session.resync(BTC, connection.now_ms)
        connection.tick()
        given_up = connection.requests[-1]
        _keep_flowing(connection, ETH, 2 * ANSWER_WITHIN_MS)
        assert connection.ops()[2:] == [("subscribe", [BTC])]
        connection.acknowledge(given_up)
        connection.receive(ack("subscribe", BTC, connection.requests[0].id))
        assert connection.tick(ANSWER_WITHIN_MS) == []
        assert connection.ops()[3:] == [("unsubscribe", [BTC])]  # the subscribe was never acknowledged

    def test_a_second_resync_while_one_is_under_way_adds_nothing(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        for _ in range(3):
            connection.session.resync(BTC, connection.now_ms)
            connection.tick()
        assert connection.ops()[1:] == [("unsubscribe", [BTC])]
        connection.acknowledge()
        connection.session.resync(BTC, connection.now_ms)
        connection.tick(TICK_MS)
        assert connection.ops()[2:] == [("subscribe", [BTC])]

    def test_a_sync_told_of_while_it_is_leaving_counts_for_nothing(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        connection.session.resync(BTC, connection.now_ms)
        connection.session.synced(BTC, connection.now_ms)
        assert not connection.takes(BTC)
        connection.tick()
        assert connection.ops()[1:] == [("unsubscribe", [BTC])]


class TestUnhealed:
    """What a connection sends besides, as a stream of a subscription that did not end, no resubscription ends."""

    def resynced(self, connection: Connection, times: int) -> list[Dead]:
        events: list[Event] = []
        for _ in range(times):
            connection.session.resync(BTC, connection.now_ms)
            for _ in range(200):  # the back-off, unsubscribe, subscribe
                events += connection.tick(1_000)
                connection.acknowledge()
                if connection.session.awaiting_snapshot(BTC):
                    break
            connection.session.synced(BTC, connection.now_ms)
        return [event for event in events if isinstance(event, Dead) and "did not help" in event.reason]

    def test_each_third_resync_in_a_row_asks_for_a_new_connection(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        for _ in range(2):
            assert self.resynced(connection, 2) == []
            (dead,) = self.resynced(connection, 1)
            assert dead.reason == f"3 resyncs of {BTC} in a row did not help"
            connection.reopen()
            connection.subscribe_all()

    def test_where_others_are_well_it_is_the_sixth_and_that_once(self) -> None:
        connection = Connection([BTC, ETH])
        connection.subscribe_all()
        assert self.resynced(connection, 5) == []
        assert len(self.resynced(connection, 1)) == 1
        assert self.resynced(connection, 6) == []

    def test_resyncs_with_a_stable_time_between_them_do_not(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        for _ in range(5):
            assert self.resynced(connection, 1) == []
            connection.now_ms += STABLE_MS


class TestDeadlines:
    """T8: whatever does not come, something happens."""

    def test_no_ack_of_anything_is_a_dead_connection(self) -> None:
        connection = Connection([BTC, ETH])
        assert connection.tick(ANSWER_WITHIN_MS - 1) == []
        events = connection.tick(1)
        assert [type(event) for event in events] == [Dead]  # one for both
        assert events[0].reason == f"no answer for {BTC} and 1 more within {ANSWER_WITHIN_MS} ms"

    def test_an_ack_without_a_full_book_is_one_too(self) -> None:
        connection = Connection([BTC])
        connection.tick()
        connection.acknowledge()
        for _ in range(4):
            connection.now_ms += ANSWER_WITHIN_MS // 5
            assert connection.takes(BTC)  # updates without a book do not put it off
        events = connection.tick(ANSWER_WITHIN_MS // 5)
        assert [type(event) for event in events] == [Dead]

    def test_no_ack_of_an_unsubscribe_is_one_too(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        connection.session.resync(BTC, connection.now_ms)
        events = connection.tick(ANSWER_WITHIN_MS)
        assert [type(event) for event in events] == [Dead]

    def test_a_book_the_caller_never_accepts_is_asked_for_again(self) -> None:
        """The session does not take data for a book: only `synced` ends the waiting."""
        connection = Connection([BTC])
        connection.tick()
        connection.acknowledge()
        connection.session.receive(full(BTC, 1000, 5), connection.now_ms)
        assert [type(event) for event in connection.tick(ANSWER_WITHIN_MS)] == [Dead]

    def test_one_instrument_without_answer_disturbs_the_others_once_and_no_more(self) -> None:
        connection = Connection([BTC, ETH])
        connection.tick()
        connection.acknowledge()
        connection.receive(full(ETH, 1000, 5))
        events = []
        for _ in range(HOUR_MS // 1000):
            events += connection.tick(1000)
            connection.takes(ETH)
            if connection.requests[-1].inst_ids == [BTC]:
                connection.acknowledge()  # acknowledged for ever, and never a book
        assert [type(event) for event in events] == [Dead]
        assert len(connection.requests) > 40  # and it was tried again all the time

    def test_refusals_before_do_not_keep_it_from_being_worth_a_new_connection(self) -> None:
        """A failure of another kind is not counted as one of the time-outs, nor passes their number by."""
        connection = Connection([BTC, ETH])
        connection.tick()
        connection.receive(ack("subscribe", ETH, connection.requests[-1].id))
        connection.receive(full(ETH, 1000, 5))
        events = []
        for _ in range(5):
            (refused,) = connection.receive(unknown_instrument(BTC, connection.requests[-1].id))
            assert isinstance(refused, Refused)
            asked = len(connection.requests)
            while len(connection.requests) == asked:
                events += _keep_flowing(connection, ETH, TICK_MS)
        assert events == []
        events = _keep_flowing(connection, ETH, 10 * 60_000)  # now OKX says nothing at all
        assert [type(event) for event in events] == [Dead]

    def test_a_subscription_that_okx_neither_grants_nor_lets_go_is_tried_both_ways_for_ever(self) -> None:
        """OKX may answer nothing to the unsubscribe of what is not subscribed: subscribe is tried all the same."""
        connection = Connection([BTC, ETH])
        connection.tick()
        connection.receive(ack("subscribe", ETH, connection.requests[-1].id))
        connection.receive(full(ETH, 1000, 5))
        _keep_flowing(connection, ETH, 20 * 60_000)
        late = Counter(request.op for request in connection.requests if request.at_ms > connection.now_ms - 10 * 60_000)
        assert late["subscribe"] >= 3 and late["unsubscribe"] >= 3
        connection.requests.clear()
        while "subscribe" not in [request.op for request in connection.requests]:
            _keep_flowing(connection, ETH, TICK_MS)
        connection.acknowledge()
        connection.receive(full(BTC, 2000, 9))
        assert connection.takes(BTC)


class TestKeepAlive:
    def test_a_quiet_connection_is_pinged_with_bare_text_well_before_okx_closes_it_t10(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        assert connection.tick(PING_AFTER_MS - 1) == []
        assert connection.pings == 0
        connection.tick(1)
        assert connection.pings == 1
        assert PING_AFTER_MS + PONG_WITHIN_MS < OKX_SILENCE_MS
        assert PING == "ping"  # T11: neither JSON nor quoted

    def test_pong_keeps_it_alive_and_the_next_quiet_is_pinged_again(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        for pings in (1, 2, 3):
            assert connection.tick(PING_AFTER_MS) == []
            assert connection.pings == pings
            assert connection.receive(b"pong") == []

    def test_any_frame_is_as_good_as_a_pong(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        connection.tick(PING_AFTER_MS)
        connection.receive(b'{"event":"notice","msg":"","code":"1"}')
        assert connection.tick(PONG_WITHIN_MS) == []

    def test_a_busy_connection_is_not_pinged(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        _keep_flowing(connection, BTC, 10 * PING_AFTER_MS)
        assert connection.pings == 0

    def test_no_answer_to_ping_is_a_dead_connection_t9(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        assert connection.tick(PING_AFTER_MS + PONG_WITHIN_MS - 1) == []
        events = connection.tick(1)
        assert [type(event) for event in events] == [Dead]
        assert "ping" in events[0].reason
        assert connection.pings == 1

    def test_pong_without_a_book_is_silence_of_that_instrument_t9(self) -> None:
        connection = Connection([BTC, ETH])
        connection.subscribe_all()
        events = []
        while not events:
            events += _keep_flowing(connection, ETH, 1000)
            connection.receive(b"pong")
        assert events == [Silent(BTC)]
        assert SILENCE_MS <= connection.now_ms - 5_000_000 <= SILENCE_MS + 1000
        assert connection.ops()[1:] == [("unsubscribe", [BTC])]
        assert not connection.takes(BTC)

    def test_when_every_book_is_silent_and_nothing_is_answered_the_connection_is_dead_t9(self) -> None:
        connection = Connection([BTC, ETH])
        connection.subscribe_all()
        events = []
        for _ in range((SILENCE_MS + ANSWER_WITHIN_MS) // 1000):
            connection.receive(b"pong")
            events += connection.tick(1000)
        assert [type(event) for event in events] == [Silent, Silent, Dead]

    def test_a_heartbeat_is_a_sign_of_life_t6(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        for _ in range(10):
            for _ in range(4):
                connection.receive(b"pong")
                assert connection.tick(PING_AFTER_MS) == []
            assert len(connection.receive(update(BTC, 1000, 5, 5))) == 1
        assert len(connection.requests) == 1

    def test_a_computer_that_slept_recovers(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        connection.now_ms += 8 * HOUR_MS
        assert connection.tick() == [Silent(BTC)]
        assert connection.pings == 1
        assert [type(event) for event in connection.tick(ANSWER_WITHIN_MS)] == [Dead]


class TestRefusals:
    @pytest.mark.parametrize("with_id", [True, False])
    @pytest.mark.parametrize("acks_first", [True, False])
    def test_one_unknown_instrument_named_by_okx_stops_no_other_t13(self, with_id: bool, acks_first: bool) -> None:
        connection = Connection([BTC, ETH, SOL])
        connection.tick()
        request = connection.requests[0]
        refusal = unknown_instrument(ETH, request.id if with_id else None)
        refused = [] if acks_first else connection.receive(refusal)
        for inst_id in (BTC, SOL):
            connection.receive(ack("subscribe", inst_id, request.id))
            connection.receive(full(inst_id, 1000, 5))
        refused = refused or connection.receive(refusal)
        assert [(event.inst_id, event.code) for event in refused] == [(ETH, "60018")]
        assert connection.takes(BTC) and connection.takes(SOL)
        assert connection.tick(10_000) == []
        assert len(connection.requests) == 1

    @pytest.mark.parametrize("with_id", [True, False])
    @pytest.mark.parametrize("acks_first", [True, False])
    def test_one_that_okx_does_not_name_is_found_and_stops_no_other_t13(self, with_id: bool, acks_first: bool) -> None:
        connection = Connection([BTC, ETH, SOL])
        refused: list[Refused] = []
        for _ in range(8):
            pending = len(connection.requests)
            connection.tick(SETTLE_MS)
            for request in connection.requests[pending:]:
                bad = ETH in request.inst_ids
                refusal = error("60013", "Invalid args", request.id if with_id else None)
                events = connection.receive(refusal) if bad and not acks_first else []
                for inst_id in request.inst_ids:
                    if inst_id != ETH:
                        connection.receive(ack("subscribe", inst_id, request.id))
                        connection.receive(full(inst_id, 1000, 5))
                events += connection.receive(refusal) if bad and acks_first else []
                refused += [event for event in events if isinstance(event, Refused)]
        assert [event.inst_id for event in refused] == [ETH]
        assert connection.takes(BTC) and connection.takes(SOL)
        asked = Counter(inst_id for request in connection.requests for inst_id in request.inst_ids)
        assert asked[BTC] == asked[SOL] == 1  # a second subscribe would bring no second full book
        assert asked[ETH] <= 2

    def test_an_ack_after_such_a_refusal_still_counts_t13(self) -> None:
        connection = Connection([BTC, ETH, SOL])
        connection.tick()
        request = connection.requests[0]
        connection.receive(error("60013", "Invalid args", request.id))
        for inst_id in (BTC, SOL):
            connection.receive(ack("subscribe", inst_id, request.id))
        connection.tick(3 * SETTLE_MS)  # their full books are slow
        assert connection.ops()[1:] == [("subscribe", [ETH])]
        assert len(connection.receive(full(BTC, 1000, 5))) == len(connection.receive(full(SOL, 1000, 5))) == 1

    def test_one_under_suspicion_shares_no_request_with_the_others_t13(self) -> None:
        connection = Connection([BTC, ETH, SOL])
        connection.tick()
        connection.receive(ack("subscribe", SOL, connection.requests[0].id))
        connection.receive(full(SOL, 1000, 5))
        connection.receive(error("60013", "Invalid args", connection.requests[0].id))
        connection.session.resync(SOL, connection.now_ms)
        connection.tick(SETTLE_MS - TICK_MS)
        connection.acknowledge()  # SOL may be subscribed again, shortly before the two suspects are
        connection.now_ms += TICK_MS
        connection.tick()
        assert sorted(connection.ops()[2:]) == [("subscribe", [BTC]), ("subscribe", [ETH]), ("subscribe", [SOL])]

    @pytest.mark.parametrize("with_id", [True, False])
    def test_a_batch_refused_as_a_whole_without_a_name_is_halved_until_the_bad_ones_are_found_t13(
        self, with_id: bool
    ) -> None:
        inst_ids = [f"I{n}-USDT-SWAP" for n in range(32)]
        bad = {"I7-USDT-SWAP", "I20-USDT-SWAP"}
        connection = Connection(inst_ids)
        refused: set[str] = set()
        answered = 0
        for _ in range(200):
            refused |= {event.inst_id for event in connection.tick(TICK_MS) if isinstance(event, Refused)}
            while answered < len(connection.requests):
                request = connection.requests[answered]
                answered += 1
                if bad.isdisjoint(request.inst_ids):
                    connection.acknowledge(request)
                    for inst_id in request.inst_ids:
                        connection.receive(full(inst_id, 1000, 5))
                else:
                    events = connection.receive(error("60013", "Invalid", request.id if with_id else None))
                    refused |= {event.inst_id for event in events if isinstance(event, Refused)}
        assert refused == bad
        assert all(connection.takes(inst_id) for inst_id in inst_ids if inst_id not in bad)
        assert len(connection.requests) < REQUEST_BURST

    def test_two_bad_ones_in_a_batch_of_which_okx_names_one_are_both_found(self) -> None:
        connection = Connection([BTC, ETH, SOL])
        refused: list[str] = []
        answered = 0
        for _ in range(300):
            for event in _keep_flowing(connection, BTC, TICK_MS):
                assert not isinstance(event, Dead)
            while answered < len(connection.requests):
                request = connection.requests[answered]
                answered += 1
                for inst_id in set(request.inst_ids) & {BTC}:
                    connection.receive(ack(request.op, inst_id, request.id))
                    connection.receive(full(inst_id, 1000, 5))
                bad = [inst_id for inst_id in request.inst_ids if inst_id in (ETH, SOL)]
                if bad:
                    events = connection.receive(unknown_instrument(bad[0], request.id))
                    refused += [event.inst_id for event in events if isinstance(event, Refused)]
        assert refused[:2] == [ETH, SOL]
        assert connection.takes(BTC)

    def test_a_refused_one_is_asked_for_again_later_and_later(self) -> None:
        connection = Connection([BTC, ETH])
        connection.tick()
        connection.receive(ack("subscribe", BTC, connection.requests[0].id))
        connection.receive(full(BTC, 1000, 5))
        retries: list[int] = []
        while connection.now_ms < 5_000_000 + HOUR_MS:
            if connection.requests[-1].at_ms == connection.now_ms:
                asked_ms = connection.now_ms
                (refused,) = connection.receive(unknown_instrument(ETH, connection.requests[-1].id))
                assert isinstance(refused, Refused)
                retries.append(refused.retry_ms)
            _keep_flowing(connection, BTC, TICK_MS)
            if connection.requests[-1].at_ms == connection.now_ms:
                assert abs(connection.now_ms - asked_ms - retries[-1]) <= TICK_MS
        for retry_ms, most in zip(retries, (30_000, 60_000, 120_000, 240_000, 480_000, 600_000), strict=False):
            assert most // 2 <= retry_ms <= most
        assert 8 <= len(retries) <= 15

    def test_an_instrument_that_okx_lists_later_is_recorded_then(self) -> None:
        connection = Connection([BTC])
        connection.tick()
        connection.receive(unknown_instrument(BTC, connection.requests[0].id))
        while len(connection.requests) < 2:
            connection.receive(b"pong")
            connection.tick(TICK_MS)
        assert connection.ops() == [("subscribe", [BTC]), ("subscribe", [BTC])]
        connection.acknowledge()
        connection.receive(full(BTC, 1000, 5))
        assert connection.takes(BTC)

    @pytest.mark.parametrize("code", ["60014", "63999", "64007"])
    def test_too_many_requests_are_put_off_together_and_not_split_t7(self, code: str) -> None:
        inst_ids = [f"I{n}-USDT-SWAP" for n in range(50)]
        connection = Connection(inst_ids)
        connection.tick()
        events = connection.receive(error(code, "Requests too frequent", connection.requests[0].id))
        assert [event.inst_id for event in events if isinstance(event, Refused)] == inst_ids
        while len(connection.requests) < 2:
            connection.receive(b"pong")
            connection.tick(TICK_MS)
        assert connection.tick(2_000) == []
        assert connection.ops() == [("subscribe", inst_ids), ("subscribe", inst_ids)]
        assert connection.requests[1].at_ms - connection.requests[0].at_ms >= 15_000

    def test_too_many_requests_said_to_an_unsubscribe_put_that_off(self) -> None:
        connection = Connection([BTC, ETH])
        connection.subscribe_all()
        connection.session.resync(BTC, connection.now_ms)
        connection.tick()
        events = connection.receive(error("60014", "Requests too frequent", connection.requests[-1].id))
        assert [type(event) for event in events] == [Refused]
        assert _keep_flowing(connection, ETH, 14_000) == []
        assert len(connection.requests) == 2
        _keep_flowing(connection, ETH, 60_000)
        assert connection.ops()[2] == ("unsubscribe", [BTC])

    def test_what_okx_cannot_unsubscribe_is_subscribed_t8(self) -> None:
        connection = Connection([BTC, ETH])
        connection.subscribe_all()
        connection.session.resync(BTC, connection.now_ms)
        connection.tick()
        connection.receive(unknown_instrument(BTC, connection.requests[-1].id))
        connection.tick(TICK_MS)
        assert connection.ops()[1:] == [("unsubscribe", [BTC]), ("subscribe", [BTC])]

    def test_an_error_for_nobody_we_wait_for_is_only_told_of(self) -> None:
        connection = Connection([BTC])
        connection.subscribe_all()
        for frame in (unknown_instrument(ETH), error("60012", "Invalid request", "other"), error("60012", "Invalid")):
            (event,) = connection.receive(frame)
            assert isinstance(event, Refusal)
        assert connection.takes(BTC)

    def test_the_refusal_of_a_request_given_up_hits_nobody(self) -> None:
        connection = Connection([BTC, ETH])
        connection.tick()
        connection.receive(ack("subscribe", ETH, connection.requests[0].id))
        connection.receive(full(ETH, 1000, 5))
        _keep_flowing(connection, ETH, ANSWER_WITHIN_MS)
        (event,) = connection.receive(unknown_instrument(BTC, connection.requests[0].id))
        assert isinstance(event, Refusal)


class TestNewConnection:
    def test_everything_is_subscribed_anew_t14(self) -> None:
        connection = Connection([BTC, ETH, SOL])
        connection.subscribe_all()
        connection.session.resync(BTC, connection.now_ms)
        connection.tick()  # BTC leaving, the others in sync
        connection.requests.clear()
        connection.now_ms += 1000
        connection.reopen()
        connection.tick()
        assert connection.ops() == [("subscribe", [BTC, ETH, SOL])]

    def test_what_the_old_one_still_had_to_send_is_forgotten(self) -> None:
        session = Session([BTC], Random(1))
        session.open(0)
        session.tick(0)
        session.tick(PING_AFTER_MS)
        session.open(PING_AFTER_MS)
        assert session.take_outgoing() == []
        assert session.tick(PING_AFTER_MS + PONG_WITHIN_MS - ANSWER_WITHIN_MS - 1) == []  # nor is its pong waited for

    def test_the_acks_of_the_old_one_answer_nothing_on_the_new(self) -> None:
        connection = Connection([BTC])
        connection.tick()
        old = connection.requests[0]
        connection.reopen()
        connection.tick()
        connection.acknowledge(old)
        assert [type(event) for event in connection.tick(ANSWER_WITHIN_MS)] == [Dead]

    def test_a_refusal_is_still_waited_out_while_the_others_begin_at_once(self) -> None:
        connection = Connection([BTC, ETH])
        connection.tick()
        connection.receive(unknown_instrument(BTC, connection.requests[0].id))
        connection.reopen()
        connection.tick(1000)
        assert connection.ops()[1:] == [("subscribe", [ETH])]


class TestPace:
    def test_no_hour_and_no_moment_sees_more_requests_than_okx_allows(self) -> None:
        assert REQUEST_BURST + HOUR_MS // REQUEST_EVERY_MS <= OKX_REQUESTS_PER_HOUR

    def test_a_book_that_breaks_as_soon_as_it_comes_is_no_storm_t7(self) -> None:
        """ccxt #22403: the same error repeated for ever."""
        connection = Connection([BTC])
        answered = 0
        while connection.now_ms < 5_000_000 + HOUR_MS:
            connection.tick(TICK_MS)
            connection.receive(b"pong")
            while answered < len(connection.requests):
                connection.acknowledge(connection.requests[answered])
                if connection.requests[answered].op == "subscribe":
                    connection.receive(full(BTC, 1000, 5))
                    connection.session.resync(BTC, connection.now_ms)
                answered += 1
        assert len(connection.requests) < 200
        assert sum(request.at_ms < 5_000_000 + 10_000 for request in connection.requests) <= 10

    def test_a_hundred_instruments_in_trouble_do_not_keep_a_sound_one_from_its_resync(self) -> None:
        """T7 and promise 5: their tries, each in its own time, would use up the allowance of the hour in minutes."""
        sick = [f"SICK{n}-USDT-SWAP" for n in range(120)]
        connection = Connection([*sick, BTC])
        answered = 0

        def answer() -> None:
            nonlocal answered
            while answered < len(connection.requests):
                request = connection.requests[answered]
                answered += 1
                connection.acknowledge(request)
                if request.op == "subscribe" and BTC in request.inst_ids:
                    connection.receive(full(BTC, 1000, 5))

        for _ in range(10 * 60_000 // 1000):
            connection.tick(1000)
            connection.takes(BTC)
            answer()
        assert connection.full_books == {BTC: 1}
        connection.session.resync(BTC, connection.now_ms)
        lost_ms = connection.now_ms
        while connection.full_books[BTC] == 1:
            connection.tick(TICK_MS)
            answer()
        assert connection.now_ms - lost_ms <= 52_000, "the allowance of the hour comes back one request in 8.6 s"

    def test_when_requests_must_wait_whoever_has_waited_longest_goes_first(self) -> None:
        connection = _spent([ETH, BTC])
        unsubscribe = connection.requests[-1]
        assert unsubscribe.inst_ids == [ETH]
        connection.session.resync(BTC, connection.now_ms)
        connection.tick(TICK_MS)
        connection.acknowledge(unsubscribe)  # only now may ETH be subscribed again
        sent = len(connection.requests)
        connection.tick(3 * REQUEST_EVERY_MS)
        later = connection.ops()[sent:]
        assert later[0] == ("unsubscribe", [BTC])
        assert later[1][0] == "subscribe" and ETH in later[1][1]

    def test_a_new_connection_has_an_allowance_of_its_own_t14(self) -> None:
        connection = _spent([ETH, BTC])
        connection.reopen()
        connection.tick()
        assert sorted(connection.requests[-1].inst_ids) == sorted(connection.inst_ids)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        habits=st.lists(
            st.tuples(
                st.sampled_from(["breaks", "no book", "no ack", "named", "unnamed", "too many", "never lets go"]),
                st.sampled_from([0, 300, 2_900, 5_100, 20_000, STABLE_MS + 1_000]),
            ),
            min_size=1,
            max_size=12,
        ),
        seed=st.integers(0, 1000),
    )
    def test_no_habit_of_the_exchange_makes_a_storm_t7(self, habits: list[tuple[str, int]], seed: int) -> None:
        """Each instrument is treated after its own fashion for more than an hour, and all of them are in trouble."""
        connection = Connection([f"I{n}-USDT-SWAP" for n in range(len(habits))], seed)
        exchange = Unkind(connection, dict(zip(connection.inst_ids, habits, strict=True)))
        end_ms = connection.now_ms + 70 * 60_000
        while connection.now_ms < end_ms:
            connection.receive(b"pong")
            connection.tick(TICK_MS)
            connection.now_ms += 400
            exchange.answer()
        times = [request.at_ms for request in connection.requests]
        assert _most_within(times, HOUR_MS) <= OKX_REQUESTS_PER_HOUR
        assert _most_within(times, 10_000) <= REQUEST_BURST + 2
        for habit, inst_id in zip(habits, connection.inst_ids, strict=True):
            asked = sum(inst_id in request.inst_ids for request in connection.requests)
            assert asked >= 4, (habit, inst_id)  # none is given up, and none is starved

    @settings(max_examples=40, deadline=None)
    @given(st.data(), st.integers(0, 1000))
    def test_after_any_events_whatever_a_kind_exchange_brings_every_book_t8(
        self, data: st.DataObject, seed: int
    ) -> None:
        connection = Connection([BTC, ETH, SOL], seed)
        for _ in range(data.draw(st.integers(0, 40))):
            _anything(connection, data)
        answered = len(connection.requests)
        connection.reopen() if data.draw(st.booleans()) else None
        connection.full_books.clear()
        until_ms = connection.now_ms + 30 * 60_000
        while len(connection.full_books) < 3 and connection.now_ms < until_ms:
            connection.receive(b"pong")
            if any(isinstance(event, Dead) for event in connection.tick(TICK_MS)):
                connection.reopen()
            connection.now_ms += 400
            for request in connection.requests[answered:]:
                connection.acknowledge(request)
                for inst_id in request.inst_ids if request.op == "subscribe" else ():
                    connection.receive(full(inst_id, 1000, 5))
            answered = len(connection.requests)
        assert set(connection.full_books) == {BTC, ETH, SOL}


@dataclass
class Unkind:
    """Answers each instrument after its own fashion, some time after it was asked. Never says that all is well."""

    connection: Connection
    habits: dict[str, tuple[str, int]]
    seen: int = 0
    due: list[tuple[int, str, Request]] = field(default_factory=list)

    def answer(self) -> None:
        for request in self.connection.requests[self.seen :]:
            self.due += [(request.at_ms + self.habits[one][1], one, request) for one in request.inst_ids]
        self.seen = len(self.connection.requests)
        now_ms = self.connection.now_ms
        ready = [one for one in self.due if one[0] <= now_ms]
        self.due = [one for one in self.due if one[0] > now_ms]
        for _, inst_id, request in ready:
            self._answer(self.habits[inst_id][0], inst_id, request)

    def _answer(self, habit: str, inst_id: str, request: Request) -> None:
        connection = self.connection
        if habit == "no ack" or (habit == "never lets go" and request.op == "unsubscribe"):
            return
        if habit == "named":
            connection.receive(unknown_instrument(inst_id, request.id))
        elif habit == "unnamed":
            connection.receive(error("60013", "Invalid args", request.id))
        elif habit == "too many":
            connection.receive(error("60014", "Requests too frequent", request.id))
        else:
            connection.receive(ack(request.op, inst_id, request.id))
            if habit in ("breaks", "never lets go") and request.op == "subscribe":
                connection.receive(full(inst_id, 1000, 5))
                connection.session.resync(inst_id, connection.now_ms)


def _anything(connection: Connection, data: st.DataObject) -> None:
    inst_id = data.draw(st.sampled_from(connection.inst_ids))
    op = data.draw(st.sampled_from(["subscribe", "unsubscribe"]))
    request_id = data.draw(st.sampled_from([None, "other", *(request.id for request in connection.requests[-3:])]))
    match data.draw(st.integers(0, 9)):
        case 0 | 1:
            connection.tick(data.draw(st.sampled_from([0, 100, 1000, 5000, 16_000, 80_000])))
        case 2:
            connection.receive(ack(op, inst_id, request_id))
        case 3:
            connection.receive(full(inst_id, 1000, 5))
        case 4:
            connection.receive(update(inst_id, 1000, 5, 6))
        case 5:
            connection.session.resync(inst_id, connection.now_ms)
        case 6:
            connection.receive(unknown_instrument(inst_id, request_id))
        case 7:
            connection.receive(error(data.draw(st.sampled_from(["60013", "60014", "63999"])), "no name", request_id))
        case 8:
            connection.reopen()
        case 9:
            connection.session.synced(inst_id, connection.now_ms)


def _spent(inst_ids: list[str]) -> Connection:
    """A connection that has just used up its requests, the last for the unsubscribe of the first of `inst_ids`."""
    others = [f"I{n}-USDT-SWAP" for n in range(REQUEST_BURST - 2)]
    connection = Connection([*inst_ids, *others])
    connection.subscribe_all()
    for inst_id in [*others, inst_ids[0]]:
        connection.session.resync(inst_id, connection.now_ms)
        connection.tick()
    assert len(connection.requests) == REQUEST_BURST
    return connection


def _keep_flowing(connection: Connection, inst_id: str, for_ms: int) -> list[Event]:
    """Time passes with one instrument in good health."""
    events = []
    until_ms = connection.now_ms + for_ms
    while connection.now_ms < until_ms:
        connection.takes(inst_id)
        events += connection.tick(min(TICK_MS, until_ms - connection.now_ms))
    return events


def _most_within(times: list[int], window_ms: int) -> int:
    """The most of the sorted times that lie within one window."""
    most = first = 0
    for at, time_ms in enumerate(times):
        while times[first] <= time_ms - window_ms:
            first += 1
        most = max(most, at - first + 1)
    return most


def test_it_tells_when_the_newest_frame_came_and_0_before_any_connection() -> None:
    session = Session([BTC], Random(1))
    assert session.heard_ms == 0
    session.open(5_000)
    assert session.heard_ms == 5_000
    session.receive(b"pong", 6_000)
    session.tick(7_000)
    assert session.heard_ms == 6_000
