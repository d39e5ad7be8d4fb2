"""Where something that a client asked for is not known, and why: what it must be told as a disconnect."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from l2vault.book.context import Kind
from l2vault.exports.events import Span
from l2vault.replay.beside import ValuesLost
from l2vault.vault.coverage.model import COVERED, Coverage
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.layout import HOUR_MS
from l2vault.vault.store.spans import split

TRADES: Final = "trades"
BOOKS: Final = "books"


class Loss(NamedTuple):
    """From `ts_ms` on nothing is known of `what`: the books, the trades, or kinds of values."""

    ts_ms: int
    what: str
    cause: str
    kinds: tuple[Kind, ...] = ()
    recv_us: int = 0

    @property
    def text(self) -> str:
        """As clients are told."""
        return self.cause if self.what == BOOKS else f"{self.what}: {self.cause}"


def book_loss(coverage: Coverage, ts_ms: int) -> Loss:
    """The books end here. Where coverage knows no hole, no change shows that the book still stood."""
    state, cause = coverage.at(ts_ms)
    return Loss(ts_ms, BOOKS, _text("unknown" if state in COVERED else state, cause))


def trade_losses(trades: TradeReader, inst_id: str, span: Span) -> Iterator[Loss]:
    """One where each stretch begins in which the chain of ids does not prove that every trade is there."""
    is_lost = False
    for hour in split(span, HOUR_MS):
        for stretch in trades.coverage(inst_id, hour).stretches:
            if stretch.state != "proved" and not is_lost:
                yield Loss(stretch.start_ms, TRADES, _text(stretch.state, stretch.cause))
            is_lost = stretch.state != "proved"


def value_loss(lost: ValuesLost) -> Loss:
    """Values that were current are so no more."""
    return Loss(lost.ts_ms, ", ".join(lost.kinds), _text(lost.state, lost.cause), lost.kinds)


def _text(state: str, cause: str) -> str:
    return f"{state}: {cause}" if cause else state
