"""REST books at work: audits that find a corrupted level, and seeds where no full book comes."""

from random import Random

import pytest

from l2vault.book.change import BookChange, Level
from l2vault.clock import Clock
from l2vault.errors import RestError
from l2vault.okx.pipeline import Lost, Output, Pipeline, Synced
from l2vault.recording import auditor as auditor_module
from l2vault.recording.auditor import Auditor
from l2vault.vault.journal.events import Audited, Event

INST_ID = "BTC-USDT-SWAP"


class Ended(Exception):
    """Raised by the clock to leave the endless task."""


class ManualClock(Clock):
    """Sleeping moves time on; after `sleeps` it ends the test."""

    def __init__(self, sleeps: int) -> None:
        self.now_ms = 1_000_000
        self.sleeps = sleeps

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms

    async def sleep(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        self.sleeps -= 1
        if self.sleeps < 0:
            raise Ended


class FakeRest:
    """Answers with the given books in turn, the last one for ever; an exception is raised."""

    def __init__(self, *answers: BookChange | RestError) -> None:
        self.answers = list(answers)

    def book(self, inst_id: str, depth: int) -> BookChange:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, RestError):
            raise answer
        return answer


def level(price: str, quantity: str = "1") -> Level:
    return (price, quantity, "0", "1")


def full(seq_id: int, *bids: Level) -> BookChange:
    return BookChange(INST_ID, True, list(bids), [level("200")], seq_id * 100, seq_id, None, None)


def frame(action: str, seq_id: int, prev_seq_id: int, bid: str = '["100","1","0","1"]') -> bytes:
    return (
        f'{{"arg":{{"channel":"books","instId":"{INST_ID}"}},"action":"{action}","data":[{{"asks":[["200","1","0","1"]],'
        f'"bids":[{bid}],"ts":"{seq_id * 100}","checksum":0,"seqId":{seq_id},"prevSeqId":{prev_seq_id}}}]}}'
    ).encode()


def subscribed() -> Pipeline:
    pipeline = Pipeline([INST_ID], 2000, 400, Random(1))
    pipeline.open(0)
    pipeline.tick(0)
    return pipeline


async def run(
    pipeline: Pipeline, rest: FakeRest, sleeps: int, needed: bool = False
) -> tuple[list[Event], list[Output]]:
    notes: list[Event] = []
    said: list[Output] = []
    auditor = Auditor(rest, ManualClock(sleeps), notes.append, lambda number, outputs: said.extend(outputs))
    auditor.pipelines = {1: pipeline}
    if needed:
        auditor.need_book(1, INST_ID)
    with pytest.raises(Ended):
        await auditor.run((INST_ID,))
    return notes, said


@pytest.fixture(autouse=True)
def _audit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor_module, "AUDIT_EVERY_SEC", 1.0)


def outcomes(notes: list[Event]) -> list[str]:
    return [note.outcome for note in notes if isinstance(note, Audited)]


async def test_an_equal_book_is_journaled_and_nothing_else_happens() -> None:
    pipeline = subscribed()
    pipeline.receive(frame("snapshot", 5, -1), 0)
    notes, said = await run(pipeline, FakeRest(full(5, level("100"))), sleeps=12)
    assert outcomes(notes) == ["equal"]
    assert said == []


async def test_a_flipped_level_is_found_journaled_and_healed() -> None:
    pipeline = subscribed()
    pipeline.receive(frame("snapshot", 5, -1), 0)
    book = pipeline._books[INST_ID]
    assert book is not None
    book._bids.update([level("100", "999")])  # the corruption that no chain can show
    notes, said = await run(pipeline, FakeRest(full(5, level("100"))), sleeps=12)
    assert outcomes(notes) == ["mismatch"]
    assert [(one.inst_id, one.cause) for one in said if isinstance(one, Lost)] == [(INST_ID, "audit")]
    assert pipeline.book_times() == {}
    pipeline.tick(1_002_000)
    assert any('"op":"unsubscribe"' in text for text in pipeline.take_outgoing())


async def test_rest_out_of_reach_is_journaled_as_unavailable() -> None:
    pipeline = subscribed()
    pipeline.receive(frame("snapshot", 5, -1), 0)
    notes, said = await run(pipeline, FakeRest(RestError("HTTP 503.", "later")), sleeps=12)
    assert outcomes(notes) == ["unavailable"]
    assert said == []


async def test_older_rest_books_are_asked_again_and_then_given_up() -> None:
    pipeline = subscribed()
    pipeline.receive(frame("snapshot", 5, -1), 0)
    notes, _ = await run(pipeline, FakeRest(full(4), full(4), full(5, level("100"))), sleeps=14)
    assert outcomes(notes) == ["equal"]
    notes, _ = await run(pipeline, FakeRest(full(4)), sleeps=18)
    assert outcomes(notes) == ["older"]


async def test_a_book_that_never_came_in_band_is_joined_from_rest_at_its_number() -> None:
    """Protocol 2.8: updates flow after the ack, no full book does."""
    pipeline = subscribed()
    pipeline.receive(frame("update", 5, 4), 0)
    pipeline.receive(frame("update", 6, 5, '["100","0","0","0"]'), 100)
    notes, said = await run(pipeline, FakeRest(full(5, level("100"), level("99"))), sleeps=1, needed=True)
    assert [output for output in said if isinstance(output, Synced)] == [Synced(INST_ID, 500, 5, "rest")]
    book = pipeline._books[INST_ID]
    assert book is not None
    assert (book.seq_id, book.top(400)[0]) == (6, [level("99")])
    assert notes == []


async def test_no_full_book_asks_for_rest_after_three_seconds_and_again() -> None:
    pipeline = subscribed()
    pipeline.receive(frame("update", 5, 4), 0)
    assert pipeline.tick(2_900) == []
    assert [type(output).__name__ for output in pipeline.tick(3_000)] == ["NeedBook"]
    assert pipeline.tick(3_500) == []
    assert [type(output).__name__ for output in pipeline.tick(4_000)] == ["NeedBook"]
