"""Hours of the last week made into tiles before anybody asks, with the volumes and values that belong beside them, so
that a day nobody has looked at yet is shown at once.

One hour at a time, the newest first, with rests in which a page's own questions go on. Knows neither HTTP nor a page;
reads the vault and writes the cache alone.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from l2vault.clock import Clock
from l2vault.vault.store.layout import HOUR_MS
from l2vault.web.beside import Beside
from l2vault.web.tiles import Tiles

BACK_MS: Final = 7 * 24 * HOUR_MS
MOST_INSTRUMENTS: Final = 4
"""Those that pages asked for, and as many others as this leaves room for: a week of one takes four minutes to read and
20 MB of the cache."""
_BIN_MS: Final = 10_000
"""Six hours are shown at this width, a day and a week at wider ones, which are made with it."""
_TIMES_WORK: Final = 4
"""Rests of so many times the work before: a fifth of a core at most goes into it."""
_LEAST_REST_SEC: Final = 0.05
_FIRST_SEC: Final = 5.0
"""After the start: the first page's own questions go before."""
_EVERY_SEC: Final = 60.0
"""When all is made; an hour is settled five minutes after its end, and made anew when its file is compressed."""

_log = logging.getLogger(__name__)


class Ahead:
    """Of the vault at `root`. `run` in a thread of its own. `rest` waits so many seconds, and says whether to end."""

    def __init__(self, tiles: Tiles, clock: Clock, rest: Callable[[float], bool]) -> None:
        self._tiles = tiles
        self._beside = Beside(tiles.opened, clock, tiles.turns, tiles.files)
        self._clock = clock
        self._rest = rest
        self._waiting: list[tuple[int, str]] = []
        self._of: set[str] = set()
        """The latest of those that pages asked for, when these were found."""

    def run(self) -> None:
        """Until `rest` says so: whatever one hour is, the next ones are made. A panic of polars is no Exception."""
        rest_sec = _FIRST_SEC
        while not self._rest(rest_sec):
            rest_sec = self._make_next()

    def _make_next(self) -> float:
        """Make the next hour that is not there; for how long to rest behind it."""
        asked = set(self._tiles.asked()[:MOST_INSTRUMENTS])
        if not self._waiting or self._of != asked:
            self._of = asked
            try:
                self._waiting = self._hours()
            except BaseException as error:  # noqa: BLE001 - most often a vault that is only being made
                _log.debug("no hours to make ahead: %s", error)
        while self._waiting:
            hour_ms, inst_id = self._waiting.pop()
            begun_ms = self._clock.monotonic_ms()
            try:
                is_made = self._tiles.make_ahead(inst_id, hour_ms, _BIN_MS)
                is_made |= self._beside.make_ahead(inst_id, hour_ms)
            except BaseException as error:  # noqa: BLE001 - deleted or damaged: a page that asks for it is told
                _log.debug("the hour %s of %s is not made ahead: %s", hour_ms, inst_id, error)
                continue
            took_sec = (self._clock.monotonic_ms() - begun_ms) / 1000
            if is_made:
                return max(_LEAST_REST_SEC, _TIMES_WORK * took_sec)
        return _EVERY_SEC

    def _hours(self) -> list[tuple[int, str]]:
        """Hours and instruments, the newest hour last."""
        vault = self._tiles.opened.vault()
        known = vault.instruments()
        asked = [inst_id for inst_id in self._tiles.asked() if inst_id in known]
        others = [inst_id for inst_id in known if inst_id not in asked]
        found = []
        for inst_id in (asked + others)[:MOST_INSTRUMENTS]:
            newest_ms = vault.newest_line_ms(inst_id) or 0
            within = (forms.hour_ms for forms in vault.catalog.hours(inst_id))
            found += [(hour_ms, inst_id) for hour_ms in within if hour_ms > newest_ms - BACK_MS]
        return sorted(found)


def begin_ahead(tiles: Tiles, clock: Clock, stop: threading.Event) -> threading.Thread:
    """A thread that makes hours ahead until `stop` is set."""
    thread = threading.Thread(target=Ahead(tiles, clock, stop.wait).run, name="tiles ahead", daemon=True)
    thread.start()
    return thread
