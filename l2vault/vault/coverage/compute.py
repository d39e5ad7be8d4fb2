"""From the history of an instrument and the times of its lines to coverage: every slot has a state and, where it is not
covered, a cause.

Pure. A line of time `s` is the one of the first grid time at or after `s`. What a slot *without* a line is, is painted
in layers over the whole of time, each covering some of those below: why the book was not known; where it was known but
nothing more was noted; lines that the journal says there were; what cannot be had any more; what was noted as quiet.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from l2vault.vault.coverage.maintenance import MAINTENANCE, OUTSIDE, is_within
from l2vault.vault.coverage.model import COVERED, Coverage, Hole, State, Stretch, count_slots
from l2vault.vault.coverage.slots import Grid, Run, in_slot_order, unbroken
from l2vault.vault.coverage.sync_history import (
    ALWAYS_MS,
    NEVER_MS,
    UNVERIFIABLE,
    QuietRange,
    SyncHistory,
    SyncInterval,
)
from l2vault.vault.store.spans import holds, joined

NO_LINE: Final = "no line"
"""The cause of a slot whose line the journal says there was or was due, and which the file lacks."""

FORM_1: Final = "journal v1"
"""Of a quiet slot: only a journal of form 1 speaks of it, which has no record of what was quiet."""


class MissingLines(NamedTuple):
    """A half-open span whose lines cannot be had any more, and why: unknown, however well it was recorded."""

    from_ms: int
    to_ms: int
    cause: str


class _Span(NamedTuple):
    """A half-open span of exchange time, and what a slot in it is. `is_loss`: no feed held the book there."""

    from_ms: int
    to_ms: int
    state: State
    cause: str
    is_loss: bool = False


class Lines(NamedTuple):
    """The lines of a reach of time `[from_ms, to_ms)`, all of them: times of the unflagged ones, in order, and of the
    flagged ones. `altered` are unflagged times of a file that nothing proves to be the one that was recorded."""

    times: Sequence[int]
    from_ms: int
    to_ms: int
    flagged: Sequence[int] = ()
    altered: Sequence[MissingLines] = ()


def cover(
    history: SyncHistory,
    inst_id: str,
    lines: Lines,
    span: tuple[int, int],
    missing: Iterable[MissingLines] = (),
) -> Coverage:
    """The coverage of `span`, a start and an end. `lines` must reach as far as `reach` says."""
    start_ms, end_ms = span
    grid = Grid(history)
    drawn, recorded = _drawn(history, grid, lines, missing)
    stretches = _stretches(history, grid.parts(start_ms, end_ms), drawn, recorded)
    holes = []
    for each in _merged(grid, drawn):
        from_ms, to_ms = max(each.from_ms, start_ms), min(each.to_ms, end_ms)
        if each.state == "recorded" or each.state == "quiet" or each.state == "archive":
            continue
        if from_ms < to_ms:
            holes.append(Hole(from_ms, to_ms, each.state, each.cause, count_slots(stretches, from_ms, to_ms)))
    return Coverage(inst_id, start_ms, end_ms, stretches, holes)


def reach(history: SyncHistory, span: tuple[int, int]) -> tuple[int, int]:
    """The time over which lines must be known to cover a span: from the line that a quiet slot of it rests on, and
    all the lines that form 1 counted together; up to the line of its last slot, and, where a feed's book ended and
    nobody noted when, to the newest line that tells how long it was held."""
    grid = Grid(history)
    from_ms, to_ms = span[0], max(span[1], grid.slot_of(span[1] - 1))
    begins = [interval.from_ms for interval in history.intervals]
    for interval in history.intervals:
        is_long_enough = interval.to_ms >= span[1] and not interval.is_cut_back
        if interval.is_cut_short and interval.from_ms < span[1] and not is_long_enough:
            next_ms = _next_beginning(begins, interval)
            if next_ms > span[0]:
                to_ms = max(to_ms, next_ms)
    for quiet in history.quiet:
        if quiet.last_ms >= span[0] and quiet.first_ms < span[1]:
            from_ms = min(from_ms, quiet.since_ms)
    for count in history.counts:
        if count.to_ms > span[0] and count.from_ms < span[1]:
            from_ms, to_ms = min(from_ms, count.from_ms), max(to_ms, count.to_ms)
    return from_ms, to_ms


def slot_of(history: SyncHistory, ts_ms: int) -> int:
    """The grid time whose line one of time `ts_ms` is."""
    return Grid(history).slot_of(ts_ms)


def valid_until(
    history: SyncHistory, lines: Lines, ts_ms: int, t_ms: int, missing: Iterable[MissingLines] = ()
) -> tuple[State, str]:
    """Whether the newest line before `t_ms`, of time `ts_ms`, still tells the book there: the first hole between.

    Within its own slot it is what that slot is. Beyond, every slot up to the moment must be noted as quiet.
    """
    grid = Grid(history)
    slot_ms = grid.slot_of(ts_ms)
    drawn, recorded = _drawn(history, grid, lines, missing)
    own = next((run.own for run in recorded if run.first_ms <= slot_ms <= run.last_ms), _RECORDED)
    if own != _RECORDED:
        return own
    cause = ""
    for each in drawn:
        if each.to_ms > slot_ms and each.from_ms <= t_ms:
            if each.state not in COVERED:
                return each.state, each.cause
            cause = each.cause
    return own if t_ms < grid.next_slot(slot_ms) else ("quiet", cause)


def _drawn(
    history: SyncHistory, grid: Grid, lines: Lines, missing: Iterable[MissingLines]
) -> tuple[list[_Span], list[Run]]:
    """All of time in its states, and the slots that have a line, each in its state."""
    recorded = _recorded(history, grid, lines)
    spans = _painted(history, grid, lines, list(missing))
    return _overlay(spans, _standing(grid, recorded), _in_sync_only), recorded


def _painted(history: SyncHistory, grid: Grid, lines: Lines, missing: list[MissingLines]) -> list[_Span]:
    """All of time, as what a slot without a line is."""
    spans = list(_causes(history))
    spans = _overlay(spans, _in_sync(history, grid, lines.times), _anywhere)
    spans = _overlay(spans, _due(history, grid), lambda below: not below.is_loss and below.cause != FORM_1)
    spans = _overlay(spans, _lacking(history, grid, lines, missing), lambda below: below.cause == FORM_1)
    spans = _overlay(spans, _unwritten(history, grid, lines.times), _in_sync_only)
    gone = [_Span(each.from_ms, each.to_ms, "unknown", each.cause) for each in missing]
    spans = _overlay(spans, _disjoint(gone), lambda below: _in_sync_only(below) and below.cause != UNVERIFIABLE)
    quiet = _quiet(history, grid, lines)
    spans = _overlay(spans, _disjoint(_Span(each.from_ms, each.to_ms, "quiet", "") for each in quiet), _anywhere)
    tails = [_Span(each.to_ms, each.until_ms, "quiet", "") for each in quiet if each.to_ms < each.until_ms]
    spans = _overlay(spans, _disjoint(tails), _in_sync_only)
    blind = [
        _Span(each.from_ms, each.to_ms, "unknown", UNVERIFIABLE) for each in history.unverifiable if each.is_recorded
    ]
    spans = _overlay(spans, _disjoint(blind), lambda below: below.state == "quiet")
    quarrels = [_Span(from_ms, to_ms + 1, "disputed", "") for from_ms, to_ms in history.disputed]
    spans = _overlay(spans, _disjoint(quarrels), lambda below: below.state == "quiet")
    return _overlay(spans, _disjoint(_resting_on_disputed(history, grid, quiet)), lambda below: below.state == "quiet")


_RECORDED: Final[tuple[State, str]] = ("recorded", "")
_BLIND: Final[tuple[State, str]] = ("unverifiable", "")
_UNPROVED: Final[tuple[State, str]] = ("unknown", UNVERIFIABLE)


def _anywhere(below: _Span) -> bool:
    return True


def _in_sync_only(below: _Span) -> bool:
    return not below.is_loss


def _causes(history: SyncHistory) -> Iterator[_Span]:
    """What is to be said of time in which no feed held the book."""
    ends = [*(cause.from_ms for cause in history.causes[1:]), NEVER_MS]
    for cause, to_ms in zip(history.causes, ends, strict=True):
        if cause.from_ms < to_ms:
            is_planned = cause.cause in OUTSIDE and is_within(history.maintenance, cause.from_ms)
            why = MAINTENANCE if is_planned else cause.cause
            yield _Span(cause.from_ms, to_ms, cause.kind, why, is_loss=cause.kind == "missing")


def _in_sync(history: SyncHistory, grid: Grid, times: Sequence[int]) -> list[_Span]:
    """Where a feed held the book. Form 1: there a slot without a line is quiet. Form 2: nothing more is known of it.

    An end that was cut short goes on to the slot of the newest line before the next beginning: the recorder wrote it,
    so it held the book until then.
    """
    begins = [interval.from_ms for interval in history.intervals]
    held: list[tuple[int, int, bool]] = []
    for interval in history.intervals:
        from_ms, to_ms = interval.from_ms, interval.to_ms
        if interval.is_cut_short:
            next_ms = _next_beginning(begins, interval)
            newest_at = bisect_left(times, next_ms) - 1
            has_line = newest_at >= 0 and times[newest_at] >= from_ms
            newest_ms = min(grid.slot_of(times[newest_at]), next_ms) if has_line else from_ms
            to_ms = newest_ms if interval.is_cut_back else max(to_ms, newest_ms)
        if from_ms < to_ms:
            held.append((from_ms, to_ms, interval.is_form_1))
    former = joined((from_ms, to_ms) for from_ms, to_ms, is_form_1 in held if is_form_1)
    union = joined((from_ms, to_ms) for from_ms, to_ms, is_form_1 in held if not is_form_1)
    spans = [_Span(*each, "quiet", FORM_1) for each in former]
    return _disjoint(spans + [_Span(*each, "unknown", "") for each in union])


def _next_beginning(begins: Sequence[int], interval: SyncInterval) -> int:
    """When a feed next had a book, behind an end that nobody noted."""
    next_at = bisect_right(begins, interval.to_ms)
    return begins[next_at] if next_at < len(begins) else NEVER_MS


def _due(history: SyncHistory, grid: Grid) -> list[_Span]:
    """Form 2: every grid time of a minute had a line or was noted as quiet."""
    return _disjoint(_Span(first_ms, grid.next_slot(last_ms), "missing", NO_LINE) for first_ms, last_ms in history.due)


def _lacking(history: SyncHistory, grid: Grid, lines: Lines, missing: Sequence[MissingLines]) -> list[_Span]:
    """Form 1: the minutes of which the file holds fewer lines than were written."""
    if not history.counts:
        return []
    every = sorted([*lines.times, *lines.flagged])
    gone = [(each.from_ms, each.to_ms) for each in missing if each.cause != "unreadable"]
    found = []
    for count in history.counts:
        if count.from_ms < lines.from_ms or count.to_ms > lines.to_ms:
            continue
        if any(from_ms < count.to_ms and to_ms > count.from_ms for from_ms, to_ms in gone):
            continue
        if bisect_left(every, count.to_ms) - bisect_left(every, count.from_ms) < count.lines:
            bounds = grid.slot_of(count.from_ms), grid.next_slot(grid.slot_of(count.to_ms))
            found.append(_Span(*bounds, "unknown", NO_LINE))
    return _disjoint(found)


def _unwritten(history: SyncHistory, grid: Grid, times: Sequence[int]) -> list[_Span]:
    """Lines that there were and that are not there: each until the next line."""
    found = []
    for lost in history.unwritten:
        after = bisect_right(times, lost.to_ms)
        to_ms = times[after] if after < len(times) else grid.next_slot(grid.slot_of(lost.to_ms))
        found.append(_Span(lost.from_ms, to_ms, "missing", lost.cause, is_loss=True))
    return _disjoint(found)


class _Quiet(NamedTuple):
    """Slots in `[from_ms, to_ms)` over which the book of the line `since_ms` stood; it stands until `until_ms`, the
    grid time or the line after them."""

    from_ms: int
    to_ms: int
    until_ms: int
    since_ms: int


def _quiet(history: SyncHistory, grid: Grid, lines: Lines) -> list[_Quiet]:
    """What was noted as quiet, as far as the line it rests on is there and no later one contradicts it."""
    found = []
    for noted in history.quiet:
        since_ms = _line_of(noted, lines)
        if since_ms is None or noted.first_ms > noted.last_ms:
            continue
        after = bisect_right(lines.times, since_ms)
        next_ms = lines.times[after] if after < len(lines.times) else NEVER_MS
        to_ms = min(noted.last_ms + 1, next_ms)
        if noted.first_ms < to_ms:
            until_ms = min(grid.next_slot(noted.last_ms), next_ms)
            found.append(_Quiet(noted.first_ms, to_ms, max(to_ms, until_ms), since_ms))
    return sorted(found)


def _line_of(noted: QuietRange, lines: Lines) -> int | None:
    """The time of the line that a quiet range rests on, if that is there and nothing is against its file."""
    at = bisect_left(lines.times, noted.since_ms)
    is_there = at < len(lines.times) and lines.times[at] == noted.since_ms
    if not is_there or any(each.from_ms <= noted.since_ms < each.to_ms for each in lines.altered):
        return None
    return noted.since_ms


def _resting_on_disputed(history: SyncHistory, grid: Grid, quiet: Iterable[_Quiet]) -> Iterator[_Span]:
    for each in quiet:
        if _within(history.disputed, grid.slot_of(each.since_ms)):
            yield _Span(each.from_ms, each.until_ms, "disputed", "")


def _within(bounds: Sequence[tuple[int, int]], slot_ms: int) -> bool:
    """Whether a slot lies in one of some spans, both bounds included."""
    return any(from_ms <= slot_ms <= to_ms for from_ms, to_ms in bounds)


def _recorded(history: SyncHistory, grid: Grid, lines: Lines) -> list[Run]:
    """The slots that have a line, each in its state, in order of the lines."""
    times, slots = lines.times, grid.slots_of(lines.times)
    marked = _marked(history, lines, slots)
    runs: list[Run] = []
    for from_at, to_at, cadence_ms in unbroken(grid, times, slots):
        parts = [(from_at, to_at)] if not marked else _cut(slots, from_at, to_at, marked)
        for first, after in parts:
            own = marked.get(slots[first], _RECORDED) if marked else _RECORDED
            runs.append(Run(slots[first], slots[after - 1], cadence_ms, times[first], own))
    return runs


def _cut(
    slots: Sequence[int], from_at: int, to_at: int, marked: dict[int, tuple[State, str]]
) -> Iterator[tuple[int, int]]:
    """The places in parts of one state each."""
    for _, part in groupby(range(from_at, to_at), lambda at: marked.get(slots[at])):
        at = list(part)
        yield at[0], at[-1] + 1


def _marked(history: SyncHistory, lines: Lines, slots: Sequence[int]) -> dict[int, tuple[State, str]]:
    """The slots whose line does not count as plainly recorded, each in its state."""
    found: dict[int, tuple[State, str]] = {}
    blind = [(each, _verified(history, each.from_ms, each.to_ms)) for each in history.unverifiable]
    for unverifiable, verified in blind:
        state = _BLIND if unverifiable.is_recorded else _UNPROVED
        for slot_ms in _between(slots, unverifiable.from_ms, unverifiable.to_ms):
            if unverifiable.is_recorded or not any(from_ms <= slot_ms < to_ms for from_ms, to_ms in verified):
                found[slot_ms] = state
    for from_ms, to_ms in history.disputed:
        for slot_ms in _between(slots, from_ms, to_ms + 1):
            found[slot_ms] = "disputed", ""
    for altered in lines.altered:
        at, to = bisect_left(lines.times, altered.from_ms), bisect_left(lines.times, altered.to_ms)
        for slot_ms in slots[at:to]:
            found[slot_ms] = "unknown", altered.cause
    return found


def _verified(history: SyncHistory, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
    """Where another feed held a book that it could verify."""
    return [(each.from_ms, each.to_ms) for each in history.intervals if each.from_ms < to_ms and each.to_ms > from_ms]


def _between(slots: Sequence[int], from_ms: int, to_ms: int) -> Sequence[int]:
    return slots[bisect_left(slots, from_ms) : bisect_left(slots, to_ms)]


def _standing(grid: Grid, recorded: Iterable[Run]) -> list[_Span]:
    """The time over which lines stand: each from its own time to the grid time after its slot, or to the next line."""
    spans: list[_Span] = []
    from_ms = to_ms = ALWAYS_MS
    state = _RECORDED
    for run in recorded:
        if run.own != state or run.from_ms > to_ms:
            if from_ms < to_ms:
                spans.append(_Span(from_ms, min(to_ms, run.from_ms), *state))
            from_ms, state = run.from_ms, run.own
        to_ms = grid.next_slot(run.last_ms)
    if from_ms < to_ms:
        spans.append(_Span(from_ms, to_ms, *state))
    return spans


def _stretches(
    history: SyncHistory, parts: Iterable[tuple[int, int, int]], spans: Sequence[_Span], runs: Iterable[Run]
) -> list[Stretch]:
    """Every slot in its state, those alike that follow each other together."""
    recorded = in_slot_order(runs)
    found: list[Stretch] = []
    audits = _Audits(history)
    first_ms = newest_ms = at = nth = 0
    kept: tuple[int, State, str, bool] | None = None
    for start_ms, end_ms, cadence_ms in parts:
        slot_ms = -(-start_ms // cadence_ms) * cadence_ms
        while slot_ms < end_ms:
            while spans[at].to_ms <= slot_ms:
                at += 1
            while nth < len(recorded) and recorded[nth].last_ms < slot_ms:
                nth += 1
            run = recorded[nth] if nth < len(recorded) else None
            state, cause, is_unaudited, until_ms = _slot(slot_ms, cadence_ms, spans[at], run, audits)
            last_ms = (min(until_ms, end_ms) - 1) // cadence_ms * cadence_ms
            here = cadence_ms, state, cause, is_unaudited
            if here != kept:
                if kept is not None:
                    found.append(Stretch(first_ms, newest_ms, *kept))
                first_ms, kept = slot_ms, here
            newest_ms = last_ms
            slot_ms = last_ms + cadence_ms
    if kept is not None:
        found.append(Stretch(first_ms, newest_ms, *kept))
    return found


def _slot(
    slot_ms: int, cadence_ms: int, span: _Span, run: Run | None, audits: "_Audits"
) -> tuple[State, str, bool, int]:
    """The state of a slot, its cause, whether it is unaudited, and up to where all that holds at least. `run` is the
    first one that ends at or after the slot."""
    if run is not None and run.has(slot_ms):
        until_ms = run.last_ms + 1 if run.cadence_ms == cadence_ms else slot_ms + 1
        if run.own != _RECORDED:
            return *run.own, False, until_ms
        return *run.own, audits.is_unaudited(slot_ms), min(until_ms, audits.next_change(slot_ms))
    # Recorded without a line: a grid time of another cadence than the line's.
    state: State = "unknown" if span.state == "recorded" else span.state
    if run is None:
        return state, span.cause, False, span.to_ms
    return state, span.cause, False, min(span.to_ms, run.first_ms if run.first_ms > slot_ms else slot_ms + 1)


class _Audits:
    """Which slots only feeds held whose book was never seen to equal another one. Form 1 did not note that."""

    def __init__(self, history: SyncHistory) -> None:
        own = [each for each in history.intervals if not each.is_form_1]
        unconfirmed = [(each.from_ms, each.to_ms) for each in own if not each.is_confirmed]
        self._unconfirmed = joined([*unconfirmed, *history.unaudited])
        self._confirmed = joined((each.from_ms, each.to_ms) for each in own if each.is_confirmed)
        self._bounds = sorted({bound for pair in (*self._unconfirmed, *self._confirmed) for bound in pair})

    def is_unaudited(self, slot_ms: int) -> bool:
        return holds(self._unconfirmed, slot_ms) and not holds(self._confirmed, slot_ms)

    def next_change(self, slot_ms: int) -> int:
        """Up to where what `is_unaudited` says of a slot holds, at least."""
        at = bisect_right(self._bounds, slot_ms)
        return self._bounds[at] if at < len(self._bounds) else NEVER_MS


def _disjoint(spans: Iterable[_Span]) -> list[_Span]:
    """In order; where two overlap, the one that begins first has it."""
    found: list[_Span] = []
    end_ms = ALWAYS_MS
    for span in sorted(spans):
        if span.to_ms > end_ms:
            found.append(span._replace(from_ms=max(span.from_ms, end_ms)))
            end_ms = span.to_ms
    return [span for span in found if span.from_ms < span.to_ms]


def _merged(grid: Grid, spans: Iterable[_Span]) -> list[_Span]:
    """Those alike that follow each other as one. A loss goes on to the first line, where no grid time is between."""
    found: list[_Span] = []
    for span in spans:
        is_alike = bool(found) and found[-1][2:4] == span[2:4]
        if found and found[-1].is_loss and not span.is_loss and span[2:4] in (("unknown", ""), ("missing", NO_LINE)):
            is_alike = grid.slot_of(span.from_ms) >= span.to_ms
        if is_alike:
            found[-1] = found[-1]._replace(to_ms=span.to_ms)
        else:
            found.append(span)
    return found


def _overlay(below: Sequence[_Span], above: Sequence[_Span], may_cover: Callable[[_Span], bool]) -> list[_Span]:
    """`below` with `above` painted over it wherever it may be; both in order and disjoint, `below` without a gap."""
    found: list[_Span] = []
    nth = 0
    for span in below:
        if not may_cover(span):
            found.append(span)
            continue
        from_ms = span.from_ms
        while nth < len(above) and above[nth].from_ms < span.to_ms:
            top = above[nth]
            if top.to_ms > from_ms:
                if top.from_ms > from_ms:
                    found.append(span._replace(from_ms=from_ms, to_ms=top.from_ms))
                begin_ms, from_ms = max(top.from_ms, from_ms), min(top.to_ms, span.to_ms)
                found.append(top._replace(from_ms=begin_ms, to_ms=from_ms))
                if top.to_ms > span.to_ms:
                    break
            nth += 1
        if from_ms < span.to_ms:
            found.append(span._replace(from_ms=from_ms))
    return found
