"""What was true: the exchange's own book after every change, and which of them a recorder must have written.

For tests that judge a recording. Give `Oracle.note` to `Simulator(..., on_tick=...)`.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange
from l2vault.sim.levels import Image


class Truth(NamedTuple):
    """The book after one change. `epoch` counts the restarts of the sequence, so (epoch, seq_id) names one state.

    `ts_ms` is the book's time, which never goes back; a heartbeat is a Truth of its own with the `seq_id` before it.
    """

    epoch: int
    seq_id: int | None
    prev_seq_id: int | None
    ts_ms: int | None
    checksum: int | None
    image: Image


class Due(NamedTuple):
    """A grid time at which a line was due, and the book it had to hold."""

    grid_ms: int
    truth: Truth


class Oracle:
    """The last `keep` states of each instrument, or all of them."""

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._truths: dict[str, deque[Truth]] = {}
        self._epochs: dict[str, int] = {}

    def note(self, inst_id: str, change: BookChange, book: Book) -> None:
        """One change, as `Exchange.watch` tells it."""
        restarts = (
            not change.is_snapshot
            and change.seq_id is not None
            and change.prev_seq_id is not None
            and change.seq_id < change.prev_seq_id
        )
        epoch = self._epochs[inst_id] = self._epochs.get(inst_id, 0) + restarts
        image = Image(*book.top(CHANNEL_DEPTH))
        truth = Truth(epoch, change.seq_id, change.prev_seq_id, book.ts_ms, change.checksum, image)
        self._truths.setdefault(inst_id, deque(maxlen=self._keep)).append(truth)

    @property
    def inst_ids(self) -> list[str]:
        return list(self._truths)

    def truths(self, inst_id: str) -> list[Truth]:
        """Every state of the instrument, in order."""
        return list(self._truths.get(inst_id, ()))

    def at(self, inst_id: str, seq_id: int | None) -> list[Truth]:
        """The states that carried this number: one, but for heartbeats and numbers used again after a reset."""
        return [truth for truth in self._truths.get(inst_id, ()) if truth.seq_id == seq_id]

    def due(self, inst_id: str, cadence_ms: int) -> Iterator[Due]:
        """The lines that an observer of every push writes: at the grid time `g` the book of time `s`, once a push of
        time `t` with `s <= g < t` has come. Of several grid times between two pushes the first names the line."""
        before: Truth | None = None
        for truth in self._truths.get(inst_id, ()):
            if before is not None and before.ts_ms is not None and truth.ts_ms is not None:
                grid_ms = -(-before.ts_ms // cadence_ms) * cadence_ms
                if grid_ms < truth.ts_ms:
                    yield Due(grid_ms, before)
            before = truth
