"""Two days of OKX's archive of a dozen lines each, written by hand: every kind of file, good or as somebody wants it.

Books of two levels a side, whose sizes change with each line, in three bunches around hours and a midnight.
"""

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from l2vault.book.utc import DAY_MS, HOUR_MS, utc_ms
from l2vault.history.naming import Wanted
from l2vault.history.shelf import FileNote, Shelf
from l2vault.sim.exchange.archive import ArchivedFile, Kind
from l2vault.vault.store.layout import Layout

INST: Final = "BTC-USDT-SWAP"
DAY: Final = "2026-01-02"
MIDNIGHT_MS: Final = utc_ms(f"{DAY}T00:00:00.000Z")
DAYS: Final = "2026-01-01", DAY
STEP_MS: Final = 10_000
_BUNCHES: Final = tuple(MIDNIGHT_MS + hour * HOUR_MS - 3 * STEP_MS + 7 for hour in (-1, 0, 1))
_IN_BUNCH: Final = 7
_FIRST_ID: Final = 1_000


def times() -> Iterator[tuple[int, int, bool]]:
    """Number, time, and whether the book is whole: at the start of a bunch, and in its middle, as it stood before."""
    number = 1
    for begin_ms in _BUNCHES:
        for at in range(_IN_BUNCH):
            number += at not in (0, 3)
            yield number, begin_ms + at * STEP_MS, at in (0, 3)


def book_lines(date: str, inst_id: str = INST) -> list[bytes]:
    """Of a day of UTC, as OKX writes them."""
    start_ms = utc_ms(f"{date}T00:00:00.000Z")
    found = []
    for number, ts_ms, is_whole in times():
        if start_ms <= ts_ms < start_ms + DAY_MS:
            bids = [("100.1", str(number + 1), "2")] + [("100.0", "5", "1")] * is_whole
            asks = [("100.2", str(number + 2), "3")] + [("100.3", "7", "4")] * is_whole
            row = {"instId": inst_id, "action": "snapshot" if is_whole else "update", "ts": str(ts_ms)}
            found.append(msgspec.json.encode({**row, "asks": asks, "bids": bids}))
    return found


def trade_rows(inst_id: str = INST) -> list[bytes]:
    """Of the day of UTC+8 that has all of them, and of its month."""
    rows = [b"instrument_name,trade_id,side,price,size,created_time,source"]
    for at, (number, ts_ms, _) in enumerate(times()):
        rows.append(f"{inst_id},{_FIRST_ID + at},buy,100.2,{number},{ts_ms + 3},0".encode())
    return rows


def funding_rows(inst_id: str = INST) -> list[bytes]:
    """Of the same day: one settlement, and one of another swap; a file of a month has one of them alone."""
    rows = [b"instrument_name,funding_rate,funding_time"]
    return rows + [f"{name},0.0001,{MIDNIGHT_MS}".encode() for name in ("ETH-USDT-SWAP", inst_id)]


def wanted(kind: Kind, date: str) -> Wanted:
    return Wanted(kind, INST, date)


EVERY: Final = (
    *(wanted(kind, date) for kind in ("books400", "books5000") for date in DAYS),
    *(wanted(kind, date) for kind in ("trades", "funding") for date in (DAY, DAY[:7])),
)


def rows_of(each: Wanted, inst_id: str = INST) -> list[bytes]:
    """What a good file of that name holds."""
    if each.what == "trades":
        return trade_rows(inst_id)
    return funding_rows(inst_id) if each.what == "funding" else book_lines(each.date, inst_id)


def packed(each: Wanted, rows: list[bytes], end: bytes = b"\n") -> bytes:
    """Rows as the one member of the archive that a file of this name is."""
    data = b"".join(row + end for row in rows)
    return zipped(("day.csv", data)) if each.name.endswith(".zip") else tarred(("day.data", data))


def zipped(*members: tuple[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return held.getvalue()


def tarred(*members: tuple[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(held.getvalue(), 6, mtime=0)


def put(root: Path, each: Wanted, data: bytes | None = None) -> Path:
    """A file as `l2vault fetch` leaves it, good unless other bytes are given."""
    shelf = Shelf(Layout(root))
    data = packed(each, rows_of(each)) if data is None else data
    path = shelf.path(each)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    note = FileNote("https://static.okx.com" + each.addresses[0], "listed", len(data), 0.0)
    shelf.keep_note(each, msgspec.structs.replace(note, sha256=hashlib.sha256(data).hexdigest()))
    return path


def offered(folder: Path) -> list[ArchivedFile]:
    """The same files for a server."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for each in EVERY:
        path = folder / each.name
        path.write_bytes(packed(each, rows_of(each)))
        inst_id = "" if each.what == "funding" and not each.is_month else INST
        found.append(ArchivedFile(each.what, inst_id, each.date, each.span[0], each.addresses[0], path))
    return found
