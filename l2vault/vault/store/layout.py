"""The only place that builds or reads a path of the vault. Pure: it never touches the disk.

Data files of every kind lie alike, each kind in folders of its own. Journal, lock, rows and torn ends are for all.
"""

import re
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

from l2vault.book.utc import HOUR_MS as HOUR_MS
from l2vault.book.utc import utc_ms, utc_text

Kind = Literal["books", "trades", "changes", "context", "deep", "rpi"]
"""What the lines of a data file are."""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_FOLDERS: Final[dict[Kind, str]] = {
    "books": "l2_perps",
    "trades": "trades",
    "changes": "book_changes",
    "context": "context",
    "deep": "books_full",
    "rpi": "books_rpi",
}
WRITTEN_AS_GZIP: Final[frozenset[Kind]] = frozenset({"changes", "deep", "rpi"})
"""Kinds whose file is a gzip from its first line on; what it lacks at its end may still be written."""
MAY_BE_WRITTEN: Final = 2
"""Newest hours of these kinds whose file may still lack its end: at the turn of an hour the former one is completed a
little later."""
DayKind = Literal["liquidations", "status"]
"""What the lines of a day file are: these are not of one instrument, and come seldom."""
_RAW: Final = Path("raw", "okx")
_META: Final = Path("meta", "okx")
_ARCHIVE: Final = Path("archive", "okx")
_COLUMNS: Final = Path("columns", "okx")
_OKX_ARCHIVE: Final = "okx_archive"
_LEVELS: Final = "levels"
_SNAPSHOTS: Final = "snapshots"
_ROWS: Final = "rows"
_OF_ONE_FILE: Final[frozenset[Kind]] = frozenset({"trades", "context", "deep", "rpi"})
"""Kinds of which an archived hour is one file, in the place of the snapshots; there are no levels."""
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_ARCHIVE_FILE: Final = re.compile(r"([01]\d|2[0-3])\.parquet")
_HOUR_FILE: Final = re.compile(r"([01]\d|2[0-3])\.jsonl(\.gz)?")
_FORMER_INSTRUMENT_FILE: Final = re.compile(r"(.+)\.until-(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})Z\.json")


class HourFile(NamedTuple):
    """What the path of a data file says of it: the instrument and the hour it covers, and its form."""

    inst_id: str
    hour_ms: int
    is_compressed: bool
    path: Path


class ArchivedHour(NamedTuple):
    """The two files of an archived hour. An hour is archived if `snapshots` exists: it is made last, and goes first.

    Of trades, context, deep and RPI books it is the only one; `levels` then names a file that nobody makes.
    """

    inst_id: str
    hour_ms: int
    levels: Path
    snapshots: Path
    kind: Kind = "books"

    @property
    def files(self) -> tuple[Path, Path]:
        """Both, in the order in which they are made."""
        return self.levels, self.snapshots


class Layout:
    """Paths of one vault. Hours and dates are UTC, in exchange time for data and in wall time for the journal.

    Its data files are those of one kind, books unless said otherwise: `of` gives the layout of another.
    """

    def __init__(self, root: Path, kind: Kind = "books", archives: Path = _ARCHIVE) -> None:
        self.root = root
        self._archives = archives
        self.kind: Final[Kind] = kind
        self.raw: Final = root / _RAW / _FOLDERS[kind]

    def of(self, kind: Kind) -> "Layout":
        """The same vault with the data files of another kind; all other paths are the same."""
        return Layout(self.root, kind)

    @property
    def okx_archive(self) -> "Layout":
        """The vault within this one that holds what was made of OKX's own archive, and nothing that was recorded."""
        return Layout(self.root / _OKX_ARCHIVE, self.kind)

    @property
    def holds_okx_archive(self) -> bool:
        """Whether anything was made of OKX's archive in it."""
        return self.okx_archive.raw.parent.is_dir()

    @property
    def is_okx_archive(self) -> bool:
        """Whether it is such a vault, by its own name or that of the folder that a link leads to."""
        return _OKX_ARCHIVE in (self.root.name, self.root.resolve().name)

    @property
    def archive_files(self) -> Path:
        """The files of OKX's archive as they were fetched."""
        return self.root / _OKX_ARCHIVE / "files"

    @property
    def lock_file(self) -> Path:
        return self.root / _META / "recorder.lock"

    @property
    def retention_lock(self) -> Path:
        """Held by the one retention pass at work, whichever process it is in."""
        return self.root / _META / "retention.lock"

    @property
    def owner_file(self) -> Path:
        """Who holds the lock. Apart from the lock file, which Windows does not let others read while it is held."""
        return self.root / _META / "recorder.json"

    @property
    def health_file(self) -> Path:
        """How the recorder is, replaced every few seconds."""
        return self.root / _META / "health.json"

    @property
    def follow_file(self) -> Path:
        """Touched by whoever follows changes, so that the recorder brings their files up to date more often."""
        return self.root / _META / "followed"

    @property
    def journal(self) -> Path:
        return self.root / _META / "journal"

    @property
    def journal_reserve(self) -> Path:
        """Room on the disk that is kept for the journal."""
        return self.root / _META / "journal.reserve"

    @property
    def instruments(self) -> Path:
        return self.root / _META / "instruments"

    @property
    def torn(self) -> Path:
        """Where start-up recovery keeps the bytes it cut from the end of a file."""
        return self.root / _META / "torn"

    def checked_file(self, inst_id: str, ts_ms: int) -> Path:
        """What is known of the hours of that day which were read whole and found good."""
        return self.root / _META / "checked" / inst_id / f"{utc_text(ts_ms)[:10]}.json.gz"

    def checked_trades_file(self, inst_id: str, ts_ms: int) -> Path:
        """The same of hours of trades."""
        return self.root / _META / "checked_trades" / inst_id / f"{utc_text(ts_ms)[:10]}.json.gz"

    def evaluation_file(self, inst_id: str) -> Path:
        """What was last measured against chance of all that the vault held of an instrument."""
        return self.root / _META / "evaluations" / f"{inst_id}.json"

    def audit_file(self, inst_id: str, ts_ms: int) -> Path:
        """What `audit` found of that day's books."""
        return self.root / _META / "audits" / inst_id / f"{utc_text(ts_ms)[:10]}.json"

    def merged_file(self, inst_id: str, ts_ms: int) -> Path:
        """What `merge` noted of an hour of this kind: of which files it was made, which vault brought which lines."""
        text = utc_text(ts_ms)
        return self.root / _META / "merged" / _FOLDERS[self.kind] / inst_id / text[:10] / f"{text[11:13]}.json"

    @property
    def pushed(self) -> Path:
        """What `push` noted of files that stand in an object store, and the lock of the one push at work."""
        return self.root / _META / "pushed"

    def repairs_file(self, inst_id: str) -> Path:
        """Which holes of an instrument are filled from OKX's archive by default."""
        return self.root / _META / "repairs" / f"{inst_id}.json"

    def carried_file(self, inst_id: str, ts_ms: int) -> Path:
        """The book with which a day of OKX's archive ended, for the first grid time of the next day."""
        return self.root / _META / "carried" / inst_id / f"{utc_text(ts_ms)[:10]}.json"

    def made_day_file(self, inst_id: str, ts_ms: int) -> Path:
        """What `backfill` noted of a day of OKX's archive that it has made books of."""
        return self.root / _META / "days" / inst_id / f"{utc_text(ts_ms)[:10]}.json"

    def instrument_folder(self, inst_id: str) -> Path:
        return self.raw / inst_id

    def hour_file(self, inst_id: str, ts_ms: int) -> Path:
        """The uncompressed data file in which a line of exchange time `ts_ms` belongs."""
        text = utc_text(ts_ms)
        return self.raw / inst_id / text[:10] / f"{text[11:13]}.jsonl"

    def day_folder(self, kind: DayKind) -> Path:
        return self.root / _RAW / kind

    def day_file(self, kind: DayKind, ts_ms: int) -> Path:
        """The file of the day in which a line of time `ts_ms` belongs."""
        return self.day_folder(kind) / f"{utc_text(ts_ms)[:10]}.jsonl"

    def journal_file(self, wall_ms: int) -> Path:
        return self.journal / f"{utc_text(wall_ms)[:10]}.jsonl"

    def instrument_file(self, inst_id: str) -> Path:
        return self.instruments / f"{inst_id}.json"

    def former_instrument_file(self, inst_id: str, until_wall_ms: int) -> Path:
        """Where a row that OKX has changed stays, named by the moment until which it was the latest known."""
        stamp = utc_text(until_wall_ms)[:19].replace(":", "-")
        return self.instruments / f"{inst_id}.until-{stamp}Z.json"

    def parse_former_instrument_file(self, path: Path) -> tuple[str, int] | None:
        """The inverse of `former_instrument_file`, its moment in whole seconds; None for any other path."""
        match = _FORMER_INSTRUMENT_FILE.fullmatch(path.name)
        if match is None or path.parent != self.instruments:
            return None
        try:
            return match[1], utc_ms(f"{match[2]}T{match[3]}:{match[4]}:{match[5]}.000Z")
        except ValueError:
            return None

    def torn_file(self, hour_file: Path, offset: int, crc32: int) -> Path:
        """Where the bytes cut from `hour_file` at `offset` are kept.

        Their checksum is in the name because a file may be torn at one offset twice, differently.
        """
        parts = hour_file.relative_to(self.raw).parts
        kind = "" if self.kind == "books" else f"{_FOLDERS[self.kind]}_"
        return self.torn / f"{kind}{parts[0]}_{parts[1]}T{hour_file.name}_at_{offset}_{crc32:08x}"

    @property
    def columns(self) -> "Layout":
        """The same vault with the column files of closed hours in the place of the archive."""
        return Layout(self.root, self.kind, _COLUMNS)

    @property
    def archive(self) -> Path:
        return self.root / self._archives / _FOLDERS[self.kind]

    @property
    def archived_levels(self) -> Path:
        return self.archive / _LEVELS

    @property
    def archived_snapshots(self) -> Path:
        return self.archive / (_ROWS if self.kind in _OF_ONE_FILE else _SNAPSHOTS)

    def archived_hour(self, inst_id: str, ts_ms: int) -> ArchivedHour:
        """The archive of the hour in which `ts_ms` lies; folders named as Hive does, which DuckDB and Polars read."""
        text = utc_text(ts_ms)
        place = Path(f"inst_id={inst_id}", f"date={text[:10]}", f"{text[11:13]}.parquet")
        hour_ms = ts_ms // HOUR_MS * HOUR_MS
        return ArchivedHour(inst_id, hour_ms, self.archived_levels / place, self.archived_snapshots / place, self.kind)

    def parse_archive_file(self, path: Path) -> ArchivedHour | None:
        """The archived hour of which `path`, levels or snapshots, is a file; None for any other path."""
        match = _ARCHIVE_FILE.fullmatch(path.name)
        inst_id = path.parent.parent.name.removeprefix("inst_id=")
        date = path.parent.name.removeprefix("date=")
        if match is None or not _DATE.fullmatch(date):
            return None
        try:
            hour = self.archived_hour(inst_id, utc_ms(f"{date}T{match[1]}:00:00.000Z"))
        except ValueError:
            return None
        return hour if path in hour.files else None

    def parse_hour_file(self, path: Path) -> HourFile | None:
        """The inverse of `hour_file`, for both forms; None for a path that is no data file of this vault."""
        above = path.parents  # `relative_to` takes longer than all the rest, and a vault may hold thousands of hours
        if len(above) < 3 or above[2] != self.raw:
            return None
        inst_id, date, name = path.parts[-3:]
        match = _HOUR_FILE.fullmatch(name)
        if match is None or not _DATE.fullmatch(date):
            return None
        try:
            hour_ms = utc_ms(f"{date}T{match[1]}:00:00.000Z")
        except ValueError:
            return None
        return HourFile(inst_id, hour_ms, match[2] is not None, path)


def packed_path(plain: Path) -> Path:
    """The compressed form of a `.jsonl`, which stands beside it."""
    return plain.with_name(f"{plain.name}.gz")


def levels_beside(snapshots: Path) -> Path:
    """The other file of an archived hour."""
    tree = snapshots.parents[2]
    return tree.with_name(_LEVELS) / snapshots.relative_to(tree)
