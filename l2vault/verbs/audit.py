"""`l2vault audit`: what was recorded on a day against OKX's own archive of it, a witness from outside."""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from l2vault.book.trade import TradePush
from l2vault.book.utc import DAY_MS, utc_text
from l2vault.errors import LineError, UsageError, VaultError
from l2vault.foreign import printable
from l2vault.history.audit import VERDICTS, Audit, Auditor, Disagreement, HourOfAudit, Verdict, check_trades
from l2vault.history.naming import Wanted, wanted_files
from l2vault.history.rows import change_of, trade_of
from l2vault.history.shelf import Shelf
from l2vault.history.unpack import lines_of
from l2vault.vault.reading.vault import Vault, open_vault
from l2vault.vault.store.audits import AuditedDay, AuditedHour, keep_audit
from l2vault.vault.store.layout import Layout
from l2vault.verbs.analysis import the_instrument
from l2vault.verbs.audit_year import a_year, audited_year
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import counted, exact_share, share_of, table
from l2vault.verbs.words import asked_instruments, configure_instruments, moment, png

HELP: Final = "compare what was recorded on a day with OKX's own archive, and the archive with itself"
EXAMPLE: Final = "l2vault audit BTC-USDT-SWAP --day 2026-11-20"

_SHOWN: Final = 20
NO_WITNESS: Final = "no witness"
_Value = TypeVar("_Value")


class AuditDocument(msgspec.Struct):
    """What `--json` prints. `state`: `agreed`, `disagreed`, or `no witness`: then nothing was compared."""

    inst_id: str
    day: str
    state: str
    source: str
    compared: int
    agreed: int
    counts: dict[Verdict, int]
    hours: list[HourOfAudit]
    disagreements: list[Disagreement]
    full_books: int
    rebuilt: int
    trades: int
    inside_spread: int
    inside_control: int


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "an instrument of the vault; not needed if it is the only one", is_one=True)
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--day", type=moment, metavar="D", help="the day, UTC: 2026-11-20")
    words = "what was found of the days of a year that were audited, by month; reads no archive"
    parser.add_argument("--year", type=a_year, metavar="Y", help=words)
    parser.add_argument("--plot", type=png, metavar="FILE", help="draw the hours of that year, as PNG")
    parser.add_argument("--json", action="store_true", help="print one JSON object, every disagreement included")


def run(context: Context, args: argparse.Namespace) -> int:
    """1 if books of ours disagree with an archive that proves itself; 0 otherwise, and where there is no witness."""
    vault = open_vault(context.vault)
    if (args.day is None) == (args.year is None):
        raise UsageError("audit needs a day, or a year.", EXAMPLE)
    if args.year is not None:
        return audited_year(vault, _of_year(vault, args), args)
    if args.plot is not None:
        raise UsageError("--plot draws a year.", f"--year {utc_text(args.day)[:4]} --plot FILE.png")
    inst_id = the_instrument(vault, args)
    start_ms = args.day // DAY_MS * DAY_MS
    if start_ms != args.day:
        raise UsageError("--day names a moment.", f"--day {utc_text(start_ms)[:10]}")
    shelf = Shelf(vault.layout)
    (wanted,) = wanted_files("books400", inst_id, (start_ms, start_ms + DAY_MS))
    note = shelf.note(wanted) or shelf.note(wanted, is_sample=True)
    if note is None:
        return _without(inst_id, wanted, args.json)
    auditor = Auditor()
    path = shelf.path(wanted, note.is_sample)
    try:
        audit = auditor.run(
            _values(path, note.is_sample, lambda line: change_of(line, inst_id)),
            vault.snapshots(inst_id, start_ms, start_ms + DAY_MS),
        )
    except LineError as error:  # of a level that is none, which shows when the line is applied
        raise _damaged(path, error) from error
    check_trades(audit, auditor.touches, _trades(shelf, inst_id, start_ms))
    if not audit.hours:
        raise VaultError(f"nothing of {inst_id} was recorded on {wanted.date}.", "l2vault ls, for what was")
    found = _document(inst_id, wanted, path, audit)
    _keep(vault.layout, found, note.is_sample)
    sys.stdout.write(document("audit", found) if args.json else _text(found))
    return 1 if audit.count("ours") else 0


def _of_year(vault: Vault, args: argparse.Namespace) -> str:
    """An instrument of which retention has left no hour may have been audited."""
    asked = [name.upper() for name in asked_instruments(args)]
    audits = vault.layout.audit_file("INST", 0).parents[1]
    held = {path.name for path in audits.iterdir()} if audits.is_dir() else set()
    kept = [name for name in asked if name in held]
    return kept[0] if len(asked) == 1 and kept else the_instrument(vault, args)


def _keep(layout: Layout, found: AuditDocument, is_sample: bool) -> None:
    """For the year. A vault that cannot be written to is audited all the same."""
    from l2vault.clock import Clock  # it would load asyncio into whoever only asks for this verb's help

    hours = {
        int(each.hour_utc[11:13]): AuditedHour(
            each.agreed, each.counts["ours"], each.counts["theirs"], each.counts["no witness"]
        )
        for each in found.hours
    }
    try:
        keep_audit(layout, found.inst_id, AuditedDay(found.day, found.source, is_sample, Clock().wall_text(), hours))
    except OSError as error:
        where = printable(error.filename or layout.root, 400)
        sys.stderr.write(f"not kept for --year: {where}: {printable(error.strerror or error)}\n")


def _without(inst_id: str, wanted: Wanted, is_json: bool) -> int:
    """Neither good nor bad: nobody else has been asked."""
    if is_json:
        empty = dict.fromkeys(VERDICTS, 0)
        nothing = AuditDocument(inst_id, wanted.date, NO_WITNESS, "", 0, 0, empty, [], [], 0, 0, 0, 0, 0)
        sys.stdout.write(document("audit", nothing))
    else:
        sys.stdout.write(f"{inst_id} {wanted.date}: no witness today; OKX's archive of that day is not here\n")
    sys.stderr.write(f"l2vault fetch {inst_id} --from {wanted.date} brings it (--sampled: a part of it)\n")
    return 0


def _trades(shelf: Shelf, inst_id: str, start_ms: int) -> Iterator[TradePush]:
    """Those of the day, as far as their files are here."""
    for wanted in shelf.held_within("trades", inst_id, (start_ms, start_ms + DAY_MS)):
        yield from _values(shelf.path(wanted), False, lambda line: trade_of(line, inst_id))


def _values(path: Path, is_sample: bool, value_of: Callable[[bytes], _Value | None]) -> Iterator[_Value]:
    """What the lines of a file say. Raises VaultError with the number of the line for one that says nothing."""
    for number, line in enumerate(lines_of(path, is_sample), 1):
        try:
            value = value_of(line)
        except LineError as error:
            raise _damaged(path, LineError(f"line {number}: {error.message}")) from error
        if value is not None:
            yield value


def _damaged(path: Path, error: LineError) -> VaultError:
    where, why = printable(path, 400), printable(error.message)
    return VaultError(f"{where}: {why}.", "delete the file, then l2vault fetch again")


def _document(inst_id: str, wanted: Wanted, path: Path, audit: Audit) -> AuditDocument:
    state = "disagreed" if audit.count("ours") else "agreed" if audit.compared else NO_WITNESS
    return AuditDocument(
        *(inst_id, wanted.date, state, path.name, audit.compared, audit.agreed),
        counts={verdict: audit.count(verdict) for verdict in VERDICTS},
        hours=[audit.hours[hour_ms] for hour_ms in sorted(audit.hours)],
        disagreements=audit.disagreements,
        full_books=audit.whole,
        rebuilt=audit.rebuilt,
        trades=audit.trades,
        inside_spread=audit.inside,
        inside_control=audit.control,
    )


def _text(found: AuditDocument) -> str:
    rows = [
        [each.hour_utc[:16].replace("T", " "), *_cells(each.compared, each.agreed, each.counts)] for each in found.hours
    ]
    rows.append([found.day, *_cells(found.compared, found.agreed, found.counts)])
    names = ["UTC", "lines", "agreed", *VERDICTS]
    text = f"{found.inst_id} against {found.source}\n" + table(names, rows, left=1, rule=(len(rows) - 1, "-" * 40))
    for each in found.disagreements[:_SHOWN]:
        seq = "" if each.seq_id is None else f" seqId {each.seq_id}"
        text += f"{each.verdict}: {each.time_utc}{seq}: {counted(each.levels, 'level')} unlike, {each.side} "
        text += f"{each.price}: recorded {each.ours}, archive {each.theirs}\n"
    if len(found.disagreements) > _SHOWN:
        text += f"... and {len(found.disagreements) - _SHOWN} more: --json has all\n"
    return text + _of_itself(found)


def _cells(compared: int, agreed: int, counts: dict[Verdict, int]) -> list[str]:
    return [str(compared), share_of(agreed, compared), *(str(counts[verdict]) for verdict in VERDICTS)]


def _of_itself(found: AuditDocument) -> str:
    """Whether the witness can be believed."""
    text = f"the archive itself: {found.rebuilt} of {counted(found.full_books, 'full book')} equal what was rebuilt\n"
    if found.trades:
        inside, control = (exact_share(each / found.trades) for each in (found.inside_spread, found.inside_control))
        text += f"{counted(found.trades, 'trade')}: {inside} within the rebuilt spread of their time, {control} within "
        return text + "that of times drawn at random\n"
    return text + "no trades of that day are here: l2vault fetch --what trades, for the check of the spread\n"
