"""No line twice, none back in time, and no absurd time that silences an instrument."""

import pytest

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import HOUR_MS
from l2vault.recording.tails import LATE_MS, Tail, Tails

BTC = "BTC-USDT-SWAP"
NOW_MS = 490_000 * HOUR_MS + 600_000


def line(ts_ms: int, is_flagged: bool = False, seq_id: int | None = 7) -> Snapshot:
    return Snapshot(BTC, ts_ms, 400, [], [], 0, seq_id, 1, is_flagged)


def takes(tails: Tails, snapshot: Snapshot) -> bool:
    tail = tails.of(snapshot)
    if tail is None or not tail.takes(snapshot):
        return False
    tail.add(snapshot)
    return True


def test_lines_go_on_from_what_the_vault_holds() -> None:
    tails = Tails()
    tails.resume({BTC: Tail(NOW_MS, 5, NOW_MS + 10)})
    assert [takes(tails, line(NOW_MS + ms)) for ms in (0, 5, 10, 10, 11, 11)] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_flagged_line_may_share_its_time_but_is_never_older() -> None:
    tails = Tails()
    assert takes(tails, line(NOW_MS))
    assert takes(tails, line(NOW_MS, is_flagged=True))
    assert not takes(tails, line(NOW_MS - 1, is_flagged=True))
    assert takes(tails, line(NOW_MS + 1, is_flagged=True))
    assert takes(tails, line(NOW_MS + 1)), "the flagged line is no book of that time"


def test_a_tail_knows_the_very_book_by_its_time_and_its_seq_id() -> None:
    tail = Tail(NOW_MS, 5, NOW_MS)
    assert tail.holds(line(NOW_MS, seq_id=5))
    assert not tail.holds(line(NOW_MS, seq_id=6))
    assert not tail.holds(line(NOW_MS + 1, seq_id=5))
    assert not Tail(NOW_MS, None, NOW_MS).holds(line(NOW_MS, seq_id=None)), "without a number nothing is known"


def test_a_line_a_little_older_than_the_newest_is_late_even_in_the_hour_before() -> None:
    tails = Tails()
    start_ms = NOW_MS // HOUR_MS * HOUR_MS
    assert takes(tails, line(start_ms + 10))
    assert not takes(tails, line(start_ms - 1))
    assert not takes(tails, line(start_ms + 10 - LATE_MS))


@pytest.mark.parametrize("ahead_ms", [HOUR_MS, 30 * 24 * HOUR_MS, 60_000_000 * HOUR_MS])
def test_a_line_from_the_future_does_not_keep_others_from_the_file_of_their_own_hour(ahead_ms: int) -> None:
    looked: list[tuple[str, int]] = []

    def look_up(inst_id: str, hour_ms: int) -> Tail:
        looked.append((inst_id, hour_ms))
        return Tail(NOW_MS, 5, NOW_MS)

    tails = Tails(look_up)
    tails.resume({BTC: Tail(NOW_MS + ahead_ms, 9, NOW_MS + ahead_ms)})
    assert [takes(tails, line(NOW_MS + ms)) for ms in (0, 1, 1, 2)] == [False, True, False, True]
    assert takes(tails, line(NOW_MS + ahead_ms + 1)), "that hour goes on as well"
    assert takes(tails, line(NOW_MS + 3))
    assert looked == [(BTC, NOW_MS // HOUR_MS * HOUR_MS)], "the file is looked at once"


def test_after_lines_were_set_aside_the_vault_goes_on_from_what_is_left() -> None:
    tails = Tails()
    assert takes(tails, line(NOW_MS + HOUR_MS))
    tails.reset(BTC, Tail(NOW_MS, 5, NOW_MS))
    assert tails.newest_ms(BTC) == NOW_MS
    assert not takes(tails, line(NOW_MS))
    assert takes(tails, line(NOW_MS + 1))
