"""The context of the exchange in memory: what it publishes beside its books, and a judge of what is said of it."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from l2vault.book.context import KINDS, Context, Kind
from l2vault.book.utc import utc_text
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.store.catalog import Findings
from l2vault.vault.store.layout import Layout

CHANNELS: dict[str, Kind] = {
    "mark-price": "mark",
    "index-tickers": "index",
    "funding-rate": "funding",
    "open-interest": "open_interest",
    "price-limit": "limits",
}
OTHER_CHANNELS = ("liquidation-orders", "instruments", "status")
REPEAT_MS = {"mark-price": 10_000, "index-tickers": 60_000, "funding-rate": 60_000, "open-interest": 3_000}
"""How often each comes where nothing changed; limits come on change alone."""


@dataclass
class ContextOf:
    """One instrument's values: of each kind every one there was, by its time, and the row that told it."""

    inst_id: str
    told: dict[str, list[tuple[int, str, dict]]] = field(default_factory=lambda: {name: [] for name in CHANNELS})

    def name(self, channel: str) -> str:
        return self.inst_id.removesuffix("-SWAP") if channel == "index-tickers" else self.inst_id

    def step(self, mid: int, ts_ms: int) -> Iterator[tuple[str, dict]]:
        """The pushes of this moment."""
        values = {
            "mark-price": f"{mid / 10:.1f}",
            "index-tickers": f"{mid / 10 + 0.3:.1f}",
            "price-limit": f"{mid / 10 + 5:.1f} {mid / 10 - 5:.1f}",
            "funding-rate": f"0.000{ts_ms // 60_000 % 90 + 10}",
            "open-interest": f"{1000 + ts_ms // 7_000 % 500}.5",
        }
        for channel, value in values.items():
            told = self.told[channel]
            before_ms, before = told[-1][:2] if told else (-(1 << 60), "")
            repeat_ms = REPEAT_MS.get(channel, 1 << 60)
            is_seldom = channel in ("funding-rate", "open-interest")
            is_new = value != before and (not is_seldom or ts_ms - before_ms >= repeat_ms)
            if is_new or ts_ms - before_ms >= repeat_ms:
                row = self._row(channel, value, ts_ms)
                told.append((ts_ms, value, row))
                yield channel, self._push(channel, row)

    def now(self, channel: str) -> dict | None:
        """What a fresh subscription is given."""
        told = self.told[channel]
        return self._push(channel, told[-1][2]) if told else None

    def _push(self, channel: str, row: dict) -> dict:
        return {"arg": {"channel": channel, "instId": self.name(channel)}, "data": [row]}

    def _row(self, channel: str, value: str, ts_ms: int) -> dict:
        row: dict = {"instId": self.name(channel), "ts": str(ts_ms)}
        if channel == "mark-price":
            return row | {"markPx": value}
        if channel == "index-tickers":
            return row | {"idxPx": value}
        if channel == "price-limit":
            buy, sell = value.split()
            return row | {"buyLmt": buy, "sellLmt": sell, "enabled": True}
        if channel == "open-interest":
            return row | {"oi": value, "oiCcy": value, "oiUsd": value}
        return row | {"fundingRate": value, "fundingTime": str(ts_ms // 28_800_000 * 28_800_000 + 28_800_000)}


def judge_context(root: Path, context: ContextOf, span: tuple[int, int], cadence_ms: int) -> list[str]:
    """Complaints: a value that is called present at a grid time must be the newest that the exchange had told by then,
    and a line may hold nothing that it never told."""
    inst_id = context.inst_id
    reader, findings = ContextReader(Layout(root)), Findings()
    rows = list(reader.rows(inst_id, span, findings.report))
    complaints = [f"{inst_id}: {finding.reason}" for finding in findings]
    grid = [row.grid_ms for row in rows]
    if grid != sorted(set(grid)):
        complaints.append(f"{inst_id}: lines of the context go back or stand twice")
    coverage = reader.coverage(inst_id, span)
    for channel, kind in CHANNELS.items():
        told = context.told[channel]
        true = {(ts_ms, value) for ts_ms, value, _ in told}
        for row in rows:
            shown = _shown(row, kind)
            if shown is not None and shown not in true:
                complaints.append(f"{inst_id} {kind}: {shown} at {utc_text(row.grid_ms)} was never told")
        times = [ts_ms for ts_ms, _, _ in told]
        present = [each for each in coverage.stretches if (each.kind, each.state) == (kind, "present")]
        for each in present:
            first_ms = -(-each.start_ms // cadence_ms) * cadence_ms
            for grid_ms in range(first_ms, each.end_ms, cadence_ms):
                at = bisect_right(times, grid_ms) - 1
                line = bisect_right(grid, grid_ms) - 1
                is_told = _shown(rows[line], kind) if line >= 0 else None
                if at < 0 or is_told != told[at][:2]:
                    want = told[at][:2] if at >= 0 else None
                    complaints.append(f"{inst_id} {kind} at {utc_text(grid_ms)} is present: {is_told}, not {want}")
    return complaints


def shares(root: Path, inst_id: str, span: tuple[int, int]) -> dict[Kind, float]:
    coverage = ContextReader(Layout(root)).coverage(inst_id, span)
    return {kind: coverage.share(kind) for kind in KINDS}


def _shown(row: Context, kind: Kind) -> tuple[int, str] | None:
    value = row.value(kind)
    if value is None:
        return None
    texts: dict[Kind, Callable[[], str]] = {
        "mark": lambda: value.price,  # type: ignore[union-attr]
        "index": lambda: value.price,  # type: ignore[union-attr]
        "funding": lambda: value.rate,  # type: ignore[union-attr]
        "open_interest": lambda: value.contracts,  # type: ignore[union-attr]
        "limits": lambda: f"{value.buy} {value.sell}",  # type: ignore[union-attr]
    }
    return value.ts_ms, texts[kind]()
