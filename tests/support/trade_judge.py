"""What a vault's trades deserve, by the truth of the exchange alone: each id once, with its fields, or a reason.

Shares no code with the package. The truth is every single match by id; a line may sum up several of one taker order.
"""

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple


class Match(NamedTuple):
    """One trade of the exchange."""

    px: str
    sz: str
    side: str
    ts: str
    source: str


@dataclass
class TradeVerdict:
    """Of one instrument. `complaints` are what counts against the recorder."""

    wrong: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
    """Ids that the files lack and the journal names."""
    origins: dict[int, str] = field(default_factory=dict)
    overlaps: int = 0

    @property
    def complaints(self) -> list[str]:
        return [*self.wrong, *self.doubles, *self.unexplained]


def trade_lines(root: Path, inst_id: str) -> list[dict]:
    """Every line of the instrument, as the files have them: of an hour the compressed one first."""
    paths = root.glob(f"raw/okx/trades/{inst_id}/*/*.jsonl*")
    found = []
    for path in sorted(paths, key=lambda path: str(path).replace(".gz", " ")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = data.split(b"\n")
        found += [(path, json.loads(line)) for line in lines[:-1]]
        if lines[-1]:
            found.append((path, {}))
    for path, line in found:
        place = f"{path.parent.name}T{path.name[:2]}"
        assert line, f"a torn end in {path}"
        assert line["timestamp_utc"].startswith(place), f"{line['timestamp_utc']} is in {path}"
    return [line for _, line in found]


def trade_events(root: Path, inst_id: str) -> list[dict]:
    """What the journal says of the instrument's trades, in the order of the files."""
    found = []
    for path in sorted(root.glob("meta/okx/journal/*.jsonl")):
        for text in path.read_bytes().split(b"\n"):
            try:
                event = json.loads(text)
            except ValueError:
                continue
            is_ours = str(event.get("event")).startswith("trades_")
            if event.get("inst_id") == inst_id and (is_ours or event.get("kind") == "trades"):
                found.append(event)
    return found


def judge_trades(root: Path, inst_id: str, truth: dict[int, Match], is_journal_whole: bool = True) -> TradeVerdict:
    """Without a whole journal only the lines are judged."""
    verdict, events = TradeVerdict(), trade_events(root, inst_id)
    written = _judge_lines(verdict, inst_id, trade_lines(root, inst_id), truth)
    if not is_journal_whole:
        return verdict
    begun = [event["id"] for event in events if event["event"] == "trades_begun"]
    if not begun:
        if written:
            verdict.unexplained.append(f"{inst_id}: trades without a beginning in the journal")
        return verdict
    if written and min(written) < min(begun):
        verdict.unexplained.append(f"{inst_id}: id {min(written)} is before the beginning")
    _judge_missing(verdict, inst_id, set(range(min(begun), max(written, default=0) + 1)) - written, truth, events)
    return verdict


def _judge_missing(
    verdict: TradeVerdict, inst_id: str, absent: set[int], truth: dict[int, Match], events: list[dict]
) -> None:
    for one in sorted(absent):
        if not _is_named(one, truth.get(one), events):
            verdict.unexplained.append(f"{inst_id}: id {one} is nowhere")
        elif one in truth:
            verdict.missing.add(one)
    for event in events:
        if event["event"] == "trades_skipped":
            used = [one for one in range(event["from_id"], event["to_id"] + 1) if one in truth]
            verdict.wrong += [f"{inst_id}: id {one} is called skipped" for one in used]


def _judge_lines(verdict: TradeVerdict, inst_id: str, lines: Iterable[dict], truth: dict[int, Match]) -> set[int]:
    written: set[int] = set()
    for line in lines:
        last = int(line["tradeId"])
        ids = range(last - int(line["count"] or 1) + 1, last + 1)
        known = [one for one in ids if one in written]
        if line.get("overlap"):
            verdict.overlaps += 1
            if not 0 < len(known) < len(ids):
                verdict.wrong.append(f"{inst_id}: {ids} is no overlap")
        elif known:
            verdict.doubles.append(f"{inst_id}: {known} again")
        written.update(ids)
        verdict.origins |= {one: line["origin"] for one in ids if one not in known}
        matches = [truth.get(one) for one in ids]
        if None in matches:
            verdict.wrong.append(f"{inst_id}: {ids} never was")
            continue
        same = {match._replace(sz="") for match in matches}
        sz = sum(Decimal(match.sz) for match in matches)
        source = line["source"]
        if same != {Match(line["px"], "", line["side"], line["ts"], source)} or sz != Decimal(line["sz"]):
            verdict.wrong.append(f"{inst_id}: {ids} is {line}, and was {matches}")
        if line["origin"] == "rest" and (line["count"], line["seqId"]) != (None, None):
            verdict.wrong.append(f"{inst_id}: {ids} of REST has a count or a number")
    return written


def _is_named(one: int, match: Match | None, events: list[dict]) -> bool:
    named = ("trades_missing", "trades_hole", "trades_skipped")
    for event in [event for event in events if event["event"] in (*named, "write_failed")]:
        if event["event"] in named:
            if event["from_id"] <= one <= event["to_id"]:
                return True
        elif match is not None and _ms(event["from"]) <= int(match.ts) <= _ms(event["to"]):
            return True  # the lines were lost on the way to the disk
    return False


def _ms(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
