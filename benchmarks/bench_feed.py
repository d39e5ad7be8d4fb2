"""Feed cost: processor time a message from the socket to an applied, checked book, beside other clients and a floor.

    python benchmarks/bench_feed.py [--levels 15 54 0] [--rounds 5] [--messages 20000]

Every contender is a process in a virtual environment of its own and reads the same frames from the same loopback
server (`feed/`), as fast as it can, in turns. The server's own cost is never counted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
from material import INST_ID, Feed, write_frames
from report import ratio, spread, table
from venvs import ROOT, Place, venv_of, versions_in

FEED: Final = ROOT / "benchmarks" / "feed"
RUN_WITHIN_SEC: Final = 240.0
SAMPLE_SEC: Final = 0.05


class Contender(NamedTuple):
    name: str
    script: str
    packages: tuple[str, ...]
    requirements: tuple[str, ...]
    omits: str
    """What it does not do that l2vault does."""
    is_checksummed: bool = False


_OWN: Final = ("-r", str(ROOT / "requirements.txt"), "-e", str(ROOT))
CONTENDERS: Final = (
    Contender("floor", "floor_client.py", ("websockets", "msgspec"), _OWN, "everything: it reads and decodes, no book"),
    Contender("l2vault", "l2vault_client.py", ("websockets", "msgspec"), _OWN, "files (measured below)"),
    Contender(
        "l2vault, checksums sent", "l2vault_client.py", ("websockets", "msgspec"), _OWN, "files (measured below)", True
    ),
    Contender(
        "cryptofeed",
        "cryptofeed_client.py",
        ("cryptofeed", "order_book", "uvloop"),
        ("cryptofeed==3.0.1",),
        "order counts, strings as sent, crossed and 400-level checks, files; it does check the chain",
    ),
    Contender(
        "ccxt.pro",
        "ccxt_client.py",
        ("ccxt",),
        ("ccxt==4.5.90",),
        "order counts, exact prices (floats), crossed and 400-level checks, files; it does check the chain",
    ),
    Contender(
        "nautilus_trader",
        "nautilus_client.py",
        ("nautilus_trader",),
        ("nautilus_trader==1.231.0",),
        "order counts, strings as sent, files; measured are its client and book, without its engine, bus and cache",
    ),
)


@dataclass(slots=True)
class Runs:
    """One contender's rounds; `failures` instead where it could not be run, or was wrong."""

    contender: Contender
    versions: str = ""
    cpu_us: list[float] = field(default_factory=list)
    wall_us: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    book: str = ""
    note: str = ""
    failures: list[str] = field(default_factory=list)


class Fed(NamedTuple):
    """What the contenders were fed, and what it cost them."""

    feed: Feed
    runs: dict[str, Runs]

    @property
    def levels(self) -> float:
        """A message, in the mean."""
        return self.feed.levels / self.feed.frames


def measure_feed(messages: int, rounds: int, most_levels: int | None = None) -> Fed:
    """Every contender once a round, in turns. `most_levels`: see `write_frames`."""
    runs = {one.name: Runs(one) for one in CONTENDERS}
    places = {one.name: _place(one, runs[one.name]) for one in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        plain, summed = Path(folder, "plain"), Path(folder, "summed")
        feed = write_frames(plain, messages, False, most_levels)
        write_frames(summed, messages, True, most_levels)
        with loopback_server(plain) as plain_at, loopback_server(summed) as summed_at:
            for number in range(rounds):
                for one in CONTENDERS:
                    place, kept = places[one.name], runs[one.name]
                    if place.python is None or len(kept.failures) > 1:
                        continue
                    print(f"feed, round {number + 1} of {rounds}: {one.name}", flush=True)
                    _run(place.python, summed_at if one.is_checksummed else plain_at, feed, kept)
    return Fed(feed, runs)


def sizes_table(every: Sequence[Fed]) -> str:
    """By contender: microseconds a message, and ours over it, at each size of message."""
    head = ["contender", *(text for one in every for text in (f"{one.levels:.0f} levels: µs", "l2vault / this"))]
    rows = [
        [name, *(text for one in every for text in _cells(one.runs["l2vault"], one.runs[name]))]
        for name in every[0].runs
    ]
    return table(head, rows)


def _cells(ours: Runs, theirs: Runs) -> tuple[str, str]:
    if theirs.failures or len(theirs.cpu_us) != len(ours.cpu_us):
        return "; ".join(theirs.failures) or "-", ""
    return spread(theirs.cpu_us), "1" if theirs is ours else str(ratio(ours.cpu_us, theirs.cpu_us))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", type=int, nargs="*", default=[15, 54, 0], help="most a message; 0: as they come")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=20_000)
    args = parser.parse_args()
    print(sizes_table([measure_feed(args.messages, args.rounds, most or None) for most in args.levels]))
    return 0


def _place(contender: Contender, runs: Runs) -> Place:
    own = contender.requirements is _OWN
    place = venv_of("l2vault" if own else contender.name, contender.requirements)
    if place.python is None:
        runs.failures.append(place.reason)
    else:
        runs.versions = versions_in(place, contender.packages)
    return place


@contextmanager
def loopback_server(frames: Path) -> Iterator[dict[str, str]]:
    words = [sys.executable, str(FEED / "server.py"), str(frames), INST_ID]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.stdin.close()


def _run(python: Path, at: dict[str, str], feed: Feed, runs: Runs) -> None:
    script = FEED / runs.contender.script
    words = [str(python), str(script), at["ws_url"], at["rest_url"], INST_ID, str(feed.frames)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        peak_mb = _watch(process)
        said, complaint = process.communicate()
    lines = [line for line in said.splitlines() if line.startswith("RESULT ")]
    if not lines:
        reason = (complaint.strip().splitlines() or ["it ended without a word"])[-1]
        runs.failures.append(f"no result: {reason[:200]}")
        return
    result: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    runs.cpu_us.append(result["cpu_sec"] / (feed.frames - 1) * 1e6)
    runs.wall_us.append(result["wall_sec"] / (feed.frames - 1) * 1e6)
    runs.peak_mb.append(peak_mb)
    runs.note = result["note"]
    runs.book = _judge(result, feed)
    if "WRONG" in runs.book:
        runs.failures.append(runs.book)


def _judge(result: dict[str, Any], feed: Feed) -> str:
    if result["messages"] != feed.frames:
        return f"WRONG: {result['messages']} of {feed.frames} messages"
    if result["best_bid"] is None:
        return "none kept"
    is_same = float(result["best_bid"]) == float(feed.best_bid) and float(result["best_ask"]) == float(feed.best_ask)
    return "same top as ours" if is_same else f"WRONG: {result['best_bid']} / {result['best_ask']}"


def _watch(process: "subprocess.Popen[str]") -> float:
    """The most memory it held, in MB; it is killed if it does not end. (What it prints fits into a pipe.)"""
    began, peak_bytes = time.monotonic(), 0
    seen = psutil.Process(process.pid)
    with suppress(psutil.NoSuchProcess):
        while process.poll() is None:
            peak_bytes = max(peak_bytes, seen.memory_info().rss)
            if time.monotonic() - began > RUN_WITHIN_SEC:
                process.kill()
            time.sleep(SAMPLE_SEC)
    return peak_bytes / 1e6


if __name__ == "__main__":
    sys.exit(main())
