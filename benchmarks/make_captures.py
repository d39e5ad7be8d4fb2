"""Makes the captures in tests/data anew: frames of the built-in market, as its websocket sends them, one a line.

    .venv/bin/python benchmarks/make_captures.py

The market is seeded and reads no clock, so that the same version makes the same frames. The suite replays them through
the recorder and judges every line by a naive book that shares no code with the package; without them it fails.
"""

from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

import zstandard

from l2vault.sim.exchange.books import encode_push
from l2vault.sim.exchange.market import Market

FOLDER: Final = Path(__file__).resolve().parents[1] / "tests" / "data"
START_MS: Final = 1_767_225_585_000
"""2025-12-31 23:59:45 UTC: the captures cross an hour, a day and a year."""


class Capture(NamedTuple):
    name: str
    inst_ids: tuple[str, ...]
    seed: int
    seconds: int


CAPTURES: Final = (
    Capture("market_busy_seed7_30s.jsonl.zst", ("BTC-USDT-SWAP", "ETH-USDT-SWAP"), 7, 30),
    Capture("market_quiet_seed4_150s.jsonl.zst", ("SSV-USDT-SWAP", "LQTY-USDT-SWAP"), 4, 150),
)


def frames(capture: Capture) -> list[str]:
    """The full book of each instrument, then every push up to the end."""
    end_ms = START_MS + capture.seconds * 1000
    ticks = takewhile(lambda tick: tick.ts_ms < end_ms, Market(capture.inst_ids, capture.seed, START_MS).ticks())
    return [encode_push(tick.change) for tick in ticks]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for capture in CAPTURES:
        text = "".join(f"{frame}\n" for frame in frames(capture)).encode()
        packed = zstandard.ZstdCompressor(level=19).compress(text)
        (FOLDER / capture.name).write_bytes(packed)
        print(f"{capture.name}: {len(text.splitlines())} frames, {len(packed)} bytes")


if __name__ == "__main__":
    main()
