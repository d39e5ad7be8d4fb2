"""Is every number that of the first edition, where the definition did not change? Both editions answer side by side.

    python benchmarks/first_edition.py [--vault FOLDER --inst BTC-USDT-SWAP] [--last 1h]
    python benchmarks/first_edition.py --make

Without `--vault` it asks the six minutes of the planted market in tests/data/first_edition, which `--make` makes anew:
recorded over the turn of an hour, with a hole, archived and asked by the first edition (commit 08f4c4d, which git must
have). `tests/analytics/test_first_edition.py` holds this edition to those answers in every clone.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec
import planted_vault
import polars as pl
from against import checked_out
from first_edition_questions import FOLDER, INST, LEAST_USD, SPAN, WIDTH, difference
from venvs import ROOT

from l2vault.analytics.books import newest_span
from l2vault.book.utc import HOUR_MS
from l2vault.verbs.words import duration

FIRST: Final = "08f4c4d"
QUESTIONS: Final = Path(__file__).with_name("first_edition_questions.py")

SEED: Final = 7

_ARCHIVE: Final = """
import sys
from l2vault.vault.archive import archive_hour
from l2vault.vault.layout import Layout
layout = Layout(__import__("pathlib").Path(sys.argv[1]))
for path in sorted(layout.root.glob("raw/okx/l2_perps/*/*/*.jsonl")):
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", action="store_true", help="make tests/data/first_edition anew")
    parser.add_argument("--vault", type=Path, default=FOLDER / "vault")
    parser.add_argument("--inst", default=INST)
    parser.add_argument("--last", type=duration, default=HOUR_MS, help="length of the span (default: 1h)")
    asked = parser.parse_args()
    with checked_out(FIRST) as first, tempfile.TemporaryDirectory() as folder:
        if asked.make:
            make(first, FOLDER)
        span = SPAN if asked.vault == FOLDER / "vault" else newest_span(asked.vault, asked.inst, asked.last)
        frames = [answered(tree, asked.vault, asked.inst, span, Path(folder, tree.name)) for tree in (first, ROOT)]
    apart = {name: difference(frames[0][name], frames[1][name]) for name in frames[0]}
    for name, found in apart.items():
        print(f"{name}: {len(frames[0][name])} rows, {found or 'equal'}")
    return int(any(apart.values()))


def make(first: Path, folder: Path) -> None:
    """The vault and the first edition's answers."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    planted_vault.START_MS = SPAN[0]  # type: ignore[misc]
    planted_vault.record(folder / "vault", SEED, (SPAN[1] - SPAN[0]) / HOUR_MS)
    _forget_trades(folder / "vault")
    _run(first, "-c", _ARCHIVE, str(folder / "vault"))
    answered(first, folder / "vault", INST, SPAN, folder)


def _forget_trades(vault: Path) -> None:
    """By them this edition, and not the first one, would say how walls ended."""
    shutil.rmtree(vault / "raw" / "okx" / "trades")
    for journal in vault.glob("meta/okx/journal/*.jsonl"):
        events = [msgspec.json.decode(line) for line in journal.read_bytes().splitlines()]
        others = [event for event in events if not event["event"].startswith("trades")]
        lines = (msgspec.json.encode(event | {"n": number}) for number, event in enumerate(others, 1))
        journal.write_bytes(b"".join(line + b"\n" for line in lines))


def answered(tree: Path, vault: Path, inst_id: str, span: tuple[int, int], folder: Path) -> dict[str, pl.DataFrame]:
    """What an edition says to each question."""
    folder.mkdir(exist_ok=True)
    _run(tree, str(QUESTIONS), str(vault), inst_id, *map(str, span), str(LEAST_USD), str(WIDTH), str(folder))
    return {path.stem: pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}


def _run(tree: Path, *words: str) -> None:
    subprocess.run([sys.executable, *words], env={"PYTHONPATH": str(tree), "PATH": ""}, cwd=tree, check=True)


if __name__ == "__main__":
    sys.exit(main())
