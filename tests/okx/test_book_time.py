"""The time of one book: which `ts` leaves it, and which shows that a clock is wrong. Then the same in a pipeline."""

import json
from random import Random

import pytest

from l2vault.book.change import BookChange
from l2vault.okx.book_time import LONGEST_STEP_MS, SLACK_MS, BookTime
from l2vault.okx.exchange_time import LATEST_MS, ExchangeTime
from l2vault.okx.pipeline import AuditSoon, Lost, Output, Pipeline, Sampled, Synced
from support.second_book import with_second_books
from support.wire import ack, full, update

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
T0_MS = 1_800_000_000_000
LEVEL = ("100", "1", "0", "1")


def change(ts_ms: int | None, is_heartbeat: bool = False) -> BookChange:
    return BookChange(BTC, False, [] if is_heartbeat else [LEVEL], [], ts_ms, 2, 1, 0)


def proved(ts_ms: int = T0_MS) -> ExchangeTime:
    """A time that is proved to be `ts_ms` at monotonic 0."""
    time = ExchangeTime()
    time.note_server(ts_ms, 0, 0)
    return time


class TestBack:
    @pytest.mark.parametrize("ts_ms", [None, T0_MS, T0_MS - SLACK_MS])
    def test_an_absent_equal_or_slightly_older_time_is_no_fault_for_any_number_of_heartbeats(
        self, ts_ms: int | None
    ) -> None:
        watch = BookTime(ExchangeTime())
        for now_ms in range(0, 600_000, 1000):
            assert watch.fault(change(ts_ms, is_heartbeat=True), T0_MS, now_ms) is None

    def test_far_back_for_over_5_s_of_monotonic_time_is_one(self) -> None:
        watch = BookTime(ExchangeTime())
        far = T0_MS - SLACK_MS - 1
        assert [watch.fault(change(far, True), T0_MS, now_ms) for now_ms in (0, 2500, 5000)] == [None] * 3
        assert watch.fault(change(far, True), T0_MS, 5001) is not None

    def test_far_back_for_over_5_s_of_the_messages_own_time_is_one(self) -> None:
        """In a fast replay no time of ours passes."""
        watch = BookTime(ExchangeTime())
        back = T0_MS - 120_000
        assert [watch.fault(change(back + ms), T0_MS, 0) for ms in (0, 3000, 5000)] == [None] * 3
        assert watch.fault(change(back + 5001), T0_MS, 0) is not None

    @pytest.mark.parametrize("between", [T0_MS - SLACK_MS, T0_MS, T0_MS + 1])
    def test_one_good_message_between_ends_the_count(self, between: int) -> None:
        watch = BookTime(ExchangeTime())
        far = T0_MS - 120_000
        for now_ms in range(0, 60_000, 4000):
            assert watch.fault(change(far, True), T0_MS, now_ms) is None
            assert watch.fault(change(far, True), T0_MS, now_ms + 1000) is None
            assert watch.fault(change(between, True), T0_MS, now_ms + 2000) is None

    def test_a_step_of_5_s_ahead_ends_the_count_too(self) -> None:
        watch = BookTime(ExchangeTime())
        far = T0_MS - 120_000
        assert watch.fault(change(far), T0_MS, 0) is None
        watch.goes_on()
        assert watch.fault(change(far), T0_MS, 9000) is None


class TestStandStill:
    @pytest.mark.parametrize("ts_ms", [None, T0_MS, T0_MS - 3000])
    def test_10_s_of_changes_that_bring_no_time_are_a_fault(self, ts_ms: int | None) -> None:
        watch = BookTime(ExchangeTime())
        assert [watch.fault(change(ts_ms), T0_MS, now_ms) for now_ms in range(50_000, 60_000, 100)] == [None] * 100
        assert watch.fault(change(ts_ms), T0_MS, 60_000) is not None

    def test_a_book_that_never_had_a_time_stands_still_too(self) -> None:
        watch = BookTime(ExchangeTime())
        assert watch.fault(change(None), None, 0) is None
        assert watch.fault(change(None), None, 10_000) is not None

    def test_it_counts_from_the_first_such_change_and_not_from_the_silence_before(self) -> None:
        watch = BookTime(ExchangeTime())
        assert watch.fault(change(T0_MS + 1), T0_MS, 0) is None
        assert watch.fault(change(None), T0_MS + 1, 70_000) is None

    def test_any_progress_starts_the_count_anew(self) -> None:
        watch = BookTime(ExchangeTime())
        book_ms = T0_MS
        for now_ms in range(0, 60_000, 6000):
            assert watch.fault(change(book_ms), book_ms, now_ms) is None
            assert watch.fault(change(book_ms), book_ms, now_ms + 5000) is None
            book_ms += 1
            assert watch.fault(change(book_ms), book_ms - 1, now_ms + 5500) is None


class TestAhead:
    def test_proved_time_decides_once_there_is_any(self) -> None:
        watch = BookTime(proved())
        assert watch.fault(change(T0_MS + SLACK_MS), T0_MS - 60_000, 0) is None
        assert watch.fault(change(T0_MS + SLACK_MS + 1), T0_MS - 60_000, 0) is not None
        assert watch.fault(change(T0_MS + 3 * LONGEST_STEP_MS), T0_MS, 3 * LONGEST_STEP_MS) is None

    def test_up_to_5_s_past_the_book_need_no_proof(self) -> None:
        """An exchange clock that runs ahead of its own REST by some seconds costs no book."""
        assert BookTime(proved()).fault(change(T0_MS + 2 * SLACK_MS), T0_MS + SLACK_MS, 0) is None

    def test_while_nothing_is_proved_ten_minutes_are_the_limit(self) -> None:
        watch = BookTime(ExchangeTime())
        assert watch.fault(change(T0_MS + LONGEST_STEP_MS), T0_MS, 0) is None
        assert watch.fault(change(T0_MS + LONGEST_STEP_MS + 1), T0_MS, 0) is not None

    def test_no_time_beyond_the_year_2199_is_ever_taken(self) -> None:
        watch = BookTime(ExchangeTime())
        assert watch.fault(change(LATEST_MS - 1), None, 0) is None
        assert watch.fault(change(LATEST_MS), None, 0) is not None
        assert watch.fault(change(LATEST_MS), LATEST_MS - SLACK_MS - 1, 0) is not None


class Market:
    """An exchange whose clock is ours to turn, two feeds that share proved time, and a change each 100 ms."""

    def __init__(
        self, feeds: int = 1, inst_ids: tuple[str, ...] = (BTC,), server: bool = False, off_ms: int = 0
    ) -> None:
        self.time = ExchangeTime()
        self.now_ms = 0
        self.inst_ids = inst_ids
        self.pipelines = [Pipeline(inst_ids, 2000, 400, Random(n), feed=n, time=self.time) for n in range(feeds)]
        self.seq_id = 10
        self.clock_off_ms = off_ms
        self.outputs: list[list[Output]] = [[] for _ in self.pipelines]
        for pipeline in self.pipelines:
            pipeline.open(0)
        if server:
            self.time.note_server(T0_MS, 20, 0)
        self._answer()

    @property
    def true_ms(self) -> int:
        return T0_MS + self.now_ms

    def said(self, kind: type, feed: int = 0) -> list:
        return [output for output in self.outputs[feed] if isinstance(output, kind)]

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.now_ms += 100
            self._answer()
            self.step()

    def step(self, off_ms: int = 0) -> None:
        """One change of every instrument on every feed; its `ts` is off by so much."""
        ts_ms = self.true_ms + self.clock_off_ms + off_ms
        self.seq_id += 1
        bids = [["100", str(self.seq_id), "0", "1"]]
        for feed in range(len(self.pipelines)):
            for inst_id in self.inst_ids:
                self._hear(feed, update(inst_id, ts_ms, self.seq_id - 1, self.seq_id, bids))

    def _answer(self) -> None:
        """Each subscribe is acknowledged and brings a full book."""
        for feed, pipeline in enumerate(self.pipelines):
            self.outputs[feed] += with_second_books(pipeline, pipeline.tick(self.now_ms), self.now_ms)
            for text in pipeline.take_outgoing():
                if text == "ping":
                    continue
                request = json.loads(text)
                for inst_id in [arg["instId"] for arg in request["args"]]:
                    self._hear(feed, ack(request["op"], inst_id, request["id"]))
                    if request["op"] == "subscribe":
                        self._hear(feed, full(inst_id, self.true_ms + self.clock_off_ms, self.seq_id))

    def _hear(self, feed: int, frame: bytes) -> None:
        pipeline = self.pipelines[feed]
        outputs = with_second_books(pipeline, pipeline.receive(frame, self.now_ms), self.now_ms)
        self.outputs[feed] += outputs

    def grid_times(self, feed: int = 0) -> list[int]:
        return [one.grid_ms for one in self.said(Sampled, feed)]


class TestCases:
    @pytest.mark.parametrize("jump_ms", [6_000, 60_000, 590_000, 3_600_000])
    @pytest.mark.parametrize("proof", ["two feeds", "two instruments", "server", "half a minute alone"])
    def test_one_absurd_time_ahead_costs_a_resync_and_nothing_is_silenced(self, jump_ms: int, proof: str) -> None:
        inst_ids = (BTC, ETH) if proof == "two instruments" else (BTC,)
        market = Market(2 if proof == "two feeds" else 1, inst_ids, proof == "server")
        market.run(40 if proof == "half a minute alone" else 8)
        before = market.grid_times()
        absurd_ms = market.true_ms + jump_ms
        market.step(jump_ms)
        (lost,) = [one for one in market.said(Lost) if one.inst_id == BTC]
        assert (lost.cause, lost.to_ms, lost.flagged) == ("clock", None, None)
        assert str(absurd_ms) in lost.detail
        assert market.grid_times() == before, "the absurd time made nothing due"
        market.run(10)
        assert len([one for one in market.said(Synced) if one.inst_id == BTC]) == 2
        since = [grid_ms for grid_ms in market.grid_times() if grid_ms not in before]
        assert since == sorted(since)
        assert since[-1] >= market.true_ms - 2000
        assert all(one.until_ms <= market.true_ms for one in market.said(Sampled))

    def test_a_clock_that_jumps_back_is_lost_after_5_s_and_starts_anew_from_the_fresh_book(self) -> None:
        market = Market()
        market.run(9)
        market.clock_off_ms = -120_000
        market.run(7)
        (lost,) = market.said(Lost)
        assert lost.cause == "clock"
        assert lost.from_ms == T0_MS + 9000
        found = market.said(Synced)[1]
        assert found.ts_ms == pytest.approx(T0_MS + 14_200 - 120_000, abs=300)
        market.run(60)
        assert market.said(Lost) == [lost]
        assert market.grid_times()[-1] >= market.true_ms - 120_000 - 2000
        between = [grid_ms for grid_ms in market.grid_times() if grid_ms > T0_MS + 9000]
        assert between == [], "no line of the time that did not exist"

    @pytest.mark.parametrize("off_ms", [-5 * 3_600_000, 5 * 3_600_000])
    def test_an_exchange_five_hours_from_any_local_clock_loses_nothing(self, off_ms: int) -> None:
        """No local clock is asked, so that only a change of the exchange's own could matter."""
        market = Market(2, off_ms=off_ms)
        market.run(60)
        assert market.said(Lost) == market.said(Lost, 1) == []
        assert len(market.grid_times()) == 30

    def test_a_clock_that_stands_still_under_changes_is_lost(self) -> None:
        market = Market()
        market.run(5)
        for _ in range(105):
            market.now_ms += 100
            market.clock_off_ms -= 100
            market.step()
        (lost,) = market.said(Lost)
        assert (lost.cause, lost.from_ms) == ("clock", T0_MS + 5000)

    def test_a_full_book_far_ahead_of_proved_time_is_refused_and_the_next_one_taken(self) -> None:
        market = Market(2, server=True)
        market.run(3)
        pipeline = market.pipelines[0]
        market.outputs[0] += pipeline.close("disconnect", "gone")
        pipeline.open(market.now_ms)
        market.clock_off_ms = 300_000
        market.now_ms += 100
        market._answer()
        refused = market.said(Lost)[-1]
        assert (refused.cause, refused.from_ms, refused.to_ms) == ("clock", None, None)
        market.clock_off_ms = 0
        market.run(3)
        assert len(market.said(Synced)) == 2

    def test_without_any_proof_a_full_book_is_accepted_and_lost_when_proof_shows_it_ahead(self) -> None:
        market = Market()
        market.step(3_000)
        market.now_ms += 100
        market.time.note_server(T0_MS - 300_000, 20, market.now_ms)
        market._answer()
        (lost,) = market.said(Lost)
        assert lost.cause == "clock"

    @pytest.mark.parametrize("ts_ms", [253_402_300_000_000, LATEST_MS])
    def test_a_full_book_beyond_2199_is_never_taken_and_the_next_one_is(self, ts_ms: int) -> None:
        market = Market()
        market.run(1)
        market._hear(0, full(BTC, ts_ms, 500))
        (lost,) = market.said(Lost)
        assert (lost.cause, lost.from_ms) == ("clock", T0_MS + 1000)
        market.run(5)
        assert len(market.said(Synced)) == 2
        assert all(one.until_ms <= market.true_ms for one in market.said(Sampled))

    def test_a_break_by_a_message_of_an_absurd_time_does_not_hand_that_time_on(self) -> None:
        market = Market(server=True)
        market.run(3)
        market._hear(0, update(BTC, market.true_ms + 10**9, 5, 6))
        (lost,) = market.said(Lost)
        assert (lost.cause, lost.to_ms) == ("chain", None)

    def test_a_fast_replay_with_quiet_instruments_loses_nothing(self) -> None:
        """Thirty times as fast, with heartbeats each minute of exchange time, on two feeds."""
        market = Market(2)
        for _ in range(200):
            market.now_ms += 2000
            market.clock_off_ms += 58_000
            market.step()
        assert market.said(Lost) == []

    def test_each_join_asks_for_an_audit(self) -> None:
        market = Market()
        assert market.said(AuditSoon) == [AuditSoon(BTC)]
