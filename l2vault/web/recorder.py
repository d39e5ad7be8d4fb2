"""What the page shows of the recorder: the verdict of `l2vault status`; and from its file the lag, the feeds, the
last loss. Pure."""

import msgspec

from l2vault.vault.health.judge import Look


def reasons_said(seen: Look) -> list[str]:
    """Why the recorder is not healthy, each reason with its cure; none where all is well."""
    return [f"{reason.text} {reason.cure}." for reason in seen.verdict.reasons]


def recorder_said(seen: Look, inst_id: str) -> dict[str, object]:
    """`lag_ms` (median of the last minute) and `state` of the instrument, `feeds` as `[number, state, reason]`,
    `last_loss` of a feed with its cause, `disk_days_left` (null where `disk_bounded_by` deletes before, or not known),
    `unpushed_bytes` that wait for a push, `clock_offset_ms`. Without a file, or without the instrument in it, null."""
    said: dict[str, object] = {
        "state": seen.verdict.state,
        "reasons": reasons_said(seen),
        "disk_days_left": None,
    }
    health = seen.health
    if health is None:
        return said
    own = next((each for each in health.instruments if each.inst_id == inst_id), None)
    loss = next((each for each in health.losses if each.inst_id == inst_id), None)
    return said | {
        "disk_days_left": health.disk.days_left,
        "disk_bounded_by": health.disk.bounded_by,
        "unpushed_bytes": health.disk.unpushed_bytes,
        "feeds_wanted": health.feeds_wanted,
        "feeds": [[feed.feed, feed.state, feed.reason] for feed in health.feeds],
        "lag_ms": None if own is None else own.lag.p50_ms,
        "book_state": None if own is None else own.state,
        "clock_offset_ms": health.clock.offset_ms,
        "last_loss": None if loss is None else msgspec.to_builtins(loss),
    }
