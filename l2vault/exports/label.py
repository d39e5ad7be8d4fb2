"""What an export rests on, and `coverage.json`, which says it beside the files."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from l2vault.analytics.contract import Contract, contract_periods
from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.exports.events import Source, Span
from l2vault.exports.target import LABEL, SCHEMA
from l2vault.vault.coverage.model import COVERED, Coverage
from l2vault.vault.coverage.trades import TradeCoverage
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.instruments import Row, row_at
from l2vault.vault.store.spans import joined
from l2vault.version import __version__

TWO_SECOND_BOOKS: Final = (
    "the books were sampled (2 s unless the cadence was set): what changed between two of them is not there, so queue "
    "positions, fills and latencies that a backtest computes from the book mean nothing in that time"
)
NO_RECEIVE_TIME: Final = (
    "sampled books and trades by REST have no receive time: they are given the latency of what came before them"
)
OF_ARCHIVE: Final = (
    "where none was recorded, books and trades of OKX's archive stand in (`archived`, `archive_rows`): where its books "
    "begin and end the book is cleared and given whole; none of it has a receive time or a seqId"
)
NO_TRADES: Final = "no trades were recorded"
_NOT_SHOWN: Final = "no change shows that the book still stood"


class BookHole(msgspec.Struct, frozen=True):
    """Half-open; in it the export has no book."""

    t_from: str
    t_to: str
    kind: str
    cause: str


class TradesHole(msgspec.Struct, frozen=True):
    """Ids of trades that are not there; between the times of the trades beside them."""

    first_id: int
    last_id: int
    t_from: str
    t_to: str
    kind: str
    cause: str


class Subject(NamedTuple):
    """The instrument: OKX's row of the span's end, and what it says; `row` and `contract` are None where the vault has
    none."""

    inst_id: str
    row: Row | None
    contract: Contract | None

    def text(self, key: str) -> str | None:
        """A value of the row, as OKX sent it."""
        value = None if self.row is None else self.row.get(key)
        return value if isinstance(value, str) and value else None

    def decimals(self, key: str) -> int | None:
        """Of a step such as `tickSz`."""
        text = self.text(key)
        return None if text is None else max(0, -int(Decimal(text).normalize().as_tuple().exponent))


class Day(msgspec.Struct):
    """What a day of an export rests on."""

    day: str
    from_ms: int
    to_ms: int
    shown_ms: dict[Source, int]
    holes: list[BookHole]
    archived: list[Span] = []
    """When the books are of OKX's archive."""
    trades: int = 0
    unsized_trades: int = 0
    archive_trades: int = 0
    trades_proved_share: float | None = None
    trade_holes: list[TradesHole] = []
    clock_shift_ns: int | None = None
    """What was added to receive times, so that none is before the exchange's."""

    def share(self, source: Source) -> float:
        return self.shown_ms[source] / max(1, self.to_ms - self.from_ms)


def subject_of(vault: Vault, inst_id: str, span: Span) -> Subject:
    """Of the contract as it was at the end of the span."""
    try:
        rows = vault.instrument_rows(inst_id)
        contract = contract_periods(inst_id, rows, span)[-1].contract
    except VaultError:
        return Subject(inst_id, None, None)
    return Subject(inst_id, row_at(rows, span[1]), contract)


def book_holes(holes: list[Span], coverage: Coverage) -> list[BookHole]:
    """With what coverage says of them, by their first millisecond."""
    found = []
    for start_ms, end_ms in holes:
        kind, cause = coverage.at(start_ms)
        if kind in COVERED:
            found.append(BookHole(utc_text(start_ms), utc_text(end_ms), "unknown", _NOT_SHOWN))
        else:
            found.append(BookHole(utc_text(start_ms), utc_text(end_ms), kind, cause))
    return found


def trade_holes(coverage: TradeCoverage) -> list[TradesHole]:
    return [
        TradesHole(hole.first_id, hole.last_id, utc_text(hole.from_ms), utc_text(hole.to_ms), hole.state, hole.cause)
        for hole in coverage.holes
    ]


class Label(NamedTuple):
    """Of a whole export. `has_trades`: there were some to read in the vault."""

    format: str
    subject: Subject
    span: Span
    has_trades: bool
    days: list[Day]
    notes: list[str]
    files: list[str]
    sources: tuple[str, ...] = ("recorded",)

    def share(self, source: Source) -> float:
        """Of the span's time in which the books are of this source."""
        return sum(day.shown_ms[source] for day in self.days) / max(1, self.span[1] - self.span[0])

    @property
    def hole_share(self) -> float:
        """Of the span's time in which there is no book."""
        length_ms = self.span[1] - self.span[0]
        return (length_ms - sum(sum(day.shown_ms.values()) for day in self.days)) / max(1, length_ms)

    @property
    def holes(self) -> list[BookHole]:
        return [hole for day in self.days for hole in day.holes]

    @property
    def _archived(self) -> Iterator[Span]:
        return (span for day in self.days for span in day.archived)

    @property
    def trades(self) -> int:
        return sum(day.trades for day in self.days)

    def document(self) -> dict[str, object]:
        """`coverage.json`."""
        return {
            "schema": SCHEMA,
            "l2vault": __version__,
            "format": self.format,
            "inst_id": self.subject.inst_id,
            "from": utc_text(self.span[0]),
            "to": utc_text(self.span[1]),
            "sources": self.sources,
            "instrument": _instrument(self.subject),
            "books": {
                "changes_share": self.share("changes"),
                "sampled_share": self.share("lines"),
                "archive_share": self.share("archive"),
                "archived": [tuple(map(utc_text, span)) for span in joined(self._archived)],
                "hole_share": self.hole_share,
                "holes": self.holes,
            },
            "trades": self._trades(),
            "days": [_of_day(day) for day in self.days],
            "notes": self.notes,
            "files": self.files,
        }

    def write(self, folder: Path) -> None:
        text = msgspec.json.format(msgspec.json.encode(self.document()), indent=1)
        (folder / LABEL).write_bytes(text + b"\n")

    def _trades(self) -> Mapping[str, object] | None:
        if not self.has_trades:
            return None
        return {
            "rows": self.trades,
            "archive_rows": sum(day.archive_trades for day in self.days),
            "without_size": sum(day.unsized_trades for day in self.days),
            "holes": [hole for day in self.days for hole in day.trade_holes],
        }


def _of_day(day: Day) -> dict[str, object]:
    return {
        "day": day.day,
        "changes_share": day.share("changes"),
        "sampled_share": day.share("lines"),
        "archive_share": day.share("archive"),
        "trades": day.trades,
        "trades_proved_share": day.trades_proved_share,
        "clock_shift_ns": day.clock_shift_ns,
    }


def _instrument(subject: Subject) -> dict[str, object] | None:
    contract = subject.contract
    if contract is None:
        return None
    return {
        "tick_size": subject.text("tickSz"),
        "lot_size": subject.text("lotSz"),
        "contract_size": contract.value,
        "contract_currency": contract.quote if contract.is_inverse else contract.coin,
        "is_inverse": contract.is_inverse,
    }
