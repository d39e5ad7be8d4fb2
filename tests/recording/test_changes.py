"""One feed's pushes at a time, another feed from the very same push on, and no line that breaks the chain unnamed."""

from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange
from l2vault.book.replay import Replay
from l2vault.okx.outputs import Applied
from l2vault.recording.changes import BEHIND_MS, ChangeRelay
from l2vault.vault.store.layout import HOUR_MS

INST = "BTC-USDT-SWAP"
T0 = 1_767_225_600_000 + 60_000


@dataclass
class Notes:
    """A sink that keeps everything."""

    room: bool = True
    lines: list[RecordedChange] = field(default_factory=list)
    causes: list[str | None] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    doubts: list[tuple[str, int, int, str]] = field(default_factory=list)

    def has_room(self) -> bool:
        return self.room

    def put(self, recorded: RecordedChange, cause: str | None, dropped: int) -> None:
        self.lines.append(recorded)
        self.causes.append(cause)
        self.dropped.append(dropped)

    def doubt(self, *doubt: object) -> None:
        self.doubts.append(doubt)

    def steps(self) -> list[str]:
        replay = Replay()
        return [replay.apply(line) for line in self.lines]


class Market:
    """The pushes of one instrument, and the book after each."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = Random(seed)
        self.book = Book()
        self.pushes: list[BookChange] = []
        self.tops: list[tuple[object, object]] = []
        self.ts_ms, self.seq_id = T0, 1_000
        self.book.apply(BookChange(INST, True, [("99", "5", "0", "1")], [("101", "7", "0", "2")], T0, 1_000, -1, 0))

    def move(self, by_ms: int = 100) -> BookChange:
        self.ts_ms += by_ms
        before, self.seq_id = self.seq_id, self.seq_id + self.rng.randint(1, 300)
        price = str(self.rng.randint(90, 99))
        level = (price, str(self.rng.randint(0, 3)), "0", "1")
        push = BookChange(INST, False, [level], [], self.ts_ms, self.seq_id, before, 0, self.ts_ms * 1000)
        self.book.apply(push)
        return push

    def full(self) -> BookChange:
        return BookChange(INST, True, *self.book.top(400), self.book.ts_ms, self.seq_id, -1, 0, 7)


def applied(push: BookChange) -> Applied:
    return Applied(push, push.ts_ms)


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def relay(notes: Notes) -> ChangeRelay:
    return ChangeRelay(notes, notes.doubt)


def test_one_feed_is_written_as_it_came_and_the_other_is_not(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    pushes = [market.full(), *(market.move() for _ in range(5))]
    for push in pushes:
        relay.take(1, applied(push))
        relay.take(2, applied(push))
    assert [line.change for line in notes.lines] == pushes
    assert {line.feed for line in notes.lines} == {1}
    assert notes.causes == ["our_restart", *[None] * 5]


@pytest.mark.parametrize("lead", [-3, 0, 3])
def test_when_the_written_feed_is_lost_the_other_goes_on_at_the_same_push(
    lead: int, notes: Notes, relay: ChangeRelay
) -> None:
    """Whether it is ahead or behind then: nothing is missing, and no time goes back."""
    market = Market()
    pushes = [market.full(), *(market.move() for _ in range(20))]
    taken = {1: 0, 2: 0}
    for at in range(25):
        for number, end in ((1, min(at + 1, 10)), (2, at + 1 + lead if at else 1)):
            for push in pushes[taken[number] : max(end, taken[number])]:
                relay.take(number, applied(push))
            taken[number] = max(end, taken[number])
        if at == 11:
            relay.lost(1, INST, "disconnect")
    assert notes.steps() == ["begins", *["follows"] * 21]
    assert [line.change for line in notes.lines if line.origin == "ws"] == pushes
    (own,) = [line for line in notes.lines if line.origin == "book"]
    assert own.feed == 2 and own.change.ts_ms == pushes[9].ts_ms
    times = [line.ts_ms for line in notes.lines]
    assert times == sorted(times)


def test_feeds_that_batch_differently_go_on_from_their_own_book_at_that_time(notes: Notes, relay: ChangeRelay) -> None:
    market, other = Market(), []
    full = market.full()
    relay.take(1, applied(full))
    relay.take(2, applied(full))
    for at in range(6):
        first, second = market.move(40), market.move(60)
        relay.take(1, applied(first)) if at < 4 else None
        relay.take(1, applied(second)) if at < 3 else None
        both = BookChange(INST, False, first.bids + second.bids, [], second.ts_ms, second.seq_id, first.prev_seq_id, 0)
        other.append(both)
        relay.take(2, applied(both))
    relay.lost(1, INST, "silence")
    assert set(notes.steps()[1:]) == {"follows"}
    assert [line.change for line in notes.lines[-3:]] == other[3:]
    replay = Replay()
    for line in notes.lines:
        replay.apply(line)
    assert replay.book is not None and replay.book.top(400) == market.book.top(400)


def test_a_feed_that_stands_still_is_left_once_the_other_is_two_seconds_ahead(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    pushes = [market.full(), *(market.move() for _ in range(60))]
    for at, push in enumerate(pushes):
        if at < 10:
            relay.take(1, applied(push))
        relay.take(2, applied(push))
        is_left = (push.ts_ms or 0) - (pushes[9].ts_ms or 0) > BEHIND_MS
        assert {line.feed for line in notes.lines} == ({1, 2} if is_left else {1})
    for push in pushes[10:]:
        relay.take(1, applied(push))
    assert [line.change for line in notes.lines if line.origin == "ws"] == pushes
    assert set(notes.steps()[1:]) == {"follows"}
    assert notes.lines[-1].feed == 2


def test_after_the_last_feed_is_lost_the_next_full_book_begins_anew_with_the_cause(
    notes: Notes, relay: ChangeRelay
) -> None:
    market = Market()
    relay.take(1, applied(market.full()))
    relay.take(1, applied(market.move()))
    relay.lost(1, INST, "chain")
    market.move(), market.move()
    relay.take(1, applied(market.full()))
    relay.take(1, applied(market.move()))
    assert notes.steps() == ["begins", "follows", "begins", "follows"]
    assert notes.causes == ["our_restart", None, "chain", None]


def test_a_feed_that_joined_after_the_loss_is_a_hole_too(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    relay.take(1, applied(market.full()))
    market.move()
    relay.take(2, applied(market.full()))
    relay.take(2, applied(market.move()))
    relay.lost(1, INST, "silence")
    assert notes.causes == ["our_restart", "silence", None]
    assert notes.steps() == ["begins", "begins", "follows"]


def test_every_hour_begins_with_the_book_as_it_stood_at_its_beginning(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    relay.take(1, applied(market.full()))
    last = market.move(HOUR_MS - 60_500)
    before = market.book.top(400)
    relay.take(1, applied(last))
    relay.take(1, applied(market.move(1_000)))
    own = notes.lines[2]
    assert own.ts_ms == T0 // HOUR_MS * HOUR_MS + HOUR_MS
    assert (own.origin, own.change.ts_ms, own.change.seq_id) == ("book", last.ts_ms, last.seq_id)
    assert (own.change.bids, own.change.asks) == before
    assert notes.causes == ["our_restart", None, None, None]
    assert notes.steps() == ["begins", "follows", "follows", "follows"]
    alone = Replay()
    assert [alone.apply(line) for line in notes.lines[2:]] == ["begins", "follows"]


def test_an_hour_that_begins_with_a_full_book_of_okx_needs_none_of_ours(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    relay.take(1, applied(market.full()))
    market.move(HOUR_MS)
    relay.take(1, applied(market.full()))
    assert [line.origin for line in notes.lines] == ["ws", "ws"]
    assert notes.causes == ["our_restart", "full_book"]


def test_without_room_everything_up_to_a_full_book_is_dropped_and_counted(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    for number in (1, 2):
        relay.take(number, applied(market.full()))
    notes.room = False
    for _ in range(7):
        push = market.move()
        for number in (1, 2):
            relay.take(number, applied(push))
    notes.room = True
    push = market.move()
    for number in (1, 2):
        relay.take(number, applied(push))
    assert [line.origin for line in notes.lines] == ["ws", "book", "ws"]
    assert notes.causes == ["our_restart", "queue", None]
    assert notes.dropped == [0, 7, 0]
    assert notes.steps() == ["begins", "begins", "follows"]


def test_what_did_not_reach_the_disk_begins_anew_with_the_next_push(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    relay.take(1, applied(market.full()))
    relay.take(1, applied(market.move()))
    relay.restart(INST, "disk_full")
    relay.take(1, applied(market.move()))
    assert [line.origin for line in notes.lines] == ["ws", "ws", "book", "ws"]
    assert notes.causes == ["our_restart", None, "disk_full", None]


def test_a_disproved_feed_puts_in_doubt_what_it_wrote_since_it_was_seen_right(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    pushes = [market.full(), *(market.move() for _ in range(9))]
    for at, push in enumerate(pushes):
        relay.take(1, applied(push))
        relay.take(2, applied(push))
        if at == 4:
            relay.proved(1, INST, push.ts_ms or 0)
    relay.lost(2, INST, "conflict")
    assert notes.doubts == []
    relay.lost(1, INST, "audit")
    assert notes.doubts == [(INST, pushes[4].ts_ms, pushes[9].ts_ms, "audit")]


def test_pushes_of_the_same_numbers_with_other_levels_are_in_doubt_until_the_feeds_agree(
    notes: Notes, relay: ChangeRelay
) -> None:
    """A wrong level may be gone again before the next line is compared: only the pushes themselves show it."""
    market = Market()
    pushes = [market.full(), *(market.move() for _ in range(9))]
    for at, push in enumerate(pushes):
        relay.take(1, applied(push))
        other = msgspec.structs.replace(push, bids=[("1", "1", "0", "1")]) if at == 4 else push
        relay.take(2, applied(other))
    assert notes.doubts == []
    relay.proved(1, INST, pushes[3].ts_ms or 0)
    assert notes.doubts == [], "of a book before it"
    relay.proved(1, INST, pushes[7].ts_ms or 0)
    assert notes.doubts == [(INST, (pushes[4].ts_ms or 0) - 1, pushes[7].ts_ms, "conflict")]
    relay.close()
    assert len(notes.doubts) == 1


def test_a_time_of_the_future_silences_nothing_for_longer_than_its_feed_lives(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    relay.take(1, applied(market.full()))
    relay.take(1, applied(market.move(86_400_000 * 400)))
    relay.lost(1, INST, "clock")
    market.ts_ms = T0 + 5_000
    market.book.ts_ms = market.ts_ms
    relay.take(1, applied(market.full()))
    relay.take(1, applied(market.move()))
    assert [line.ts_ms for line in notes.lines][-2:] == [T0 + 5_000, T0 + 5_100]
    assert notes.causes[-2:] == ["clock", None]


def test_a_book_without_a_time_waits_for_one(notes: Notes, relay: ChangeRelay) -> None:
    market = Market()
    relay.take(1, Applied(msgspec.structs.replace(market.full(), ts_ms=None), None))
    assert notes.lines == []
    relay.take(1, applied(market.move()))
    relay.take(1, applied(market.move()))
    assert notes.steps() == ["begins", "follows"]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_befalls_two_feeds_the_lines_show_every_book_or_a_named_hole(seed: int) -> None:
    """Feeds of random lag, lost and back again: lines in order, what follows is exact, what does not has a cause."""
    rng, notes, market = Random(seed), Notes(), Market(seed)
    relay = ChangeRelay(notes, notes.doubt)
    books: dict[int, object] = {}
    queues: dict[int, list[BookChange] | None] = {1: None, 2: None}
    for _ in range(600):
        push = market.move(rng.choice((20, 100, 100, 700)))
        books[push.seq_id or 0] = market.book.top(400)
        for number, queue in queues.items():
            if queue is None:
                if rng.random() < 0.05:
                    queues[number] = [market.full()]
                continue
            queue.append(push)
            while queue and rng.random() < 0.6:
                relay.take(number, applied(queue.pop(0)))
            if rng.random() < 0.02:
                relay.lost(number, INST, rng.choice(("chain", "disconnect")))
                queues[number] = None
        notes.room = rng.random() > 0.01
    replay, times = Replay(), [line.ts_ms for line in notes.lines]
    assert times == sorted(times)
    for line, cause in zip(notes.lines, notes.causes, strict=True):
        step = replay.apply(line)
        assert step != "refused" and (step == "begins") <= (cause is not None)
        assert replay.book is not None and replay.book.top(400) == books.get(
            replay.book.seq_id or 0, replay.book.top(400)
        )
    assert len(notes.lines) > 100
