"""Snapshots one after the other, of a span or of the live tail, and those of a span as frames."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from l2vault.api.snapshot import Contracts, Snapshot
from l2vault.api.times import with_times
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, analysis_extra
from l2vault.vault.coverage.model import Coverage
from l2vault.vault.reading.follow import Follow
from l2vault.vault.reading.follow_changes import FollowChanges
from l2vault.vault.reading.vault import Snapshots as Rows
from l2vault.vault.store.catalog import Finding

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_MOST_LEVELS: Final = 400


class Snapshots(Iterable[Snapshot]):
    """The recorded books of a span in order of time, flagged ones (`gap_detected`) included; read anew each time they
    are iterated, from `.jsonl`, `.jsonl.gz` and archive alike.

    >>> snapshots = l2vault.open("Vault").snapshots("BTC-USDT-SWAP", last="1m")
    >>> snapshots
    <Snapshots of BTC-USDT-SWAP, 2024-08-20T03:08:58.001Z to 2024-08-20T03:09:58.001Z>
    >>> [book.mid for book in snapshots][:3]
    [60000.0, 60000.0, 60000.0]
    >>> snapshots.to_polars(levels=1).columns[:7]
    ['time', 'best_bid', 'best_ask', 'mid', 'spread', 'spread_bps', 'gap_detected']
    """

    def __init__(self, rows: Rows, contracts: Contracts) -> None:
        self._rows = rows
        self._contracts = contracts

    def __iter__(self) -> Iterator[Snapshot]:
        return (Snapshot(row, self._contracts) for row in self._rows)

    @property
    def coverage(self) -> Coverage:
        """What is known of every slot of the span."""
        return self._rows.coverage

    @property
    def findings(self) -> Sequence[Finding]:
        """What could not be read (file, byte, why), as far as the last iteration went."""
        return self._rows.findings

    def to_polars(self, levels: int = 10, raw: bool = False) -> "pl.DataFrame":
        """A row per book, in order of time: `time`, `best_bid`, `best_ask`, `mid`, `spread` (price), `spread_bps` (of
        mid), `gap_detected`, `seq_id`, then for each of the best `levels` a side, 1 the best, `bid_price_1`,
        `bid_qty_1`, `bid_orders_1`, and the same for asks. Quantities are contracts; a level that there is not is null.

        `time` is `Datetime("ms", "UTC")`, with `raw` an integer of milliseconds. Raises UsageError for `levels` below 0
        or over 400, VaultError without the extra `analysis`.

        >>> frame = l2vault.open("Vault").snapshots("BTC-USDT-SWAP", last="1m").to_polars(levels=2)
        >>> frame.select("best_bid", "spread", "bid_price_2", "ask_qty_1").row(0)
        (59999.0, 2.0, 59990.0, 2.5)
        """
        if not 0 <= levels <= _MOST_LEVELS:
            raise UsageError(f"{levels} levels a side are impossible.", f"0 to {_MOST_LEVELS}")
        with analysis_extra():
            import polars as pl
        floats, whole = pl.Float64(), pl.Int64()
        schema: dict[str, pl.DataType] = {"time": whole}
        schema |= dict.fromkeys(("best_bid", "best_ask", "mid", "spread", "spread_bps"), floats)
        schema |= {"gap_detected": pl.Boolean(), "seq_id": whole}
        for side in ("bid", "ask"):
            for rank in range(1, levels + 1):
                names = f"{side}_price_{rank}", f"{side}_qty_{rank}"
                schema |= {**dict.fromkeys(names, floats), f"{side}_orders_{rank}": pl.Int32()}
        frame = pl.DataFrame([_flat(book, levels) for book in self], schema, orient="row")
        return frame if raw else with_times(frame)

    def to_pandas(self, levels: int = 10, raw: bool = False) -> "pd.DataFrame":
        """The same for pandas; times are aware, in UTC."""
        return self.to_polars(levels, raw).to_pandas()

    def to_arrow(self, levels: int = 10, raw: bool = False) -> "pa.Table":
        """The same as an Arrow table; times are `timestamp[ms, UTC]`."""
        return self.to_polars(levels, raw).to_arrow()

    def __repr__(self) -> str:
        rows = self._rows
        return f"<Snapshots of {rows.inst_id}, {utc_text(rows.start_ms)} to {utc_text(rows.end_ms)}>"


class Tail(Iterator[Snapshot]):
    """The live tail of a running recorder: `next` waits for the next book. Never ends by itself.

    >>> from itertools import islice
    >>> tail = l2vault.open("Vault").follow("BTC-USDT-SWAP", since="2024-08-20T03:00Z")
    >>> [round(book.spread_bps, 3) for book in islice(tail, 2)]
    [0.333, 0.333]
    """

    def __init__(self, inst_id: str, rows: Follow | FollowChanges, contracts: Contracts) -> None:
        self.inst_id = inst_id
        self._rows = rows
        self._contracts = contracts

    def __next__(self) -> Snapshot:
        return Snapshot(next(self._rows), self._contracts)

    @property
    def findings(self) -> Sequence[Finding]:
        """What could not be read so far, or not in order of time: also that lines came to an hour, or were altered
        in it, after the next one had begun (of the newest 24 hours)."""
        return self._rows.findings

    def __repr__(self) -> str:
        return f"<Tail of {self.inst_id}>"


def _flat(book: Snapshot, levels: int) -> tuple[float | None, ...]:
    row: list[float | None] = [book.ts_ms, book.best_bid, book.best_ask, book.mid, book.spread, book.spread_bps]
    row += [book.gap_detected, book.seq_id]
    for found in (book.levels("bid", levels), book.levels("ask", levels)):
        for level in found:
            row += level
        row += [None] * 3 * (levels - len(found))
    return tuple(row)
