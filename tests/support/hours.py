"""Lines of an hour for tests of the reading half: small books that change a little from line to line."""

import gzip
from collections.abc import Iterable
from pathlib import Path

import msgspec
from hypothesis import strategies as st

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.journal import events as noted
from l2vault.vault.journal import log as journal
from l2vault.vault.store.layout import Layout

INST = "BTC-USDT-SWAP"
HOUR_AT_MS = utc_ms("2024-08-20T03:00:00.000Z")
CADENCE_MS = 2_000

Side = list[tuple[str, str, str, str]]


def levels(*texts: str) -> Side:
    """`levels("100 5 2")` is a side of one level: price, quantity, orders."""
    parts = [text.split() for text in texts]
    return [(price, qty, "0", orders) for price, qty, orders in parts]


def line(offset_ms: int, bids: Side | None = None, asks: Side | None = None, **changed: object) -> Snapshot:
    """A snapshot `offset_ms` into the hour."""
    fields: dict[str, object] = {"depth": 400, "checksum": 0, "seq_id": offset_ms, "prev_seq_id": offset_ms - 1}
    fields |= changed
    bids = levels("100 5 2", "99.5 1 1") if bids is None else bids
    asks = levels("100.5 7 3") if asks is None else asks
    return Snapshot(inst_id=INST, ts_ms=HOUR_AT_MS + offset_ms, bids=bids, asks=asks, **fields)  # type: ignore[arg-type]


def contents(snapshots: list[Snapshot]) -> bytes:
    return b"".join(to_line(snapshot) + b"\n" for snapshot in snapshots)


def put(layout: Layout, snapshots: list[Snapshot], packed: bool = False, tail: bytes = b"") -> Path:
    """Write the file of their hour, in one form."""
    return put_bytes(layout, snapshots[0].ts_ms, contents(snapshots) + tail, packed)


def put_bytes(layout: Layout, ts_ms: int, data: bytes, packed: bool = False, inst_id: str = INST) -> Path:
    path = layout.hour_file(inst_id, ts_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path = path.with_name(f"{path.name}.gz")
        data = gzip.compress(data)
    path.write_bytes(data)
    return path


def journal_of(layout: Layout, *events: noted.Event, run: str | None = None) -> None:
    """A run of the journal's second form. What comes before its `started` is of no use to readers, so begin with it."""
    log = journal.Journal(layout, run=run)
    for event in events:
        log.append(event)


def journal_v1_of(layout: Layout, *events: noted.Event) -> None:
    """Lines as version 0.1 wrote them: without run, ordinal and monotonic time, and a feed was called a line."""
    layout.journal.mkdir(parents=True, exist_ok=True)
    for event in events:
        with layout.journal_file(utc_ms(event.at)).open("ab") as file:
            file.write(line_v1(event) + b"\n")


def line_v1(event: noted.Event) -> bytes:
    values = msgspec.json.decode(msgspec.json.encode(event))
    feeds = {"feeds": "lines"} if values["event"] in ("started", "conflict") else {"feed": "line"}
    return msgspec.json.encode({feeds.get(key, key): value for key, value in values.items()})


def entries(events: Iterable[noted.Event], run: str | None = "1") -> list[journal.Entry]:
    """Events as they come from the journal; `run` None: from one of form 1."""
    return [journal.Entry(event, run, n, None if run is None else n) for n, event in enumerate(events, 1)]


def at(offset_ms: int) -> str:
    return utc_text(HOUR_AT_MS + offset_ms)


def started(offset_ms: int, cadence_ms: int = CADENCE_MS, instruments: tuple[str, ...] = (INST,)) -> noted.Started:
    return noted.Started(at(offset_ms), "0", "host", 1, "os", list(instruments), cadence_ms, 400, 1, "digest")


def synced(offset_ms: int, connection: int = 1, inst_id: str = INST) -> noted.Synced:
    return noted.Synced(at(offset_ms), connection, inst_id, at(offset_ms), 1)


def lost(from_ms: int, cause: noted.Cause = "chain", connection: int = 1, inst_id: str = INST) -> noted.Lost:
    return noted.Lost(at(from_ms), connection, inst_id, cause, at(from_ms), None, "")


def quiet(since_ms: int, first_ms: int, last_ms: int) -> noted.Quiet:
    return noted.Quiet(at(since_ms), at(first_ms), at(last_ms))


def minute(noted_ms: int, *quiets: noted.Quiet, inst_id: str = INST, **counts: object) -> noted.Minute:
    """`first`, `last`, `last_line` and `book_time` are given as offsets into the hour."""
    times = ("first", "last", "last_line", "book_time")
    counts = {key: at(value) if key in times else value for key, value in counts.items()}  # type: ignore[arg-type]
    return noted.Minute(at(noted_ms), {inst_id: noted.MinuteOf(quiet=list(quiets), **counts)})  # type: ignore[arg-type]


_QTY = st.sampled_from(["1", "2.5", "10", "0.01"])
_ORDERS = st.sampled_from(["1", "2", "30"])
_PLAIN_PRICE = st.sampled_from(["99", "99.5", "100", "100.25", "1000"])
_ODD_PRICE = st.sampled_from(["99.50", "0100", "100.0", "100.250"])
_ODD_ORDERS = st.sampled_from(["", "01", "many", "1e3", "9999999999"])


@st.composite
def _level(draw: st.DrawFn) -> tuple[str, str, str, str]:
    if draw(st.integers(0, 9)):
        return draw(_PLAIN_PRICE), draw(_QTY), "0", draw(_ORDERS)
    price = draw(st.one_of(_PLAIN_PRICE, _ODD_PRICE))
    return price, draw(st.sampled_from(["1.0", "2.50", "3"])), draw(st.sampled_from(["0", "", "7"])), draw(_ODD_ORDERS)


def _sorted_side(side: Side, sign: int) -> Side:
    by_price = {float(level[0]): level for level in side}
    return [by_price[price] for price in sorted(by_price, key=lambda price: sign * price)]


_NUMBER = st.none() | st.integers(-1, 5) | st.integers(2**31, 2**53)


@st.composite
def hours_of_lines(draw: st.DrawFn) -> list[Snapshot]:
    """Any hour a vault may hold: flagged lines, lines of one time, empty sides, odd spellings, depths that change."""
    snapshots = []
    offset_ms = 0
    for _ in range(draw(st.integers(1, 12))):
        offset_ms += draw(st.sampled_from([0, 1, 1900, 2000, 2100, 60_000]))
        bids, asks = (_sorted_side(draw(st.lists(_level(), max_size=4)), sign) for sign in (-1, 1))
        if snapshots and draw(st.booleans()):
            bids = snapshots[-1].bids
        snapshots.append(
            line(
                offset_ms,
                bids,
                asks,
                depth=draw(st.sampled_from([400, 400, 200, 5])),
                checksum=draw(_NUMBER),
                seq_id=draw(_NUMBER),
                prev_seq_id=draw(_NUMBER),
                gap_detected=draw(st.integers(0, 4)) == 0,
            )
        )
    return snapshots
