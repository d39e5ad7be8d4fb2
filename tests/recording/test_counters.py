"""Counts of a run: the minute's summary with the owner's phrase, the status line."""

import pytest

from l2vault.book.snapshot import Snapshot
from l2vault.book.trade import TradePush
from l2vault.okx.pipeline import Counts, Lost
from l2vault.recording.arbiter import Claim, Conflict, Decision, Matched, Unaligned
from l2vault.recording.counters import Compared, Counters, MinuteCounts

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
AT_MS = 1_767_225_600_000
CLAIM = Claim(2, BTC, AT_MS, AT_MS, AT_MS, 5)
MATCHED, UNALIGNED, CONFLICT = Matched(CLAIM, 1), Unaligned(CLAIM), Conflict(CLAIM, (1, 2), (AT_MS, AT_MS))


def line(inst_id: str, ts_ms: int = AT_MS, bid: str | None = "43250.5", ask: str | None = "43251") -> Snapshot:
    bids = [(bid, "1", "0", "1")] if bid else []
    asks = [(ask, "1", "0", "1")] if ask else []
    return Snapshot(inst_id, ts_ms, 400, bids, asks, 0, 1, 0)


def summary(counters: Counters, counts: Counts, in_sync: int = 0, lines_lost: int = 0) -> str:
    return counters.summary(counters.take_minute(counts), in_sync, counts, lines_lost)


def test_the_minute_holds_what_was_written_and_held_back_and_then_starts_from_zero() -> None:
    counters, counts = Counters((BTC, ETH)), Counts(messages=7)
    for inst_id in (BTC, ETH, BTC):
        counters.wrote(line(inst_id))
    counters.held_back(ETH)
    assert counters.take_minute(counts) == MinuteCounts({BTC: 2, ETH: 1}, 1, Compared(), 7)
    assert counters.take_minute(counts) == MinuteCounts({}, 0, Compared(), 0)
    assert counters.lines == 3, "since the start"


def test_what_the_second_feed_brought_is_counted_by_kind() -> None:
    counters = Counters((BTC,))
    said: list[Decision] = [MATCHED] * 3 + [UNALIGNED] * 2 + [CONFLICT]
    for decision in said:
        counters.compared(decision)
    assert counters.take_minute(Counts()).compared == Compared(3, 2, 1)
    assert counters.take_minute(Counts()).compared == Compared()


def test_only_a_broken_chain_counts_as_a_gap_but_every_loss_as_a_loss() -> None:
    counters = Counters((BTC,))
    for cause in ("chain", "silence", "checksum", "chain", "disconnect"):
        counters.lost(Lost(BTC, cause, "why", None, None), False)  # type: ignore[arg-type]
    assert (counters.gaps, counters.losses) == (2, 5)


def test_a_chain_broken_on_one_feed_is_no_gap_while_another_has_the_book() -> None:
    counters = Counters((BTC,))
    counters.lost(Lost(BTC, "chain", "why", None, None), True)
    assert (counters.gaps, counters.losses) == (0, 1)


def test_a_calm_minute_says_no_zeros() -> None:
    counters = Counters((BTC, ETH))
    for inst_id in (ETH, BTC, BTC):
        counters.wrote(line(inst_id))
    counts = Counts(messages=1200, checksums_absent=910, unknown_deletes=4)
    assert summary(counters, counts, 2) == (
        f"3 since the last summary ({BTC} 2, {ETH} 1); in sync 2 of 2; messages 1200"
    )
    counters.wrote(line(BTC))
    counters.compared(MATCHED)
    assert summary(counters, counts, 2) == (
        f"1 since the last summary ({BTC} 1); in sync 2 of 2; messages 0; matched by the second feed 100%"
    )


def test_messages_are_those_of_the_minute_and_the_rest_is_since_the_start() -> None:
    counters, counts = Counters((BTC,)), Counts(messages=100)
    counters.lost(Lost(BTC, "chain", "why", None, None), False)
    assert "; messages 100; " in summary(counters, counts)
    counts.messages, counts.checksums_verified = 130, 2
    assert summary(counters, counts) == (
        "0 since the last summary; in sync 0 of 1; messages 30; since the start: gaps 1, losses 1, checksums verified 2"
    )


def test_a_bad_minute_says_everything_that_was_wrong_with_it() -> None:
    counters = Counters((BTC, ETH))
    counters.wrote(line(BTC))
    counters.wrote(line(BTC))
    counters.held_back(BTC)
    counters.held_back(ETH)
    counters.unreadable = 7
    for decision in (MATCHED, UNALIGNED, CONFLICT):
        counters.compared(decision)
    assert summary(counters, Counts(), 1, lines_lost=12) == (
        f"2 since the last summary ({BTC} 2); in sync 1 of 2; messages 0; "
        "matched by the second feed 50%, not aligned 1, CONFLICTS 1; since the start: unreadable frames 7; "
        "held back as already in the vault: 2; LOST to the disk: 12"
    )


def test_many_instruments_are_summed_up_and_not_named() -> None:
    inst_ids = tuple(f"X{n}-USDT-SWAP" for n in range(5))
    counters = Counters(inst_ids)
    for inst_id in inst_ids:
        counters.wrote(line(inst_id))
    assert summary(counters, Counts()).startswith("5 since the last summary; in sync 0 of 5")


def test_the_status_shows_time_state_and_best_prices_in_the_configured_order() -> None:
    counters = Counters((BTC, ETH))
    wall_ms = AT_MS + 3_723_000
    assert counters.status(wall_ms, 0, Counts(), 200) == "01:02:03Z  in sync 0/2  lines 0  gaps 0  messages 0"
    counters.wrote(line(ETH, bid=None))
    counters.wrote(line(BTC))
    counters.wrote(line(BTC, bid="43250.6"))
    counters.lost(Lost(ETH, "chain", "why", None, None), False)
    assert counters.status(wall_ms, 1, Counts(messages=99), 200) == (
        f"01:02:03Z  in sync 1/2  lines 3  gaps 1  messages 99  {BTC} 43250.6 / 43251  {ETH} - / 43251"
    )


@pytest.mark.parametrize("width", range(1, 140))
def test_the_status_is_never_wider_than_the_terminal_and_never_cuts_a_field(width: int) -> None:
    counters = Counters((BTC, ETH))
    for inst_id in (BTC, ETH):
        counters.wrote(line(inst_id))
    whole = counters.status(AT_MS, 2, Counts(messages=123_456), 200).split("  ")
    shown = counters.status(AT_MS, 2, Counts(messages=123_456), width)
    assert shown.split("  ") == whole[: len(shown.split("  "))]
    assert len(shown) <= max(width, len(whole[0]))
    if len(shown.split("  ")) < len(whole):
        assert len("  ".join(whole[: len(shown.split("  ")) + 1])) > width, "what has room is shown"


def test_the_status_of_many_instruments_shows_the_first_few_prices() -> None:
    inst_ids = tuple(f"X{n}-USDT-SWAP" for n in range(6))
    counters = Counters(inst_ids)
    for inst_id in inst_ids:
        counters.wrote(line(inst_id))
    status = counters.status(AT_MS, 6, Counts(), 400)
    assert [inst_id in status for inst_id in inst_ids] == [True] * 4 + [False] * 2
    assert "\n" not in status


def push(inst_id: str = BTC) -> TradePush:
    return TradePush(inst_id, "7", "100", "1", "buy", "1790000000000", "1", "0", None, 0, "ws")


def test_trades_have_their_place_in_the_summary_and_the_status_line_where_they_are_recorded() -> None:
    counters, counts = Counters((BTC,), trades=True), Counts()
    assert "lines of trades 0" in summary(counters, counts)
    for _ in range(3):
        counters.traded(push())
    assert "lines of trades 3" in summary(counters, counts)
    counters.traded(push())
    assert "trades 4 (3/min)" in counters.status(0, 1, counts, 200)
    assert counters.lines == 0, "lines are of books"


def test_without_trades_nothing_is_said_of_them() -> None:
    counters = Counters((BTC,))
    assert "trades" not in summary(counters, Counts())
    assert "trades" not in counters.status(0, 1, Counts(), 200)
