"""What the verbs of the liquidity intelligence share: which books, in what unit, and how the answer is told.

Every answer says what it rests on: the share of time the vault can vouch for, the reach, the cadence, the method.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from l2vault import grammar
from l2vault.analytics.figures import percent
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError, analysis_extra
from l2vault.foreign import printable
from l2vault.vault.coverage.model import COVERED
from l2vault.vault.reading.vault import Vault, open_vault
from l2vault.vault.store.layout import HOUR_MS
from l2vault.vault.store.names import held_instruments, one_of
from l2vault.verbs.format import bar, span_text
from l2vault.verbs.words import asked_instruments, configure_instruments, duration, moment, png

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import About, Books

UNITS: Final = ("usd", "coin", "contracts")
DEFAULT_LAST_MS: Final = HOUR_MS

_BAR_WIDTH: Final = 60


class Answer(NamedTuple):
    """`rows` for a program, `text` for a person, `about` for both; `draw` makes the picture, if there is one."""

    rows: "pl.DataFrame"
    about: "About"
    text: str
    draw: Callable[[Path], None] | None = None


def configure(parser: argparse.ArgumentParser, plot: str | None = None) -> None:
    """The options that all of these verbs take. `plot` is where a picture goes that was not asked for by name."""
    configure_instruments(parser, "an instrument the vault holds; not needed if it is the only one", is_one=True)
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--at", type=moment, metavar="TIME", help="as things stood at this time")
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME", help="the span's beginning")
    parser.add_argument(
        "--to", dest="end", type=moment, metavar="TIME", help="its end (default: just behind the newest line)"
    )
    parser.add_argument(
        "--last", type=duration, metavar="SPAN", help="length of the span, as 2h, 90s, 4hours or 1w (default: 1h)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object: about and rows")
    parser.add_argument("--csv", action="store_true", help="print the rows as CSV")
    told = f" (default: {plot})" if plot else ""
    parser.add_argument("--plot", type=png, default=plot and Path(plot), metavar="FILE", help=f"draw it, as PNG{told}")


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
        sys.stderr.write(f"drawn: {printable(args.plot)}\n")
    return 0


def _instrument(vault: Vault, args: argparse.Namespace) -> str:
    asked = asked_instruments(args)
    if len(asked) > 1:
        raise UsageError(
            f"{len(asked)} instruments are named ({', '.join(map(printable, asked[:3]))}).", "one at a time"
        )
    held = vault.instruments()
    if not held:
        raise VaultError(f"the vault {printable(vault.layout.root)} holds no books yet.", "l2vault record")
    if asked:
        return held_instruments(asked, held)[0]
    if len(held) > 1:
        raise UsageError("no instrument is named.", one_of(held))
    return held[0]


def _span(vault: Vault, inst_id: str, args: argparse.Namespace, is_instant: bool) -> tuple[int, int]:
    """From the options, or the last hour there is."""
    if args.at is not None:
        if args.start is not None or args.end is not None or (is_instant and args.last is not None):
            raise UsageError("--at names a moment, the others a span.", "--at alone, or --from and --to")
        if is_instant:
            return _standing(vault, inst_id, args.at)
    if args.start is not None and args.last is not None:
        raise UsageError("--from and --last both say where the span begins.", "one of them")
    from l2vault.analytics.books import newest_span

    end_ms: int | None = args.end if args.at is None else args.at + 1
    if end_ms is None and args.start is None:
        return _newest(vault, inst_id, args.last)
    held = newest_span(vault, inst_id, grammar.LONGEST_DURATION_MS)
    end_ms = held[1] if end_ms is None else end_ms
    start_ms: int = args.start if args.start is not None else end_ms - (args.last or DEFAULT_LAST_MS)
    if start_ms >= end_ms and args.end is not None:
        raise UsageError(f"--to {utc_text(end_ms)} is not after --from {utc_text(start_ms)}.", "a start before the end")
    if start_ms >= held[1] or end_ms <= held[0]:
        where = (
            f"at {_text(start_ms)} or later" if args.end is None else f"from {_text(start_ms)} to {utc_text(end_ms)}"
        )
        raise VaultError(f"nothing lies {where}.", f"a time in {_held_text(inst_id, held)}")
    return max(0, start_ms), end_ms


def _newest(vault: Vault, inst_id: str, last_ms: int | None) -> tuple[int, int]:
    """So long before the newest line, or all there is; then it says so of a length that was asked for."""
    from l2vault.analytics.books import newest_span

    start_ms, end_ms = newest_span(vault, inst_id, last_ms or DEFAULT_LAST_MS)
    if last_ms is not None and start_ms - (end_ms - last_ms) > last_ms / 100:
        held = _held_text(inst_id, (start_ms, end_ms))
        sys.stderr.write(f"--last {span_text(last_ms)} is more than there is: {held}\n")
    return start_ms, end_ms


def _held_text(inst_id: str, held: tuple[int, int]) -> str:
    return f"what the vault holds of {printable(inst_id)}: {utc_text(held[0])} to {utc_text(held[1] - 1)}"


def _text(ms: int) -> str:
    return utc_text(max(0, ms))


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
        shown = printable(path)
        raise VaultError(
            f"cannot write {shown}: {printable(error)}.", "a name like picture.png in a folder that exists"
        ) from error


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
