"""Deep books, and RPI books, on their way from REST to the disk: which sample is written whole and which as changes,
and what of those that were due is missing.

A sample is written in the disk's thread, where it is known how the one before it fared. More than `BYTES_A_DAY` of an
instrument are never written: where its book changes that much, samples are left out.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from l2vault.book.deep import DEEP_CHANNELS, DeepKind, DeepSample, deep_line_of
from l2vault.book.utc import DAY_MS, utc_text
from l2vault.clock import Clock
from l2vault.vault.journal.deep_events import MISSED, SamplesMissed
from l2vault.vault.journal.events import Event, HourClosed
from l2vault.vault.store.change_writer import ChangesHole, ChangeWriter
from l2vault.vault.store.layout import HOUR_MS, Layout, packed_path

BYTES_A_DAY: Final[dict[DeepKind, int]] = {"deep": 100_000_000, "rpi": 30_000_000}
"""Of an instrument, on the disk, at most; `python benchmarks/bench_deep.py` says what the built-in exchange takes."""
_CREDIT_SHARE: Final = 0.01
"""Of a day's bytes: what may be written at once beyond that pace, so that a whole book each hour delays nothing."""

_log = logging.getLogger(__name__)

Chore = Callable[[], list[Event]]


@dataclass(slots=True)
class _Instrument:
    """`newest_ms` is the time of the newest sample that was handed on, -1 before the first; `cause` why the next one
    does not follow it in time, None where it does; `missed` samples were due since."""

    newest_ms: int = -1
    cause: str | None = None
    missed: int = 0
    is_told: bool = False
    """Whether the journal has it that samples are being missed."""
    before: DeepSample | None = None
    """Of the disk's thread: the sample that the file ends with; None where the next one is to be whole."""
    owed_bytes: float = 0.0
    """Of the disk's thread: what was written beyond the pace."""
    owed_ms: int = 0


class DeepKeeper:
    """Of one kind of samples: `take` each and tell it of each that was `missed`; both in the event loop. `put` hands on
    to the disk."""

    def __init__(
        self,
        layout: Layout,
        clock: Clock,
        put: Callable[[Event | Chore], None],
        cause: str = "our_restart",
        kind: DeepKind = "deep",
        bytes_a_day: int | None = None,
    ) -> None:
        """`cause` is why nothing of what was due before is written; without `bytes_a_day` it is `BYTES_A_DAY`."""
        bytes_a_day = BYTES_A_DAY[kind] if bytes_a_day is None else bytes_a_day
        self._channel = DEEP_CHANNELS[kind]
        self._layout = layout.of(kind)
        self._writer = ChangeWriter(layout, kind=kind)
        self._clock = clock
        self._put = put
        self._noted = MISSED[kind]
        self._cause = cause
        self._pace = bytes_a_day / DAY_MS
        self._credit = _CREDIT_SHARE * bytes_a_day
        self._instruments: dict[str, _Instrument] = {}

    @property
    def newest(self) -> dict[str, int]:
        """By instrument, the time of the newest sample."""
        return {inst_id: one.newest_ms for inst_id, one in self._instruments.items()}

    def resume(self, newest: Mapping[str, int]) -> None:
        """What the files end with, or what a keeper before this one handed on last; -1 for nothing."""
        for inst_id, newest_ms in newest.items():
            self._of(inst_id).newest_ms = newest_ms

    def is_due(self, inst_id: str) -> bool:
        """Whether another sample may be written now; where not, that it is left out is noted."""
        if self._owed(self._of(inst_id)) <= 0:
            return True
        self.missed(inst_id, "budget", f"more than {round(self._pace * DAY_MS / 1e6)} MB a day")
        return False

    def take(self, sample: DeepSample) -> bool:
        """A sample; False where it is not newer than the one before it, or no book, and so was missed."""
        one = self._of(sample.inst_id)
        if sample.ts_ms <= one.newest_ms:
            self.missed(sample.inst_id, "not_renewed", f"the answer is of {utc_text(sample.ts_ms)}")
            return False
        if fault := sample.fault:
            self.missed(sample.inst_id, "implausible", fault)
            return False
        one.newest_ms = sample.ts_ms
        cause, missed, one.cause, one.missed, one.is_told = one.cause, one.missed, None, 0, False
        self._put(partial(self._write, one, sample, cause, missed))
        return True

    def missed(self, inst_id: str, cause: str, detail: str) -> None:
        """A sample was due, and none can be had. The first of a row is noted at once, how many by the next sample."""
        one = self._of(inst_id)
        one.cause, one.missed = one.cause or cause, one.missed + 1
        if not one.is_told:
            one.is_told = True
            _log.warning("No %s of %s (%s): %s", self._channel.noun, inst_id, cause, detail)
            from_ = utc_text(one.newest_ms) if one.newest_ms >= 0 else None
            self._put(self._noted(self._clock.wall_text(), inst_id, from_, cause, detail=detail))

    def finish(self) -> None:
        """The end of a run: every file is completed."""
        self._put(self._close)

    def left_events(self) -> list[Event]:
        """In the disk's thread, once this keeper failed: what its writer knew of holes and nobody has noted."""
        return [self._event(hole) for hole in self._writer.take_holes()]

    def _of(self, inst_id: str) -> _Instrument:
        one = self._instruments.get(inst_id)
        if one is None:
            one = self._instruments[inst_id] = _Instrument(cause=self._cause)
        return one

    # In the disk's thread

    def _write(self, one: _Instrument, sample: DeepSample, cause: str | None, missed: int) -> list[Event]:
        before = one.before
        if before is not None and before.ts_ms // HOUR_MS != sample.ts_ms // HOUR_MS:
            before = None
        size = self._size(sample)
        self._writer.write(deep_line_of(sample, before), cause, missed)
        self._writer.flush(is_to_sync=True)
        one.before = None if sample.inst_id in self._writer.take_refused() else sample
        one.owed_bytes, one.owed_ms = self._owed(one) + self._size(sample) - size, self._clock.monotonic_ms()
        closed = self._writer.close_hour()
        events: list[Event] = [self._event(hole) for hole in self._writer.take_holes()]
        if closed is not None:
            at, hour = self._clock.wall_text(), utc_text(closed.hour_ms)
            events.append(HourClosed(at, closed.inst_id, hour, *closed.digest, kind=closed.kind))
        return events

    def _close(self) -> list[Event]:
        self._writer.close()
        return self.left_events()

    def _owed(self, one: _Instrument) -> float:
        """What is owed now: it falls with time, down to the credit."""
        paid = (self._clock.monotonic_ms() - one.owed_ms) * self._pace
        return max(one.owed_bytes - paid, -self._credit) if one.owed_ms else -self._credit

    def _size(self, sample: DeepSample) -> int:
        path = packed_path(self._layout.hour_file(sample.inst_id, sample.ts_ms))
        try:
            return path.stat().st_size
        except OSError:
            return 0

    def _event(self, hole: ChangesHole) -> SamplesMissed:
        from_, to = (None if ms is None else utc_text(ms) for ms in (hole.from_ms, hole.to_ms))
        if to is None:
            what = self._channel.noun
            _log.warning("The %ss of %s are not written after %s: %s", what, hole.inst_id, from_, hole.detail)
        return self._noted(self._clock.wall_text(), hole.inst_id, from_, hole.cause, to, hole.lines, hole.detail)
