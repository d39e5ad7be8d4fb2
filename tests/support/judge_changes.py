"""What recorded changes deserve, by the truth of the exchange alone: books rebuilt here from the files' bytes.

Shares no code with the package. Of the journal it takes what is named there: holes of changes, and what is disputed.
"""

import json
import zlib
from pathlib import Path

from support.judge import Judgement, Truth, ms

Book = dict[str, dict[str, list[str]]]
_UNNAMED = "a hole before it that the journal does not name"


def change_rows(root: Path, inst_id: str) -> list[list[dict]]:
    """The rows of each file, in order; of one that was not completed what can be had."""
    return [[json.loads(line) for line in lines] for lines in change_lines(root, inst_id)]


def change_lines(root: Path, inst_id: str) -> list[list[bytes]]:
    """The same as they are written."""
    found = []
    for path in sorted((root / "raw" / "okx" / "book_changes" / inst_id).glob("*/??.jsonl.gz")):
        text, rest = b"", path.read_bytes()
        while rest:
            member = zlib.decompressobj(31)
            text += member.decompress(rest)
            rest = member.unused_data if member.eof else b""
        whole, _, torn = text.rpartition(b"\n")
        assert torn == b"", "what can be read ends with a whole line"
        found.append([line for line in whole.split(b"\n") if line])
    return found


def named_ends(root: Path, inst_id: str) -> set[str]:
    """Times at which the journal says that a hole of changes ended."""
    return {event["to"] for event in _events(root, "changes_lost") if event["inst_id"] == inst_id and event.get("to")}


def doubtful(root: Path, inst_id: str) -> list[tuple[int, int]]:
    """What the journal says may be wrong, both ends included."""
    lost = [event for event in _events(root, "changes_lost") if event["cause"] in ("conflict", "audit")]
    events = [event for event in (*lost, *_events(root, "disputed")) if event["inst_id"] == inst_id]
    return [(ms(event["from"]), ms(event["to"])) for event in events if event.get("from") and event.get("to")]


Proved = list[tuple[int, int]]
"""Half-open stretches of time in which coverage says that every change is there."""


def judge_chain(
    judgement: Judgement, root: Path, inst_id: str, proved: Proved | None = None, could_be_named: bool = True
) -> None:
    """Every change follows the one before, or begins anew at a time that the journal names, if the disk took the
    journal's events; files begin with a book. No time between changes that do not follow is `proved`."""
    ends = named_ends(root, inst_id)
    last: dict | None = None
    for rows in change_rows(root, inst_id):
        if rows and rows[0]["action"] != "snapshot":
            judgement.lies.append(f"changes of {inst_id}: the file of {rows[0]['timestamp_utc']} begins without a book")
        times = [row["timestamp_utc"] for row in rows]
        if times != sorted(times):
            judgement.lies.append(f"changes of {inst_id}: {times[0]} and after go back in time")
        for row in rows:
            trouble = _follow(row, last, ends)
            if trouble == _UNNAMED and not could_be_named:
                trouble = ""
            if last is not None and _follow(row, last, set()):
                from_ms, to_ms = ms(last["timestamp_utc"]) + 1, ms(row["timestamp_utc"])
                if any(max(start, from_ms) < min(end, to_ms) for start, end in proved or ()):
                    trouble = trouble or "the time before it is called proved, and it does not follow"
            if trouble:
                judgement.lies.append(f"changes of {inst_id} at {row['timestamp_utc']}: {trouble}")
            last = row


def judge_changes(
    judgement: Judgement,
    root: Path,
    inst_id: str,
    truth: Truth,
    proved: Proved | None = None,
    could_be_named: bool = True,
) -> int:
    """The chain, and each book is one that the exchange had at its number. Returns how many pushes there are."""
    judge_chain(judgement, root, inst_id, proved, could_be_named)
    doubts = doubtful(root, inst_id)
    book: Book = {}
    pushes = 0
    for rows in change_rows(root, inst_id):
        for row in rows:
            _apply(book, row)
            pushes += row["origin"] == "ws"
            at_ms = ms(row["timestamp_utc"])
            is_true = any(
                (image.bids, image.asks) == (book["bids"], book["asks"]) for image in truth.numbered(row["seqId"])
            )
            if not is_true and not any(start <= at_ms <= end for start, end in doubts):
                judgement.wrong_lines.append(
                    f"changes of {inst_id} at {row['timestamp_utc']}, {row['seqId']}: not a book"
                )
    return pushes


def _follow(row: dict, last: dict | None, ends: set[str]) -> str:
    """Why a row may not stand where it does."""
    if row["action"] == "update":
        return "" if last is not None and row["prevSeqId"] == last["seqId"] else "it does not follow the one before"
    is_own = row["origin"] == "book"
    if last is None or (is_own and (row["timestamp_utc"], row["seqId"]) == (last["timestamp_utc"], last["seqId"])):
        return ""
    if is_own and (row["timestamp_utc"] == last["timestamp_utc"] or row["seqId"] == last["seqId"]):
        return ""
    return "" if row["timestamp_utc"] in ends else _UNNAMED


def _apply(book: Book, row: dict) -> None:
    for name in ("bids", "asks"):
        if row["action"] == "snapshot":
            book[name] = {}
        for level in row[name]:
            if level[1] == "0":
                book[name].pop(level[0], None)
            else:
                book[name][level[0]] = level


def _events(root: Path, name: str) -> list[dict]:
    found = []
    for path in sorted((root / "meta" / "okx" / "journal").glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and event.get("event") == name:
                found.append(event)
    return found
