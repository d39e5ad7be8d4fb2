"""`l2vault probe`: what OKX gives from here, before anything is recorded."""

import argparse
import asyncio
import sys
import threading
from itertools import groupby
from random import Random
from typing import TYPE_CHECKING, Final

import l2vault
from l2vault.book.utc import utc_text
from l2vault.foreign import quoted
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import labelled, paragraph, span_text
from l2vault.verbs.words import configure_instruments, minutes

if TYPE_CHECKING:
    from l2vault.probe.findings import Findings
    from l2vault.probe.verdict import Verdict

HELP: Final = "connect as the recorder would, record nothing, and print what OKX gives and whether it is fit to record"
EXAMPLE: Final = "l2vault probe --minutes 10 --inst BTC-USDT-SWAP"
LONGEST_MINUTES: Final = 24 * 60.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--minutes",
        type=_minutes,
        default=10.0,
        metavar="N",
        help="length: minutes, or 90s, 1h (default: 10)",
    )
    configure_instruments(parser, "swaps to look at (default: the first ten of the settings)", is_setting=True)
    parser.add_argument("--region", metavar="NAME", help="global (default), eea, us or demo-trading")
    parser.add_argument("--ws-url", metavar="URL", help="another websocket address, such as l2vault sim's")
    parser.add_argument("--rest-url", metavar="URL", help="another REST address")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the page")


def run(context: Context, args: argparse.Namespace) -> int:
    """The page on stdout, progress on stderr. Exit code 0: fit to record; 1: not."""
    from l2vault.clock import Clock  # these would load asyncio and websockets into whoever only asks for help
    from l2vault.probe.document import document_of
    from l2vault.probe.findings import Findings
    from l2vault.probe.plan import plan_of
    from l2vault.probe.run import Probe
    from l2vault.probe.verdict import judge
    from l2vault.verbs.console import StatusConsole, stop_on_signals

    console = StatusConsole(sys.stderr)
    plan = plan_of(context.settings, args.minutes * 60)

    async def probe() -> Findings:
        stop, finished = asyncio.Event(), threading.Event()
        stop_on_signals(stop, finished)
        try:
            return await Probe(plan, l2vault.__version__, Clock(), Random(), console.show).run(stop)  # jitter only
        finally:
            finished.set()

    try:
        findings = asyncio.run(probe())
    finally:
        console.show("")
    verdict = judge(findings)
    if args.json:
        sys.stdout.write(document("probe", document_of(findings, verdict)))
    else:
        sys.stdout.write(page(findings, verdict))
    return 0 if verdict.is_fit else 1


def page(findings: "Findings", verdict: "Verdict") -> str:
    """What a person reads, at most `format.PAGE_WIDTH` columns wide, with a newline at its end."""
    from l2vault.probe.document import rows_of

    lines = _head(findings)
    for section, rows in groupby(rows_of(findings), key=lambda row: row.section):
        lines += ["", section]
        for row in rows:
            lines += labelled(_visible(row.label), _visible(row.text), _visible(row.basis))
    return "\n".join([*lines, "", *_verdict_lines(verdict)]) + "\n"


def _head(findings: "Findings") -> list[str]:
    took = span_text(1000 * round(findings.seconds))
    first = f"l2vault probe {findings.version}, {utc_text(findings.started_ms)}, region {findings.region}, {took}"
    return [first, *paragraph(", ".join(findings.inst_ids), indent="")]


def _verdict_lines(verdict: "Verdict") -> list[str]:
    lines = ["VERDICT: fit to record" if verdict.is_fit else "VERDICT: not fit to record"]
    for cure, reasons in groupby(verdict.reasons, key=lambda reason: reason.cure):
        for reason in reasons:
            lines += paragraph(_visible(f"Because {reason.what}."))
        lines += paragraph(_visible(f"Do: {cure}."), indent="    ")
    for remark in verdict.remarks:
        lines += paragraph(_visible(remark))
    return [*lines, *paragraph(_visible(f"Next: {verdict.next_step}"))]


def _visible(text: str) -> str:
    """Text from outside without what a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _minutes(text: str) -> float:
    found = minutes(text)
    if found > LONGEST_MINUTES:
        raise argparse.ArgumentTypeError(f"{quoted(text, 64)} is longer than a day")
    return found
