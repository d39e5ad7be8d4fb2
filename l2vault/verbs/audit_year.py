"""`l2vault audit --year`: what audits found of the days of a year, as a table of months and as a picture."""

import argparse
import sys

import msgspec

from l2vault.book.utc import utc_text
from l2vault.errors import VaultError, analysis_extra
from l2vault.foreign import printable
from l2vault.vault.coverage.graded import Grade, Graded, GradedYear, span_of
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.audits import AuditedHour, kept_audits
from l2vault.verbs.documents import document
from l2vault.verbs.format import NONE, exact_share, table

_YEARS = range(2000, 3000)


class Month(msgspec.Struct, frozen=True):
    """Hours of a month by their grade, and their lines; `agreed_share` of those that were judged, null for none."""

    month: str
    hours: dict[Grade, int]
    lines: AuditedHour
    agreed_share: float | None


class YearDocument(msgspec.Struct, frozen=True):
    """What `--year --json` prints: the months of which anything was recorded."""

    inst_id: str
    year: int
    months: list[Month]


def a_year(text: str) -> int:
    """For argparse."""
    if text.isascii() and text.isdigit() and int(text) in _YEARS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{printable(text[:20])} is no year. Try: 2026")


def audited_year(vault: Vault, inst_id: str, args: argparse.Namespace) -> int:
    """0, whatever was found: each day's own audit has said it. Raises VaultError where nothing was recorded."""
    span = span_of(args.year)
    recorded = {forms.hour_ms for forms in vault.catalog.hours(inst_id)} | vault.journal.deleted_hours(inst_id)
    year = GradedYear(inst_id, args.year, kept_audits(vault.layout, inst_id, span), recorded)
    months = [month for month in year.months() if year.of(month).recorded]
    if not months:
        raise VaultError(f"nothing of {inst_id} was recorded in {args.year}.", "l2vault ls, for what was")
    found = YearDocument(inst_id, args.year, [_month(year.of(each), each) for each in months])
    sys.stdout.write(document("audit", found, "year") if args.json else _text(found))
    if args.plot is not None:
        _plot(year, args)
    return 0


def _plot(year: GradedYear, args: argparse.Namespace) -> None:
    with analysis_extra():
        from l2vault.analytics.pictures import plot_audits
    try:
        plot_audits(year, args.plot)
    except OSError as error:
        shown = printable(args.plot)
        raise VaultError(
            f"cannot write {shown}: {printable(error)}.", "a name like picture.png in a folder that exists"
        ) from error
    sys.stderr.write(f"drawn: {printable(args.plot)}\n")


def _month(found: Graded, span: tuple[int, int]) -> Month:
    judged = found.lines.judged
    share = found.lines.agreed / judged if judged else None
    return Month(utc_text(span[0])[:7], found.grades, found.lines, share)


def _text(found: YearDocument) -> str:
    names = ["month", "hours recorded", "with a witness", "all agree", "99.9 %", "99 %", "less", "lines", "agreed"]
    rows = []
    for each in found.months:
        hours = each.hours
        recorded = sum(hours.values()) - hours["not recorded"]
        grades = (str(hours[grade]) for grade in ("all", "most", "some", "few"))
        share = NONE if each.agreed_share is None else exact_share(each.agreed_share)
        counts = str(recorded), str(recorded - hours["no witness"])
        rows.append([each.month, *counts, *grades, str(each.lines.judged), share])
    text = f"{printable(found.inst_id)} {found.year}, hours by how many of their lines agree with OKX's archive\n"
    text += table(names, rows, left=1)
    if not any(each.lines.judged for each in found.months):
        text += f"no day was audited: l2vault audit {printable(found.inst_id)} --day D, for each\n"
    return text
