"""OKX's public REST interface as far as a recorder asks it: instruments, books, trades, time, and the values beside
the books. Pure.

Rate limits are kept elsewhere (`limits`); envelopes and refusals are those seen on OKX.
"""

import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qs, parse_qsl, urlsplit

import msgspec

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange
from l2vault.book.deep import DEEP_DEPTH, RPI_DEPTH
from l2vault.sim.exchange.books import BooksRow, Exchange
from l2vault.sim.exchange.context import FUNDING, INDEX, INTEREST, LIMITS, MARK, STATUS, SWAP
from l2vault.sim.faults.plan import ALL_INSTRUMENTS, Fault
from l2vault.sim.faults.schedule import Schedule

_INSTRUMENT_TYPES: Final = frozenset({"SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"})
_DEFAULT_DEPTH: Final = "1"
_DEPTH: Final = re.compile("[1-9][0-9]{0,2}")
_FULL_DEPTH: Final = re.compile("[1-9][0-9]{0,3}")
_TRADE_ID: Final = re.compile("[0-9]{1,18}")
_DEFAULT_TRADES: Final = "100"
_MOST_TRADES: Final = 500
_MOST_OF_A_PAGE: Final = 100
_ANY: Final = "ANY"
_CONTEXT: Final = {
    "/api/v5/public/mark-price": MARK,
    "/api/v5/public/funding-rate": FUNDING,
    "/api/v5/public/open-interest": INTEREST,
    "/api/v5/public/price-limit": LIMITS,
    "/api/v5/market/index-tickers": INDEX,
    "/api/v5/system/status": STATUS,
}
_FILTERS: Final = ("instType", "instFamily", "instId")

_ENCODER: Final = msgspec.json.Encoder()


class Answer(NamedTuple):
    """An HTTP status and a body: JSON, but where something in front of OKX answers in its place."""

    status: int
    body: str


def answer(exchange: Exchange, target: str, now_ms: int) -> Answer:
    """The answer to GET `target` (path and query). `now_ms` is wall time, for `/public/time`."""
    url = urlsplit(target)
    params = dict(parse_qsl(url.query))
    if url.path == "/api/v5/public/time":
        return data([{"ts": str(now_ms)}])
    if url.path == "/api/v5/public/instruments":
        return _instruments(exchange, params)
    if url.path == "/api/v5/market/books":
        return _books(exchange, params)
    if url.path == _BOOKS_FULL:
        return _sampled(exchange.full_row, exchange, params, DEEP_DEPTH)
    if url.path == _BOOKS_RPI:
        return _sampled(exchange.rpi_row, exchange, params, RPI_DEPTH)
    if url.path == "/api/v5/market/trades":
        return _trades(exchange, params, _MOST_TRADES)
    if url.path == "/api/v5/market/history-trades":
        return _trades(exchange, params, _MOST_OF_A_PAGE)
    if url.path in _CONTEXT:
        return _context(exchange, _CONTEXT[url.path], params)
    return refusal(404, "404", "Not Found")


def _instruments(exchange: Exchange, params: dict[str, str]) -> Answer:
    if params.get("instType") not in _INSTRUMENT_TYPES:
        return _bad_parameter("instType")
    wanted = {name: params[name] for name in _FILTERS if name in params}
    rows = [row for row in exchange.instrument_rows() if all(row.get(name) == value for name, value in wanted.items())]
    return unknown_instrument() if "instId" in wanted and not rows else data(rows)


def _books(exchange: Exchange, params: dict[str, str]) -> Answer:
    if "instId" not in params:
        return _bad_parameter("instId")
    depth = params.get("sz", _DEFAULT_DEPTH)
    if not _DEPTH.fullmatch(depth) or int(depth) > CHANNEL_DEPTH:
        return _bad_parameter("sz")
    if params["instId"] not in exchange.inst_ids:
        return unknown_instrument()
    row = exchange.books_row(params["instId"], int(depth))
    return data([] if row is None else [row])


def _sampled(
    row_of: Callable[[str, int], object | None], exchange: Exchange, params: dict[str, str], most: int
) -> Answer:
    if "instId" not in params:
        return _bad_parameter("instId")
    depth = params.get("sz", _DEFAULT_DEPTH)
    if not _FULL_DEPTH.fullmatch(depth) or int(depth) > most:
        return _bad_parameter("sz")
    if params["instId"] not in exchange.inst_ids:
        return unknown_instrument()
    row = row_of(params["instId"], int(depth))
    return data([] if row is None else [row])


def _trades(exchange: Exchange, params: dict[str, str], most: int) -> Answer:
    """The newest trades; those of the past (`most` is a page) older than `after` and newer than `before` by id."""
    if "instId" not in params:
        return _bad_parameter("instId")
    limit = params.get("limit", _DEFAULT_TRADES)
    if not _DEPTH.fullmatch(limit) or int(limit) > most:
        return _bad_parameter("limit")
    bounds: list[int | None] = [None, None]
    if most == _MOST_OF_A_PAGE:
        if params.get("type", "1") != "1":
            return _bad_parameter("type")  # OKX pages by time too, this exchange by trade id alone
        for place, name in enumerate(("after", "before")):
            if name in params and not _TRADE_ID.fullmatch(params[name]):
                return _bad_parameter(name)
            bounds[place] = int(params[name]) if name in params else None
    if params["instId"] not in exchange.inst_ids:
        return unknown_instrument()
    return data(exchange.trades.page(params["instId"], int(limit), *bounds))


def _context(exchange: Exchange, channel: str, params: dict[str, str]) -> Answer:
    """The values that stand, in the form of the websocket's; `system/status` has no `ts`."""
    if channel == STATUS:
        rows = [{name: row[name] for name in row if name != "ts"} for row in exchange.context.newest(STATUS, "")]
        return data([row for row in rows if params.get("state") in (None, row["state"])])
    if channel in (MARK, INTEREST) and params.get("instType") != SWAP:
        return _bad_parameter("instType")
    known, asked = exchange.context.names[channel], params.get("instId")
    if asked is None and channel not in (MARK, INTEREST):
        return _bad_parameter("instId")
    names = sorted(known) if asked is None or (channel == FUNDING and asked == _ANY) else [asked]
    if not known.issuperset(names):
        return unknown_instrument()
    return data([row for name in names for row in exchange.context.newest(channel, name)])


def data(rows: Sequence[object]) -> Answer:
    """What was asked for."""
    return Answer(200, _envelope("0", rows, ""))


def _bad_parameter(name: str) -> Answer:
    return refusal(400, "51000", f"Parameter {name} error.")


def unknown_instrument() -> Answer:
    """Seen live: the status is 200."""
    return refusal(200, "51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")


def refusal(status: int, code: str, message: str) -> Answer:
    """An error in OKX's envelope."""
    return Answer(status, _envelope(code, [], message))


def _envelope(code: str, data: Sequence[object], message: str) -> str:
    """The key order of the captures; the documentation prints `msg` before `data`."""
    return _ENCODER.encode({"code": code, "data": data, "msg": message}).decode()


TOO_MANY_REQUESTS: Final = refusal(429, "50011", "Too Many Requests")
"""Docs: the answer to an address that asks too often."""


_BOOKS: Final = "/api/v5/market/books"
_BOOKS_FULL: Final = "/api/v5/market/books-full"
_BOOKS_RPI: Final = "/api/v5/market/books-rpi"
_PATHS: Final = {
    "books": _BOOKS,
    "books-full": _BOOKS_FULL,
    "books-rpi": _BOOKS_RPI,
    "instruments": "/api/v5/public/instruments",
    "time": "/api/v5/public/time",
    "trades": "/api/v5/market/trades",
    "history-trades": "/api/v5/market/history-trades",
}

_ANSWERS: Final = {
    "429": TOO_MANY_REQUESTS,
    "429-html": Answer(429, "<html><body><h1>429 Too Many Requests</h1></body></html>\n"),
    "403": Answer(403, "<html><body><h1>403 Forbidden</h1>Cloudflare</body></html>\n"),
    "451": Answer(451, "<html><body><h1>451 Unavailable For Legal Reasons</h1></body></html>\n"),
    "50011": refusal(
        200, "50011", "Rate limit reached. Please refer to API documentation and throttle requests accordingly."
    ),
    "51001": unknown_instrument(),
    "500": Answer(500, "<html><body><h1>500 Internal Server Error</h1></body></html>\n"),
    "502": Answer(502, "<html><body><h1>502 Bad Gateway</h1></body></html>\n"),
    "503": Answer(503, "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>\n"),
    "timeout": None,
    "empty": data([]),
}


class RestFaults:
    """The faults of kind `rest`, each with its trigger, counted by the requests it concerns."""

    def __init__(self, schedule: Schedule, exchange: Exchange, exchange_ms: Callable[[], int]) -> None:
        self._faults = [
            (index, fault, schedule.trigger(index))
            for index, fault in enumerate(schedule.faults)
            if fault.kind == "rest"
        ]
        self._schedule = schedule
        self._exchange = exchange
        self._exchange_ms = exchange_ms
        self._requests: Counter[int] = Counter()
        self._past: dict[str, deque[tuple[int, BooksRow]]] = {}
        self._memory_ms = max(
            (fault.number("by") for _, fault, _ in self._faults if fault.word("answer") == "older"), default=0
        )
        if self._memory_ms:
            exchange.watch(self._remember)

    def answer(self, target: str, wall_ms: int) -> Answer | None:
        """As `rest_api.answer`, unless a fault strikes; None leaves the client without an answer."""
        for index, fault, trigger in self._faults:
            if not _concerns(fault, target):
                continue
            self._requests[index] += 1
            if trigger.hits("", self._requests[index], self._exchange_ms()):
                how = fault.word("answer")
                if how == "torn":
                    whole = answer(self._exchange, target, wall_ms)
                    return whole._replace(body=whole.body[: len(whole.body) // 2])
                return self._older(fault, target, wall_ms) if how == "older" else _ANSWERS[how]
        return answer(self._exchange, target, wall_ms)

    def _older(self, fault: Fault, target: str, wall_ms: int) -> Answer:
        """The book as it stood `by` earlier: OKX has several caches, and a later answer may be the older one."""
        url = urlsplit(target)
        params = parse_qs(url.query)
        until_ms = self._schedule.now_ms - fault.number("by")
        past = self._past.get(params.get("instId", [""])[0])
        today = answer(self._exchange, target, wall_ms)
        if url.path != _BOOKS or not past or today.status != 200:
            return today
        row = next((row for ts_ms, row in reversed(past) if ts_ms <= until_ms), past[0][1])
        depth = int(params.get("sz", ["1"])[0])
        return data([msgspec.structs.replace(row, bids=row.bids[:depth], asks=row.asks[:depth])])

    def _remember(self, inst_id: str, change: BookChange, book: Book) -> None:
        row = self._exchange.books_row(inst_id, CHANNEL_DEPTH)
        if row is None:
            return
        now_ms = self._schedule.now_ms
        past = self._past.setdefault(inst_id, deque())
        past.append((now_ms, row))
        while len(past) > 1 and past[1][0] <= now_ms - self._memory_ms:
            past.popleft()


def _concerns(fault: Fault, target: str) -> bool:
    """A fault of one instrument concerns requests that name it, and those that name none."""
    url = urlsplit(target)
    path = fault.word("path")
    if path != "all" and url.path != _PATHS[path]:
        return False
    named = parse_qs(url.query).get("instId")
    return fault.inst_id == ALL_INSTRUMENTS or named is None or fault.inst_id in named
