"""How measures of every book are printed: summed up over the span, step by step, or of one book."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.verbs.analysis import Answer
from l2vault.verbs.format import clock, figure, heading, length_text, share, size, table
from l2vault.verbs.words import duration

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Result

STATISTICS: Final = ("mean", "min", "max", "last")
_SUMMARY: Final = ("mean", "min", "p5", "p50", "p95", "max", "last")

Shown = Callable[[str], "int | None"]
"""How many decimals a measure is shown with on a terminal; None for a size, shown as `30.9 M`."""


def configure_steps(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--step", type=duration, metavar="SPAN", help="a row for every step, as 10s or 1m, instead of a summary"
    )
    parser.add_argument("--show", choices=STATISTICS, default="mean", help="which figure of each step (default: mean)")


def answer_of(
    result: "Result",
    args: argparse.Namespace,
    chosen: Sequence[str],
    shown: Shown,
    label: Callable[[str], str] = str,
) -> Answer:
    """`chosen` are the measures that a terminal and a picture have room for, in the order in which they stand there,
    and `label` what they are called; programs get all of them by their names."""
    from l2vault.analytics.resample import by_step, summary

    provenance = result.provenance
    draw = _drawing(result, chosen)
    head = heading(provenance)
    if args.step is not None:
        steps = by_step(result.frame, args.step, args.show)
        draw = _drawing_of_steps(steps, result, chosen, f"{args.show} of each step of {length_text(args.step)}")
        return Answer(
            steps, provenance, f"{head}{args.show} of each step\n\n{_step_table(steps, chosen, shown, label)}", draw
        )
    sums = summary(result.frame)
    by_name = {row["measure"]: row for row in sums.to_dicts()}
    if len(result.frame) == 1:
        rows = [(label(name), _text(by_name[name]["last"], shown(name))) for name in chosen]
        return Answer(result.frame, provenance, f"{head}\n{table(('measure', 'value'), rows, left=1)}", draw)
    lines = [
        (
            label(name),
            *(_text(by_name[name][each], shown(name)) for each in _SUMMARY),
            share(by_name[name]["non_null_share"]),
        )
        for name in chosen
    ]
    return Answer(sums, provenance, f"{head}\n{table(('measure', *_SUMMARY, 'non-null'), lines, left=1)}", draw)


def _step_table(steps: "pl.DataFrame", chosen: Sequence[str], shown: Shown, label: Callable[[str], str]) -> str:
    span_ms = steps["t_to"][-1] - steps["t_from"][0]
    rows = [
        (
            clock(row["t_from"], span_ms),
            *(_text(row[name], shown(name)) for name in chosen),
            share(row["covered_share"]),
        )
        for row in steps.to_dicts()
    ]
    return table(("from (UTC)", *map(label, chosen), "covered"), rows, left=1)


def _text(value: float | None, decimals: int | None) -> str:
    if value is not None and value == float("inf"):
        return "all"
    return size(value) if decimals is None else figure(value, decimals)


def _drawing(result: "Result", chosen: Sequence[str]) -> Callable[[Path], None]:
    def draw(path: Path) -> None:
        from l2vault.analytics.pictures import draw_series

        draw_series(result.frame, chosen, result.provenance, path)

    return draw


def _drawing_of_steps(
    steps: "pl.DataFrame", result: "Result", chosen: Sequence[str], note: str
) -> Callable[[Path], None]:
    def draw(path: Path) -> None:
        from l2vault.analytics.pictures import Steps, draw_series

        draw_series(steps, chosen, result.provenance, path, Steps(note, result.frame))

    return draw
