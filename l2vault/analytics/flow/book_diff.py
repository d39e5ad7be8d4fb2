"""What changed from one book to the next, level by level, and why as far as two books can tell. Pure.

Two books do not show what happened between them: see `CAUSES` for what each word claims.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from l2vault.analytics.book_matrix import Bools, Ints, Ladders, Levels, SideName, decimals_of, levels_of
from l2vault.analytics.contract import Floats, Unit
from l2vault.analytics.interval_rows import GOLDEN, Numbers, Piece
from l2vault.analytics.one_book import BPS, MOVE_BPS, ROUNDING_BPS

CAUSES: Final = ("added", "pulled", "consumed", "moved_in", "moved_out", "entered_view", "left_view")
"""- `entered_view`, `left_view`: the visible range of a full side came to the price, or left it; it may
  rest there all along.
- `consumed`: it left at the later book's best price or beyond, or its whole side did: the market was there. Whether an
  order was hit, or withdrawn in time, only trades could tell.
- `moved_out`, `moved_in`: exactly so many contracts left one price and came to another, at most `MOVE_BPS` away.
- `pulled`, `added`: all else that left or came."""

ADDED, PULLED, CONSUMED, MOVED_IN, MOVED_OUT, ENTERED_VIEW, LEFT_VIEW = range(len(CAUSES))

_PARTS: Final = 10**8
"""Amounts are compared as whole numbers of so many parts of a contract, which differences of decimals are not."""

_MIXER: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_TABLE_BITS: Final = 22
_PLACE_BITS: Final = 32
"""Changes of a piece are numbered in so many bits, their groups in the others."""


@dataclass(frozen=True, slots=True)
class Changes:
    """A row per price at which a linked book differs from the one before it, in no order."""

    book: "Ints | Numbers"
    """`(changes,)`, int64 or int32: the row of the later book."""
    cause: Ints
    """`(changes,)`, int64: its place in `CAUSES`."""
    size: Floats
    """`(changes,)`, float64, in the unit asked for, above 0 whatever the cause."""
    distance_bps: Floats
    """`(changes,)`, float64: from the earlier book's mid, negative for a price beyond it."""


def changes(ladders: Ladders, name: SideName, unit: Unit) -> Changes:
    """Of all neighbours; `book` is the later one."""
    levels = levels_of(ladders, name, decimals_of([ladders.contract]))
    left, came, kept_from, kept_to = _matched(levels, ladders.is_linked)
    delta = levels.qty[kept_to] - levels.qty[kept_from]
    kept_to, delta = kept_to[delta != 0], delta[delta != 0]
    level = np.concatenate([left, came, kept_to])
    book = np.concatenate([levels.book[left] + 1, levels.book[came], levels.book[kept_to]])
    delta = np.concatenate([-levels.qty[left], levels.qty[came], delta])
    best_first = np.argsort(-levels.point[level], kind="stable")
    level, book, delta = level[best_first], book[best_first], delta[best_first]
    point, price = levels.point[level], levels.price[level]
    beyond = np.where(delta < 0, book, book - 1)  # of whichever book the level is not in
    is_rolled = ladders.is_full(name)[beyond] & (point < levels.worst[beyond])
    cause = _cause(delta < 0, is_rolled, point >= levels.best[book])
    origin = _origin(ladders.mid, ladders.side(name).best)[book - 1]
    away_bps = (price - origin if name == "ask" else origin - price) / origin * BPS
    _mark_moves(cause, book, np.rint(np.abs(delta) * _PARTS).astype(np.int64), away_bps)
    return Changes(book, cause, ladders.contract.sizes(np.abs(delta), price, unit), away_bps)


def row_changes(piece: Piece, unit: Unit) -> tuple[Changes, Bools]:
    """The same of both sides at once, of rows that last over several books: only where one begins or ends did anything
    change. And which of them are of asks, `(changes,)`."""
    row, book, delta = _edges(piece)
    is_ask = piece.is_ask[row]
    signed = np.where(piece.is_ask, -piece.price, piece.price)[row]
    later = book + np.where(is_ask, np.int32(len(piece)), np.int32(0))  # in what is known of bids and then of asks
    is_loss = delta < 0
    best = np.concatenate([piece.best.bid, -piece.best.ask])
    edge = np.concatenate(
        [np.where(piece.is_full["bid"], piece.worst.bid, -np.inf)]
        + [np.where(piece.is_full["ask"], -piece.worst.ask, -np.inf)]
    )
    origin = np.concatenate([_origin(piece.mid, piece.best.bid), -_origin(piece.mid, piece.best.ask)])
    is_rolled = signed < edge[later - ~is_loss]  # of whichever book the level is not in
    cause = _cause(is_loss, is_rolled, ~(signed < best[later]))  # of a side that is gone, NaN: all was reached
    origin = origin[later - 1]
    away_bps = (origin - signed) / np.abs(origin) * BPS
    size = np.abs(delta)
    _mark_moves(cause, later, np.rint(size * _PARTS).astype(np.int64), away_bps)
    return Changes(book, cause, piece.contract.sizes(size, np.abs(signed), unit), away_bps), is_ask


def _edges(piece: Piece) -> tuple[Ints, Numbers, Floats]:
    """Of each change between linked books: a row at its price, the number of the later book, contracts gained. The best
    prices of each side come first."""
    side_by_side = np.where(piece.is_ask, piece.place, -piece.place)
    order = np.argsort(side_by_side * (len(piece) + 1) + piece.first, kind="stable")
    place, first, past = piece.place[order], piece.first[order], piece.past[order]
    qty = piece.levels["qty"].to_numpy()[order]
    goes_on = np.append((place[1:] == place[:-1]) & (past[:-1] == first[1:]), False)
    is_linked = np.append(piece.is_linked, False)
    gain = np.empty((len(order), 2))
    gain[:, 0] = np.where(is_linked[first] & ~np.append(False, goes_on[:-1]), qty, 0)
    gain[:, 1] = np.where(is_linked[past], np.where(goes_on, np.append(qty[1:], 0), 0) - qty, 0)
    event = np.flatnonzero(gain.reshape(-1))
    book = np.stack([first, past], axis=1).reshape(-1)[event]
    return order[event >> 1], book, gain.reshape(-1)[event]


def _cause(is_loss: Bools, is_rolled: Bools, is_reached: Bools) -> Ints:
    """Before any move is known."""
    of_loss = np.where(is_rolled, LEFT_VIEW, np.where(is_reached, CONSUMED, PULLED))
    cause: Ints = np.where(is_loss, of_loss, np.where(is_rolled, ENTERED_VIEW, ADDED))
    return cause


def _matched(levels: Levels, is_linked: Bools) -> tuple[Ints, Ints, Ints, Ints]:
    """Levels (their rows) that the next book has no more, that the one before had not, and those in both: in the
    earlier and in the later one."""
    span = 2 * int(np.abs(levels.point).max(initial=0)) + 1
    key = levels.book * span - levels.point  # ascending: books are in order, and the best come first
    has_next = np.append(is_linked[1:], False)[levels.book]
    has_past = np.where(levels.book > 0, is_linked[levels.book], False)
    found = np.minimum(np.searchsorted(key, key + span), max(len(key) - 1, 0))
    is_in_next = has_next & (key[found] == key + span)
    is_new = has_past
    is_new[found[is_in_next]] = False
    return np.flatnonzero(has_next & ~is_in_next), np.flatnonzero(is_new), np.flatnonzero(is_in_next), found[is_in_next]


def _origin(mid: Floats, best: Floats) -> Floats:
    """From where each book's changes are measured: its mid; where it has only one side the next one's mid, else the
    best price there is on the side."""
    origin = mid
    for other in (np.append(mid[1:], np.nan), best, np.append(best[1:], np.nan)):
        origin = np.where(np.isnan(origin), other, origin)
    return origin


def _mark_moves(cause: Ints, step: "Ints | Numbers", amount: Ints, away_bps: Floats) -> None:
    """Among equal amounts of a step (a number for each) the best price that lost one goes with the best that gained
    one, and so on. The best prices of a step come first."""
    some = np.flatnonzero((cause == PULLED) | (cause == ADDED))
    mixed = _mixed(step[some], amount[some])
    some, mixed = _paired(some, mixed, cause[some] == ADDED)
    if not len(some):
        return
    order = np.argsort(mixed)
    some, mixed = some[order], mixed[order]
    group = np.cumsum(np.append(False, mixed[1:] != mixed[:-1]))
    some = np.sort((group << _PLACE_BITS) | some) & ((1 << _PLACE_BITS) - 1)  # the best prices of each first again
    first = np.flatnonzero(np.diff(group, prepend=-1))
    is_added = cause[some] == ADDED
    passed = np.append(0, np.cumsum(is_added))
    nth_added = passed[:-1] - passed[first][group]
    nth = np.where(is_added, nth_added, np.arange(len(some)) - first[group] - nth_added)
    gained = np.add.reduceat(is_added, first, dtype=np.int64)
    lost = np.diff(first, append=len(some)) - gained
    has_other = nth < np.minimum(lost, gained)[group]
    old, new = some[has_other & ~is_added], some[has_other & is_added]  # group by group, each in the order of prices
    is_near = np.abs(away_bps[old] - away_bps[new]) <= MOVE_BPS + ROUNDING_BPS
    is_near &= (amount[old] == amount[new]) & (step[old] == step[new])
    cause[old[is_near]] = MOVED_OUT
    cause[new[is_near]] = MOVED_IN


def _mixed(step: "Ints | Numbers", amount: Ints) -> npt.NDArray[np.uint64]:
    """The same for equal steps and amounts, and hardly ever for others."""
    return (step.astype(np.uint64) * _MIXER) ^ (amount.astype(np.uint64) * GOLDEN)


def _paired(some: Ints, mixed: npt.NDArray[np.uint64], is_added: Bools) -> tuple[Ints, npt.NDArray[np.uint64]]:
    """Those with an equal amount among the others of their step, and a few more: only what would be sorted in vain,
    most of all, is left out, by a table of hashes."""
    slot = mixed >> np.uint64(64 - _TABLE_BITS)
    has = np.zeros((2, 1 << _TABLE_BITS), np.bool_)
    kinds = is_added, ~is_added
    for table, is_own in zip(has, kinds, strict=True):
        table[slot[is_own]] = True
    is_met = np.where(is_added, has[1][slot], has[0][slot])
    return some[is_met], mixed[is_met]
