"""Coverage of what was recorded, with the holes that another source fills. Pure.

A slot that is not covered is `archive` where the other source covers it; what is left of a hole keeps its cause.
Nothing that was recorded changes.
"""

from collections.abc import Iterator

from l2vault.vault.coverage.model import COVERED, Coverage, Hole, Stretch, count_slots
from l2vault.vault.store.spans import Spans, intersection, outside


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
