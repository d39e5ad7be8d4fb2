"""A window of time and price for a screen: tiles put together, with what is known of every column; and as bytes. Pure.

The bytes are `L2W1`, the length of a JSON head (uint32, little endian), the head padded with blanks so that what
follows begins at a multiple of 8, and the arrays that the head names, each at its `offset` from there.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from l2vault.analytics.contract import Floats
from l2vault.vault.coverage.model import STATES, Coverage, Hole, State
from l2vault.web.tile import BINS_MS, Singles, Tile, price_step

Measure = Literal["mean", "max"]

MAGIC: Final = b"L2W1"
MOST_COLUMNS: Final = 2400
MOST_ROWS: Final = 800
MOST_HOLES: Final = 4000
_ALIGNED: Final = 8
_DRAWN: Final[tuple[State, ...]] = ("recorded", "quiet", "archive", "unverifiable", "unknown", "disputed", "missing")
"""A column of several states has the last of these: no hole hides under what is good beside it."""


@dataclass(frozen=True, slots=True)
class Window:
    """Columns of `bin_ms` from `start_ms` on, rows of `step` ticks from `first_row` times that on."""

    start_ms: int
    bin_ms: int
    tick: float
    step: int
    first_row: int
    size: Singles
    """`(columns, rows)`, float32, in the quote currency: the mean of what rested in a cell, or the largest level that
    stood in it; NaN where nothing could be seen."""
    best: tuple[Floats, Floats]
    """`(columns,)` each: best bid and best ask; NaN where there is none."""
    states: npt.NDArray[np.uint8]
    """`(columns,)`: one more than the place in `STATES`; 0 where no slot lies."""


def bin_of(span_ms: int, columns: int) -> int:
    """The narrowest width of time bins with at most so many columns, or the widest there is."""
    most = min(max(1, columns), MOST_COLUMNS)
    return next((width_ms for width_ms in BINS_MS if span_ms <= width_ms * most), BINS_MS[-1])


def window_of(  # noqa: PLR0913 - what is put together, and how
    tiles: Sequence[Tile],
    span: tuple[int, int],
    bin_ms: int,
    prices: tuple[float, float] | None,
    coverage: Coverage,
    of: Measure = "mean",
) -> Window:
    """The tiles, all of `bin_ms`, cut to a span and to `prices`, or to all that they hold."""
    start_ms = span[0] // bin_ms * bin_ms
    columns = -(-(span[1] - start_ms) // bin_ms)
    tick = tiles[-1].tick if tiles else 1.0
    low, high = _bounds(tiles, prices, tick)
    step = max([price_step(low, high, MOST_ROWS), *(_step_on(tile, tick) for tile in tiles)])
    first, rows = low // step, high // step - low // step + 1
    size = np.full((columns, rows), np.nan, np.float32)
    best = np.full(columns, np.nan), np.full(columns, np.nan)
    for tile in tiles:
        at = (tile.hour_ms - start_ms) // bin_ms
        begin, end = max(0, -at), min(len(tile.size), columns - at)
        if begin < end and tile.tick == tick:
            _put(size[at + begin : at + end], tile, slice(begin, end), step, first, of)
            for whole, part in zip(best, tile.best, strict=True):
                whole[at + begin : at + end] = part[begin:end]
    return Window(start_ms, bin_ms, tick, step, first, size, best, column_states(coverage, start_ms, bin_ms, columns))


def column_states(coverage: Coverage, start_ms: int, bin_ms: int, columns: int) -> npt.NDArray[np.uint8]:
    """`(columns,)`, uint8: of each column the gravest state of its slots, as one more than its place in `STATES`."""
    states = np.zeros(columns, np.uint8)
    for state in _DRAWN:
        code = STATES.index(state) + 1
        for each in coverage.stretches:
            if each.state == state:
                first = max(0, (each.first_ms - start_ms) // bin_ms)
                last = (each.last_ms + each.cadence_ms - 1 - start_ms) // bin_ms
                states[first : max(first, min(last, columns - 1) + 1)] = code
    return states


def about(coverage: Coverage) -> dict[str, object]:
    """What every answer says of its span; holes beyond `MOST_HOLES` are the shortest ones, and counted."""
    holes: list[Hole] = coverage.holes
    if len(holes) > MOST_HOLES:
        holes = sorted(sorted(holes, key=lambda hole: hole.start_ms - hole.end_ms)[:MOST_HOLES], key=_start)
    return {
        "from": coverage.start_ms,
        "to": coverage.end_ms,
        "covered_share": coverage.covered_share,
        "cadence_ms": coverage.stretches[-1].cadence_ms if coverage.stretches else None,
        "slots": {state: count for state in STATES if (count := coverage.count(state))},
        "holes": [[hole.start_ms, hole.end_ms, hole.kind, hole.cause, hole.slots] for hole in holes],
        "holes_left_out": len(coverage.holes) - len(holes),
    }


def packed(window: Window, head: Mapping[str, object]) -> bytes:
    """The window as bytes; `head` goes into its head."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "best_bid": window.best[0],
        "best_ask": window.best[1],
        "size": window.size,
        "states": window.states,
    }
    places, offset = {}, 0
    for name, array in arrays.items():
        places[name] = {"dtype": str(array.dtype), "offset": offset, "count": array.size}
        offset += -(-array.nbytes // _ALIGNED) * _ALIGNED
    said = {
        "start_ms": window.start_ms,
        "bin_ms": window.bin_ms,
        "columns": window.size.shape[0],
        "rows": window.size.shape[1],
        "price_from": window.first_row * window.step * window.tick,
        "price_step": window.step * window.tick,
        "states": STATES,
        "arrays": places,
        **head,
    }
    text = msgspec.json.encode(said)
    text += b" " * (-(len(text) + len(MAGIC) + 4) % _ALIGNED)
    parts = [MAGIC, struct.pack("<I", len(text)), text]
    for array in arrays.values():
        data = np.ascontiguousarray(array).tobytes()
        parts += [data, bytes(-len(data) % _ALIGNED)]
    return b"".join(parts)


def _start(hole: Hole) -> int:
    return hole.start_ms


def _bounds(tiles: Sequence[Tile], prices: tuple[float, float] | None, tick: float) -> tuple[int, int]:
    if prices is not None:
        return max(0, int(np.floor(prices[0] / tick))), max(0, int(np.ceil(prices[1] / tick)))
    same = [tile for tile in tiles if tile.tick == tick]
    if not same:
        return 0, 0
    return (
        min(tile.first_row * tile.step for tile in same),
        max((tile.first_row + tile.size.shape[1]) * tile.step for tile in same) - 1,
    )


def _step_on(tile: Tile, tick: float) -> int:
    return tile.step if tile.tick == tick else 1


def _put(target: Singles, tile: Tile, bins: slice, step: int, first: int, of: Measure) -> None:  # noqa: PLR0913
    """Into the columns of a window; where its rows are higher the means are summed up, and of the largest levels the
    largest taken."""
    rows = (tile.first_row + np.arange(tile.size.shape[1])) * tile.step // step - first
    inside = (rows >= 0) & (rows < target.shape[1])
    rows = rows[inside]
    if not len(rows):
        return
    fine = (tile.size if of == "mean" else tile.most)[bins][:, inside]
    begins = np.flatnonzero(np.diff(rows, prepend=rows[0] - 1))
    seen = np.logical_or.reduceat(np.isfinite(fine), begins, axis=1)
    together = (np.add if of == "mean" else np.maximum).reduceat(np.nan_to_num(fine), begins, axis=1)
    target[:, rows[begins]] = np.where(seen, together, np.nan)
