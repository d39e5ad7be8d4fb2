"""`l2vault restore`: archived hours back into the lines they were made of, byte for byte."""

import argparse
import sys
from pathlib import Path
from typing import Final

from l2vault.errors import VaultError
from l2vault.vault.files import analysis_extra
from l2vault.vault.layout import Layout
from l2vault.vault.reader import open_vault
from l2vault.verbs.archive import choose_hours, configure_choice, show_progress

HELP: Final = "give back the lines of archived hours, byte for byte"
EXAMPLE: Final = "l2vault restore BTC-USDT-SWAP --from 2026-01-30 --to 2026-01-31 --into Restored"


def configure(parser: argparse.ArgumentParser) -> None:
    configure_choice(parser)
    parser.add_argument("--into", type=Path, metavar="DIR", help="another vault's folder (default: the vault itself)")
    parser.add_argument("--plain", action="store_true", help="write HH.jsonl instead of HH.jsonl.gz")


def run(args: argparse.Namespace) -> int:
    """0 if every hour came back, 1 if one did not; the others go on."""
    with analysis_extra():
        from l2vault.vault.archive import restore_hour
    layout = open_vault(args.vault).layout
    into = Layout(args.into) if args.into is not None else layout
    chosen = [forms for forms in choose_hours(layout, args) if forms.archive is not None]
    lines = failures = 0
    for number, forms in enumerate(chosen):
        show_progress(number, len(chosen), forms)
        plain = into.hour_file(forms.inst_id, forms.hour_ms)
        target = plain if args.plain else plain.with_name(f"{plain.name}.gz")
        try:
            assert forms.archive is not None  # chosen for it
            lines += restore_hour(forms.archive, target)
        except (VaultError, OSError) as error:
            failures += 1
            sys.stderr.write(f"l2vault: {error}\n")
    sys.stdout.write(f"{len(chosen) - failures} hours restored, {lines} lines\n")
    return 1 if failures else 0
