"""Findings as rows: a label, the figure with its unit, what it rests on, and the same as data. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from l2vault.probe.figures import Offset, all_delays_ms, clock_offset, percentile, places, shared_seq_ids
from l2vault.probe.findings import Connection, Feed, Findings
from l2vault.probe.stream import BookStream, TradeStream

Data = dict[str, object]
_MOST_LISTED: Final = 6


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `seen` False: `text` says why not."""

    section: str
    key: str
    label: str
    text: str
    basis: str = ""
    seen: bool = True
    data: Data = field(default_factory=dict)


def all_rows(findings: Findings) -> list[Row]:
    rows = [row for feed in findings.feeds for row in _feed_rows(feed)]
    for inst_id in findings.inst_ids:
        rows += _book_rows(findings, inst_id)
        rows += _trade_rows(findings, inst_id)
    return [*rows, *_clock_rows(findings), *_rest_rows(findings), *_refused_rows(findings)]


def number(value: float) -> str:
    return f"{value:,.0f}"


def milliseconds(value: float | None) -> str:
    if value is None:
        return "not seen"
    return "under 1 ms" if 0 <= value < 1 else f"{value:,.0f} ms"


def plural(count: int, word: str) -> str:
    ending = "es" if word.endswith(("s", "sh", "ch")) else "s"
    return f"{number(count)} {word}{'' if count == 1 else ending}"


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"


# --- connections


def _feed_rows(feed: Feed) -> Iterator[Row]:
    section, name = "CONNECTIONS", f"feed {feed.number}"
    if not feed.connections:
        last = feed.failures[-1] if feed.failures else None
        why = f"never connected; {last.url}: {last.stage}: {last.reason}" if last else "never connected"
        data: Data = {"failures": len(feed.failures), "stage": last.stage if last else None}
        yield Row(section, f"feed_{feed.number}", name, why, plural(len(feed.failures), "attempt"), False, data)
        return
    first = feed.connections[0]
    where = f"{first.url} at {first.address}"
    basis = "" if first.proxy else f"of {plural(first.addresses, 'address')}"
    yield Row(section, f"feed_{feed.number}", name, where, basis, data=_connection_data(first))
    yield Row(section, f"feed_{feed.number}_times", f"{name}, to connect", _times(first), first.tls)
    lost = [*(failure.reason for failure in feed.failures), *(end.reason for end in feed.ends)]
    if lost:
        text = (
            f"{plural(len(feed.ends), 'connection')} ended, {plural(len(feed.failures), 'attempt')} failed: {lost[-1]}"
        )
        yield Row(section, f"feed_{feed.number}_ends", f"{name}, trouble", text, data={"reasons": lost[-20:]})


def _connection_data(connection: Connection) -> Data:
    names = ("url", "address", "addresses", "proxy", "name_ms", "tcp_ms", "tls_ms", "upgrade_ms", "tls", "is_deflated")
    return {name: getattr(connection, name) for name in names}


def _times(connection: Connection) -> str:
    if connection.proxy:
        return f"{milliseconds(connection.upgrade_ms)} in all: through a proxy the stages are not seen"
    stages = [("name", connection.name_ms), ("TCP", connection.tcp_ms)]
    stages.append(("TLS", connection.tls_ms)) if connection.tls else None
    stages.append(("upgrade", connection.upgrade_ms))
    return ", ".join(f"{stage} {milliseconds(took)}" for stage, took in stages)


# --- books


def _book_rows(findings: Findings, inst_id: str) -> list[Row]:
    section = f"BOOKS OF {inst_id}"
    streams = [feed.books[inst_id] for feed in findings.feeds]
    messages = sum(stream.messages for stream in streams)
    if not messages:
        refused = [feed.refused[inst_id] for feed in findings.feeds if inst_id in feed.refused]
        why = f"OKX refused it: {refused[0].code} {refused[0].message}" if refused else "no message came"
        return [Row(section, f"{inst_id}.messages", "messages", why, seen=False)]
    rows = [_in_band(section, inst_id, streams), _chain(section, inst_id, streams, messages)]
    rows += _sizes(section, findings, inst_id, streams)
    rows += [_reach(section, inst_id, streams), _checksum(section, inst_id, streams)]
    rows += [_shared(section, inst_id, streams), *_rest_books(section, findings, inst_id, streams)]
    return rows


def _in_band(section: str, inst_id: str, streams: Sequence[BookStream]) -> Row:
    waits = [wait for stream in streams for wait in stream.full_after_ack_ms]
    full, before = sum(stream.full_books for stream in streams), sum(stream.full_before_ack for stream in streams)
    joined = sum(stream.joined_by_rest for stream in streams)
    data: Data = {"full_books": full, "after_ack_ms": waits, "before_ack": before, "joined_by_rest": joined}
    if not full:
        text = "no; updates came without one" + (
            ", joined with a book from REST" if joined else ", and REST's did not fit"
        )
        return Row(section, f"{inst_id}.in_band", "full book in band", text, f"{plural(joined, 'join')}", data=data)
    after = f"yes, {milliseconds(median(waits))} after the ack" if waits else "yes, before the ack"
    late = f", at most {milliseconds(max(waits))}" if waits and max(waits) > median(waits) else ""
    return Row(section, f"{inst_id}.in_band", "full book in band", after + late, plural(full, "full book"), data=data)


def _chain(section: str, inst_id: str, streams: Sequence[BookStream], messages: int) -> Row:
    names = ("breaks", "heartbeats", "resets", "duplicates", "unreadable", "unasked_full_books", "silences")
    counts = {name: sum(_count(stream, name) for stream in streams) for name in names}
    wanted = ["breaks", "heartbeats", "resets", "duplicates"]
    words = [plural(counts[name], name[:-1]) for name in wanted]
    words += [f"{number(counts[name])} {name.replace('_', ' ')}" for name in names[4:] if counts[name]]
    by_feed = " and ".join(number(stream.messages) for stream in streams)
    data: Data = {**counts, "messages": [stream.messages for stream in streams]}
    return Row(section, f"{inst_id}.chain", "chain", ", ".join(words), f"{by_feed} messages of the feeds", data=data)


def _count(stream: BookStream, name: str) -> int:
    value = getattr(stream, name)
    return len(value) if isinstance(value, list) else int(value)


def _sizes(section: str, findings: Findings, inst_id: str, streams: Sequence[BookStream]) -> Iterator[Row]:
    rates = [
        (stream.messages - 1) * 1000 / (stream.last_ms - stream.first_ms)
        for stream in streams
        if stream.first_ms is not None and stream.last_ms is not None and stream.last_ms > stream.first_ms
    ]
    if rates:
        text = " and ".join(f"{rate:.1f}" for rate in rates) + " messages a second"
        yield Row(
            section,
            f"{inst_id}.rate",
            "message rate",
            text,
            f"by feed, over {findings.seconds:,.0f} s",
            data={"per_second": rates},
        )
    levels = [count for stream in streams for count in stream.levels]
    sizes = [size for stream in streams for size in stream.sizes]
    full = [size for stream in streams for size in stream.full_sizes]
    if levels:
        half, most = percentile(levels, 0.5), percentile(levels, 0.95)
        text = f"median {number(half or 0)}, p95 {number(most or 0)} levels"
        yield Row(
            section, f"{inst_id}.levels", "levels a message", text, plural(len(levels), "update"), data=_spread(levels)
        )
        half, most = percentile(sizes, 0.5), percentile(sizes, 0.95)
        text = f"median {number(half or 0)}, p95 {number(most or 0)} bytes"
        basis = f"full book {number(median(full))} bytes" if full else ""
        yield Row(section, f"{inst_id}.bytes", "bytes a message", text, basis, data=_spread(sizes) | {"full": full})


def _spread(values: Sequence[float]) -> Data:
    return {"median": percentile(values, 0.5), "p95": percentile(values, 0.95), "count": len(values)}


def _reach(section: str, inst_id: str, streams: Sequence[BookStream]) -> Row:
    bids = [reach for stream in streams for reach in stream.bid_reach_bps]
    asks = [reach for stream in streams for reach in stream.ask_reach_bps]
    label = "reach from mid"
    if not bids:
        return Row(section, f"{inst_id}.reach", label, "no book with both sides", seen=False)
    sides = next((stream.sides for stream in streams if any(stream.sides)), (0, 0))
    text = ", ".join(
        f"{name} {median(each):.1f} bps ({min(each):.1f} to {max(each):.1f})"
        for name, each in (("bids", bids), ("asks", asks))
    )
    basis = f"{sides[0]} bids, {sides[1]} asks; median of {plural(len(bids), 'look')}"
    data: Data = {"bids_bps": median(bids), "asks_bps": median(asks), "levels": list(sides), "looks": len(bids)}
    return Row(section, f"{inst_id}.reach", label, text, basis, data=data)


def _checksum(section: str, inst_id: str, streams: Sequence[BookStream]) -> Row:
    absent, right, wrong = (
        sum(getattr(stream, f"checksums_{name}") for stream in streams) for name in ("absent", "right", "wrong")
    )
    if right or wrong:
        text = f"provided: {number(right)} right, {number(wrong)} wrong" + (
            f", {number(absent)} absent" if absent else ""
        )
    else:
        text = "zero or absent: OKX sends none to check by"
    basis = f"{number(absent + right + wrong)} messages"
    data: Data = {"absent": absent, "right": right, "wrong": wrong}
    return Row(section, f"{inst_id}.checksum", "checksum", text, basis, data=data)


def _shared(section: str, inst_id: str, streams: Sequence[BookStream]) -> Row:
    shared = shared_seq_ids(streams[0].numbered, streams[1].numbered)
    label, key = "equal seqIds of feeds", f"{inst_id}.shared"
    if shared.share is None:
        return Row(section, key, label, "not seen: too short a time with both feeds", seen=False)
    basis = f"{number(shared.both)} on both of {number(shared.either)} on either"
    data: Data = {"both": shared.both, "either": shared.either, "share": shared.share}
    return Row(section, key, label, f"{shared.share:.1%}", basis, data=data)


def _rest_books(section: str, findings: Findings, inst_id: str, streams: Sequence[BookStream]) -> Iterator[Row]:
    books = [book for book in findings.rest.books if book.inst_id == inst_id]
    if not books:
        yield Row(section, f"{inst_id}.rest", "REST's books", "no book came by REST", seen=False)
        return
    at = places(books, [[seq_id for seq_id, _ in stream.numbered] for stream in streams])
    text = f"{at.at} at a seqId of the stream, {at.between} between two, {at.outside} outside"
    text += f"; {at.older} older than the stream when asked for" if at.older else ""
    data: Data = dict(at._asdict())
    yield Row(section, f"{inst_id}.rest", "REST's books", text, plural(len(books), "REST book"), data=data)
    outcomes = [book.audit for book in books if book.audit]
    if outcomes:
        names = [("equal", "equal"), ("mismatch", "different"), ("consistent", "fit between two")]
        counts = {name: outcomes.count(name) for name, _ in names}
        rest = len(outcomes) - sum(counts.values())
        text = ", ".join(f"{counts[name]} {word}" for name, word in names) + f", {rest} not comparable"
        basis = plural(len(outcomes), "comparison")
        yield Row(section, f"{inst_id}.audit", "levels as REST's", text, basis, data={**counts, "other": rest})


# --- trades


def _trade_rows(findings: Findings, inst_id: str) -> Iterator[Row]:
    section = f"TRADES OF {inst_id}"
    streams = [feed.trades[inst_id] for feed in findings.feeds]
    pushes = sum(stream.pushes for stream in streams)
    if not pushes:
        yield Row(section, f"{inst_id}.trades", "trades", "no trade came", seen=False)
        return
    steps = [step for stream in streams for step in stream.unexplained]
    fits = sum(stream.fits for stream in streams)
    text = f"{number(fits)} of {number(fits + len(steps))} steps fit" + _odd_steps(steps)
    basis = f"{plural(pushes, 'push')}, {plural(_sum(streams, 'matches'), 'match')}"
    data: Data = {"fits": fits, "unexplained": steps[:100], "pushes": pushes, "repeats": _sum(streams, "repeats")}
    yield Row(section, f"{inst_id}.trade_ids", "id chain", text, basis, data=data)
    yield _trade_seq_ids(section, inst_id, streams, pushes)
    sources: dict[str, int] = {}
    for stream in streams:
        for source, count in stream.sources.items():
            sources[source] = sources.get(source, 0) + count
    text = ", ".join(f"source {name}: {number(count)}" for name, count in sorted(sources.items()))
    yield Row(section, f"{inst_id}.trade_sources", "sources", text, "1 is RPI: not in books", data={"sources": sources})


def _odd_steps(steps: Sequence[int]) -> str:
    if not steps:
        return ""
    listed = ", ".join(f"{step:+d}" for step in steps[:_MOST_LISTED]) + (", ..." if len(steps) > _MOST_LISTED else "")
    return f"; {number(len(steps))} unexplained, of {listed} ids"


def _trade_seq_ids(section: str, inst_id: str, streams: Sequence[TradeStream], pushes: int) -> Row:
    present, compared = _sum(streams, "with_seq_id"), _sum(streams, "compared_with_book")
    above = _sum(streams, "above_book")
    text = f"in {share(present, pushes)} of pushes"
    text += f"; above the last book's on arrival in {share(above, compared)}" if compared else ""
    data: Data = {"present": present, "above_book": above, "compared": compared}
    return Row(section, f"{inst_id}.trade_seq_ids", "seqId", text, plural(compared, "comparison"), data=data)


def _sum(streams: Iterable[TradeStream], name: str) -> int:
    return sum(getattr(stream, name) for stream in streams)


# --- clock, REST, refusals


def _clock_rows(findings: Findings) -> Iterator[Row]:
    section = "CLOCK"
    offset = clock_offset(findings.rest.times)
    if offset is None:
        yield Row(section, "clock", "this clock", "not seen: /public/time gave no answer", seen=False)
    else:
        where = "ahead of" if offset.ahead_ms >= 0 else "behind"
        text = f"{number(abs(offset.ahead_ms))} ms {where} OKX's, give or take {number(offset.uncertainty_ms)} ms"
        basis = f"shortest round trip of {offset.samples}"
        yield Row(section, "clock", "this clock", text, basis, data=dict(offset._asdict()))
    trades = [delay for feed in findings.feeds for stream in feed.trades.values() for delay in stream.delays_ms]
    for name, delays in (("books", all_delays_ms(findings.feeds)), ("trades", trades)):
        yield from _delay_rows(section, name, delays, offset)


def _delay_rows(section: str, channel: str, delays: Sequence[int], offset: Offset | None) -> Iterator[Row]:
    key, label = f"delay_{channel}", f"{channel}, recv - ts"
    if not delays:
        yield Row(section, key, label, "no message with a time", seen=False)
        return
    marks = {name: percentile(delays, mark) or 0 for name, mark in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    basis = f"{number(len(delays))} messages, by this clock"
    text = ", ".join(f"{name} {number(value)} ms" for name, value in marks.items())
    yield Row(section, key, label, text, basis, data={**marks, "count": len(delays)})
    if offset is not None:
        right = {name: value - offset.ahead_ms for name, value in marks.items()}
        text = ", ".join(f"{name} {number(value)} ms" for name, value in right.items())
        basis = f"by OKX's clock, give or take {number(offset.uncertainty_ms)} ms"
        yield Row(section, f"{key}_corrected", "  corrected by offset", text, basis, data=dict(right))


def _rest_rows(findings: Findings) -> Iterator[Row]:
    rest, section = findings.rest, "REST"
    through = f" through {rest.proxy}" if rest.proxy else ""
    trips = [sample.rtt_ms for sample in rest.times]
    text = f"{rest.base_url}{through}: {plural(rest.answers, 'answer')}, {plural(len(rest.refusals), 'refusal')}"
    basis = f"round trip {milliseconds(min(trips))} to {milliseconds(max(trips))}" if trips else ""
    yield Row(
        section, "rest", "address", text, basis, bool(rest.answers), {"answers": rest.answers, "round_trips_ms": trips}
    )
    for inst_id, row in rest.rows.items():
        text = ", ".join(
            f"{name} {row.get(name) or 'none'}" for name in ("state", "tickSz", "lotSz", "ctVal", "ctValCcy")
        )
        yield Row(section, f"{inst_id}.row", inst_id, text, data={"state": row.get("state")})


def _refused_rows(findings: Findings) -> Iterator[Row]:
    section = "REFUSED"
    said: dict[str, int] = {}
    for feed in findings.feeds:
        for text in (
            *(f"websocket error {error.code}: {error.message}" for error in feed.errors),
            *(f"websocket upgrade: HTTP {one.status}" for one in feed.failures if one.status is not None),
            *(f"websocket closed: {end.reason}" for end in feed.ends),
        ):
            said[text] = said.get(text, 0) + 1
    for refusal in findings.rest.refusals:
        text = f"REST {refusal.path}: {refusal.said}"
        said[text] = said.get(text, 0) + 1
    if not said:
        yield Row(section, "refused", "nothing", "no error frame, HTTP refusal or close")
    for place, (text, count) in enumerate(sorted(said.items(), key=lambda item: -item[1])[:8]):
        yield Row(section, f"refused_{place}", plural(count, "time"), text, data={"text": text, "count": count})
