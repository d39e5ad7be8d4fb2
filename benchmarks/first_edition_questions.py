"""Asks a vault with whichever edition of l2vault is on the path: a Parquet file for each question, in a folder.

    python benchmarks/first_edition_questions.py VAULT INST_ID FROM_MS TO_MS FOLDER

Imports what both the first edition and this one have, each by its own name.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import polars as pl
from polars.testing import assert_frame_equal

FOLDER: Final = Path(__file__).resolve().parents[1] / "tests" / "data" / "first_edition"
"""A vault of the planted market, and what the first edition answered."""
INST: Final = "BTC-USDT-SWAP"
SPAN: Final = (1_724_115_420_000, 1_724_115_780_000)
"""2024-08-20 00:57 to 01:03 UTC."""
LEAST_USD: Final = 400_000.0
WIDTH: Final = 20.0

_RENAMED: Final = {
    "eaten_share": "filled_at_touch_share",
    "bid_reach_bps": "bid_visible_bps",
    "ask_reach_bps": "ask_visible_bps",
    "first_ms": "t_first",
    "last_ms": "t_last",
}
_SPELLED: Final = {"rolled in": "entered view", "rolled out": "left view"}
_CHANGED: Final = ("score", "continues", "continued_by", "track")
"""Columns of another definition: a zone's score weighs a glimpse by what it was seen of the span; what counts as a wall
that moved must be more alike (0.9 of its size for 0.8), and may come a book later."""


def measure(name: str, *modules: str) -> Any:
    """From the first of some modules of `l2vault.analytics` that this edition has."""
    for module in modules:
        try:
            return getattr(import_module(f"l2vault.analytics.{module}"), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"no edition is known that has {name}")


def questions(least: float, width: float) -> dict[str, Callable[[Any], Any]]:
    """Those whose definition did not change; `least` is the size of a wall in the quote currency, `width` of a zone."""
    walls, criteria = (measure(name, "walls.walls", "walls") for name in ("walls", "Criteria"))
    zones = measure("zones", "zones.zones", "zones")
    books = {name: measure(name, "metrics", "instant") for name in ("spread", "imbalance", "depth", "slippage")}
    return {
        **{name: (lambda read, own=own: own(read)) for name, own in books.items()},
        "walls": lambda read: walls(read, "usd", criteria(min_size=least)),
        "walls_percentile": lambda read: walls(read, "coin", criteria(percentile=99.8)),
        "walls_relative": lambda read: walls(read, "usd", criteria(min_size=least / 2, relative=5.0, per_order=1e5)),
        "zones": lambda read: zones(read, "usd", width=width),
    }


def answers(vault: Path, inst_id: str, span: tuple[int, int], least: float, width: float) -> dict[str, pl.DataFrame]:
    """A frame for each question."""
    read = measure("read_books", "books")(vault, inst_id, *span)
    return {name: ask(read).frame for name, ask in questions(least, width).items()}


def difference(old: pl.DataFrame, new: pl.DataFrame) -> str:
    """In words, where a frame of the first edition is not that of this one; empty where it is. Sums may differ by the
    order in which they were made: by less than 1e-9 of themselves."""
    old = old.rename({column: name for column, name in _RENAMED.items() if column in old.columns})
    old = old.drop(column for column in _CHANGED if column in old.columns)
    if lacking := set(old.columns) - set(new.columns):
        return f"{', '.join(sorted(lacking))} not there"
    new = new.select(old.columns)
    if "price_from" in old.columns:  # the best score first, which is another one
        old, new = (frame.sort("side", "price_from") for frame in (old, new))
    if "began" in old.columns and len(old) == len(new):
        old = _as_now(old, new)
    try:
        assert_frame_equal(old, new, check_dtypes=False, rel_tol=1e-9, abs_tol=1e-9)
    except AssertionError as error:
        return str(error)
    return ""


def _as_now(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """The ledger in the words of today, whether it moved or not as of today, and a share of at most 1."""
    words = {}
    for name, others in (("began", ("placed", "grown")), ("end", ("pulled",))):
        then, now = old[name].replace(_SPELLED), new[name]
        is_other = ((then == "moved") & now.is_in(others)) | ((now == "moved") & then.is_in(others))
        words[name] = pl.select(pl.when(is_other).then(now).otherwise(then)).to_series()
    return old.with_columns(pl.col("filled_at_touch_share").clip(upper_bound=1.0), **words)


if __name__ == "__main__":
    given = sys.argv[1:]
    found = answers(Path(given[0]), given[1], (int(given[2]), int(given[3])), float(given[4]), float(given[5]))
    for name, frame in found.items():
        frame.write_parquet(Path(given[6], f"{name}.parquet"), compression_level=19)
