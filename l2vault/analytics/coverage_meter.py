"""What a measure learns of the books that it went over: how many, how much of the time, how far they could be seen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from l2vault.analytics.book_matrix import SIDES, SideName
from l2vault.analytics.contract import Unit
from l2vault.analytics.interval_rows import BookRows
from l2vault.analytics.provenance import Provenance, VisibleRange, aware
from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.vault.coverage.model import STATES

if TYPE_CHECKING:
    from l2vault.analytics.books import Books

_ALWAYS_NAMED: Final = ("recorded", "quiet", "missing", "unknown")


@dataclass(frozen=True, slots=True)
class Tally:
    """What a `CoverageMeter` must know of some books."""

    books: int
    two_sided: int
    covered_ms: int
    visible: dict[SideName, list[float]]
    """Least and most of each side, nothing where it was always whole."""
    until_ms: int | None = None
    """Until when the last of them stood."""


def tally_of(books: BookRows) -> Tally:
    """Of the books of a piece."""
    visible: dict[SideName, list[float]] = {}
    for name in SIDES:
        seen = books.visible_bps(name)
        seen = seen[np.isfinite(seen)]
        visible[name] = [float(seen.min()), float(seen.max())] if len(seen) else []
    two_sided = int(np.isfinite(books.mid).sum())
    until_ms = int(books.t_to[-1]) if len(books) else None
    return Tally(len(books), two_sided, int((books.t_to - books.t_from).sum()), visible, until_ms)


class CoverageMeter:
    """Gathers, while the pieces of `books` pass by, what the `Provenance` of a result says of them."""

    def __init__(self, books: "Books") -> None:
        self._books = books
        self._count = 0
        self._two_sided = 0
        self._covered_ms = 0
        self._until_ms: int | None = None
        self._visible: dict[SideName, list[float]] = {name: [] for name in SIDES}

    def count_in(self, tally: Tally) -> None:
        """Call it once for each piece, in order of time."""
        self._count += tally.books
        self._two_sided += tally.two_sided
        self._covered_ms += tally.covered_ms
        self._until_ms = tally.until_ms or self._until_ms
        for name, bounds in tally.visible.items():
            self._visible[name] += bounds

    def provenance(self, method: str, unit: Unit, **settings: object) -> Provenance:
        """Call it once every piece was added. Raises VaultError where no book had both sides: without a mid nothing has
        a distance."""
        books, coverage = self._books, self._books.coverage
        if not self._two_sided:
            between = f"between {utc_text(books.start_ms)} and {utc_text(books.end_ms)}"
            raise VaultError(f"no book of {books.inst_id} {between} has both bids and asks.", "another span")
        slots: dict[str, float] = {}
        cadence_ms = None
        if coverage is not None and coverage.slots:
            slots = {
                state: share
                for state in STATES
                if (share := coverage.count(state) / coverage.slots) or state in _ALWAYS_NAMED
            }
            cadence_ms = coverage.stretches[-1].cadence_ms
        return Provenance(
            method=method,
            inst_id=books.inst_id,
            start=aware(books.start_ms),
            end=aware(books.end_ms),
            unit=books.contract.currency(unit),
            books=self._count,
            cadence_ms=cadence_ms,
            covered_share=self._covered_ms / (books.end_ms - books.start_ms),
            slots=slots,
            holes=0 if coverage is None else len(coverage.holes),
            visible={
                name: VisibleRange(min(seen), max(seen)) if seen else VisibleRange(None, None)
                for name, seen in self._visible.items()
            },
            settings=settings,
            until=None if self._until_ms is None else aware(self._until_ms),
        )
