"""Does `l2vault evaluate` find what is there, and nothing else? Markets of which both are known.

    python benchmarks/chance.py [--markets 200] [--planted 100] [--hours 6]

Each market is asked about walls, zones, imbalance and flow at once, as `l2vault evaluate all` does. In markets without
an edge, whatever has a q below 0.05 is a false find; in the others an edge was planted in all four. Exits with 1 if
false finds are in more than 10 % of the markets, or a planted edge is missed in more than 20 %.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final, NamedTuple

import numpy as np
from chance_market import NO_EDGE, PLANTED, Edge, market

from l2vault.analytics.chance.evaluate import MEASURES, evaluate

MOST_FALSE: Final = 0.10
LEAST_FOUND: Final = 0.80
_PLANTED_FROM: Final = 10_000
"""Seeds of markets with an edge; those without begin at 0."""


class Outcome(NamedTuple):
    """Of one market: the measures in which something has a q below 0.05, all p, and the rates of walls and zones that
    were held beside those of chance."""

    found: frozenset[str]
    p: tuple[float, ...]
    rates: dict[str, tuple[float, float]]


def outcome(seed: int, hours: float, edge: Edge) -> Outcome:
    """What is found in one market."""
    frame = evaluate(market(seed, hours, edge)).frame
    told = frame.filter(frame["p"].is_not_null())
    rates = {
        f"{row['measure']} {row['side'] or row['signal']}": (row["rate"], row["chance"])
        for row in told.to_dicts()
        if row["side"] == "both" or row["horizon_ms"] == 10_000
    }
    return Outcome(frozenset(told.filter("is_edge")["measure"]), tuple(told["p"]), rates)


def outcomes(seeds: Iterable[int], hours: float, edge: Edge, processes: ProcessPoolExecutor) -> Iterator[Outcome]:
    """Of each market, in the order of the seeds."""
    futures = [processes.submit(outcome, seed, hours, edge) for seed in seeds]
    for done, future in enumerate(futures, 1):
        yield future.result()
        sys.stderr.write(f"\r{done} of {len(futures)} markets")
    sys.stderr.write("\r" + " " * 40 + "\r")


def false_finds(found: list[Outcome]) -> list[str]:
    """Lines about markets without an edge."""
    p = np.sort(np.concatenate([each.p for each in found]))
    lines = [
        f"{len(found)} markets without an edge: any q below 0.05 in {_share(sum(bool(o.found) for o in found), found)}"
    ]
    lines += [f"  in {name}: {_share(sum(name in each.found for each in found), found)}" for name in MEASURES]
    below = ", ".join(f"{limit:g}: {(p <= limit).mean():.3f}" for limit in (0.01, 0.05, 0.1, 0.25, 0.5, 0.75))
    return [*lines, f"  {len(p)} p in all; the share that is at most {below}"]


def finds(found: list[Outcome]) -> list[str]:
    """Lines about markets with an edge in everything."""
    lines = [f"{len(found)} markets with a planted edge: found"]
    lines += [f"  in {name}: {_share(sum(name in each.found for each in found), found)}" for name in MEASURES]
    for name in sorted({name for each in found for name in each.rates}):
        pairs = np.array([each.rates[name] for each in found if name in each.rates])
        rate, chance = pairs.mean(axis=0)
        lines.append(
            f"  {name}: {100 * rate:.1f} % beside {100 * chance:.1f} % by chance, mean of {len(pairs)} markets"
        )
    return lines


def _share(count: int, of: list[Outcome]) -> str:
    return f"{count} ({100 * count / len(of):.1f} %)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markets", type=int, default=200, help="without an edge")
    parser.add_argument("--planted", type=int, default=100, help="with an edge")
    parser.add_argument("--hours", type=float, default=6.0)
    args = parser.parse_args()
    began = time.monotonic()
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # a process for each core is enough
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        none = list(outcomes(range(args.markets), args.hours, NO_EDGE, processes))
        print("\n".join(false_finds(none)), flush=True)
        planted = list(outcomes(range(_PLANTED_FROM, _PLANTED_FROM + args.planted), args.hours, PLANTED, processes))
    print("\n".join(finds(planted)))
    print(f"{time.monotonic() - began:.0f} s")
    is_honest = sum(bool(each.found) for each in none) <= MOST_FALSE * len(none)
    is_sharp = all(sum(name in each.found for each in planted) >= LEAST_FOUND * len(planted) for name in MEASURES)
    print("as promised" if is_honest and is_sharp else "NOT as promised")
    return 0 if is_honest and is_sharp else 1


if __name__ == "__main__":
    sys.exit(main())
