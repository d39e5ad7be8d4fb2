"""What becomes of samples that may not be written, cannot be, or are none."""

from pathlib import Path

from l2vault.book.deep import DeepSample, from_deep_line
from l2vault.book.utc import utc_text
from l2vault.recording.deep import DeepKeeper
from l2vault.vault.journal.deep_events import DeepMissed
from l2vault.vault.journal.events import Event
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_lines
from support.manual_clock import ManualClock

INST = "BTC-USDT-SWAP"
LEVELS = 200


class Rig:
    def __init__(self, root: Path, bytes_a_day: int = 10**9) -> None:
        self.root = root
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.keeper = DeepKeeper(Layout(root), self.clock, self._put, bytes_a_day=bytes_a_day)

    def _put(self, item: object) -> None:
        self.events += item() if callable(item) else [item]

    def sample(self, **changed: object) -> DeepSample:
        second = self.clock.now_ms // 1000
        bids = [(str(60_000 - at), str(1 + at * second % 97), "1") for at in range(LEVELS)]
        asks = [(str(60_001 + at), str(1 + at * second % 89), "1") for at in range(LEVELS)]
        fields = {"ts_ms": self.clock.wall_ms(), "bids": bids, "asks": asks} | changed
        return DeepSample(inst_id=INST, seq_id=None, recv_us=self.clock.wall_us(), **fields)

    def take(self, **changed: object) -> bool:
        self.clock.now_ms += 30_000
        return self.keeper.take(self.sample(**changed))

    def lines(self) -> list[bool]:
        """Whether each line of the files is a whole book."""
        paths = sorted((self.root / "raw" / "okx" / "books_full" / INST).rglob("*.gz"))
        self.keeper.finish()
        return [from_deep_line(line.text or b"").is_full for path in paths for line in read_lines(path)]

    def missed(self) -> list[tuple[str | None, str, str | None, int]]:
        found = (event for event in self.events if isinstance(event, DeepMissed))
        return [(event.from_, event.cause, event.to, event.samples) for event in found]


def test_an_answer_of_the_same_or_an_older_time_and_a_book_that_is_none_are_missed(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert rig.take()
    first_ms = rig.clock.wall_ms()
    assert not rig.take(ts_ms=first_ms)
    assert not rig.take(ts_ms=first_ms - 1_000)
    assert not rig.take(asks=[])
    assert not rig.take(asks=[("59999", "1", "1")])
    assert rig.take()
    first, last = utc_text(first_ms), utc_text(rig.clock.wall_ms())
    assert rig.missed() == [(first, "not_renewed", None, 0), (first, "not_renewed", last, 4)]
    assert rig.lines() == [True, False]


def test_more_bytes_a_day_than_allowed_are_never_written(tmp_path: Path) -> None:
    rig = Rig(tmp_path, bytes_a_day=500_000)
    asked = 120
    for _ in range(asked):
        if rig.keeper.is_due(INST):
            rig.take()
        else:
            rig.clock.now_ms += 30_000
    lines = rig.lines()
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.gz"))
    days = asked * 30 / 86_400
    assert 0.8 * 500_000 * days < size < 500_000 * days + 10_000, "the pace is used up, and the credit once"
    assert len(lines) < asked
    assert {cause for _, cause, _, _ in rig.missed()} == {"budget"}


def test_a_file_that_is_gone_is_named_and_begun_anew_with_a_whole_book(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert rig.take() and rig.take()
    (file,) = tmp_path.rglob("*.gz")
    file.unlink()
    assert rig.take() and rig.take() and rig.take()
    assert rig.lines() == [True, False]
    causes = [(cause, to is None) for _, cause, to, _ in rig.missed()]
    assert causes == [("file_gone", True), ("file_gone", False)]
