"""What becomes of samples that may not be written, cannot be, or are none."""

from pathlib import Path

from l2vault.book.deep import DEEP_CHANNELS, DeepKind, DeepSample, from_deep_line
from l2vault.book.utc import utc_text
from l2vault.recording.deep import DeepKeeper
from l2vault.vault.journal.deep_events import DeepMissed, RpiMissed
from l2vault.vault.journal.events import Event
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_lines
from support.manual_clock import ManualClock

INST = "BTC-USDT-SWAP"
LEVELS = 200


class Rig:
    def __init__(self, root: Path, bytes_a_day: int | None = 10**9, kind: DeepKind = "deep") -> None:
        self.root = root
        self.kind: DeepKind = kind
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.keeper = DeepKeeper(Layout(root), self.clock, self._put, kind=kind, bytes_a_day=bytes_a_day)

    def _put(self, item: object) -> None:
        self.events += item() if callable(item) else [item]

    def sample(self, **changed: object) -> DeepSample:
        second = self.clock.now_ms // 1000
        bids = [(str(60_000 - at), str(1 + at * second % 97), "1") for at in range(LEVELS)]
        asks = [(str(60_001 + at), str(1 + at * second % 89), "1") for at in range(LEVELS)]
        fields = {"ts_ms": self.clock.wall_ms(), "bids": bids, "asks": asks} | changed
        if self.kind == "rpi":
            for side in {"bids", "asks"} - changed.keys():
                fields[side] = [(price, size, size, orders) for price, size, orders in fields[side]]
        return DeepSample(inst_id=INST, seq_id=None, recv_us=self.clock.wall_us(), kind=self.kind, **fields)

    def take(self, **changed: object) -> bool:
        self.clock.now_ms += 30_000
        return self.keeper.take(self.sample(**changed))

    def lines(self) -> list[bool]:
        """Whether each line of the files is a whole book."""
        folder = {"deep": "books_full", "rpi": "books_rpi"}[self.kind]
        paths = sorted((self.root / "raw" / "okx" / folder / INST).rglob("*.gz"))
        self.keeper.finish()
        channel = DEEP_CHANNELS[self.kind]
        return [from_deep_line(line.text or b"", channel).is_full for path in paths for line in read_lines(path)]

    def missed(self) -> list[tuple[str | None, str, str | None, int]]:
        found = (event for event in self.events if isinstance(event, DeepMissed | RpiMissed))
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


def test_an_rpi_book_that_is_crossed_or_lacks_a_side_is_missed_and_noted_as_its_own(tmp_path: Path) -> None:
    rig = Rig(tmp_path, kind="rpi")
    assert rig.take()
    first_ms = rig.clock.wall_ms()
    assert not rig.take(bids=[("60001", "2", "0", "1")]), "an RPI bid at the best ask"
    assert not rig.take(asks=[("59999.5", "2", "0", "1")]), "an RPI ask below the best bid"
    assert not rig.take(bids=[])
    assert rig.take(bids=[("60000.5", "2", "0", "1")]), "inside the spread is no fault"
    first, last = utc_text(first_ms), utc_text(rig.clock.wall_ms())
    assert rig.missed() == [(first, "implausible", None, 0), (first, "implausible", last, 3)]
    assert all(isinstance(event, RpiMissed) for event in rig.events)
    assert rig.lines() == [True, False]
    assert not (tmp_path / "raw" / "okx" / "books_full").exists()


def test_rpi_books_have_a_bound_of_their_own(tmp_path: Path) -> None:
    day = {kind: Rig(tmp_path / kind, None, kind) for kind in DEEP_CHANNELS}  # type: ignore[arg-type]
    for rig in day.values():
        while rig.keeper.is_due(INST):
            rig.keeper._instruments[INST].owed_bytes += 10**6
            rig.keeper._instruments[INST].owed_ms = rig.clock.monotonic_ms()
    details = {kind: next(event.detail for event in rig.events) for kind, rig in day.items()}
    assert details == {"deep": "more than 100 MB a day", "rpi": "more than 30 MB a day"}
