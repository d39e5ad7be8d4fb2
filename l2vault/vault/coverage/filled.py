"""Coverage of what was recorded, with the holes that another source fills. Pure.

A slot that is not covered is `archive` where the other source covers it; what is left of a hole keeps its cause.
Nothing that was recorded changes.
"""

from collections.abc import Iterable, Iterator, Sequence

from l2vault.vault.coverage.model import COVERED, Coverage, Hole, Stretch, count_slots

Spans = Sequence[tuple[int, int]]
"""Half-open, in order, none overlapping another."""


def filled(own: Coverage, other: Coverage, only: Spans | None = None) -> Coverage:
    """The coverage of what both give together, over the span of `own`; `only` says where the other may be taken."""
    given = given_spans(own, other, only)
    if not given:
        return own
    stretches = [part for stretch in own.stretches for part in _split(stretch, given)]
    holes = []
    for hole in own.holes:
        for from_ms, to_ms in outside(given, hole.start_ms, hole.end_ms):
            holes.append(Hole(from_ms, to_ms, hole.kind, hole.cause, count_slots(stretches, from_ms, to_ms)))
    return Coverage(own.inst_id, own.start_ms, own.end_ms, stretches, holes)


def given_spans(own: Coverage, other: Coverage, only: Spans | None = None) -> list[tuple[int, int]]:
    """Where the other source stands in: within holes of what was recorded, where it is covered itself."""
    bounds = (own.start_ms, own.end_ms)
    known = outside([(hole.start_ms, hole.end_ms) for hole in other.holes], *bounds)
    spans = intersection([(hole.start_ms, hole.end_ms) for hole in own.holes], list(known))
    return spans if only is None else intersection(spans, only)


def intersection(one: Spans, other: Spans) -> list[tuple[int, int]]:
    """What lies in both."""
    found: list[tuple[int, int]] = []
    at = 0
    for from_ms, to_ms in one:
        while at < len(other) and other[at][1] <= from_ms:
            at += 1
        nth = at
        while nth < len(other) and other[nth][0] < to_ms:
            found.append((max(from_ms, other[nth][0]), min(to_ms, other[nth][1])))
            nth += 1
    return found


def outside(spans: Iterable[tuple[int, int]], start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """What of `[start_ms, end_ms)` is in none of them."""
    for from_ms, to_ms in spans:
        if to_ms <= start_ms:
            continue
        if from_ms >= end_ms:
            break
        if from_ms > start_ms:
            yield start_ms, from_ms
        start_ms = to_ms
    if start_ms < end_ms:
        yield start_ms, end_ms


def _split(stretch: Stretch, given: Spans) -> Iterator[Stretch]:
    """The slots of it that are given, and the others, in order."""
    if stretch.state in COVERED:
        yield stretch
        return
    cadence_ms, slot_ms, end_ms = stretch.cadence_ms, stretch.first_ms, stretch.last_ms + stretch.cadence_ms
    for from_ms, to_ms in [*given, (end_ms, end_ms)]:
        first_ms = min(max(slot_ms, -(-from_ms // cadence_ms) * cadence_ms), end_ms)
        after_ms = min(max(first_ms, -(-to_ms // cadence_ms) * cadence_ms), end_ms)
        if slot_ms < first_ms:
            yield Stretch(slot_ms, first_ms - cadence_ms, cadence_ms, stretch.state, stretch.cause)
        if first_ms < after_ms:
            yield Stretch(first_ms, after_ms - cadence_ms, cadence_ms, "archive", "")
        slot_ms = max(slot_ms, after_ms)
        if slot_ms >= end_ms:
            return
