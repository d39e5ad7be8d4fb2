"""The evidence for each slot: counted once, quiet only by the book that was written, nothing kept for ever."""

from random import Random

import pytest

from l2vault.book.utc import utc_text
from l2vault.recording.arbiter import Claim
from l2vault.recording.slots import LONGEST_QUIET_MS, SlotLedger
from l2vault.vault.journal.events import MinuteOf

BTC = "BTC-USDT-SWAP"
T0_MS = 1_767_225_600_000


def claim(grid: float, until: float, ts: float | None = None, seq_id: int | None = 5, feed: int = 1) -> Claim:
    """Times in seconds since `T0_MS`."""
    grid_ms, until_ms, ts_ms = (T0_MS + round(each * 1000) for each in (grid, until, grid if ts is None else ts))
    return Claim(feed, BTC, grid_ms, until_ms, ts_ms, seq_id)


def minute(ledger: SlotLedger) -> MinuteOf:
    return ledger.take_minute({}).get(BTC, MinuteOf())


def seconds(text: str | None) -> float | None:
    from l2vault.book.utc import utc_ms

    return None if text is None else (utc_ms(text) - T0_MS) / 1000


def quiet(one: MinuteOf) -> list[tuple[float | None, float | None, float | None]]:
    return [(seconds(each.since), seconds(each.first), seconds(each.last)) for each in one.quiet]


def counts(one: MinuteOf) -> tuple[int, float | None, float | None, int]:
    return one.due, seconds(one.first), seconds(one.last), one.held_back


def test_a_written_slot_is_due_and_what_its_book_stood_over_is_quiet_since_its_line() -> None:
    ledger = SlotLedger(2000)
    ledger.wrote(claim(2, 9.5, ts=1.2))
    one = minute(ledger)
    assert counts(one) == (4, 2, 8, 0)
    assert quiet(one) == [(1.2, 4, 8)]


@pytest.mark.parametrize(("until", "last"), [(4, None), (4.001, 4), (6, 4), (6.001, 6)])
def test_a_slot_is_quiet_only_if_the_message_came_after_it(until: float, last: float | None) -> None:
    ledger = SlotLedger(2000)
    ledger.wrote(claim(2, until))
    assert quiet(minute(ledger)) == ([] if last is None else [(2, 4, last)])


def test_a_minute_holds_what_came_since_the_one_before() -> None:
    ledger = SlotLedger(2000)
    ledger.wrote(claim(2, 4.1))
    assert counts(minute(ledger)) == (2, 2, 4, 0)
    assert minute(ledger) == MinuteOf()
    ledger.wrote(claim(6, 6.1, seq_id=6))
    one = ledger.take_minute({BTC: T0_MS + 6100, "ETH-USDT-SWAP": T0_MS})
    assert counts(one[BTC]) == (1, 6, 6, 0)
    assert seconds(one[BTC].book_time) == 6.1
    assert one["ETH-USDT-SWAP"] == MinuteOf(book_time=utc_text(T0_MS))


def test_each_slot_is_counted_once_whatever_both_feeds_say() -> None:
    ledger = SlotLedger(2000)
    ledger.wrote(claim(2, 5))
    ledger.compared(claim(2, 7, feed=2))
    ledger.compared(claim(2, 5, feed=2))
    one = minute(ledger)
    assert counts(one) == (3, 2, 6, 0)
    assert quiet(one) == [(2, 4, 6)]
    ledger.wrote(claim(6, 6.1, ts=5.5))
    assert counts(minute(ledger)) == (0, None, None, 0), "known before, by the other feed"


@pytest.mark.parametrize("other", [{"seq_id": 6}, {"ts": 1.9}, {"seq_id": None}])
def test_what_a_feed_says_of_another_book_than_the_written_one_makes_nothing_quiet(other: dict) -> None:
    ledger = SlotLedger(2000)
    ledger.wrote(claim(2, 2.1))
    ledger.compared(claim(2, 60, feed=2, **other))
    one = minute(ledger)
    assert counts(one) == (1, 2, 2, 0)
    assert quiet(one) == []


def test_a_slot_that_was_written_by_nobody_makes_nothing_quiet() -> None:
    ledger = SlotLedger(2000)
    ledger.compared(claim(2, 60, feed=2))
    assert minute(ledger) == MinuteOf()


def test_a_line_held_back_makes_slots_quiet_only_if_the_vault_holds_that_very_book() -> None:
    ledger = SlotLedger(2000)
    ledger.held_back(claim(2, 7), is_in_vault=False)
    one = minute(ledger)
    assert (counts(one), quiet(one)) == ((1, 2, 2, 1), [])
    ledger.held_back(claim(8, 13), is_in_vault=True)
    one = minute(ledger)
    assert (counts(one), quiet(one)) == ((3, 8, 12, 1), [(8, 10, 12)])


def test_nothing_between_two_books_is_quiet() -> None:
    """A host that slept for 400 s: no message of a chain in sync says anything of the time between."""
    ledger = SlotLedger(2000)
    ledger.wrote(claim(2, 4.5))
    ledger.wrote(claim(406, 406.1, ts=405, seq_id=900))
    one = minute(ledger)
    assert counts(one) == (3, 2, 406, 0)
    assert quiet(one) == [(2, 4, 4)]
    assert not ledger.accounts_for(BTC, T0_MS + 200_000)


def test_a_slot_missed_by_one_feed_is_counted_when_the_other_shows_it_quiet_later() -> None:
    ledger = SlotLedger(2000)
    ledger.wrote(claim(2, 2.1))
    ledger.wrote(claim(20, 20.1, seq_id=9))
    ledger.compared(claim(2, 9, feed=2))
    one = minute(ledger)
    assert quiet(one) == [(2, 4, 8)]
    assert counts(one)[0] == 5


def test_an_absurd_time_makes_nothing_quiet_and_silences_nothing() -> None:
    ledger = SlotLedger(2000)
    ledger.wrote(claim(2, LONGEST_QUIET_MS / 1000 + 2.001))
    ledger.wrote(claim(4, 250_000_000_000 / 1000, seq_id=6))
    ledger.wrote(claim(6, 6.1, seq_id=7))
    one = minute(ledger)
    assert (counts(one), quiet(one)) == ((3, 2, 6, 0), [])


def test_ranges_of_one_book_that_touch_are_one() -> None:
    ledger = SlotLedger(2000)
    ledger.wrote(claim(2, 5))
    for until in (7, 9, 11):
        ledger.compared(claim(2, until, feed=2))
    assert quiet(minute(ledger)) == [(2, 4, 10)]


def test_the_slots_of_a_minute_add_up_over_any_schedule_of_two_feeds() -> None:
    """Against the plainest way to say it: a set of slots."""
    for seed in range(200):
        rng, ledger = Random(seed), SlotLedger(2000)
        written: dict[int, tuple[int, int]] = {}
        expected: set[int] = set()
        grid = 0
        for _ in range(60):
            if not written or rng.random() < 0.5:
                grid += rng.randrange(1, 6)
                written[grid] = grid, rng.randrange(3)
                until = grid * 2 + rng.random() * 12
                ledger.wrote(claim(grid * 2, until, seq_id=written[grid][1]))
                expected |= {grid, *range(grid + 1, -int(-until // 2))}
            else:
                at = rng.choice(list(written)[-5:])
                until, seq_id = at * 2 + rng.random() * 12, rng.randrange(3)
                ledger.compared(claim(at * 2, until, seq_id=seq_id, feed=2))
                if seq_id == written[at][1]:
                    expected |= set(range(at + 1, -int(-until // 2)))
        one = minute(ledger)
        assert one.due == len(expected)
        ranges = [(round(first or 0) // 2, round(last or 0) // 2) for _, first, last in quiet(one)]
        slots = [slot for first, last in ranges for slot in range(first, last + 1)]
        assert len(slots) == len(set(slots)), "no slot twice"
        assert set(slots) | set(written) == expected
        assert all(ledger.accounts_for(BTC, T0_MS + slot * 2000) == (slot in expected) for slot in range(400))


def test_a_long_run_of_losses_keeps_nothing_for_each_slot() -> None:
    ledger = SlotLedger(2000)
    for number in range(5000):
        ledger.wrote(claim(number * 100, number * 100 + 50, seq_id=number))
    one = ledger._of(BTC)
    assert len(one.counted.firsts) <= 64
    assert len(one.lines) <= 64
    assert minute(ledger).due == 5000 * 25
    assert ledger.accounts_for(BTC, T0_MS + 499_900_000)
    assert not ledger.accounts_for(BTC, T0_MS + 499_990_000)
