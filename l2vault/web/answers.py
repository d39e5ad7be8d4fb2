"""What each route of `/api` answers, as bytes, with its coverage. Reads; knows neither HTTP nor a browser.

Its methods block, so they run in threads: `measuring` (walls, zones, cells of time and price) may go on beside
`reading` (all else), each on what it has read itself.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec
import polars as pl
import pyarrow as pa

import l2vault
from l2vault.analytics.contract import Unit, contract_periods
from l2vault.analytics.walls.tracks import sorted_by, tracks_of
from l2vault.api.trades import Trade, Trades
from l2vault.api.vault import Vault
from l2vault.book.snapshot import Snapshot
from l2vault.clock import Clock
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.coverage.model import Coverage, Source
from l2vault.vault.health.look import look
from l2vault.vault.health.metrics import metrics_text
from l2vault.vault.reading import vault as reading
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.store.catalog import unreported
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.web.arrow import BOOKS, FLOWSURFACE, HOLES, TRADES, WALLS, ZONES, as_arrow
from l2vault.web.beside import Beside, binned
from l2vault.web.recorder import reasons_said, recorder_said
from l2vault.web.tiles import Tiles
from l2vault.web.turns import Turns
from l2vault.web.window import Measure, about, bin_of, packed, window_of

Form = Literal["json", "arrow"]
Said = dict[str, object]
LONGEST_MS: Final = 92 * 24 * HOUR_MS
MOST_TRADES: Final = 4000
MOST_BOOKS: Final = 5000
MOST_LEVELS: Final = 400
_MOST_HELD: Final = 200_000
"""Levels of one answer, about: each takes 150 bytes as Python's own objects."""
_MOST_TRADES_MS: Final = 6 * HOUR_MS
"""Each trade of a longer span would have to be read to find the largest: minutes of work for a few dots."""
_DAY_MS: Final = 24 * HOUR_MS
_WALLS_MS: Final = HOUR_MS
_PATIENCE_SEC: Final = 0.6
_TIMES_WORK: Final = 20
_MOST_KEPT_MS: Final = 30_000
"""What took long is kept for longer, so that at most a twentieth of a core goes into it, however many pages ask; but no
longer than this: what is said to stand now must not be a minute old."""
_STATUS_KEPT_MS: Final = 2_000
_WALLS_KEPT_MS: Final = 15_000
_ZONES_KEPT_MS: Final = 60_000
_KEPT: Final = 64
_KEPT_TABLES: Final = 2
"""The hour of a question and the one before: 30 MB each of BTC."""
_MOST_WALLS: Final = 40
_MOST_ENDED: Final = 60
_MOST_ZONES: Final = 12
_LATELY_MS: Final = 15 * 60_000
_CONTEXT_MS: Final = 60_000
_MOST_BESIDE_MS: Final = 25 * HOUR_MS
"""An hour of trades takes a second or two to read."""


class Answers:
    """The vault at `root`, with the sources of its tiles, which every answer names. Every method raises VaultError for
    what the vault does not hold, UsageError for what is no question; instruments are those of the catalogue and no
    others."""

    def __init__(self, root: Path, tiles: Tiles, clock: Clock, turns: Turns) -> None:
        self.root = root
        self._opened = tiles.opened
        self._clock = clock
        self._turns = turns
        self._tiles = tiles
        self._beside = Beside(self._opened, clock, turns, tiles.files)
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], tuple[int, Said]] = OrderedDict()
        self._tables: OrderedDict[tuple[str, int], tuple[int, int, pl.DataFrame]] = OrderedDict()

    def instruments(self) -> bytes:
        """Every instrument, what a contract of it is worth, its first and newest line, the last hour's coverage."""
        vault = self._vault()
        rows = []
        for inst_id in vault.instruments():
            first_ms, newest_ms = vault.first_line_ms(inst_id), vault.newest_line_ms(inst_id)
            if first_ms is None or newest_ms is None:
                continue
            coverage = vault.coverage(inst_id, newest_ms + 1 - HOUR_MS, newest_ms + 1)
            row = {"inst_id": inst_id, "first_ms": first_ms, "newest_ms": newest_ms, "coverage": self._about(coverage)}
            rows.append(row | {"contract": _contract_said(vault, inst_id, newest_ms)})
        return as_json({"instruments": rows, "version": l2vault.__version__})

    def status(self, inst_id: str) -> bytes:
        """What is known of the recorder, the newest line, the last hole of the last day."""
        kept = self._remembered(("status", inst_id), _STATUS_KEPT_MS, lambda: self._status(inst_id))
        return as_json({"now_ms": self._clock.wall_ms(), **kept})

    def _status(self, inst_id: str) -> Said:
        vault, name = self._held(inst_id)
        newest_ms, evidence_ms = vault.newest_line_ms(name), vault.newest_evidence_ms(name)
        end_ms = max(newest_ms or 0, evidence_ms or 0) + 1
        coverage = vault.coverage(name, max(0, end_ms - _LATELY_MS), end_ms)
        day = vault.coverage(name, max(0, end_ms - _DAY_MS), end_ms)
        first_ms = vault.first_line_ms(name) or 0
        holes = [hole for hole in day.holes if hole.end_ms > first_ms]
        hole = holes[-1] if holes else None
        return {
            "inst_id": name,
            "newest_ms": newest_ms,
            "evidence_ms": evidence_ms,
            "recorder": recorder_said(look(self.root, self._clock.wall_ms()), name),
            "context": _newest_context(vault.layout, name, end_ms),
            "last_hole": None
            if hole is None
            else {"from": hole.start_ms, "to": hole.end_ms, "kind": hole.kind, "cause": hole.cause},
            "coverage": self._about(coverage),
        }

    def books(  # noqa: PLR0913 - what is asked for
        self,
        inst_id: str,
        start_ms: int,
        end_ms: int,
        columns: int,
        prices: tuple[float, float] | None,
        of: Measure = "mean",
    ) -> bytes:
        """A window as `window.packed` has it: at most about so many columns, and the prices asked for or all, of the
        mean that rested in each cell, or the largest level. Hours that take longer to read are named, `unread_hours`:
        ask again for them."""
        vault, name = self._held(inst_id)
        _insist(start_ms, end_ms)
        bin_ms = bin_of(end_ms - start_ms, columns)
        start_ms = start_ms // bin_ms * bin_ms
        hours = [
            hour_ms
            for hour_ms in vault.bearing_hours(name, (start_ms, end_ms))
            if start_ms - HOUR_MS < hour_ms < end_ms
        ]
        tiles, unread = self._tiles.get(name, hours, bin_ms, _PATIENCE_SEC)
        coverage = vault.coverage(name, start_ms, end_ms)
        window = window_of(tiles, (start_ms, end_ms), bin_ms, prices, coverage, of)
        said = {"of": of, "inst_id": name, "from": start_ms, "to": end_ms, "newest_ms": vault.newest_line_ms(name)}
        said["read_to_ms"] = tiles[-1].read_to_ms if tiles else None
        return packed(window, said | {"unread_hours": unread, "coverage": self._about(coverage)})

    def rows_of_books(  # noqa: PLR0913 - what is asked for
        self, inst_id: str, start_ms: int, end_ms: int, levels: int, limit: int, form: Form
    ) -> bytes:
        """The books of a span with their best levels; where there are more than `limit`, or more than 200,000 levels
        in all, `next_ms` is the first of those that are left out."""
        vault, name = self._held(inst_id)
        _insist(start_ms, end_ms)
        if not (1 <= levels <= MOST_LEVELS and 1 <= limit <= MOST_BOOKS):
            raise UsageError("levels or limit is out of range.", f"levels up to {MOST_LEVELS}, limit to {MOST_BOOKS}")
        books, held, next_ms = list[dict[str, object]](), 0, None
        for source, book in vault.snapshots(name, start_ms, end_ms).labelled():
            if len(books) == limit or held >= _MOST_HELD:
                next_ms = book.ts_ms
                break
            row = book_said(book, levels) | {"origin": source}
            books.append({key: row[key] for key in BOOKS.names})
            held += min(levels, len(book.bids)) + min(levels, len(book.asks))
        to_ms = end_ms if next_ms is None else next_ms
        said = {"inst_id": name, "from": start_ms, "to": to_ms, "next_ms": next_ms, "books": books}
        return answered(said | {"coverage": self._about(vault.coverage(name, start_ms, to_ms))}, "books", BOOKS, form)

    def coverage(self, inst_id: str, start_ms: int, end_ms: int, form: Form = "json") -> bytes:
        """The slots of each state and the holes of a span."""
        vault, name = self._held(inst_id)
        _insist(start_ms, end_ms)
        said = self._about(vault.coverage(name, start_ms, end_ms))
        if form == "arrow":
            holes = said["holes"]
            assert isinstance(holes, list)
            return as_arrow(holes, HOLES, {"inst_id": name, "coverage": {**said, "holes": None}})
        return as_json({"inst_id": name, "coverage": said})

    def ladder(self, inst_id: str, t_ms: int | None) -> bytes:
        """The last book at or before a time, or the newest: levels as [price, contracts, orders], best first."""
        vault, name = self._held(inst_id)
        at_ms = vault.newest_line_ms(name) if t_ms is None else t_ms
        found = None if at_ms is None else vault.book_at(name, at_ms)
        if found is None or at_ms is None:
            raise VaultError(f"the vault holds no book of {name} so early.", "a later time")
        state = {"t": at_ms, "age_ms": found.age_ms, "state": found.state, "cause": found.cause}
        coverage = vault.coverage(name, max(0, at_ms - _LATELY_MS), at_ms + 1)
        return as_json({**book_said(found.snapshot), **state, "coverage": self._about(coverage)})

    def cell(self, inst_id: str, t_ms: int, low: float, high: float) -> bytes:
        """Since when the prices from `low` up to, not including, `high`, that held a level at a time have held one, as
        far back as the start of the hour before (`is_since_before`: perhaps for longer): side, price, contracts,
        orders, `since_ms`. Reads two hours when it is asked for the first time."""
        vault, name = self._held(inst_id)
        rows: dict[tuple[str, float], dict[str, object]] = {}
        hour_ms = t_ms // HOUR_MS * HOUR_MS
        for begin_ms in (hour_ms, hour_ms - HOUR_MS):
            near = self._levels(vault, name, begin_ms).filter(
                pl.col("price") >= low, pl.col("price") < high, pl.col("t_from") <= t_ms
            )
            for side, price, qty, orders, t_from, t_to in near.sort("t_from", descending=True).rows():
                key = side, price
                if key in rows and t_to == rows[key]["since_ms"]:
                    rows[key]["since_ms"] = t_from
                elif key not in rows and t_from <= t_ms < t_to:
                    rows[key] = {"side": side, "price": price, "qty": qty, "orders": orders, "since_ms": t_from}
        for row in rows.values():
            row["is_since_before"] = row["since_ms"] == hour_ms - HOUR_MS
        coverage = vault.coverage(name, hour_ms - HOUR_MS, t_ms + 1)
        state, cause = coverage.at(t_ms)
        said = {"levels": list(rows.values()), "t": t_ms, "state": state, "cause": cause}
        return as_json({**said, "coverage": {"covered_share": coverage.covered_share, "sources": self._opened.sources}})

    def walls(self, inst_id: str, end_ms: int | None, form: Form = "json") -> bytes:
        """Those that stand at a time, or now, of what the hour before it showed, heaviest first; and the heaviest that
        `ended` in it, each with its cause as `end`. `lives` are the times in which each was in sight, as [from, to,
        price]."""

        def measured(span: tuple[int, int]) -> dict[str, object]:
            result = self._door().books(inst_id, start=span[0], end=span[1]).walls(lives=True)
            settings = result.provenance.settings
            return walls_said(result.to_polars(raw=True), settings.get("last_mid")) | {"threshold": settings}

        said = self._measured("walls", inst_id, end_ms, _WALLS_KEPT_MS, measured)
        return answered(said, "walls", WALLS, form)

    def zones(self, inst_id: str, end_ms: int | None, form: Form = "json") -> bytes:
        """Those nearest to the price, of the hour before a time, or the last one."""

        def measured(span: tuple[int, int]) -> dict[str, object]:
            frame = self._door().books(inst_id, start=span[0], end=span[1]).zones().to_polars(raw=True)
            best = pl.concat([frame.filter(pl.col("side") == side).head(_MOST_ZONES // 2) for side in ("bid", "ask")])
            return {"zones": best.sort("distance_bps").to_dicts()}

        return answered(self._measured("zones", inst_id, end_ms, _ZONES_KEPT_MS, measured), "zones", ZONES, form)

    def trades(self, inst_id: str, start_ms: int, end_ms: int, form: Form = "json") -> bytes:
        """The largest trades of a span as [time, price, contracts, side, origin], the latter `recorded` or `archive`;
        `recorded` says whether there are any."""
        vault, name = self._held(inst_id)
        _insist(start_ms, end_ms)
        said: dict[str, object] = {"inst_id": name, "recorded": True, "trades": [], "left_out": 0, "too_long": False}
        said |= {"proved_share": None, "coverage": self._about(vault.coverage(name, start_ms, end_ms))}
        if end_ms - start_ms > _MOST_TRADES_MS:
            return answered(said | {"too_long": True}, "trades", TRADES, form)
        try:
            trades = self._door().trades(name, start=start_ms, end=end_ms)
            rows = [(row.ts_ms, row.price, row.size, row.side, _origin(row)) for row in trades if row.size is not None]
            share = trades.coverage.share()
        except VaultError:  # of this span, or at all
            return answered(said | {"recorded": False}, "trades", TRADES, form)
        kept = sorted(sorted(rows, key=_negative_size)[:MOST_TRADES])
        said |= {"trades": kept, "left_out": len(rows) - len(kept), "proved_share": share}
        return answered(said, "trades", TRADES, form)

    def beside(self, inst_id: str, start_ms: int, end_ms: int, columns: int) -> bytes:
        """What belongs beside a window of cells, in bins of the same width: what takers `bought` and `sold` (quote
        currency), `basis_bps`, `funding_rate`, `open_interest_usd`; null where it is not known. `newest_ms` is the time
        of the newest trade that is in it. Of more than 25 hours nothing, `too_long`. For one thread of its own."""
        vault, name = self._held(inst_id)
        _insist(start_ms, end_ms)
        bin_ms = bin_of(end_ms - start_ms, columns)
        span = start_ms // bin_ms * bin_ms, end_ms
        said: dict[str, object] = {"inst_id": name, "start_ms": span[0], "bin_ms": bin_ms, "unread_hours": []}
        said["coverage"] = self._about(vault.coverage(name, *span))
        if end_ms - start_ms > _MOST_BESIDE_MS:
            return as_json(said | {"too_long": True})
        held = max(span[0], vault.first_line_ms(name) or 0), min(end_ms, (vault.newest_line_ms(name) or 0) + 1)
        hours = list(range(held[0] // HOUR_MS * HOUR_MS, held[1], HOUR_MS))
        found, said["unread_hours"] = self._beside.get(name, hours, vault.newest_evidence_ms(name), _PATIENCE_SEC)
        newest = [hour.newest_ms for hour in found.values() if hour.newest_ms is not None]
        said["newest_ms"] = max(newest, default=None)
        return as_json(said | {name: each.tolist() for name, each in binned(found, span, bin_ms).items()})

    def every_trade(self, market: str, symbol: str, start_ms: int | None, end_ms: int | None, limit: int) -> bytes:
        """The first `limit` trades of a span, both bounds in it, as flowsurface's server gives them: sizes in coin, of
        inverse contracts in the quote currency. Where there are more, `next_ms` is where to go on: no millisecond is
        cut in two, so there are some fewer than `limit`, or more if the first millisecond alone has more."""
        name = self._meant(market, symbol)
        span = {"start": start_ms, "end": None if end_ms is None else end_ms + 1}
        unit: Unit = "usd" if market == "inverse" else "coin"
        with self._turns.urgent():
            trades = self._door().trades(name, start=span["start"], end=span["end"])
            rows, next_ms = _first(trades, unit, limit)
            if next_ms is not None:
                trades = self._door().trades(name, start=trades.start_ms, end=next_ms)
            share = trades.coverage.share() if rows else None
            said = {"inst_id": name, "unit": unit, "next_ms": next_ms}
            return as_arrow(
                rows, FLOWSURFACE, said | {"coverage": {"proved_share": share, "sources": self._opened.sources}}
            )

    def _meant(self, market: str, symbol: str) -> str:
        """The instrument that a client calls `btc-usdt-swap` or `btcusdt`. Raises VaultError where there is none."""
        vault = self._vault()
        for name in vault.instruments():
            if symbol.upper() in (name, name.removesuffix("-SWAP").replace("-", "")):
                contract = _contract_said(vault, name, vault.newest_line_ms(name) or 0)
                if contract is not None and contract["is_inverse"] == (market == "inverse"):
                    return name
        raise VaultError(f"the vault holds no {market} {printable(symbol, 64)}.", "one of /api/instruments")

    def metrics(self) -> bytes:
        """What `l2vault status --prometheus` prints."""
        seen = look(self.root, self._clock.wall_ms())
        return metrics_text(seen.health, seen.verdict).encode()

    def is_live(self) -> bool:
        """Whether the recorder gives a sign of life."""
        return look(self.root, self._clock.wall_ms()).verdict.state != "no recorder"

    def unready(self) -> list[str]:
        """Why the recorder is not healthy, or the vault holds no book; nothing where all is well."""
        reasons = reasons_said(look(self.root, self._clock.wall_ms()))
        try:
            names = self._vault().instruments()
        except VaultError as error:
            return [*reasons, error.message]
        return reasons if names else [*reasons, "the vault holds no books yet"]

    def held(self, inst_id: str) -> str:
        """The catalogue's own name of an instrument. Raises VaultError for one that it has not."""
        return self._held(inst_id)[1]

    def _held(self, inst_id: str) -> tuple[reading.Vault, str]:
        vault = self._vault()
        if inst_id not in vault.instruments():
            raise VaultError(f"the vault holds nothing of {printable(inst_id, 64)}.", "one of /api/instruments")
        return vault, inst_id

    def _hour_before(self, inst_id: str, end_ms: int | None) -> tuple[str, tuple[int, int]]:
        vault, name = self._held(inst_id)
        newest_ms = vault.newest_line_ms(name)
        if newest_ms is None:
            raise VaultError(f"the vault holds no book of {name}.", "l2vault verify")
        last_ms = newest_ms + 1 if end_ms is None else min(end_ms, newest_ms + 1)
        return name, (max(0, last_ms - _WALLS_MS), last_ms)

    def _measured(
        self,
        what: str,
        inst_id: str,
        end_ms: int | None,
        kept_ms: int,
        measure: Callable[[tuple[int, int]], Mapping[str, object]],
    ) -> Said:
        def answer() -> Said:
            name, span = self._hour_before(inst_id, end_ms)
            with self._turns.urgent():
                said = {"inst_id": name, "from": span[0], "to": span[1], **measure(span)}
            return {**said, "coverage": self._about(self._vault().coverage(name, *span))}

        return self._remembered((what, inst_id, end_ms), kept_ms, answer)

    def _remembered(self, key: tuple[object, ...], kept_ms: int, answer: Callable[[], Said]) -> Said:
        """An answer is kept for a while: all open pages ask the same."""
        begun_ms = self._clock.monotonic_ms()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and begun_ms < kept[0]:
                return kept[1]
        made = answer()
        now_ms = self._clock.monotonic_ms()
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = now_ms + max(kept_ms, min(_MOST_KEPT_MS, _TIMES_WORK * (now_ms - begun_ms))), made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made

    def _levels(self, vault: reading.Vault, name: str, hour_ms: int) -> pl.DataFrame:
        """The level-interval table of an hour. The latest few are kept; of an hour that is still written for a while.
        For the one thread that measures."""
        now_ms = self._clock.monotonic_ms()
        kept = self._tables.get((name, hour_ms))
        newest_ms = vault.newest_line_ms(name) or 0
        if kept is not None and (kept[0] > hour_ms + HOUR_MS or kept[0] == newest_ms or now_ms < kept[1]):
            return kept[2]
        with self._turns.urgent():
            table = vault.levels(name, hour_ms, hour_ms + HOUR_MS).to_polars()
        took_ms = self._clock.monotonic_ms() - now_ms
        self._tables[name, hour_ms] = newest_ms, now_ms + took_ms * (1 + _TIMES_WORK), table
        while len(self._tables) > _KEPT_TABLES:
            self._tables.popitem(last=False)
        return table

    def _vault(self) -> reading.Vault:
        """One for each thread, which remembers what it has read."""
        return self._opened.vault()

    def _about(self, coverage: Coverage) -> Said:
        return about(coverage) | {"sources": self._opened.sources}

    def _door(self) -> Vault:
        return Vault(self._vault())


def _first(trades: Trades, unit: Unit, limit: int) -> tuple[list[tuple[int, float, float, bool]], int | None]:
    """Rows of `FLOWSURFACE` of about the first `limit` trades, and the time from which on they are left out, None if
    none is. One order that takes several prices is several trades of one millisecond, which stay together."""
    rows, next_ms = list[tuple[int, float, float, bool]](), None
    for trade in trades:
        if next_ms is not None and trade.ts_ms >= next_ms:
            return rows, next_ms
        if next_ms is None and len(rows) >= limit:
            before = [row for row in rows if row[0] < trade.ts_ms]
            if before:
                return before, trade.ts_ms
            next_ms = rows[-1][0] + 1
        qty = trade.coin if unit == "coin" else trade.usd
        if qty is not None:
            rows.append((trade.ts_ms, trade.price, qty, trade.side == "sell"))
    return rows, None


def answered(said: Said, rows: str, columns: pa.Schema, form: Form) -> bytes:
    """An answer whose `rows` are a table, in the form that was asked for."""
    if form == "json":
        return as_json(said)
    of_table = said[rows]
    assert isinstance(of_table, list)
    return as_arrow(of_table, columns, {key: value for key, value in said.items() if key != rows})


def walls_said(ledger: pl.DataFrame, last_mid: object) -> dict[str, object]:
    """Of the lives of walls: the heaviest that stand (`walls`; `left_out` more) and the heaviest that `ended`."""
    by_weight = sorted_by(tracks_of(ledger, last_mid if isinstance(last_mid, float) else None), "weight")
    stand = by_weight.filter(pl.col("end") == "standing")
    rows = stand.head(_MOST_WALLS).to_dicts()
    ended = by_weight.filter(pl.col("end") != "standing").head(_MOST_ENDED).to_dicts()
    for row in (*rows, *ended):
        row["lives"] = ledger.filter(pl.col("track") == row["track"]).select("t_from", "t_to", "price").rows()
    return {"walls": rows, "left_out": len(stand) - len(rows), "ended": ended}


def book_said(book: Snapshot, levels: int | None = None) -> dict[str, object]:
    """One book, whole or the best levels of it: [price, contracts, orders], best first, orders null where OKX sent no
    number."""
    return {
        "inst_id": book.inst_id,
        "book_ms": book.ts_ms,
        "bids": [_level(level) for level in book.bids[:levels]],
        "asks": [_level(level) for level in book.asks[:levels]],
        "depth": book.depth,
        "is_flagged": book.gap_detected,
    }


def _level(level: tuple[str, str, str, str]) -> tuple[float, float, int | None]:
    return float(level[0]), float(level[1]), int(level[3]) if level[3].isdecimal() else None


def _contract_said(vault: reading.Vault, inst_id: str, t_ms: int) -> dict[str, object] | None:
    try:
        contract = contract_periods(inst_id, vault.instrument_rows(inst_id), (t_ms, t_ms + 1))[-1].contract
    except VaultError:
        return None
    return {name: getattr(contract, name) for name in ("is_inverse", "value", "coin", "quote", "tick", "tick_decimals")}


def _newest_context(layout: Layout, inst_id: str, end_ms: int) -> dict[str, object] | None:
    """The newest line of context of the last minute, which is all that an open page shows as of now."""
    reader = ContextReader(layout)
    rows = reader.rows(inst_id, (max(0, end_ms - _CONTEXT_MS), end_ms + _CONTEXT_MS), unreported)
    newest = deque(rows, maxlen=1)
    return {"t": newest[0].grid_ms, **msgspec.to_builtins(newest[0])} if newest else None


def _origin(trade: Trade) -> Source:
    return "archive" if trade.origin == "archive" else "recorded"


def _negative_size(row: tuple[int, float, float, str, Source]) -> float:
    return -row[2]


def _insist(start_ms: int, end_ms: int) -> None:
    if not 0 <= start_ms < end_ms or end_ms - start_ms > LONGEST_MS:
        raise UsageError("the span is empty, or longer than 92 days.", "from before to, in ms since 1970")


def as_json(value: object) -> bytes:
    """NaN is no JSON: msgspec writes null for it."""
    return msgspec.json.encode(value)
