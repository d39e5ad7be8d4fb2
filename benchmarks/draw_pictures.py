"""`make pictures`: draws docs/pictures/*.png anew, each with the command that its page names, at full colour.

The hour of the built-in market (`market.png`) is drawn in every clone. Those of real books need the captures that
docs/intelligence-example.md names; without them they are left as they are.
"""

import os
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from planted_vault import record  # noqa: E402

from l2vault import cli  # noqa: E402
from l2vault.book.utc import DAY_MS, utc_text  # noqa: E402
from l2vault.vault.coverage.graded import span_of  # noqa: E402
from l2vault.vault.store.audits import AuditedDay, AuditedHour, keep_audit  # noqa: E402
from l2vault.vault.store.layout import Layout  # noqa: E402
from support.captured import CAPTURES  # noqa: E402
from support.example_vault import make_example_vault  # noqa: E402

PICTURES: Final = ROOT / "docs" / "pictures"
SEED: Final = 1
EXAMPLE: Final = {
    "heatmap.png": "heatmap BTC-USDT-SWAP",
    "walls.png": "walls BTC-USDT-SWAP",
    "zones.png": "zones BTC-USDT-SWAP --top 5",
    "shifts.png": "shifts BTC-USDT-SWAP --horizon 2s --top 6",
}
"""The commands of docs/intelligence-example.md."""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder) / "market", SEED, 1.0)
        make_up_audits(Path(folder) / "audited")
        draw("audits.png", "audit BTC-USDT-SWAP --year 2026", Path(folder) / "audited")
        draw("market.png", "heatmap BTC-USDT-SWAP --min-size 3M", Path(folder) / "market")
        if not (CAPTURES / "derived").is_dir():
            print("No captures of real books here: their pictures are left as they are. Try: L2_CAPTURES=FOLDER")
            return 0
        vault = make_example_vault(Path(folder) / "example")
        for name, command in EXAMPLE.items():
            draw(name, command, vault)
    return 0


def make_up_audits(root: Path) -> None:
    """A year of a recorder that began in February, stood still for two weeks of March, and was audited most days."""
    rng, layout = Random(SEED), Layout(root)
    start_ms, end_ms = span_of(2026)
    for day_ms in range(start_ms + 40 * DAY_MS, end_ms - 36 * DAY_MS, DAY_MS):
        if 70 <= (day_ms - start_ms) // DAY_MS < 84:
            continue
        seen = rng.choices((24, 5, 0), (80, 12, 8))[0]
        hours = {}
        for hour in range(24):
            ours = rng.choices((0, 1, 11, 250), (960, 25, 10, 5))[0]
            hours[hour] = AuditedHour(1_800 - ours, ours) if hour < seen else AuditedHour(unseen=1_800)
        date = utc_text(day_ms)[:10]
        keep_audit(layout, "BTC-USDT-SWAP", AuditedDay(date, "made up", seen < 24, f"{date}T23:59:59.000Z", hours))


def draw(name: str, command: str, vault: Path) -> None:
    out = sys.stdout
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = nowhere
        try:
            code = cli.main([*command.split(), "--vault", str(vault), "--plot", str(PICTURES / name)])
        finally:
            sys.stdout = out
    if code:
        raise SystemExit(f"l2vault {command} ended with code {code}")


if __name__ == "__main__":
    sys.exit(main())
