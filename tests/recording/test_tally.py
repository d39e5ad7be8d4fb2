"""Counts of a run: the minute's summary with the owner's phrase, the journal's slots, the status line."""

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text
from l2vault.okx.pipeline import Counts, Lost
from l2vault.recording.arbiter import Conflict, Decision, Uncomparable, Witnessed
from l2vault.recording.tally import Tally
from l2vault.vault.journal.events import Slots

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
AT = "2026-01-01T00:01:00.000Z"
AT_MS = 1_767_225_600_000


def line(inst_id: str, ts_ms: int = AT_MS, bid: str | None = "43250.5", ask: str | None = "43251") -> Snapshot:
    bids = [(bid, "1", "0", "1")] if bid else []
    asks = [(ask, "1", "0", "1")] if ask else []
    return Snapshot(inst_id, ts_ms, 400, bids, asks, 0, 1, 0)


def summary(tally: Tally, counts: Counts, book_times: dict[str, int] | None = None, lines_lost: int = 0) -> str:
    return tally.summary(tally.minute(AT, book_times or {}), counts, lines_lost)


def test_the_minute_holds_what_was_written_and_held_back_and_then_starts_from_zero() -> None:
    tally = Tally((BTC, ETH))
    for inst_id in (BTC, ETH, BTC):
        tally.wrote(line(inst_id))
    tally.doubled(ETH)
    book_times = {BTC: AT_MS, ETH: AT_MS + 2000}
    texts = {BTC: utc_text(AT_MS), ETH: utc_text(AT_MS + 2000)}
    assert tally.minute(AT, book_times) == Slots(AT, {BTC: 2, ETH: 1}, texts, {ETH: 1})
    assert tally.minute(AT, {BTC: AT_MS}) == Slots(AT, {}, {BTC: utc_text(AT_MS)}, {})
    assert tally.lines == 3, "since the start"


def test_what_the_witness_said_is_counted_by_kind() -> None:
    tally = Tally((BTC,))
    said: list[Decision] = [Witnessed(BTC)] * 3 + [Uncomparable(BTC)] * 2 + [Conflict(BTC, 5, AT_MS, (1, 2))]
    for decision in said:
        tally.compared(decision)
    slots = tally.minute(AT, {})
    assert (slots.witnessed, slots.uncomparable, slots.conflicting) == (3, 2, 1)
    assert tally.minute(AT, {}) == Slots(AT, {}, {}, {}, 0, 0, 0)


def test_only_a_broken_chain_counts_as_a_gap_but_every_loss_as_a_loss() -> None:
    tally = Tally((BTC,))
    for cause in ("chain", "silence", "checksum", "chain", "disconnect"):
        tally.lost(Lost(BTC, cause, "why", None, None), False)  # type: ignore[arg-type]
    assert (tally.gaps, tally.losses) == (2, 5)


def test_a_calm_minute_in_one_line() -> None:
    tally = Tally((BTC, ETH))
    for inst_id in (ETH, BTC, BTC):
        tally.wrote(line(inst_id))
    counts = Counts(messages=1200, checksums_verified=290, checksums_absent=910, unknown_deletes=4)
    assert summary(tally, counts, {BTC: AT_MS, ETH: AT_MS}) == (
        f"3 since the last summary ({BTC} 2, {ETH} 1); in sync 2 of 2; messages 1200; "
        "since the start: gaps 0, losses 0, checksums verified 290, not provided 910, deletes of unknown prices 4"
    )


def test_messages_are_those_of_the_minute_and_the_rest_is_since_the_start() -> None:
    tally, counts = Tally((BTC,)), Counts(messages=100, unknown_deletes=1)
    tally.lost(Lost(BTC, "chain", "why", None, None), False)
    assert "; messages 100; " in summary(tally, counts)
    counts.messages, counts.unknown_deletes = 130, 2
    again = summary(tally, counts)
    assert again.startswith("0 since the last summary; in sync 0 of 1; messages 30; ")
    assert "gaps 1, losses 1" in again
    assert "deletes of unknown prices 2" in again


def test_a_bad_minute_says_everything_that_was_wrong_with_it() -> None:
    tally = Tally((BTC, ETH))
    tally.wrote(line(BTC))
    tally.wrote(line(BTC))
    tally.doubled(BTC)
    tally.doubled(ETH)
    tally.unreadable = 7
    for decision in (Witnessed(BTC), Uncomparable(BTC), Conflict(BTC, 5, AT_MS, (1, 2))):
        tally.compared(decision)
    text = summary(tally, Counts(), {BTC: AT_MS}, lines_lost=12)
    assert "in sync 1 of 2" in text
    assert "witnessed 50%, uncomparable 1, in conflict 1" in text
    assert "unreadable frames 7" in text
    assert "held back as already in the vault: 2" in text
    assert text.endswith("LOST to the disk: 12")


def test_many_instruments_are_summed_up_and_not_named() -> None:
    inst_ids = tuple(f"X{n}-USDT-SWAP" for n in range(5))
    tally = Tally(inst_ids)
    for inst_id in inst_ids:
        tally.wrote(line(inst_id))
    assert summary(tally, Counts()).startswith("5 since the last summary; in sync 0 of 5")


def test_the_status_shows_time_state_and_best_prices() -> None:
    tally = Tally((BTC, ETH))
    wall_ms = AT_MS + 3_723_000
    assert tally.status(wall_ms, 0, Counts()) == "01:02:03Z  in sync 0/2  lines 0  gaps 0  messages 0"
    tally.wrote(line(BTC))
    tally.wrote(line(ETH, bid=None))
    tally.wrote(line(BTC, bid="43250.6"))
    tally.lost(Lost(ETH, "chain", "why", None, None), False)
    assert tally.status(wall_ms, 1, Counts(messages=99)) == (
        f"01:02:03Z  in sync 1/2  lines 3  gaps 1  messages 99  {BTC} 43250.6 / 43251  {ETH} - / 43251"
    )


def test_the_status_of_many_instruments_shows_the_first_few_prices() -> None:
    inst_ids = tuple(f"X{n}-USDT-SWAP" for n in range(6))
    tally = Tally(inst_ids)
    for inst_id in inst_ids:
        tally.wrote(line(inst_id))
    status = tally.status(AT_MS, 6, Counts())
    assert [inst_id in status for inst_id in inst_ids] == [True] * 4 + [False] * 2
    assert "\n" not in status


def test_a_chain_broken_on_one_line_is_no_gap_while_another_has_the_book() -> None:
    tally = Tally((BTC,))
    tally.lost(Lost(BTC, "chain", "why", None, None), True)
    assert (tally.gaps, tally.losses) == (0, 1)
