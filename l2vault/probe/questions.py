"""What nobody has confirmed about OKX, point by point: seen in this run, or not and why. Pure."""

from collections.abc import Iterator
from typing import Final

from l2vault.probe.findings import Findings
from l2vault.probe.rows import Data, Row, number, plural

SECTION: Final = "OPEN QUESTIONS"

_UNASKED: Final = (
    ("past_limits", "past 480 requests/h", "would break a limit"),
    ("past_connects", "past 3 connects/s", "would break a limit"),
    ("most_subscriptions", "most subscriptions", "would take more of OKX than a recorder needs"),
    ("tick_change", "books at a tick change", "needs a change of tickSz"),
    ("archive_delay", "delay of the archive", "needs a day, and the archive is not asked"),
    ("archive_holes", "holes of the archive", "needs many days, and the archive is not asked"),
)


def question_rows(findings: Findings) -> list[Row]:
    """One row for each point, in a fixed order."""
    rows = [_port(findings), _deflate(findings), _snapshot(findings), _heartbeat(findings), _reset(findings)]
    rows += [_batch(findings), _source_0(findings), _limit_headers(findings), _prev_funding(findings)]
    rows += [_trade_steps(findings), _reach(findings), _notice(findings)]
    return [*rows, *(_not_seen(key, label, why) for key, label, why in _UNASKED)]


def _row(key: str, label: str, text: str, basis: str = "", **data: object) -> Row:
    return Row(SECTION, key, label, text, basis, data=dict(data))


def _not_seen(key: str, label: str, why: str) -> Row:
    return Row(SECTION, key, label, f"not seen: {why}", seen=False)


def _port(findings: Findings) -> Row:
    key, label = "port_8443", "port 8443"
    if not findings.port_8443:
        why = "not tried in this time" if findings.old_port_host.endswith("okx.com") else "not a host of OKX"
        return _not_seen(key, label, why)
    state = "still open" if findings.port_8443 == "open" else f"closed: {findings.port_8443}"
    return _row(key, label, state, f"one TCP connect to {findings.old_port_host}", state=findings.port_8443)


def _deflate(findings: Findings) -> Row:
    key, label, side = "permessage_deflate", "permessage-deflate", findings.side
    if side.connection is None:
        return _not_seen(key, label, side.failure.reason if side.failure else "the third connection was not reached")
    is_on = side.connection.is_deflated
    return _row(
        key, label, "negotiated when offered" if is_on else "offered, and not taken", "one connection", on=is_on
    )


def _snapshot(findings: Findings) -> Row:
    streams = [stream for feed in findings.feeds for stream in feed.books.values()]
    full, seeking = sum(stream.full_books for stream in streams), sum(stream.messages > 0 for stream in streams)
    if not seeking:
        return _not_seen("snapshot", "first full book", "no message of books came")
    text = "still sent in band" if full else "not sent in band: updates came without one"
    return _row("snapshot", "first full book", text, plural(full, "full book"), full_books=full)


def _heartbeat(findings: Findings) -> Row:
    count = sum(stream.heartbeats for feed in findings.feeds for stream in feed.books.values())
    if not count:
        return _not_seen("heartbeat", "heartbeat frame", "needs about 60 s without a change")
    return _row("heartbeat", "heartbeat frame", f"seen {plural(count, 'time')}: seqId equal to prevSeqId", count=count)


def _reset(findings: Findings) -> Row:
    count = sum(stream.resets for feed in findings.feeds for stream in feed.books.values())
    if not count:
        return _not_seen("reset", "reset frame", "needs a maintenance")
    return _row("reset", "reset frame", f"seen {plural(count, 'time')}: seqId below prevSeqId, chain kept", count=count)


def _batch(findings: Findings) -> Row:
    key, label, side = "partial_batch", "half a bad request", findings.side
    if side.acked is None:
        return _not_seen(key, label, side.failure.reason if side.failure else "the third connection was not reached")
    good = "the good arg acknowledged" if side.acked else "the good arg not acknowledged"
    bad = f"the bad one refused with {side.error.code}" if side.error else "no error for the bad one"
    data: Data = {"acked": side.acked, "code": side.error.code if side.error else None, "full_book": side.full_book}
    return Row(SECTION, key, label, f"{good}, {bad}", "one request of two args", data=data)


def _source_0(findings: Findings) -> Row:
    if not findings.rest.source_0:
        return _not_seen("source_0", "source=0 on REST books", "not asked in this time")
    return _row(
        "source_0", "source=0 on REST books", findings.rest.source_0, "one request", said=findings.rest.source_0
    )


def _limit_headers(findings: Findings) -> Row:
    rest, label = findings.rest, "Rate-Limit headers"
    if not rest.answers:
        return _not_seen("limit_headers", label, "REST gave no answer")
    named = ", ".join(f"{name}: {value}" for name, value in sorted(rest.limit_headers.items()))
    return _row("limit_headers", label, named or "none", plural(rest.answers, "answer"), headers=rest.limit_headers)


def _prev_funding(findings: Findings) -> Row:
    known = {inst_id: is_there for inst_id, is_there in findings.rest.prev_funding.items() if is_there is not None}
    label = "prevFundingTime"
    if not known:
        return _not_seen("prev_funding", label, "no funding rate came by REST")
    there = sum(known.values())
    return _row("prev_funding", label, f"there for {there} of {len(known)} instruments", "one request each", **known)


def _trade_steps(findings: Findings) -> Row:
    streams = [stream for feed in findings.feeds for stream in feed.trades.values()]
    fits, odd = sum(stream.fits for stream in streams), sum(len(stream.unexplained) for stream in streams)
    if not fits + odd:
        return _not_seen("trade_steps", "steps of trade ids", "no two trades came")
    text = f"{number(odd)} of {number(fits + odd)} unexplained"
    return _row("trade_steps", "steps of trade ids", text, "sizes: TRADES", unexplained=odd, steps=fits + odd)


def _reach(findings: Findings) -> Row:
    reaches: Iterator[tuple[str, list[float]]] = (
        (inst_id, [reach for feed in findings.feeds for reach in _both(findings, inst_id, feed.number)])
        for inst_id in findings.inst_ids
    )
    named = [f"{inst_id} {min(each):.1f} to {max(each):.1f} bps" for inst_id, each in reaches if each]
    if not named:
        return _not_seen("reach", "reach of 400 levels", "no book came")
    return _row("reach", "reach of 400 levels", ", ".join(named), "either side")


def _both(findings: Findings, inst_id: str, number_of_feed: int) -> list[float]:
    stream = findings.feeds[number_of_feed - 1].books[inst_id]
    return stream.bid_reach_bps + stream.ask_reach_bps


def _notice(findings: Findings) -> Row:
    key, label = "close_after_notice", "close after 64008"
    feeds = [feed for feed in findings.feeds if any(notice.startswith("64008") for notice in feed.notices)]
    if not feeds:
        return _not_seen(key, label, "needs a service upgrade of OKX")
    ends = [end.reason for feed in feeds for end in feed.ends]
    return _row(
        key, label, ends[-1] if ends else "not closed in this time", f"{plural(len(feeds), 'notice')}", ends=ends
    )
