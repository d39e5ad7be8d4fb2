"""The context while recording: which feed carries it, what becomes of each push, and what the journal is told.

One feed carries the channels beside books and trades; where it is gone, or a channel stays silent, another does. What
this room does is never in the way of books: it takes what it is given and waits for nothing.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from l2vault.book.context import Context
from l2vault.book.day_lines import (
    Liquidation,
    Status,
    liquidation_from_line,
    liquidation_to_line,
    status_row_of,
    status_to_line,
)
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import LineError
from l2vault.foreign import printable
from l2vault.okx.context import Changed, ContextGrid, Freshness, LossCause, State
from l2vault.okx.context_messages import ContextFailure, ContextPush, Item, Update
from l2vault.okx.websocket import FeedDown, FeedOutput, FeedUp
from l2vault.vault.journal.context_events import ContextNoted, MaintenanceNoted
from l2vault.vault.journal.events import Event
from l2vault.vault.journal.lines import LATEST_MS
from l2vault.vault.store.days import DayWriter
from l2vault.vault.store.layout import DayKind

LATE_MS: Final = 3_600_000
"""A line so much older than the newest of its instrument belongs to another recording, and to another file."""
SILENT_MS: Final = 30_000
"""A value that is stale for so long has lost its subscription, or its feed: it is asked for again."""
FIRST_RETRY_MS: Final = 60_000
LONGEST_RETRY_MS: Final = 3_600_000
"""Between two such steps: a delisted instrument has values no more."""
SOON_MS: Final = 5_000
ENDS_TO_REST: Final = 3
"""So many connections in a row that ended this soon after they were asked for the context, before anything of it came,
may have ended because of it: books then go on without it for a while."""
FIRST_REST_MS: Final = 60_000
LONGEST_REST_MS: Final = 600_000
SYNC_MS: Final = 5_000
QUOTE_EVERY_MS: Final = 10_000
MARKET_SERVICES: Final = frozenset({"", "0", "5", "8", "9", "99"})
"""Of OKX's `serviceType`: websocket, trading, and trading in batches. Block trading, bots, spreads and copy trading
touch no market data."""

_REMEMBERED: Final = 4_096
_LIQUIDATION_DAYS: Final = 2
_STATUS_DAYS: Final = 400
"""Files that a run reads when it begins: a maintenance is told again until it is over, and there are few."""
_QUOTED_BYTES: Final = 400

_log = logging.getLogger("l2vault.recorder")

Chore = Callable[[], list[Event]]


@dataclass(frozen=True, slots=True)
class Hands:
    """What the keeper of the context works with, by name. None of them may wait.

    `carry` switches the channels on or off on a feed; `limit_ms` is the latest exchange time that can be, None while
    nothing proves it; `on_row` gets OKX's rows of instruments, whosever they are; `put` is the way to the disk.
    """

    put: Callable[[Context | Event | Chore], None]
    carry: Callable[[int, bool], None]
    limit_ms: Callable[[], int | None]
    on_row: Callable[[str, bytes], None]
    wall_us: Callable[[], int]


class ContextKeeper:
    """The context of `inst_ids`, whichever feed brings it. `environment` is OKX's `env`: 1 production, 2 demo."""

    def __init__(
        self, inst_ids: tuple[str, ...], cadence_ms: int, clock: Clock, hands: Hands, days: DayWriter, environment: str
    ) -> None:
        self._inst_ids = frozenset(inst_ids)
        self._clock = clock
        self._hands = hands
        self._days = days
        self._environment = environment
        self._grid = ContextGrid(inst_ids, cadence_ms)
        self._fresh = Freshness(inst_ids)
        self._newest: dict[str, int] = {}
        self._up: dict[int, None] = {}
        """Feeds whose connection stands, in the order in which they came."""
        self._carrier: int | None = None
        self._changed: list[Changed] = []
        self._seen: OrderedDict[Liquidation, None] = OrderedDict()
        self._announced: dict[tuple[str, str], Status] = {}
        self._written: set[frozenset[tuple[str, str]]] = set()
        """The announcements that the vault holds, whichever run wrote them: OKX makes a few a month."""
        self._retry_after_ms = 0
        self._retry_ms = FIRST_RETRY_MS
        self._is_next_a_move = False
        self._asked_ms: int | None = None
        """When the carrier was asked; None once something has come."""
        self._early_ends = 0
        self._rest_until_ms: int | None = None
        self._rest_ms = FIRST_REST_MS
        self._sync_after_ms: int | None = None
        self._quote_after_ms = 0
        self.known_ms = -1
        """Up to here every grid time is settled, and its lines were put."""
        self.counts: Counter[str] = Counter()
        """Since the start: `refused`, `unreadable`."""

    def resume(self, newest: Mapping[str, int]) -> None:
        """By instrument the newest line that the vault holds: nothing is written twice or goes back. Nor are day files
        given again what OKX tells every fresh subscription."""
        self._newest = dict(newest)
        for line in self._days.newest_lines("liquidations", _LIQUIDATION_DAYS)[-_REMEMBERED:]:
            with suppress(LineError):
                self._seen[liquidation_from_line(line)[0]] = None
        for line in self._days.newest_lines("status", _STATUS_DAYS)[-_REMEMBERED:]:
            with suppress(LineError):
                self._written.add(_identity(status_row_of(line)))

    @property
    def newest(self) -> Mapping[str, int]:
        """By instrument the newest line that was put."""
        return self._newest

    def take(self, number: int, outputs: Sequence[FeedOutput]) -> None:
        """Whatever a feed reports, in order; most of it is not for this room."""
        for output in outputs if self._inst_ids else ():
            self._take_output(number, output)

    def _take_output(self, number: int, output: FeedOutput) -> None:
        match output:
            case ContextPush() if number == self._carrier:
                self._asked_ms, self._early_ends, self._rest_ms = None, 0, FIRST_REST_MS
                for item in output.items:
                    self._take(item)
            case ContextFailure() if number == self._carrier:
                self._unreadable(output)
            case FeedUp():
                self._up.pop(number, None)
                self._up[number] = None
                if self._carrier in (None, number):
                    self._carry_on(number)
            case FeedDown():
                self._up.pop(number, None)
                if number == self._carrier:
                    self._note_end()
                    self._leave("disconnect")

    def tick(self) -> None:
        """Call it about once a second."""
        now_ms = self._clock.monotonic_ms()
        self._changed += self._fresh.tick(now_ms)
        self._note_changed()
        if self._rest_until_ms is not None and now_ms >= self._rest_until_ms:
            self._rest_until_ms = None
            if self._up:
                self._carry_on(list(self._up)[-1])
        if self._carrier is not None and self._fresh.stale(SILENT_MS, now_ms):
            self._renew(self._carrier, now_ms)
        if self._sync_after_ms is not None and now_ms >= self._sync_after_ms:
            self._sync_after_ms = None
            self._hands.put(self._sync_days)

    def noted_again(self) -> None:
        """The journal's former run may be gone: note every value that is present anew."""
        self._changed += self._fresh.present()
        self._note_changed()

    def close(self) -> None:
        """The end of a run: behind the grid time that was settled last nothing is written, and nothing known."""
        end_ms = self._grid.settled_ms + 1
        for change in self._fresh.lose("our_restart"):
            known_ms = None if change.ts_ms is None else min(change.ts_ms, end_ms)
            self._changed.append(change._replace(ts_ms=known_ms))
        self._note_changed()
        self._hands.put(self._sync_days)

    def summary(self) -> str:
        """A few words for the log's summary of a minute; empty while nothing has come."""
        states = self._fresh.counts()
        if not self._newest and not states["stale"]:
            return ""
        words = f"context {states['present']} of {sum(states.values())} values current"
        return words + (f", STALE {states['stale']}" if states["stale"] else "")

    def _take(self, item: Item) -> None:
        if isinstance(item, Update):
            self._update(item)
        elif isinstance(item, Liquidation):
            self._liquidation(item)
        elif isinstance(item, Status):
            self._status(item)
        elif item.inst_id in self._inst_ids:
            self._hands.on_row(item.inst_id, item.row)

    def _update(self, update: Update) -> None:
        limit_ms, refused, settled_ms = self._hands.limit_ms(), self._grid.refused, self._grid.settled_ms
        lines = self._grid.take(update, min(LATEST_MS, LATEST_MS if limit_ms is None else limit_ms))
        if self._grid.refused > refused:
            self.counts["refused"] += self._grid.refused - refused
            return
        if settled_ms < 0:
            settled_ms = self._grid.settled_ms
        for change in self._fresh.take(update, self._clock.monotonic_ms()):
            # Lines up to the settled grid time were written without it.
            self._changed.append(change._replace(ts_ms=max(change.ts_ms or 0, settled_ms + 1)))
        self._put(lines)

    def _put(self, lines: Sequence[Context]) -> None:
        for line in lines:
            newest_ms = self._newest.get(line.inst_id, -1)
            if line.grid_ms > newest_ms or newest_ms - line.grid_ms >= LATE_MS:
                self._newest[line.inst_id] = max(line.grid_ms, newest_ms)
                self._hands.put(line)
        self.known_ms = self._grid.settled_ms

    def _liquidation(self, one: Liquidation) -> None:
        """All swaps' come: only those of exactly our instruments are kept, each once."""
        if one.inst_id not in self._inst_ids or one in self._seen or not self._is_possible(one.ts_ms):
            return
        self._seen[one] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self._append("liquidations", one.ts_ms, liquidation_to_line(one, self._hands.wall_us()), one.inst_id)

    def _status(self, status: Status) -> None:
        key = status.title, status.row.get("begin", "")
        if self._announced.get(key) == status:
            return  # what a fresh subscription is given again
        self._announced[key] = status
        recv_us = self._hands.wall_us()
        ts_ms = status.ts_ms or recv_us // 1000
        if self._is_possible(ts_ms) and _identity(status.row) not in self._written:
            self._written.add(_identity(status.row))
            self._append("status", ts_ms, status_to_line(status, recv_us), "")
        if status.service not in MARKET_SERVICES or status.environment not in ("", self._environment):
            return
        bounds = _text(status.begin_ms), _text(status.end_ms)
        title, state = printable(status.title), printable(status.state)
        _log.warning("OKX announces maintenance: %s (%s), %s to %s", title, state, *(each or "?" for each in bounds))
        self._hands.put(MaintenanceNoted(self._at(), status.title, status.state, *bounds, status.service))

    def _append(self, kind: DayKind, ts_ms: int, line: bytes, inst_id: str) -> None:
        if self._sync_after_ms is None:
            self._sync_after_ms = self._clock.monotonic_ms() + SYNC_MS

        def append() -> list[Event]:
            self._days.append(kind, [(ts_ms, line)])
            return []

        self._hands.put(append)

    def _sync_days(self) -> list[Event]:
        self._days.sync()
        return []

    def _unreadable(self, failure: ContextFailure) -> None:
        self.counts["unreadable"] += 1
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._quote_after_ms:
            self._quote_after_ms = now_ms + QUOTE_EVERY_MS
            quoted = repr(failure.frame[:_QUOTED_BYTES].decode("utf-8", "replace"))
            _log.error("BUILD_FAIL: a push of %s cannot be read: %s; %s", failure.channel, failure.reason, quoted)

    def _carry_on(self, number: int) -> None:
        """From this feed on; what its connection brings is current, and nothing else."""
        if self._rest_until_ms is not None:
            return
        self._carrier, self._asked_ms = number, self._clock.monotonic_ms()
        self._fresh.begin(self._asked_ms)
        self._hands.carry(number, True)
        _log.info("Feed %d carries the context", number)

    def _note_end(self) -> None:
        """The carrier's connection has ended: perhaps because it was asked for the context."""
        now_ms = self._clock.monotonic_ms()
        is_early = self._asked_ms is not None and now_ms - self._asked_ms <= SOON_MS
        self._early_ends = self._early_ends + 1 if is_early else 0
        if self._early_ends >= ENDS_TO_REST:
            self._rest_until_ms = now_ms + self._rest_ms
            words = (
                "%d connections ended as soon as they were asked for the context: the books go on without it for %d s"
            )
            _log.warning(words, self._early_ends, self._rest_ms // 1000)
            self._rest_ms, self._early_ends = min(2 * self._rest_ms, LONGEST_REST_MS), ENDS_TO_REST - 1

    def _leave(self, cause: LossCause) -> None:
        """The carrier does no more: another feed does, the newest that stands, or the next one that comes up.

        What it brought is written now: values are noted as present up to its newest message, and the run may end before
        another message settles the lines that say so."""
        self._put(self._grid.settle_all(self._hands.limit_ms()))
        self._changed += self._fresh.lose(cause)
        self._note_changed()
        gone, self._carrier = self._carrier, None
        if gone is not None:
            self._hands.carry(gone, False)
        others = [number for number in self._up if number != gone] or list(self._up)
        if others:
            self._carry_on(others[-1])

    def _renew(self, carrier: int, now_ms: int) -> None:
        """A channel stays silent: its feed is asked again, and if that does not help, another one; less and less
        often, since an instrument that is no more has values no more."""
        if now_ms < self._retry_after_ms:
            return
        if now_ms - self._retry_after_ms > 2 * self._retry_ms:
            self._retry_ms, self._is_next_a_move = FIRST_RETRY_MS, False
        is_move, self._is_next_a_move = self._is_next_a_move, not self._is_next_a_move
        self._retry_after_ms = now_ms + self._retry_ms
        self._retry_ms = min(2 * self._retry_ms, LONGEST_RETRY_MS)
        if is_move and len(self._up) > 1:
            _log.warning("A channel of the context is silent on feed %d; another feed carries it", carrier)
            self._leave("silence")
        else:
            _log.warning("A channel of the context is silent on feed %d; it is asked for again", carrier)
            self._hands.carry(carrier, False)
            self._hands.carry(carrier, True)

    def _note_changed(self) -> None:
        """One event for what changed alike at an instrument, in order."""
        groups: list[tuple[tuple[str, State, str], dict[str, str | None]]] = []
        newest: dict[str, int] = {}
        for each in self._changed:
            key = each.inst_id, each.state, each.cause
            at = newest.get(each.inst_id)
            if at is None or groups[at][0] != key:
                newest[each.inst_id] = at = len(groups)
                groups.append((key, {}))
            groups[at][1][each.kind] = _text(each.ts_ms)
        self._changed.clear()
        for (inst_id, state, cause), kinds in groups:
            level = logging.WARNING if state == "stale" else logging.DEBUG
            _log.log(level, "Context of %s: %s %s %s", inst_id, ", ".join(kinds), state, cause)
            self._hands.put(ContextNoted(self._at(), self._carrier or 0, inst_id, state, kinds, cause))

    def _is_possible(self, ts_ms: int) -> bool:
        limit_ms = self._hands.limit_ms()
        return 0 < ts_ms < (LATEST_MS if limit_ms is None else min(limit_ms, LATEST_MS))

    def _at(self) -> str:
        return utc_text(self._clock.wall_ms())


def _identity(row: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(row.items())


def _text(ms: int | None) -> str | None:
    return None if ms is None or not 0 <= ms < LATEST_MS else utc_text(ms)
