"""How many alerts a day `l2vault shifts` gives by chance, for each length of window, in markets that stay as they are.

    python benchmarks/shift_alarms.py [--seeds 12] [--hours 24] [--planted]

The markets are those of `chance_market`, in which whales come and go and nothing else happens; with `--planted` those
of `planted_vault` without its walls, whose sizes are as heavy-tailed as real ones (a minute of processor for 8 hours).
Each is judged whole, and cut into spans of 6 hours. Seeds count from 1. What was stated is one alert a day.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

from chance_market import START_MS, market
from planted_vault import INST, record

from l2vault.analytics.books import Books, read_books
from l2vault.analytics.flow.liquidity_flow import chance_z, shifts
from l2vault.book.utc import DAY_MS, HOUR_MS
from l2vault.verbs.format import length_text
from l2vault.verbs.words import at_least_1

WINDOWS_MS: Final = (2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000)
SPAN_MS: Final = 6 * HOUR_MS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=at_least_1, default=12)
    parser.add_argument("--hours", type=at_least_1, default=24)
    parser.add_argument("--planted", action="store_true", help="markets whose sizes are as heavy-tailed as real ones")
    asked = parser.parse_args()
    alarms = {window_ms: [0, 0, 0] for window_ms in WINDOWS_MS}
    for seed in range(1, asked.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            books = _planted(Path(folder), seed, asked.hours) if asked.planted else market(seed, asked.hours)
            for window_ms, counts in alarms.items():
                for at, count in enumerate(_counted(books, window_ms)):
                    counts[at] += count
    days = asked.seeds * asked.hours / 24
    print(
        f"{asked.seeds} markets of {asked.hours} h\nwindow  alerts a day  judged by 6 h  windows of 6 h that can tell"
    )
    for window_ms, (whole, cut, told) in alarms.items():
        print(f"{length_text(window_ms):6}  {whole / days:12.2f}  {cut / days:13.2f}  {told / days / 4:7.0%}")
    return 0


def _planted(folder: Path, seed: int, hours: int) -> Books:
    record(folder, seed, hours, is_quiet=True)
    return read_books(folder, INST, START_MS, START_MS + hours * HOUR_MS)


def _counted(books: Books, window_ms: int) -> tuple[int, int, int]:
    """Alerts of the whole, those judged by each 6 hours alone, and how many of these could tell what chance gives."""
    frame = shifts(books, "usd", window_ms).frame
    cut = told = 0
    known = frame.filter(frame["z"].is_not_null())
    looks = max(1, known.select("side", "band").n_unique()) * DAY_MS / window_ms
    for (_,), own in known.group_by(known["t_from"] // SPAN_MS):
        limit = chance_z(own["z"].to_numpy(), looks, 1.0)
        if limit is not None:
            told += 1
            cut += int((own["z"].abs() >= limit).sum())
    return int(frame["is_alert"].sum()), cut, told


if __name__ == "__main__":
    sys.exit(main())
