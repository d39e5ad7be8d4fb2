"""Whether a recorder would do well here, and if not, why and what to do. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from l2vault.probe.figures import all_delays_ms, clock_offset, percentile
from l2vault.probe.findings import Failure, Feed, Findings
from l2vault.probe.rows import plural

CLOCK_MS: Final = 2_000
"""A clock further off than this, beyond its uncertainty, names wrong hours and delays."""
DELAY_MS: Final = 5_000
"""p95 of the delay beyond which the machine or its network cannot keep up."""
MOST_BREAKS: Final = 2
BREAKS_OF_MESSAGES: Final = 1_000
"""More breaks than one in so many messages, and than `MOST_BREAKS`, are losses on the way and not accidents."""
MOST_ENDS_A_MINUTE: Final = 0.5

_FIREWALL: Final = "let this machine reach that host on port 443, or set HTTPS_PROXY: docs/network.md"
_CURES: Final = {
    "name resolution": "check this machine's DNS and network, or set HTTPS_PROXY: docs/network.md",
    "TCP": _FIREWALL,
    "TLS": "check what stands between here and OKX (a proxy, a virus scanner): docs/network.md",
    "upgrade": "see whether a proxy or firewall here lets websockets pass: docs/network.md",
    "proxy": "check HTTPS_PROXY, its password and that it allows this host: docs/network.md",
}


class Reason(NamedTuple):
    what: str
    cure: str


class Verdict(NamedTuple):
    """`remarks` do not stand against recording; `next_step` is what to do now."""

    is_fit: bool
    reasons: list[Reason]
    remarks: list[str]
    next_step: str


def judge(findings: Findings) -> Verdict:
    reasons = [*_no_connection(findings), *_no_books(findings), *_clock(findings), *_quality(findings)]
    remarks = [] if reasons and not any(feed.connections for feed in findings.feeds) else list(_remarks(findings))
    if reasons:
        return Verdict(False, reasons, remarks, f"{reasons[0].cure}; then l2vault probe again")
    flags = [*findings.named_flags, *(f"--inst {inst_id}" for inst_id in findings.inst_ids)]
    return Verdict(True, [], remarks, " ".join(["l2vault record", *flags]))


def _no_connection(findings: Findings) -> Iterator[Reason]:
    """Where no feed ever connected: by how the last attempts failed."""
    if any(feed.connections for feed in findings.feeds):
        return
    failures = {failure.url: failure for feed in findings.feeds for failure in feed.failures}
    if not failures:
        yield Reason("no connection was made in this time", "give it more time")
    for failure in failures.values():
        host = urlsplit(failure.url).hostname
        if failure.status in (403, 451):
            what = f"{host} refuses this address (HTTP {failure.status})"
            yield Reason(what, "see whether OKX serves your country and network; another --region may")
        elif failure.is_certificate:
            yield Reason(
                failure.reason, "something may read along (TLS interception), or this clock is wrong: docs/network.md"
            )
        else:
            yield Reason(f"no connection to {host}: {failure.stage}: {failure.reason}", _cure(failure))


def _cure(failure: Failure) -> str:
    if failure.status == 429:
        return "wait some minutes: too many connections from this address"
    if failure.status is not None and failure.status >= 500:
        return "try later; https://www.okx.com/status names outages"
    return _CURES[failure.stage]


def _no_books(findings: Findings) -> Iterator[Reason]:
    connected = [feed for feed in findings.feeds if feed.connections]
    for inst_id in findings.inst_ids if connected else ():
        streams = [feed.books[inst_id] for feed in connected]
        if any(stream.full_books or stream.joined_by_rest for stream in streams):
            continue
        refused = next((feed.refused[inst_id] for feed in connected if inst_id in feed.refused), None)
        if refused is not None:
            what = f"OKX refuses {inst_id} ({refused.code}: {refused.message})"
            yield Reason(what, "check the name: a live perpetual swap, such as BTC-USDT-SWAP")
        elif any(stream.messages for stream in streams):
            yield Reason(
                f"{inst_id} has no full book in band, and none from REST fits", "check --rest-url and REFUSED above"
            )
        elif findings.ended == "interrupted":
            yield Reason(
                f"interrupted after {findings.seconds:.0f} s, before a book of {inst_id} came", "let it run on"
            )
        else:
            yield Reason(
                f"no books of {inst_id} within {findings.seconds:.0f} s", "see REFUSED above; try another --region"
            )


def _clock(findings: Findings) -> Iterator[Reason]:
    cure = "set this machine's clock by NTP"
    offset = clock_offset(findings.rest.times)
    if offset is not None:
        if abs(offset.ahead_ms) - offset.uncertainty_ms > CLOCK_MS:
            where = "ahead of" if offset.ahead_ms > 0 else "behind"
            yield Reason(f"this clock is {abs(offset.ahead_ms) / 1000:.1f} s {where} OKX's", cure)
        return
    least = min(all_delays_ms(findings.feeds), default=0)
    if least < -CLOCK_MS:
        yield Reason(f"this clock is at least {-least / 1000:.1f} s behind OKX's", cure)


def _quality(findings: Findings) -> Iterator[Reason]:
    offset = clock_offset(findings.rest.times)
    late = percentile(all_delays_ms(findings.feeds), 0.95)
    if late is not None and late - (offset.ahead_ms if offset else 0) > DELAY_MS:
        delay_sec = (late - (offset.ahead_ms if offset else 0)) / 1000
        yield Reason(f"messages come {delay_sec:.1f} s late (p95)", "a faster network or machine, nearer to OKX")
    for feed in findings.feeds:
        yield from _feed_quality(feed, findings.seconds)
    different = [book for book in findings.rest.books if book.audit == "mismatch"]
    if different:
        first = different[0]
        what = f"{plural(len(different), 'book')} of {first.inst_id} differ from REST's: {first.audit_detail}"
        yield Reason(what, "probe again, and report it with --json if it stays")


def _feed_quality(feed: Feed, seconds: float) -> Iterator[Reason]:
    name = f"feed {feed.number}"
    messages = sum(stream.messages for stream in feed.books.values())
    breaks = sum(len(stream.breaks) for stream in feed.books.values())
    if breaks > max(MOST_BREAKS, messages / BREAKS_OF_MESSAGES):
        what = f"{name} lost messages: the chain broke {plural(breaks, 'time')} in {messages:,} messages"
        yield Reason(what, "a steadier network, or a machine with less to do")
    if messages and len(feed.ends) > max(MOST_BREAKS, seconds / 60 * MOST_ENDS_A_MINUTE):
        what = f"{name} was cut off {plural(len(feed.ends), 'time')}, last: {feed.ends[-1].reason}"
        yield Reason(what, "a steadier network; see REFUSED above")
    wrong = sum(stream.checksums_wrong for stream in feed.books.values())
    if wrong:
        yield Reason(f"{name}: {plural(wrong, 'checksum')} wrong", "probe again, and report it with --json if it stays")
    unnumbered = sum(
        stream.without_seq_id for stream in feed.books.values() if stream.without_seq_id and not stream.checksums_right
    )
    if unnumbered:
        what = f"{name}: {plural(unnumbered, 'message')} without seqId or checksum, so that a loss would not show"
        yield Reason(what, "another --ws-url: OKX's own numbers every message")


def _remarks(findings: Findings) -> Iterator[str]:
    if findings.ended == "interrupted":
        yield f"Interrupted after {findings.seconds:.0f} s of {findings.wanted_sec:.0f} s."
    if findings.left_out:
        yield f"{plural(findings.left_out, 'instrument')} of the settings not probed: name them with --inst."
    if findings.was_closed_port_named:
        yield "The settings name port 8443, which OKX closed on 2026-10-31; probed without it."
    for feed in findings.feeds:
        if not feed.connections and feed.failures:
            last = feed.failures[-1]
            yield f"Feed {feed.number} never connected ({last.stage}: {last.reason}): there would be no second feed."
    if findings.rest.refusals and not findings.rest.books:
        said = findings.rest.refusals[-1].said
        yield f"REST gives no books ({said}): recorded books would stay unaudited, contract values unknown."
    streams = [stream for feed in findings.feeds for stream in feed.books.values()]
    if any(stream.joined_by_rest for stream in streams) and not any(stream.full_books for stream in streams):
        yield "No full book comes in band: each start depends on REST."
    if any(len(stream.breaks) for stream in streams):
        yield f"The chain broke {plural(sum(len(stream.breaks) for stream in streams), 'time')}; a recorder resyncs."
    if not findings.rest.times:
        yield "This clock could not be compared with OKX's."
