"""Books rebuilt from exported files by the rules of the formats, with no code of the package, for any time."""

import csv
import gzip
from bisect import bisect_right
from pathlib import Path

Book = tuple[dict[float, float], dict[float, float]]
"""Bids and asks, quantity by price."""


class Rebuilt:
    """The book after each event, and none before the first."""

    def __init__(self, rows):
        """`rows`: (ts_ms, kind, side, price, qty) in the order of the file; kind `clear`, `level`. A clear empties both
        sides, or the one it names."""
        self.times: list[int] = []
        self.books: list[Book] = []
        sides: Book = {}, {}
        last = None
        for ts_ms, kind, side, price, qty in rows:
            if last is not None and ts_ms != last:
                self._keep(last, sides)
            assert last is None or ts_ms >= last, "in order of time"
            last = ts_ms
            if kind == "clear":
                for one in (0, 1) if side is None else (side,):
                    sides[one].clear()
            elif qty:
                sides[side][price] = qty
            else:
                sides[side].pop(price, None)
        if last is not None:
            self._keep(last, sides)

    def _keep(self, ts_ms, sides):
        self.times.append(ts_ms)
        self.books.append((dict(sides[0]), dict(sides[1])))

    def at(self, t_ms: int) -> Book:
        at = bisect_right(self.times, t_ms) - 1
        return self.books[at] if at >= 0 else ({}, {})


def known_book(vault, inst_id: str, t_ms: int) -> Book:
    """What the vault says of a time: by its changes where they prove a book, by its lines elsewhere, or nothing. Where
    the changes broke off within the time of a line, that line is older than what is known, and tells nothing."""
    found = []
    if vault.change_catalog.hours(inst_id):
        found.append(vault.book_at(inst_id, t_ms, resolution="changes"))
    lines = vault.book_at(inst_id, t_ms)
    if lines is not None and not (found and found[0] is not None and lines.snapshot.ts_ms <= found[0].snapshot.ts_ms):
        found.append(lines)
    for book in found:
        if book is not None and book.state in ("recorded", "quiet"):
            snapshot = book.snapshot
            return tuple(
                {float(level[0]): float(level[1]) for level in side} for side in (snapshot.bids, snapshot.asks)
            )
    return {}, {}


def csv_rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))
