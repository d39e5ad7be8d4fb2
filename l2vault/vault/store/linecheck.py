"""What one line of the vault says against itself. Pure: knows no file and no other line."""

import re
from collections.abc import Callable
from functools import lru_cache
from operator import gt, lt
from typing import Final, Literal, NamedTuple

import msgspec

from l2vault.book.change import Level
from l2vault.book.price import is_zero, price_key
from l2vault.book.snapshot import Snapshot, from_line, instrument_of, to_line
from l2vault.errors import LevelError, LineError
from l2vault.vault.store.line import of_another

Kind = Literal["line", "newer", "sorting", "altered"]
"""line: not a snapshot line. newer: one with keys that this version does not know. sorting: a side out of order.
altered: not as `to_line` writes it, such as a mid price that the levels contradict."""

_CACHED: Final = 1 << 16
_key = lru_cache(_CACHED)(price_key)
_is_zero = lru_cache(_CACHED)(is_zero)
"""Most levels stay from line to line: measured on real books, the caches make this check four times as fast."""


_DEPTH_KEY: Final = re.compile(r"(bids|asks)_top\d{1,3}")
_KEYS: Final = frozenset(
    msgspec.json.decode(to_line(Snapshot("", 0, 1, [], [], None, None, None)), type=dict[str, msgspec.Raw])
)


class Objection(NamedTuple):
    kind: Kind
    text: str


def check_line(text: bytes) -> tuple[Snapshot | None, list[Objection]]:
    """The snapshot, None where there is none to be had, and what is wrong with it."""
    try:
        snapshot = from_line(text)
    except LineError as error:
        return None, [_newer(text) or Objection("line", str(error))]
    try:
        found = _check_sides(snapshot)
        if not found and (canonical := to_line(snapshot)) != text:
            found = [Objection("altered", _difference(text, canonical))]
    except LevelError as error:
        found = [Objection("line", str(error))]
    return snapshot, found


def _newer(text: bytes) -> Objection | None:
    """Whether a line is one of ours but for keys that this version does not know."""
    try:
        values = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        known = {key: value for key, value in values.items() if key in _KEYS or _DEPTH_KEY.fullmatch(key)}
        if len(known) == len(values):
            return None
        from_line(msgspec.json.encode(known))
    except (ValueError, RecursionError, LineError):  # msgspec's errors and that of invalid UTF-8 are ValueErrors
        return None
    unknown = ", ".join(sorted(repr(key)[:40] for key in values.keys() - known.keys())[:3])
    return Objection("newer", f"a line of a newer version of l2vault: it has {unknown}, which this one does not know")


def why_unreadable(text: bytes, inst_id: str) -> str:
    """Why a line is not a snapshot of the instrument, empty if it is one."""
    try:
        found = instrument_of(text)
    except LineError as error:
        return error.message
    return of_another(found, inst_id)


def _check_sides(snapshot: Snapshot) -> list[Objection]:
    """Best and mid price follow from the order of the sides, so they are judged only where that is right."""
    found = []
    for name, side, is_better in (("bids", snapshot.bids, gt), ("asks", snapshot.asks, lt)):
        if len(side) > snapshot.depth:
            found.append(Objection("line", f"{len(side)} {name}, where its key says at most {snapshot.depth}"))
        if any(map(_is_zero, [level[1] for level in side])):
            found.append(Objection("line", f"a level of quantity 0 among the {name}"))
        if (at := _first_unsorted(side, is_better)) is not None:
            text = f"{name} not best first: {side[at + 1][0]} follows {side[at][0]}"
            found.append(Objection("sorting", text))
    return found


def _first_unsorted(side: list[Level], is_better: Callable[[int, int], bool]) -> int | None:
    keys = [_key(level[0]) for level in side]
    if all(map(is_better, keys, keys[1:])):
        return None
    return next(at for at in range(len(keys) - 1) if not is_better(keys[at], keys[at + 1]))


def _difference(text: bytes, canonical: bytes) -> str:
    """Which values are not those that follow from the levels."""
    found = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    wanted = msgspec.json.decode(canonical, type=dict[str, msgspec.Raw])
    wrong = [
        f"{key} is {bytes(found[key]).decode()}, its levels give {bytes(wanted[key]).decode()}"
        for key in ("best_bid", "best_ask", "mid_price")
        if bytes(found[key]) != bytes(wanted[key])
    ]
    return "; ".join(wrong) or "its keys, their order or the spacing are not those of a snapshot line"
