"""`l2vault verify`: every file and line re-checked."""

import argparse
import sys
from itertools import chain
from typing import Final

from l2vault.foreign import printable
from l2vault.vault.checking.changes import Compared
from l2vault.vault.checking.verify import Verification
from l2vault.vault.store.root import open_layout
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import bar, counted, size_text

HELP: Final = "re-check every file and line of the vault; exit 1 on any finding"
EXAMPLE: Final = "l2vault verify --vault Vault"

_TEXT_CHARS: Final = 400


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--chain", action="store_true", help="also say whether the journal's past was edited")
    parser.add_argument("--json", action="store_true", help="print each finding as one JSON object")


def run(context: Context, args: argparse.Namespace) -> int:
    """One line a finding on stdout, the summary on stderr."""
    from l2vault.clock import Clock  # both would load asyncio into whoever only asks for this verb's help
    from l2vault.verbs.console import StatusConsole

    layout = open_layout(context.vault)
    console = StatusConsole(sys.stderr)
    verification = Verification(layout, Clock().wall_ms())
    findings = 0
    try:
        found = verification.run(lambda done, total, what: console.show(bar(done, total, what)))
        for finding in chain(found, verification.chain() if args.chain else ()):
            findings += 1
            console.show("")
            if args.json:
                sys.stdout.write(document("verify", finding))
            else:
                at = "" if finding.offset is None else f" at byte {finding.offset}"
                text = printable(finding.text, _TEXT_CHARS)
                sys.stdout.write(f"{finding.kind:10} {printable(finding.file)}{at}: {text}\n")
            sys.stdout.flush()
    finally:
        console.show("")
    checked = f"{verification.files} files, {verification.lines} lines, {size_text(verification.bytes_read)}"
    sys.stderr.write(f"checked {checked}: {counted(findings, 'finding') if findings else 'no findings'}\n")
    sys.stderr.write(_rebuilt(verification.compared))
    return 1 if findings else 0


def _rebuilt(compared: Compared) -> str:
    """What became of the lines beside which changes were kept."""
    if not compared.equal + compared.different + compared.unaligned:
        return ""
    text = f"rebuilt from changes: {compared.equal} lines equal, {compared.different} different"
    if compared.unaligned:
        text += f", {compared.unaligned} of another feed's batch"
    return text + (f"; {compared.uncovered} without changes\n" if compared.uncovered else "\n")
