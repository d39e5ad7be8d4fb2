"""`l2vault ls`: what the vault holds."""

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Final

import msgspec

from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.vault.store.catalog import Catalog, Finding, Form, StoredHour
from l2vault.vault.store.forms import archive_form
from l2vault.vault.store.names import held_instruments
from l2vault.vault.store.root import open_layout
from l2vault.vault.store.stream import read_chunks
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import size_text, table
from l2vault.verbs.words import asked_instruments, configure_instruments

HELP: Final = "list instruments, days and hours with their form and size"
EXAMPLE: Final = "l2vault ls BTC-USDT-SWAP --hours --lines"

_FORMS: Final[tuple[Form, ...]] = ("plain", "gzip", "archive")


class Row(msgspec.Struct, frozen=True):
    """One hour of one instrument in one form. `lines` is None where they were not asked for or cannot be counted."""

    inst_id: str
    date: str
    hour: int
    form: Form
    size_bytes: int
    lines: int | None


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "only these instruments")
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--hours", action="store_true", help="a row for every hour instead of every day")
    parser.add_argument("--lines", dest="count_lines", action="store_true", help="count lines too: reads everything")
    parser.add_argument("--json", action="store_true", help="print each hour as one JSON object")


def run(context: Context, args: argparse.Namespace) -> int:
    layout = open_layout(context.vault)
    held = sorted(Catalog(layout).files(), key=lambda each: (each.inst_id, each.hour_ms, each.form))
    chosen = held_instruments(asked_instruments(args), sorted({each.inst_id for each in held}))
    rows = (_row(each, args.count_lines) for each in held if not chosen or each.inst_id in chosen)
    if args.json:
        for row in rows:
            sys.stdout.write(document("ls", row))
        return 0
    names = ["instrument", "date", *(("hour", "form") if args.hours else ("hours", "forms")), "size"]
    if args.count_lines:
        names.append("lines")
    cells = [row[: len(names)] for row in (_by_hour(rows) if args.hours else _by_day(rows))]
    sys.stdout.write(table(names, cells, left=4))
    return 0


def _row(held: StoredHour, count_lines: bool) -> Row:
    text = utc_text(held.hour_ms)
    lines = _count(held) if count_lines else None
    return Row(held.inst_id, text[:10], int(text[11:13]), held.form, held.size_bytes, lines)


def _count(held: StoredHour) -> int | None:
    try:
        if held.form == "archive":
            found: list[Finding] = []
            times = archive_form().all_times(held, found.append)
            return None if found else len(times)
        return sum(chunk.count(b"\n") for chunk in read_chunks(held.path))
    except (VaultError, OSError):  # damaged gzip, or the libraries of the archive are absent
        return None


def _by_hour(rows: Iterator[Row]) -> Iterator[list[str]]:
    for row in rows:
        yield [printable(row.inst_id), row.date, f"{row.hour:02d}", row.form, size_text(row.size_bytes), _lines([row])]


def _by_day(rows: Iterator[Row]) -> Iterator[list[str]]:
    for (inst_id, date), group in groupby(rows, key=lambda row: (row.inst_id, row.date)):
        day = list(group)
        forms = [row.form for row in day]
        counted = ", ".join(f"{forms.count(form)} {form}" for form in _FORMS if form in forms)
        size = size_text(sum(row.size_bytes for row in day))
        yield [printable(inst_id), date, _spans(sorted({row.hour for row in day})), counted, size, _lines(day)]


def _spans(hours: list[int]) -> str:
    """`00-05,07`: hours that follow each other, joined."""
    starts = [hour for hour in hours if hour - 1 not in hours]
    ends = [hour for hour in hours if hour + 1 not in hours]
    return ",".join(
        f"{start:02d}" if start == end else f"{start:02d}-{end:02d}" for start, end in zip(starts, ends, strict=True)
    )


def _lines(rows: list[Row]) -> str:
    """The sum of what could be counted, marked where something could not."""
    known = [row.lines for row in rows if row.lines is not None]
    return str(sum(known)) if len(known) == len(rows) else f"{sum(known)}+?"
