"""Trades, context and deep books that were recorded and those of OKX's archive as one: recorded first, the archive
where none was. Each row says of which it is: trades by `origin`, deep books too, context where it is read `labelled`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import repeat
from typing import Final

from msgspec.structs import replace

from l2vault.book.context import Context
from l2vault.book.deep import DeepSample
from l2vault.vault.coverage.context import ContextCoverage
from l2vault.vault.coverage.deep import COVERS_MS, DeepCoverage
from l2vault.vault.coverage.filled import (
    concatenated,
    filled_context,
    filled_deep,
    filled_trades,
    holes_span,
    unproved_spans,
)
from l2vault.vault.coverage.model import Source
from l2vault.vault.coverage.trades import TradeCoverage
from l2vault.vault.reading.context import ContextAt, ContextReader
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.reading.trades import EDGE_MS, TradeReader, TradeRow
from l2vault.vault.store.catalog import Report, unreported
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.spans import holds, intersection

_Bounds = tuple[int, int] | None
_FUNDING: Final = "funding"
"""The one value of which OKX has an archive."""


class JoinedTrades(TradeReader):
    """Each id once: those that were recorded, and of the archive those that were not."""

    def __init__(self, layout: Layout, archive: TradeReader) -> None:
        super().__init__(layout)
        self._archive = archive

    def instruments(self) -> list[str]:
        return sorted({*super().instruments(), *self._archive.instruments()})

    def noted_instruments(self) -> list[str]:
        return sorted({*super().noted_instruments(), *self._archive.noted_instruments()})

    def rows(self, inst_id: str, span: tuple[int, int], report: Report) -> Iterator[TradeRow]:
        # A push that was recorded may have another time than the archive gives its ids.
        wide = span[0] - EDGE_MS, span[1] + EDGE_MS
        for part in self._parts(inst_id, wide):
            recorded = -1
            both = super().rows(inst_id, part, report), self._archive.rows(inst_id, part, report)
            tagged = (zip(rows, repeat(is_archive)) for rows, is_archive in zip(both, (False, True), strict=True))
            for row, is_archive in merge(*tagged, key=_place):
                is_new = not is_archive or row.first_id > recorded
                if not is_archive:
                    recorded = max(recorded, row.last_id)
                if is_new and span[0] <= row.push.ts_ms < span[1]:
                    yield row

    def bounds(self, inst_id: str) -> _Bounds:
        return _around(super().bounds(inst_id), self._archive.bounds(inst_id))

    def evidence(self, inst_id: str) -> _Bounds:
        return _around(super().evidence(inst_id), self._archive.evidence(inst_id))

    def read(
        self, inst_id: str, span: tuple[int, int], take: Callable[[TradeRow], None] | None = None
    ) -> TradeCoverage:
        """Two readings where `take` is given: what stands in is known once all that was recorded is."""
        parts = list(self._parts(inst_id, span)) or [span]
        read = super().read
        found = concatenated([self._filled(read(inst_id, part)) for part in parts])
        if take is not None:
            for row in self.rows(inst_id, span, unreported):
                take(row)
        return found

    def _filled(self, own: TradeCoverage) -> TradeCoverage:
        span, wide = (own.start_ms, own.end_ms), holes_span(own)
        other = self._archive.read(own.inst_id, span)
        return filled_trades(own, other, other if wide == span else self._archive.read(own.inst_id, wide))

    def _parts(self, inst_id: str, span: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """The span in pieces in each of which ids are of one numbering, whoever noticed when that began."""
        begun = {*self.renumbered_ms(inst_id), *self._archive.renumbered_ms(inst_id)}
        edges = [span[0], *sorted(ms for ms in begun if span[0] < ms < span[1]), span[1]]
        return ((one, two) for one, two in zip(edges, edges[1:], strict=False) if one < two)


def _place(of: tuple[TradeRow, bool]) -> tuple[int, bool]:
    """Of rows that begin alike the recorded one comes first, whatever its origin: a merged vault may have some of the
    archive among its own."""
    row, is_archive = of
    return row.first_id, is_archive


class JoinedContext(ContextReader):
    """What was recorded; and the archive's lines, which have the funding rate alone, where that was not current."""

    def __init__(self, layout: Layout, archive: ContextReader) -> None:
        super().__init__(layout)
        self._archive = archive

    def instruments(self) -> list[str]:
        return sorted({*super().instruments(), *self._archive.instruments()})

    def labelled(self, inst_id: str, span: tuple[int, int], report: Report) -> Iterator[tuple[Source, Context]]:
        given = [
            (each.start_ms, each.end_ms)
            for each in super().coverage(inst_id, span).stretches
            if each.kind == _FUNDING and each.state != "present"
        ]
        lines = self._archive.labelled(inst_id, span, report)
        filling = (each for each in lines if holds(given, each[1].grid_ms))
        yield from merge(super().labelled(inst_id, span, report), filling, key=lambda each: each[1].grid_ms)

    def at(self, inst_id: str, t_ms: int) -> ContextAt | None:
        own, other = super().at(inst_id, t_ms), self._archive.at(inst_id, t_ms)
        if own is None or other is None:
            return own or other
        held, standing = own.context.funding, other.context.funding
        is_newer = standing is not None and (held is None or standing.ts_ms > held.ts_ms)
        if own.states[_FUNDING][0] == "present" or not is_newer:
            return own
        states = {**own.states, "funding": other.states[_FUNDING]}
        return ContextAt(replace(own.context, funding=standing), states)

    def bounds(self, inst_id: str) -> _Bounds:
        return _around(super().bounds(inst_id), self._archive.bounds(inst_id))

    def coverage(self, inst_id: str, span: tuple[int, int]) -> ContextCoverage:
        return filled_context(super().coverage(inst_id, span), self._archive.coverage(inst_id, span))


class JoinedDeep(DeepReader):
    """The samples that were recorded; and those of the archive of times for which none stands."""

    def __init__(self, layout: Layout, archive: DeepReader) -> None:
        super().__init__(layout)
        self._archive = archive

    def instruments(self) -> list[str]:
        return sorted({*super().instruments(), *self._archive.instruments()})

    def samples(self, inst_id: str, span: tuple[int, int], report: Report, every_ms: int = 0) -> Iterator[DeepSample]:
        reaching = super().coverage(inst_id, _reaching(span))
        given = intersection(_given(reaching, self._archive_times(reaching)), [span])
        filling = (sample for part in given for sample in self._archive.samples(inst_id, part, report, every_ms))
        due_ms = span[0]
        own = super().samples(inst_id, span, report, every_ms)
        for sample in merge(own, filling, key=lambda sample: sample.ts_ms):
            if sample.ts_ms >= due_ms:
                due_ms = sample.ts_ms + every_ms
                yield sample

    def at(self, inst_id: str, t_ms: int, report: Report = unreported) -> DeepSample | None:
        own = super().at(inst_id, t_ms, report)
        if own is not None and t_ms - own.ts_ms < COVERS_MS:
            return own
        other = self._archive.at(inst_id, t_ms, report)
        is_newer = other is not None and (own is None or other.ts_ms > own.ts_ms)
        return other if is_newer else own

    def bounds(self, inst_id: str) -> _Bounds:
        return _around(super().bounds(inst_id), self._archive.bounds(inst_id))

    def coverage(self, inst_id: str, span: tuple[int, int]) -> DeepCoverage:
        reaching = super().coverage(inst_id, _reaching(span))
        every = self._archive_times(reaching)
        given = _given(reaching, every)
        return filled_deep(super().coverage(inst_id, span), [ts_ms for ts_ms in every if holds(given, ts_ms)])

    def _archive_times(self, own: DeepCoverage) -> list[int]:
        return self._archive.times(own.inst_id, _reaching((own.start_ms, own.end_ms)))


def _given(own: DeepCoverage, every: Sequence[int]) -> list[tuple[int, int]]:
    """Where samples of the archive, of the times `every`, stand in: from the newest one that stands where the recorded
    ones end."""
    found: list[tuple[int, int]] = []
    for start_ms, end_ms in unproved_spans(own):
        at = bisect_left(every, start_ms)
        begins_ms = every[at - 1] if at and start_ms - every[at - 1] < COVERS_MS else start_ms
        found.append((begins_ms, end_ms))
    return found


def _reaching(span: tuple[int, int]) -> tuple[int, int]:
    """With the time before it of which a sample may stand at its start."""
    return span[0] - COVERS_MS, span[1]


def _around(*bounds: _Bounds) -> _Bounds:
    held = [each for each in bounds if each is not None]
    return (min(each[0] for each in held), max(each[1] for each in held)) if held else None
