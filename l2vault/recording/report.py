"""What an output of a feed means in words: the journal's event and the operator's log line. Decides nothing.

The phrases in capitals and `Forced resubscribe` are the owner's contract: operators grep for them.
"""

import logging
from typing import Final

from l2vault.book.utc import utc_text
from l2vault.okx.messages import Notice, Refusal, SchemaFailure, Unknown
from l2vault.okx.pipeline import Lost, Synced, Unverifiable
from l2vault.okx.session import Dead, Refused
from l2vault.okx.websocket import LineDown, LineOutput, LineUp
from l2vault.vault.journal import events
from l2vault.vault.journal.lines import LATEST_MS
from l2vault.vault.retention.plan import GB, Policy

_QUOTED_BYTES: Final = 400
_UNKNOWN_INSTRUMENT: Final = "60018"
_BUILD_FAIL: Final = "BUILD_FAIL: Missing required fields for %s: %s; the message: %s"

_log = logging.getLogger("l2vault.recorder")


def journal_event(output: LineOutput, feed: int, at: str) -> events.Event | None:
    """The event that keeps this output for readers of the vault; None where it says nothing about coverage."""
    match output:
        case Synced(inst_id, ts_ms, seq_id, source):
            return events.Synced(at, feed, inst_id, _time(ts_ms), seq_id, source)
        case Lost():
            bounds = _time(output.from_ms), _time(output.to_ms)
            return events.Lost(at, feed, output.inst_id, output.cause, *bounds, output.detail)
        case Unverifiable(inst_id, ts_ms, is_recorded):
            return events.Unverifiable(at, feed, inst_id, _time(ts_ms), is_recorded)
        case Refused():
            return events.Refused(at, feed, output.inst_id, output.code, output.message)
        case Notice():
            return events.Noticed(at, feed, output.code, output.message)
        case LineUp(url):
            return events.Connected(at, feed, url)
        case LineDown() if output.was_up:
            return events.Disconnected(at, feed, output.reason)
    return None


def log_output(output: LineOutput, feed: int, is_covered: bool = False) -> None:
    """One line per change of state; nothing per message. `is_covered`: what this feed lost, another still has."""
    match output:
        case Synced(inst_id, ts_ms, seq_id, source):
            words = "full book" if source == "stream" else "full book by REST"
            _log.info("%s in sync on feed %d: %s of %s, seqId %s", inst_id, feed, words, _time(ts_ms), seq_id)
        case Lost():
            _log_lost(output, feed, is_covered)
        case Unverifiable(inst_id, _, is_recorded):
            words = "Its lines are recorded all the same, as a setting asks" if is_recorded else "It is not recorded"
            _log.error("%s on feed %d has neither sequence numbers nor checksums. %s", inst_id, feed, words)
        case Refused():
            _log_refused(output)
        case SchemaFailure():
            _log.error(_BUILD_FAIL, "an unknown instrument", output.reason, _quote(output.frame))
        case Notice():
            _log.warning("OKX announces on feed %d: %s %s", feed, output.code, output.message)
        case Refusal():
            _log.warning("OKX reports an error on feed %d: %s %s", feed, output.code, output.message)
        case Unknown(what):
            _log.debug("ignored on feed %d: %s", feed, what)
        case Dead() | LineUp() | LineDown():
            _log_connection(output, feed)


def policy_words(policy: Policy | None) -> str:
    """What will be compressed and deleted, and when; None: retention is off."""
    if policy is None:
        return "off, nothing is compressed or deleted while recording"
    parts = []
    if policy.compress_after_hours is not None:
        parts.append(f"hours are gzipped after {policy.compress_after_hours:g} h")
    if policy.delete_after_days is not None:
        kept = "archive_days keeps them as Parquet" if policy.archive_days is None else "their Parquet archive stays"
        parts.append(f"DELETED after {policy.delete_after_days:g} days ({kept})")
    words = " and ".join(parts) or "nothing is compressed or deleted by age"
    if policy.archive_days is not None:
        words += f"; archives are DELETED after {policy.archive_days:g} days"
    if policy.max_bytes is not None:
        words += f"; the oldest hours go beyond {policy.max_bytes / GB:g} GB"
    if policy.min_free_bytes is not None:
        words += f"; the oldest hours go below {policy.min_free_bytes / GB:g} GB free"
    return words


def _log_connection(output: Dead | LineUp | LineDown, feed: int) -> None:
    match output:
        case Dead(reason):
            _log.warning("Closing feed %d: %s", feed, reason)
        case LineUp(url):
            _log.info("Feed %d connected to %s", feed, url)
        case LineDown() if output.is_last:
            _log.info("Feed %d ended: %s", feed, output.reason)
        case LineDown():
            words = "lost" if output.was_up else "cannot connect"
            _log.warning("Feed %d %s: %s. Next try in %.1f s", feed, words, output.reason, output.retry_sec)


def _log_lost(lost: Lost, feed: int, is_covered: bool) -> None:
    if lost.cause == "our_restart":
        return  # the recorder says that it stops; the journal has the rest
    bounds = f"last good book {_time(lost.from_ms) or 'none'}"
    if lost.cause == "chain" and is_covered:
        _log.warning("%s broke on feed %d, another feed has it: %s; %s", lost.inst_id, feed, lost.detail, bounds)
    elif lost.cause == "chain":
        _log.error("GAP DETECTED: %s on feed %d: %s; %s", lost.inst_id, feed, lost.detail, bounds)
    elif lost.cause == "checksum":
        _log.error("Checksum mismatch: %s on feed %d: %s; %s", lost.inst_id, feed, lost.detail, bounds)
    elif lost.cause == "schema":
        _log.error(_BUILD_FAIL, lost.inst_id, f"{lost.detail}; {bounds}", _quote(lost.frame or b""))
    else:
        _log.warning("%s lost on feed %d (%s): %s; %s", lost.inst_id, feed, lost.cause, lost.detail, bounds)
    if lost.cause not in ("disconnect", "notice"):
        _log.warning("Forced resubscribe: %s (%s)", lost.inst_id, lost.cause)


def _log_refused(refused: Refused) -> None:
    if refused.code == _UNKNOWN_INSTRUMENT:
        cure = f"Check its name at OKX; asking again in {refused.retry_ms / 1000:.0f} s, the others go on"
        _log.error("OKX does not know %s (60018). %s", refused.inst_id, cure)
    else:
        words = f"({refused.code}): {refused.message}"
        _log.error("OKX refused %s %s; asking again in %.0f s", refused.inst_id, words, refused.retry_ms / 1000)


def _time(ms: int | None) -> str | None:
    """A `ts` beyond the year 9998 is the exchange's slip, and no time that a file could have."""
    return None if ms is None or not 0 <= ms < LATEST_MS else utc_text(ms)


def _quote(frame: bytes) -> str:
    """As a literal: whatever it holds, it stays on its line of the log."""
    quoted = repr(frame[:_QUOTED_BYTES].decode("utf-8", "replace"))
    return quoted + "..." if len(frame) > _QUOTED_BYTES else quoted
