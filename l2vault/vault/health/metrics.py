"""The health file in Prometheus' text format, for the textfile collector of node_exporter. Pure.

Ages are those at the time of printing, so that they grow while the file stands still; without a recorder no feed is
connected and no book is in sync, whatever the file says.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from l2vault.book.utc import utc_ms
from l2vault.vault.health.form import Health, InstrumentHealth
from l2vault.vault.health.judge import Verdict

Labels = Mapping[str, str]
_DAY_SEC: Final = 86_400
_Sample = tuple[Labels, float | int | None]


class Metric(NamedTuple):
    """Name without `l2vault_`, type, and what it says."""

    name: str
    kind: str
    help: str


UP: Final = Metric("recorder_up", "gauge", "Whether a recorder holds the vault and has given a sign of life (1 or 0).")
HEALTHY: Final = Metric("healthy", "gauge", "Whether l2vault status calls the recorder healthy (1 or 0).")
METRICS: Final = (
    UP,
    HEALTHY,
    Metric("health_timestamp_seconds", "gauge", "When the recorder last wrote health.json, by its machine's clock."),
    Metric("start_timestamp_seconds", "gauge", "When the recorder started."),
    Metric("build_info", "gauge", "Always 1; versions are in the labels."),
    Metric("feeds_connected", "gauge", "Feeds whose connection stands."),
    Metric("feeds_wanted", "gauge", "Feeds that are set."),
    Metric("feed_up", "gauge", "Whether this feed's connection stands (1 or 0)."),
    Metric("feed_message_age_seconds", "gauge", "Age of the newest message of this feed."),
    Metric("feed_reconnects_total", "counter", "Times that this feed connected again."),
    Metric("in_sync", "gauge", "Whether a feed holds the book of the instrument in sync (1 or 0)."),
    Metric("in_sync_ratio", "gauge", "Share of the window in which a feed held the book in sync."),
    Metric("book_age_seconds", "gauge", "Age of the newest book of the instrument."),
    Metric("last_update_timestamp_seconds", "gauge", "Exchange time of the newest book of the instrument."),
    Metric("last_snapshot_timestamp_seconds", "gauge", "Exchange time of the newest line of the instrument."),
    Metric("snapshots_written_total", "counter", "Lines of books that were handed to the disk."),
    Metric("receive_lag_p50_seconds", "gauge", "Receive time minus exchange time, median of the last minute."),
    Metric("receive_lag_p99_seconds", "gauge", "The same, its 99th percentile."),
    Metric("trade_lines_total", "counter", "Lines of trades that were handed to the disk."),
    Metric("trades_missing", "gauge", "Ids of trades that are missing at present."),
    Metric("context_values", "gauge", "Values of the context in each state."),
    Metric("changes_kept", "gauge", "Whether every push of the books is being kept (1 or 0)."),
    Metric("messages_total", "counter", "Messages received, by channel."),
    Metric("unreadable_messages_total", "counter", "Messages that could not be read."),
    Metric("gaps_total", "counter", "Broken chains that no other feed covered."),
    Metric("losses_total", "counter", "Losses of a feed's book, by cause; most are covered by another feed."),
    Metric("compared_slots_total", "counter", "Slots that a second feed brought too, by outcome."),
    Metric("audit_compared_total", "counter", "Audits against REST, by outcome."),
    Metric("audit_mismatch_total", "counter", "Audits by which a book differed from OKX's own."),
    Metric("last_audit_timestamp_seconds", "gauge", "When REST last gave a book that could be compared."),
    Metric("task_failures_total", "counter", "Failures of an optional task, which was started again."),
    Metric("queue_items", "gauge", "Items that wait for the disk."),
    Metric("disk_stalled_seconds", "gauge", "For how long the disk has taken nothing."),
    Metric("lines_lost_total", "counter", "Lines that the disk refused."),
    Metric("disk_free_bytes", "gauge", "Free space of the vault's disk."),
    Metric("vault_bytes", "gauge", "Size of the vault's data files."),
    Metric("vault_growth_bytes_per_second", "gauge", "What this recording adds, once compressed."),
    Metric("disk_left_seconds", "gauge", "Until the disk is full; +Inf where retention deletes before."),
    Metric("clock_offset_seconds", "gauge", "This machine's clock minus OKX's."),
    Metric("clock_uncertainty_seconds", "gauge", "By how much that may be wrong."),
)
"""In the order in which they are printed."""


def metrics_text(health: Health | None, verdict: Verdict) -> str:
    """Every metric with its HELP and TYPE; one without a value is left out."""
    is_up = verdict.state != "no recorder"
    samples: dict[str, list[_Sample]] = {
        "recorder_up": [({}, int(is_up))],
        "healthy": [({}, int(verdict.state == "healthy"))],
    }
    if health is not None:
        samples |= _of_recorder(health, is_up)
        samples |= _of_feeds(health, is_up, verdict.age_sec or 0.0)
        samples |= _of_instruments(health.instruments, is_up, verdict.age_sec or 0.0)
        samples |= _of_counts(health)
        samples |= _of_host(health)
    lines: list[str] = []
    for metric in METRICS:
        found = [(labels, value) for labels, value in samples.get(metric.name, ()) if value is not None]
        if found:
            name = f"l2vault_{metric.name}"
            lines += [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
            lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in found]
    return "\n".join(lines) + "\n"


def _of_recorder(health: Health, is_up: bool) -> dict[str, list[_Sample]]:
    info = {"version": health.version, "python": health.python, "run": health.run}
    return {
        "health_timestamp_seconds": [({}, _time(health.written))],
        "start_timestamp_seconds": [({}, _time(health.started))],
        "build_info": [(info, 1)],
        "feeds_wanted": [({}, health.feeds_wanted)],
        "feeds_connected": [({}, sum(feed.state == "up" for feed in health.feeds) if is_up else 0)],
    }


def _of_feeds(health: Health, is_up: bool, age_sec: float) -> dict[str, list[_Sample]]:
    feeds = [({"feed": str(feed.feed)}, feed) for feed in health.feeds]
    return {
        "feed_up": [(labels, int(is_up and feed.state == "up")) for labels, feed in feeds],
        "feed_message_age_seconds": [(labels, _plus(feed.message_age_sec, age_sec)) for labels, feed in feeds],
        "feed_reconnects_total": [(labels, feed.reconnects) for labels, feed in feeds],
    }


def _of_instruments(instruments: Sequence[InstrumentHealth], is_up: bool, age_sec: float) -> dict[str, list[_Sample]]:
    each = [({"inst": one.inst_id}, one) for one in instruments]
    context: list[_Sample] = [
        ({**labels, "state": state}, getattr(one.context, state))
        for labels, one in each
        if one.context is not None
        for state in ("present", "stale", "lost")
    ]
    return {
        "in_sync": [(labels, int(is_up and one.state == "in sync")) for labels, one in each],
        "in_sync_ratio": [({**labels, "window": "1h"}, one.in_sync_share) for labels, one in each],
        "book_age_seconds": [(labels, _plus(one.book_age_sec, age_sec)) for labels, one in each],
        "last_update_timestamp_seconds": [(labels, _time(one.book)) for labels, one in each],
        "last_snapshot_timestamp_seconds": [(labels, _time(one.line)) for labels, one in each],
        "snapshots_written_total": [(labels, one.lines) for labels, one in each],
        "receive_lag_p50_seconds": [(labels, _seconds(one.lag.p50_ms)) for labels, one in each],
        "receive_lag_p99_seconds": [(labels, _seconds(one.lag.p99_ms)) for labels, one in each],
        "trade_lines_total": [(labels, one.trades.lines) for labels, one in each if one.trades is not None],
        "trades_missing": [(labels, one.trades.missing) for labels, one in each if one.trades is not None],
        "context_values": context,
        "changes_kept": [(labels, int(one.changes.state == "kept")) for labels, one in each if one.changes is not None],
    }


def _of_counts(health: Health) -> dict[str, list[_Sample]]:
    counts = health.counts
    channels = {"books": counts.messages, "trades": counts.trade_messages, "context": counts.context_messages}
    return {
        "messages_total": _by("channel", channels),
        "unreadable_messages_total": [({}, counts.unreadable)],
        "gaps_total": [({}, counts.gaps)],
        "losses_total": _by("cause", counts.losses),
        "compared_slots_total": _by("outcome", counts.compared),
        "audit_compared_total": _by("outcome", counts.audits),
        "audit_mismatch_total": [({}, counts.audits.get("mismatch", 0))],
        "last_audit_timestamp_seconds": [({}, _time(counts.audited_at))],
        "task_failures_total": [({"task": task.task}, task.failures) for task in health.tasks],
    }


def _of_host(health: Health) -> dict[str, list[_Sample]]:
    queue, disk, clock = health.queue, health.disk, health.clock
    days_left = math.inf if disk.bounded_by is not None else disk.days_left
    return {
        "queue_items": [({}, queue.waiting)],
        "disk_stalled_seconds": [({}, queue.stalled_sec)],
        "lines_lost_total": [({}, queue.lines_lost)],
        "disk_free_bytes": [({}, disk.free_bytes)],
        "vault_bytes": [({}, disk.vault_bytes)],
        "vault_growth_bytes_per_second": [({}, None if disk.bytes_a_day is None else disk.bytes_a_day / _DAY_SEC)],
        "disk_left_seconds": [({}, None if days_left is None else days_left * _DAY_SEC)],
        "clock_offset_seconds": [({}, _seconds(clock.offset_ms))],
        "clock_uncertainty_seconds": [({}, _seconds(clock.uncertain_ms))],
    }


def _by(label: str, counts: Mapping[str, int]) -> list[_Sample]:
    return [({label: name}, count) for name, count in sorted(counts.items())]


def _plus(age_sec: float | None, more_sec: float) -> float | None:
    return None if age_sec is None else max(0.0, age_sec + more_sec)


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


def _time(text: str | None) -> float | None:
    return None if text is None else utc_ms(text) / 1000


def _labels(labels: Labels) -> str:
    pairs: Iterable[str] = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    text = ",".join(pairs)
    return f"{{{text}}}" if text else ""


def _number(value: float) -> str:
    return "+Inf" if value == math.inf else f"{value:.15g}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
