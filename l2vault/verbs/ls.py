"""`l2vault ls`: what the vault holds."""

import argparse
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Final, NamedTuple

import msgspec

from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.vault.store.catalog import Catalog, Finding, Form, HourForms, StoredHour, unreported
from l2vault.vault.store.forms import archive_form, hour_lines
from l2vault.vault.store.layout import KINDS, Kind, Layout
from l2vault.vault.store.line import time_ms
from l2vault.vault.store.names import held_instruments
from l2vault.vault.store.root import open_layout
from l2vault.vault.store.stream import read_chunks
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import NONE, size_text, table
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
    kind: Kind = "books"


class KindHeld(NamedTuple):
    """What there is of one kind of an instrument: hours, bytes in all forms, and the newest time of a line."""

    inst_id: str
    kind: Kind
    hours: int
    size_bytes: int
    newest_ms: int | None


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "only these instruments")
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    words = "the days or hours of books (default), trades, changes, context, deep or RPI books"
    parser.add_argument("--kind", choices=KINDS, default="books", help=words)
    parser.add_argument("--hours", action="store_true", help="a row for every hour instead of every day")
    parser.add_argument("--lines", dest="count_lines", action="store_true", help="count lines too: reads everything")
    parser.add_argument("--json", action="store_true", help="print each hour as one JSON object")


def run(context: Context, args: argparse.Namespace) -> int:
    layout = Layout(context.vault)
    if not layout.holds_okx_archive:  # a vault may hold what was made of OKX's archive alone
        layout = open_layout(context.vault)
    every, archived = _files(layout), _files(layout.okx_archive)
    names_held = sorted({each.inst_id for files in (*every.values(), *archived.values()) for each in files})
    chosen = held_instruments(asked_instruments(args), names_held) or names_held
    held = sorted(every[args.kind], key=lambda each: (each.inst_id, each.hour_ms, each.form))
    rows = (_row(each, args.count_lines) for each in held if each.inst_id in chosen)
    if args.json:
        for row in rows:
            sys.stdout.write(document("ls", row))
        return 0
    names = ["instrument", "date", *(("hour", "form") if args.hours else ("hours", "forms")), "size"]
    if args.count_lines:
        names.append("lines")
    cells = [row[: len(names)] for row in (_by_hour(rows) if args.hours else _by_day(rows))]
    sys.stdout.write(table(names, cells, left=4))
    sys.stdout.write(_columns(layout))
    if any(every[kind] for kind in KINDS if kind != "books"):
        kinds = [_kind_held(layout, inst_id, kind) for inst_id in chosen for kind in KINDS]
        sys.stdout.write("\n" + _kinds([each for each in kinds if each.hours]))
    of_archive = [each for files in archived.values() for each in files if each.inst_id in chosen]
    sys.stdout.write(_of_archive(of_archive, "recorded,archive" if any(every.values()) else "archive"))
    return 0


def _files(layout: Layout) -> dict[Kind, list[StoredHour]]:
    return {kind: Catalog(layout.of(kind)).files() for kind in KINDS}


def _of_archive(held: list[StoredHour], sources: str) -> str:
    """A row an instrument and kind; nothing where nothing was made of OKX's archive. `sources` are those to read."""
    if not held:
        return ""
    rows = []
    place = {kind: number for number, kind in enumerate(KINDS)}
    ordered = sorted(held, key=lambda each: (each.inst_id, place[each.kind]))
    for (inst_id, kind), group in groupby(ordered, key=lambda each: (each.inst_id, each.kind)):
        files = list(group)
        days = sorted({utc_text(each.hour_ms)[:10] for each in files})
        size = size_text(sum(each.size_bytes for each in files))
        hours = len({each.hour_ms for each in files})
        rows.append([printable(inst_id), kind, str(len(days)), days[0], days[-1], str(hours), size])
    names = ["instrument", "kind", "days", "first", "last", "hours", "size"]
    return f"\nof OKX's archive (read with --sources {sources}):\n{table(names, rows, left=2)}"


def _columns(layout: Layout) -> str:
    """What there is of column files, in words; nothing where there are none."""
    sizes = [path.stat().st_size for path in layout.columns.archive.glob("*/*/*/*.parquet")]
    return f"\ncolumn files beside them, for speed: {size_text(sum(sizes))}\n" if sizes else ""


def _kind_held(layout: Layout, inst_id: str, kind: Kind) -> KindHeld:
    catalog = Catalog(layout.of(kind))
    every = catalog.hours(inst_id)
    size_bytes = sum(stored.size_bytes for forms in every for stored in forms.every)
    newest = (_newest_ms(catalog, forms) for forms in reversed(every))
    return KindHeld(inst_id, kind, len(every), size_bytes, next((ms for ms in newest if ms is not None), None))


def _newest_ms(catalog: Catalog, forms: HourForms) -> int | None:
    """Of the lines of an hour; an archive whose libraries are absent tells none."""
    try:
        if not forms.raw and forms.archive is not None:
            return max(archive_form().all_times(forms.archive, unreported), default=None)
        return max((time_ms(line.text) for line in hour_lines(catalog, forms, True, unreported)), default=None)
    except VaultError:
        return None


def _kinds(kinds: list[KindHeld]) -> str:
    cells = [
        [
            printable(each.inst_id),
            each.kind,
            str(each.hours),
            size_text(each.size_bytes),
            NONE if each.newest_ms is None else utc_text(each.newest_ms)[:19].replace("T", " "),
        ]
        for each in kinds
    ]
    return table(["instrument", "kind", "hours", "size", "newest (UTC)"], cells, left=2)


def _row(held: StoredHour, count_lines: bool) -> Row:
    text = utc_text(held.hour_ms)
    lines = _count(held) if count_lines else None
    return Row(held.inst_id, text[:10], int(text[11:13]), held.form, held.size_bytes, lines, held.kind)


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
