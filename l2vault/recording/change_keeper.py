"""Changes on their way from the feeds to the disk: the relay, a bounded queue, and a chore for the disk's thread.

What the queue has no room for is dropped here, and what the disk refuses by the writer: books never wait for changes.
While somebody follows, the files are brought up to date five times a second, else every five seconds.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from l2vault.book.change_line import RecordedChange
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.okx.pipeline import Applied, Lost
from l2vault.okx.websocket import FeedOutput
from l2vault.recording.changes import ChangeRelay
from l2vault.recording.latency import LatencyMeter
from l2vault.vault.journal.change_events import ChangesLost, Latency
from l2vault.vault.journal.events import Event, HourClosed
from l2vault.vault.store.change_writer import ChangesHole, ChangeWriter
from l2vault.vault.store.writer import ClosedHour

QUEUE_LIMIT: Final = 4_096
"""Changes that wait for the disk: of 50 instruments some 8 s. Each shares its levels with the books: 4 KB at most."""
LOOK_SEC: Final = 1.0
FLUSH_SEC: Final = 5.0
FOLLOWED_SEC: Final = 0.2
FOLLOWED_FOR_MS: Final = 5_000
"""A follower touches its file every second or so; without a touch for this long it is taken to have gone."""

_log = logging.getLogger(__name__)

_Waiting = tuple[RecordedChange, str | None, int]
Chore = Callable[[], list[Event]]


class ChangeKeeper:
    """`take` everything a feed has to say; `hand_on` gives it to `put`, a chore at a time."""

    def __init__(
        self,
        writer: ChangeWriter,
        clock: Clock,
        put: Callable[[Event | Chore], None],
        followed_at: Callable[[], int | None],
        cause: str = "our_restart",
    ) -> None:
        """`followed_at` gives a number that changes whenever a follower shows itself; None where none ever did. `cause`
        is why nothing of what was received before is written."""
        self._writer = writer
        self._clock = clock
        self._put = put
        self._followed_at = followed_at
        self._relay = ChangeRelay(self, self._doubt, cause)
        self._latency = LatencyMeter()
        self._waiting: list[_Waiting] = []
        self._is_short = False
        self._is_at_work = False
        self._flushed_ms = clock.monotonic_ms()
        self._seen = followed_at()
        self._followed_until_ms = 0
        self.dropped = 0

    # From the feeds

    def take(self, number: int, outputs: Sequence[FeedOutput]) -> None:
        """What was applied, and what was lost; most of what a feed has to say is not for changes."""
        for output in outputs:
            if isinstance(output, Applied):
                self._relay.take(number, output)
                if output.change.ts_ms is not None and output.change.recv_us and output.origin == "ws":
                    self._latency.note(number, output.change.ts_ms, output.change.recv_us)
            elif isinstance(output, Lost):
                self._relay.lost(number, output.inst_id, output.cause)

    def proved(self, number: int, inst_id: str, ts_ms: int) -> None:
        """The feed's book of this time was seen to equal another one."""
        self._relay.proved(number, inst_id, ts_ms)

    # What the relay is told, and gives

    def has_room(self) -> bool:
        """Once it is full there is room again when half of it is written."""
        limit = QUEUE_LIMIT // 2 if self._is_short else QUEUE_LIMIT
        self._is_short = len(self._waiting) >= limit
        return not self._is_short

    def put(self, recorded: RecordedChange, cause: str | None, dropped: int) -> None:
        self._waiting.append((recorded, cause, dropped))

    # To the disk

    def pause_sec(self) -> float:
        """Until the next `hand_on`."""
        return FOLLOWED_SEC if self._is_followed() else LOOK_SEC

    def hand_on(self) -> None:
        """Give the disk what waits, unless it is still at what it was given before."""
        for inst_id, cause in self._writer.take_refused().items():
            self._relay.restart(inst_id, cause)
        now_ms = self._clock.monotonic_ms()
        is_due = self._is_followed() or now_ms - self._flushed_ms >= FLUSH_SEC * 1000
        if self._is_at_work or not (self._waiting or is_due):
            return
        if is_due:
            self._flushed_ms = now_ms
        batch, self._waiting = self._waiting, []
        self._is_at_work = True
        self._put(partial(self._write, batch, is_due))

    def finish(self) -> None:
        """The end of a run: everything that waits is written, and every file completed."""
        self._relay.close()
        batch, self._waiting = self._waiting, []
        self._put(partial(self._close, batch))

    def left_events(self) -> list[Event]:
        """In the disk's thread, once this keeper failed: what its writer knew of holes and nobody has noted."""
        return [self._event(hole) for hole in self._writer.take_holes()]

    def note_latency(self, offset: tuple[int, int] | None) -> None:
        """Once a minute. `offset`: this machine's clock minus the exchange's, and by how much that may be wrong."""
        at = utc_text(self._clock.wall_ms())
        offset_ms, uncertain_ms = (None, None) if offset is None else offset
        for feed, found in self._latency.take().items():
            self._put(Latency(at, feed, *found, offset_ms, uncertain_ms))

    def _is_followed(self) -> bool:
        seen, now_ms = self._followed_at(), self._clock.monotonic_ms()
        if seen != self._seen:
            self._seen, self._followed_until_ms = seen, now_ms + FOLLOWED_FOR_MS
        return now_ms < self._followed_until_ms

    def _write(self, batch: list[_Waiting], is_to_flush: bool) -> list[Event]:
        """In the disk's thread."""
        try:
            for recorded, cause, dropped in batch:
                self._writer.write(recorded, cause, dropped)
            if is_to_flush:
                self._writer.flush(is_to_sync=True)
            closed = self._writer.close_hour() if is_to_flush else None
        finally:
            self._is_at_work = False
        events: list[Event] = [self._event(hole) for hole in self._writer.take_holes()]
        return events if closed is None else [*events, self._closed(closed)]

    def _close(self, batch: list[_Waiting]) -> list[Event]:
        events = self._write(batch, is_to_flush=False)
        self._writer.close()
        return [*events, *(self._event(hole) for hole in self._writer.take_holes())]

    def _closed(self, closed: ClosedHour) -> HourClosed:
        at, hour = self._clock.wall_text(), utc_text(closed.hour_ms)
        return HourClosed(at, closed.inst_id, hour, *closed.digest, kind=closed.kind)

    def _doubt(self, inst_id: str, from_ms: int, to_ms: int, cause: str) -> None:
        self._put(self._event(ChangesHole(inst_id, from_ms, to_ms, cause, 0, "written, and may be wrong")))

    def _event(self, hole: ChangesHole) -> ChangesLost:
        from_, to = (None if ms is None else utc_text(ms) for ms in (hole.from_ms, hole.to_ms))
        if to is None:
            _log.warning("Changes of %s are lost after %s (%s): %s", hole.inst_id, from_, hole.cause, hole.detail)
        at = utc_text(self._clock.wall_ms())
        return ChangesLost(at, hole.inst_id, from_, hole.cause, to, hole.lines, hole.detail)
