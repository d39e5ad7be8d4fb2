"""The phases of one subscription, its back-off, and that none of them lasts for ever."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.okx.subscription import (
    ANSWER_WITHIN_MS,
    BATCH,
    SILENCE_MS,
    STABLE_MS,
    Phase,
    Subscription,
)

NOW_MS = 10_000_000
TAKING = {Phase.SUBSCRIBING, Phase.REFUSAL_PENDING, Phase.AWAITING_SNAPSHOT, Phase.LIVE}
seeds = st.integers(0, 2**32)


def subscription(phase: Phase = Phase.AWAITING_SNAPSHOT, **fields: int) -> Subscription:
    return Subscription("BTC-USDT-SWAP", phase, NOW_MS + ANSWER_WITHIN_MS, "l2v1", **fields)


def pauses(count: int, seed: int = 1) -> list[int]:
    """How long each of so many resyncs in a row waits, in ms."""
    one, found = subscription(), []
    for _ in range(count):
        one.fail(NOW_MS, Random(seed))
        found.append(one.deadline_ms - NOW_MS)
        one.enter(Phase.AWAITING_SNAPSHOT, NOW_MS)
    return found


@pytest.mark.parametrize("phase", Phase)
def test_data_counts_from_the_request_on_and_not_while_leaving(phase: Phase) -> None:
    """OKX's data may overtake its own ack; what is in flight after an unsubscribe is not of the new subscription."""
    assert subscription(phase).takes_data == (phase in TAKING)


class TestResync:
    def test_it_unsubscribes_first_and_the_first_time_at_once(self) -> None:
        one = subscription(Phase.LIVE, synced_ms=NOW_MS)
        one.fail(NOW_MS, Random(1))
        assert (one.phase, one.deadline_ms, one.request_id) == (Phase.PAUSED, NOW_MS, None)

    def test_an_unsubscribe_without_answer_is_followed_by_a_subscribe_t8(self) -> None:
        """Repeating it could go on for ever, if OKX says nothing to what is not subscribed."""
        one = subscription(Phase.UNSUBSCRIBING)
        one.fail(NOW_MS, Random(1))
        assert one.phase is Phase.IDLE

    @given(seeds)
    def test_each_one_in_a_row_waits_longer_up_to_a_minute(self, seed: int) -> None:
        full = [0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]
        for pause, most in zip(pauses(len(full), seed), full, strict=True):
            assert most // 2 <= pause <= most

    def test_the_waits_of_many_are_spread_out(self) -> None:
        assert len({pauses(8, seed)[-1] for seed in range(50)}) > 40

    def test_a_thousand_failures_wait_no_longer_than_ten(self) -> None:
        assert max(pauses(1000)) <= 60_000

    def test_a_book_in_sync_for_long_has_healed(self) -> None:
        one = subscription(Phase.LIVE, failures=7, unanswered=5, synced_ms=NOW_MS - STABLE_MS)
        one.fail(NOW_MS, Random(1))
        assert (one.deadline_ms, one.failures, one.unanswered) == (NOW_MS, 1, 0)

    def test_a_book_in_sync_for_a_moment_has_not(self) -> None:
        one = subscription(Phase.LIVE, failures=7, unanswered=5, synced_ms=NOW_MS - STABLE_MS + 1)
        one.fail(NOW_MS, Random(1))
        assert one.deadline_ms >= NOW_MS + 30_000
        assert (one.failures, one.unanswered) == (8, 5)

    def test_waiting_for_an_answer_heals_nothing_however_long_ago_the_last_book_was(self) -> None:
        one = subscription(Phase.AWAITING_SNAPSHOT, failures=7, synced_ms=0)
        one.fail(NOW_MS, Random(1))
        assert one.failures == 8


class TestRefusal:
    @given(seeds)
    def test_it_is_asked_again_later_and_later_up_to_ten_minutes(self, seed: int) -> None:
        one, rng = subscription(Phase.SUBSCRIBING), Random(seed)
        for most in (30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000):
            delay_ms = one.refusal_delay_ms(rng)
            assert most // 2 <= delay_ms <= most
            one.refuse(NOW_MS, delay_ms)
            assert (one.phase, one.deadline_ms) == (Phase.IDLE, NOW_MS + delay_ms)

    def test_one_of_an_unsubscribe_leaves_it_subscribed(self) -> None:
        one = subscription(Phase.UNSUBSCRIBING)
        one.refuse(NOW_MS, 20_000)
        assert (one.phase, one.deadline_ms) == (Phase.PAUSED, NOW_MS + 20_000)


class TestNewConnection:
    @pytest.mark.parametrize("phase", Phase)
    def test_every_phase_begins_again_at_once_t14(self, phase: Phase) -> None:
        one = subscription(phase)
        one.begin_again(NOW_MS)
        assert (one.phase, one.deadline_ms, one.request_id) == (Phase.IDLE, NOW_MS, None)

    def test_a_refusal_is_waited_out_on_the_next_connection_too(self) -> None:
        one = subscription(Phase.SUBSCRIBING)
        one.refuse(NOW_MS, 20_000)
        one.begin_again(NOW_MS + 1_000)
        assert (one.phase, one.deadline_ms) == (Phase.IDLE, NOW_MS + 20_000)

    def test_a_refusal_of_long_ago_is_not(self) -> None:
        one = subscription(Phase.SUBSCRIBING)
        one.refuse(NOW_MS, 20_000)
        one.enter(Phase.AWAITING_SNAPSHOT, NOW_MS + 25_000)
        one.begin_again(NOW_MS + 30_000)
        assert one.deadline_ms == NOW_MS + 30_000

    def test_a_book_that_was_in_sync_for_long_comes_back_healed(self) -> None:
        one = subscription(Phase.LIVE, failures=7, synced_ms=NOW_MS - STABLE_MS)
        one.begin_again(NOW_MS)
        assert one.failures == 0


class TestSync:
    def test_it_waits_for_the_next_push_longer_than_a_heartbeat_takes_t6(self) -> None:
        one = subscription(batch=1)
        one.sync(NOW_MS)
        assert (one.phase, one.deadline_ms, one.batch) == (Phase.LIVE, NOW_MS + SILENCE_MS, BATCH)
        assert SILENCE_MS > 60_000
