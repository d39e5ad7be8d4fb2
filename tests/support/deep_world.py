"""The made-up market behind real REST code and without sockets, in a test's own time; all that REST served, as text.

The judges here read JSON and keep dicts: they share nothing with the package but the format.
"""

import json
import threading
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from l2vault.book.change import BookChange
from l2vault.okx.rest import OkxRest
from l2vault.okx.web import Reply, Web
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.deep import MarketTails
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.exchange.market import Market
from l2vault.sim.exchange.rpi import MarketRpi
from l2vault.sim.faults.plan import FaultPlan
from l2vault.sim.faults.schedule import Schedule
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.rest import RestFaults

DOGE = "DOGE-USDT-SWAP"
Sides = dict[str, dict[str, tuple[str, ...]]]
"""`bids` and `asks`: by price the other parts of a level, quantity first and orders last."""
FULL = "/api/v5/market/books-full"
RPI = "/api/v5/market/books-rpi"


class DeepWorld(Web):
    """`rest` answers as the exchange does at `now_ms()`; `served` has each whole answer of `books-full` by time,
    `served_rpi` those of `books-rpi`."""

    def __init__(self, now_ms: Callable[[], int], faults: str = "") -> None:
        super().__init__(1.0)
        self._now_ms = now_ms
        start_ms = now_ms()
        self._ticks = Market([DOGE], 7, start_ms).ticks()
        self._next = next(self._ticks)
        self.exchange = Exchange([DOGE], {DOGE: instrument_row(DOGE)}, 7, tails=MarketTails(7), rpi=MarketRpi(7))
        plan = parse_faults(faults) if faults else FaultPlan()
        self._faults = RestFaults(Schedule(plan, 7, start_ms), self.exchange, now_ms)
        self._alone = threading.Lock()
        self.rest = OkxRest("http://exchange", 1.0)
        self.rest._web = self
        self.served: dict[int, dict] = {}
        self.served_rpi: dict[int, dict] = {}
        self.shown: dict[int, Sides] = {}
        """The channel's book at each of these times."""
        self._channel: Sides = {"bids": {}, "asks": {}}
        self.exchange.watch(self._note)

    def get(self, url: str, headers: object, now_ms: Callable[[], int]) -> Reply:
        target, sent_ms = url.removeprefix("http://exchange"), now_ms()
        with self._alone:
            self._move()
            answer = self._faults.answer(target, self._now_ms())
            if answer is None:
                raise TimeoutError("timed out")
            of = {FULL: self.served, RPI: self.served_rpi}.get(target.partition("?")[0])
            is_whole = answer.body.startswith('{"code":"0"') and answer.body.endswith("}")
            if of is not None and answer.status == 200 and is_whole:
                (row,) = json.loads(answer.body)["data"]
                of[int(row["ts"])] = row
                self.shown[int(row["ts"])] = {side: dict(levels) for side, levels in self._channel.items()}
        return Reply(answer.status, {}, answer.body.encode(), sent_ms, now_ms())

    def _note(self, inst_id: str, change: BookChange, book: object) -> None:
        for side, levels in (("bids", change.bids), ("asks", change.asks)):
            held = self._channel[side]
            for price, quantity, _, orders in levels:
                if quantity == "0":
                    held.pop(price, None)
                else:
                    held[price] = quantity, orders

    def _move(self) -> None:
        """Everything happens that is due."""
        while self._next.ts_ms <= self._now_ms():
            self.exchange.apply(self._next.change)
            self._next = next(self._ticks)


def samples_in(root: Path, inst_id: str = DOGE, folder: str = "books_full") -> dict[int, Sides]:
    """Every sample that the files of a vault give, by its time in milliseconds: sides as price to the other parts.

    A change that does not name the line before it, and a sum that is another one, are failures.
    """
    found: dict[int, Sides] = {}
    sides: Sides = {}
    before = None
    for line in lines_in(root, inst_id, folder):
        if line["action"] == "snapshot":
            assert line["before_utc"] is None
            sides = {"bids": {}, "asks": {}}
        else:
            assert line["before_utc"] == before
        for side in sides:
            for price, *parts in line[side]:
                if parts[0] == "0":
                    assert set(parts) == {"0"}
                    del sides[side][price]
                else:
                    sides[side][price] = tuple(parts)
        total = 0
        for side, letter in (("bids", "b"), ("asks", "a")):
            for price, parts in sides[side].items():
                total += zlib.crc32(" ".join((letter, price, *parts)).encode())
        assert line["checksum"] == total % 2**32
        before = line["timestamp_utc"]
        found[_ms(before)] = {side: dict(levels) for side, levels in sides.items()}
    return found


def lines_in(root: Path, inst_id: str = DOGE, folder: str = "books_full") -> list[dict]:
    """As much as reads of files that may be torn."""
    found: list[dict] = []
    for path in sorted((root / "raw" / "okx" / folder / inst_id).glob("*/*.jsonl.gz")):
        data, rest = b"", path.read_bytes()
        while rest:
            member = zlib.decompressobj(31)
            data += member.decompress(rest)
            rest = member.unused_data
        found += [json.loads(line) for line in data.splitlines()]
    return found


def served_sides(row: dict) -> Sides:
    """A row of REST in the same form."""
    return {side: {price: tuple(parts) for price, *parts in row[side]} for side in ("bids", "asks")}


def _ms(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
