"""`l2vault retain`: compress and delete by policy, once."""

import argparse
import sys
from pathlib import Path
from typing import Final

import msgspec

from l2vault.clock import Clock
from l2vault.vault.layout import Layout
from l2vault.vault.retention.plan import SETTLE_MS, Action, policy_of
from l2vault.vault.retention.run import RetentionReport, run_retention
from l2vault.verbs.console import set_up_logging
from l2vault.verbs.terminal import bar, size_text

HELP: Final = "compress old hours, delete older ones, and make room where it is short"
EXAMPLE: Final = "l2vault retain --vault Vault --compress-after-hours 6 --delete-after-days 5 --dry-run"

_VERBS: Final = {"compress": "compressed", "archive": "archived", "delete": "deleted"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vault", type=Path, metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and touch nothing")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    numbers = {
        "--compress-after-hours": ("H", "gzip an hour so long after its end (default: 6)"),
        "--delete-after-days": ("D", "delete an hour so long after its end (default: 5)"),
        "--archive-days": ("D", "archive before deleting, and keep archives so long (default: no archive)"),
        "--max-gb": ("GB", "keep the raw tree under this size (default: no bound)"),
        "--min-free-gb": ("GB", "keep this much of the disk free (default: no bound)"),
    }
    for flag, (unit, text) in numbers.items():
        parser.add_argument(flag, type=float, metavar=unit, help=text)


def run(args: argparse.Namespace) -> int:
    """0 if the policy now holds, 1 if a file failed or room is still lacking."""
    policy = policy_of(getattr(args, "settings", args))
    console = set_up_logging(None, verbose=False)
    try:
        report = run_retention(
            Layout(args.vault),
            policy,
            Clock().wall_ms(),
            lambda done, total, what: console.show(bar(done, total, what)),
            args.dry_run,
        )
    finally:
        console.show("")
        console.close()
    sys.stdout.write(_json(report) if args.json else _text(report, args.dry_run))
    return 1 if report.failures or report.shortage else 0


def _text(report: RetentionReport, is_dry: bool) -> str:
    if report.is_busy:
        return "another retention pass is at work: nothing done\n"
    if is_dry:
        text = "".join(_plan_line(action) for action in report.planned)
        text += f"would have {_count([action.kind for action in report.planned])}\n"
    else:
        text = f"{_count([done.action.kind for done in report.done])}, {size_text(report.freed_bytes)} freed\n"
    if report.waiting:
        text += f"{len(report.waiting)} let alone for now: written to within the last {SETTLE_MS // 60_000} minutes\n"
    if report.shortage:
        text += f"room is still lacking: {report.shortage}\n"
    if report.failures:
        text += f"{len(report.failures)} failed:\n"
        text += "".join(f"  {failure.file}: {failure.text}\n" for failure in report.failures)
    return text


def _plan_line(action: Action) -> str:
    held = action.held
    name = f"{held.inst_id}/{held.path.parent.name}/{held.path.name}"
    return f"{action.kind:8}  {name}  {size_text(held.size_bytes)}  {action.reason}\n"


def _count(kinds: list[str]) -> str:
    return ", ".join(f"{past} {kinds.count(kind)}" for kind, past in _VERBS.items())


def _json(report: RetentionReport) -> str:
    def row(action: Action) -> dict[str, object]:
        held = action.held
        return {"action": action.kind, "file": str(held.path), "bytes": held.size_bytes, "reason": action.reason}

    document = {
        "planned": [row(action) for action in report.planned],
        "done": [
            {**row(done.action), "bytes_before": done.bytes_before, "bytes_after": done.bytes_after}
            for done in report.done
        ],
        "not_needed": [row(action) for action in report.spared],
        "failed": [failure._asdict() for failure in report.failures],
        "freed_bytes": report.freed_bytes,
        "let_alone": [str(held.path) for held in report.waiting],
        "shortage": report.shortage or None,
        "busy": report.is_busy,
    }
    return msgspec.json.encode(document).decode() + "\n"
