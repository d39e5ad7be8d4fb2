"""OKX's instrument rows while recording: fetched at start, when missing, then every hour, and patched in between by
what the channel `instruments` pushes; never in capture's way."""

import logging
from collections.abc import Callable
from difflib import get_close_matches
from random import Random
from typing import Final

import msgspec

from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import RestError
from l2vault.foreign import printable
from l2vault.okx.backoff import Backoff
from l2vault.okx.rest import OkxRest, UnknownInstrument, wait_sec
from l2vault.recording.threads import in_daemon_thread
from l2vault.vault.journal.events import Event, InstrumentNoted
from l2vault.vault.store.instruments import DELISTING, Coming, Row, What, coming, keep_row, patch_row, read_row
from l2vault.vault.store.layout import Layout

REFRESH_SEC: Final = 3600.0
FIRST_RETRY_SEC: Final = 5.0
LONGEST_RETRY_SEC: Final = 300.0
LOOK_SEC: Final = 5.0
"""Longest sleep, so that `refresh_soon` is heard."""
SPACING_SEC: Final = 0.2
"""Between two requests: half of the 20 per 2 s that OKX allows."""

_log = logging.getLogger(__name__)


class Metadata:
    """Keeps the row of each instrument in the vault and tells `on_state` whether OKX says that it is live."""

    def __init__(
        self,
        layout: Layout,
        rest: OkxRest,
        clock: Clock,
        rng: Random,
        note: Callable[[Event], None],
        on_state: Callable[[str, bool], None],
    ) -> None:
        self._layout = layout
        self._rest = rest
        self._clock = clock
        self._rng = rng
        self._note = note
        self._on_state = on_state
        self._backoffs: dict[str, Backoff] = {}
        """Of the instruments whose row could not be had when it was asked for last."""
        self._misnamed: set[str] = set()
        self._due_ms: dict[str, int] = {}
        self._pushed: dict[str, tuple[bytes, int]] = {}
        """The newest row that the channel pushed of an instrument, and the wall time of that."""
        self._announced: dict[str, set[Coming]] = {}

    async def run(self, inst_ids: tuple[str, ...]) -> None:
        """Until cancelled. A row that cannot be had is asked for again, less and less often."""
        self._due_ms = dict.fromkeys(inst_ids, self._clock.monotonic_ms())
        while True:
            inst_id, due_ms = min(self._due_ms.items(), key=lambda item: item[1])
            wait_sec = (due_ms - self._clock.monotonic_ms()) / 1000
            await self._clock.sleep(min(max(wait_sec, SPACING_SEC), LOOK_SEC))
            while self._pushed:
                pushed_id = next(iter(self._pushed))
                await self._patch(pushed_id, *self._pushed.pop(pushed_id))
            if wait_sec <= LOOK_SEC:
                next_sec = await self._refresh(inst_id)
                self._due_ms[inst_id] = self._clock.monotonic_ms() + round(next_sec * 1000)

    def take_row(self, inst_id: str, row: bytes) -> None:
        """The channel `instruments` has pushed this row; a push never is the list of all there are."""
        if inst_id in self._due_ms:
            self._pushed[inst_id] = row, self._clock.wall_ms()

    def refresh_soon(self, inst_id: str) -> None:
        """Ask at the next look: something suggests that the row has changed."""
        self._due_ms[inst_id] = self._clock.monotonic_ms()

    def refresh_all(self) -> None:
        """Ask for every row again, as soon as the distance between requests allows: the vault may have lost them."""
        self._due_ms = dict.fromkeys(self._due_ms, self._clock.monotonic_ms())

    async def _refresh(self, inst_id: str) -> float:
        """Fetch and keep one row; returns the seconds until it is due again."""
        try:
            row = await in_daemon_thread(self._rest.instrument, inst_id)
            what = await in_daemon_thread(keep_row, self._layout, inst_id, row, self._clock.wall_ms())
        except (RestError, OSError, ValueError) as error:  # the last: a row that is none
            if isinstance(error, UnknownInstrument):
                await self._name_nearest(inst_id)
            return self._miss(inst_id, error)
        self._backoffs.pop(inst_id, None)
        self._kept(inst_id, msgspec.json.decode(row, type=dict[str, object]), what)
        return REFRESH_SEC

    async def _patch(self, inst_id: str, row: bytes, wall_ms: int) -> None:
        try:
            what = await in_daemon_thread(patch_row, self._layout, inst_id, row, wall_ms)
            whole = await in_daemon_thread(read_row, self._layout, inst_id)
        except (OSError, ValueError) as error:
            _log.warning("A pushed instrument row of %s is not kept: %s", inst_id, printable(str(error)))
            return
        if what is not None and whole is not None:
            self._kept(inst_id, whole, what)

    def _kept(self, inst_id: str, row: Row, what: What) -> None:
        state = row.get("state")
        self._on_state(inst_id, state in ("live", None))
        if what != "same":
            _log.info("Instrument row of %s kept (%s), state %s", inst_id, what, printable(str(state)))
            self._note(InstrumentNoted(self._clock.wall_text(), inst_id, what, f"state {printable(str(state))}"))
        self._announce(inst_id, row, what)

    def _announce(self, inst_id: str, row: Row, what: What) -> None:
        """What is to come is logged once in a run, and journaled when it is first in the row."""
        known = self._announced.setdefault(inst_id, set())
        for change in coming(row):
            if change in known or change.from_ms <= self._clock.wall_ms():
                continue
            known.add(change)
            words = _coming_words(change, row)
            _log.warning("OKX announces for %s: %s. What was recorded before keeps its contract", inst_id, words)
            if what != "same":
                self._note(InstrumentNoted(self._clock.wall_text(), inst_id, "announced", words))

    def _miss(self, inst_id: str, error: Exception) -> float:
        is_first = inst_id not in self._backoffs
        backoff = self._backoffs.setdefault(inst_id, Backoff(FIRST_RETRY_SEC, LONGEST_RETRY_SEC, self._rng))
        retry_sec = wait_sec(error, backoff.next_sec())
        words = "No instrument row of %s yet. Recording goes on without it; asking again in %.0f s. It was: %s"
        _log.warning(words, inst_id, retry_sec, error)
        if is_first:
            self._note(InstrumentNoted(self._clock.wall_text(), inst_id, "unavailable", str(error)))
        return retry_sec

    async def _name_nearest(self, inst_id: str) -> None:
        """Once an instrument: which of the names that OKX lists was probably meant."""
        if inst_id in self._misnamed:
            return
        try:
            known = await in_daemon_thread(self._rest.swap_names)
        except RestError as error:
            _log.debug("The names of OKX's swaps cannot be had: %s", error)
            return
        self._misnamed.add(inst_id)
        nearest = get_close_matches(inst_id, known, 1)
        hint = f"the nearest name that it lists is {printable(nearest[0])}" if nearest else "it lists none like it"
        _log.error("OKX does not know %s; %s. Correct the name in the settings and start again", inst_id, hint)


def _coming_words(change: Coming, row: Row) -> str:
    at = utc_text(change.from_ms)
    if change.param == DELISTING:
        return f"its delisting at {at}"
    values = printable(f"{change.param} {row.get(change.param)} becomes {change.value}")
    return f"{values} at {at}"
