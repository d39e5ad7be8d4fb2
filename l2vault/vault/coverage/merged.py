"""What was noted of merged hours, laid into the histories that coverage reads. Pure.

Such a note is the outcome of the vaults' own journals (`vault/merging`), hour by hour; the newest of an hour counts.
"""

from collections.abc import Iterable, Iterator
from typing import get_args

from l2vault.book.utc import HOUR_MS, utc_ms
from l2vault.vault.coverage.model import HoleKind
from l2vault.vault.coverage.proved import ProofState, TimeStretch
from l2vault.vault.coverage.sync_history import (
    HoleCause,
    QuietRange,
    SyncHistory,
    UnverifiableSpan,
)
from l2vault.vault.journal.log import Entry
from l2vault.vault.journal.merge_events import Kind, Merged


def merged_hours(entries: Iterable[Entry], inst_id: str, kind: Kind) -> list[Merged]:
    """The newest note of each merged hour, in order of the hours."""
    found: dict[int, Merged] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, Merged) and (event.inst_id, event.kind) == (inst_id, kind):
            found[utc_ms(event.hour)] = event
    return [found[hour_ms] for hour_ms in sorted(found)]


def lay_books(history: SyncHistory, hours: Iterable[Merged]) -> None:
    """Add what is known of merged hours of books, in order of the hours."""
    for event in hours:
        hour_ms = utc_ms(event.hour)
        if event.cadence_ms > 0 and (not history.cadences or history.cadences[-1][1] != event.cadence_ms):
            history.cadences.append((hour_ms, event.cadence_ms))
        history.quiet += [QuietRange(utc_ms(each.since), utc_ms(each.first), utc_ms(each.last)) for each in event.quiet]
        for span in event.spans:
            kind = next((kind for kind in get_args(HoleKind) if kind == span.state), None)
            if kind is not None:
                history.causes.append(HoleCause(utc_ms(span.from_), kind, span.cause))
                history.causes.append(HoleCause(utc_ms(span.to), "unknown", ""))
                history.merged_holes.append((utc_ms(span.from_), utc_ms(span.to)))
        history.disputed += _pairs(event.disputed)
        history.unaudited += [(from_ms, to_ms + 1) for from_ms, to_ms in _pairs(event.unaudited)]
        history.unverifiable += [
            UnverifiableSpan(from_ms, to_ms + 1, True) for from_ms, to_ms in _pairs(event.unverifiable)
        ]
        if event.from_ is not None and event.to is not None:
            from_ms, to_ms = utc_ms(event.from_), utc_ms(event.to)
            history.merged.append((from_ms, to_ms))
            history.newest_ms = max(to_ms - 1, history.newest_ms or 0)


def lost_in_merged(hours: Iterable[Merged]) -> Iterator[TimeStretch]:
    """Where merged hours of changes lack some, or have some that may be wrong."""
    for event in hours:
        for span in event.spans:
            state: ProofState = "missing" if span.state == "missing" else "unknown"
            yield TimeStretch(utc_ms(span.from_), utc_ms(span.to), state, span.cause)


def hour_after(event: Merged) -> int:
    """Where the hour ends."""
    return utc_ms(event.hour) + HOUR_MS


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
    return [(utc_ms(first), utc_ms(last)) for first, last in pairs]
