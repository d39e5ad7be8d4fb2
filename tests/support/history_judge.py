"""What the verbs made of the built-in exchange's archive, slot by slot against what that exchange knows.

Each judge counts what it compared and lists what differs; none of them asks the code that it judges what is right.
"""

import csv
import gzip
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from l2vault.book.utc import DAY_MS, HOUR_MS, utc_text
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.reading.sources import open_sources
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.layout import Layout
from support.history_world import (
    DEEP_MS,
    DENIED,
    INST,
    KNOWN,
    LONGEST_QUIET_MS,
    Slots,
    World,
    digest,
    digest_of_sizes,
    trade_digests,
)

Mode = Literal["recorded", "archive", "joined"]
_MOST_NAMED = 5
_RECORDED = ("recorded", "quiet")
_COVERED = ("recorded", "quiet", "archive")


@dataclass
class Judged:
    """How much was compared, how much of it is as it must be, and what is not."""

    what: str
    compared: int = 0
    equal: int = 0
    holes: int = 0
    """Of the equal ones those of which nothing may be known, and nothing is."""
    wrong: list[str] = field(default_factory=list)

    def take(self, is_right: bool, is_hole: bool, said: str) -> None:
        self.compared += 1
        self.equal += is_right
        self.holes += is_right and is_hole
        if not is_right and len(self.wrong) < _MOST_NAMED:
            self.wrong.append(said)

    def __str__(self) -> str:
        text = f"{self.what}: {self.compared} compared, {self.equal} as the exchange knows"
        if self.holes:
            text += f", of them {self.holes} in holes as planted"
        return text + "".join(f"\n    DIFFERS: {each}" for each in self.wrong)

    @property
    def is_good(self) -> bool:
        return self.compared == self.equal > 0


def judge_books(what: str, root: Path, world: World, mode: Mode, days: range | None = None) -> Judged:
    """Every slot: its state in the coverage, and the book that stands there. `days` are indices since 1970."""
    judged = Judged(what)
    sources = ("recorded",) if mode == "recorded" else None
    for slots in world.slots:
        vault = open_sources(root, sources)
        coverage = vault.coverage(INST, *slots.span)
        books = iter(vault.snapshots(INST, slots.span[0] - LONGEST_QUIET_MS, slots.span[1]))
        following = next(books, None)
        found = 0
        states = iter(coverage.stretches)
        stretch = next(states)
        for at, slot_ms in slots.times():
            while following is not None and following.ts_ms <= slot_ms:
                found = digest(following.bids, following.asks) if not following.gap_detected else 0
                following = next(books, None)
            while stretch.last_ms < slot_ms:
                stretch = next(states)
            if days is not None and slot_ms // DAY_MS not in days:
                continue
            wanted, book = _wanted(slots, at, mode)
            is_right = stretch.state in wanted and (not book or found == book)
            said = f"{utc_text(slot_ms)} is {stretch.state} {stretch.cause}, must be {' or '.join(wanted)}"
            judged.take(is_right, not book, said if stretch.state not in wanted else f"{said}, another book")
    return judged


def _wanted(slots: Slots, at: int, mode: Mode) -> tuple[tuple[str, ...], int]:
    """The states that a slot may have, and the digest of its book; 0: it must have none that counts."""
    if mode != "archive" and slots.recorded[at]:
        return _RECORDED, slots.altered.get(at, slots.books[at])
    if mode == "recorded" or slots.archive[at] != KNOWN:
        is_denied = mode == "archive" and slots.archive[at] == DENIED
        return ("unverifiable", "unknown") if is_denied else ("missing", "unknown"), 0
    return ("archive",), slots.books[at]


def judge_trades(what: str, archive: Path, world: World, absent: Iterable[str] = ()) -> Judged:
    """Every hour's single trades, by a digest of all of them; `absent` are days of UTC+8 that were not to be had."""
    judged, reader = Judged(what), TradeReader(Layout(archive))
    kept = {hour: found for hour, found in world.trades.items() if _utc8_day(hour) not in set(absent)}
    span = min(world.trades), max(world.trades) + HOUR_MS
    rows = reader.rows(INST, span, lambda finding: judged.wrong.append(str(finding)))
    found = trade_digests(
        (each.ts_ms, each.trade_id, each.px, each.sz, each.side) for each in (row.push for row in rows)
    )
    for hour_ms in sorted({*kept, *found}):
        one, other = found.get(hour_ms), kept.get(hour_ms)
        judged.take(one == other, False, f"{utc_text(hour_ms)}: {one} trades, must be {other}")
    return judged


def judge_funding(what: str, archive: Path, world: World, absent: Iterable[str] = ()) -> Judged:
    """Every rate, against the files as the exchange made them."""
    judged, wanted = Judged(what), {}
    for file in world.files:
        if file.kind == "funding" and file.is_listed and file.date not in set(absent):
            with zipfile.ZipFile(file.path) as packed:
                rows = csv.DictReader(packed.read(packed.namelist()[0]).decode().splitlines())
                wanted |= {int(row["funding_time"]): row["funding_rate"] for row in rows}
    reader = ContextReader(Layout(archive))
    span = (min(wanted), max(wanted) + 1) if wanted else (0, 1)
    rows = reader.rows(INST, span, lambda finding: judged.wrong.append(str(finding)))
    found = {row.grid_ms: row.funding.settled_rate for row in rows}
    for time_ms in sorted({*wanted, *found}):
        one, other = found.get(time_ms), wanted.get(time_ms)
        judged.take(one == other, False, f"{utc_text(time_ms)}: {one}, must be {other}")
    return judged


def judge_deep(what: str, archive: Path, world: World, span: tuple[int, int]) -> Judged:
    """Every sample of 30 s, at the depth of the plan; that of midnight is in no file, and none is of a stretch that the
    full book behind a silence denies."""
    judged, depth = Judged(what), world.plan.depth
    reader = DeepReader(Layout(archive))
    found = {}
    for sample in reader.samples(INST, span, lambda finding: judged.wrong.append(str(finding))):
        bids, asks = (
            [(price, size, "0", orders) for price, size, orders in side[:depth]] for side in (sample.bids, sample.asks)
        )
        found[sample.ts_ms] = digest(bids, asks)
    wanted = {
        ts_ms: book
        for ts_ms, book in world.deep.items()
        if span[0] <= ts_ms < span[1]
        and (-(-ts_ms // DEEP_MS) * DEEP_MS % DAY_MS or not ts_ms % DEEP_MS)
        and not any(each.whole_ms <= ts_ms < each.to_ms for each in world.silences)
    }
    for ts_ms in sorted({*wanted, *found}):
        judged.take(found.get(ts_ms) == wanted.get(ts_ms), False, f"the sample of {utc_text(ts_ms)}")
    return judged


def judge_audit(what: str, world: World, day_ms: int, document: dict) -> Judged:
    """The verdicts of each hour, and every disagreement that is listed."""
    judged = Judged(what)
    hours: dict[str, Counter] = defaultdict(Counter)
    listed = {}
    for ts_ms, seq_id in zip(world.lines[::2], world.lines[1::2], strict=True):
        if day_ms <= ts_ms < day_ms + DAY_MS:
            verdict = _verdict(world, ts_ms)
            hours[utc_text(ts_ms // HOUR_MS * HOUR_MS)][verdict] += 1
            if verdict in ("ours", "theirs"):
                listed[utc_text(ts_ms), seq_id] = verdict, world.wrong.get(ts_ms)
    for hour in document["hours"]:
        counts = {verdict: count for verdict, count in hour["counts"].items() if count}
        wanted = dict(hours.pop(hour["hour_utc"], {}))
        judged.take(counts == wanted, False, f"{hour['hour_utc']}: {counts}, must be {wanted}")
    for hour_utc in hours:
        judged.take(False, False, f"{hour_utc} is not there")
    for row in document["disagreements"]:
        verdict, wrong = listed.pop((row["time_utc"], row["seq_id"]), ("", None))
        told = row["side"], row["price"], row["ours"], row["theirs"]
        is_told = verdict == "theirs" or (wrong is not None and told == wrong[3:])
        judged.take(row["verdict"] == verdict and is_told, False, f"{row}, must be {verdict} {wrong}")
    for time_utc, _ in listed:
        judged.take(False, False, f"the disagreement of {time_utc} is not listed")
    return judged


def _verdict(world: World, ts_ms: int) -> str:
    slots = next(each for each in world.slots if each.span[0] <= ts_ms < each.span[1])
    silence = next((each for each in world.silences if each.from_ms < ts_ms < each.to_ms), None)
    wrong = world.wrong.get(ts_ms)
    at = slots.place(-(-ts_ms // 2_000) * 2_000)
    if silence is not None:
        if ts_ms - silence.from_ms > LONGEST_QUIET_MS:
            return "no witness"
        return "exact" if silence.books == slots.altered.get(at, slots.books[at]) else "theirs"
    if ts_ms in world.misled:
        return "exact" if world.misled[ts_ms] == slots.altered.get(at, slots.books[at]) else "theirs"
    if wrong is None:
        return "exact"
    return "theirs" if wrong.verdict == "ours" and slots.archive[at] == DENIED else wrong.verdict


def judge_export(what: str, rows: Iterator[tuple], world: World) -> Judged:
    """The book that a reader of the files has at each grid time; none where the archive has none. `rows` are
    `(ts_ms, kind, side, price, size)` in order of time, kind `clear` (side None: both) or `level`."""
    judged = Judged(what)
    sides: tuple[dict, dict] = ({}, {})
    row = next(rows, None)
    for slots in world.slots:
        book, is_new = 0, True
        for at, slot_ms in slots.times():
            while row is not None and row[0] <= slot_ms:
                _apply(sides, row)
                is_new = True
                row = next(rows, None)
            if is_new:
                bids, asks = sorted(sides[0].items(), reverse=True), sorted(sides[1].items())
                book, is_new = digest_of_sizes(bids, asks) if bids or asks else 0, False
            wanted = slots.sizes[at] if slots.archive[at] == KNOWN else 0
            judged.take(
                book == wanted, not wanted, f"{utc_text(slot_ms)}: another book" if wanted else utc_text(slot_ms)
            )
    return judged


def _apply(sides: tuple[dict, dict], row: tuple) -> None:
    _, kind, side, price, size = row
    if kind == "clear":
        for one in (0, 1) if side is None else (side,):
            sides[one].clear()
    elif size:
        sides[side][price] = size
    else:
        sides[side].pop(price, None)


def exported_rows(form: str, folder: Path) -> Iterator[tuple]:
    """The rows of an export in the form that `judge_export` takes, by the rules of each format."""
    return {"csv": _csv, "parquet": _parquet, "tardis-csv": _tardis, "hftbacktest": _hftbacktest}[form](folder)


def _plain(rows: Iterator[tuple]) -> Iterator[tuple]:
    """Of time, event, side, price, size: a full book replaces all, once for all its rows."""
    last = None
    for ts_ms, event, side, price, size in rows:
        if event != "update" and (ts_ms, event) != last:
            yield ts_ms, "clear", None, 0, 0
        last = ts_ms, event
        if event != "clear":
            yield ts_ms, "level", int(side == "ask"), price, size


def _csv(folder: Path) -> Iterator[tuple]:
    def rows():
        for path in sorted(folder.glob("*_book_*")):
            with gzip.open(path, "rt", newline="") as file:
                reader = csv.reader(file)
                assert next(reader)[:1] == ["time"]
                last, ts_ms = "", 0
                for time, _, _, event, side, price, size, _, _ in reader:
                    if time != last:
                        last, ts_ms = time, _ms(time)
                    yield ts_ms, event, side, float(price or 0), float(size or 0)

    return _plain(rows())


def _parquet(folder: Path) -> Iterator[tuple]:
    import pyarrow.parquet as pq

    def rows():
        for path in sorted(folder.glob("*_book_*")):
            for batch in pq.ParquetFile(path).iter_batches(columns=["time", "event", "side", "price", "qty"]):
                times = batch.column(0).cast("int64").to_pylist()
                yield from zip(times, *(batch.column(at).to_pylist() for at in range(1, 5)), strict=True)

    return _plain(rows())


def _tardis(folder: Path) -> Iterator[tuple]:
    """A snapshot row behind one that is none empties the book first."""
    was = "false"
    for path in sorted(folder.glob("okex-swap_incremental_book_L2_*")):
        with gzip.open(path, "rt", newline="") as file:
            reader = csv.reader(file)
            next(reader)
            for _, _, time_us, _, is_snapshot, side, price, size in reader:
                ts_ms = int(time_us) // 1000
                if is_snapshot == "true" and was == "false":
                    yield ts_ms, "clear", None, 0, 0
                was = is_snapshot
                yield ts_ms, "level", int(side == "ask"), float(price), float(size)


def _hftbacktest(folder: Path) -> Iterator[tuple]:
    import numpy as np

    for path in sorted(folder.glob("*.npz")):
        data = np.load(path)["data"]
        data = data[(data["ev"] & (1 << 31) > 0) & (data["ev"] & 0xFF != 2)]
        kinds, times = data["ev"], data["exch_ts"] // 1_000_000
        for ev, ts_ms, price, size in zip(
            kinds.tolist(), times.tolist(), data["px"].tolist(), data["qty"].tolist(), strict=True
        ):
            yield ts_ms, "clear" if ev & 0xFF == 3 else "level", 0 if ev & (1 << 29) else 1, price, size


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def _utc8_day(ts_ms: int) -> str:
    return utc_text(ts_ms + 8 * HOUR_MS)[:10]


def read_document(text: str) -> dict:
    return json.loads(text)
