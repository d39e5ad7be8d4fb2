"""What a line costs to encode and append, and what retention of an hour costs beside `gzip -6` alone.

Processor time of this process; contenders take turns within each round.
"""

import gzip
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from looped_hour import START_MS
from material import INST_ID, hour_snapshots

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.vault.retention.compress import GZIP_LEVEL, compress
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.writer import LineWriter

LINES: Final = 1000


class Storage(NamedTuple):
    """By contender, one value a round: microseconds a line, seconds an hour."""

    line_us: dict[str, list[float]]
    hour_sec: dict[str, list[float]]
    line_bytes: int
    hour_mb: float


def measure_storage(rounds: int) -> Storage:
    snapshots = [snapshot for snapshot in hour_snapshots() if len(snapshot.bids) == len(snapshot.asks) == 400]
    hour = b"".join(to_line(snapshot) + b"\n" for snapshot in snapshots)
    with tempfile.TemporaryDirectory() as folder:
        print(f"storage: {rounds} rounds of {LINES} lines, then of an hour", flush=True)
        line_us = _lines(snapshots[:LINES], Path(folder), rounds)
        hour_sec = _hours(hour, Path(folder), rounds)
    return Storage(line_us, hour_sec, len(hour) // len(snapshots), len(hour) / 1e6)


def _lines(snapshots: list[Snapshot], folder: Path, rounds: int) -> dict[str, list[float]]:
    encoder = msgspec.json.Encoder()
    writer = LineWriter(Layout(folder / "lines"))

    def encode_lists() -> None:
        for snapshot in snapshots:
            encoder.encode([snapshot.bids, snapshot.asks])

    def encode_lines() -> None:
        for snapshot in snapshots:
            to_line(snapshot)

    def append_lines() -> None:
        for snapshot in snapshots:
            writer.append(snapshot)

    def append_bytes() -> None:
        with Path(folder, "plain").open("ab", buffering=0) as file:
            for line in lines:
                file.write(line)

    lines = [to_line(snapshot) + b"\n" for snapshot in snapshots]
    contenders = {
        "msgspec encodes the two lists": encode_lists,
        "l2vault encodes the line": encode_lines,
        "the system takes the ready line (`write`)": append_bytes,
        "l2vault encodes and appends the line": append_lines,
    }
    took = _interleaved(contenders, rounds)
    writer.close()
    return {name: [seconds / len(snapshots) * 1e6 for seconds in each] for name, each in took.items()}


def _hours(hour: bytes, folder: Path, rounds: int) -> dict[str, list[float]]:
    plain = Layout(folder / "hours").hour_file(INST_ID, START_MS)
    plain.parent.mkdir(parents=True)
    alone = folder / "alone.gz"

    def gzip_alone() -> None:
        with alone.open("wb") as file, gzip.GzipFile("", "wb", GZIP_LEVEL, file) as member:
            for at in range(0, len(hour), 1 << 18):
                member.write(hour[at : at + (1 << 18)])

    def retain() -> None:
        compress(plain).packed.unlink()

    took: dict[str, list[float]] = {}
    for _ in range(rounds):
        plain.write_bytes(hour)
        for name, each in _interleaved({"gzip -6 alone": gzip_alone, "l2vault's retention": retain}, 1).items():
            took.setdefault(name, []).extend(each)
    return took


def _interleaved(contenders: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            began = time.process_time()
            contender()
            took[name].append(time.process_time() - began)
    return took
