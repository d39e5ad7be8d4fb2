"""A deliberately naive order book, sharing no line with the package: a dict, `sorted`, `Decimal`."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any


class NaiveBook:
    """The book of one instrument as anybody would first write it, and its image at each grid time that is due."""

    def __init__(self, cadence_ms: int) -> None:
        self.sides: dict[str, dict[Decimal, list[str]]] = {"bids": {}, "asks": {}}
        self.cadence_ms = cadence_ms
        self.ts_ms = 0
        self.last: dict = {}
        self.due: list[dict[str, object]] = []

    def feed(self, push: dict) -> None:
        data = push["data"][0]
        if self.last and any(at % self.cadence_ms == 0 for at in range(self.ts_ms, int(data["ts"]))):
            self.due.append(self.image())
        for name, side in self.sides.items():
            if push["action"] == "snapshot":
                side.clear()
            for level in data[name]:
                if Decimal(level[1]) == 0:
                    side.pop(Decimal(level[0]), None)
                else:
                    side[Decimal(level[0])] = level
        self.ts_ms = max(self.ts_ms, int(data["ts"]))
        self.last = data

    def image(self) -> dict[str, object]:
        return {
            "ts_ms": self.ts_ms,
            "bids": [self.sides["bids"][price] for price in sorted(self.sides["bids"], reverse=True)],
            "asks": [self.sides["asks"][price] for price in sorted(self.sides["asks"])],
            **{key: self.last.get(key) for key in ("checksum", "seqId", "prevSeqId")},
        }


class NaiveMarket:
    """All instruments of a connection, fed with the raw text frames."""

    def __init__(self, cadence_ms: int) -> None:
        self.cadence_ms = cadence_ms
        self.books: dict[str, NaiveBook] = {}

    def feed_frame(self, frame: str) -> None:
        self.feed(json.loads(frame))

    def feed(self, push: dict) -> None:
        if "data" in push and push["arg"]["channel"] == "books":
            self.books.setdefault(push["arg"]["instId"], NaiveBook(self.cadence_ms)).feed(push)

    def expected_lines(self, inst_id: str, depth: int) -> list[dict[str, object]]:
        """What docs/format.md asks of each line of the instrument, key by key, as Python values."""
        return [self._line(inst_id, image, depth) for image in self.books[inst_id].due]

    def _line(self, inst_id: str, image: dict, depth: int) -> dict[str, object]:
        bids, asks = image["bids"][:depth], image["asks"][:depth]
        best_bid = bids[0][0] if bids else None
        best_ask = asks[0][0] if asks else None
        mid = None
        if bids and asks:
            mid = f"{(Decimal(best_bid) + Decimal(best_ask)) / 2:f}"
            mid = mid.rstrip("0").rstrip(".") if "." in mid else mid
        return {
            "timestamp_utc": utc(image["ts_ms"]),
            "exchange": "okx",
            "market": "perp",
            "channel": "books",
            "instId": inst_id,
            f"bids_top{depth}": bids,
            f"asks_top{depth}": asks,
            "best_bid": best_bid,
            "best_ask": best_ask,
            "mid_price": mid,
            "checksum": image["checksum"],
            "seqId": image["seqId"],
            "prevSeqId": image["prevSeqId"],
            "gap_detected": False,
        }


class NaiveReference:
    """Every state of each instrument, fed change by change, for runs too long to keep whole books: as fingerprints.

    Handed to the exchange's simulator; the book that this shows besides is left unread. `keep` gets instrument, book
    time, `seqId` and fingerprint after each change.
    """

    def __init__(self, keep: Callable[[str, int, int | None, int], None]) -> None:
        self._keep = keep
        self._books: dict[str, tuple[dict[tuple[str, Decimal], list[str]], int, int]] = {}

    def __call__(self, inst_id: str, change: Any, book: object) -> None:
        levels, print_, ts_ms = self._books.get(inst_id, ({}, 0, 0))
        if change.is_snapshot:
            levels, print_ = {}, 0
        for side, sent in (("bids", change.bids), ("asks", change.asks)):
            for level in sent:
                before = levels.pop((side, Decimal(level[0])), None)
                if before is not None:
                    print_ ^= _fingerprint_of_level(side, before)
                if Decimal(level[1]) != 0:
                    levels[side, Decimal(level[0])] = level
                    print_ ^= _fingerprint_of_level(side, level)
        ts_ms = max(ts_ms, change.ts_ms or 0)
        self._books[inst_id] = levels, print_, ts_ms
        self._keep(inst_id, ts_ms, change.seq_id, print_)


def fingerprint(bids: Iterable[list[str]], asks: Iterable[list[str]]) -> int:
    """The same for the same levels in any order; of a whole line, what `NaiveReference` made of the book."""
    print_ = 0
    for side, levels in (("bids", bids), ("asks", asks)):
        for level in levels:
            print_ ^= _fingerprint_of_level(side, level)
    return print_


def _fingerprint_of_level(side: str, level: Iterable[str]) -> int:
    return hash((side, *level))


def seen_by_chain(line: dict, wanted: dict) -> dict:
    """`wanted` as a line just after a resync shows it: -1 says that the book is still the full one.

    Whoever was in sync all along came to the same book by an update; when the full one comes is a matter of timing.
    """
    return wanted | {"prevSeqId": -1} if line["prevSeqId"] == -1 else wanted


def utc(ms: int) -> str:
    from datetime import UTC, datetime, timedelta

    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
