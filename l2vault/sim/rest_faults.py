"""What REST answers instead where a plan says so, and the earlier books for an answer that is older than the stream.

Pure: exchange time and a target in, an answer out; None where there is to be none at all.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange
from l2vault.sim.exchange import BooksRow, Exchange
from l2vault.sim.fault_plan import ALL_INSTRUMENTS, Fault
from l2vault.sim.rest_api import TOO_MANY_REQUESTS, Answer, answer, data, refusal, unknown_instrument
from l2vault.sim.schedule import Schedule

_BOOKS: Final = "/api/v5/market/books"
_PATHS: Final = {
    "books": _BOOKS,
    "instruments": "/api/v5/public/instruments",
    "time": "/api/v5/public/time",
    "trades": "/api/v5/market/trades",
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
    """The faults of kind `rest`, each with its strikes, counted by the requests it concerns."""

    def __init__(self, schedule: Schedule, exchange: Exchange, exchange_ms: Callable[[], int]) -> None:
        self._faults = [
            (index, fault, schedule.strikes(index))
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
        for index, fault, strikes in self._faults:
            if not _concerns(fault, target):
                continue
            self._requests[index] += 1
            if strikes.hits("", self._requests[index], self._exchange_ms()):
                how = fault.word("answer")
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
