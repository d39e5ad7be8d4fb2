"""What each slot of a vault deserves to be called, decided from what the exchange sent, the lines that are in the files
and the records that are in the journal.

Shares no code with reader, journal or coverage: files are read here with gzip, json and pyarrow alone. A slot deserves
`recorded` if a whole line of it stands in the file of its hour and shows the book that the exchange had; `quiet` if a
record made at the time covers it, the line it rests on stands there unflagged, and the book had not changed since.
"""

import gzip
import json
import zlib
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

Side = list[tuple[str, str, str, str]]


@dataclass
class Truth:
    """Every message of one instrument in order: its time, and the whole book behind it, best first."""

    inst_id: str
    cadence_ms: int
    start_ms: int
    end_ms: int
    books: list[tuple[int, Side, Side]] = field(default_factory=list)

    _exact: dict[tuple[int, int], dict] = field(default_factory=dict)

    def at(self, t_ms: int, depth: int) -> dict | None:
        """The book at a moment, cut to a depth: side and price to quantity, exact."""
        index = bisect_right(self.books, t_ms, key=lambda book: book[0]) - 1
        if index < 0:
            return None
        if (index, depth) not in self._exact:
            sides = zip(("bid", "ask"), self.books[index][1:], strict=True)
            self._exact[index, depth] = {
                (name, Fraction(price)): Fraction(qty) for name, side in sides for price, qty, *_ in side[:depth]
            }
        return self._exact[index, depth]


def deserved(vault: Path, truth: Truth) -> dict[int, set[str]]:
    """For each slot in `[start_ms, end_ms)` the states it may be called without a lie."""
    lines, is_doubtful = _lines(vault, truth)
    records = _records(vault)
    own = [record for record in records if record.get("inst_id") == truth.inst_id]
    disputed = [(_ms(each["from"]), _ms(each["to"])) for each in own if each["event"] == "disputed"]
    has_unverifiable = any(each["event"] == "unverifiable" for each in own)
    is_former = any("run" not in record for record in records)
    quiets = _quiets(records, truth.inst_id)
    found: dict[int, set[str]] = {}
    for slot in range(-(-truth.start_ms // truth.cadence_ms) * truth.cadence_ms, truth.end_ms, truth.cadence_ms):
        allowed = {"missing", "unknown"}
        own_ms = {ms for ms in lines if slot - truth.cadence_ms < ms <= slot}
        since_ms = {since for since, first, last in quiets if first <= slot <= last and since in lines}
        if is_former:
            since_ms |= {max((ms for ms in lines if ms <= slot), default=slot)} & lines.keys()
        right = {ms for ms in own_ms | since_ms if lines[ms] == truth.at(slot, lines[ms].depth)}
        here, rests_on = own_ms & right, since_ms & right
        grounds = [-(-since // truth.cadence_ms) * truth.cadence_ms for since in rests_on]
        is_disputed = any(low <= each <= high for low, high in disputed for each in (slot, *grounds))
        if here:
            allowed = {"recorded"} | ({"unknown"} if is_doubtful else set())
        elif rests_on:
            allowed |= {"quiet"}
        if is_disputed:
            allowed = {"disputed", "missing", "unknown"}
        if has_unverifiable:
            allowed |= {"unverifiable", "unknown"}
        found[slot] = allowed
    return found


class _Book(dict):
    """A line as far as it was sampled: side and price to quantity, exact; and what else of it is needed."""

    time = ""
    depth = 0
    is_flagged = False


def _lines(vault: Path, truth: Truth) -> tuple[dict[int, _Book], bool]:
    """Unflagged lines by their time, each in the file of its hour; and whether any file is not beyond doubt."""
    found: dict[int, _Book] = {}
    is_doubtful = any(record["event"] == "retained" and record.get("action") == "delete" for record in _records(vault))
    folder = vault / "raw/okx/l2_perps" / truth.inst_id
    for path in sorted(folder.glob("????-??-??/??.jsonl*")):
        if not path.is_file() or path.name[2:] not in (".jsonl", ".jsonl.gz"):
            continue
        data, is_whole = _contents(path)
        is_doubtful |= not is_whole
        newest = ""
        for text in data.split(b"\n")[:-1]:
            book = _line(text, truth.inst_id)
            if book is None:
                is_doubtful = True
                continue
            time = book.time
            if time[:13] != f"{path.parent.name}T{path.name[:2]}" or time < newest:
                is_doubtful = True
                continue
            newest = time
            if not book.is_flagged:
                found[_ms(time)] = book
    for path in (vault / "archive/okx/l2_perps/snapshots" / f"inst_id={truth.inst_id}").glob("*/*.parquet"):
        found |= _archived(path)
    return found, is_doubtful


def _contents(path: Path) -> tuple[bytes, bool]:
    data = path.read_bytes()
    if path.suffix != ".gz":
        return data, True
    try:
        return gzip.decompress(data), True
    except (OSError, EOFError, zlib.error):
        inflated = b""
        machine = zlib.decompressobj(31)
        with suppress(zlib.error):
            for at in range(len(data)):
                inflated += machine.decompress(data[at : at + 1])
        return inflated, False


_KEYS = {
    "timestamp_utc",
    "exchange",
    "market",
    "channel",
    "instId",
    "best_bid",
    "best_ask",
    "mid_price",
    "checksum",
    "seqId",
    "prevSeqId",
    "gap_detected",
}


def _line(text: bytes, inst_id: str) -> _Book | None:
    try:
        row = json.loads(text)
        (depth,) = {int(key[8:]) for key in row if key.startswith("bids_top")}
        if set(row) != _KEYS | {f"bids_top{depth}", f"asks_top{depth}"} or row["instId"] != inst_id:
            return None
        book = _Book()
        for name in ("bid", "ask"):
            for price, qty, third, orders in row[f"{name}s_top{depth}"]:
                if not all(isinstance(each, str) for each in (price, qty, third, orders)):
                    return None
                book[name, Fraction(price)] = Fraction(qty)
        _ms(row["timestamp_utc"])
        book.time, book.depth, book.is_flagged = row["timestamp_utc"], depth, row["gap_detected"]
    except (ValueError, TypeError, AttributeError, KeyError, ZeroDivisionError):
        return None
    return book


def _archived(path: Path) -> dict[int, _Book]:
    """The books of an archived hour, from its two files as any user of Parquet reads them; none where one does not."""
    import pyarrow.parquet as pq

    try:
        heads = pq.read_table(path, partitioning=None).to_pylist()
        parts = [part if part != "snapshots" else "levels" for part in path.parts]
        rows = pq.read_table(Path(*parts), partitioning=None).to_pylist()
    except (OSError, ValueError):
        return {}
    found = {}
    for head in heads:
        if head["gap_detected"]:
            continue
        book = _Book()
        for row in rows:
            if row["t_from"] <= head["timestamp"] < row["t_to"]:
                price = Fraction(row["price_num"], row["price_den"])
                book[row["side"], price] = Fraction(row["qty_num"], row["qty_den"])
        book.depth = head["depth"]
        found[head["timestamp"]] = book
    return found


def _records(vault: Path) -> list[dict]:
    """Every line of the journal that is one, in no order that matters here."""
    found = []
    for path in sorted((vault / "meta/okx/journal").glob("????-??-??.jsonl")):
        for text in path.read_bytes().split(b"\n"):
            with suppress(ValueError):
                record = json.loads(text)
                if isinstance(record, dict) and isinstance(record.get("event"), str):
                    found.append(record)
    return found


def _quiets(records: list[dict], inst_id: str) -> list[tuple[int, int, int]]:
    found = []
    for record in records:
        one = record.get("instruments", {}).get(inst_id, {}) if record["event"] == "minute" else {}
        for since, first, last in one.get("quiet", ()):
            with suppress(ValueError):
                found.append((_ms(since), _ms(first), _ms(last)))
    return found


def _ms(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
