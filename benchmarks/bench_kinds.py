"""What each kind of data takes a day: records the built-in exchange in real time and measures its files.

    python benchmarks/bench_kinds.py [SECONDS]

Of the made-up market of `l2vault sim` (some 8 pushes of trades and 9 of books a second and instrument): real markets
differ, so measure your own vault with `l2vault ls`.
"""

import gzip
import subprocess
import sys
import tempfile
from pathlib import Path

from l2vault.vault.archive.write import archive_hour
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import KINDS, Kind, Layout
from l2vault.vault.store.stream import read_chunks

SECONDS = 900
DAY_SEC = 86_400
GZIP_LEVEL = 6


def main() -> None:
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
