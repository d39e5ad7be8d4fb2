"""A deliberately naive order book, sharing no line with the package: a dict, `sorted`, `Decimal`."""

import json
from decimal import Decimal


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


def seen_by_chain(line: dict, wanted: dict) -> dict:
    """`wanted` as a line just after a resync shows it: -1 says that the book is still the full one.

    Whoever was in sync all along came to the same book by an update; when the full one comes is a matter of timing.
    """
    return wanted | {"prevSeqId": -1} if line["prevSeqId"] == -1 else wanted


def utc(ms: int) -> str:
    from datetime import UTC, datetime, timedelta

    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
