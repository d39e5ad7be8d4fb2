"""Exchange time: what proves it, what cannot move it, and that this machine's wall clock has no part in it."""

import inspect
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.okx import exchange_time
from l2vault.okx.exchange_time import AGREE_MS, LATEST_MS, PAIR_WITHIN_MS, SERVER_RULES_MS, STEADY_SEC, ExchangeTime

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
T0_MS = 1_800_000_000_000
MONO_MS = 5_000_000
HOUR_MS = 3_600_000


def after(sec: float) -> tuple[int, int]:
    """Exchange and monotonic time so much later."""
    return T0_MS + round(sec * 1000), MONO_MS + round(sec * 1000)


def flow(
    time: ExchangeTime,
    seconds: range,
    sources: tuple[tuple[int, str], ...] = ((1, BTC),),
    off_ms: int = 0,
    speed: int = 1,
) -> None:
    """Messages of each source, once a second, delivered 100 ms late, their times off by `off_ms`."""
    for second in seconds:
        for feed, inst_id in sources:
            ts_ms, mono_ms = after(second)
            time.note_message(feed, inst_id, T0_MS + (ts_ms - T0_MS) * speed + off_ms, mono_ms + 100)


TWO_FEEDS = ((1, BTC), (2, BTC))
TWO_INSTRUMENTS = ((1, BTC), (1, ETH))


class TestServer:
    def test_its_answer_proves_time_to_half_a_round_trip(self) -> None:
        time = ExchangeTime()
        assert (time.now_ms(MONO_MS), time.source) == (None, "")
        time.note_server(T0_MS, 200, MONO_MS)
        assert (time.now_ms(MONO_MS), time.uncertainty_ms(MONO_MS), time.source) == (T0_MS + 100, 100, "server")

    def test_an_answer_whose_round_trip_explains_its_distance_is_no_contradiction(self) -> None:
        time = ExchangeTime()
        time.note_server(T0_MS, 0, MONO_MS)
        time.note_server(T0_MS + AGREE_MS + 900 - 1000, 2000, MONO_MS)
        assert time.now_ms(MONO_MS) == T0_MS + AGREE_MS + 900

    def test_monotonic_time_carries_the_proof_on_and_the_uncertainty_grows(self) -> None:
        time = ExchangeTime()
        time.note_server(T0_MS, 0, MONO_MS)
        assert time.now_ms(MONO_MS + HOUR_MS) == T0_MS + HOUR_MS
        assert time.uncertainty_ms(MONO_MS + HOUR_MS) == 720

    @pytest.mark.parametrize("answer", [(0, 100), (-5, 100), (LATEST_MS, 100), (T0_MS, -1), (T0_MS, 60_000)])
    def test_an_absurd_answer_proves_nothing(self, answer: tuple[int, int]) -> None:
        time = ExchangeTime()
        time.note_server(*answer, MONO_MS)
        assert time.now_ms(MONO_MS) is None

    def test_one_answer_that_contradicts_the_proof_moves_nothing(self) -> None:
        for off_ms in (HOUR_MS, -HOUR_MS, 365 * 24 * HOUR_MS):
            time = ExchangeTime()
            time.note_server(T0_MS, 0, MONO_MS)
            ts_ms, mono_ms = after(60)
            time.note_server(ts_ms + off_ms, 0, mono_ms)
            assert time.now_ms(mono_ms) == ts_ms

    def test_an_answer_a_little_behind_takes_the_proof_back_by_its_uncertainty_only(self) -> None:
        time = ExchangeTime()
        time.note_server(T0_MS, 20, MONO_MS)
        ts_ms, mono_ms = after(60)
        before, doubt_ms = time.now_ms(mono_ms), time.uncertainty_ms(mono_ms)
        time.note_server(ts_ms - 4000, 20, mono_ms)
        assert before is not None
        assert time.now_ms(mono_ms) == before - doubt_ms

    def test_two_that_keep_pace_with_monotonic_time_do(self) -> None:
        """Monotonic clocks of some systems stand still while the host sleeps."""
        time = ExchangeTime()
        time.note_server(T0_MS, 0, MONO_MS)
        for sec in (60, 120):
            ts_ms, mono_ms = after(sec)
            time.note_server(ts_ms + HOUR_MS, 0, mono_ms)
        assert time.now_ms(mono_ms) == ts_ms + HOUR_MS

    def test_an_answer_from_a_cache_comes_again_and_again_and_moves_nothing(self) -> None:
        time = ExchangeTime()
        flow(time, range(40), TWO_FEEDS)
        for sec in range(41, 200):
            time.note_server(T0_MS - HOUR_MS, 10, after(sec)[1])
        ts_ms, mono_ms = after(200)
        assert time.allows(ts_ms, mono_ms)
        assert time.source == "books"

    def test_a_cached_first_answer_does_not_keep_books_out_for_long(self) -> None:
        time = ExchangeTime()
        time.note_server(T0_MS - HOUR_MS, 10, MONO_MS)
        assert not time.allows(*after(1))
        time.note_server(T0_MS - HOUR_MS, 10, after(10)[1])
        flow(time, range(11, 11 + STEADY_SEC + 1))
        assert time.allows(*after(45))

    def test_a_live_book_confirms_an_answer_ahead_of_the_proof_at_once(self) -> None:
        time = ExchangeTime()
        time.note_server(T0_MS, 0, MONO_MS)
        flow(time, range(10, 12), off_ms=HOUR_MS)
        ts_ms, mono_ms = after(13)
        time.note_server(ts_ms + HOUR_MS, 0, mono_ms)
        assert time.now_ms(mono_ms) == ts_ms + HOUR_MS


class TestBooks:
    @pytest.mark.parametrize("sources", [TWO_FEEDS, TWO_INSTRUMENTS])
    def test_two_sources_that_agree_prove_time_within_seconds(self, sources: tuple[tuple[int, str], ...]) -> None:
        time = ExchangeTime()
        flow(time, range(3), sources)
        assert time.source == "books"
        now_ms = time.now_ms(after(3)[1])
        assert now_ms is not None
        assert 0 <= after(3)[0] - now_ms <= 200

    @pytest.mark.parametrize("sources", [((1, BTC), (1, ETH)), ((1, ETH), (1, BTC))])
    def test_of_two_that_agree_nearly_the_later_time_is_not_believed(
        self, sources: tuple[tuple[int, str], ...]
    ) -> None:
        time = ExchangeTime()
        for second in range(2):
            for feed, inst_id in sources:
                flow(time, range(second, second + 1), ((feed, inst_id),), off_ms=2_000 if inst_id == ETH else 0)
        assert time.source == "books"
        now_ms = time.now_ms(after(1)[1] + 100)
        assert now_ms == after(1)[0]

    def test_it_is_uncertain_by_no_less_than_delivery_takes(self) -> None:
        time = ExchangeTime()
        flow(time, range(2), TWO_FEEDS)
        assert time.uncertainty_ms(after(1)[1] + 100) == PAIR_WITHIN_MS

    def test_two_sources_prove_nothing_before_a_second_has_passed(self) -> None:
        time = ExchangeTime()
        for ms in (0, 999):
            for feed in (1, 2):
                time.note_message(feed, BTC, T0_MS + ms, MONO_MS + ms)
        assert time.source == ""
        for feed in (1, 2):
            time.note_message(feed, BTC, T0_MS + 1_000, MONO_MS + 1_000)
        assert time.source == "books"

    def test_one_absurd_message_on_both_feeds_proves_nothing(self) -> None:
        time = ExchangeTime()
        for feed in (1, 2):
            time.note_message(feed, BTC, T0_MS + HOUR_MS, MONO_MS)
        assert time.now_ms(MONO_MS) is None

    def test_one_message_of_another_source_is_no_second_source(self) -> None:
        time = ExchangeTime()
        flow(time, range(5))
        flow(time, range(5, 6), TWO_FEEDS)
        assert time.now_ms(after(6)[1]) is None

    def test_two_sources_that_disagree_prove_nothing(self) -> None:
        time = ExchangeTime()
        for second in range(20):
            flow(time, range(second, second + 1))
            flow(time, range(second, second + 1), ((1, ETH),), off_ms=AGREE_MS + 1000)
        assert time.now_ms(after(20)[1]) is None

    def test_one_source_alone_needs_half_a_minute(self) -> None:
        time = ExchangeTime()
        flow(time, range(STEADY_SEC))
        assert time.now_ms(after(STEADY_SEC)[1]) is None
        flow(time, range(STEADY_SEC, STEADY_SEC + 1))
        assert time.source == "books"
        assert time.allows(*after(STEADY_SEC))

    @pytest.mark.parametrize("speed", [2, 10, 30])
    def test_a_replay_at_another_speed_proves_nothing(self, speed: int) -> None:
        """Its time does not keep pace with ours, so nothing in it may be called late."""
        time = ExchangeTime()
        flow(time, range(200), TWO_FEEDS, speed=speed)
        assert time.now_ms(after(200)[1]) is None

    def test_a_late_burst_at_the_start_does_not_prevent_the_proof(self) -> None:
        time = ExchangeTime()
        flow(time, range(1), TWO_FEEDS, off_ms=-900)
        flow(time, range(1, 5), TWO_FEEDS)
        assert time.source == "books"

    @pytest.mark.parametrize("off_ms", [AGREE_MS, HOUR_MS, -HOUR_MS, -AGREE_MS])
    def test_one_absurd_source_never_moves_what_others_hold_up(self, off_ms: int) -> None:
        time = ExchangeTime()
        flow(time, range(5), TWO_FEEDS)
        for second in range(5, 600):
            flow(time, range(second, second + 1), TWO_FEEDS)
            flow(time, range(second, second + 1), ((1, ETH),), off_ms=off_ms)
        now_ms = time.now_ms(after(600)[1])
        assert now_ms is not None
        assert abs(now_ms - after(600)[0]) <= 300

    def test_a_source_that_creeps_ahead_takes_the_proof_along_no_faster_than_clocks_drift(self) -> None:
        time = ExchangeTime()
        flow(time, range(40))
        for second in range(40, 640):
            flow(time, range(second, second + 1), off_ms=(second - 40) * 100)
        now_ms = time.now_ms(after(640)[1])
        assert now_ms is not None
        assert now_ms - after(640)[0] <= 200

    def test_nor_does_it_matter_how_many_messages_a_second_it_sends(self) -> None:
        time = ExchangeTime()
        flow(time, range(40))
        for ms in range(40_000, 100_000, 100):
            time.note_message(1, BTC, T0_MS + ms + 4_000, MONO_MS + ms)
        now_ms = time.now_ms(after(100)[1])
        assert now_ms is not None
        assert now_ms - after(100)[0] <= 50

    def test_after_a_sleep_in_which_monotonic_time_stood_still_books_prove_it_anew(self) -> None:
        time = ExchangeTime()
        flow(time, range(40), TWO_FEEDS)
        flow(time, range(40, 60), TWO_FEEDS, off_ms=HOUR_MS)
        assert not time.allows(after(60)[0] + HOUR_MS, after(60)[1])
        flow(time, range(60, 75), TWO_FEEDS, off_ms=HOUR_MS)
        assert time.allows(after(75)[0] + HOUR_MS, after(75)[1])

    def test_books_correct_a_proof_that_drifts_off(self) -> None:
        """A day on a monotonic clock that is 100 millionths too fast."""
        time = ExchangeTime()
        for second in range(0, 86_400, 5):
            for feed in (1, 2):
                time.note_message(feed, BTC, T0_MS + second * 1000, MONO_MS + second * 1000 + second // 10)
        now_ms = time.now_ms(MONO_MS + 86_400_000 + 8_640)
        assert now_ms is not None
        assert abs(now_ms - (T0_MS + 86_400_000)) <= 100

    def test_a_new_answer_of_the_server_keeps_books_from_moving_it(self) -> None:
        time = ExchangeTime()
        time.note_server(T0_MS, 0, MONO_MS)
        flow(time, range(1, SERVER_RULES_MS // 1000), TWO_FEEDS, off_ms=HOUR_MS)
        assert not time.allows(after(599)[0] + HOUR_MS, after(599)[1])

    def test_sources_of_replaced_feeds_are_forgotten(self) -> None:
        time = ExchangeTime()
        for feed in range(10_000):
            time.note_message(feed, BTC, *after(feed * 60))
        assert len(time._tracks) < 2_100


class TestLateReading:
    """A loaded host reads its messages seconds late, and then catches up."""

    def test_two_sources_ahead_of_a_proof_by_books_raise_it_within_seconds(self) -> None:
        time = ExchangeTime()
        flow(time, range(5), TWO_INSTRUMENTS, off_ms=-20_000)
        flow(time, range(5, 8), TWO_INSTRUMENTS)
        assert time.allows(*after(8))

    def test_one_source_does_not_nor_do_two_by_more_than_half_a_minute(self) -> None:
        for sources, off_ms in ((((1, BTC),), 20_000), (TWO_INSTRUMENTS, 60_000)):
            time = ExchangeTime()
            flow(time, range(5), TWO_INSTRUMENTS)
            flow(time, range(5, 15), sources, off_ms=off_ms)
            assert not time.allows(after(15)[0] + off_ms, after(15)[1])

    def test_a_full_book_of_a_new_connection_is_allowed_meanwhile(self) -> None:
        time = ExchangeTime()
        flow(time, range(5), TWO_INSTRUMENTS, off_ms=-20_000)
        assert time.allows_full(*after(5))
        assert not time.allows_full(after(5)[0] + 20_000, after(5)[1])
        time.note_server(T0_MS + 5000 - 20_000, 20, after(5)[1])
        assert not time.allows_full(*after(5)), "no such grace against OKX's own answer"


class TestAllows:
    def test_only_proved_time_refuses_anything(self) -> None:
        time = ExchangeTime()
        assert time.allows(T0_MS + 100 * HOUR_MS, MONO_MS)
        time.note_server(T0_MS, 0, MONO_MS)
        assert time.allows(T0_MS + AGREE_MS, MONO_MS)
        assert not time.allows(T0_MS + AGREE_MS + 1, MONO_MS)
        assert time.allows(T0_MS - 100 * HOUR_MS, MONO_MS)

    def test_the_uncertainty_is_granted(self) -> None:
        time = ExchangeTime()
        time.note_server(T0_MS, 400, MONO_MS)
        assert time.allows(T0_MS + 200 + 200 + AGREE_MS, MONO_MS)
        assert not time.allows(T0_MS + 200 + 200 + AGREE_MS + 1, MONO_MS)

    def test_each_new_proof_is_counted(self) -> None:
        time = ExchangeTime()
        flow(time, range(5), TWO_FEEDS)
        assert time.proofs == 1
        time.note_server(*after(5)[:1], 10, after(5)[1])
        assert time.proofs == 2


@settings(max_examples=150, deadline=None)
@given(
    notes=st.lists(
        st.tuples(
            st.sampled_from(["true", "late", "absurd", "server"]),
            st.integers(1, 3),
            st.sampled_from([BTC, ETH]),
            st.integers(-(10**11), 10**11),
        ),
        max_size=200,
    ),
    seed=st.integers(0, 1000),
)
def test_whatever_one_source_says_the_proof_is_never_ahead_of_the_truth_nor_goes_back(
    notes: list[tuple[str, int, str, int]], seed: int
) -> None:
    """Feed 3 may say anything; the others are late at times; the server tells the truth."""
    rng = Random(seed)
    time, mono_ms, before = ExchangeTime(), MONO_MS, None
    for kind, feed, inst_id, off_ms in notes:
        mono_ms += rng.choice([10, 100, 500, 1000, 5000])
        true_ms = T0_MS + mono_ms - MONO_MS
        doubt_ms = time.uncertainty_ms(mono_ms)
        if kind == "server":
            time.note_server(true_ms - rng.randint(0, 50), 100, mono_ms)
        elif kind == "absurd":
            time.note_message(3, BTC, true_ms + off_ms, mono_ms)
        else:
            delay_ms = rng.randint(20, 300) if kind == "true" else rng.randint(300, 4000)
            time.note_message(min(feed, 2), inst_id, true_ms - delay_ms, mono_ms)
        now_ms = time.now_ms(mono_ms)
        if now_ms is not None:
            assert now_ms <= true_ms + AGREE_MS + time.uncertainty_ms(mono_ms)
            assert time.allows(true_ms, mono_ms)
        if before is not None:
            assert now_ms is not None
            assert now_ms - mono_ms >= before - doubt_ms
        before = None if now_ms is None else now_ms - mono_ms


def test_no_wall_clock_can_have_any_influence() -> None:
    """Everything it knows is handed in: exchange time, round trips and monotonic time."""
    names = set(inspect.getsource(exchange_time).split())
    assert not names & {"import time", "datetime", "wall_ms"}
    assert [*inspect.signature(ExchangeTime).parameters] == []


def test_the_best_offset_of_a_window_is_its_largest_and_the_second_that_of_another_source() -> None:
    window = exchange_time._Window(0)
    for source, offset in (("a", 10), ("a", 5), ("b", 7), ("b", 6), ("c", 12)):
        window.add(source, offset)
    assert (window.best, window.second) == (12, 10)
