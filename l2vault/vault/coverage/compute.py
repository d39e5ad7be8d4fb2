"""From testimony and line times to coverage: every moment is vouched for, or has a reason why it is not.

Pure. A slot `g` is vouched for if `synced.ts <= g < lost.from` on some connection; a line of time `s` is the one of the
first grid time at or after `s`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from l2vault.vault.coverage.model import Coverage, Hole, HoleKind, State, Stretch, count_slots
from l2vault.vault.coverage.sync_history import ALWAYS_MS, DEFAULT_CADENCE_MS, NEVER_MS, Testimony


class Absent(NamedTuple):
    """A half-open span whose lines cannot be had any more, and why: unknown, however well it was recorded."""

    from_ms: int
    to_ms: int
    cause: str


class _Doubt(NamedTuple):
    """A half-open span of exchange time that nothing vouches for, and why."""

    from_ms: int
    to_ms: int
    kind: HoleKind
    cause: str


class _Grid:
    """The grid times, whose distance may change from one run of a recorder to the next."""

    def __init__(self, testimony: Testimony) -> None:
        known = testimony.cadences
        self._parts = [(ALWAYS_MS, known[0][1] if known else DEFAULT_CADENCE_MS), *known[1:]]

    def cadence_ms(self, t_ms: int) -> int:
        return self._parts[bisect_right(self._parts, t_ms, key=lambda part: part[0]) - 1][1]

    def slot_of(self, ts_ms: int) -> int:
        """The grid time whose line this is."""
        cadence_ms = self.cadence_ms(ts_ms)
        return -(-ts_ms // cadence_ms) * cadence_ms

    def slots(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        """Each grid time in `[start_ms, end_ms)` and the cadence in force."""
        bounds = [from_ms for from_ms, _ in self._parts[1:] if start_ms < from_ms < end_ms]
        for from_ms, to_ms in zip([start_ms, *bounds], [*bounds, end_ms], strict=True):
            cadence_ms = self.cadence_ms(from_ms)
            for slot_ms in range(-(-from_ms // cadence_ms) * cadence_ms, to_ms, cadence_ms):
                yield slot_ms, cadence_ms


def cover(
    testimony: Testimony,
    inst_id: str,
    times: Sequence[int],
    span: tuple[int, int],
    absent: Iterable[Absent] = (),
) -> Coverage:
    """The coverage of `span`, a start and an end.

    `times` are those of the unflagged lines, sorted, from at least one cadence before the span to its end.
    """
    start_ms, end_ms = span
    grid = _Grid(testimony)
    doubts = [
        _Doubt(max(doubt.from_ms, start_ms), min(doubt.to_ms, end_ms), doubt.kind, doubt.cause)
        for doubt in _doubts(testimony, grid, times, absent)
        if doubt.from_ms < end_ms and doubt.to_ms > start_ms
    ]
    recorded = {grid.slot_of(ts_ms) for ts_ms in times}
    stretches = _stretches(grid.slots(start_ms, end_ms), doubts, recorded)
    holes = []
    for doubt in doubts:
        parts = [doubt] if doubt.kind == "missing" else _unrecorded(doubt, stretches, times)
        holes += [Hole(*part, count_slots(stretches, part.from_ms, part.to_ms)) for part in parts]
    return Coverage(inst_id, start_ms, end_ms, stretches, holes)


def slot_of(testimony: Testimony, ts_ms: int) -> int:
    """The grid time whose line one of time `ts_ms` is."""
    return _Grid(testimony).slot_of(ts_ms)


def stands_until(testimony: Testimony, ts_ms: int, t_ms: int, absent: Iterable[Absent] = ()) -> tuple[State, str]:
    """Whether the newest line before `t_ms`, of time `ts_ms`, still tells the book there: the first doubt between.

    Within its own slot it is `recorded`. Beyond, that there is no newer line means that nothing changed: `quiet`.
    """
    grid = _Grid(testimony)
    slot_ms = grid.slot_of(ts_ms)
    next_ms = slot_ms + grid.cadence_ms(slot_ms)
    for doubt in _doubts(testimony, grid, [ts_ms], absent):
        from_ms = max(doubt.from_ms, next_ms) if doubt.kind == "unknown" else doubt.from_ms
        if doubt.to_ms > slot_ms and from_ms <= t_ms:
            return doubt.kind, doubt.cause
    return ("recorded" if t_ms < next_ms else "quiet"), ""


def _doubts(testimony: Testimony, grid: _Grid, times: Sequence[int], absent: Iterable[Absent]) -> Iterable[_Doubt]:
    """Everything that is not vouched for, in order of time, disjoint."""
    vouched = _vouched(testimony, grid, times)
    doubts = []
    for doubt in _gone(testimony, grid, times, absent):
        for from_ms, to_ms in vouched:
            if doubt.from_ms < to_ms and doubt.to_ms > from_ms:
                bounds = max(from_ms, doubt.from_ms), min(to_ms, doubt.to_ms)
                doubts.append(_Doubt(*bounds, doubt.kind, doubt.cause))
    edges = [ALWAYS_MS, *(edge for pair in vouched for edge in pair), NEVER_MS]
    for from_ms, to_ms in zip(edges[::2], edges[1::2], strict=True):
        doubts += _blamed(testimony, from_ms, to_ms)
    return sorted(doubts)


def _gone(testimony: Testimony, grid: _Grid, times: Sequence[int], absent: Iterable[Absent]) -> Iterator[_Doubt]:
    """Lines that there were and that are not there: each doubt lasts until the next line. In order, disjoint."""
    doubts = [_Doubt(gone.from_ms, gone.to_ms, "unknown", gone.cause) for gone in absent]
    for lost in testimony.unwritten:
        after = bisect_right(times, lost.to_ms)
        to_ms = times[after] if after < len(times) else grid.slot_of(lost.to_ms) + grid.cadence_ms(lost.to_ms)
        doubts.append(_Doubt(lost.from_ms, to_ms, "missing", lost.cause))
    end_ms = ALWAYS_MS
    for doubt in sorted(doubts):
        if doubt.to_ms > end_ms:
            yield _Doubt(max(doubt.from_ms, end_ms), doubt.to_ms, doubt.kind, doubt.cause)
            end_ms = doubt.to_ms


def _vouched(testimony: Testimony, grid: _Grid, times: Sequence[int]) -> list[tuple[int, int]]:
    """The union over all connections. An end that was cut short goes on to the slot of the newest line before the
    next beginning: the recorder wrote it, so it held the book until then."""
    begins = [vouched.from_ms for vouched in testimony.vouched]
    union: list[tuple[int, int]] = []
    for vouched in testimony.vouched:
        from_ms, to_ms = vouched.from_ms, vouched.to_ms
        if vouched.is_cut_short:
            next_at = bisect_right(begins, to_ms)
            next_ms = begins[next_at] if next_at < len(begins) else NEVER_MS
            newest_at = bisect_left(times, next_ms) - 1
            if newest_at >= 0 and times[newest_at] >= from_ms:
                to_ms = max(to_ms, min(grid.slot_of(times[newest_at]), next_ms))
        if union and from_ms <= union[-1][1]:
            union[-1] = union[-1][0], max(union[-1][1], to_ms)
        elif from_ms < to_ms:
            union.append((from_ms, to_ms))
    return union


def _blamed(testimony: Testimony, from_ms: int, to_ms: int) -> Iterator[_Doubt]:
    """What is to be said of time that is not vouched for, piece by piece."""
    blames = testimony.blames
    at = bisect_right(blames, from_ms, key=lambda blame: blame.from_ms) - 1
    while from_ms < to_ms:
        kind, cause = blames[at].kind, blames[at].cause
        while at + 1 < len(blames) and (blames[at + 1].kind, blames[at + 1].cause) == (kind, cause):
            at += 1
        until_ms = min(to_ms, blames[at + 1].from_ms) if at + 1 < len(blames) else to_ms
        if until_ms > from_ms:
            yield _Doubt(from_ms, until_ms, kind, cause)
        from_ms, at = max(from_ms, until_ms), at + 1


def _stretches(slots: Iterable[tuple[int, int]], doubts: Sequence[_Doubt], recorded: Collection[int]) -> list[Stretch]:
    """Every slot in its state, those alike that follow each other together."""
    stretches: list[tuple[int, int, int, State, str]] = []
    at = 0
    for slot_ms, cadence_ms in slots:
        while at < len(doubts) and doubts[at].to_ms <= slot_ms:
            at += 1
        state: State = "recorded" if slot_ms in recorded else "quiet"
        cause = ""
        if state == "quiet" and at < len(doubts) and doubts[at].from_ms <= slot_ms:
            state, cause = doubts[at].kind, doubts[at].cause
        first_ms = slot_ms
        if stretches and stretches[-1][2:] == (cadence_ms, state, cause):
            first_ms = stretches.pop()[0]
        stretches.append((first_ms, slot_ms, cadence_ms, state, cause))
    return [Stretch(*stretch) for stretch in stretches]


def _unrecorded(doubt: _Doubt, stretches: Sequence[Stretch], times: Sequence[int]) -> Iterator[_Doubt]:
    """An unknown span but its recorded slots: each part from its first slot without a line to the next line."""
    inside = [each for each in stretches if each.last_ms >= doubt.from_ms and each.first_ms < doubt.to_ms]
    if not inside:
        yield doubt
    from_ms = doubt.from_ms
    for stretch in inside:
        if stretch.state == "recorded":
            from_ms = max(from_ms, stretch.last_ms + stretch.cadence_ms)
            continue
        after = bisect_right(times, stretch.last_ms)
        to_ms = min(times[after] if after < len(times) else NEVER_MS, doubt.to_ms)
        if from_ms < to_ms:
            yield _Doubt(from_ms, to_ms, doubt.kind, doubt.cause)
        from_ms = to_ms
