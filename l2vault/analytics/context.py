"""What stood beside the books, for analysis: mark and index price, funding, open interest, as a frame."""

from typing import Final

import polars as pl

from l2vault.vault.reading.context import ContextReader
from l2vault.vault.store.catalog import unreported

CONTEXT: Final = pl.Schema(
    {
        "t": pl.Int64,
        "mark": pl.Float64,
        "index": pl.Float64,
        "funding_rate": pl.Float64,
        "open_interest_contracts": pl.Float64,
        "open_interest_usd": pl.Float64,
    }
)
"""A row per grid time at which anything was new, `t` in ms since 1970; null where a value is not known."""


def read_context(reader: ContextReader, inst_id: str, span: tuple[int, int]) -> pl.DataFrame:
    """Rows of a vault as `CONTEXT` says, in order of time; none where no context was recorded."""
    rows = []
    if inst_id in reader.instruments():
        for row in reader.rows(inst_id, span, unreported):
            interest = row.open_interest
            texts = (
                None if row.mark is None else row.mark.price,
                None if row.index is None else row.index.price,
                None if row.funding is None else row.funding.rate,
                None if interest is None else interest.contracts,
                None if interest is None else interest.usd,
            )
            rows.append((row.grid_ms, *map(_number, texts)))
    return pl.DataFrame(rows, CONTEXT, orient="row")


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
