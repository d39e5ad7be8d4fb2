"""Delays double up to a longest one, spread at random, and begin anew after success."""

from random import Random

from l2vault.okx.backoff import Backoff


def test_delays_double_up_to_the_longest_and_lie_between_half_and_all() -> None:
    backoff = Backoff(0.5, 30.0, Random(1))
    full = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    delays = [backoff.next_sec() for _ in full]
    assert all(most / 2 <= delay <= most for most, delay in zip(full, delays, strict=True)), delays
    assert len({delay / most for most, delay in zip(full, delays, strict=True)}) > 1


def test_after_success_the_first_delay_comes_again() -> None:
    backoff = Backoff(1.0, 60.0, Random(1))
    for _ in range(5000):
        longest = backoff.next_sec()
    assert longest >= 30
    backoff.reset()
    assert backoff.next_sec() <= 1.0
    assert 1.0 <= backoff.next_sec() <= 2.0
