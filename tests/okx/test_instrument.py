"""One instrument: full books that are refused or wait, streams that prove nothing, repeated messages, audits."""

import json
from random import Random

import pytest

from l2vault.book.change import BookChange
from l2vault.book.snapshot import to_line
from l2vault.okx.checksum import book_checksum
from l2vault.okx.instrument import AUDIT_AGAIN_MS, SECOND_BOOK_WITHIN_MS
from l2vault.okx.pipeline import (
    Applied,
    AuditSoon,
    Counts,
    Lost,
    NeedBook,
    NeedSecondBook,
    Output,
    Pipeline,
    Sampled,
    Synced,
    Unverifiable,
)
from l2vault.okx.subscription import SILENCE_MS
from support.received import REAL_2022, REAL_2023, received_frames
from support.reference import NaiveBook
from support.wire import ASKS, BIDS, ack, as_bytes, full, update

BTC = "BTC-USDT-SWAP"
JOINED = [Synced(BTC, 3900, 10), AuditSoon(BTC)]


class Wire:
    """A pipeline of one instrument whose requests are acknowledged at once. Nothing answers for a second book."""

    def __init__(self, record_unverifiable: bool = False, inst_id: str = BTC, changes: bool = False) -> None:
        self.pipeline = Pipeline(
            [inst_id], 2000, 400, Random(1), record_unverifiable=record_unverifiable, changes=changes
        )
        self.now_ms = 1_000_000
        self.subscribed = 0
        self.pipeline.open(self.now_ms)
        self.tick()

    def receive(self, *frames: bytes) -> list[Output]:
        return [output for frame in frames for output in self.pipeline.receive(frame, self.now_ms)]

    def tick(self, after_ms: int = 0) -> list[Output]:
        self.now_ms += after_ms
        outputs = self.pipeline.tick(self.now_ms)
        for text in self.pipeline.take_outgoing():
            if text == "ping":
                outputs += self.receive(b"pong")
                continue
            request = json.loads(text)
            self.subscribed += request["op"] == "subscribe"
            outputs += self.receive(*(ack(request["op"], arg["instId"], request["id"]) for arg in request["args"]))
        return outputs

    def resubscribed(self) -> bool:
        before = self.subscribed
        for _ in range(4):
            self.tick(100)
        return self.subscribed > before

    def judge(self, bids: int, asks: int) -> list[Output]:
        return self.pipeline.judge_short(BTC, (bids, asks), self.now_ms)


def side(count: int, best: int, step: int) -> list[list[str]]:
    return [[str(best + step * rank), "1", "0", "1"] for rank in range(count)]


def book_of(bids: int, asks: int, seq_id: int = 10, ts_ms: int = 3900) -> bytes:
    return full(BTC, ts_ms, seq_id, side(bids, 1000, -1), side(asks, 1001, 1))


def causes(outputs: list[Output]) -> list[str]:
    return [output.cause for output in outputs if isinstance(output, Lost)]


def lines(outputs: list[Output]) -> list[bytes]:
    return [to_line(output.snapshot) for output in outputs if isinstance(output, Sampled)]


class TestImplausible:
    @pytest.mark.parametrize(
        "sides",
        [
            {"bids": []},
            {"asks": []},
            {"bids": [], "asks": []},
            {"bids": [["100.5", "1", "0", "1"]]},
            {"bids": [*BIDS, ["100.0", "1", "0", "1"]]},
            {"asks": [*ASKS, ["101", "9", "0", "1"]]},
            {"bids": side(401, 100, 0)},
        ],
    )
    def test_such_a_full_book_is_refused_before_anything_is_said_of_it(self, sides: dict[str, list]) -> None:
        wire = Wire()
        (lost,) = wire.receive(full(BTC, 3900, 10, **sides))
        assert isinstance(lost, Lost)
        assert (lost.cause, lost.from_ms, lost.to_ms, lost.flagged) == ("implausible", None, 3900, None)
        assert wire.receive(update(BTC, 4100, 10, 11), update(BTC, 6100, 11, 12)) == []
        assert wire.resubscribed()
        assert wire.receive(book_of(400, 400))[-2:] == JOINED

    def test_one_that_nobody_asked_for_takes_the_good_book_with_it_and_samples_nothing(self) -> None:
        wire = Wire()
        wire.receive(book_of(400, 400))
        (lost,) = wire.receive(full(BTC, 4100, 20, asks=[]))
        assert isinstance(lost, Lost)
        assert (lost.cause, lost.from_ms, lost.to_ms) == ("implausible", 3900, 4100)

    def test_outside_live_an_empty_side_and_a_crossing_are_legal(self) -> None:
        wire = Wire()
        wire.pipeline.set_live(BTC, False)
        assert wire.receive(full(BTC, 3900, 10, asks=[])) == [NeedSecondBook(BTC)]
        assert wire.tick(SECOND_BOOK_WITHIN_MS) == JOINED

    def test_one_by_rest_is_refused_too(self) -> None:
        wire = Wire()
        wire.receive(update(BTC, 3800, 10, 11))
        rest = BookChange(BTC, True, [("100", "1", "0", "1")], [], 3900, 11, None, None)
        assert causes(wire.pipeline.join_rest_book(rest, wire.now_ms)) == ["implausible"]

    def test_it_is_asked_for_again_with_back_off(self) -> None:
        wire = Wire()
        for _ in range(600):
            wire.receive(full(BTC, 3900, 10, asks=[]))
            wire.tick(1000)
        assert 8 <= wire.subscribed <= 30


class TestShortBook:
    def test_a_whole_book_does_not_wait(self) -> None:
        assert Wire().receive(book_of(400, 400)) == JOINED

    @pytest.mark.parametrize("counts", [(399, 400), (400, 399), (57, 127)])
    def test_with_a_side_under_400_everything_waits_and_a_second_book_is_asked_for(
        self, counts: tuple[int, int]
    ) -> None:
        wire = Wire()
        assert wire.receive(book_of(*counts)) == [NeedSecondBook(BTC)]
        assert wire.pipeline.level_counts(BTC) == counts
        assert wire.pipeline.book_times() == {}
        assert wire.receive(update(BTC, 4100, 10, 11), update(BTC, 5899, 11, 12)) == []
        said = wire.judge(*counts)
        assert said[:2] == JOINED
        assert [output.grid_ms for output in said if isinstance(output, Sampled)] == [4000]
        assert wire.pipeline.book_times() == {BTC: 5899}

    def test_what_is_written_is_what_would_be_written_without_waiting(self) -> None:
        frames = [update(BTC, 4100 + 300 * n, 10 + n, 11 + n, side(2, 998, -n)) for n in range(40)]
        at_once, late, fast = Wire(), Wire(), Wire()
        outputs = at_once.receive(book_of(60, 60)) + at_once.judge(60, 60) + at_once.receive(*frames)
        waited = late.receive(book_of(60, 60), *frames[:6]) + late.tick(SECOND_BOOK_WITHIN_MS)
        waited += late.receive(*frames[6:])
        replayed = fast.receive(book_of(60, 60), *frames)  # no time of ours passes
        assert lines(replayed) == lines(waited) == lines(outputs)
        assert len(lines(outputs)) >= 5

    def test_where_this_run_knew_a_longer_one_it_is_refused_once_without_a_second_book(self) -> None:
        """What a part of a book lacks comes level by level, so that it looks whole by the end of the wait."""
        wire = Wire()
        wire.receive(book_of(60, 60))
        wire.judge(60, 60)
        wire.pipeline.close("disconnect", "gone")
        for expected in (["implausible"], []):
            wire.pipeline.open(wire.now_ms)
            wire.tick()
            wire.receive(book_of(20, 60), update(BTC, 4100, 10, 11, side(40, 900, -1)))
            outputs = wire.tick(SECOND_BOOK_WITHIN_MS)
            assert causes(outputs) == expected
        assert outputs[:2] == JOINED

    def test_a_clearly_longer_second_book_refuses_it_and_nothing_of_it_is_ever_said(self) -> None:
        wire = Wire()
        wire.receive(book_of(200, 400), update(BTC, 4100, 10, 11))
        (lost,) = wire.judge(400, 400)
        assert isinstance(lost, Lost)
        assert (lost.cause, lost.from_ms, lost.flagged) == ("implausible", None, None)
        assert "200" in lost.detail
        assert wire.tick(SECOND_BOOK_WITHIN_MS) == []
        assert wire.resubscribed()

    @pytest.mark.parametrize("other", [(57, 127), (62, 139), (10, 10)])
    def test_one_as_short_or_shorter_confirms_it(self, other: tuple[int, int]) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127))
        assert wire.judge(*other) == JOINED
        assert wire.judge(400, 400) == [], "it is believed now; audits judge it from here"

    def test_without_a_second_book_it_is_believed_after_2_s(self) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127))
        assert wire.pipeline.judge_short(BTC, None, wire.now_ms) == []
        assert wire.tick(SECOND_BOOK_WITHIN_MS - 1) == []
        assert wire.tick(1) == JOINED

    def test_a_message_ends_the_wait_as_a_tick_does(self) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127))
        wire.now_ms += SECOND_BOOK_WITHIN_MS
        outputs = wire.receive(update(BTC, 4100, 10, 11))
        assert outputs[:2] == JOINED
        assert [type(output) for output in outputs[2:]] == [Sampled]

    def test_2_s_of_the_messages_own_time_end_the_wait_too(self) -> None:
        wire = Wire()
        assert wire.receive(book_of(57, 127), update(BTC, 5899, 10, 11)) == [NeedSecondBook(BTC)]
        assert wire.receive(update(BTC, 5900, 11, 12))[:2] == JOINED

    @pytest.mark.parametrize("counts", [(57, 127), (60, 120)])
    def test_one_of_the_size_that_was_seen_before_does_not_wait(self, counts: tuple[int, int]) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127))
        wire.judge(57, 127)
        wire.receive(update(BTC, 4100, 99, 100))
        assert wire.resubscribed()
        assert wire.receive(book_of(*counts)) == JOINED

    @pytest.mark.parametrize("counts", [(20, 127), (57, 20), (100, 127)])
    def test_one_of_another_size_does(self, counts: tuple[int, int]) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127))
        wire.judge(57, 127)
        wire.receive(update(BTC, 4100, 99, 100))
        assert wire.resubscribed()
        assert wire.receive(book_of(*counts)) == [NeedSecondBook(BTC)]

    @pytest.mark.parametrize("cause", ["audit", "conflict"])
    def test_a_size_that_was_disproved_is_no_measure(self, cause: str) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127))
        wire.judge(57, 127)
        wire.pipeline.invalidate(BTC, cause, "wrong", wire.now_ms)  # type: ignore[arg-type]
        assert wire.resubscribed()
        assert wire.receive(book_of(57, 127)) == [NeedSecondBook(BTC)]

    def test_an_unasked_one_of_the_size_of_the_book_does_not_wait(self) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127))
        wire.judge(57, 127)
        assert lines(wire.receive(book_of(58, 126, 50, 4100)))
        assert len(lines(wire.receive(update(BTC, 6100, 50, 51)))) == 1

    def test_an_unasked_one_that_is_cut_off_keeps_back_what_comes_after_it_only(self) -> None:
        wire = Wire()
        wire.receive(book_of(400, 400))
        due, need = wire.receive(book_of(200, 400, 50, 4100))
        assert isinstance(due, Sampled)
        assert need == NeedSecondBook(BTC)
        assert wire.receive(update(BTC, 6090, 50, 51)) == []
        (lost,) = wire.judge(400, 400)
        assert isinstance(lost, Lost)
        assert (lost.cause, lost.from_ms) == ("implausible", 3900)

    def test_a_longer_full_book_during_the_wait_drops_what_the_short_one_gave(self) -> None:
        wire = Wire()
        wire.receive(book_of(100, 400), update(BTC, 4100, 10, 11), book_of(400, 400, 12, 4200))
        outputs = wire.tick(SECOND_BOOK_WITHIN_MS) + wire.receive(update(BTC, 6100, 12, 13))
        assert outputs[:2] == JOINED
        assert [(one.grid_ms, len(one.snapshot.bids)) for one in outputs if isinstance(one, Sampled)] == [(6000, 400)]

    def test_a_break_during_the_wait_has_no_flagged_line_and_drops_what_waited(self) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127), update(BTC, 4100, 10, 11))
        (lost,) = wire.receive(update(BTC, 5800, 12, 13))
        assert isinstance(lost, Lost)
        assert (lost.cause, lost.from_ms, lost.flagged) == ("chain", None, None)
        assert wire.tick(SECOND_BOOK_WITHIN_MS) == []

    def test_a_message_that_fails_during_the_wait_samples_nothing(self) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127))
        outputs = wire.receive(update(BTC, 4100, 10, 11, checksum=12345))
        assert causes(outputs) == ["checksum"]
        assert lines(outputs) == []

    def test_an_unasked_full_book_that_fails_is_lost_once_and_leaves_none(self) -> None:
        wire = Wire()
        wire.receive(book_of(400, 400))
        outputs = wire.receive(full(BTC, 3950, 50, checksum=12345))
        assert [type(output) for output in outputs] == [Lost]
        assert wire.tick(SECOND_BOOK_WITHIN_MS) == []
        assert wire.pipeline.level_counts(BTC) is None

    def test_an_audit_may_begin_during_the_wait(self) -> None:
        wire = Wire()
        wire.receive(book_of(57, 127))
        assert wire.pipeline.begin_audit(BTC)

    def test_a_book_by_rest_waits_like_any_other(self) -> None:
        wire = Wire()
        wire.receive(update(BTC, 3800, 10, 11), update(BTC, 4100, 11, 12))
        rest = BookChange(BTC, True, [("100", "1", "0", "1")], [("101", "1", "0", "1")], 3900, 11, None, None)
        assert wire.pipeline.join_rest_book(rest, wire.now_ms) == [NeedSecondBook(BTC)]
        synced, audit, sampled = wire.tick(SECOND_BOOK_WITHIN_MS)
        assert (synced, audit) == (Synced(BTC, 3800, 11, "rest"), AuditSoon(BTC))
        assert isinstance(sampled, Sampled)


class TestLost:
    def test_the_end_of_a_connection_loses_what_was_reported_and_not_what_waits(self) -> None:
        reported, waiting = Wire(), Wire()
        reported.receive(book_of(400, 400))
        waiting.receive(book_of(57, 127))
        assert causes(reported.pipeline.close("disconnect", "1006")) == ["disconnect"]
        assert waiting.pipeline.close("disconnect", "1006") == []
        assert waiting.pipeline.level_counts(BTC) is None

    def test_a_reported_book_whose_replacement_waits_is_lost_from_where_it_was_good(self) -> None:
        wire = Wire()
        wire.receive(book_of(400, 400), book_of(200, 400, 50, 4100), update(BTC, 6090, 50, 51))
        assert wire.pipeline.close("disconnect", "1006") == [Lost(BTC, "disconnect", "1006", 3900, None)]

    def test_a_loss_that_was_returned_is_not_repeated_though_nobody_delivered_it(self) -> None:
        """A caller whose send fails closes the pipeline next."""
        wire = Wire()
        wire.receive(book_of(400, 400))
        assert causes(wire.pipeline.tick(wire.now_ms + SILENCE_MS)) == ["silence"]
        assert wire.pipeline.close("disconnect", "cannot send") == []

    def test_silence_after_the_wait_loses_a_book_that_is_believed_first(self) -> None:
        """The host slept over both."""
        wire = Wire()
        wire.receive(book_of(57, 127))
        outputs = wire.pipeline.tick(wire.now_ms + 400_000)
        assert outputs == [*JOINED, Lost(BTC, "silence", "no message, not even a heartbeat", 3900, None)]


def received_without(dropped: int, frames: list[bytes], inst_id: str) -> list[Output]:
    pipeline = Pipeline([inst_id], 100, 400, Random(1))
    pipeline.open(0)
    pipeline.tick(0)
    kept = [*frames[:dropped], *frames[dropped + 1 :]]
    return [one for at, frame in enumerate(kept) for one in pipeline.receive(frame, 3000 * at)]


def best_25(image: dict) -> str:
    return json.dumps([image["bids"][:25], image["asks"][:25]])


BARE = {"seqId": None, "prevSeqId": None}


def bare_full(checksum: int | None = 0) -> bytes:
    return full(BTC, 3900, 0, checksum=checksum, **BARE)


def bare_update(ts_ms: int, bid: list[str] | None = None, checksum: int | None = 0) -> bytes:
    return update(BTC, ts_ms, 0, 0, [] if bid is None else [bid], checksum=checksum, **BARE)


def right(*bids: list[str]) -> int:
    rows = [tuple(row) for row in bids or BIDS]
    return book_checksum(rows, [tuple(row) for row in ASKS])  # type: ignore[arg-type]


def applied(outputs: list[Output]) -> list[tuple[int | None, int | None, str]]:
    return [(output.change.seq_id, output.ts_ms, output.origin) for output in outputs if isinstance(output, Applied)]


class TestApplied:
    """With `changes` every push that is applied comes out, once it is believed."""

    def test_each_push_comes_behind_the_sample_that_was_due_before_it(self) -> None:
        wire = Wire(changes=True)
        assert applied(wire.receive(book_of(400, 400))) == [(10, 3900, "ws")]
        outputs = wire.receive(update(BTC, 4100, 10, 11), update(BTC, 4100, 10, 11), update(BTC, 0, 11, 12))
        assert [type(output) for output in outputs[:2]] == [Sampled, Applied]
        assert applied(outputs) == [(11, 4100, "ws"), (12, 4100, "ws")], "a repeat is none; no time leaves the book's"

    def test_its_receive_time_is_that_of_its_frame(self) -> None:
        wire = Wire(changes=True)
        outputs = wire.pipeline.receive(book_of(400, 400), wire.now_ms, 1_767_225_600_123_456)
        (one,) = [output for output in outputs if isinstance(output, Applied)]
        assert one.change.recv_us == 1_767_225_600_123_456

    def test_nothing_comes_of_a_book_that_waits_and_all_of_it_once_it_is_believed(self) -> None:
        wire = Wire(changes=True)
        assert applied(wire.receive(book_of(57, 127), update(BTC, 4100, 10, 11))) == []
        assert applied(wire.judge(57, 127)) == [(10, 3900, "ws"), (11, 4100, "ws")]

    def test_nothing_ever_comes_of_one_that_is_refused_nor_of_a_push_that_breaks_the_chain(self) -> None:
        wire = Wire(changes=True)
        assert applied(wire.receive(book_of(200, 400), update(BTC, 4100, 10, 11)) + wire.judge(400, 400)) == []
        wire = Wire(changes=True)
        wire.receive(book_of(400, 400))
        assert applied(wire.receive(update(BTC, 4100, 77, 78))) == []

    def test_an_unasked_short_book_waits_and_what_was_before_it_is_known_at_once(self) -> None:
        wire = Wire(changes=True)
        wire.receive(book_of(400, 400))
        assert applied(wire.receive(update(BTC, 4050, 10, 11), book_of(57, 127, 12, 4100))) == [(11, 4050, "ws")]
        assert applied(wire.receive(update(BTC, 4200, 12, 13))) == []
        assert applied(wire.judge(57, 127)) == [(12, 4100, "ws"), (13, 4200, "ws")]

    def test_a_longer_book_in_the_wait_leaves_nothing_of_the_short_one(self) -> None:
        wire = Wire(changes=True)
        wire.receive(book_of(57, 127), update(BTC, 4000, 10, 11), book_of(400, 400, 12, 4100))
        assert applied(wire.tick(SECOND_BOOK_WITHIN_MS)) == [(12, 4100, "ws")]

    def test_without_the_wish_none_comes(self) -> None:
        assert applied(Wire().receive(book_of(400, 400), update(BTC, 4100, 10, 11))) == []


class TestUnverifiable:
    @pytest.mark.parametrize("checksum", [0, None])
    def test_a_stream_that_proves_nothing_gets_no_book_one_word_and_no_resync(self, checksum: int | None) -> None:
        wire = Wire()
        outputs = wire.receive(bare_full(checksum))
        for n in range(300):
            wire.now_ms += 1000
            outputs += wire.receive(bare_update(4000 + 1000 * n, checksum=checksum)) + wire.tick()
        assert outputs == [Unverifiable(BTC, 3900, is_recorded=False)]
        assert wire.subscribed == 1
        assert wire.pipeline.book_times() == {}
        assert wire.pipeline.close("disconnect", "1006") == []

    def test_it_is_so_without_any_full_book_too(self) -> None:
        wire = Wire()
        outputs = []
        for n in range(100):
            outputs += wire.receive(bare_update(4000 + 1000 * n)) + wire.tick(1000)
        assert outputs == [Unverifiable(BTC, 4000, is_recorded=False)]
        assert wire.subscribed == 1

    def test_it_is_said_again_on_the_next_subscription(self) -> None:
        wire = Wire()
        wire.receive(bare_full())
        assert wire.tick(SILENCE_MS) == []
        assert wire.resubscribed()
        assert wire.receive(bare_full()) == [Unverifiable(BTC, 3900, is_recorded=False)]
        wire.pipeline.close("disconnect", "1006")
        wire.pipeline.open(wire.now_ms)
        wire.tick()
        assert wire.receive(bare_full()) == [Unverifiable(BTC, 3900, is_recorded=False)]

    def test_a_full_book_with_numbers_is_taken_on_the_same_subscription(self) -> None:
        wire = Wire()
        wire.receive(bare_full())
        assert wire.receive(book_of(400, 400)) == JOINED

    def test_it_is_recorded_where_that_was_asked_for_and_says_so(self) -> None:
        wire = Wire(record_unverifiable=True)
        assert wire.receive(bare_full()) == [NeedSecondBook(BTC)]
        assert wire.tick(SECOND_BOOK_WITHIN_MS) == [
            Synced(BTC, 3900, None),
            Unverifiable(BTC, 3900, is_recorded=True),
            AuditSoon(BTC),
        ]
        assert len(lines(wire.receive(bare_update(4100)))) == 1

    def test_a_stream_with_checksums_and_no_numbers_is_verifiable(self) -> None:
        wire = Wire()
        assert wire.receive(bare_full(right())) == [NeedSecondBook(BTC)]
        assert wire.judge(2, 2) == [Synced(BTC, 3900, None), AuditSoon(BTC)]
        better = ["100.1", "1", "0", "1"]
        assert len(lines(wire.receive(bare_update(4100, better, right(better, *BIDS))))) == 1

    @pytest.mark.parametrize("checksum", [0, None])
    def test_one_message_of_it_without_a_checksum_loses_it_and_samples_nothing(self, checksum: int | None) -> None:
        wire = Wire()
        wire.receive(bare_full(right()))
        wire.judge(2, 2)
        (lost,) = wire.receive(bare_update(4100, checksum=checksum))
        assert isinstance(lost, Lost)
        assert (lost.cause, lost.from_ms) == ("unverifiable", 3900)

    def test_a_wrong_checksum_of_it_samples_nothing_since_a_message_may_be_missing(self) -> None:
        wire = Wire()
        wire.receive(bare_full(right()))
        wire.judge(2, 2)
        outputs = wire.receive(bare_update(4100, checksum=right(["100.1", "1", "0", "1"], *BIDS)))
        assert [type(output) for output in outputs] == [Lost]
        assert causes(outputs) == ["checksum"]

    def test_an_unasked_full_book_without_proof_loses_a_book_that_had_some(self) -> None:
        wire = Wire()
        wire.receive(bare_full(right()))
        wire.judge(2, 2)
        assert causes(wire.receive(bare_full())) == ["unverifiable"]

    def test_whichever_message_of_2022_is_lost_no_line_shows_a_wrong_best_25(self) -> None:
        """The captures carry checksums only, which cover the best 25 of each side."""
        inst_id = "UNI-USD-SWAP"
        mark = b'"%s"},"action"' % inst_id.encode()
        frames = [frame for frame in received_frames(REAL_2022) if mark in frame]
        naive, images = NaiveBook(100), set()
        for frame in frames:
            naive.feed(json.loads(frame))
            images.add(best_25(naive.image()))
        losses = 0
        for dropped in range(10, len(frames) - 1, 3):
            outputs = received_without(dropped, frames, inst_id)
            losses += causes(outputs) == ["checksum"]
            shown = [one.snapshot for one in outputs if isinstance(one, Sampled)]
            assert shown
            assert {best_25({"bids": one.bids, "asks": one.asks}) for one in shown} <= images
        assert losses >= 10

    def test_the_quiet_pairs_of_2023_stay_verifiable(self) -> None:
        frames = [frame for frame in received_frames(REAL_2023) if b'"action"' in frame]
        names = {json.loads(frame)["arg"]["instId"] for frame in frames}
        for name in names:
            outputs = Wire(inst_id=name).receive(*(frame for frame in frames if f'"{name}"'.encode() in frame))
            assert not [one for one in outputs if isinstance(one, Unverifiable | Lost)]


class TestDuplicates:
    CHANGE = update(BTC, 3950, 10, 11, bids=[["990", "7", "0", "1"]])

    def wire(self) -> Wire:
        wire = Wire()
        wire.receive(book_of(400, 400), self.CHANGE)
        return wire

    def test_the_last_message_once_more_is_dropped_and_counted_and_moves_no_time(self) -> None:
        wire = self.wire()
        again = update(BTC, 9100, 10, 11, bids=[["990", "7", "0", "1"]])
        assert wire.receive(self.CHANGE, again) == []
        assert wire.pipeline.counts.duplicates == 2
        assert wire.pipeline.book_times() == {BTC: 3950}
        assert [one.grid_ms for one in wire.receive(update(BTC, 4100, 11, 12)) if isinstance(one, Sampled)] == [4000]

    def test_the_same_numbers_with_other_levels_are_a_gap(self) -> None:
        assert causes(self.wire().receive(update(BTC, 3950, 10, 11, bids=[["990", "8", "0", "1"]]))) == ["chain"]

    def test_a_message_before_the_last_one_is_a_gap(self) -> None:
        wire = self.wire()
        assert causes(wire.receive(update(BTC, 3960, 11, 12), self.CHANGE)) == ["chain"]

    def test_heartbeats_are_none_and_bring_the_time_on(self) -> None:
        wire = self.wire()
        assert len(lines(wire.receive(update(BTC, 4100, 11, 11), update(BTC, 6100, 11, 11)))) == 2
        assert wire.pipeline.counts.duplicates == 0

    def test_a_heartbeat_with_levels_is_a_gap(self) -> None:
        """It says at once that nothing has changed and what has."""
        wire = self.wire()
        wire.receive(update(BTC, 4100, 11, 11))
        assert causes(wire.receive(update(BTC, 4200, 11, 11, bids=[["990", "8", "0", "1"]]))) == ["chain"]

    def test_the_message_of_a_reset_is_dropped_like_any_other(self) -> None:
        wire = self.wire()
        reset = update(BTC, 3960, 11, 3, bids=[["990", "9", "0", "1"]])
        assert wire.receive(reset, reset) == []
        assert wire.pipeline.counts.duplicates == 1
        assert causes(wire.receive(update(BTC, 3970, 3, 4))) == []

    def test_one_among_the_updates_kept_for_a_rest_book_does_not_break_them(self) -> None:
        wire = Wire()
        wire.receive(update(BTC, 3800, 9, 10), self.CHANGE, self.CHANGE)
        rest = BookChange(BTC, True, [("1000", "1", "0", "1")], [("1001", "1", "0", "1")], 3900, 9, None, None)
        assert wire.pipeline.join_rest_book(rest, wire.now_ms) == [NeedSecondBook(BTC)]
        # The last of the updates came in no frame that is kept; the next one does: a repeat of either is dropped.
        for _ in range(2):
            assert wire.receive(self.CHANGE) == []
        later = update(BTC, 3960, 11, 12, asks=[["1002", "7", "0", "1"]])
        wire.receive(later, later)
        assert wire.pipeline.counts.duplicates == 3
        assert causes(wire.receive(update(BTC, 3960, 11, 12, asks=[["1002", "8", "0", "1"]]))) == ["chain"]


class TestUndatedChanges:
    """A change whose `ts` is no time lies somewhere between the times of its neighbours."""

    CHANGE = {"bids": [["990", "7", "0", "1"]]}

    def wire(self, ts_ms: int) -> Wire:
        wire = Wire()
        wire.receive(book_of(400, 400), update(BTC, 3950, 10, 11), update(BTC, ts_ms, 11, 12, **self.CHANGE))
        return wire

    @pytest.mark.parametrize("ts_ms", [0, 3900])
    def test_between_near_neighbours_one_leaves_the_book_s_time(self, ts_ms: int) -> None:
        (line,) = lines(self.wire(ts_ms).receive(update(BTC, 4450, 12, 13)))
        assert json.loads(line)["seqId"] == 12

    @pytest.mark.parametrize("ts_ms", [0, 3900])
    def test_between_far_ones_no_line_is_dated_by_it(self, ts_ms: int) -> None:
        """The book before it may have stood at the grid time as well as the book after it."""
        outputs = self.wire(ts_ms).receive(update(BTC, 4451, 12, 13))
        assert causes(outputs) == ["clock"]
        assert lines(outputs) == []

    def test_a_change_at_the_very_time_of_the_book_is_dated(self) -> None:
        assert len(lines(self.wire(3950).receive(update(BTC, 60_000, 12, 13)))) == 1

    def test_a_heartbeat_without_a_time_changes_nothing_that_could_be_dated(self) -> None:
        wire = Wire()
        wire.receive(book_of(400, 400), update(BTC, 3950, 10, 11), update(BTC, 0, 11, 11))
        assert len(lines(wire.receive(update(BTC, 60_000, 11, 12)))) == 1


class TestAudits:
    def test_a_delete_that_a_side_under_400_lacks_asks_for_one_and_not_again_for_a_minute(self) -> None:
        wire = Wire()
        wire.receive(book_of(57, 400))
        wire.judge(57, 400)
        wire.now_ms += AUDIT_AGAIN_MS
        unknown = [["1", "0", "0", "0"]]
        assert wire.receive(update(BTC, 3950, 10, 11, bids=unknown)) == [AuditSoon(BTC)]
        assert wire.receive(update(BTC, 3951, 11, 12, bids=unknown)) == []
        wire.now_ms += AUDIT_AGAIN_MS
        assert wire.receive(update(BTC, 3952, 12, 13, bids=unknown)) == [AuditSoon(BTC)]
        assert wire.pipeline.counts.unknown_deletes == 3

    def test_on_a_side_of_400_it_is_no_evidence(self) -> None:
        wire = Wire()
        wire.receive(book_of(57, 400))
        wire.judge(57, 400)
        wire.now_ms += AUDIT_AGAIN_MS
        assert wire.receive(update(BTC, 3950, 10, 11, asks=[["9999", "0", "0", "0"]])) == []
        assert wire.pipeline.counts == Counts(messages=2, checksums_absent=2, unknown_deletes=1)

    def test_nor_on_a_side_of_400_bids(self) -> None:
        wire = Wire()
        wire.receive(book_of(400, 57))
        wire.judge(400, 57)
        wire.now_ms += AUDIT_AGAIN_MS
        assert wire.receive(update(BTC, 3950, 10, 11, bids=[["1", "0", "0", "0"]])) == []

    def test_a_full_book_that_nobody_asked_for_asks_for_one(self) -> None:
        wire = Wire()
        wire.receive(book_of(400, 400))
        wire.now_ms += AUDIT_AGAIN_MS
        assert wire.receive(book_of(400, 400, 50, 3950)) == [AuditSoon(BTC)]


def hostile() -> dict[str, bytes]:
    """Frames as nobody should send them, all about seqId 11 after 10."""
    level = ["100", "1", "0", "1"]
    frames = {
        f"{field} {value}": update(BTC, 3950, 10, 11, bids=[level], **{field: value})
        for field in ("seqId", "prevSeqId", "checksum")
        for value in (2**63, -(2**63) - 1, 2**70, int("9" * 4000), "11", 11.5, [], {})
    }
    frames |= {
        f"level {row}"[:60]: update(BTC, 3950, 10, 11, bids=[row])
        for row in (
            ["100", "NaN", "0", "1"],
            ["100", "1e400", "0", "1"],
            ["100", "-1", "0", "1"],
            ["100", "+1", "0", "1"],
            ["100", "", "0", "1"],
            ["1e2", "1", "0", "1"],
            ["1_00", "1", "0", "1"],
            ["-5", "1", "0", "1"],
            ["0", "1", "0", "1"],
            ["100", "5", "0"],
            ["100", "5", "0", "1", "x"],
            [100, 5, 0, 1],
            ["100", "1" * 10_000, "0", "1"],
            ["\u0661\u0660\u0660", "1", "0", "1"],
        )
    }
    frames |= {f"ts {ts!r}"[:40]: update(BTC, 0, 10, 11, ts=ts) for ts in ("abc", "-5", 5.5, [], "9" * 5000, "1_0")}
    good = update(BTC, 3950, 10, 11, bids=[level])
    frames |= {
        "a list": b"[]",
        "deep": b"[" * 100_000,
        "deep objects": b'{"a":' * 100_000,
        "nothing": b"",
        "zeros": b"\0" * 100,
        "a mark first": b"\xef\xbb\xbf" + good,
        "text after it": good + b"xx",
        "invalid text": good.replace(b'"0","1"', b'"0","\xff\xfe"'),
        "no object": as_bytes({"arg": {"channel": "books", "instId": BTC}, "action": "update", "data": None}),
    }
    return frames


@pytest.mark.parametrize(("name", "frame"), hostile().items(), ids=hostile())
def test_a_hostile_frame_raises_nothing_and_is_never_in_a_line(name: str, frame: bytes) -> None:
    wire = Wire()
    wire.receive(full(BTC, 3900, 10))
    wire.judge(2, 2)
    outputs = wire.receive(frame)
    after = wire.receive(update(BTC, 6100, 11, 12), update(BTC, 8100, 12, 13))
    assert causes(outputs) == ["schema"] or not outputs or type(outputs[0]).__name__ == "SchemaFailure"
    assert lines(after) == [], "either the book is lost, or what came after does not chain"
    assert NeedBook(BTC) not in outputs
