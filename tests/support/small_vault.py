"""Ten minutes of one instrument with a hole of three slots: the vault that the examples of the documents are about."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from l2vault.book.context import KINDS, Context, Funding, Index, Limits, Mark, OpenInterest
from l2vault.book.context import to_line as context_line
from l2vault.book.deep import DeepKind, DeepSample, deep_line_of
from l2vault.book.snapshot import Snapshot
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal.context_events import ContextNoted
from l2vault.vault.journal.events import Event
from l2vault.vault.journal.trade_events import TradesBegun, TradesFilled, TradesHole, TradesMissing, TradesSkipped
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, at, journal_v1_of, levels, line, lost, put, started, synced

SLOTS = 300
SETTLED_MS = 300_000
LOSS_MS, RESYNC_MS = 120_300, 126_100


def books() -> Iterator[Snapshot]:
    """A bid that stands all the time, one that changes with every line, and an ask 20 bps away from the mid price."""
    for slot in range(SLOTS):
        offset_ms = slot * 2_000
        if not LOSS_MS <= offset_ms < RESYNC_MS:
            bids = levels("59999 10 3", f"59990 {slot + 1} 1")
            yield line(offset_ms, bids, levels("60001 2.5 1", "60120 900 40"))


def contexts() -> Iterator[Context]:
    """Values beside those books; a settlement of funding in the middle of them."""
    for slot in range(SLOTS):
        grid_ms = HOUR_AT_MS + slot * 2_000
        settled_ms = HOUR_AT_MS + SETTLED_MS if slot * 2_000 >= SETTLED_MS else HOUR_AT_MS + SETTLED_MS - 28_800_000
        times = [str(settled_ms + period * 28_800_000) for period in (1, 2, 0)]
        settled = "0.00005" if slot * 2_000 >= SETTLED_MS else "0.0001"
        yield Context(
            INST,
            grid_ms,
            Mark(grid_ms - 100, "60000.5"),
            Index(grid_ms - 200, "60003.1"),
            Funding(grid_ms - 1_000, "0.000066", times[0], None, times[1], times[2], settled, "settled", "-0.00004"),
            OpenInterest(grid_ms - 2_000, "2216113.01000000309", "22161.1301000000309", "1329667806.0"),
            Limits(HOUR_AT_MS - 5_000, "60600.5", "59400.5", True),
        )


def put_context(layout: Layout) -> Path:
    path = layout.of("context").hour_file(INST, HOUR_AT_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(context_line(row) + b"\n" for row in contexts()))
    return path


def context_noted() -> ContextNoted:
    return ContextNoted(at(-5_000), 1, INST, "present", dict.fromkeys(KINDS, at(-5_000)))


DEEP_EVERY_MS = 30_000
DEEP_FROM_MS = 10_000


def deep_samples() -> Iterator[DeepSample]:
    """What the book held beyond those levels too, up to 235 bps from mid: a level each 30 from 60,150 on, and from
    59,960 down."""
    for offset_ms in range(DEEP_FROM_MS, SLOTS * 2_000, DEEP_EVERY_MS):
        bids = [("59999", "10", "3"), ("59990", str(offset_ms // 2_000 + 1), "1")]
        asks = [("60001", "2.5", "1"), ("60120", "900", "40")]
        bids += [(str(59_960 - 30 * at), "5", "2") for at in range(43)]
        asks += [(str(60_150 + 30 * at), "5", "2") for at in range(43)]
        ts_ms = HOUR_AT_MS + offset_ms
        yield DeepSample(INST, ts_ms, bids, asks, None, (ts_ms + 300) * 1000)


def rpi_samples() -> Iterator[DeepSample]:
    """The same books with RPI orders: an ask inside the spread that is of nothing else, and a quarter more at the
    bid."""
    for offset_ms in range(DEEP_FROM_MS, SLOTS * 2_000, DEEP_EVERY_MS):
        size = str(offset_ms // 2_000 + 1)
        bids = [("59999", "12.5", "10", "4"), ("59990", size, size, "1")]
        asks = [("60000.5", "4", "0", "1"), ("60001", "2.5", "2.5", "1"), ("60120", "900", "900", "40")]
        ts_ms = HOUR_AT_MS + offset_ms
        yield DeepSample(INST, ts_ms, bids, asks, offset_ms, (ts_ms + 200) * 1000, kind="rpi")


def put_deep(layout: Layout, samples: Iterable[DeepSample], missed: range = range(0), kind: DeepKind = "deep") -> None:
    """As the recorder writes them, but for those missed."""
    writer = ChangeWriter(layout, kind=kind)
    before = None
    for number, sample in enumerate(samples):
        if number not in missed:
            is_same_hour = before is not None and before.ts_ms // HOUR_MS == sample.ts_ms // HOUR_MS
            writer.write(deep_line_of(sample, before if is_same_hour else None))
            before = sample
    writer.close()


FIRST_ID = 1001
BY_REST, SKIPPED_AFTER, LOST = 100, 60, 150
"""Slots: its trades came by REST, single and late; OKX left out two ids behind its trades; its trades were lost."""


def trades() -> Iterator[TradePush]:
    """As they stand in the file: each slot a sale of two matches and, a second later, such a purchase."""
    one = FIRST_ID
    late: list[TradePush] = []
    for slot in range(SLOTS):
        for offset_ms, price, size, side in ((500, "59999", 4, "sell"), (1500, "60001", 6, "buy")):
            ts_ms = HOUR_AT_MS + slot * 2_000 + offset_ms
            one += 2
            if slot == SLOTS - 1 and side == "buy":
                continue
            if slot == BY_REST:
                of = (price, str(size // 2), side, str(ts_ms), None, None, None, (ts_ms + 9_000) * 1000, "rest")
                late += [TradePush(INST, str(one - 2), *of), TradePush(INST, str(one - 1), *of)]
            elif slot != LOST:
                of = (price, str(size), side, str(ts_ms), "2", "0", slot * 2_000 + offset_ms, (ts_ms + 20) * 1000, "ws")
                yield TradePush(INST, str(one - 1), *of)
        one += 2 if slot == SKIPPED_AFTER else 0
    yield from late


def put_trades(layout: Layout) -> Path:
    path = layout.of("trades").hour_file(INST, HOUR_AT_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(trade_to_line(push) + b"\n" for push in trades()))
    return path


def trades_noted() -> list[Event]:
    """What the journal says of them."""
    begun = TradesBegun(at(0), INST, FIRST_ID, at(500), "first")
    skipped = first_id_of(SKIPPED_AFTER) + 4
    lost, rest = first_id_of(LOST), first_id_of(BY_REST)
    bounds = [(at(slot * 2_000 - 500), at(slot * 2_000 + 2_500)) for slot in (BY_REST, LOST)]
    return [
        begun,
        TradesSkipped(at(130_000), INST, skipped, skipped + 1, 2),
        TradesHole(at(210_000), INST, rest, rest + 3, 4, *bounds[0], "disconnect"),
        TradesFilled(at(211_000), INST, rest, rest + 3, 4, "rest"),
        TradesHole(at(310_000), INST, lost, lost + 3, 4, *bounds[1], "disconnect"),
        TradesMissing(at(311_000), INST, lost, lost + 3, 4, *bounds[1], "OKX gave other ids"),
    ]


def first_id_of(slot: int) -> int:
    return FIRST_ID + 4 * slot + (2 if slot > SKIPPED_AFTER else 0)


def small_vault(root: Path, packed: bool = False) -> tuple[Layout, Path]:
    """The vault, and the file of its hour."""
    layout = Layout(root)
    before, after = (synced(-8_000), context_noted()), (lost(LOSS_MS), synced(RESYNC_MS), lost(600_000))
    journal_v1_of(layout, started(-9_000), *before, *after, *trades_noted())
    put_context(layout)
    put_trades(layout)
    put_deep(layout, deep_samples())
    put_deep(layout, rpi_samples(), kind="rpi")
    path = put(layout, list(books()), packed)
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")
    return layout, path
