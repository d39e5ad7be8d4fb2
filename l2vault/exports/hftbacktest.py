"""hftbacktest's event array, a compressed `.npz` a day, times in nanoseconds.

Rows and flags as hftbacktest 2.4 documents them (hftbacktest.readthedocs.io, "Data", read 2026-11) and as its own
converters write them: a full book is a clear and its levels, best first, a side each; trades come before the changes of
the same time; receive times that lie before the exchange's are all put later by the largest difference of the day; and
where exchange and receive times disagree about the order, an event stands twice, once for each clock.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from l2vault.book.change import Level
from l2vault.errors import extra
from l2vault.exports.events import BookEvent, TradeEvent
from l2vault.exports.label import Day, Subject

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_DEPTH, _TRADE, _CLEAR, _LEVEL = 1, 2, 3, 4
_BUY: Final = 1 << 29
_SELL: Final = 1 << 28
_SIDES: Final = (_BUY, _SELL)
_LOCAL: Final = 1 << 30
_EXCH: Final = 1 << 31
_FIELDS: Final = (
    *(("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8")),
    *(("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")),
)
_EVERYTHING: Final = float("nan")
"""The price of a clear that empties a side: a price clears up to itself, and older levels beyond it would stay."""
_ROWS: Final = 1 << 17
"""Rows in memory before they go to the disk: 8 MB."""
_BLOCK: Final = 1 << 18
"""Rows that are put in order at a time, at least: those whose order is not known yet come on top."""
_COPIED_BYTES: Final = 1 << 20


def rows_type() -> "np.dtype[np.void]":
    """64 bytes a row."""
    import numpy as np

    return np.dtype(list(_FIELDS), align=True)


class HftBacktest:
    """Writes events as they come, to a file without order first, since how far receive times lie before the exchange's
    is known at the end of the day only."""

    def __init__(self, folder: Path, subject: Subject, has_trades: bool) -> None:
        with extra("hftbacktest"):
            import numpy as np
        self._np = np
        self.files: list[str] = []
        self.notes: list[str] = []
        self._folder = folder
        self._name = subject.inst_id
        self._rows: list[tuple[int, int, int, float, float]] = []
        self._raw = folder / ".raw"
        self._least_ns = 0
        self._shift_ns = 0

    def begin(self, day: Day) -> None:
        self._raw.write_bytes(b"")
        self._least_ns = 0

    def book(self, event: BookEvent, local_us: int) -> None:
        times = self._times(event.ts_ms, local_us)
        for flag, levels in zip(_SIDES, (event.bids, event.asks), strict=True):
            if event.kind == "update":
                self._levels(_DEPTH | flag, times, levels)
            else:
                self._rows.append((_CLEAR | flag, *times, _EVERYTHING, 0.0))
                self._levels(_LEVEL | flag, times, levels)
        if len(self._rows) > _ROWS:
            self._flush()

    def trade(self, event: TradeEvent, local_us: int) -> bool:
        """Whether it is written: one without a size cannot be."""
        if event.size is None:
            return False
        flag = _BUY if event.side == "buy" else _SELL
        times = self._times(event.ts_ms, local_us)
        self._rows.append((_TRADE | flag, *times, float(event.price), float(event.size)))
        return True

    def end(self, day: Day) -> None:
        """A later day's times are never put less late than an earlier one's, so that the days follow each other."""
        self._flush()
        self._shift_ns = day.clock_shift_ns = max(self._shift_ns, -self._least_ns)
        ordered = self._folder / ".ordered"
        self._put_in_order(ordered)
        name = f"{self._name}_{day.day}.npz"
        _save(self._folder / name, ordered)
        self.files.append(name)
        for path in (self._raw, ordered):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is open between two events."""

    def _put_in_order(self, path: Path) -> None:
        np = self._np
        held = np.empty(0, rows_type())
        with path.open("wb") as file, self._raw.open("rb") as raw:
            is_last = False
            while not is_last:
                block = np.fromfile(raw, rows_type(), _BLOCK)
                is_last = len(block) < _BLOCK
                block["local_ts"] += self._shift_ns
                ordered, held = by_both_clocks(np.concatenate((held, block)), is_last)
                file.write(ordered.tobytes())  # numpy's own call says nothing of a full disk

    def _levels(self, ev: int, times: tuple[int, int], levels: list[Level]) -> None:
        exch_ns, local_ns = times
        self._rows += [(ev, exch_ns, local_ns, float(level[0]), float(level[1])) for level in levels]

    def _times(self, ts_ms: int, local_us: int) -> tuple[int, int]:
        exch_ns, local_ns = ts_ms * 1_000_000, local_us * 1000
        self._least_ns = min(self._least_ns, local_ns - exch_ns)
        return exch_ns, local_ns

    def _flush(self) -> None:
        np = self._np
        found = np.zeros(len(self._rows), rows_type())
        if self._rows:
            columns = zip(*self._rows, strict=True)
            for (name, _), column in zip(_FIELDS, columns, strict=False):
                found[name] = column
        self._rows.clear()
        with self._raw.open("ab") as file:
            file.write(found.tobytes())


def by_both_clocks(rows: "npt.NDArray[np.void]", is_last: bool) -> "tuple[npt.NDArray[np.void], npt.NDArray[np.void]]":
    """Rows in order of exchange time with their final flags, and those of the end whose place later rows may change.

    `rows` are in order of exchange time, none received before it. Where both clocks agree about the order a row has the
    flags of both; a stretch in which they do not comes twice, by exchange time and then by receive time.
    """
    import numpy as np

    if not len(rows):
        return rows, rows
    local = rows["local_ts"]
    greatest = np.maximum.accumulate(local)
    least_after = np.minimum.accumulate(local[::-1])[::-1]
    # A stretch ends where all before it were received before all behind it; what is yet to come is received after the
    # exchange's time of the last row.
    ends = np.empty(len(rows), bool)
    ends[:-1] = greatest[:-1] <= least_after[1:]
    ends[-1] = True
    if not is_last:
        ends &= greatest <= rows["exch_ts"][-1]
    bounds = np.flatnonzero(ends) + 1
    done = int(bounds[-1]) if len(bounds) else 0
    return np.concatenate([rows[:0], *_stretches(rows[:done], bounds)]), rows[done:].copy()


def _stretches(rows: "npt.NDArray[np.void]", bounds: "npt.NDArray[np.int64]") -> "Iterator[npt.NDArray[np.void]]":
    import numpy as np

    starts = np.concatenate(([0], bounds[:-1])).astype(np.int64) if len(bounds) else bounds
    at = 0
    for index in np.flatnonzero(bounds - starts > 1):
        start, end = int(starts[index]), int(bounds[index])
        yield _flagged(rows[at:start], _EXCH | _LOCAL)
        yield _flagged(rows[start:end], _EXCH)
        yield _flagged(rows[start:end][np.argsort(rows["local_ts"][start:end], kind="stable")], _LOCAL)
        at = end
    yield _flagged(rows[at:], _EXCH | _LOCAL)


def _flagged(rows: "npt.NDArray[np.void]", flags: int) -> "npt.NDArray[np.void]":
    found = rows.copy()
    found["ev"] |= flags
    return found


def _save(path: Path, rows: Path) -> None:
    """What `np.savez_compressed(path, data=...)` writes, of a file of rows that need not fit into memory."""
    import numpy as np

    count = rows.stat().st_size // rows_type().itemsize
    header = {"descr": np.lib.format.dtype_to_descr(rows_type()), "fortran_order": False, "shape": (count,)}
    member = ZipInfo("data.npy")
    member.compress_type = ZIP_DEFLATED
    with ZipFile(path, "w") as archive, archive.open(member, "w", force_zip64=True) as file, rows.open("rb") as source:
        np.lib.format.write_array_header_1_0(file, header)
        shutil.copyfileobj(source, file, _COPIED_BYTES)
