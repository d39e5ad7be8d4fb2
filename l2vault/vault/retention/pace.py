"""How much one pass may delete, so that one wrong input costs two hours of each instrument and not the vault.

`Allowance` is pure. The record of the pass before is kept in `meta/okx/retention.json`, made at its time.
"""

from pathlib import Path
from typing import Final

import msgspec

from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.retention.plan import Action
from l2vault.vault.retention.proved_time import Proved
from l2vault.vault.store.durable import write_atomically
from l2vault.vault.store.layout import HOUR_MS, Kind, Layout

LEAST_HOURS: Final = 2
"""A pass may delete so many hours of an instrument, however short ago the pass before it was."""

HOURS_FOR_EACH_PASSED: Final = 2
"""More than one, so that a backlog works itself off."""

ROOM_EVERY_MS: Final = 5 * 60_000
"""Want of room may delete its hours once in this time."""

_DAY_MS: Final = 24 * HOUR_MS
_RECORD_NAME: Final = "retention.json"


class PassRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the pass before noted when it began, as texts of UTC.

    `proved` was its proved time and `newest` the newest line it knew; `wall` is this machine's clock. `room` and
    `reported` are by this machine's clock too: when want of room last deleted, and when what waits was last reported.
    """

    wall: str
    proved: str | None = None
    newest: str | None = None
    room: str | None = None
    reported: str | None = None


def record_path(layout: Layout) -> Path:
    return layout.retention_lock.with_name(_RECORD_NAME)


def read_record(layout: Layout) -> PassRecord | None:
    """The record of the pass before; None where there is none or it does not read, which allows the least."""
    try:
        record = msgspec.json.decode(record_path(layout).read_bytes(), type=PassRecord)
        for text in (record.wall, record.proved, record.newest, record.room, record.reported):
            if text is not None:
                utc_ms(text)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None
    return record


def write_record(layout: Layout, record: PassRecord) -> None:
    """Before the first deletion, so that a pass that is killed has used up what it was allowed. Raises OSError."""
    write_atomically(record_path(layout), msgspec.json.encode(record))


def new_record(proved: Proved, wall_ms: int, before: PassRecord | None) -> PassRecord:
    """The record of a pass that begins; deletions for room and reports are added when they come."""
    return PassRecord(
        utc_text(wall_ms),
        utc_text(proved.now_ms) if proved.source else None,
        None if proved.newest_ms is None else utc_text(proved.newest_ms),
        before.room if before else None,
        before.reported if before else None,
    )


def hours_allowed(proved: Proved, wall_ms: int, before: PassRecord | None) -> int:
    """How many hours of each instrument a pass may delete: twice the hours that passed since the pass before.

    What passed is the least of what independent clocks say, so that none that leaps alone allows more: proved time,
    this machine's clock and, where proved time is this machine's clock, the newest line.
    """
    if before is None or before.proved is None or not proved.source:
        return LEAST_HOURS
    passed = [proved.now_ms - utc_ms(before.proved), wall_ms - utc_ms(before.wall)]
    if proved.source == "trusted clock":
        newest_ms, newest_before = proved.newest_ms, before.newest
        passed.append(0 if newest_ms is None or newest_before is None else newest_ms - utc_ms(newest_before))
    return max(LEAST_HOURS, HOURS_FOR_EACH_PASSED * min(passed) // HOUR_MS)


def may_make_room(wall_ms: int, before: PassRecord | None) -> bool:
    """Whether want of room may delete: once in five minutes."""
    return before is None or before.room is None or abs(wall_ms - utc_ms(before.room)) >= ROOM_EVERY_MS


def may_report(wall_ms: int, before: PassRecord | None) -> bool:
    """Whether what waits is to be reported: once a day."""
    return before is None or before.reported is None or abs(wall_ms - utc_ms(before.reported)) >= _DAY_MS


class Allowance:
    """What one pass may still delete. An hour counts once, whatever forms of it go."""

    def __init__(self, hours: int | None, for_room: bool = True) -> None:
        """At most `hours` hours of each instrument and kind, None for all; for want of room two of these, or none."""
        self._hours = hours
        self._room_hours = None if hours is None else (min(hours, LEAST_HOURS) if for_room else 0)
        self._gone: dict[tuple[Kind, str], set[int]] = {}
        self._gone_for_room: dict[tuple[Kind, str], set[int]] = {}

    def allows(self, action: Action) -> bool:
        """Whether the action may be taken; tell `count` when it has been."""
        if not action.is_irreversible:
            return True
        if action.only_if_short and not _fits(self._gone_for_room, action, self._room_hours):
            return False
        return _fits(self._gone, action, self._hours)

    def count(self, action: Action) -> None:
        if action.is_irreversible:
            kind, inst_id, hour_ms = action.kind_hour
            self._gone.setdefault((kind, inst_id), set()).add(hour_ms)
            if action.only_if_short:
                self._gone_for_room.setdefault((kind, inst_id), set()).add(hour_ms)


def _fits(gone: dict[tuple[Kind, str], set[int]], action: Action, most: int | None) -> bool:
    kind, inst_id, hour_ms = action.kind_hour
    hours = gone.get((kind, inst_id), set())
    return most is None or hour_ms in hours or len(hours) < most
