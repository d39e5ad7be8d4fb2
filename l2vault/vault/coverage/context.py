"""What is known of each value of the context over a span: when it was current, from what was noted at the time. Pure.

`present`: the value in the lines was OKX's newest. `stale`: nothing came for longer than is normal though the
connection stood. `lost`: no feed carried it. `unknown`: nothing proves anything, or the files that would hold it are
gone. `archive`: it was not current, and OKX's archive stands in, where that was asked for (`filled`). Only the first
and the last are covered.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

import msgspec

from l2vault.book.context import KINDS, Kind
from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.maintenance import MAINTENANCE, OUTSIDE, Maintenance, is_within
from l2vault.vault.coverage.merged import hour_after, merged_hours
from l2vault.vault.coverage.proved import percent
from l2vault.vault.coverage.sync_history import ALWAYS_MS, DISK_FULL, NEVER_MS, OUR_RESTART
from l2vault.vault.journal.context_events import ContextNoted, MaintenanceNoted
from l2vault.vault.journal.events import Alive, Started, Stopped, UncleanEnd, WriteFailed
from l2vault.vault.journal.log import Entry
from l2vault.vault.journal.merge_events import Merged

if TYPE_CHECKING:
    import polars as pl

ContextState = Literal["present", "stale", "lost", "unknown", "archive"]
CONTEXT_STATES: Final[tuple[ContextState, ...]] = get_args(ContextState)
_RECORDER: Final = "recorder"
_CONTEXT: Final = "context"


class ContextStretch(msgspec.Struct, frozen=True):
    """One value in one state over a half-open part of a span, in exchange time; a cause where it is not present."""

    kind: Kind
    start_ms: int
    end_ms: int
    state: ContextState
    cause: str


class ContextCoverage(msgspec.Struct, frozen=True):
    """Each value of the context over `[start_ms, end_ms)`: `stretches` by kind, each kind's in order and without a gap.

    >>> coverage = l2vault.open("Vault").context("BTC-USDT-SWAP", last="1m").coverage
    >>> coverage.share("mark"), coverage.share("mark", "lost")
    (1.0, 0.0)
    >>> coverage.to_polars().columns
    ['kind', 't_from', 't_to', 'state', 'cause']
    """

    inst_id: str
    start_ms: int
    end_ms: int
    stretches: list[ContextStretch]

    def share(self, kind: Kind, state: ContextState = "present") -> float:
        """The share of the span in which a value was in this state, from 0 to 1."""
        held = (each for each in self.stretches if (each.kind, each.state) == (kind, state))
        length_ms = self.end_ms - self.start_ms
        return sum(each.end_ms - each.start_ms for each in held) / length_ms if length_ms > 0 else 0.0

    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """A row per stretch: `kind`, `t_from`, `t_to` (`Datetime("ms", "UTC")`, or with `raw` integers), `state`,
        `cause`. Needs polars."""
        import polars as pl

        rows = [(each.kind, each.start_ms, each.end_ms, each.state, each.cause) for each in self.stretches]
        schema = {"kind": pl.String, "t_from": pl.Int64, "t_to": pl.Int64, "state": pl.String, "cause": pl.String}
        frame = pl.DataFrame(rows, schema, orient="row")
        return frame if raw else frame.with_columns(pl.col("t_from", "t_to").cast(pl.Datetime("ms", "UTC")))

    def __repr__(self) -> str:
        span = f"{utc_text(self.start_ms)} to {utc_text(self.end_ms)}"
        shares = ", ".join(f"{kind} {percent(self.share(kind))}" for kind in KINDS)
        return f"<ContextCoverage of {self.inst_id}, {span}: present {shares}>"


class _Turn(NamedTuple):
    """From `from_ms` on a value is in this state. `is_cut_short`: nobody noted the end of what was present before."""

    from_ms: int
    state: ContextState
    cause: str
    run: int
    is_cut_short: bool = False


class ContextHistory(NamedTuple):
    """Of one instrument: by kind the changes of state in the order in which they were noted, lines that the disk
    refused, and announced maintenance."""

    turns: dict[Kind, list[_Turn]]
    refused: list[tuple[int, int]]
    windows: list[tuple[int, int]]
    begins: dict[int, int]
    """By run: before this time it wrote no line."""


def context_history(entries: Iterable[Entry], inst_id: str) -> ContextHistory:
    """The history of entries in the order in which they happened (`log.in_order`)."""
    entries = list(entries)
    reading = _Reading(inst_id)
    for entry in entries:
        reading.take(entry)
    history = reading.close()
    for event in merged_hours(entries, inst_id, "context"):
        _lay_merged(history, event)
    return history


def _lay_merged(history: ContextHistory, event: Merged) -> None:
    """Each value's states of a merged hour, behind which nothing is known until the next one says more."""
    for kind, turns in history.turns.items():
        for span in event.values.get(kind, ()):
            state: ContextState = next((each for each in CONTEXT_STATES if each == span.state), "unknown")
            turns.append(_Turn(utc_ms(span.from_), state, span.cause, 0))
        if event.values:
            turns.append(_Turn(hour_after(event), "unknown", "", 0))


class _Reading:
    def __init__(self, inst_id: str) -> None:
        self._inst_id = inst_id
        self._turns: dict[Kind, list[_Turn]] = {kind: [] for kind in KINDS}
        self._refused: list[tuple[int, int]] = []
        self._maintenance = Maintenance()
        self._run = 0
        self._begins: dict[int, int] = {}
        self._known_ms = ALWAYS_MS
        """The newest exchange time at which the present run is known to have gone on."""

    def take(self, entry: Entry) -> None:
        event = entry.event
        if isinstance(event, Alive):
            self._known_ms = max(self._known_ms, utc_ms(event.exchange or event.at))
        elif isinstance(event, Started) and event.program == _RECORDER:
            self._cut(OUR_RESTART)
            self._known_ms = ALWAYS_MS
            self._run += 1
        elif isinstance(event, Stopped | UncleanEnd):
            self._cut(OUR_RESTART)
        elif isinstance(event, MaintenanceNoted):
            self._maintenance.take(event)
        elif isinstance(event, ContextNoted) and event.inst_id == self._inst_id:
            self._note(event)
        elif isinstance(event, WriteFailed) and (event.inst_id, event.kind) == (self._inst_id, _CONTEXT):
            self._refused.append((utc_ms(event.from_), utc_ms(event.to)))

    def close(self) -> ContextHistory:
        """A run without an end goes on, or was killed: behind its newest sign nothing is known."""
        self._cut("")
        return ContextHistory(self._turns, self._refused, self._maintenance.windows(), self._begins)

    def _note(self, event: ContextNoted) -> None:
        for kind in KINDS:
            if kind not in event.kinds:
                continue
            time = event.kinds[kind]
            turns = self._turns[kind]
            newest_ms = turns[-1].from_ms if turns else ALWAYS_MS
            from_ms = newest_ms
            if time is not None:
                own_ms = utc_ms(time)
                from_ms = max(newest_ms, own_ms)
                self._begins[self._run] = min(own_ms, self._begins.get(self._run, own_ms))
            if from_ms > ALWAYS_MS:  # else it never was known, and nothing says since when
                turns.append(_Turn(from_ms, event.state, event.cause, self._run))
                self._known_ms = max(self._known_ms, from_ms)

    def _cut(self, cause: str) -> None:
        """The run is over, or may be: what was present then is so up to its newest sign at the least."""
        for turns in self._turns.values():
            if turns and turns[-1].state in ("present", "stale"):
                state: ContextState = "lost" if cause else "unknown"
                known_ms = max(self._known_ms, turns[-1].from_ms)
                turns.append(_Turn(known_ms, state, cause, self._run, turns[-1].state == "present"))


def cover_context(
    history: ContextHistory, inst_id: str, span: tuple[int, int], times: Sequence[int], missing: Iterable[MissingLines]
) -> ContextCoverage:
    """The coverage of a span. `times` are those of the lines that read, in order, over all of it and some time before
    and after; `missing` is time of which the vault holds no file, or one that does not read."""
    gone = [(each.from_ms, each.to_ms, each.cause) for each in missing]
    gone += [(from_ms, _line_after(times, to_ms), DISK_FULL) for from_ms, to_ms in history.refused]
    stretches: list[ContextStretch] = []
    for kind, turns in history.turns.items():
        for each in _pieces(turns, times, history, gone):
            stretches += _cut_out(ContextStretch(kind, *each), span, gone)
    return ContextCoverage(inst_id, *span, _joined(stretches))


def _pieces(
    turns: Sequence[_Turn], times: Sequence[int], history: ContextHistory, gone: Sequence[tuple[int, int, str]]
) -> Iterable[tuple[int, int, ContextState, str]]:
    """All of time; a value that was present when a run ended without a word is so up to the newest line that the run
    wrote: it held the value until then. What the journal synced later, signs of life among it, proves no more: lines
    that were not synced may be gone, and a connection may have been silent. Of time whose lines are `gone` nothing is
    known."""
    at_ms, cause = ALWAYS_MS, ""
    state: ContextState = "unknown"
    pieces: list[tuple[int, int, ContextState, str]] = []
    for turn in turns:
        from_ms = turn.from_ms
        if turn.is_cut_short:
            next_ms = min((ms for run, ms in history.begins.items() if run > turn.run), default=NEVER_MS)
            newest_at = bisect_left(times, next_ms) - 1
            from_ms = max(at_ms, times[newest_at] + 1) if newest_at >= 0 else at_ms
        pieces.append((at_ms, from_ms, state, cause))
        for gone_ms, end_ms, why in sorted(gone) if turn.is_cut_short else ():
            gone_ms, end_ms = max(gone_ms, from_ms), min(end_ms, turn.from_ms)
            if gone_ms < end_ms:
                pieces += [(from_ms, gone_ms, turn.state, turn.cause), (gone_ms, end_ms, "unknown", why)]
                from_ms = end_ms
        at_ms, state, cause = from_ms, turn.state, turn.cause
        if state == "lost" and cause in OUTSIDE and is_within(history.windows, from_ms):
            cause = MAINTENANCE
    return [*pieces, (at_ms, NEVER_MS, state, cause)]


def _line_after(times: Sequence[int], t_ms: int) -> int:
    """Lines that the disk refused lack until the next one that it took."""
    at = bisect_left(times, t_ms + 1)
    return times[at] if at < len(times) else NEVER_MS


def _cut_out(
    stretch: ContextStretch, span: tuple[int, int], gone: Sequence[tuple[int, int, str]]
) -> Iterable[ContextStretch]:
    """The part of it in the span; where it is present and its lines are gone, it is unknown."""
    start_ms, end_ms = max(stretch.start_ms, span[0]), min(stretch.end_ms, span[1])
    at_ms = start_ms
    for from_ms, to_ms, cause in sorted(gone) if stretch.state == "present" else ():
        from_ms, to_ms = max(from_ms, at_ms), min(to_ms, end_ms)
        if from_ms < to_ms:
            if at_ms < from_ms:
                yield ContextStretch(stretch.kind, at_ms, from_ms, stretch.state, stretch.cause)
            yield ContextStretch(stretch.kind, from_ms, to_ms, "unknown", cause)
            at_ms = to_ms
    if at_ms < end_ms:
        yield ContextStretch(stretch.kind, at_ms, end_ms, stretch.state, stretch.cause)


def _joined(stretches: Iterable[ContextStretch]) -> list[ContextStretch]:
    """Those alike that touch as one."""
    found: list[ContextStretch] = []
    for each in stretches:
        last = found[-1] if found else None
        if last is not None and (last.kind, last.end_ms, last.state, last.cause) == (
            each.kind,
            each.start_ms,
            each.state,
            each.cause,
        ):
            found[-1] = ContextStretch(each.kind, last.start_ms, each.end_ms, each.state, each.cause)
        else:
            found.append(each)
    return found
