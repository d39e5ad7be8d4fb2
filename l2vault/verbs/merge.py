"""`l2vault merge`: the vaults of several machines made one, hour by hour."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from filelock import Timeout

from l2vault.clock import Clock
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.merging.run import Merge, Report, check_places, merged_root
from l2vault.vault.retention.run import locked
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.durable import refusals
from l2vault.vault.store.layout import KINDS, Layout
from l2vault.vault.store.lock import VaultHeld, VaultLock
from l2vault.vault.store.names import held_instruments
from l2vault.vault.store.root import open_layout
from l2vault.verbs.context import Context
from l2vault.verbs.format import progress_bar
from l2vault.verbs.words import moment, names_of

HELP: Final = "make the vaults of several machines one: what one lacks comes from another"
EXAMPLE: Final = "l2vault merge /mnt/amsterdam/Vault /mnt/tokyo/Vault --into Merged"

_ALWAYS: Final = 0, 1 << 62
_SHOWN: Final = 20
"""Contradictions that are named; the journal has all of them."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "vaults", nargs="+", type=Path, metavar="VAULT", help="two vaults or more, which stay as they are"
    )
    parser.add_argument(
        "--into", type=Path, metavar="DIR", required=True, help="a new folder, or one that merge made before"
    )
    parser.add_argument("--inst", action="append", metavar="ID", help="only this instrument; may come again")
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME", help="only hours from this time on")
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="only hours that begin before this time")


def run(context: Context, args: argparse.Namespace) -> int:
    """0 if everything that has ended is merged; contradictions are named, and are no failure."""
    if len(args.vaults) < 2:
        raise UsageError("one vault alone cannot be merged.", f"a second one: {EXAMPLE}")
    into = Layout(args.into)
    inputs = [open_layout(path) for path in args.vaults]
    check_places(into, inputs)
    held = {name for layout in inputs for kind in KINDS for name in Catalog(layout.of(kind)).instruments()}
    chosen = held_instruments(names_of(args.inst or []), sorted(held))
    span = _ALWAYS[0] if args.start is None else args.start, _ALWAYS[1] if args.end is None else args.end
    if span[0] >= span[1]:
        raise UsageError("--to is not behind --from: no hour lies between them.", "--from before --to")
    with refusals(into.root):
        merged_root(into).mkdir(parents=True, exist_ok=True)  # the first of all: by it we know ours again
    clock = Clock()
    lock = _acquired(into, clock)
    try:
        with locked(into), progress_bar() as show:
            journal = verb_journal(into, "merge", clock.wall_text, clock.monotonic_ms)
            named = [(layout.root.resolve().as_posix(), layout) for layout in inputs]
            report = Merge(into, named, journal, clock.wall_text).run(chosen, span, show)
    except Timeout:
        raise VaultError(f"retention is at work in {printable(into.root)}.", "again in a minute") from None
    finally:
        lock.release()
    sys.stdout.write(_told(report, args.vaults))
    return 0


def _acquired(into: Layout, clock: Clock) -> VaultLock:
    """Raises VaultError where another process writes the target, or it cannot be written."""
    lock = VaultLock(into)
    try:
        lock.acquire(clock.wall_text())
    except VaultHeld as error:
        text = f"another merge is at work in {printable(into.root)}."
        raise VaultError(text, "again when it has ended, or another --into") from error
    return lock


def _told(report: Report, vaults: Sequence[Path]) -> str:
    lines = [
        f"{report.merged} hours merged from {len(vaults)} vaults, {report.lines} lines; {report.unchanged} unchanged"
    ]
    if report.left_for_now:
        lines.append(f"{report.left_for_now} hours left for now: a recorder is writing them; merge again later")
    if report.unread:
        lines.append(f"{report.unread} lines left out: they do not read, or nothing proves them (l2vault verify)")
    if report.unaligned:
        lines.append(f"{report.unaligned} slots with lines of different seqId: the later one was taken")
    for inst_id, kind, first, last in report.disputed[:_SHOWN]:
        span = first if first == last else f"{first} to {last}"
        lines.append(
            f"disputed: {inst_id} {kind} {span}: the vaults contradict; the other lines are in meta/okx/merged"
        )
    if len(report.disputed) > _SHOWN:
        lines.append(f"... and {len(report.disputed) - _SHOWN} more: l2vault coverage names them")
    return "".join(f"{line}\n" for line in lines)
