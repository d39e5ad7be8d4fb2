"""What each slot of a vault deserves, by the truth of the exchange and the lines in the files alone.

Shares no code with the package and never reads the journal: a slot may be called recorded only if its line stands in a
file and equals the exchange's book, and quiet only if the newest line before it still is that book.
"""

import gzip
import json
import zlib
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from support.trade_judge import TradeVerdict
from support.world import Image

WITHOUT_TIME_MS = 5_000
UNDATED_MS = 500
Levels = tuple[tuple[str, ...], ...]


@dataclass
class Judgement:
    """What is wrong with what was written and what is said of it."""

    wrong_lines: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    slots: Counter[str] = field(default_factory=Counter)
    pushes: int = 0
    """In the files of changes, as they came."""
    rebuilt: int = 0
    not_rebuilt: int = 0
    """Lines that equal the book rebuilt from changes, and lines beside which there are no changes."""
    trades: dict[str, TradeVerdict] = field(default_factory=dict)
    context: list[str] = field(default_factory=list)
    present: dict[str, dict[str, float]] = field(default_factory=dict)
    """By instrument: the share of the time in which each value of the context was called present."""

    @property
    def complaints(self) -> list[str]:
        of_trades = [complaint for one in self.trades.values() for complaint in one.complaints]
        return [*self.wrong_lines, *self.doubles, *self.lies, *self.deleted, *self.crashes, *of_trades, *self.context]


class Truth:
    """The books of one instrument in order of time; where several share a time, the last stands."""

    def __init__(self, images: list[Image], undated_ms: int = 0) -> None:
        self._undated_ms = undated_ms
        self._times = [image.ts_ms for image in images]
        self._by_number: dict[int, list[Image]] = {}
        self._images = images
        for image in images:
            self._by_number.setdefault(image.seq_id, []).append(image)

    def numbered(self, seq_id: int) -> list[Image]:
        """Every book that had this number: heartbeats repeat it, and a reset may bring it back."""
        return self._by_number.get(seq_id, [])

    def near(self, t_ms: int) -> list[Image]:
        """The book at a moment, of the last message at or before it, and the ones that followed within `undated_ms`:
        a change whose `ts` was no time may belong to either side of a grid time."""
        at = bisect_right(self._times, t_ms)
        return [image for image in self._images[max(0, at - 1) : at + 5] if image.ts_ms <= t_ms + self._undated_ms]


def lines_of(root: Path, inst_id: str) -> list[dict]:
    """Every line of the instrument that is whole JSON with a time, as it stands in the files, in their order.

    A file that does not unpack gives what comes before the damage, as any careful reader would take it.
    """
    found = []
    for path in sorted(
        root.glob(f"raw/okx/l2_perps/{inst_id}/*/*.jsonl*"), key=lambda path: str(path).replace(".gz", " ")
    ):
        if not path.is_file() or not path.name.endswith((".jsonl", ".jsonl.gz")) or path.name.startswith("."):
            continue
        for text in _contents(path).split(b"\n"):
            try:
                line = json.loads(text)
                ms(line["timestamp_utc"])
            except (ValueError, KeyError, TypeError):
                continue
            found.append(line)
    return found


def judge_lines(
    judgement: Judgement, inst_id: str, lines: list[dict], truth: Truth, disputed: set[int], cadence_ms: int
) -> None:
    """Every unflagged line, unless its slot is disputed, equals a book that the exchange had at its time and number."""
    seen: set[int] = set()
    for line in lines:
        if line["gap_detected"]:
            continue
        ts_ms = ms(line["timestamp_utc"])
        if ts_ms in seen:
            judgement.doubles.append(f"double {inst_id} {line['timestamp_utc']}")
        seen.add(ts_ms)
        if slot_of(ts_ms, cadence_ms) in disputed:
            continue
        if not any(_equals(line, ts_ms, image) for image in truth.numbered(line["seqId"])):
            judgement.wrong_lines.append(f"wrong line {inst_id} {line['timestamp_utc']} seqId {line['seqId']}")


def judge_slots(
    judgement: Judgement,
    inst_id: str,
    states: dict[int, tuple[str, str]],
    lines: list[dict],
    truth: Truth,
    cadence_ms: int,
) -> None:
    """`states` is what coverage says of each slot: state and cause."""
    books = sorted(
        ((ms(line["timestamp_utc"]), line) for line in lines if not line["gap_detected"]), key=lambda pair: pair[0]
    )
    times = [ts_ms for ts_ms, _ in books]
    for slot_ms, (state, cause) in states.items():
        judgement.slots[state if state != "missing" else f"missing ({cause})"] += 1
        if state not in ("recorded", "quiet"):
            continue
        at = bisect_right(times, slot_ms) - 1
        if at < 0:
            judgement.lies.append(f"{inst_id} {utc(slot_ms)} is called {state}, but no line is at or before it")
            continue
        ts_ms, line = books[at]
        if state == "recorded" and slot_of(ts_ms, cadence_ms) != slot_ms:
            judgement.lies.append(f"{inst_id} {utc(slot_ms)} is called recorded, but its line is not there")
            continue
        held = _levels(line)
        if held not in [(_side(image.bids, True), _side(image.asks, False)) for image in truth.near(slot_ms)]:
            judgement.lies.append(
                f"{inst_id} {utc(slot_ms)} is called {state}, but the line of {utc(ts_ms)} is not its book"
            )


def slot_of(ts_ms: int, cadence_ms: int) -> int:
    return -(-ts_ms // cadence_ms) * cadence_ms


def ms(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def utc_day_hour(ms_: int) -> tuple[str, str]:
    text = datetime.fromtimestamp(ms_ / 1000, UTC).strftime("%Y-%m-%d %H")
    return text[:10], text[11:]


def utc(ms_: int) -> str:
    return datetime.fromtimestamp(ms_ / 1000, UTC).strftime("%H:%M:%S.%f")[:-3]


def _contents(path: Path) -> bytes:
    data = path.read_bytes()
    if not path.name.endswith(".gz"):
        return data
    unpacker = zlib.decompressobj(31)
    parts = []
    try:
        for at in range(0, len(data), 1024):
            parts.append(unpacker.decompress(data[at : at + 1024]))
    except (zlib.error, gzip.BadGzipFile):
        pass
    return b"".join(parts)


def _equals(line: dict, ts_ms: int, image: Image) -> bool:
    """A message whose `ts` was no time leaves the one of the message before: a few steps of the stream at most."""
    is_heartbeat_or_reset = image.is_unchanged and ts_ms <= image.ts_ms
    is_timely = image.ts_ms - WITHOUT_TIME_MS <= ts_ms <= image.ts_ms
    return (is_timely or is_heartbeat_or_reset) and _levels(line) == (_side(image.bids, True), _side(image.asks, False))


def _levels(line: dict) -> tuple[Levels, Levels]:
    bids = next(value for key, value in line.items() if key.startswith("bids_top"))
    asks = next(value for key, value in line.items() if key.startswith("asks_top"))
    return tuple(tuple(level) for level in bids), tuple(tuple(level) for level in asks)


def _side(levels: dict[str, list[str]], is_bid: bool) -> Levels:
    return tuple(tuple(levels[price]) for price in sorted(levels, key=Decimal, reverse=is_bid))
