"""What the verbs of the liquidity intelligence share: which books, in what unit, and how the answer is printed.

Every answer says what it rests on: the covered share of the span, the visible range, the cadence, the method.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from l2vault import allocator, grammar
from l2vault.analytics.executors import worked_on
from l2vault.analytics.former_names import with_former, with_former_columns
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import UsageError, VaultError, analysis_extra
from l2vault.foreign import printable
from l2vault.own_process import is_own
from l2vault.vault.coverage.model import COVERED
from l2vault.vault.reading.sources import open_sources
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import HOUR_MS
from l2vault.vault.store.names import held_instruments, one_of
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document, schema_of
from l2vault.verbs.format import footnote, length_text, progress_bar, span_text, with_cause
from l2vault.verbs.sources import configure_sources
from l2vault.verbs.words import (
    NEWEST,
    asked_instruments,
    configure_instruments,
    duration,
    moment,
    moment_or_now,
    png,
)

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.books import Books
    from l2vault.analytics.provenance import Provenance

UNITS: Final = ("usd", "coin", "contracts")
DEFAULT_LAST_MS: Final = HOUR_MS
STALE_MS: Final = 90_000
"""A recorder that runs writes a line of a quiet book at least so often."""

_TRIED: Final = 20
"""Moments at which a known book is looked for before a hole."""
_TIMES: Final = (("t_from", "from_utc"), ("t_to", "to_utc"))
"""Columns of time, and what they are as text."""


class Answer(NamedTuple):
    """`rows` for a program, `text` for a person, `provenance` for both; `draw` makes the picture, if there is one."""

    rows: "pl.DataFrame"
    provenance: "Provenance"
    text: str
    draw: Callable[[Path], None] | None = None


def configure(parser: argparse.ArgumentParser, plot: str | None = None) -> None:
    """The options that all of these verbs take. `plot` is where a picture goes that was not asked for by name."""
    configure_reading(parser, "1h")
    default = f" (default: {plot})" if plot else ""
    parser.add_argument(
        "--plot", type=png, default=plot and Path(plot), metavar="FILE", help=f"draw it, as PNG{default}"
    )


def configure_reading(parser: argparse.ArgumentParser, default: str) -> None:
    """All of them but for the picture; `default` is the length of the span if none is asked for."""
    configure_instruments(parser, "an instrument of the vault; not needed if it is the only one", is_one=True)
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument(
        "--at", type=moment_or_now, metavar="TIME", help="answer for this moment, or now, instead of a span"
    )
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME", help="start of the span")
    parser.add_argument(
        "--to",
        dest="end",
        type=moment,
        metavar="TIME",
        help="end of the span (default: just behind the newest line)",
    )
    parser.add_argument(
        "--last",
        type=duration,
        metavar="SPAN",
        help=f"length of the span, as 2h, 90s, 4hours or 1w (default: {default})",
    )
    configure_sources(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object: schema, about and rows")
    parser.add_argument("--csv", action="store_true", help="print the rows as CSV")


def configure_unit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unit", choices=UNITS, default="usd", help="unit of sizes; usd is the quote currency (default: usd)"
    )


def run(
    context: Context,
    args: argparse.Namespace,
    answer: Callable[["Books", argparse.Namespace], Answer],
    is_instant: bool = False,
    last_ms: int = DEFAULT_LAST_MS,
) -> int:
    """Read the books, have them answered, print. With `is_instant`, `--at` means the one book of that time; `last_ms`
    is the length of the span if none is asked for."""
    if args.json and args.csv:
        raise UsageError("--json and --csv exclude each other.", "one of them")
    with analysis_extra():
        from l2vault.analytics.books import read_books
    vault = open_sources(context.vault, args.sources)
    inst_id = the_instrument(vault, args)
    if is_own():
        allocator.keep_freed()
        gc.freeze()  # what is loaded stays, and need not be looked through again and again
    is_newest = is_of_newest(args)
    span = _span(vault, inst_id, args, is_instant, last_ms)
    books = read_books(vault, inst_id, *span)
    if is_newest:
        _say_age(inst_id, span[1] - 1)
    with worked_on(books, is_guarded=is_own()):  # one set of processes for the answer and the picture
        with _progress_of(books):
            found = answer(books, args)
        if args.json:
            sys.stdout.write(_as_json(args.verb, found))
        elif args.csv:
            sys.stdout.write(_as_csv(args.verb, found))
        else:
            sys.stdout.write(found.text + footnote(found.provenance))
        if found.draw is not None and args.plot is not None:
            with _progress_of(books):
                _draw(found.draw, args.plot)
            sys.stderr.write(f"drawn: {printable(args.plot)}\n")
    return 0


def is_of_newest(args: argparse.Namespace) -> bool:
    """Whether the answer ends with the newest line; to be asked before the span is known, which names a moment."""
    return args.end is None and args.at in (None, NEWEST)


def _say_age(inst_id: str, newest_ms: int) -> None:
    """Where the newest line is old: what an answer calls now is of then."""
    age_ms = Clock().wall_ms() - newest_ms
    if age_ms > STALE_MS:
        age = length_text(age_ms // 1000 * 1000)
        sys.stderr.write(f"the newest book of {printable(inst_id)} is {age} old: {utc_text(newest_ms)}\n")


def the_instrument(vault: Vault, args: argparse.Namespace) -> str:
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


def _span(vault: Vault, inst_id: str, args: argparse.Namespace, is_instant: bool, last_ms: int) -> tuple[int, int]:
    """From the options, or the last there is. `--at now` is the moment of the newest line."""
    if args.at == NEWEST:
        from l2vault.analytics.books import newest_span

        args.at = newest_span(vault, inst_id, 1)[1] - 1
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
        return _newest(vault, inst_id, args.last, last_ms)
    held = newest_span(vault, inst_id, grammar.LONGEST_DURATION_MS)
    end_ms = held[1] if end_ms is None else end_ms
    start_ms: int = args.start if args.start is not None else end_ms - (args.last or last_ms)
    if args.start is None and args.last is None:  # a length of ours: no more than there is
        start_ms = max(start_ms, min(held[0], end_ms - 1))
    if start_ms >= end_ms and args.end is not None:
        raise UsageError(f"--to {utc_text(end_ms)} is not after --from {utc_text(start_ms)}.", "a start before the end")
    if start_ms >= held[1] or end_ms <= held[0]:
        raise VaultError(
            f"nothing lies {_asked_text(args, start_ms, end_ms)}.", f"a time in {_held_text(inst_id, held)}"
        )
    return max(0, start_ms), end_ms


def _asked_text(args: argparse.Namespace, start_ms: int, end_ms: int) -> str:
    """The span in the times that were asked for; what was reckoned from them is a length."""
    is_cut = end_ms - start_ms == 1  # there is nothing so early
    length = length_text(end_ms - start_ms)
    if args.at is not None:
        return f"at {utc_text(args.at)}" + ("" if is_cut else f" or in the {length} before it")
    if args.start is None:
        return f"before {utc_text(end_ms)}" if is_cut else f"in the {length} before {utc_text(end_ms)}"
    return f"at {_text(start_ms)} or later" if args.end is None else f"from {_text(start_ms)} to {utc_text(end_ms)}"


def _newest(vault: Vault, inst_id: str, last_ms: int | None, default_ms: int) -> tuple[int, int]:
    """So long before the newest line, or all there is; then it says so of a length that was asked for."""
    from l2vault.analytics.books import newest_span

    start_ms, end_ms = newest_span(vault, inst_id, last_ms or default_ms)
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
        known_ms = _last_known(vault, inst_id, found.snapshot.ts_ms)
        cure = f"l2vault coverage {inst_id}, for when books stood"
        raise VaultError(
            f"no book of {inst_id} at {utc_text(at_ms)} is known: {with_cause(found.state, found.cause)}.",
            cure if known_ms is None else f"--at {utc_text(known_ms)}, the last one known",
        )
    return at_ms, at_ms + 1


def _last_known(vault: Vault, inst_id: str, before_ms: int) -> int | None:
    """The last moment up to a line at which a book is known to stand: that of the line, unless the loss begins with it
    or it is in doubt; then just before it, and so on. None where some lines on end are of no use."""
    t_ms = before_ms
    for _ in range(_TRIED):
        found = vault.book_at(inst_id, t_ms)
        if found is None:
            return None
        if found.state in COVERED:
            return t_ms
        t_ms = found.snapshot.ts_ms if found.snapshot.ts_ms < t_ms else t_ms - 1
    return None


def _as_json(verb: str, answer: Answer) -> str:
    """Times of rows and of the span are text; what has a former name stands under that too."""
    rows = []
    for row in answer.rows.to_dicts():
        for name, as_text in _TIMES:
            if name in row:
                row[as_text] = utc_text(row.pop(name))
        rows.append(with_former(row))
    return document(verb, {"about": _about(answer.provenance), "rows": rows})


def _about(provenance: "Provenance") -> dict[str, object]:
    start_ms, end_ms = provenance.span_ms
    return with_former(
        {
            "method": provenance.method,
            "inst_id": provenance.inst_id,
            "from_utc": utc_text(start_ms),
            "to_utc": utc_text(end_ms),
            "unit": provenance.unit,
            "books": provenance.books,
            "cadence_ms": provenance.cadence_ms,
            "until_utc": None if provenance.until is None else utc_text(end_ms - provenance.behind_ms),
            "covered_share": provenance.covered_share,
            "slots": provenance.slots,
            "holes": provenance.holes,
            "visible_bps": provenance.visible,
            "settings": with_former(provenance.settings),
        }
    )


def _as_csv(verb: str, answer: Answer) -> str:
    """Each row carries what it rests on, so that none travels without."""
    import polars as pl

    provenance = answer.provenance
    bounds = {
        f"{side}_{name}": getattr(seen, name)
        for side, seen in provenance.visible.items()
        for name in ("least_bps", "most_bps")
    }
    carried = {
        "inst_id": provenance.inst_id,
        "unit": provenance.unit,
        "covered_of_span": provenance.covered_share,
        "vouched_of_span": provenance.covered_share,  # until 0.3, as the former names of `former_names`
        "cadence_ms": provenance.cadence_ms,
        **{f"visible_{name}": value for name, value in bounds.items()},
        **{f"reach_{name}": value for name, value in bounds.items()},  # until 0.3
        "method": provenance.method,
        "schema": schema_of(verb),
    }
    times = [
        pl.from_epoch(name, time_unit="ms").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").alias(as_text)
        for name, as_text in _TIMES
        if name in answer.rows.columns
    ]
    rows = with_former_columns(answer.rows.select(*times, pl.exclude("t_from", "t_to")))
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
def _progress_of(books: "Books") -> Iterator[None]:
    """A bar while the books are read."""
    with progress_bar() as show:
        books.on_progress = lambda share: show(round(share * 1000), 1000, "reading")
        yield
