"""Coverage of what was recorded, with the holes that another source fills. Pure.

What is not covered is `archive` where the other source covers it; what is left of a hole keeps its cause. Nothing that
was recorded changes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from l2vault.book.context import KINDS
from l2vault.vault.coverage.context import ContextCoverage, ContextStretch
from l2vault.vault.coverage.deep import DeepCoverage, sampled
from l2vault.vault.coverage.model import COVERED, Coverage, Hole, Stretch, count_slots
from l2vault.vault.coverage.proved import KNOWN, ProvedSpan, TimeStretch, clipped, painted
from l2vault.vault.coverage.sync_history import ALWAYS_MS, NEVER_MS
from l2vault.vault.coverage.trades import NUMBERING, IdRun, SkippedIds, TradeCoverage, TradeHole
from l2vault.vault.store.spans import Spans, intersection, joined, outside

_Proved = TypeVar("_Proved", bound=ProvedSpan)
_NOT_RECORDED: Final = ("", NUMBERING)
"""The causes of time of which nothing says that a trade was recorded."""
_EVERY_ID: Final = 1 << 63


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


def of_archive(coverage: _Proved) -> _Proved:
    """What was proved of the archive's own lines, as what it is: none of it was recorded here."""
    return replace(coverage, stretches=list(_archived(coverage.stretches)))


def trades_of_archive(coverage: TradeCoverage) -> TradeCoverage:
    """The same, and its ids too."""
    return replace(of_archive(coverage), runs=[replace(run, is_archive=True) for run in coverage.runs])


def context_of_archive(coverage: ContextCoverage) -> ContextCoverage:
    """The same of values."""
    stretches = [replace(each, state="archive") if each.state == "present" else each for each in coverage.stretches]
    return replace(coverage, stretches=stretches)


def _archived(stretches: Iterable[TimeStretch]) -> Iterator[TimeStretch]:
    return (replace(each, state="archive") if each.state in KNOWN else each for each in stretches)


def filled_deep(own: DeepCoverage, times: Sequence[int]) -> DeepCoverage:
    """`times` are those of the archive's samples that are given, in order."""
    span = own.start_ms, own.end_ms
    unproved = (each for each in own.stretches if each.state not in KNOWN)
    proved = (each for each in own.stretches if each.state in KNOWN)
    stretches = painted(span, [*unproved, *sampled(times, "archive"), *proved])
    count = sum(span[0] <= ts_ms < span[1] for ts_ms in times)
    return replace(own, stretches=stretches, samples=own.samples + count, archive_samples=count)


def unproved_spans(own: ProvedSpan) -> list[tuple[int, int]]:
    """Where something else may stand in."""
    return joined((each.start_ms, each.end_ms) for each in own.stretches if each.state not in KNOWN)


def filled_context(own: ContextCoverage, other: ContextCoverage) -> ContextCoverage:
    """A value is the archive's where the recorded one was not current."""
    stretches: list[ContextStretch] = []
    for kind in KINDS:
        known = [
            (each.start_ms, each.end_ms)
            for each in other.stretches
            if each.kind == kind and each.state in ("present", "archive")
        ]
        for each in own.stretches:
            if each.kind != kind:
                continue
            if each.state == "present":
                stretches.append(each)
                continue
            bounds = each.start_ms, each.end_ms
            parts = [replace(each, start_ms=one, end_ms=two) for one, two in outside(known, *bounds)]
            parts += [
                ContextStretch(kind, one, two, "archive", "") for one, two in intersection([bounds], known) if one < two
            ]
            stretches += sorted(parts, key=lambda part: part.start_ms)
    return replace(own, stretches=stretches)


class _Gap(NamedTuple):
    """Ids of which none was recorded, and the times of the trades beside them."""

    first: int
    last: int
    from_ms: int
    to_ms: int
    hole: TradeHole | None = None


def holes_span(own: TradeCoverage) -> tuple[int, int]:
    """The span, and the time of holes that reach beyond it."""
    first_ms = min((hole.from_ms for hole in own.holes), default=own.start_ms)
    last_ms = max((hole.to_ms for hole in own.holes), default=own.start_ms)
    return min(own.start_ms, first_ms), max(own.end_ms, last_ms + 1)


def filled_trades(own: TradeCoverage, other: TradeCoverage, around: TradeCoverage) -> TradeCoverage:
    """Of a span in which OKX did not begin its ids anew; `around` is the other's of `holes_span`. Ids that were
    recorded, or shown to be of no trade, are never the archive's."""
    runs, holes, skipped = list(own.runs), list[TradeHole](), list(own.skipped)
    whole: list[TimeStretch] = []
    for gap in _gaps(own):
        runs += _pieces(other, gap)
        if gap.hole is None:
            holes += [each for each in other.holes if gap.first <= each.first_id and each.last_id <= gap.last]
            skipped += [each for each in other.skipped if gap.first <= each.first_id and each.last_id <= gap.last]
            continue
        left = list(_left(gap.hole, _pieces(around, gap)))
        holes += left
        if not left:
            whole.append(TimeStretch(gap.from_ms, gap.to_ms + 1, "archive", ""))
    marks = [each for each in other.stretches if each.state not in KNOWN]
    marks += [each for each in own.stretches if each.state not in KNOWN and each.cause]
    marks += [each for each in _archived(other.stretches) if each.state in KNOWN]
    marks += [*whole, *(each for each in own.stretches if each.state in KNOWN)]
    return TradeCoverage(
        own.inst_id,
        own.start_ms,
        own.end_ms,
        painted((own.start_ms, own.end_ms), marks),
        sorted(runs, key=_first_id),
        sorted(holes, key=_first_id),
        sorted(skipped, key=_first_id),
    )


def concatenated(parts: Sequence[TradeCoverage]) -> TradeCoverage:
    """The coverage of spans that follow each other as that of one."""
    span = parts[0].start_ms, parts[-1].end_ms
    stretches = painted(span, (each for part in parts for each in clipped(part.stretches, span)))
    return TradeCoverage(
        parts[0].inst_id,
        *span,
        stretches,
        [run for part in parts for run in part.runs],
        [hole for part in parts for hole in part.holes],
        [each for part in parts for each in part.skipped],
    )


def _first_id(each: IdRun | TradeHole | SkippedIds) -> int:
    return each.first_id


def _gaps(own: TradeCoverage) -> Iterator[_Gap]:
    """The holes; and what is before the first id and behind the last one, where nothing says that it was recorded."""
    known: list[IdRun | TradeHole | SkippedIds] = [*own.runs, *own.holes, *own.skipped]
    ends = [*own.stretches[:1], *own.stretches[-1:]]
    is_open = [each.state == "unknown" and each.cause in _NOT_RECORDED for each in ends]
    if not known:
        if any(each.state not in KNOWN for each in own.stretches):
            yield _Gap(0, _EVERY_ID, ALWAYS_MS, NEVER_MS)
        return
    least, most = min(known, key=_first_id), max(known, key=lambda each: each.last_id)
    if is_open[0]:
        yield _Gap(0, least.first_id - 1, ALWAYS_MS, least.from_ms)
    for hole in own.holes:
        yield _Gap(hole.first_id, hole.last_id, hole.from_ms, hole.to_ms, hole)
    if is_open[-1]:
        yield _Gap(most.last_id + 1, _EVERY_ID, most.to_ms, NEVER_MS)


def _pieces(other: TradeCoverage, gap: _Gap) -> list[IdRun]:
    return [piece for run in other.runs if (piece := _piece(run, gap)) is not None]


def _piece(run: IdRun, gap: _Gap) -> IdRun | None:
    """The ids of it that lack; a file of the archive has a row an id, so that what is cut has as many."""
    first, last = max(run.first_id, gap.first), min(run.last_id, gap.last)
    if first > last:
        return None
    if (first, last) == (run.first_id, run.last_id):
        return replace(run, is_archive=True)
    from_ms = max(run.from_ms, gap.from_ms) if first > run.first_id else run.from_ms
    to_ms = min(run.to_ms, gap.to_ms) if last < run.last_id else run.to_ms
    rows = min(run.rows, last - first + 1)
    return IdRun(first, last, from_ms, max(from_ms, to_ms), rows, 0, min(run.unsized, rows), run.numbering_ms, True)


def _left(hole: TradeHole, given: Sequence[IdRun]) -> Iterator[TradeHole]:
    """What lacks still, between the times of the trades beside it, of which some are now the archive's."""
    first, from_ms = hole.first_id, hole.from_ms
    for run in given:
        if first < run.first_id:
            until_ms = max(from_ms, run.from_ms)
            yield replace(hole, first_id=first, last_id=run.first_id - 1, from_ms=from_ms, to_ms=until_ms)
        first, from_ms = run.last_id + 1, run.to_ms
    if first <= hole.last_id:
        yield replace(hole, first_id=first, from_ms=from_ms, to_ms=max(from_ms, hole.to_ms))


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
