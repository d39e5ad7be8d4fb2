"""A book without a full one in band: updates kept aside until one from REST meets them at the same `seqId`.

OKX announced (2026-02-12) that it will stop sending the full book. Its own procedure joins REST and stream wherever
`prevSeqId <= snapshot.seqId < seqId`; a level that changed and changed back in that interval would then stay wrong for
good, so this joins only where the REST book stands exactly between two updates.
"""

from collections import deque
from enum import Enum, auto
from typing import Final

import msgspec

from l2vault.book.change import BookChange
from l2vault.okx.sequence import is_repeat

LONGEST: Final = 1200
"""Updates kept: two minutes of a busy instrument. Beyond it the oldest go, and with them only older joints."""


class JoinFailure(Enum):
    """Why a REST book joins nowhere, and so what to do next."""

    OLDER = auto()  # than every update kept: ask again
    BETWEEN = auto()  # inside an update: ask again
    AHEAD = auto()  # of the stream: offer it again when more has come


class RestJoin:
    """The unbroken updates of one instrument since its subscription, or since the chain last broke."""

    def __init__(self) -> None:
        self._updates: deque[BookChange] = deque(maxlen=LONGEST)
        self._ahead: BookChange | None = None
        self.since_ms = 0
        """When the oldest update since the last `clear` came, for whoever decides to ask REST."""

    def __bool__(self) -> bool:
        return bool(self._updates)

    def add(self, update: BookChange, now_ms: int) -> BookChange | None:
        """Keep an update, unless it is the last one again; one that does not chain makes the kept ones useless.

        Returns the REST book that was ahead of the stream, if this update has just come up with it: `join` it now.
        """
        if not self._updates:
            self.since_ms = now_ms
        elif is_repeat(update, self._updates[-1]):
            return None
        elif update.prev_seq_id != self._updates[-1].seq_id:
            self._updates.clear()
        self._updates.append(update)
        ahead = self._ahead
        return ahead if ahead is not None and ahead.seq_id == update.seq_id else None

    def clear(self) -> None:
        self._updates.clear()
        self._ahead = None

    def join(self, full: BookChange) -> list[BookChange] | JoinFailure:
        """What to apply, in order: the full book from REST, then the updates after it.

        Where the stream has stood at its number, the book carries that update's times, `prevSeqId` and checksum, so
        that the line written of it is the one that any other observer writes.
        """
        joined = self._join(full)
        self._ahead = full if joined is JoinFailure.AHEAD else None
        return joined

    def _join(self, full: BookChange) -> list[BookChange] | JoinFailure:
        updates, seq_id = list(self._updates), full.seq_id
        if not updates or seq_id is None:
            return JoinFailure.AHEAD
        # From the newest: after a maintenance reset an old number may occur twice.
        for at in range(len(updates), 0, -1):
            if updates[at - 1].seq_id == seq_id:
                return [_as_streamed(full, updates[at - 1]), *updates[at:]]
        if updates[0].prev_seq_id == seq_id:
            return [msgspec.structs.replace(full, recv_us=updates[0].recv_us), *updates]
        last = updates[-1].seq_id
        if last is not None and seq_id > last:
            return JoinFailure.AHEAD
        first = updates[0].prev_seq_id
        return JoinFailure.OLDER if first is not None and seq_id < first else JoinFailure.BETWEEN


def _as_streamed(full: BookChange, update: BookChange) -> BookChange:
    ts_ms = full.ts_ms if update.ts_ms is None else update.ts_ms
    return msgspec.structs.replace(
        full, ts_ms=ts_ms, prev_seq_id=update.prev_seq_id, checksum=update.checksum, recv_us=update.recv_us
    )
