"""`make pictures`: draws docs/pictures/*.png anew, each with the command that its page names, at full colour.

The hour of the built-in market (`market.png`) is drawn in every clone. Those of real books need the captures that
docs/intelligence-example.md names; without them they are left as they are.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from planted_vault import record  # noqa: E402

from l2vault import cli  # noqa: E402
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
        draw("market.png", "heatmap BTC-USDT-SWAP --min-size 3M", Path(folder) / "market")
        if not (CAPTURES / "derived").is_dir():
            print("No captures of real books here: their pictures are left as they are. Try: L2_CAPTURES=FOLDER")
            return 0
        vault = make_example_vault(Path(folder) / "example")
        for name, command in EXAMPLE.items():
            draw(name, command, vault)
    return 0


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
