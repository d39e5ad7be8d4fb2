"""What the built-in exchange publishes beside its books: mark, index, funding, open interest, limits. Pure.

Values follow the books: mark is near mid, index and limits near mark, open interest and funding go their own slow ways.
It has random numbers of its own and changes no book: whoever subscribes to `books` gets the same bytes with or without
it. Keys and their order are those of OKX's real frames where one is known, else of its documentation.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, NamedTuple

import msgspec

from l2vault.book.book import Book

SWAP: Final = "SWAP"
MARK, INDEX, FUNDING = "mark-price", "index-tickers", "funding-rate"
INTEREST, LIMITS, LIQUIDATIONS = "open-interest", "price-limit", "liquidation-orders"
STATUS, INSTRUMENTS = "status", "instruments"
BY_INSTRUMENT: Final = (MARK, FUNDING, INTEREST, LIMITS)
"""Channels whose arg is an instrument. That of `index-tickers` is an index, of the others a kind of instrument or none.
"""
CHANNELS: Final = (*BY_INSTRUMENT, INDEX, LIQUIDATIONS, STATUS, INSTRUMENTS)

_MARK_MS: Final = 200
_MARK_REPEAT_MS: Final = 10_000
_INDEX_MS: Final = 100
_INDEX_REPEAT_MS: Final = 60_000
_INTEREST_MS: Final = 3_000
_FUNDING_MS: Final = (30_000, 90_000)
_LIQUIDATION_MS: Final = 40_000
"""Between two liquidations of an instrument, on average."""
_PERIOD_MS: Final = 8 * 3_600_000
_CATCH_UP_MS: Final = 60_000
"""Where the timeline leaps by more, what was due in between is left out."""
_INTEREST_RATE: Final = 0.0001
_MOST_FUNDING: Final = 0.00375
_MOST_PREMIUM: Final = 0.0005
_LIMIT_SHARE: Final = 0.01


class ContextPush(NamedTuple):
    """One push: the arg's `name` (an instrument, an index, `SWAP` or nothing), and its one row."""

    channel: str
    name: str
    ts_ms: int
    row: Mapping[str, object]

    @property
    def inst_id(self) -> str:
        """The instrument that it is of, as faults name it; empty where it is of none."""
        if self.channel == INDEX:
            return f"{self.name}-{SWAP}"
        return str(self.row.get("instId", ""))


_ENCODER: Final = msgspec.json.Encoder()
_ARG_KEY: Final = dict.fromkeys((LIQUIDATIONS, INSTRUMENTS), "instType")


def encode_context(channel: str, name: str, rows: Sequence[Mapping[str, object]]) -> str:
    """A push as OKX sends it: compact, `arg` and `data`, no `action`."""
    arg = {"channel": channel}
    if name:
        arg[_ARG_KEY.get(channel, "instId")] = name
    return _ENCODER.encode({"arg": arg, "data": rows}).decode()


def index_name(inst_id: str) -> str:
    return inst_id.removesuffix("-SWAP")


@dataclass(slots=True)
class _Swap:
    """One instrument's values as they stand."""

    inst_id: str
    row: dict[str, object]
    rng: Random
    mark: float = 0.0
    premium: float = 0.0
    contracts: float = 0.0
    settled_rate: float = _INTEREST_RATE
    settled_ms: int = 0
    """The settlement that is over."""
    sent: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By channel: the value sent last, and when."""

    @property
    def tick(self) -> str:
        return str(self.row["tickSz"])

    @property
    def decimals(self) -> int:
        return len(self.tick.partition(".")[2])

    def price(self, value: float) -> str:
        step = float(self.tick)
        return f"{round(value / step) * step:.{self.decimals}f}"

    @property
    def is_inverse(self) -> bool:
        return self.row["ctType"] == "inverse"

    @property
    def contract(self) -> float:
        return float(str(self.row["ctVal"])) * float(str(self.row["ctMult"]))


class ContextMarket:
    """The values of every swap among `rows`, from the time it is told of first on.

    Tell it of time by `pass_time`; it gives back what is pushed, in order of `ts_ms`.
    """

    def __init__(self, rows: Mapping[str, dict[str, object]], seed: int, book: Callable[[str], Book | None]) -> None:
        self._book = book
        self._swaps = {
            inst_id: _Swap(inst_id, row, Random(f"{seed} context {inst_id}"))
            for inst_id, row in rows.items()
            if row.get("instType") == SWAP
        }
        self._indexes = {index_name(inst_id): swap for inst_id, swap in reversed(self._swaps.items())}
        """Of several swaps on one index the first listed decides it."""
        self._due: list[tuple[int, str, str]] = []
        """Time, channel and instrument."""
        self._newest: dict[tuple[str, str], ContextPush] = {}
        self._announced: list[ContextPush] = []
        self._is_begun = False

    @property
    def names(self) -> Mapping[str, frozenset[str]]:
        """What may be subscribed to, by channel."""
        by_instrument = dict.fromkeys(BY_INSTRUMENT, frozenset(self._swaps))
        of_all = {LIQUIDATIONS: frozenset({SWAP}), INSTRUMENTS: frozenset({SWAP}), STATUS: frozenset({""})}
        return by_instrument | of_all | {INDEX: frozenset(self._indexes)}

    def newest(self, channel: str, name: str) -> list[Mapping[str, object]]:
        """What a fresh subscription is given, and REST: the row that stands, none where there is none yet."""
        push = self._newest.get((channel, name))
        return [] if push is None else [push.row]

    def forget(self, names: Iterable[tuple[str, str]]) -> None:
        """What a market makes up always stands."""

    def announce(self, channel: str, name: str, row: Mapping[str, object]) -> None:
        """Something that happened elsewhere, a `status` or a changed row, is pushed next."""
        self._announced.append(ContextPush(channel, name, 0, row))

    def pass_time(self, ts_ms: int) -> list[ContextPush]:
        """What is pushed up to exchange time `ts_ms`."""
        if not self._is_begun:
            self._begin(ts_ms)
        pushes, self._announced = self._announced, []
        while self._due and self._due[0][0] <= ts_ms:
            due_ms, channel, inst_id = heapq.heappop(self._due)
            swap = self._swaps[inst_id]
            due_ms = max(due_ms, ts_ms - _CATCH_UP_MS)
            pushes += self._act(swap, channel, due_ms)
            heapq.heappush(self._due, (due_ms + self._wait_ms(swap, channel), channel, inst_id))
        pushes.sort(key=lambda push: push.ts_ms)
        for push in pushes:
            if push.channel not in (LIQUIDATIONS, INSTRUMENTS):
                self._newest[push.channel, push.name] = push
        return pushes

    def _begin(self, ts_ms: int) -> None:
        self._is_begun = True
        for swap in self._swaps.values():
            swap.premium = swap.rng.uniform(-_MOST_PREMIUM, _MOST_PREMIUM) / 4
            swap.contracts = float(10 ** swap.rng.randint(5, 7)) * swap.rng.uniform(0.5, 3)
            swap.settled_ms = ts_ms // _PERIOD_MS * _PERIOD_MS
            self._follow(swap)
            for channel in (MARK, INDEX, FUNDING, INTEREST, LIMITS):
                if channel != INDEX or self._indexes[index_name(swap.inst_id)] is swap:
                    self._due.append((ts_ms, channel, swap.inst_id))
            self._due.append((ts_ms + self._wait_ms(swap, LIQUIDATIONS), LIQUIDATIONS, swap.inst_id))
        heapq.heapify(self._due)

    def _wait_ms(self, swap: _Swap, channel: str) -> int:
        if channel == FUNDING:
            return swap.rng.randint(*_FUNDING_MS)
        if channel == LIQUIDATIONS:
            return 1_000 + round(swap.rng.expovariate(1 / _LIQUIDATION_MS))
        return {MARK: _MARK_MS, INDEX: _INDEX_MS, INTEREST: _INTEREST_MS, LIMITS: _MARK_MS}[channel]

    def _act(self, swap: _Swap, channel: str, ts_ms: int) -> Iterator[ContextPush]:
        if channel == MARK:
            self._follow(swap)
        if not swap.mark:  # it has no book yet
            return
        if channel == MARK:
            yield from self._changed(swap, MARK, swap.inst_id, ts_ms, swap.price(swap.mark), _MARK_REPEAT_MS)
        elif channel == INDEX:
            price = swap.price(swap.mark / (1 + swap.premium))
            yield from self._changed(swap, INDEX, index_name(swap.inst_id), ts_ms, price, _INDEX_REPEAT_MS)
        elif channel == LIMITS:
            prices = " ".join(swap.price(swap.mark * (1 + share)) for share in (_LIMIT_SHARE, -_LIMIT_SHARE))
            yield from self._changed(swap, LIMITS, swap.inst_id, ts_ms, prices, None)
        elif channel == INTEREST:
            swap.contracts *= 1 + swap.rng.gauss(0, 0.0002)
            contracts = f"{swap.contracts:.11f}"
            yield from self._changed(swap, INTEREST, swap.inst_id, ts_ms, contracts, None)
        elif channel == FUNDING:
            yield ContextPush(FUNDING, swap.inst_id, ts_ms, self._funding_row(swap, ts_ms))
        else:
            yield ContextPush(LIQUIDATIONS, SWAP, ts_ms, self._liquidation_row(swap, ts_ms))

    def _follow(self, swap: _Swap) -> None:
        """Mark comes nearer to mid in each step; the premium wanders around nothing."""
        book = self._book(swap.inst_id)
        bids, asks = book.top(1) if book is not None else ([], [])
        if bids and asks:
            mid = (float(bids[0][0]) + float(asks[0][0])) / 2
            swap.mark += (mid - swap.mark) * (0.4 if swap.mark else 1.0)
        swap.premium += swap.rng.gauss(0, _MOST_PREMIUM / 200) - swap.premium / 500

    def _changed(
        self, swap: _Swap, channel: str, name: str, ts_ms: int, value: str, repeat_ms: int | None
    ) -> Iterator[ContextPush]:
        """Where the value is another one, or was not sent for so long."""
        before, sent_ms = swap.sent.get(channel, ("", 0))
        if value == before and (repeat_ms is None or ts_ms - sent_ms < repeat_ms):
            return
        swap.sent[channel] = value, ts_ms
        yield ContextPush(channel, name, ts_ms, self._row(swap, channel, name, ts_ms, value))

    def _row(self, swap: _Swap, channel: str, name: str, ts_ms: int, value: str) -> dict[str, object]:
        if channel == MARK:
            return {"instId": name, "instType": SWAP, "markPx": value, "ts": str(ts_ms)}
        if channel == INDEX:
            day = dict.fromkeys(("open24h", "high24h", "low24h", "sodUtc0", "sodUtc8"), value)
            return {"instId": name, "idxPx": value, **day, "ts": str(ts_ms)}
        if channel == LIMITS:
            buy, sell = value.split(" ")
            return {"instId": name, "buyLmt": buy, "sellLmt": sell, "ts": str(ts_ms), "enabled": True}
        usd = swap.contracts * swap.contract * (1 if swap.is_inverse else swap.mark)
        sums = {"oiCcy": f"{usd / swap.mark:.11f}", "oiUsd": f"{usd:.11f}"}
        return {"instId": name, "instType": SWAP, "oi": value, **sums, "ts": str(ts_ms)}

    def _funding_row(self, swap: _Swap, ts_ms: int) -> dict[str, object]:
        """The rate is the premium kept near the interest rate, as OKX's formula of 2026 has it."""
        rate = swap.premium + min(max(_INTEREST_RATE - swap.premium, -_MOST_PREMIUM), _MOST_PREMIUM)
        settled_ms = ts_ms // _PERIOD_MS * _PERIOD_MS
        if settled_ms > swap.settled_ms:
            swap.settled_ms, swap.settled_rate = settled_ms, rate
        return {
            "formulaType": "withRate",
            "fundingRate": f"{rate:.16f}",
            "fundingTime": str(settled_ms + _PERIOD_MS),
            "impactValue": "20000",
            "instId": swap.inst_id,
            "instType": SWAP,
            "interestRate": f"{_INTEREST_RATE}",
            "maxFundingRate": f"{_MOST_FUNDING}",
            "method": "current_period",
            "minFundingRate": f"-{_MOST_FUNDING}",
            "nextFundingRate": "",
            "nextFundingTime": str(settled_ms + 2 * _PERIOD_MS),
            "premium": f"{swap.premium:.16f}",
            "prevFundingTime": str(settled_ms),
            "settFundingRate": f"{swap.settled_rate:.16f}",
            "settState": "settled",
            "ts": str(ts_ms),
        }

    def _liquidation_row(self, swap: _Swap, ts_ms: int) -> dict[str, object]:
        side, position, away = swap.rng.choice((("sell", "long", -1), ("buy", "short", 1)))
        detail = {
            "bkLoss": "0",
            "bkPx": swap.price(swap.mark * (1 + away * swap.rng.uniform(0.0005, 0.005))),
            "ccy": "",
            "posSide": position,
            "side": side,
            "sz": str(swap.rng.randint(1, 5000)),
            "ts": str(ts_ms - swap.rng.randrange(1000)),
        }
        name = index_name(swap.inst_id)
        return {"details": [detail], "instFamily": name, "instId": swap.inst_id, "instType": SWAP, "uly": name}
