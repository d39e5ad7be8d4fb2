"""An answer: a frame, and what it rests on. Knows how both look in a shell and in a notebook."""

import html
from typing import TYPE_CHECKING

from l2vault.analytics.figures import percent, time_span
from l2vault.analytics.former_names import with_former_columns
from l2vault.analytics.provenance import Provenance
from l2vault.api.times import with_times
from l2vault.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from l2vault.analytics.books import Result as Measured


class Result:
    """A polars frame, `frame`, and its `provenance`. Times are exchange time, `Datetime("ms", "UTC")`.

    >>> result = l2vault.open("Vault").books("BTC-USDT-SWAP").walls(min_size="500k")
    >>> result
    <Result walls/4: 1 row, BTC-USDT-SWAP, 2024-08-20 03:00:00 to 03:09:58 UTC, covered 98.71 %>
    >>> result.frame.select("side", "price", "t_from", "end").rows()[0][:2]
    ('ask', 60120.0)
    >>> result.frame.schema["t_from"]
    Datetime(time_unit='ms', time_zone='UTC')
    >>> result.to_polars(raw=True)["t_from"].item()
    1724122800000
    """

    def __init__(self, frame: "pl.DataFrame", provenance: Provenance, is_per_book: bool = False) -> None:
        self.provenance = provenance
        self._rows = frame
        self._is_per_book = is_per_book

    @property
    def frame(self) -> "pl.DataFrame":
        """The rows, as the method of `Books` that made them says. A column that had another name before version 0.2
        stands at the end under that too, until 0.3: `rolled_in` and `rolled_out` for `entered_view` and `left_view`,
        `reach_bps` for `visible_bps`."""
        return with_times(self.to_polars(raw=True))

    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """With `raw` times are integers: milliseconds since 1970."""
        return with_former_columns(self._rows, is_public_frame=True) if raw else self.frame

    def to_pandas(self, raw: bool = False) -> "pd.DataFrame":
        """Times are aware timestamps, in UTC."""
        return self.to_polars(raw).to_pandas()

    def to_arrow(self, raw: bool = False) -> "pa.Table":
        """Times are `timestamp[ms, UTC]`."""
        return self.to_polars(raw).to_arrow()

    def summary(self) -> "Result":
        """A row per measure of a result that has a row per book: `mean, min, p5, p50, p95, max, last`, weighted by how
        long each book stood, and `non_null_share`, the share of the covered time in which the measure has a value.

        Raises UsageError for a result with other rows.

        >>> spread = l2vault.open("Vault").books("BTC-USDT-SWAP").spread()
        >>> spread.summary().frame.filter(measure="spread").select("mean", "p95").rows()
        [(2.0, 2.0)]
        """
        from l2vault.analytics.resample import summary

        if not self._is_per_book:
            raise UsageError(f"{self.provenance.method} has no row per book to sum up.", "spread() or depth(), no step")
        return Result(summary(self._rows), self.provenance)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        rests_on = self.provenance
        rows = f"{len(self)} row{'' if len(self) == 1 else 's'}"
        covered = percent(rests_on.covered_share)
        return (
            f"<Result {rests_on.method}: {rows}, {rests_on.inst_id}, {time_span(*rests_on.span_ms)}, covered {covered}>"
        )

    def __str__(self) -> str:
        return f"{self.provenance}\n{self.frame}"

    def _repr_html_(self) -> str:
        """For notebooks: what the rows rest on, and the rows."""
        return f"<p>{html.escape(str(self.provenance))}</p>{self.frame._repr_html_()}"


def result_of(measured: "Measured", frame: "pl.DataFrame | None" = None, is_per_book: bool = False) -> Result:
    """What a measure gave; `frame` stands for its rows where they were worked on."""
    return Result(measured.frame if frame is None else frame, measured.provenance, is_per_book)
