"""How far the wall ledger can be trusted, on simulated markets in which every wall and its end are known.

    python benchmarks/bench_walls.py [--seeds 8] [--first 0] [--hours 3] [--quiet 2] [--quiet-hours 6]

Each market is recorded into a vault of its own as the recorder would, with holes, and with the trades that explain its
books; it is read back with the default criteria of version 0.1, once as if no trades had been recorded and once with
them. What is told of the planted walls is compared with what became of them; and in markets without any, what is called
a whale or an alert by chance is counted. Nothing here is asserted.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from math import inf
from pathlib import Path
from statistics import median, quantiles
from typing import Final, NamedTuple

from planted import INST
from planted_judge import Judged, Verdict, judge
from planted_vault import START_MS, record

from l2vault.analytics.books import read_books
from l2vault.analytics.flow.liquidity_flow import shifts
from l2vault.analytics.walls.walls import Criteria, walls
from l2vault.verbs.words import hours

PERCENTILE: Final = 99.8
"""What is judged is the course and the end of every large level, not which of them are whales."""

HORIZONS_MS: Final = (10_000, 60_000)

CAUSES: Final = ("consumed", "pulled", "moved", "left view", "gap", "standing")
"""Of a truth. What is told may also be that a wall was consumed and refilled meanwhile, or that nobody knows."""
_TOLD: Final = ("consumed", "refilled", "pulled", "unknown", "moved", "left view", "gap", "standing")
_CONSUMED: Final = ("consumed", "refilled")
_DETAILS: Final = (
    "consumed slowly",
    "consumed within 2 s",
    "pulled at the touch",
    "pulled within 0.5 bps of it",
    "pulled far from it",
    "moved",
    "left view",
    "gap",
    "standing",
)
_LIVES_ON: Final = "(lives on)"
_FILLED_UP: Final = "consumed and filled up again"
_FILLED: Final = (0.0, 0.25, 0.5, inf)
_SIZES: Final = (0.0, 1.0, 1.5, 3.0, 10.0, inf)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="the first seed; the measure was made on 0 to 7")
    parser.add_argument("--hours", type=hours, default=3.0)
    parser.add_argument("--quiet", type=int, default=2, help="markets without planted walls")
    parser.add_argument("--quiet-hours", type=hours, default=6.0)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(asked.workers) as pool:
        seeds = range(asked.first, asked.first + asked.seeds)
        both = list(pool.map(verdicts_of, seeds, [asked.hours] * asked.seeds))
        quiet = list(pool.map(chance_of, range(1, asked.quiet + 1), [asked.quiet_hours] * asked.quiet))
    for name, verdicts in zip(("without trades", "with trades"), zip(*both, strict=True), strict=False):
        print("\n".join(["", f"# {name}", "", *report(verdicts)]))
    print("\n".join(quiet_report(quiet) if quiet else []))
    print(f"\n{time.perf_counter() - began:.0f} s", file=sys.stderr)
    return 0


def verdicts_of(seed: int, hours: float) -> tuple[Verdict, Verdict]:
    """Simulate, record, read back and judge: as if no trades had been recorded, and with them."""
    with tempfile.TemporaryDirectory() as folder:
        recording = record(Path(folder), seed, hours)
        books = read_books(folder, INST, START_MS, recording.end_ms)
        with_trades = walls(books, criteria=Criteria(percentile=PERCENTILE))
        books.trades = None
        without = walls(books, criteria=Criteria(percentile=PERCENTILE))
    one, other = (judge(recording, each.frame, each.provenance.setting("threshold")) for each in (without, with_trades))
    return one, other


class Chance(NamedTuple):
    """What was found in a market in which nothing is planted."""

    hours: float
    whales: int
    by_percentile: int
    alerts: dict[int, int]
    """By horizon, in ms."""


def chance_of(seed: int, hours: float) -> Chance:
    """Record a market without planted walls and holes, and count what is called a whale or an alert there."""
    with tempfile.TemporaryDirectory() as folder:
        recording = record(Path(folder), seed, hours, is_quiet=True)
        books = read_books(folder, INST, START_MS, recording.end_ms)
        whales, large = (walls(books, criteria=each).frame for each in (Criteria(), Criteria(percentile=PERCENTILE)))
        alerts = {horizon: int(shifts(books, "usd", horizon).frame["is_alert"].sum()) for horizon in HORIZONS_MS}
    return Chance(hours, whales["track"].n_unique(), large["track"].n_unique(), alerts)


def quiet_report(found: Sequence[Chance]) -> list[str]:
    hours = sum(each.hours for each in found)
    alerts = ", ".join(
        f"{sum(each.alerts[horizon] for each in found)} with windows of {horizon // 1000} s" for horizon in HORIZONS_MS
    )
    whales, large = (sum(getattr(each, name) for each in found) for name in ("whales", "by_percentile"))
    return [
        "",
        f"{len(found)} markets without planted walls, {hours:g} h: {whales} whales by chance, of {large} levels "
        f"above the {PERCENTILE:g}th percentile; alerts: {alerts}",
    ]


def due(verdicts: Iterable[Verdict]) -> list[Judged]:
    """The stretches that the ledger ought to have: at some moment they had the threshold."""
    return [judged for verdict in verdicts for judged in verdict.judged if judged.times_threshold >= 1]


def confusion(verdicts: Sequence[Verdict]) -> Counter[tuple[str, str]]:
    """How often each truth was told as each end; of all lives that are planted walls. Of the lives of one wall the last
    has its truth; where an earlier one ends the wall lives on, or it was filled up again after most of it was traded.
    """
    told: Counter[tuple[str, str]] = Counter()
    for judged in (judged for verdict in verdicts for judged in verdict.judged):
        for row in judged.rows[:-1]:
            traded, cancelled = judged.stretch.life.left_between(row["t_from"], row["t_to"])
            told[_FILLED_UP if traded > cancelled else _LIVES_ON, row["end"]] += 1
        if judged.rows:
            told[judged.stretch.detail, judged.rows[-1]["end"]] += 1
    return told


def scores(verdicts: Sequence[Verdict]) -> dict[str, tuple[float, int, float, int]]:
    """Of each cause: its precision, of how many told so; its recall, of how many that were so and ought to be found."""
    told = confusion(verdicts)
    found: dict[str, tuple[float, int, float, int]] = {}
    for cause in CAUSES:
        ends = _CONSUMED if cause == "consumed" else (cause,)
        said = sum(count for (_, end), count in told.items() if end in ends)
        right = sum(count for (truth, end), count in told.items() if end in ends and truth.startswith(cause))
        truly = [judged for judged in due(verdicts) if judged.stretch.end == cause]
        hit = sum(bool(judged.rows) and judged.rows[-1]["end"] in ends for judged in truly)
        found[cause] = (right / max(1, said), said, hit / max(1, len(truly)), len(truly))
    return found


def refills(verdicts: Iterable[Verdict]) -> tuple[float, int, float, int]:
    """The same of walls that were filled up again while they were traded away: among the consumed ones."""
    ended = [judged for judged in due(verdicts) if judged.rows and judged.stretch.end == "consumed"]
    said = [judged for judged in ended if judged.rows[-1]["end"] == "refilled"]
    truly = [judged for judged in ended if judged.stretch.life.is_iceberg]
    right = sum(judged.stretch.life.is_iceberg for judged in said)
    return right / max(1, len(said)), len(said), right / max(1, len(truly)), len(truly)


def links(verdicts: Sequence[Verdict], began: str) -> Counter[str]:
    """Who was joined by `moved` or `returned`: the same wall, two that are not one, or a wall and the background."""
    joined: Counter[str] = Counter()
    for verdict in verdicts:
        rows = verdict.strangers + [row for judged in verdict.judged for row in judged.rows]
        for row in {row["wall"]: row for row in rows if row["began"] == began}.values():
            old, new = verdict.wall_of.get(row["continues"]), verdict.wall_of.get(row["wall"])
            joined["background" if old is new is None else "right" if old == new else "wrong"] += 1
    return joined


def missed_links(verdicts: Sequence[Verdict], ends: tuple[str, ...]) -> tuple[int, int]:
    """Of walls found before and after they moved or were out of sight: how many are not one track, and of how many."""
    missed = total = 0
    for verdict in verdicts:
        found = [judged for judged in verdict.judged if judged.rows]
        found.sort(key=lambda judged: (judged.stretch.life.wall, judged.stretch.first))
        for old, new in pairwise(found):
            if old.stretch.life.wall == new.stretch.life.wall and old.stretch.end in ends:
                total += 1
                missed += old.rows[-1]["track"] != new.rows[0]["track"]
    return missed, total


def filled_in_view(verdicts: Sequence[Verdict], low: float, high: float) -> tuple[int, int]:
    """How many `consumed` are right, and of how many, where the books themselves showed a share of the wall from `low`
    to less than `high` being eaten before it was gone."""
    last = [(judged.stretch.end, judged.rows[-1]) for each in verdicts for judged in each.judged if judged.rows]
    told = [(truth, row["shrunk_at_touch"] / row["peak"]) for truth, row in last if row["end"] == "consumed"]
    truths = [truth for truth, share in told if low <= share < high]
    return truths.count("consumed"), len(truths)


def lateness(verdicts: Sequence[Verdict]) -> dict[str, list[int]]:
    """By how many ms times are told too late, of what came or went at once: what grew or shrank has no one moment."""
    found = [judged for judged in due(verdicts) if judged.rows and not judged.stretch.life.is_resized]
    late = {
        "birth": [
            judged.rows[0]["t_from"] - judged.stretch.life.from_ms
            for judged in found
            if judged.stretch.first == min(judged.stretch.life.seen)
            and judged.rows[0]["began"] in ("placed", "grown", "moved")
        ]
    }
    for detail in ("consumed within 2 s", "pulled", "moved"):
        late[f"end, {detail}"] = [
            judged.rows[-1]["t_to"] - (judged.stretch.life.until_ms or 0)
            for judged in found
            if judged.stretch.detail.startswith(detail)
        ]
    return late


def report(verdicts: Sequence[Verdict]) -> list[str]:
    return [
        *_what(verdicts),
        *_found(verdicts),
        *_matrix(verdicts),
        *_precision(verdicts),
        *_filled_in_view(verdicts),
        *_linked(verdicts),
        *_crowds(verdicts),
        *_times(verdicts),
    ]


def _what(verdicts: Sequence[Verdict]) -> list[str]:
    books = sum(len(verdict.recording.times) for verdict in verdicts)
    lives = [life for verdict in verdicts for life in verdict.recording.market.planted]
    thresholds = [verdict.threshold / 1e6 for verdict in verdicts]
    holes = sum(len(verdict.recording.before_holes) for verdict in verdicts)
    strangers = sum(len(verdict.strangers) for verdict in verdicts)
    return [
        f"{len(verdicts)} markets, {books} recorded books, {holes} holes; "
        f"threshold {min(thresholds):.2f} to {max(thresholds):.2f} M USD",
        f"planted walls: {sum(len({life.wall for life in each.recording.market.planted}) for each in verdicts)}, at "
        f"{len(lives)} prices, at {sum(not life.seen for life in lives)} of these in no recorded book",
        f"lives in the ledger: {sum(len(verdict.wall_of) for verdict in verdicts)} of planted walls, "
        f"{strangers} of background levels that had the threshold",
    ]


def _found(verdicts: Sequence[Verdict]) -> list[str]:
    lines = ["", "| size / threshold | stretches in view | found |", "|---|---|---|"]
    for low, high in pairwise(_SIZES):
        own = [judged for verdict in verdicts for judged in verdict.judged if low <= judged.times_threshold < high]
        found = sum(bool(judged.rows) for judged in own)
        lines.append(f"| {_between(low, high)} | {len(own)} | {_share(found, len(own))} |")
    return lines


def _matrix(verdicts: Sequence[Verdict]) -> list[str]:
    told = confusion(verdicts)
    ends = [end for end in _TOLD if any(told[truth, end] for truth in (*_DETAILS, _FILLED_UP, _LIVES_ON))]
    lines = ["", f"| truth | {' | '.join(ends)} |", "|---" * (len(ends) + 1) + "|"]
    for truth in (*_DETAILS, _FILLED_UP, _LIVES_ON):
        counts = [str(told[truth, end] or "") for end in ends]
        if any(counts):
            lines.append(f"| {truth} | {' | '.join(counts)} |")
    return lines


def _precision(verdicts: Sequence[Verdict]) -> list[str]:
    lines = ["", "| end | precision | of told | recall | of true |", "|---|---|---|---|---|"]
    rows = scores(verdicts)
    if any(life["end"] == "refilled" for verdict in verdicts for judged in verdict.judged for life in judged.rows):
        rows["refilled, of the consumed"] = refills(verdicts)
    for cause, (precision, said, recall, truly) in rows.items():
        cells = [f"{share:.1%} | {of}" if of else " | 0" for share, of in ((precision, said), (recall, truly))]
        lines.append(f"| {cause} | {' | '.join(cells)} |")
    return lines


def _filled_in_view(verdicts: Sequence[Verdict]) -> list[str]:
    lines = ["", "| told consumed, `shrunk_at_touch` / `peak` | precision | of |", "|---|---|---|"]
    for low, high in pairwise(_FILLED):
        right, told = filled_in_view(verdicts, low, high)
        lines.append(f"| {_between(low, high)} | {_share(right, told)} | {told} |")
    return lines


def _crowds(verdicts: Sequence[Verdict]) -> list[str]:
    """A whale is of at most six orders, a crowd of at least sixty; others at their price are counted with them."""
    lines = ["", "| orders planted | orders told: median | 5 % | 95 % | of |", "|---|---|---|---|---|"]
    found = [judged for judged in due(verdicts) if judged.rows]
    for name, is_crowd in (("1 to 6", False), ("60 to 300, leaving one by one", True)):
        orders = [judged.rows[0]["orders"] for judged in found if judged.stretch.life.is_crowd == is_crowd]
        cuts = quantiles(orders, n=20, method="inclusive") if len(orders) > 1 else [0.0]
        lines.append(f"| {name} | {median(orders or [0]):.0f} | {cuts[0]:.0f} | {cuts[-1]:.0f} | {len(orders)} |")
    return lines


def _linked(verdicts: Sequence[Verdict]) -> list[str]:
    lines = ["", "| link | right | wrong | between background levels | missed |", "|---|---|---|---|---|"]
    for began, ends in (("moved", ("moved",)), ("returned", ("left view", "gap"))):
        joined = links(verdicts, began)
        missed, total = missed_links(verdicts, ends)
        lines.append(
            f"| {began} | {joined['right']} | {joined['wrong']} | {joined['background']} | {missed} of {total} |"
        )
    return lines


def _times(verdicts: Sequence[Verdict]) -> list[str]:
    lines = ["", "| time told later than it was, ms | median | 95 % | most | of |", "|---|---|---|---|---|"]
    for name, late in lateness(verdicts).items():
        cells = (
            f"{median(late):.0f} | {quantiles(late, n=20, method='inclusive')[-1]:.0f} | {max(late)}"
            if len(late) > 1
            else " |  | "
        )
        lines.append(f"| {name} | {cells} | {len(late)} |")
    return lines


def _between(low: float, high: float) -> str:
    return f"{low:g} to {high:g}" if high < inf else f"{low:g} or more"


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else ""


if __name__ == "__main__":
    sys.exit(main())
