"""One hour of books of several vaults: which line stands for each slot, and what is known of the others. Pure.

Books are joined at equal `seqId` only: there two vaults must hold the same levels, or the slot is disputed. Two
connections may batch their pushes differently, so that one slot has lines of different `seqId`: the later one is nearer
to the grid time and stands. Nothing is interpolated, and no line is made.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.coverage.compute import FORM_1
from l2vault.vault.coverage.missing import NO_FILE
from l2vault.vault.coverage.model import Coverage, Hole, HoleKind, State
from l2vault.vault.journal.merge_events import MergedQuiet, MergedSpan

BATCH_MS: Final = 1_000
"""OKX batches 100 ms, and a push without a time of its own moves a book's time by 500 ms at most: two honest books of
one moment differ by less. What differs for longer is a contradiction."""
_RANKS: Final[dict[State, int]] = {"recorded": 0, "unverifiable": 1, "disputed": 2}
"""States in which a vault's line may stand, the best first. One that is `unknown`, as of an altered file, may not."""
_NOT_COVERED: Final[tuple[HoleKind, ...]] = ("missing", "unverifiable", "disputed", "unknown")
_BETWEEN: Final = ", "


TARGET: Final = "merged"
"""The name of the result of an earlier merge: the origin of lines of which nothing says which vault brought them."""


class Line(NamedTuple):
    """A line without its text: `levels` and `key` are digests of its levels and of all of it. `origin` is the vault
    that brought it."""

    ts_ms: int
    seq_id: int | None
    levels: bytes
    key: bytes
    is_flagged: bool
    origin: str


@dataclass(frozen=True, slots=True)
class HourOf:
    """What one vault has of an hour: its lines in order, its coverage from the hour's start to the slot at its end, and
    the newest unflagged line before the hour."""

    lines: Sequence[Line]
    coverage: Coverage
    before: Line | None


@dataclass(slots=True)
class Joined:
    """`chosen` are places (which vault, which line) in the order of the file; `aside` those of lines that contradict
    one of them. Slots are grid times in milliseconds; `standing` is the newest unflagged line chosen."""

    chosen: list[tuple[int, Line]] = field(default_factory=list)
    aside: list[tuple[int, Line]] = field(default_factory=list)
    quiet: list[tuple[int, int]] = field(default_factory=list)
    """Slot, and the time of the line it rests on."""
    disputed: list[int] = field(default_factory=list)
    unverifiable: list[int] = field(default_factory=list)
    unaudited: list[int] = field(default_factory=list)
    holes: list[MergedSpan] = field(default_factory=list)
    unaligned: int = 0
    left_out: int = 0
    standing: Line | None = None


class _Held(NamedTuple):
    """What a vault says of a slot: its state, and the line whose book stands there."""

    state: State
    cause: str
    is_unaudited: bool
    line: Line | None


def join(hours: Sequence[HourOf], hour: tuple[int, int], cadence_ms: int, before: Line | None) -> Joined:
    """The hour `[start, end)` of these vaults, those before others preferred where nothing else decides; `before` is
    the newest line chosen for earlier hours."""
    found = Joined(standing=before)
    found.holes = common_holes([each.coverage.clip(*hour).holes for each in hours])
    walks = [_Walk(each, cadence_ms) for each in hours]
    for slot_ms in range(-(-hour[0] // cadence_ms) * cadence_ms, hour[1] + 1, cadence_ms):
        _join_slot(found, [walk.at(slot_ms) for walk in walks], slot_ms, slot_ms < hour[1])
    _add_flagged(found, hours)
    return found


class _Walk:
    """The slots of one vault in order."""

    def __init__(self, hour: HourOf, cadence_ms: int) -> None:
        self._cadence_ms = cadence_ms
        self._stretches = hour.coverage.stretches
        self._lines = [line for line in hour.lines if not line.is_flagged]
        self._at = 0
        self._newest = hour.before

    def at(self, slot_ms: int) -> tuple[_Held, list[Line]]:
        """What stands at a slot, and the lines of it."""
        first = self._at
        while self._at < len(self._lines) and self._lines[self._at].ts_ms <= slot_ms:
            self._at += 1
        own = [line for line in self._lines[first : self._at] if line.ts_ms > slot_ms - self._cadence_ms]
        if self._at > first:
            self._newest = self._lines[self._at - 1]
        at = bisect_right(self._stretches, slot_ms, key=lambda stretch: stretch.first_ms) - 1
        if at < 0 or slot_ms > self._stretches[at].last_ms:
            return _Held("unknown", "", False, self._newest), own
        stretch = self._stretches[at]
        return _Held(stretch.state, stretch.cause, stretch.is_unaudited, self._newest), own


def _join_slot(found: Joined, held: list[tuple[_Held, list[Line]]], slot_ms: int, is_own: bool) -> None:
    """`is_own`: the slot is of the hour; else only lines of it are. Then the next hour says whether it is disputed,
    quiet or a hole; what was not verified of the line is said here, since that hour has no line of it."""
    offers = [
        (_RANKS[each.state], -lines[-1].ts_ms, nth)
        for nth, (each, lines) in enumerate(held)
        if lines and each.state in _RANKS
    ]
    found.left_out += sum(len(lines) for each, lines in held if each.state not in _RANKS)
    is_disputed = _contradict(found, [each for each, _ in held], slot_ms, is_own)
    if offers:
        rank, _, nth = min(offers)
        chosen = held[nth][1]
        found.chosen += [(nth, line) for line in chosen]
        found.standing = chosen[-1]
        others = [(at, line) for _, _, at in offers if at != nth for line in held[at][1]]
        if is_disputed or rank == 2:
            found.aside += [(at, line) for at, line in others if line.levels != chosen[-1].levels]
        if is_disputed or rank == 2:
            if is_own:
                found.disputed.append(slot_ms)
        elif rank == 1:
            found.unverifiable.append(slot_ms)
        elif held[nth][0].is_unaudited and not _is_confirmed(chosen[-1], [each for each, _ in held]):
            found.unaudited.append(slot_ms)
    elif is_own and found.standing is not None and any(_proves(each, found.standing) for each, _ in held):
        found.quiet.append((slot_ms, found.standing.ts_ms))
        if is_disputed:
            found.disputed.append(slot_ms)
    elif is_own and is_disputed:
        found.disputed.append(slot_ms)


def _proves(held: _Held, standing: Line) -> bool:
    """Whether a vault proves that this very book stood unchanged up to the slot. A journal of form 1 proves nothing."""
    line = held.line
    if held.state not in ("quiet", "disputed") or held.cause == FORM_1 or line is None:
        return False
    return (line.seq_id, line.levels) == (standing.seq_id, standing.levels)


def _is_confirmed(line: Line, held: list[_Held]) -> bool:
    """Whether a vault has audited this very book, or two came to it, each on a connection of its own. The result's line
    is the word of the vault that brought it, not one more."""
    origins: set[str] = set()
    for each in held:
        if each.line is None or (each.line.seq_id, each.line.levels) != (line.seq_id, line.levels):
            continue
        if each.state == "recorded" and not each.is_unaudited:
            return True
        if each.state in ("recorded", "quiet") and each.line.origin != TARGET:
            origins.add(each.line.origin)
    return len(origins) > 1


def _contradict(found: Joined, held: list[_Held], slot_ms: int, is_own: bool) -> bool:
    """Whether vaults that held the book contradict each other, or one its own sources, at a slot."""
    books = [each.line for each in held if each.state in ("recorded", "quiet") and each.line is not None]
    is_unaligned = False
    is_disputed = any(each.state == "disputed" for each in held)
    for at, one in enumerate(books):
        for other in books[:at]:
            if one.levels == other.levels or one.seq_id is None or other.seq_id is None:
                continue
            if one.seq_id == other.seq_id or slot_ms - max(one.ts_ms, other.ts_ms) > BATCH_MS:
                is_disputed = True
            else:
                is_unaligned = True
    found.unaligned += is_own and is_unaligned and not is_disputed
    return is_disputed


def _add_flagged(found: Joined, hours: Sequence[HourOf]) -> None:
    """The last good book before a broken chain, where no vault went on: each once, behind an unflagged one of the same
    time."""
    known: set[tuple[int, int | None]] = set()
    for nth, each in enumerate(hours):
        for line in each.lines:
            is_at_hole = any(hole_from - 1 <= line.ts_ms < hole_to for hole_from, hole_to in _bounds(found.holes))
            if line.is_flagged and is_at_hole and (line.ts_ms, line.seq_id) not in known:
                known.add((line.ts_ms, line.seq_id))
                found.chosen.append((nth, line))
    found.chosen.sort(key=lambda place: (place[1].ts_ms, place[1].is_flagged))


def _bounds(spans: Iterable[MergedSpan]) -> Iterator[tuple[int, int]]:
    return ((utc_ms(span.from_), utc_ms(span.to)) for span in spans)


def common_holes(holes: Sequence[Sequence[Hole]]) -> list[MergedSpan]:
    """Where every vault has a hole, with the causes of those that know one."""
    bounds = sorted({bound for each in holes for hole in each for bound in (hole.start_ms, hole.end_ms)})
    found: list[tuple[int, int, HoleKind, str]] = []
    for from_ms, to_ms in zip(bounds, bounds[1:], strict=False):
        here = [_hole_at(each, from_ms) for each in holes]
        if any(hole is None for hole in here):
            continue
        kinds = {hole.kind for hole in here if hole is not None}
        kind = next(kind for kind in _NOT_COVERED if kind in kinds)
        names = {name for hole in here if hole is not None and hole.kind == kind for name in hole.cause.split(_BETWEEN)}
        cause = _BETWEEN.join(sorted(names - {"", NO_FILE}))  # whether the result has a file, its reader sees
        if found and found[-1][1:] == (from_ms, kind, cause):
            found[-1] = found[-1][0], to_ms, kind, cause
        else:
            found.append((from_ms, to_ms, kind, cause))
    return [MergedSpan(utc_text(from_ms), utc_text(to_ms), kind, cause) for from_ms, to_ms, kind, cause in found]


def _hole_at(holes: Sequence[Hole], t_ms: int) -> Hole | None:
    at = bisect_right(holes, t_ms, key=lambda hole: hole.start_ms) - 1
    return holes[at] if at >= 0 and t_ms < holes[at].end_ms else None


def quiet_ranges(slots: Sequence[tuple[int, int]], cadence_ms: int) -> list[MergedQuiet]:
    """Slots that follow each other and rest on one line together."""
    found: list[list[int]] = []
    for slot_ms, since_ms in slots:
        if found and found[-1][0] == since_ms and found[-1][2] + cadence_ms == slot_ms:
            found[-1][2] = slot_ms
        else:
            found.append([since_ms, slot_ms, slot_ms])
    return [MergedQuiet(*map(utc_text, each)) for each in found]


def slot_ranges(slots: Sequence[int], cadence_ms: int) -> list[tuple[str, str]]:
    """The first and the last of slots that follow each other."""
    found: list[list[int]] = []
    for slot_ms in slots:
        if found and found[-1][1] + cadence_ms == slot_ms:
            found[-1][1] = slot_ms
        else:
            found.append([slot_ms, slot_ms])
    return [(utc_text(first), utc_text(last)) for first, last in found]
