"""OKX's archive of past days, made of this exchange's own pushes: the files in OKX's form, and what the index says.

Books: one line of JSON a push in a tar.gz of the UTC day, a full book at the start and every 15 minutes. Trades and
funding: CSV in a zip of the day of UTC+8, and of the month. Every day is streamed to the disk. Knows no server and no
client.
"""

import hashlib
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import IO, Final, Literal, NamedTuple

import msgspec

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import Level
from l2vault.book.price import price_key
from l2vault.book.utc import DAY_MS, HOUR_MS, utc_ms, utc_text
from l2vault.errors import LevelError
from l2vault.sim.exchange.books import Tick
from l2vault.sim.exchange.trades import Trades, single_matches

Kind = Literal["trades", "funding", "books400", "books5000"]
MODULES: Final[dict[Kind, int]] = {"trades": 1, "funding": 3, "books400": 4, "books5000": 5}
"""OKX's numbers of what it archives."""
SNAPSHOT_MS: Final = 900_000
DEEP_MS: Final = 1_000
"""Between two lines of the file of 5000 levels."""
_UTC8_MS: Final = 8 * HOUR_MS
_FUNDING_MS: Final = 8 * HOUR_MS
_LEVELS: Final[dict[Kind, str]] = {"books400": "400lv", "books5000": "5000lv"}
_TRADES_HEAD: Final = "instrument_name,trade_id,side,price,size,created_time,source\n"
_FUNDING_HEAD: Final = "instrument_name,funding_rate,funding_time\n"
_ENCODER: Final = msgspec.json.Encoder()


class ArchivedFile(NamedTuple):
    """A file as it is offered: `target` is its path on the server, `path` where its bytes are. `inst_id` is empty for
    one of all swaps; `date_ms` is the midnight with which its day begins."""

    kind: Kind
    inst_id: str
    date: str
    date_ms: int
    target: str
    path: Path
    is_listed: bool = True
    """Whether the index has such files at all: of funding it has no months."""

    @property
    def name(self) -> str:
        return self.path.name


class _Line(msgspec.Struct, gc=False):
    """The keys in the order of OKX's files."""

    instId: str
    action: str
    ts: str
    asks: list[tuple[str, str, str]]
    bids: list[tuple[str, str, str]]


def make_archive(
    folder: Path,
    ticks: Iterable[Tick],
    seed: int = 0,
    every_ms: int = 10,
    is_funded: bool = True,
    trades: Trades | None = None,
) -> list[ArchivedFile]:
    """The files of all days and instruments of `ticks`, which are in order of time; pushes of one `every_ms` make one
    line. `trades` makes up the trades, funding is made of nothing but the names."""
    maker = _Maker(folder, seed, every_ms, is_funded, trades or Trades(seed))
    for tick in ticks:
        maker.add(tick)
    return maker.close()


class _Maker:
    def __init__(self, folder: Path, seed: int, every_ms: int, is_funded: bool, trades: Trades) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._seed = seed
        self._every_ms = every_ms
        self._is_funded = is_funded
        self._trades = trades
        self._books: dict[str, Book] = {}
        self._series: dict[str, list[_BookFile]] = {}
        self._tapes: dict[tuple[str, int], IO[str]] = {}
        self._span: dict[str, tuple[int, int]] = {}
        self._made: list[ArchivedFile] = []

    def add(self, tick: Tick) -> None:
        inst_id, change = tick.inst_id, tick.change
        book = self._books.setdefault(inst_id, Book())
        if change.ts_ms is None or (book.ts_ms is None and not change.is_snapshot):
            return
        for trade in self._trades.follow(change, book if book.ts_ms is not None else None):
            for one in single_matches(trade):
                row = f"{inst_id},{one.trade_id},{one.side},{one.px},{one.sz},{one.ts_ms},{one.source}\n"
                self._tape(inst_id, one.ts_ms).write(row)
        try:
            book.apply(change)
        except LevelError:  # a capture may hold numbers that are none
            del self._books[inst_id]
            return
        first_ms = self._span.get(inst_id, (tick.ts_ms, 0))[0]
        self._span[inst_id] = first_ms, tick.ts_ms
        day_ms = tick.ts_ms // DAY_MS * DAY_MS
        files = self._series.get(inst_id, [])
        if not files or files[0].day_ms != day_ms:
            self._end_books(inst_id)
            files = self._series[inst_id] = [
                _BookFile(self._folder, inst_id, day_ms, "books400", self._every_ms),
                _BookFile(self._folder, inst_id, day_ms, "books5000", max(DEEP_MS, self._every_ms)),
            ]
        sides = tuple({price_key(level[0]): level for level in side} for side in (change.bids, change.asks))
        for file in files:
            file.add(tick.ts_ms, sides, change.is_snapshot, book)

    def close(self) -> list[ArchivedFile]:
        for inst_id in list(self._series):
            self._end_books(inst_id)
        months: dict[tuple[str, str], list[Path]] = {}
        for (inst_id, date_ms), tape in self._tapes.items():
            tape.close()
            months.setdefault((inst_id, utc_text(date_ms + _UTC8_MS)[:7]), []).append(Path(tape.name))
        for (inst_id, month), days in months.items():
            tapes = sorted(days, key=lambda day: int(day.stem.rpartition("-")[2]))
            rows = (day.read_bytes().partition(b"\n")[2] for day in tapes)
            self._made.append(_month(self._folder, "trades", inst_id, month, rows))
        for (inst_id, date_ms), tape in self._tapes.items():
            self._made.append(_zipped(self._folder, "trades", inst_id, date_ms, Path(tape.name)))
        if self._is_funded and self._span:
            self._made += self._funding()
        return sorted(self._made, key=lambda file: (file.kind, file.inst_id, file.date))

    def _end_books(self, inst_id: str) -> None:
        self._made += [file.close() for file in self._series.pop(inst_id, [])]

    def _tape(self, inst_id: str, ts_ms: int) -> IO[str]:
        date_ms = _utc8_midnight(ts_ms)
        tape = self._tapes.get((inst_id, date_ms))
        if tape is None:
            path = self._folder / f"{inst_id}-{date_ms}.csv"
            tape = self._tapes[inst_id, date_ms] = path.open("w", encoding="utf-8", newline="")
            tape.write(_TRADES_HEAD)
        return tape

    def _funding(self) -> Iterator[ArchivedFile]:
        """A rate each 8 hours for each instrument: a file a day for all of them, and one a month for each."""
        days: dict[int, list[str]] = {}
        months: dict[tuple[str, str], list[bytes]] = {}
        for inst_id, (from_ms, to_ms) in sorted(self._span.items()):
            for time_ms in range(-(-from_ms // _FUNDING_MS) * _FUNDING_MS, to_ms + 1, _FUNDING_MS):
                rate = Random(f"{self._seed} {inst_id} {time_ms}").randrange(-300, 900) / 1e6
                row = f"{inst_id},{rate:.8f},{time_ms}\n"
                days.setdefault(_utc8_midnight(time_ms), []).append(row)
                months.setdefault((inst_id, utc_text(time_ms + _UTC8_MS)[:7]), []).append(row.encode())
        for date_ms, rows in sorted(days.items()):
            path = self._folder / f"funding-{date_ms}.csv"
            path.write_text(_FUNDING_HEAD + "".join(rows), encoding="utf-8", newline="")
            yield _zipped(self._folder, "funding", "", date_ms, path)
        for (inst_id, month), own in months.items():
            yield _month(self._folder, "funding", inst_id, month, own)


class _BookFile:
    """One day of one instrument at one pace, written as its pushes come."""

    def __init__(self, folder: Path, inst_id: str, day_ms: int, kind: Kind, every_ms: int) -> None:
        self.day_ms = day_ms
        self._folder, self._inst_id, self._kind, self._every_ms = folder, inst_id, kind, every_ms
        date = utc_text(day_ms)[:10]
        self._data = folder / f"{inst_id}-L2orderbook-{_LEVELS[kind]}-{date}.data"
        self._file = self._data.open("wb")
        self._pending: tuple[dict[int, Level], dict[int, Level]] = ({}, {})
        self._pending_ms = 0
        self._quarter = -1

    def add(self, ts_ms: int, sides: Sequence[Mapping[int, Level]], is_full: bool, book: Book) -> None:
        """A push that was applied to `book`. The first line of a day, and one behind each quarter of an hour, is whole:
        behind the update of the same time, of which `ts` therefore repeats. So is that of a full book, with which the
        exchange begins anew."""
        if self._quarter < 0 or is_full:
            self._flush()
            self._whole(ts_ms, book)
            return
        if self._pending_ms and ts_ms // self._every_ms != self._pending_ms // self._every_ms:
            self._flush()
        for side, levels in zip(self._pending, sides, strict=True):
            side.update(levels)
        self._pending_ms = ts_ms
        if ts_ms // SNAPSHOT_MS != self._quarter:
            self._flush()
            self._whole(ts_ms, book)

    def close(self) -> ArchivedFile:
        self._flush()
        self._file.close()
        date = utc_text(self.day_ms)[:10]
        path = self._data.with_suffix(".tar.gz")
        with tarfile.open(path, "w:gz", compresslevel=6) as tar:
            tar.add(self._data, self._data.name)
        self._data.unlink()
        folder = f"/cdn/okx/match/orderbook/pro/L2/{_LEVELS[self._kind]}/daily/{date.replace('-', '')}"
        return ArchivedFile(self._kind, self._inst_id, date, self.day_ms, f"{folder}/{path.name}", path)

    def _flush(self) -> None:
        bids, asks = self._pending
        if bids or asks:
            self._write("update", self._pending_ms, list(bids.values()), list(asks.values()))
        self._pending = ({}, {})
        self._pending_ms = 0

    def _whole(self, ts_ms: int, book: Book) -> None:
        self._quarter = ts_ms // SNAPSHOT_MS
        self._write("snapshot", ts_ms, *book.top(CHANNEL_DEPTH))

    def _write(self, action: str, ts_ms: int, bids: list[Level], asks: list[Level]) -> None:
        sides = ([(price, size, orders) for price, size, _, orders in side] for side in (asks, bids))
        self._file.write(_ENCODER.encode(_Line(self._inst_id, action, str(ts_ms), *sides)) + b"\n")


def _zipped(folder: Path, kind: Kind, inst_id: str, date_ms: int, csv: Path) -> ArchivedFile:
    """A CSV as the only member of its zip, under the name of OKX's."""
    date = utc_text(date_ms + _UTC8_MS)[:10]
    compact = date.replace("-", "")
    if kind == "trades":
        name, where = f"{inst_id}-trades-{date}", f"/cdn/okex/traderecords/trades/daily/{compact}"
    else:
        name, where = f"allswap-fundingrates-{date}", f"/cdn/okex/traderecords/swaprates/daily/{compact}"
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(csv, f"{name}.csv")
    csv.unlink()
    return ArchivedFile(kind, inst_id, date, date_ms, f"{where}/{path.name}", path)


def _month(folder: Path, kind: Kind, inst_id: str, month: str, rows: Iterable[bytes]) -> ArchivedFile:
    """The trades or the rates of a month, as far as there are some, in one file."""
    is_trades = kind == "trades"
    name = f"{inst_id}-{'trades' if is_trades else 'fundingrates'}-{month}"
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, packed.open(f"{name}.csv", "w") as file:
        file.write((_TRADES_HEAD if is_trades else _FUNDING_HEAD).encode())
        for each in rows:
            file.write(each)
    series = "trades" if is_trades else "swaprates"
    target = f"/cdn/okex/traderecords/{series}/monthly/{month.replace('-', '')}/{path.name}"
    begin_ms = utc_ms(f"{month}-01T00:00:00.000Z") - _UTC8_MS
    return ArchivedFile(kind, inst_id, month, begin_ms, target, path, is_listed=is_trades)


def _utc8_midnight(ts_ms: int) -> int:
    return (ts_ms + _UTC8_MS) // DAY_MS * DAY_MS - _UTC8_MS


def etag(path: Path) -> str:
    """As S3 names an object that came in one piece."""
    with path.open("rb") as file:
        return f'"{hashlib.file_digest(file, "md5").hexdigest()}"'
