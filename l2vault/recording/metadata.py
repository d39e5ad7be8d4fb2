"""OKX's instrument rows while recording: fetched at start, when missing, then every hour; never in capture's way."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import RestError
from l2vault.okx.rest import LONGEST_RETRY_AFTER_SEC, OkxRest, TryLater
from l2vault.vault.instruments import keep_row
from l2vault.vault.journal.events import Event, InstrumentNoted
from l2vault.vault.layout import Layout

REFRESH_SEC: Final = 3600.0
FIRST_RETRY_SEC: Final = 5.0
LONGEST_RETRY_SEC: Final = 300.0
LOOK_SEC: Final = 5.0
"""Longest sleep, so that `refresh_soon` is heard."""
SPACING_SEC: Final = 0.2
"""Between two requests: half of the 20 per 2 s that OKX allows."""

_log = logging.getLogger(__name__)


class _State(msgspec.Struct):
    state: object = None


class Metadata:
    """Keeps the row of each instrument in the vault and tells `on_state` whether OKX says that it is live."""

    def __init__(
        self,
        layout: Layout,
        rest: OkxRest,
        clock: Clock,
        note: Callable[[Event], None],
        on_state: Callable[[str, bool], None],
    ) -> None:
        self._layout = layout
        self._rest = rest
        self._clock = clock
        self._note = note
        self._on_state = on_state
        self._failures: dict[str, int] = {}
        self._due_ms: dict[str, int] = {}

    async def run(self, inst_ids: tuple[str, ...]) -> None:
        """Until cancelled. A row that cannot be had is asked for again, less and less often."""
        self._due_ms = dict.fromkeys(inst_ids, self._clock.monotonic_ms())
        while True:
            inst_id, due_ms = min(self._due_ms.items(), key=lambda item: item[1])
            wait_sec = (due_ms - self._clock.monotonic_ms()) / 1000
            await self._clock.sleep(min(max(wait_sec, SPACING_SEC), LOOK_SEC))
            if wait_sec <= LOOK_SEC:
                next_sec = await self._refresh(inst_id)
                self._due_ms[inst_id] = self._clock.monotonic_ms() + round(next_sec * 1000)

    def refresh_soon(self, inst_id: str) -> None:
        """Ask at the next look: something suggests that the row has changed."""
        self._due_ms[inst_id] = self._clock.monotonic_ms()

    async def _refresh(self, inst_id: str) -> float:
        """Fetch and keep one row; returns the seconds until it is due again."""
        try:
            row = await asyncio.to_thread(self._rest.instrument, inst_id)
            what = await asyncio.to_thread(keep_row, self._layout, inst_id, row, self._clock.wall_ms())
        except (RestError, OSError, ValueError) as error:  # the last: a row, or a proxy's address, that is none
            return self._miss(inst_id, error)
        self._failures.pop(inst_id, None)
        state = msgspec.json.decode(row, type=_State).state
        self._on_state(inst_id, state in ("live", None))
        if what != "same":
            _log.info("Instrument row of %s kept (%s), state %s", inst_id, what, state)
            self._note(InstrumentNoted(utc_text(self._clock.wall_ms()), inst_id, what, f"state {state}"))
        return REFRESH_SEC

    def _miss(self, inst_id: str, error: Exception) -> float:
        failures = self._failures.get(inst_id, 0)
        self._failures[inst_id] = failures + 1
        retry_sec = min(LONGEST_RETRY_SEC, FIRST_RETRY_SEC * float(1 << min(failures, 10)))
        if isinstance(error, TryLater) and error.retry_after_sec is not None:
            retry_sec = max(retry_sec, min(error.retry_after_sec, LONGEST_RETRY_AFTER_SEC))
        words = "No instrument row of %s yet. Recording goes on without it; asking again in %.0f s. It was: %s"
        _log.warning(words, inst_id, retry_sec, error)
        if failures == 0:
            self._note(InstrumentNoted(utc_text(self._clock.wall_ms()), inst_id, "unavailable", str(error)))
        return retry_sec
