"""What the verbs of the liquidity intelligence share: which books, in what unit, and how the answer is told.

Every answer says what it rests on: the share of time the vault can vouch for, the reach, the cadence, the method.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from l2vault.analytics.figures import percent
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError
from l2vault.vault.coverage.model import COVERED
from l2vault.vault.files import analysis_extra
from l2vault.vault.layout import HOUR_MS
from l2vault.vault.reader import Vault, open_vault
from l2vault.verbs.terminal import bar, moment

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import About, Books

UNITS: Final = ("usd", "coin", "contracts")
DEFAULT_LAST_MS: Final = HOUR_MS

_BAR_WIDTH: Final = 60

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)")
_UNIT_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": HOUR_MS, "d": 24 * HOUR_MS}


class Answer(NamedTuple):
    """`rows` for a program, `text` for a person, `about` for both; `draw` makes the picture, if there is one."""

    rows: "pl.DataFrame"
    about: "About"
    text: str
    draw: Callable[[Path], None] | None = None


def configure(parser: argparse.ArgumentParser, plot: str | None = None) -> None:
    """The options that all of these verbs take. `plot` is where a picture goes that was not asked for by name."""
    parser.add_argument(
        "inst_id", nargs="?", metavar="INST", help="an instrument the vault holds; not needed if it is the only one"
    )
    parser.add_argument("--inst", metavar="ID", help="the same, as for record")
    parser.add_argument("--vault", type=Path, metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--at", type=moment, metavar="TIME", help="as things stood at this time")
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME", help="the span's beginning")
    parser.add_argument(
        "--to", dest="end", type=moment, metavar="TIME", help="its end (default: just behind the newest line)"
    )
    parser.add_argument(
        "--last", type=duration_ms, metavar="SPAN", help="so long before its end, as 2h or 90s (default: 1h)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object: about and rows")
    parser.add_argument("--csv", action="store_true", help="print the rows as CSV")
    told = f" (default: {plot})" if plot else ""
    parser.add_argument("--plot", type=Path, default=plot and Path(plot), metavar="FILE", help=f"draw it, as PNG{told}")


def configure_unit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unit", choices=UNITS, default="usd", help="of sizes; usd is the quote currency (default: usd)"
    )


def run(
    args: argparse.Namespace, answer: Callable[["Books", argparse.Namespace], Answer], is_instant: bool = False
) -> int:
    """Read the books, have them answered, print. With `is_instant`, `--at` means the one book of that time."""
    if args.json and args.csv:
        raise UsageError("--json and --csv exclude each other.", "one of them")
    with analysis_extra():
        from l2vault.analytics.books import read_books
    vault = open_vault(args.vault)
    inst_id = _instrument(vault, args)
    books = read_books(vault, inst_id, *_span(vault, inst_id, args, is_instant))
    with _progress(books):
        told = answer(books, args)
    if args.json or args.csv:
        sys.stdout.write(_as_json(told) if args.json else _as_csv(told))
    else:
        sys.stdout.write(told.text + footnote(told.about))
    if args.plot is not None and told.draw is not None:
        with _progress(books):
            _draw(told.draw, args.plot)
        sys.stderr.write(f"drawn: {args.plot}\n")
    return 0


def duration_ms(text: str) -> int:
    """`90s`, `15m`, `2h`, `1d` or `500ms` as milliseconds."""
    match = _DURATION.fullmatch(text.strip())
    ms = round(float(match[1]) * _UNIT_MS[match[2]]) if match else 0
    if ms <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no span of time such as 90s, 15m, 2h or 1d")
    return ms


def numbers(text: str) -> tuple[float, ...]:
    """`2,5,10` as numbers above 0; `k`, `M` and `B` stand for thousands, millions and billions."""
    found = []
    for word in text.split(","):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMB]?)", word.strip())
        number = float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "B": 1e9}[match[2]] if match else 0.0
        if number <= 0:
            raise argparse.ArgumentTypeError(f"{word!r} is no number above 0, such as 10 or 2.5M")
        found.append(number)
    return tuple(found)


def number(text: str) -> float:
    found = numbers(text)
    if len(found) != 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not one number")
    return found[0]


def _instrument(vault: Vault, args: argparse.Namespace) -> str:
    if args.inst and args.inst_id and args.inst != args.inst_id:
        raise UsageError(f"both {args.inst_id} and --inst {args.inst}.", "one instrument")
    held = vault.instruments()
    if not held:
        raise VaultError(f"the vault {vault.layout.root} holds no books yet.", "l2vault record")
    asked: str | None = args.inst or args.inst_id
    if asked is None:
        if len(held) > 1:
            raise UsageError("no instrument is named.", f"one of {', '.join(held)}")
        return held[0]
    if asked not in held:
        raise VaultError(f"the vault holds nothing of {asked}.", f"one of {', '.join(held)}")
    return asked


def _span(vault: Vault, inst_id: str, args: argparse.Namespace, is_instant: bool) -> tuple[int, int]:
    """From the options, or the last hour there is."""
    if args.at is not None:
        if args.start is not None or args.end is not None or (is_instant and args.last is not None):
            raise UsageError("--at names a moment, the others a span.", "--at alone, or --from and --to")
        if is_instant:
            return _standing(vault, inst_id, args.at)
    if args.start is not None and args.last is not None:
        raise UsageError("--from and --last both say where the span begins.", "one of them")
    end_ms: int | None = args.end if args.at is None else args.at + 1
    if end_ms is None:
        from l2vault.analytics.books import newest_span

        begin_ms, end_ms = newest_span(vault, inst_id, DEFAULT_LAST_MS)
        if args.start is None and args.last is None:
            return begin_ms, end_ms
    start_ms = args.start if args.start is not None else end_ms - (args.last or DEFAULT_LAST_MS)
    if start_ms >= end_ms:
        raise VaultError(f"nothing lies between {utc_text(start_ms)} and {utc_text(end_ms)}.", "a start before the end")
    return start_ms, end_ms


def _standing(vault: Vault, inst_id: str, at_ms: int) -> tuple[int, int]:
    """The moment, if a book stands then."""
    found = vault.book_at(inst_id, at_ms)
    if found is not None and found.state not in COVERED:
        cause = f" ({found.cause})" if found.cause else ""
        last = utc_text(found.snapshot.ts_ms)
        raise VaultError(
            f"no book of {inst_id} at {utc_text(at_ms)} is vouched for: {found.state}{cause}.",
            f"--at {last}, the last one known",
        )
    return at_ms, at_ms + 1


def footnote(about: "About") -> str:
    """What the answer rests on, in two lines."""
    slots = ", ".join(f"{state} {percent(share)}" for state, share in about.slots.items() if share)
    held = f"vouched for {percent(about.covered_share)} of the time" + (f" (slots: {slots})" if slots else "")
    if about.holes:
        held += f"; {about.holes} {'hole' if about.holes == 1 else 'holes'}, see: l2vault coverage {about.inst_id}"
    reach = ", ".join(
        f"{side}s {seen.least_bps:.1f} to {seen.most_bps:.1f} bps"
        if seen.least_bps is not None and seen.most_bps is not None
        else f"{side}s all"
        for side, seen in about.reach_bps.items()
    )
    cadence = "" if about.cadence_ms is None else f"; cadence {about.cadence_ms / 1000:g} s"
    return (
        f"\n{held}\nreach: {reach}{cadence}; {about.books} {'book' if about.books == 1 else 'books'}; {about.method}\n"
    )


def _as_json(told: Answer) -> str:
    import msgspec

    rows = told.rows.to_dicts()
    for row in rows:
        for name, as_text in (("t_from", "from_utc"), ("t_to", "to_utc")):
            if name in row:
                row[as_text] = utc_text(row.pop(name))
    return msgspec.json.encode({"about": told.about, "rows": rows}).decode() + "\n"


def _as_csv(told: Answer) -> str:
    """Each row carries what it rests on, so that none travels without."""
    import polars as pl

    about = told.about
    reach = {
        f"reach_{side}_{name}": getattr(seen, name)
        for side, seen in about.reach_bps.items()
        for name in ("least_bps", "most_bps")
    }
    carried = {
        "inst_id": about.inst_id,
        "unit": about.unit,
        "covered_of_span": about.covered_share,
        "vouched_of_span": about.vouched_share,
        "cadence_ms": about.cadence_ms,
        **reach,
        "method": about.method,
    }
    times = [
        pl.from_epoch(name, time_unit="ms").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").alias(as_text)
        for name, as_text in (("t_from", "from_utc"), ("t_to", "to_utc"))
        if name in told.rows.columns
    ]
    rows = told.rows.select(*times, pl.exclude("t_from", "t_to"))
    return rows.with_columns(**{name: pl.lit(value) for name, value in carried.items()}).write_csv()


def _draw(draw: Callable[[Path], None], path: Path) -> None:
    try:
        draw(path)
    except (OSError, ValueError) as error:  # matplotlib says ValueError for an ending it cannot write
        raise VaultError(f"cannot write {path}: {error}.", "a name like picture.png in a folder that exists") from error


@contextmanager
def _progress(books: "Books") -> Iterator[None]:
    """A bar on a terminal while the books are read, however far they go and however it ends; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield
        return
    books.on_progress = _show
    try:
        yield
    finally:
        sys.stderr.write("\r" + " " * _BAR_WIDTH + "\r")
        sys.stderr.flush()


def _show(share: float) -> None:
    sys.stderr.write("\r" + bar(round(share * 1000), 1000, "reading").ljust(_BAR_WIDTH))
    sys.stderr.flush()
