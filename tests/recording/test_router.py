"""What becomes of what feeds say: the journal's evidence, disputes and their rulings, losses of feeds that are gone."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_ms, utc_text
from l2vault.okx.exchange_time import FUTURE_MS
from l2vault.okx.pipeline import AuditSoon, Lost, NeedBook, NeedSecondBook, Sampled, Synced, Unverifiable
from l2vault.okx.websocket import FeedDown, FeedOutput, FeedUp
from l2vault.recording.arbiter import HELD_FOR_MS
from l2vault.recording.counters import Counters
from l2vault.recording.router import RULING_WITHIN_MS, Asks, Router
from l2vault.recording.slots import SlotLedger
from l2vault.recording.tails import Tail
from l2vault.vault.journal import events as noted
from l2vault.vault.journal.lines import LATEST_MS
from support.manual_clock import ManualClock

BTC = "BTC-USDT-SWAP"
T0_MS = 1_767_225_600_000
HOUR_MS = 3_600_000


@dataclass
class FakePipeline:
    """Loses its book when it is invalidated, as the real one does."""

    number: int
    invalidated: list[str] = field(default_factory=list)

    def invalidate(self, inst_id: str, cause: str, detail: str, now_ms: int) -> list[FeedOutput]:
        self.invalidated.append(cause)
        return [Lost(inst_id, cause, detail, T0_MS, None)]  # type: ignore[arg-type]

    def book_times(self) -> dict[str, int]:
        return {BTC: T0_MS + self.number}


class FakeTime:
    """Proved exchange time, once a test sets it."""

    ms: int | None = None

    def now_ms(self, mono_ms: int) -> int | None:
        return self.ms


class FakeAudits:
    """Remembers what it was told; rules on no conflict unless `rules`."""

    def __init__(self) -> None:
        self.rules = False
        self.told: list[tuple[object, ...]] = []

    def synced(self, number: int, inst_id: str) -> None:
        self.told.append(("synced", number, inst_id))

    def lost(self, number: int, inst_id: str) -> None:
        self.told.append(("lost", number, inst_id))

    def need_book(self, number: int, inst_id: str) -> None:
        self.told.append(("need_book", number, inst_id))

    def need_second_book(self, number: int, inst_id: str) -> None:
        self.told.append(("need_second_book", number, inst_id))

    def audit_soon(self, inst_id: str) -> None:
        self.told.append(("audit_soon", inst_id))

    def on_conflict(self, inst_id: str, seq_id: int | None, feeds: tuple[int, int]) -> bool:
        self.told.append(("conflict", inst_id, seq_id, feeds))
        return self.rules


class Rig:
    def __init__(self, set_aside: Callable[[str, int], Tail | None] = lambda inst_id, limit_ms: None) -> None:
        self.clock = ManualClock()
        self.put: list[object] = []
        self.counters = Counters((BTC,))
        self.ledger = SlotLedger(2000)
        self.renewed: list[int] = []
        self.rows: list[str] = []
        self.ages: list[tuple[int, int]] = []
        self.proved: list[tuple[int, str, int]] = []
        self.audits = FakeAudits()
        self.time = FakeTime()
        self.pipelines = {number: FakePipeline(number) for number in (1, 2)}
        asks = Asks(
            audits=self.audits,
            note_age=lambda ts_ms, wall_ms: self.ages.append((ts_ms, wall_ms)),
            read_row=self.rows.append,
            renew_feed=lambda number, reason: self.renewed.append(number),
            set_aside=set_aside,
            look_up=lambda inst_id, hour_ms: Tail(),
            time=self.time,
            proved=lambda number, inst_id, ts_ms: self.proved.append((number, inst_id, ts_ms)),
            beside=lambda number, outputs: outputs,
        )
        self.router = Router(self.pipelines, self.counters, self.clock, self.put.append, self.ledger, asks)  # type: ignore[arg-type]

    def synced(self, *feeds: int, ms: int = 0) -> None:
        for feed in feeds:
            self.router.take(feed, [Synced(BTC, T0_MS + ms, 1)])

    def sampled(self, feed: int, slot: int, quantity: str = "1", ts_ms: int | None = None) -> None:
        grid_ms = T0_MS + slot * 2000
        book = Snapshot(BTC, grid_ms if ts_ms is None else ts_ms, 400, [("1", quantity, "0", "1")], [], 0, slot, 0)
        self.router.take(feed, [Sampled(book, grid_ms, grid_ms + 100)])

    def of(self, *kinds: type) -> list[object]:
        return [each for each in self.put if isinstance(each, kinds)]

    def times(self) -> list[int]:
        return [each.ts_ms - T0_MS for each in self.put if isinstance(each, Snapshot)]


def slot_text(slot: int) -> str:
    return utc_text(T0_MS + slot * 2000)


def at(rig: Rig) -> str:
    return utc_text(rig.clock.wall_ms())


def in_conflict(rules: bool = False, writer: int = 1) -> Rig:
    """Two feeds that matched at slot 1 and differ at slot 4; `writer` wrote the slots 2 to 4."""
    rig = Rig()
    rig.audits.rules = rules
    rig.synced(1, 2)
    for feed in (1, 2):
        rig.sampled(feed, 1)
    for slot in (2, 3, 4):
        rig.sampled(writer, slot)
    rig.sampled(3 - writer, 4, quantity="2")
    return rig


def test_a_conflict_without_a_ruling_disputes_the_slots_since_the_last_match_and_both_resync() -> None:
    rig = in_conflict()
    assert rig.of(noted.Conflicted) == [noted.Conflicted(at(rig), BTC, 4, slot_text(4), (1, 2))]
    (disputed,) = rig.of(noted.Disputed)
    assert isinstance(disputed, noted.Disputed)
    assert (disputed.from_, disputed.to, disputed.cause) == (slot_text(2), slot_text(4), "feeds")
    assert [each.invalidated for each in rig.pipelines.values()] == [["conflict"]] * 2
    assert [(lost.feed, lost.cause) for lost in rig.of(noted.Lost)] == [(1, "conflict"), (2, "conflict")]  # type: ignore[attr-defined]
    assert rig.renewed == []


def test_a_conflict_is_told_with_its_feeds_to_who_may_rule_and_once() -> None:
    rig = in_conflict(rules=True)
    conflict = ("conflict", BTC, 4, (1, 2))
    assert rig.audits.told.count(conflict) == 1
    assert rig.of(noted.Disputed, noted.Lost) == [], "it waits for the ruling"
    rig.sampled(1, 5)
    rig.sampled(2, 5, quantity="2")
    assert [one[0] for one in rig.audits.told].count("conflict") == 1
    assert len(rig.of(noted.Conflicted)) == 1
    assert rig.times() == [2000, 4000, 6000, 8000, 10_000], "writing goes on"


def test_a_written_feed_found_right_leaves_no_dispute_and_the_other_gets_a_new_connection() -> None:
    rig = in_conflict(rules=True)
    rig.router.rule(BTC, 2, "REST equals feed 1 at seqId 4")
    assert rig.of(noted.Disputed) == []
    assert rig.renewed == [2]
    assert [lost.feed for lost in rig.of(noted.Lost)] == [2]  # type: ignore[attr-defined]
    rig.router.rule(BTC, 1, "again")
    assert rig.renewed == [2], "a conflict is decided once"


def test_a_written_feed_found_wrong_has_its_slots_disputed_up_to_the_newest() -> None:
    rig = in_conflict(rules=True)
    rig.sampled(1, 5)
    rig.router.rule(BTC, 1, "REST equals feed 2 at seqId 4")
    (disputed,) = rig.of(noted.Disputed)
    assert isinstance(disputed, noted.Disputed)
    assert (disputed.from_, disputed.to) == (slot_text(2), slot_text(5))
    assert rig.renewed == [1]


def test_a_ruling_that_does_not_come_is_none() -> None:
    rig = in_conflict(rules=True)
    rig.clock.advance(RULING_WITHIN_MS - 1)
    rig.router.tick()
    assert rig.of(noted.Disputed) == []
    rig.clock.advance(1)
    rig.router.tick()
    assert len(rig.of(noted.Disputed)) == 1
    assert [each.invalidated for each in rig.pipelines.values()] == [["conflict"]] * 2


@pytest.mark.parametrize("outcome", ["equal", "consistent"])
def test_an_audit_confirms_a_sync_once_and_ends_what_is_in_question(outcome: str) -> None:
    rig = Rig()
    rig.synced(1)
    rig.sampled(1, 1)
    for _ in range(2):
        rig.router.note(noted.Audited(at(rig), 1, BTC, outcome, 9, ""))  # type: ignore[arg-type]
    assert rig.of(noted.Confirmed) == [noted.Confirmed(at(rig), 1, BTC, "audit", 9)]
    rig.sampled(1, 2)
    rig.router.note(noted.Audited(at(rig), 1, BTC, "mismatch", 10, "1 level differs"))
    assert rig.of(noted.Disputed) == [
        noted.Disputed(at(rig), BTC, slot_text(2), slot_text(2), "audit", "1 level differs")
    ]


def test_a_mismatch_disputes_everything_since_the_join_and_only_once() -> None:
    rig = Rig()
    rig.synced(1)
    for slot in (1, 2, 3):
        rig.sampled(1, slot)
    for _ in range(2):
        rig.router.note(noted.Audited(at(rig), 1, BTC, "mismatch", 10, "1 level differs"))
    assert [(each.from_, each.to) for each in rig.of(noted.Disputed)] == [(slot_text(1), slot_text(3))]  # type: ignore[attr-defined]


@pytest.mark.parametrize("outcome", ["inconclusive", "older", "ahead", "unavailable"])
def test_an_audit_that_says_nothing_changes_nothing(outcome: str) -> None:
    rig = Rig()
    rig.synced(1)
    rig.sampled(1, 1)
    audited = noted.Audited(at(rig), 1, BTC, outcome, None, "")  # type: ignore[arg-type]
    rig.router.note(audited)
    assert rig.of(noted.Confirmed, noted.Disputed) == []
    assert audited in rig.put


def test_of_each_match_both_feeds_books_are_told_to_be_proved() -> None:
    rig = Rig()
    rig.synced(1, 2)
    for slot in (1, 2):
        for feed in (1, 2):
            rig.sampled(feed, slot)
    assert [(feed, inst_id) for feed, inst_id, _ in rig.proved] == [(1, BTC), (2, BTC)] * 2
    assert len({ts_ms for _, _, ts_ms in rig.proved}) == 2


def test_a_first_match_confirms_both_feeds_after_each_sync() -> None:
    rig = Rig()
    rig.synced(1, 2)
    for slot in (1, 2):
        for feed in (1, 2):
            rig.sampled(feed, slot)
    assert rig.of(noted.Confirmed) == [noted.Confirmed(at(rig), feed, BTC, "feed", 1) for feed in (1, 2)]
    rig.router.take(1, [Lost(BTC, "chain", "", T0_MS, None)])
    rig.synced(1)
    for feed in (1, 2):
        rig.sampled(feed, 3)
    assert rig.of(noted.Confirmed)[2:] == [noted.Confirmed(at(rig), 1, BTC, "feed", 3)]
    rig.synced(1)
    for feed in (2, 1):
        rig.sampled(feed, 4)
    assert rig.of(noted.Confirmed)[3:] == [noted.Confirmed(at(rig), 1, BTC, "feed", 4)], "a sync without a loss before"


def test_what_a_dead_feed_says_is_taken() -> None:
    rig = Rig()
    rig.synced(1, 2)
    del rig.pipelines[1]
    rig.router.take(1, [Lost(BTC, "disconnect", "1006", T0_MS, None)])
    assert [(lost.feed, lost.cause) for lost in rig.of(noted.Lost)] == [(1, "disconnect")]  # type: ignore[attr-defined]
    flagged = Snapshot(BTC, T0_MS + 9, 400, [], [], 0, 1, 5, True)
    rig.router.take(2, [Lost(BTC, "chain", "", T0_MS + 9, None, flagged)])
    assert flagged in rig.put, "no feed is in sync any more"


def test_what_waits_for_a_feed_that_brings_nothing_is_written_by_the_clock() -> None:
    rig = Rig()
    rig.synced(1, 2)
    rig.sampled(2, 1)
    assert rig.times() == []
    rig.clock.advance(HELD_FOR_MS)
    rig.router.tick()
    assert rig.times() == [2000]


def test_a_slot_that_came_too_late_is_skipped_unless_it_is_known_to_be_quiet() -> None:
    rig = Rig()
    rig.synced(1, 2)
    for feed in (1, 2):
        rig.sampled(feed, 1)
    book = Snapshot(BTC, T0_MS + 4000, 400, [("1", "1", "0", "1")], [], 0, 2, 0)
    rig.router.take(1, [Sampled(book, T0_MS + 4000, T0_MS + 6001)])
    for slot in (5, 6):
        rig.sampled(1, slot)
    for slot in (3, 4):
        rig.sampled(2, slot)
    assert rig.of(noted.Skipped) == [noted.Skipped(at(rig), 2, BTC, slot_text(4))]


def test_slots_that_came_too_late_are_each_in_the_journal_and_a_count_a_minute_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After the exchange's clock was set back it is every slot, for as long as the step was."""
    rig = Rig()
    rig.synced(1)
    rig.sampled(1, 200)
    for slot in range(3, 103):
        rig.clock.advance(2_000)
        rig.sampled(1, slot)
        rig.router.tick()
    skipped = [record.getMessage() for record in caplog.records if "after a later line" in record.getMessage()]
    assert len(rig.of(noted.Skipped)) == 100
    assert len(skipped) == 4
    assert "1 slots" in skipped[0] and all("30 slots" in each for each in skipped[1:])
    rig.router.close()
    assert "9 slots" in caplog.records[-1].getMessage()


def test_a_stream_that_proves_nothing_is_noted_and_makes_no_slot_quiet() -> None:
    rig = Rig()
    rig.synced(1)
    rig.router.take(1, [Unverifiable(BTC, T0_MS, True)])
    book = Snapshot(BTC, T0_MS + 2000, 400, [], [], 0, None, None)
    rig.router.take(1, [Sampled(book, T0_MS + 2000, T0_MS + 9000)])
    assert rig.of(noted.Unverifiable) == [noted.Unverifiable(at(rig), 1, BTC, utc_text(T0_MS), True)]
    assert rig.times() == [2000]
    assert rig.ledger.take_minute({})[BTC].quiet == []


FUTURE = Tail(T0_MS + HOUR_MS, 99, T0_MS + HOUR_MS)


def test_lines_from_the_future_are_set_aside_once_time_is_proved_and_recording_goes_on_at_once() -> None:
    asked: list[tuple[str, int]] = []

    def set_aside(inst_id: str, limit_ms: int) -> Tail:
        asked.append((inst_id, limit_ms))
        return Tail(T0_MS + 2000, 1, T0_MS + 2000)

    rig = Rig(set_aside=set_aside)
    rig.router.resume({BTC: FUTURE})
    rig.synced(1)
    rig.time.ms = T0_MS + 4000
    for slot in (1, 2, 3):
        rig.sampled(1, slot)
    assert asked == [(BTC, T0_MS + 4000 + FUTURE_MS)]
    assert rig.times() == [4000, 6000]


def test_without_proof_nothing_is_touched_and_lines_go_into_the_file_of_their_hour() -> None:
    def set_aside(*_: object) -> Tail:
        raise AssertionError("nothing proves it")

    rig = Rig(set_aside=set_aside)
    rig.router.resume({BTC: FUTURE})
    rig.synced(1)
    for slot in (1, 2):
        rig.sampled(1, slot)
    assert rig.times() == [2000, 4000]


def test_what_cannot_be_set_aside_is_asked_about_once_and_silences_nothing() -> None:
    asked: list[str] = []
    rig = Rig(set_aside=lambda inst_id, limit_ms: asked.append(inst_id))
    rig.router.resume({BTC: FUTURE})
    rig.time.ms = T0_MS
    rig.synced(1)
    for slot in (1, 2):
        rig.sampled(1, slot)
    assert asked == [BTC]
    assert rig.times() == [2000, 4000]


@pytest.mark.parametrize("ahead_ms", [FUTURE_MS, 0])
def test_a_line_within_five_seconds_of_proved_time_is_no_line_from_the_future(ahead_ms: int) -> None:
    asked: list[str] = []
    rig = Rig(set_aside=lambda inst_id, limit_ms: asked.append(inst_id))
    rig.router.resume({BTC: Tail(T0_MS + ahead_ms, 1, T0_MS + ahead_ms)})
    rig.time.ms = T0_MS
    rig.synced(1)
    rig.sampled(1, 5)
    assert asked == []


@pytest.mark.parametrize(("seq_in_vault", "quiet"), [(2, 3), (77, 0)])
def test_a_book_stands_over_quiet_slots_only_where_it_is_the_one_in_the_vault(seq_in_vault: int, quiet: int) -> None:
    rig = Rig()
    rig.router.resume({BTC: Tail(T0_MS + 4000, seq_in_vault, T0_MS + 4000)})
    rig.synced(1)
    book = Snapshot(BTC, T0_MS + 4000, 400, [("1", "1", "0", "1")], [], 0, 2, 0)
    rig.router.take(1, [Sampled(book, T0_MS + 4000, T0_MS + 11_000)])
    minute = rig.ledger.take_minute({})[BTC]
    assert rig.times() == [] and minute.held_back == 1
    slots = [(utc_ms(each.last) - utc_ms(each.first)) // 2000 + 1 for each in minute.quiet]
    assert sum(slots) == quiet


@pytest.mark.parametrize("ts_ms", [-(10**15), 10**16])
def test_a_time_that_no_file_could_have_is_held_back_and_raises_nothing(ts_ms: int) -> None:
    rig = Rig()
    rig.synced(1)
    book = Snapshot(BTC, ts_ms, 400, [], [], 0, 1, 0)
    rig.router.take(
        1, [Sampled(book, ts_ms, ts_ms + 100), Lost(BTC, "chain", "", ts_ms, ts_ms, book), Synced(BTC, ts_ms, 1)]
    )
    assert rig.times() == []
    rig.sampled(1, 1)
    assert rig.times() == [2000]


@pytest.mark.parametrize("ts_ms", [0, LATEST_MS - 1])
def test_the_first_and_the_last_time_that_a_file_can_have_are_written(ts_ms: int) -> None:
    rig = Rig()
    rig.synced(1)
    rig.router.take(1, [Sampled(Snapshot(BTC, ts_ms, 400, [], [], 0, 1, 0), ts_ms, ts_ms + 100)])
    assert rig.times() == [ts_ms - T0_MS]


def test_books_in_sync_are_noted_anew_for_a_journal_that_is_gone() -> None:
    rig = Rig()
    rig.synced(1, 2)
    rig.put.clear()
    rig.router.synced_again()
    assert rig.put == [noted.Synced(at(rig), number, BTC, utc_text(T0_MS + number), None) for number in (1, 2)]


def test_a_stream_that_nothing_could_verify_is_one_error_though_both_feeds_bring_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig()
    for feed in (1, 2, 1):
        rig.router.take(feed, [Unverifiable(BTC, T0_MS, False)])
    assert caplog.text.count("has neither sequence numbers nor checksums") == 1
    assert len(rig.of(noted.Unverifiable)) == 3


def test_a_break_is_a_gap_only_where_no_other_feed_has_the_book(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.synced(1, 2)
    for feed, words in ((1, f"{BTC} broke on feed 1, another feed has it"), (2, f"GAP DETECTED: {BTC} on feed 2")):
        caplog.clear()
        rig.router.take(feed, [Lost(BTC, "chain", "expected prevSeqId 5, got 7", T0_MS, None)])
        assert caplog.messages[0].startswith(words)


def test_a_connection_s_beginning_and_end_are_journaled() -> None:
    rig = Rig()
    rig.router.take(1, [FeedUp("wss://exchange.test"), FeedDown("1006", was_up=True, retry_sec=1.0)])
    assert rig.put == [
        noted.Connected(at(rig), 1, "wss://exchange.test"),
        noted.Disconnected(at(rig), 1, "1006"),
    ]


def test_each_output_reaches_whom_it_concerns() -> None:
    rig = Rig()
    book = Snapshot(BTC, T0_MS + 2000, 400, [], [], 0, 1, 0)
    rig.router.take(
        2,
        [
            Synced(BTC, T0_MS, 1),
            AuditSoon(BTC),
            Sampled(book, T0_MS + 2000, T0_MS + 2100),
            NeedBook(BTC),
            NeedSecondBook(BTC),
            Lost(BTC, "invariant", "crossed", T0_MS, None),
        ],
    )
    assert rig.audits.told == [
        ("synced", 2, BTC),
        ("audit_soon", BTC),
        ("need_book", 2, BTC),
        ("need_second_book", 2, BTC),
        ("lost", 2, BTC),
    ]
    assert rig.ages == [(T0_MS + 2100, rig.clock.wall_ms())]
    assert rig.rows == [BTC]


def test_a_book_dropped_for_a_conflict_is_lost_to_the_audits_too() -> None:
    rig = in_conflict()
    assert [one for one in rig.audits.told if one[0] == "lost"] == [("lost", 1, BTC), ("lost", 2, BTC)]


def test_a_stream_that_can_be_verified_again_proves_slots_quiet_again() -> None:
    rig = Rig()
    rig.router.take(1, [Unverifiable(BTC, T0_MS, True), Lost(BTC, "disconnect", "1006", T0_MS, None)])
    rig.synced(1)
    book = Snapshot(BTC, T0_MS + 2000, 400, [], [], 0, 1, 0)
    rig.router.take(1, [Sampled(book, T0_MS + 2000, T0_MS + 6100)])
    (quiet,) = rig.ledger.take_minute({})[BTC].quiet
    assert (quiet.first, quiet.last) == (slot_text(2), slot_text(3))
