"""What each kind of data takes a day: records the built-in exchange in real time and measures its files.

    python benchmarks/bench_kinds.py [SECONDS]
    python benchmarks/bench_kinds.py --changes

The second form takes no real time: changes of ten minutes, of 18 and of 75 levels a message, and what share of their
`.gz` the archive of them takes.
Of the made-up market of `l2vault sim` (some 8 pushes of trades and 9 of books a second and instrument): real markets
differ, so measure your own vault with `l2vault ls`.
"""

import gzip
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

import msgspec

from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange
from l2vault.sim.exchange.market import Market
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.layout import KINDS, Kind, Layout
from l2vault.vault.store.stream import read_chunks

SECONDS = 900
DAY_SEC = 86_400
GZIP_LEVEL = 6
MANY_LEVELS = "ETH-USDT-SWAP"
START_MS = 1_767_225_600_000
FLUSHED_TICKS = 45
"""Five seconds of the market, as the recorder flushes."""


def main() -> None:
    if "--changes" in sys.argv:
        for ticks in (1, 5):
            archived_share(ticks)
        return
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory() as folder:
        words = ["record", "--demo", "--changes", "--duration", str(seconds), "--vault", folder]
        subprocess.run([sys.executable, "-m", "l2vault", *words], check=True, capture_output=True)
        instruments = len(Catalog(Layout(Path(folder))).instruments())
        print(f"MB a day of one instrument, from {seconds} s of {instruments} instruments of the built-in market")
        print(f"{'kind':10}{'.jsonl':>10}{'.jsonl.gz':>12}{'archive':>10}{'lines':>12}{'B/line':>8}")
        for kind in KINDS:
            lines, *sizes = measured(Layout(Path(folder)).of(kind), kind)
            factor = DAY_SEC / seconds / instruments
            plain, packed, archived = (size * factor / 1e6 for size in sizes)
            row = f"{kind:10}{plain:10.1f}{packed:12.1f}{archived:10.1f}{lines * factor:12,.0f}"
            print(f"{row}{sizes[0] / max(1, lines):8.0f}")


def archived_share(ticks: int) -> None:
    """Of ETH, so many ticks of the built-in market in each message."""
    levels = messages = 0
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder)).of("changes")
        writer = ChangeWriter(layout)
        for recorded in changes_of_market(ticks):
            writer.write(recorded, "our_restart" if recorded.change.is_snapshot else None)
            messages += 1
            levels += 0 if recorded.change.is_snapshot else len(recorded.change.asks) + len(recorded.change.bids)
            if messages % (FLUSHED_TICKS // ticks) == 0:
                writer.flush(is_to_sync=False)
        writer.close()
        _, plain, packed, archived = measured(layout, "changes")
    share, each = archived / packed, levels / messages
    print(f"{each:.0f} levels a message: {plain / 1e6:.2f} MB, .gz {packed:,} B, archive {archived:,} B, {share:.3f}")


def changes_of_market(ticks: int) -> Iterator[RecordedChange]:
    """Ten minutes of it."""
    waiting: list[BookChange] = []
    market = Market((MANY_LEVELS,), 7, START_MS).ticks()
    for tick in takewhile(lambda tick: tick.ts_ms < START_MS + 600_000, market):
        waiting.append(tick.change)
        if tick.change.is_snapshot or len(waiting) == ticks:
            asks = {level[0]: level for change in waiting for level in change.asks}
            bids = {level[0]: level for change in waiting for level in change.bids}
            change = msgspec.structs.replace(
                tick.change,
                asks=sorted(asks.values(), key=lambda level: Decimal(level[0])),
                bids=sorted(bids.values(), key=lambda level: -Decimal(level[0])),
                prev_seq_id=waiting[0].prev_seq_id,
                recv_us=tick.ts_ms * 1000 + 66_000 + tick.ts_ms * 7919 % 9_973,
            )
            yield RecordedChange(tick.ts_ms, change, "ws", 1)
            waiting.clear()


def measured(layout: Layout, kind: Kind) -> tuple[int, int, int, int]:
    """Lines, and bytes plain, gzipped and archived."""
    lines = plain = packed = archived = 0
    catalog = Catalog(layout)
    for inst_id in catalog.instruments():
        for forms in catalog.hours(inst_id):
            for stored in forms.raw:
                data = b"".join(read_chunks(stored.path))
                lines += data.count(b"\n")
                plain += len(data)
                packed += stored.size_bytes if stored.form == "gzip" else len(gzip.compress(data, GZIP_LEVEL))
            file = layout.parse_hour_file(forms.raw[0].path)
            assert file is not None
            archived += archive_hour(layout, file)
    return lines, plain, packed, archived


if __name__ == "__main__":
    main()
