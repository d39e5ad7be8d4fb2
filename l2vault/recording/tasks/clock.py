"""This machine's clock against the exchange's: OKX's own time each minute, and the age of what the feeds bring.

OKX's time is handed on as proof of exchange time; the skew of each minute goes to the journal, and to the log where it
is more than a second. It corrects nothing: capture runs on exchange time.
"""

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Final, Protocol

from l2vault.clock import Clock
from l2vault.errors import RestError
from l2vault.okx.rest import OkxRest
from l2vault.recording.threads import in_daemon_thread
from l2vault.vault.journal.events import ClockSkew, Event

EVERY_SEC: Final = 60.0
LOOK_SEC: Final = 5.0
"""Whether this machine's clock was set is looked at so often, without asking anybody."""
FIRST_REPORT_SEC: Final = 5.0
"""The first skew of a run is told that soon, so that a wrong clock shows in a short run too."""
FIRST_WITHIN_SEC: Final = 2.0
"""The feeds wait that long for OKX's time, so that exchange time is proved when their first message comes."""
SAMPLES: Final = 512
"""Messages of a minute that the median and the 99th percentile are taken from; more are drawn from at random."""
WARN_MS: Final = 1_000
WARN_AGAIN_SEC: Final = 3600.0
WARN_AGAIN_FACTOR: Final = 2.0

_log = logging.getLogger(__name__)


class NotesServerTime(Protocol):
    """`okx.exchange_time.ExchangeTime`, as far as this task needs it."""

    def note_server(self, ts_ms: int, rtt_ms: int, mono_ms: int) -> None: ...


class Reservoir:
    """A fair sample of bounded size of any number of values (Vitter 1985, algorithm R), and their exact minimum."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._values: list[int] = []
        self._least = 0
        self.seen = 0

    def add(self, value: int) -> None:
        self._least = value if self.seen == 0 else min(value, self._least)
        self.seen += 1
        if len(self._values) < SAMPLES:
            self._values.append(value)
        elif (place := int(self._rng.random() * self.seen)) < SAMPLES:
            self._values[place] = value

    def take(self) -> tuple[int, int, int, int] | None:
        """Minimum, median, 99th percentile, count; None if there is nothing. It then starts anew."""
        if not self.seen:
            return None
        values, least, seen = sorted(self._values), self._least, self.seen
        self._values, self.seen = [], 0
        return least, values[len(values) // 2], values[min(len(values) - 1, len(values) * 99 // 100)], seen


class ClockCheck:
    """`run` until cancelled; `note` for messages as they come."""

    def __init__(
        self, rest: OkxRest, clock: Clock, rng: Random, note: Callable[[Event], None], time: NotesServerTime | None
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._note_event = note
        self._time = time
        self._skews = Reservoir(rng)
        self._asked = asyncio.Event()
        self._offset_ms: int | None = None
        """This machine's clock minus OKX's, and by how much it may be wrong, when OKX last told its time."""
        self._uncertain_ms = 0
        self._warned_ms: int | None = None
        self._warned_at_ms = 0

    def note(self, ts_ms: int, wall_ms: int) -> None:
        """A message of exchange time `ts_ms` was received at `wall_ms` of this machine's clock."""
        self._skews.add(wall_ms - ts_ms)

    @property
    def offset(self) -> tuple[int, int] | None:
        """This machine's clock minus OKX's, in milliseconds, and by how much that may be wrong, when OKX last told its
        time; None where it did not."""
        return None if self._offset_ms is None else (self._offset_ms, self._uncertain_ms)

    async def first_asked(self) -> None:
        """Until OKX has told its time or failed to, FIRST_WITHIN_SEC at most."""
        asked = asyncio.ensure_future(self._asked.wait())
        waited = asyncio.ensure_future(self._clock.sleep(FIRST_WITHIN_SEC))
        try:
            await asyncio.wait({asked, waited}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            waited.cancel()

    async def run(self) -> None:
        every_sec = FIRST_REPORT_SEC
        while True:
            asked_ms = self._clock.monotonic_ms()
            try:
                await self._ask()
            finally:
                self._asked.set()
            lead_ms = self._clock.wall_ms() - self._clock.monotonic_ms()
            while self._clock.monotonic_ms() - asked_ms < EVERY_SEC * 1000:
                if await self._was_set(every_sec, lead_ms):
                    break  # an alert on the clock is not to wait for the next minute
                if self._report():
                    every_sec = EVERY_SEC

    async def _was_set(self, within_sec: float, lead_ms: int) -> bool:
        """Waits so long, or until this machine's clock has gone another way than its monotonic one, which was behind it
        by `lead_ms`, for more than a second: it was set, or the host slept."""
        until_ms = self._clock.monotonic_ms() + within_sec * 1000
        while (left_ms := until_ms - self._clock.monotonic_ms()) > 0:
            await self._clock.sleep(min(LOOK_SEC, left_ms / 1000))
            if abs(self._clock.wall_ms() - self._clock.monotonic_ms() - lead_ms) > WARN_MS:
                return True
        return False

    async def _ask(self) -> None:
        try:
            server = await in_daemon_thread(self._rest.server_time, self._clock.monotonic_ms)
        except RestError as error:
            self._offset_ms = None
            _log.debug("OKX's time cannot be had: %s", error)
            return
        if self._time is not None:
            self._time.note_server(*server)
        since_ms = self._clock.monotonic_ms() - server.mono_ms
        self._uncertain_ms = server.rtt_ms // 2
        self._offset_ms = self._clock.wall_ms() - since_ms - self._uncertain_ms - server.ts_ms
        _log.debug("This machine's clock minus OKX's: %+d ms, give or take %d ms", self._offset_ms, self._uncertain_ms)

    def _report(self) -> bool:
        """Whether there was anything to report."""
        taken = self._skews.take()
        if taken is None:
            return False
        least_ms, median_ms, p99_ms, seen = taken
        self._note_event(ClockSkew(self._clock.wall_text(), least_ms, median_ms, p99_ms, seen))
        if abs(median_ms) <= WARN_MS:
            self._warned_ms = None
        elif self._is_news(median_ms):
            self._warned_ms, self._warned_at_ms = median_ms, self._clock.monotonic_ms()
            _log.warning("%s", self._words(median_ms, seen))
        return True

    def _is_news(self, skew_ms: int) -> bool:
        before = self._warned_ms
        if before is None or (before < 0) != (skew_ms < 0):
            return True
        ratio = max(abs(skew_ms), abs(before)) / min(abs(skew_ms), abs(before))
        passed_sec = (self._clock.monotonic_ms() - self._warned_at_ms) / 1000
        return ratio >= WARN_AGAIN_FACTOR or passed_sec >= WARN_AGAIN_SEC

    def _words(self, skew_ms: int, seen: int) -> str:
        amount = f"{abs(skew_ms) / 1000:.1f} s {'ahead of' if skew_ms > 0 else 'behind'}"
        by = f"median of {seen} messages of the last minute"
        if self._offset_ms is not None and abs(self._offset_ms) - self._uncertain_ms <= WARN_MS < skew_ms:
            late = f"Messages of the feeds come {skew_ms / 1000:.1f} s late ({by}), while this machine's clock is right"
            return f"{late}. Recording is exact all the same. Check the network and the load of this machine"
        cure = "set this machine's clock by NTP (Windows: w32tm /resync; Linux: timedatectl set-ntp true)"
        return f"This machine's clock is {amount} the exchange's ({by}). Recording is exact all the same; {cure}"
