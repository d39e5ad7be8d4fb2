"""`l2vault retain`: compress and delete by policy, once."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Final

from filelock import Timeout

from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import L2VaultError, VaultError
from l2vault.vault.coverage.checked import check_hours
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.reading.trade_check import check_trades
from l2vault.vault.retention.plan import SETTLE_MS, Action, policy_of
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.retention.run import Options, Progress, RetentionReport, locked, run_retention
from l2vault.vault.store.layout import Layout
from l2vault.verbs.console import set_up_logging
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import bar, size_text

SERVER_WITHIN_SEC: Final = 3.0
"""How long OKX's clock may take to answer; without an answer it has proved nothing."""

HELP: Final = "compress old hours, delete older ones, and make room where it is short"
EXAMPLE: Final = "l2vault retain --vault Vault --compress-after-hours 6 --delete-after-days 5 --dry-run"

_log = logging.getLogger(__name__)

_VERBS: Final = {"compress": "compressed", "archive": "archived", "delete": "deleted"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and touch nothing")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument("--yes", action="store_true", help="delete at once all that is due, however much it is")
    parser.add_argument(
        "--trust-clock",
        action="store_true",
        default=None,
        help="count ages from this machine's clock, which alone makes no hour older",
    )
    parser.add_argument(
        "--rest-url", metavar="URL", help="ask OKX's clock there if ages depend on it (default: nobody is asked)"
    )
    numbers = {
        "--compress-after-hours": ("H", "gzip an hour file H hours after the hour ends (default: 6)"),
        "--delete-after-days": ("D", "delete an hour D days after it ends (default: 5)"),
        "--archive-days": ("D", "archive before deleting, and keep archives D days (default: no archive)"),
        "--max-gb": ("GB", "keep the raw tree under this size (default: no bound)"),
        "--min-free-gb": ("GB", "keep this much of the disk free (default: no bound)"),
    }
    for flag, (unit, text) in numbers.items():
        parser.add_argument(flag, type=float, metavar=unit, help=text)


def run(context: Context, args: argparse.Namespace) -> int:
    """0 if the policy now holds or nothing is due, 1 if something due was not done: a file failed, or room is lacking.

    What waits for the next pass, or for proof of the time, is printed and is no failure.
    """
    settings = context.settings
    policy = policy_of(settings)
    layout, clock = Layout(context.vault), Clock()
    console = set_up_logging(None, verbose=False)
    time = PassTime(clock.wall_ms(), None, settings.trust_clock, _server_clock(settings.rest_url))
    progress: Progress = lambda done, total, what: console.show(bar(done, total, what))  # noqa: E731
    try:
        report = run_retention(
            layout,
            policy,
            time,
            verb_journal(layout, "retain", clock.wall_text, clock.monotonic_ms),
            Options(dry_run=args.dry_run, at_once=args.yes, progress=progress),
        )
        if report.proved is not None and not args.dry_run:
            _check_hours(layout, min(report.proved.now_ms, time.wall_ms), progress)
    except OSError as error:
        cure = "run this as the user who owns the vault, or let this user read and write it"
        raise VaultError(f"retention cannot work in {layout.root}: {error}.", cure) from error
    finally:
        console.show("")
        console.close()
    sys.stdout.write(_json(report) if args.json else _text(report, args.dry_run))
    return 1 if report.failures or report.shortage else 0


def _check_hours(layout: Layout, now_ms: int, progress: Progress) -> None:
    """So that coverage need not read them again, as a recorder has its child do; it costs nothing but time not to."""

    def before_each(path: Path) -> None:
        progress(1, 1, path.relative_to(layout.root).as_posix())

    try:
        with locked(layout):
            check_hours(layout, now_ms - SETTLE_MS, before_each)
            check_trades(layout, now_ms - SETTLE_MS, before_each)
    except (OSError, L2VaultError, Timeout) as error:
        _log.warning("Which hours were read and are good cannot be noted: %s", error)


def _server_clock(rest_url: str) -> Callable[[], int | None] | None:
    """How to ask OKX's clock, where the user named an address: otherwise this verb opens no connection."""
    if not rest_url:
        return None

    def ask() -> int | None:
        from l2vault.okx.rest import OkxRest

        answers: list[int] = []

        def request() -> None:
            with suppress(L2VaultError):
                answers.append(OkxRest(rest_url, SERVER_WITHIN_SEC).server_time_ms())

        # `OkxRest` bounds each wait; the thread bounds them together.
        asking = Thread(target=request, daemon=True)
        asking.start()
        asking.join(SERVER_WITHIN_SEC)
        return answers[0] if answers else None

    return ask


def _text(report: RetentionReport, is_dry: bool) -> str:
    """Empty where nothing was due."""
    if report.is_busy:
        return "another retention pass is at work: nothing done\n"
    text = ""
    if is_dry:
        text = "".join(_plan_line(action) for action in report.planned)
        text += f"would have {_count([action.kind for action in report.planned])}\n"
    elif report.done or report.failures:
        text = f"{_count([done.action.kind for done in report.done])}, {size_text(report.freed_bytes)} freed\n"
    if report.days:
        text += "".join(f"{step.action:8}  {step.file}  {step.reason}\n" for step in report.days if is_dry)
        kinds = [step.action for step in report.days if not step.error]
        text += f"of files of a day {_count(kinds)}\n"
    if report.too_fresh:
        minutes = SETTLE_MS // 60_000
        text += f"{len(report.too_fresh)} skipped for now: written to within the last {minutes} minutes\n"
    if report.open:
        text += f"{len(report.open)} skipped for now: the recorder is writing them\n"
    for held_back in report.held_back:
        text += f"{held_back.hours} hours, {size_text(held_back.size_bytes)}, wait: {held_back.reason}\n"
        text += f"  {held_back.when}: {held_back.command}\n"
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


def _count(kinds: Sequence[str]) -> str:
    return ", ".join(f"{past} {kinds.count(kind)}" for kind, past in _VERBS.items())


def _json(report: RetentionReport) -> str:
    def row(action: Action) -> dict[str, object]:
        held = action.held
        return {"action": action.kind, "file": str(held.path), "bytes": held.size_bytes, "reason": action.reason}

    proved = report.proved
    skipped = [str(held.path) for held in [*report.too_fresh, *report.open]]
    content: dict[str, object] = {
        "planned": [row(action) for action in report.planned],
        "done": [
            {**row(done.action), "bytes_before": done.bytes_before, "bytes_after": done.bytes_after}
            for done in report.done
        ],
        "days": [{"action": step.action, "file": step.file, "reason": step.reason} for step in report.days],
        "not_needed": [row(action) for action in report.not_needed],
        "failed": [failure._asdict() for failure in report.failures],
        "freed_bytes": report.freed_bytes,
        "skipped": skipped,
        "let_alone": skipped,  # its former name, until 0.3
        "held_back": [
            {"hours": each.hours, "bytes": each.size_bytes, "reason": each.reason, "command": each.command}
            for each in report.held_back
        ],
        "proved_time": utc_text(proved.now_ms) if proved and proved.source else None,
        "proved_by": proved.basis if proved else None,
        "shortage": report.shortage or None,
        "busy": report.is_busy,
    }
    return document("retain", content)
