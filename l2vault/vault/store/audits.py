"""What `audit` found of each day, kept so that a year can be drawn without reading a year again: a small file a day.

Knows the files and their form, and nothing of how books are compared. A day that is audited again is kept anew.
"""

from typing import Annotated, Final

import msgspec

from l2vault.book.utc import DAY_MS, HOUR_MS, utc_ms
from l2vault.vault.store.durable import write_atomically
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_small

_Lines = Annotated[int, msgspec.Meta(ge=0)]


class AuditedHour(msgspec.Struct, frozen=True):
    """Recorded lines of an hour by what OKX's archive said of them: `agreed`; `ours`, contradicted by an archive that
    rebuilds to its next full book; `theirs`, by one that does not; `unseen`, of which it has nothing."""

    agreed: _Lines = 0
    ours: _Lines = 0
    theirs: _Lines = 0
    unseen: _Lines = 0

    @property
    def judged(self) -> int:
        """Lines of which a witness that can be believed says anything."""
        return self.agreed + self.ours


class AuditedDay(msgspec.Struct, frozen=True):
    """A day: by which file (`is_sample`: a part of it), when, and its hours by their number, 0 to 23."""

    day: str
    source: str
    is_sample: bool
    audited_at: str
    hours: dict[int, AuditedHour]


_DECODER: Final = msgspec.json.Decoder(AuditedDay)


def keep_audit(layout: Layout, inst_id: str, found: AuditedDay) -> None:
    """Put it in the place of what was kept of the day; a sample never replaces the whole. Raises OSError."""
    day_ms = utc_ms(f"{found.day}T00:00:00.000Z")
    kept = kept_audit(layout, inst_id, day_ms)
    if kept is None or kept.is_sample or not found.is_sample:
        write_atomically(layout.audit_file(inst_id, day_ms), msgspec.json.encode(found))


def kept_audit(layout: Layout, inst_id: str, day_ms: int) -> AuditedDay | None:
    """Of one day; None where none was kept, or its file does not read."""
    try:
        return _DECODER.decode(read_small(layout.audit_file(inst_id, day_ms)))
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


def kept_audits(layout: Layout, inst_id: str, span: tuple[int, int]) -> dict[int, AuditedHour]:
    """By its start (ms), each hour of the days of a span of which anything was kept."""
    found: dict[int, AuditedHour] = {}
    for day_ms in range(span[0] // DAY_MS * DAY_MS, span[1], DAY_MS):
        kept = kept_audit(layout, inst_id, day_ms)
        if kept is not None:
            found |= {day_ms + at * HOUR_MS: hour for at, hour in kept.hours.items() if 0 <= at < DAY_MS // HOUR_MS}
    return found
