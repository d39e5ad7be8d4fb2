"""`l2vault archive` and `l2vault restore`: hours into Parquet and back, byte for byte."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.vault.files import HourForms, analysis_extra, hours
from l2vault.vault.layout import HOUR_MS, Layout
from l2vault.vault.reader import open_vault
from l2vault.verbs.terminal import bar, moment, size_text

HELP: Final = "turn hours into Parquet that gives the lines back byte for byte"
EXAMPLE: Final = "l2vault archive BTC-USDT-SWAP --to 2026-01-30 --remove"

_log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inst_ids", nargs="*", metavar="INST", help="only these instruments")
    parser.add_argument("--vault", type=Path, metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME", help="hours from this time on")
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="hours that end by this time")
    parser.add_argument("--remove", action="store_true", help="remove the raw files once their archive is checked")


def run(args: argparse.Namespace) -> int:
    """0 if every hour was archived, 1 if one was refused; the others go on."""
    with analysis_extra():
        from l2vault.vault.archive import archive_hour
    layout = open_vault(args.vault).layout
    chosen = [forms for forms in chosen_hours(layout, args) if forms.raw]
    failures = raw_bytes = archive_bytes = 0
    for number, forms in enumerate(chosen):
        show_progress(number, len(chosen), forms)
        try:
            size_bytes = sum(file.path.stat().st_size for file in forms.raw)
            archive_bytes += archive_hour(layout, forms.raw[0])
            raw_bytes += size_bytes
        except (VaultError, OSError) as error:
            failures += 1
            sys.stderr.write(f"l2vault: {error}\n")
            continue
        if args.remove:
            for file in forms.raw:
                file.path.unlink()
    done = len(chosen) - failures
    sys.stdout.write(f"{done} hours archived, {size_text(raw_bytes)} of lines in {size_text(archive_bytes)}\n")
    return 1 if failures else 0


def chosen_hours(layout: Layout, args: argparse.Namespace) -> list[HourForms]:
    """The hours that the options name, and that nobody writes to any more."""
    vault = open_vault(layout.root)
    held = vault.instruments()
    for inst_id in args.inst_ids:
        if inst_id not in held:
            raise VaultError(f"the vault holds nothing of {inst_id}.", "l2vault ls, for what it holds")
    end_ms = Clock().wall_ms() if args.end is None else args.end
    return [
        forms
        for inst_id in args.inst_ids or held
        for forms in hours(layout, inst_id)
        if forms.hour_ms + HOUR_MS <= end_ms and (args.start is None or forms.hour_ms >= args.start)
    ]


def show_progress(done: int, total: int, forms: HourForms) -> None:
    """A bar on a terminal, nothing elsewhere."""
    if sys.stderr.isatty():
        what = f"{forms.inst_id} {utc_text(forms.hour_ms)[:13]}h"
        sys.stderr.write("\r" + bar(done, total, what).ljust(78))
        sys.stderr.flush()
