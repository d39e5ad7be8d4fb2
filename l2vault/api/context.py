"""`Context`: mark and index price, funding, open interest and price limits over a span, as frames."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from l2vault.api.frames import Frames
from l2vault.api.times import with_times
from l2vault.book.context import Context as Row
from l2vault.book.utc import utc_text
from l2vault.errors import analysis_extra
from l2vault.vault.coverage.context import ContextCoverage
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.follow import FollowLines
from l2vault.vault.store.catalog import Finding

if TYPE_CHECKING:
    import polars as pl

_FLOATS: Final = frozenset(
    {
        *("mark", "index", "funding_rate", "next_funding_rate", "settled_rate", "premium"),
        *("open_interest", "open_interest_coin", "open_interest_usd", "buy_limit", "sell_limit"),
    }
)


class Context(Frames):
    """What stood beside the books of one instrument over a half-open span: a row per grid time at which anything was
    new, in order. Read anew each time it is asked.

    >>> context = l2vault.open("Vault").context("BTC-USDT-SWAP", last="1m")
    >>> context
    <Context of BTC-USDT-SWAP, 2024-08-20T03:08:58.001Z to 2024-08-20T03:09:58.001Z>
    >>> context.frame.select("mark", "index", "funding_rate").row(0)
    (60000.5, 60003.1, 6.6e-05)
    >>> context.coverage.share("mark")
    1.0
    """

    def __init__(self, reader: ContextReader, inst_id: str, span: tuple[int, int]) -> None:
        self.inst_id = inst_id
        self._reader = reader
        self._span = span
        super().__init__()

    @property
    def coverage(self) -> ContextCoverage:
        """Of each value when it was current, stale or lost, from what was noted at the time."""
        return self._reader.coverage(self.inst_id, self._span)

    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """Columns, null where nothing is known: `time` (the grid time); `mark`, `index` (prices); `funding_rate` of the
        period that ends at `funding_time`, `next_funding_rate`, `next_funding_time`; `settled_rate` at
        `previous_funding_time` (`settle_state` says whether it is settled); `premium`; `open_interest` (contracts),
        `open_interest_coin`, `open_interest_usd`; `buy_limit`, `sell_limit`, `limits_enabled`. A value's own exchange
        time is in `mark_at`, `index_at`, `funding_at`, `open_interest_at`, `limits_at`. `origin` is `recorded`; or
        `archive`, of a row that OKX's archive gives: the rate of a settlement, and no other value.

        Times are `Datetime("ms", "UTC")`, with `raw` integers of milliseconds. Numbers are floats; the vault's lines
        have OKX's own strings. Raises VaultError without the extra `analysis`.

        >>> frame = l2vault.open("Vault").context("BTC-USDT-SWAP", last="1m").to_polars()
        >>> frame.select("buy_limit", "sell_limit", "limits_enabled").row(0)
        (60600.5, 59400.5, True)
        """
        with analysis_extra():
            import polars as pl
        self._findings.clear()
        rows = list(self._rows())
        others = {"settle_state": pl.String(), "limits_enabled": pl.Boolean(), "origin": pl.String()}
        schema: dict[str, pl.DataType] = {
            name: pl.Float64() if name in _FLOATS else others.get(name, pl.Int64()) for name in _COLUMNS
        }
        frame = pl.DataFrame(rows, schema, orient="row")
        return frame if raw else with_times(frame)

    def __repr__(self) -> str:
        start, end = self._span
        return f"<Context of {self.inst_id}, {utc_text(start)} to {utc_text(end)}>"

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for source, row in self._reader.labelled(self.inst_id, self._span, self._findings.report):
            yield *_flat(row), source


class ContextTail(Iterator[Row]):
    """The live tail of the context: `next` waits for the next line, whose values are OKX's own text. Never ends by
    itself.

    >>> from itertools import islice
    >>> tail = l2vault.open("Vault").follow("BTC-USDT-SWAP", since="2024-08-20T03:00Z", kind="context")
    >>> [(row.grid_ms, row.mark.price, row.funding.rate) for row in islice(tail, 1)]
    [(1724122800000, '60000.5', '0.000066')]
    """

    def __init__(self, inst_id: str, rows: FollowLines[Row]) -> None:
        self.inst_id = inst_id
        self._rows = rows

    def __next__(self) -> Row:
        return next(self._rows)

    @property
    def findings(self) -> Sequence[Finding]:
        """What could not be read so far, or not in order of time."""
        return self._rows.findings

    def __repr__(self) -> str:
        return f"<ContextTail of {self.inst_id}>"


_COLUMNS: Final = (
    *("time", "mark", "mark_at", "index", "index_at"),
    *("funding_rate", "funding_time", "next_funding_rate", "next_funding_time"),
    *("settled_rate", "previous_funding_time", "settle_state", "premium", "funding_at"),
    *("open_interest", "open_interest_coin", "open_interest_usd", "open_interest_at"),
    *("buy_limit", "sell_limit", "limits_enabled", "limits_at", "origin"),
)


def _flat(row: Row) -> tuple[object, ...]:
    """In the order of the columns, but for the last."""
    values: list[object] = [row.grid_ms]
    values += (None, None) if row.mark is None else (_float(row.mark.price), row.mark.ts_ms)
    values += (None, None) if row.index is None else (_float(row.index.price), row.index.ts_ms)
    if (funding := row.funding) is None:
        values += [None] * 9
    else:
        values += (_float(funding.rate), _ms(funding.time), _float(funding.next_rate), _ms(funding.next_time))
        values += (_float(funding.settled_rate), _ms(funding.previous_time), funding.settle_state)
        values += (_float(funding.premium), funding.ts_ms)
    if (interest := row.open_interest) is None:
        values += [None] * 4
    else:
        values += (_float(interest.contracts), _float(interest.coin), _float(interest.usd), interest.ts_ms)
    if (limits := row.limits) is None:
        values += [None] * 4
    else:
        values += (_float(limits.buy), _float(limits.sell), limits.is_enabled, limits.ts_ms)
    return tuple(values)


def _float(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _ms(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None
