"""Real captures for tests: where they are, and rewritten copies of them (renamed, moved in time, with a hole)."""

import io
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from l2vault.sim.exchange.books import Tick
from l2vault.sim.exchange.captures import read_captures

_ROOT = Path(__file__).resolve().parents[2]
_BESIDE_THE_PROJECT = _ROOT.parent / "shared" / "data"
PAIR = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
CAPTURES = Path(os.environ.get("L2_CAPTURES") or _BESIDE_THE_PROJECT)

PAIRS_2023 = ("USDT-USD-SWAP", "BTC-USD-SWAP", "ETH-USD-SWAP", "USDC-USDT-SWAP")
CASES = {
    "the derived pair of swaps": (
        ["derived/DERIVED_BTC-USDT-SWAP_from-binance-20240808.jsonl.zst",
         "derived/DERIVED_ETH-USDT-SWAP_from-binance-20240808.jsonl.zst"],
        ("BTC-USDT-SWAP", "ETH-USDT-SWAP"), 2.0, 60,
    ),
    "2022 with sequence numbers added beforehand": (
        ["derived/DERIVED_okx-real-2022-05-13_books_plus-synthetic-seqId.jsonl.zst"],
        ("BTC-USDT-SWAP", "UNI-USD-SWAP", "BTC-USD-220527-SWAP"), 0.5, 20,
    ),
    "2022 as captured": (
        ["okx-ws/cryptofeed_2022-05-13_books.log.zst"],
        ("BTC-USDT-SWAP", "UNI-USD-SWAP", "BTC-USD-220527-SWAP"), 0.5, 20,
    ),
    "2023, quiet": (["okx-ws/cryptofeed_okcoin_2023-05-27_books.log.zst"], PAIRS_2023, 0.1, 0),
    "2026": (["okx-ws/tickvault_2026-08-24_BTC-USDT_books.jsonl"], ("BTC-USDT-SWAP",), 0.1, 5),
}  # fmt: skip
"""By name: the captures of one exchange, their swaps, a cadence, and how many lines a replay gives at least."""


def capture(name: str) -> Path:
    """The path of a real capture; without it the test skips, or fails where `L2_CAPTURES_REQUIRED` is 1."""
    path = CAPTURES / name
    if not path.exists():
        missing = f"needs the capture {name}, which is not in {CAPTURES}"
        if os.environ.get("L2_CAPTURES_REQUIRED") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return path


def shipped(name: str) -> Path:
    """The path of a capture of the built-in market, which every clone has (benchmarks/make_captures.py makes it)."""
    path = _ROOT / "tests" / "data" / name
    assert path.exists(), f"tests/data/{name} is missing: .venv/bin/python benchmarks/make_captures.py makes it"
    return path


def book_frames(path: Path) -> Iterator[dict]:
    """Every `books` push of a capture, parsed, in order."""
    for line in _lines(path):
        start = line.find('{"arg":')
        if start < 0 or "<-" in line[:start]:
            continue
        push = json.loads(line[start:])
        if push["arg"]["channel"] == "books" and "data" in push:
            yield push


def write_frames(path: Path, pushes: Iterable[dict]) -> Path:
    path.write_text("".join(json.dumps(push, separators=(",", ":")) + "\n" for push in pushes), encoding="utf-8")
    return path


def rewritten(source: Path, target: Path, change: Callable[[dict], dict | None], seconds: float = float("inf")) -> Path:
    """A copy of the first `seconds` of a capture's pushes, each as `change` returns it; None leaves it out."""
    changed = (change(push) for push in _first(seconds, source))
    return write_frames(target, [push for push in changed if push is not None])


def as_swap(push: dict) -> dict:
    """Spot and futures under the name of a swap, since only swaps are recorded."""
    inst_id = push["arg"]["instId"]
    if not inst_id.endswith("-SWAP"):
        push["arg"]["instId"] = f"{inst_id}-SWAP"
    return push


def moved(push: dict, by_ms: int) -> dict:
    push["data"][0]["ts"] = str(_ts_ms(push) + by_ms)
    return push


def _lines(path: Path) -> Iterator[str]:
    if path.suffix != ".zst":
        with path.open(encoding="utf-8") as text:
            yield from text
        return
    zstandard = pytest.importorskip("zstandard")
    with path.open("rb") as file:
        yield from io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")


def pair(folder: Path, seconds: int, by_ms: int = 0) -> list[Path]:
    """The first `seconds` of the derived pair of swaps, one file each, moved in time by `by_ms`."""
    paths = []
    for inst_id in PAIR:
        source = capture(f"derived/DERIVED_{inst_id}_from-binance-20240808.jsonl.zst")
        paths.append(
            write_frames(folder / f"{inst_id}.jsonl", (moved(push, by_ms) for push in _first(seconds, source)))
        )
    return paths


def _first(seconds: float, source: Path) -> Iterator[dict]:
    end_ms = _ts_ms(next(book_frames(source))) + seconds * 1000
    return itertools.takewhile(lambda push: _ts_ms(push) < end_ms, book_frames(source))


def looped(source: Path, target: Path, times: int) -> Path:
    """The capture again and again, each time later; its full book then comes unasked, which is legal."""
    pushes = list(book_frames(source))
    length_ms = _ts_ms(pushes[-1]) - _ts_ms(pushes[0]) + 100
    return write_frames(target, (moved(push, length_ms * bool(n)) for n in range(times) for push in pushes))


def _ts_ms(push: dict) -> int:
    return int(push["data"][0]["ts"])


def read_books(paths: Sequence[Path], verbatim: bool) -> Iterator[Tick]:
    """The pushes of `books` on the timeline of captures."""
    return (tick for tick in read_captures(paths, verbatim) if isinstance(tick, Tick))
