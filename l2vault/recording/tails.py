"""How far each instrument is written, hour by hour: the rule that no line stands twice and none goes back in time.

Knows the vault only through `look_up`. A line far older than the newest one belongs to another recording of another
time, or the newest is from the future: it is judged by the file of its own hour, so that one absurd time never
silences an instrument.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import HOUR_MS

LATE_MS: Final = 60_000
"""A line up to this much older than the newest one is a late one of the same recording, and is not written."""
_HOURS: Final = 16


@dataclass(slots=True)
class Tail:
    """Of one instrument and hour: the newest unflagged line, and the newest time of any line."""

    ts_ms: int = -1
    seq_id: int | None = None
    newest_ms: int = -1

    def takes(self, snapshot: Snapshot) -> bool:
        """Whether the line may stand behind those that are there."""
        if snapshot.ts_ms < self.newest_ms:
            return False
        return snapshot.gap_detected or snapshot.ts_ms > self.ts_ms

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether the newest unflagged line is this very book, by its time and its `seqId`."""
        return (self.ts_ms, self.seq_id) == (snapshot.ts_ms, snapshot.seq_id) and self.seq_id is not None

    def add(self, snapshot: Snapshot) -> None:
        self.newest_ms = snapshot.ts_ms
        if not snapshot.gap_detected:
            self.ts_ms, self.seq_id = snapshot.ts_ms, snapshot.seq_id


LookUp = Callable[[str, int], Tail]
"""What the file of an instrument's hour, by the hour's beginning, ends with."""


class Tails:
    """The newest hour of each instrument, and a few of the older ones that are being written too."""

    def __init__(self, look_up: LookUp = lambda inst_id, hour_ms: Tail()) -> None:
        self._look_up = look_up
        self._newest: dict[str, Tail] = {}
        self._older: OrderedDict[tuple[str, int], Tail] = OrderedDict()

    def resume(self, tails: Mapping[str, Tail]) -> None:
        """What the vault holds already."""
        self._newest = dict(tails)

    def newest_ms(self, inst_id: str) -> int:
        """Time of the newest line of any kind; -1 where there is none."""
        return self._newest[inst_id].newest_ms if inst_id in self._newest else -1

    def reset(self, inst_id: str, tail: Tail) -> None:
        """Lines were set aside: the vault now ends with `tail`."""
        self._newest[inst_id] = tail
        for key in [key for key in self._older if key[0] == inst_id]:
            del self._older[key]

    def of(self, snapshot: Snapshot) -> Tail | None:
        """The tail that decides about a line; None where it is too late to be written."""
        newest = self._newest.setdefault(snapshot.inst_id, Tail())
        hour_ms = snapshot.ts_ms // HOUR_MS * HOUR_MS
        if hour_ms >= newest.newest_ms // HOUR_MS * HOUR_MS:
            return newest
        if newest.newest_ms - snapshot.ts_ms <= LATE_MS:
            return None
        key = snapshot.inst_id, hour_ms
        if key not in self._older:
            self._older[key] = self._look_up(*key)
            if len(self._older) > _HOURS:
                self._older.popitem(last=False)
        self._older.move_to_end(key)
        return self._older[key]
