"""Two level-interval tables of one span, of which no book of one stands while one of the other does, as one. Needs
numpy and pyarrow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import merge
from itertools import groupby

import pyarrow as pa

from l2vault.vault.archive import compute as pc
from l2vault.vault.archive.intervals import Hour
from l2vault.vault.coverage.model import Coverage
from l2vault.vault.reading.level_table import Levels, Part
from l2vault.vault.store.catalog import Findings
from l2vault.vault.store.layout import HOUR_MS


class JoinedLevels(Levels):
    """Reads both; parts are hours, their books in order of time, whichever table they are of."""

    def __init__(self, own: Levels, other: Levels, cover: Callable[[], Coverage]) -> None:
        super().__init__(own.inst_id, (own.start_ms, own.end_ms), _no_hours, cover)
        self._both = own, other

    def tables(self) -> Iterator[pa.Table]:
        self.findings.clear()
        for each in self._both:
            with self._reporting(each):
                yield from each.tables()

    def parts(self) -> Iterator[Part]:
        self.findings.clear()
        in_order = merge(*(each.parts() for each in self._both), key=_begin_ms)
        with self._reporting(*self._both):
            for _, parts in groupby(in_order, key=lambda part: _begin_ms(part) // HOUR_MS):
                held = list(parts)
                if len(held) == 1:
                    yield held[0]
                    continue
                books = pa.concat_tables([part.books for part in held]).sort_by("t_from")
                yield Part(pa.concat_tables([part.levels for part in held]).unify_dictionaries(), books)

    @contextmanager
    def _reporting(self, *read: Levels) -> Iterator[None]:
        """What they find is found by this table too, even if they are not read to their end."""
        try:
            yield
        finally:
            for each in read:
                self.findings.extend(each.findings)


def _begin_ms(part: Part) -> int:
    begin_ms: int = pc.min(part.books["t_from"]).as_py()
    return begin_ms


def _no_hours(findings: Findings) -> Iterator[Hour]:
    """What it has is read by the two tables."""
    return iter(())
