"""`l2vault repair`: the holes of a span filled from OKX's archive, said of each slot, noted, and undone at will."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from l2vault.book.utc import DAY_MS, HOUR_MS, utc_ms, utc_text
from l2vault.clock import Clock
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.history.backfill import backfill_books
from l2vault.history.books import Law
from l2vault.history.naming import wanted_files
from l2vault.history.shelf import Shelf
from l2vault.vault.coverage.filled import given_spans
from l2vault.vault.coverage.model import Coverage, count_slots
from l2vault.vault.journal.log import read_journal, verb_journal
from l2vault.vault.journal.merge_events import Repaired
from l2vault.vault.reading.vault import Vault, open_vault
from l2vault.vault.store.durable import refusals
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.repairs import keep_repairs, repaired_spans
from l2vault.vault.store.spans import intersection, joined, outside
from l2vault.verbs.analysis import the_instrument
from l2vault.verbs.backfill import WHOLE_BEFORE, keep_instrument_row, okx_place
from l2vault.verbs.context import Context
from l2vault.verbs.fetch import alone_in_archive
from l2vault.verbs.format import counted, progress_bar, span_text
from l2vault.verbs.words import configure_instruments, moment

HELP: Final = "fill the holes of a span from OKX's archive: labelled, noted, and undone with --undo"
EXAMPLE: Final = "l2vault repair BTC-USDT-SWAP --from 2026-11-20 --to 2026-11-21"

_SHOWN: Final = 20


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "an instrument of the vault; not needed if it is the only one", is_one=True)
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument(
        "--from", dest="start", type=moment, metavar="TIME", help="start of the span (default: the oldest evidence)"
    )
    parser.add_argument(
        "--to",
        dest="end",
        type=moment,
        metavar="TIME",
        help="end of the span (default: just behind the newest evidence)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be filled")
    parser.add_argument("--undo", action="store_true", help="take back what was filled in the span")
    parser.add_argument(
        "--region", metavar="NAME", help="where to ask for a row that is not here: global (default), ..."
    )
    parser.add_argument("--rest-url", metavar="URL", help="another REST address, such as l2vault sim's")


def run(context: Context, args: argparse.Namespace) -> int:
    """0 if no hole is left, or all was undone; 1 if some are, which are named with the days to fetch."""
    vault = open_vault(context.vault)
    inst_id = the_instrument(vault, args)
    own = vault.coverage(inst_id, args.start, args.end)
    layout, clock = vault.layout, Clock()
    if args.undo and args.dry_run:
        raise UsageError("--undo and --dry-run exclude each other.", "one of them")
    if args.dry_run:
        given = _given(layout, own)
    else:
        with alone_in_archive(layout):
            if args.undo:
                return _undo(layout, own, clock)
            _make_hours(context, args, layout, own, clock)
            given = _given(layout, own)
            _fill(layout, own, given, clock)
    left = [part for hole in own.holes for part in outside(given, hole.start_ms, hole.end_ms)]
    sys.stdout.write(_told(own, given, left, args.dry_run))
    _say_what_lacks(layout, inst_id, own, left)
    return 1 if _slots(own, left) else 0


def _make_hours(context: Context, args: argparse.Namespace, layout: Layout, own: Coverage, clock: Clock) -> None:
    """Books of the hours in which there are holes, of the days that were fetched."""
    settings = context.settings
    hours = {
        hour_ms
        for hole in own.holes
        if hole.slots
        for hour_ms in range((hole.start_ms // HOUR_MS - 1) * HOUR_MS, hole.end_ms, HOUR_MS)
    }
    held = Shelf(layout).held("books400", own.inst_id)
    wanted = [each for each in held if any(each.span[0] <= hour_ms < each.span[1] for hour_ms in hours)]
    if not wanted:
        return
    law = Law(own.stretches[-1].cadence_ms if own.stretches else settings.cadence_ms, settings.depth)
    with progress_bar() as show, refusals(layout.okx_archive.root, WHOLE_BEFORE):
        keep_instrument_row(layout, own.inst_id, settings.region, settings.rest_url, clock)
        backfill_books(okx_place(layout, clock, "repair"), wanted, law, show, hours.__contains__)


def _given(layout: Layout, own: Coverage) -> list[tuple[int, int]]:
    """Where the archive stands in."""
    archive = layout.okx_archive
    if not archive.raw.is_dir():
        return []
    return given_spans(own, Vault(archive).coverage(own.inst_id, own.start_ms, own.end_ms))


def _fill(layout: Layout, own: Coverage, given: Sequence[tuple[int, int]], clock: Clock) -> None:
    """Note where the archive stands in from now on, as far as that is new to readers or to the journal."""
    noted, before = noted_repairs(layout, own.inst_id), repaired_spans(layout, own.inst_id)
    new = intersection(joined(given), list(outside(noted, own.start_ms, own.end_ms)))
    _put(layout, own, joined([*before, *given]), (new, False), clock)


def _undo(layout: Layout, own: Coverage, clock: Clock) -> int:
    span = own.start_ms, own.end_ms
    noted, before = noted_repairs(layout, own.inst_id), repaired_spans(layout, own.inst_id)
    taken = intersection(joined([*before, *noted]), [span])
    if not taken:
        raise VaultError(
            f"nothing of {own.inst_id} was repaired between {utc_text(span[0])} and {utc_text(span[1])}.",
            "l2vault coverage names what is archive",
        )
    kept = [part for from_ms, to_ms in before for part in outside([span], from_ms, to_ms)]
    _put(layout, own, kept, (intersection(noted, [span]), True), clock)
    sys.stdout.write(f"undone: {counted(_slots(own, taken), 'slot')} are holes again; the archive's books stay\n")
    return 0


def noted_repairs(layout: Layout, inst_id: str) -> list[tuple[int, int]]:
    """What is repaired by the word of the journal, which a run that was killed may have left behind what is."""
    found: list[tuple[int, int]] = []
    for event in read_journal(layout):
        if isinstance(event, Repaired) and event.inst_id == inst_id:
            spans = joined((utc_ms(from_text), utc_ms(to_text)) for from_text, to_text in event.spans)
            if event.undone:
                found = [part for from_ms, to_ms in found for part in outside(spans, from_ms, to_ms)]
            else:
                found = joined([*found, *spans])
    return found


def _put(
    layout: Layout,
    own: Coverage,
    spans: Sequence[tuple[int, int]],
    said: tuple[Sequence[tuple[int, int]], bool],
    clock: Clock,
) -> None:
    """First what readers go by, then the journal, which says nothing that is not so. A disk that refuses the journal
    leaves what was before."""
    before = repaired_spans(layout, own.inst_id)
    new, is_undone = said
    with refusals(layout.repairs_file(own.inst_id), "What was repaired before is as it was"):
        if spans != before:
            keep_repairs(layout, own.inst_id, spans)
        if not new:
            return
        texts = [(utc_text(from_ms), utc_text(to_ms)) for from_ms, to_ms in new]
        journal = verb_journal(layout, "repair", clock.wall_text, clock.monotonic_ms)
        try:
            journal.append(Repaired(clock.wall_text(), own.inst_id, texts, _slots(own, new), is_undone))
        except OSError:
            is_written = intersection(noted_repairs(layout, own.inst_id), new) == ([] if is_undone else new)
            if not is_written:  # else only its sync was refused
                keep_repairs(layout, own.inst_id, before)
            raise


def _slots(own: Coverage, spans: Sequence[tuple[int, int]]) -> int:
    return sum(count_slots(own.stretches, from_ms, to_ms) for from_ms, to_ms in spans)


def _told(own: Coverage, given: Sequence[tuple[int, int]], left: Sequence[tuple[int, int]], is_dry: bool) -> str:
    lacking = sum(hole.slots for hole in own.holes)
    if not lacking:
        return f"{printable(own.inst_id)} {utc_text(own.start_ms)} to {utc_text(own.end_ms)}: no hole\n"
    would = "would be" if is_dry else "are"
    text = f"{_slots(own, given)} of {counted(lacking, 'slot')} in holes {would} filled from OKX's archive: "
    text += "they are called archive, never recorded\n"
    shown = [(from_ms, to_ms) for from_ms, to_ms in left if _slots(own, [(from_ms, to_ms)])]
    for from_ms, to_ms in shown[:_SHOWN]:
        text += f"left: {utc_text(from_ms)} to {utc_text(to_ms)}, {span_text(to_ms - from_ms)}\n"
    if len(shown) > _SHOWN:
        text += f"... and {len(shown) - _SHOWN} more: l2vault coverage\n"
    return text


def _say_what_lacks(layout: Layout, inst_id: str, own: Coverage, left: Sequence[tuple[int, int]]) -> None:
    """Days of which no file is here, and with which more could be filled."""
    shelf = Shelf(layout)
    days = dict.fromkeys(
        day_ms
        for span in left
        if _slots(own, [span])
        for day_ms in range(span[0] // DAY_MS * DAY_MS, span[1], DAY_MS)
        if shelf.note(wanted_files("books400", inst_id, (day_ms, day_ms + DAY_MS))[0]) is None
    )
    if days:
        first, last = (utc_text(day_ms)[:10] for day_ms in (min(days), max(days)))
        sys.stderr.write(f"Try: l2vault fetch {inst_id} --from {first} --to {last}, then the same again\n")
