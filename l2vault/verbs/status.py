"""`l2vault status`: whether a recorder is at work on a vault, and how it is, for people, programs and Prometheus."""

import argparse
import sys
from collections.abc import Iterator
from typing import Final

import msgspec

from l2vault.clock import Clock
from l2vault.foreign import printable
from l2vault.vault.health.form import Health, InstrumentHealth
from l2vault.vault.health.judge import THRESHOLDS, Look, Verdict, seconds_since
from l2vault.vault.health.look import look
from l2vault.vault.health.metrics import metrics_text
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import NONE, counted, labelled, paragraph, share_of, size_text, span_text, table

HELP: Final = "say whether a recorder is at work and healthy: exit 0 healthy, 1 not, 3 no recorder"
EXAMPLE: Final = "l2vault status --vault Vault"
NO_RECORDER: Final = 3
WIDTH: Final = 80

_CODES: Final = {"healthy": 0, "not healthy": 1, "no recorder": NO_RECORDER}
_MILLION: Final = 1_000_000
_MOST_ROWS: Final = 20
_MOST_LOSSES: Final = 5
_ADDRESS_CHARS: Final = 34


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = f"{HELP[0].upper()}{HELP[1:]}. {THRESHOLDS}"
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object, with health.json in it")
    form.add_argument("--prometheus", action="store_true", help="print metrics for a textfile collector")


def run(context: Context, args: argparse.Namespace) -> int:
    seen = look(context.vault, Clock().wall_ms())
    health, held, verdict = seen.health, seen.is_held, seen.verdict
    if args.json:
        sys.stdout.write(_json(health, verdict, held))
    elif args.prometheus:
        sys.stdout.write(metrics_text(health, verdict))
    else:
        sys.stdout.write("\n".join(_page(printable(context.vault), seen)) + "\n")
    return _CODES[verdict.state]


def _json(health: Health | None, verdict: Verdict, held: bool | None) -> str:
    content = {
        "state": verdict.state,
        "reasons": [reason._asdict() for reason in verdict.reasons],
        "health_age_sec": verdict.age_sec,
        "is_lock_held": held,
        "health": None if health is None else msgspec.to_builtins(health),
    }
    return document("status", content)


def _page(vault: str, seen: Look) -> Iterator[str]:
    now_ms, health, verdict = seen.now_ms, seen.health, seen.verdict
    yield f"{vault}: {verdict.state}"
    for reason in verdict.reasons:
        yield from paragraph(reason.text, width=WIDTH)
        yield from paragraph(f"Try: {reason.cure}", "    ", WIDTH)
    if health is None:
        return
    if verdict.state == "no recorder":
        yield ""
        yield from paragraph("What follows is how it was then; each age is that of now.", "", WIDTH)
    age_sec = verdict.age_sec or 0.0
    yield ""
    yield from _of_recorder(health, age_sec, now_ms)
    yield ""
    yield from _of_feeds(health, age_sec, now_ms)
    yield ""
    yield from _of_instruments(health, age_sec)
    yield ""
    yield from _of_host(health, seen.free_bytes)
    yield from _of_losses(health)


def _of_recorder(health: Health, age_sec: float, now_ms: int) -> Iterator[str]:
    who = f"process {health.pid} on {printable(health.host)}, l2vault {printable(health.version)}"
    yield from labelled("recorder", who, f"run {printable(health.run)}", WIDTH)
    up = f"{_moment(health.started)}, {_span(seconds_since(health.started, now_ms))} ago"
    yield from labelled("started", up, width=WIDTH)
    yield from labelled("last sign of life", f"{_span(age_sec)} ago", "health.json, replaced every 5 s", WIDTH)
    counts = health.counts
    lines = f"{counts.lines} lines of books, {counts.trade_lines} of trades, {counts.context_lines} of context"
    yield from labelled("since then", lines, f"{counts.messages} messages of books", WIDTH)
    losses = ", ".join(f"{cause} {count}" for cause, count in sorted(health.counts.losses.items()))
    note = "a loss that another feed covers is no gap"
    yield from labelled("gaps", f"{counts.gaps}; losses of a feed: {losses or 'none'}", note, WIDTH)


def _of_feeds(health: Health, age_sec: float, now_ms: int) -> Iterator[str]:
    rows = []
    for feed in health.feeds:
        newest = NONE if feed.message_age_sec is None else _span(feed.message_age_sec + age_sec)
        since = _span(seconds_since(feed.since, now_ms))
        address = printable(feed.address or NONE, _ADDRESS_CHARS)
        rows.append([str(feed.feed), feed.state, since, newest, str(feed.reconnects), address])
    names = ["feed", "state", "for", "newest", "again", "address"]
    yield from table(names, rows, left=2).splitlines()
    if len(health.feeds) < health.feeds_wanted:
        yield f"  {health.feeds_wanted} feeds are set; they start 3 s apart."


def _of_instruments(health: Health, age_sec: float) -> Iterator[str]:
    """Those that are not in sync first."""
    found = sorted(health.instruments, key=lambda one: one.state == "in sync")
    rows = [_row(one, age_sec) for one in found[:_MOST_ROWS]]
    names = ["instrument", "state", "book", "p50/p99 ms", "lines", "in sync", "trades", "context"]
    yield from table(names, rows, left=2).splitlines()
    if len(found) > _MOST_ROWS:
        yield f"  and {len(found) - _MOST_ROWS} more, which --json has"
    note = "book: age of the newest; p50/p99: receive minus exchange time; in sync: share of the last hour; trades: "
    yield from paragraph(note + "lines, ids missing; context: values current", width=WIDTH)
    for one in found:
        if one.changes is not None and one.changes.state == "lost":
            since, cause = one.changes.since or "the start", printable(one.changes.cause)
            yield from paragraph(f"Changes of {one.inst_id} are not kept since {since}: {cause}.", width=WIDTH)


def _row(one: InstrumentHealth, age_sec: float) -> list[str]:
    book = NONE if one.book_age_sec is None else _span(one.book_age_sec + age_sec)
    lag = NONE if one.lag.p50_ms is None or one.lag.p99_ms is None else f"{one.lag.p50_ms:.0f}/{one.lag.p99_ms:.0f}"
    trades = NONE
    if one.trades is not None:
        trades = f"{one.trades.lines}, {one.trades.missing}" if one.trades.missing else str(one.trades.lines)
    context = NONE
    if one.context is not None:
        every = one.context.present + one.context.stale + one.context.lost
        context = f"{one.context.present} of {every}" if every else NONE
    in_sync = share_of(round(one.in_sync_share * _MILLION), _MILLION)
    return [printable(one.inst_id, 24), one.state, book, lag, str(one.lines), in_sync, trades, context]


def _of_host(health: Health, free_bytes: int | None) -> Iterator[str]:
    """`free_bytes` is what the disk has free now, which the verdict rests on too; None: as the recorder saw it last."""
    disk, queue, clock = health.disk, health.queue, health.clock
    free_bytes = disk.free_bytes if free_bytes is None else free_bytes
    free = NONE if free_bytes is None else f"{size_text(free_bytes)} free"
    vault = NONE if disk.vault_bytes is None else f"the vault has {size_text(disk.vault_bytes)}"
    if disk.bytes_a_day is None:
        grows, note = "what a day adds is not known yet", "after the first whole hour"
    else:
        grows, note = f"a day adds {size_text(disk.bytes_a_day)}", "the last 24 hours recorded, as compressed"
    yield from labelled("disk", f"{free}; {vault}; {grows}", note, WIDTH)
    if disk.bounded_by is not None:
        note = "docs/retention.md" if disk.unpushed_bytes is None else "as long as l2vault push keeps up"
        yield from labelled("full in", f"never: {disk.bounded_by} deletes before", note, WIDTH)
    elif disk.days_left is not None:
        note = f"{size_text(disk.unpushed_bytes)} wait for l2vault push" if disk.unpushed_bytes else ""
        yield from labelled("full in", f"{disk.days_left:.1f} days at this rate", note, WIDTH)
    stalled = f", nothing taken for {_span(queue.stalled_sec)}" if queue.stalled_sec else ""
    lost = counted(queue.lines_lost, "line") + " refused"
    lost += f", last at {queue.lines_lost_at}" if queue.lines_lost else ""
    yield from labelled("on the way to it", f"{counted(queue.waiting, 'item')} waiting{stalled}; {lost}", width=WIDTH)
    if clock.offset_ms is None:
        yield from labelled("clock", "not known: OKX did not tell its time", width=WIDTH)
    else:
        yield from labelled("clock", f"{clock.offset_ms:+d} ms against OKX's", f"+-{clock.uncertain_ms} ms", WIDTH)
    for task in health.tasks:
        failed = f"{printable(task.task)} failed {task.failures} times, last at {task.at}: {printable(task.error)}"
        yield from labelled("task", failed, "it was started again", WIDTH)


def _of_losses(health: Health) -> Iterator[str]:
    if not health.losses:
        return
    yield ""
    rows = [
        [_moment(loss.at), printable(loss.inst_id, 24), str(loss.feed), loss.cause, "yes" if loss.is_covered else "NO"]
        for loss in health.losses[:_MOST_LOSSES]
    ]
    yield from table(["last losses (UTC)", "instrument", "feed", "cause", "covered"], rows, left=5).splitlines()
    yield from paragraph("covered: another feed held the book. All of them: l2vault coverage", width=WIDTH)


def _moment(text: str) -> str:
    return text[:19].replace("T", " ")


def _span(seconds: float) -> str:
    """Tenths of a second up to ten seconds: what is finer is the age of the file."""
    return f"{seconds:.1f} s" if seconds < 10 else span_text(round(seconds) * 1000)
