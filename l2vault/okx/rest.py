"""OKX's public REST interface, one blocking request a call; for a thread. What failed is told by the error's class.

Every exception is a RestError, whatever the server sends and the environment says. Retries nothing, knows no vault.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import BookChange, Level
from l2vault.book.deep import FULL, RPI, DeepChannel, DeepLevel, DeepSample, best_first
from l2vault.book.price import price_key
from l2vault.book.trade import TradePush, trade_fault
from l2vault.errors import LevelError, RestError, UsageError
from l2vault.foreign import printable
from l2vault.okx.proxies import UnusableProxy
from l2vault.okx.web import LARGEST_BODY_BYTES, Closed, Reply, Web
from l2vault.version import __version__

USER_AGENT: Final = f"l2vault/{__version__}"
"""OKX answers Python-urllib's own with 403."""

_LONGEST_RETRY_AFTER_SEC: Final = 600
_QUOTED_CHARS: Final = 200
_TIME: Final = re.compile("[0-9]{1,14}")
"""Milliseconds up to the year 5138; a longer number may be none that can be written as `timestamp_utc`."""
_UNREADABLE: Final = (ValueError, RecursionError)
"""msgspec's errors and that of invalid UTF-8 are ValueErrors; the other is for nesting so deep that it gives up."""
_ORDERS: Final = re.compile("[0-9]{1,18}")
_UNKNOWN_CODES: Final = frozenset({"51001"})
_THROTTLE_CODES: Final = frozenset({"50011"})
_UNAVAILABLE_CODES: Final = frozenset({"50001", "50004", "50005", "50013", "50026"})


class UnknownInstrument(RestError):
    """OKX does not know the instrument: asking again soon is useless."""


class Forbidden(RestError):
    """Not from here or not like this (403, 451): asking again soon makes it worse."""


class TryLater(RestError):
    """Likely to pass. `retry_after_sec` is what the server asked for, None if it named no time."""

    def __init__(self, message: str, cure: str, retry_after_sec: int | None = None) -> None:
        super().__init__(message, cure)
        self.retry_after_sec = retry_after_sec


def wait_sec(error: Exception | None, own_sec: float) -> float:
    """How long to wait after an error: `own_sec`, or what the server asked for where that is more, up to ten minutes.
    A longer wait would leave an absurd answer in charge of us."""
    asked_sec = error.retry_after_sec if isinstance(error, TryLater) else None
    return max(own_sec, min(asked_sec or 0, _LONGEST_RETRY_AFTER_SEC))


class Throttled(TryLater):
    """More requests than OKX allows (HTTP 429, or code 50011 under any status)."""


class Unavailable(TryLater):
    """No connection, no answer in time, 5xx, an outage code, or a body that is not OKX's JSON."""


class _Envelope(msgspec.Struct):
    code: str | int
    data: list[msgspec.Raw] = []
    msg: str = ""


class _Named(msgspec.Struct):
    instId: str


class _Book(msgspec.Struct):
    asks: list[Level]
    bids: list[Level]
    ts: str
    seqId: Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)] | None = None


class _DeepBook(msgspec.Struct):
    asks: list[DeepLevel]
    bids: list[DeepLevel]
    ts: str
    seqId: Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)] | None = None


class _Time(msgspec.Struct):
    ts: str


class _Trade(msgspec.Struct):
    instId: str
    tradeId: str
    px: str
    sz: str
    side: str
    ts: str
    source: str | None = None


class _Answer(NamedTuple):
    url: str
    reply: Reply


class ServerTime(NamedTuple):
    """OKX's clock: `ts_ms` was shown at some moment of the `rtt_ms` that ended at `mono_ms` of the caller's clock."""

    ts_ms: int
    rtt_ms: int
    mono_ms: int


_Part = TypeVar("_Part", _Named, _Book, _DeepBook, _Time, _Trade)
_Value = TypeVar("_Value")


class OkxRest:
    """Requests to one base URL, such as `https://www.okx.com`. Every method raises RestError or a subclass of it.

    `timeout_sec` bounds the whole of a request, from the look-up of the name to the last byte; `headers` go with each.
    """

    def __init__(self, base_url: str, timeout_sec: float, headers: Mapping[str, str] | None = None) -> None:
        """Raises UsageError for anything but an http or https URL."""
        _check(base_url)
        self._base_url = base_url.rstrip("/")
        self._timeout_sec = timeout_sec
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json"} | dict(headers or {})
        self._web = Web(timeout_sec)

    def close(self) -> None:
        """End every request under way at once, from any thread: it raises Unavailable, and so does each later one."""
        self._web.close()

    def instrument(self, inst_id: str) -> bytes:
        """OKX's row of a swap, a JSON object, byte for byte as sent."""

        def read(answer: _Answer) -> bytes:
            for row in _data(answer):
                if _read(row, _Named, answer).instId == inst_id:
                    return bytes(row)
            raise _unknown(answer)

        return self._ask(read, "/api/v5/public/instruments", instType="SWAP", instId=inst_id)

    def swap_names(self) -> list[str]:
        """The names of all swaps that OKX lists."""

        def read(answer: _Answer) -> list[str]:
            return [_read(row, _Named, answer).instId for row in _data(answer)]

        return self._ask(read, "/api/v5/public/instruments", instType="SWAP")

    def book(self, inst_id: str, depth: int) -> BookChange:
        """The full book, at most `depth` (1 to 400) levels a side, every level a price and a quantity that can be.

        OKX serves it from several caches: it may be older than one fetched before, its `seq_id` tells.
        """

        def read(answer: _Answer) -> BookChange:
            rows = _data(answer)
            if not rows:
                raise _unknown(answer)
            book = _read(rows[0], _Book, answer)
            for side in (book.bids, book.asks):
                _check_levels([(price, quantity, orders) for price, quantity, _, orders in side], answer, CHANNEL_DEPTH)
            ts_ms = _milliseconds(book.ts or "0", answer) or None  # both say nothing, as on the websocket
            return BookChange(inst_id, True, book.bids, book.asks, ts_ms, book.seqId, None, None)

        return self._ask(read, "/api/v5/market/books", instId=inst_id, sz=str(depth))

    def full_book(self, inst_id: str, now_us: Callable[[], int], depth: int = FULL.depth) -> DeepSample:
        """The book far beyond the channel's 400 levels, at most `depth` (1 to 5000) a side, each level checked.

        OKX, "Get full order book" (2026-07): renewed once a second, 10 requests in 2 s, levels `[price, quantity,
        orders]`, no `seqId`. `now_us` is read as the answer is read.
        """
        return self._sample(FULL, inst_id, now_us, depth)

    def rpi_book(self, inst_id: str, now_us: Callable[[], int], depth: int = RPI.depth) -> DeepSample:
        """The book with the RPI orders that can be traded now, at most `depth` (1 to 400) a side, each level checked.

        OKX, "GET / RPI order book" (2026-08): renewed each 200 ms, 20 requests in 2 s, levels `[price, totalQty,
        nonRpiQty, count]`, and the `seqId` of the channel `books-rpi`. An instrument that nobody quotes so, and one of
        which OKX does not know what can be traded, has levels whose two quantities are equal. `now_us` is read as the
        answer is read.
        """
        return self._sample(RPI, inst_id, now_us, depth)

    def _sample(self, channel: DeepChannel, inst_id: str, now_us: Callable[[], int], depth: int) -> DeepSample:
        def read(answer: _Answer) -> DeepSample:
            recv_us = now_us()
            rows = _data(answer)
            if not rows:
                raise _unknown(answer)
            book = _read(rows[0], _DeepBook, answer)
            for side in (book.bids, book.asks):
                if any(len(level) != channel.fields for level in side):
                    raise _unreadable(answer, f"a level has not {channel.fields} parts")
                _check_levels(side, answer, channel.depth)
            ts_ms = _milliseconds(book.ts or "0", answer)
            if not ts_ms:
                raise _unreadable(answer, "it says no time")
            bids, asks = best_first(book.bids, True), best_first(book.asks, False)
            return DeepSample(inst_id, ts_ms, bids, asks, book.seqId, recv_us, kind=channel.kind)

        return self._ask(read, channel.path, lambda: 0, instId=inst_id, sz=str(depth))

    def trades(
        self, inst_id: str, older_than: int | None, now_us: Callable[[], int], limit: int = 100
    ) -> list[TradePush]:
        """At most `limit` (1 to 100) single trades, newest first, their ids below `older_than`; None: the newest.

        OKX, "Get trades history" (2026-07): the last three months, 20 requests in 2 s; `type=1` pages by `tradeId`.
        `now_us` is read as the answer is read.
        """
        query = {"instId": inst_id, "type": "1", "limit": str(limit)}
        if older_than is not None:
            query["after"] = str(older_than)

        def read(answer: _Answer) -> list[TradePush]:
            recv_us = now_us()
            rows = [_read(row, _Trade, answer) for row in _data(answer)]
            found = [
                TradePush(
                    row.instId,
                    *(row.tradeId, row.px, row.sz, row.side, row.ts, None, row.source, None),
                    *(recv_us, "rest"),
                )
                for row in rows
            ]
            below = older_than
            for one in found:
                fault = trade_fault(one) if one.inst_id == inst_id else f"a trade of {printable(one.inst_id)}"
                if fault is None and below is not None and one.last_id >= below:
                    fault = f"tradeId {one.trade_id} is not below {below}"
                if fault is not None:
                    raise _unreadable(answer, fault)
                below = one.last_id
            return found

        return self._ask(read, "/api/v5/market/history-trades", lambda: 0, **query)

    def archive_index(self, query: Mapping[str, str]) -> list[bytes]:
        """The rows of the index of OKX's archive, JSON objects byte for byte as sent (`history.index` reads them).

        OKX, "Get historical market data" (2026-08): 5 requests in 2 s.
        """
        return self._ask(
            lambda answer: [bytes(row) for row in _data(answer)],
            "/api/v5/public/market-data-history",
            lambda: 0,
            **query,
        )

    def server_time_ms(self) -> int:
        """OKX's clock, some network delay ago."""
        return self.server_time(lambda: 0).ts_ms

    def server_time(self, monotonic_ms: Callable[[], int]) -> ServerTime:
        """OKX's clock against the caller's, which is read as the request leaves and as its answer comes."""

        def read(answer: _Answer) -> ServerTime:
            rows = _data(answer)
            if not rows:
                raise _unreadable(answer, "no time in it")
            ts_ms = _milliseconds(_read(rows[0], _Time, answer).ts, answer)
            sent_ms, received_ms = answer.reply.sent_ms, answer.reply.received_ms
            return ServerTime(ts_ms, received_ms - sent_ms, received_ms)

        return self._ask(read, "/api/v5/public/time", monotonic_ms)

    def _ask(
        self, read: Callable[[_Answer], _Value], path: str, now_ms: Callable[[], int] = lambda: 0, **query: str
    ) -> _Value:
        """The door of this module: whatever happens behind it leaves as a RestError."""
        url = f"{self._base_url}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            reply = self._web.get(url, self._headers, now_ms)
        except Exception as error:
            raise silence(url, error, self._timeout_sec) from error
        answer = _Answer(url, reply)
        if len(reply.body) > LARGEST_BODY_BYTES:
            raise _unreadable(answer, f"more than {LARGEST_BODY_BYTES} bytes")
        try:
            return read(answer)
        except RestError:
            raise
        except Exception as error:
            raise _unreadable(answer, f"{type(error).__name__}: {error}") from error


def _check(base_url: str) -> None:
    cure = "an address like https://www.okx.com"
    try:
        parts = urlsplit(base_url)
        _ = parts.port  # checked when it is read
    except ValueError as error:
        raise UsageError(f"the REST address {base_url!r} is impossible: {error}.", cure) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"the REST address {base_url!r} is not one of a web server.", cure)
    if parts.username is not None:
        raise UsageError("the REST address holds a user name, and OKX's public interface needs none.", cure)


def _data(answer: _Answer) -> list[msgspec.Raw]:
    """The rows of a good answer; every other answer is raised as what it means."""
    try:
        envelope = msgspec.json.decode(answer.reply.body, type=_Envelope)
    except _UNREADABLE:
        raise _refusal(answer, None) from None
    code = str(envelope.code)
    if answer.reply.status == 200 and code == "0":
        return envelope.data
    raise _refusal(answer, code)


def _refusal(answer: _Answer, code: str | None) -> RestError:
    """What an answer without data means. `code` is None where the body is not OKX's envelope."""
    said = _said(answer)
    if code in _UNKNOWN_CODES:
        return _unknown(answer)
    if answer.reply.status == 429 or code in _THROTTLE_CODES:
        return Throttled(said, "ask less often; OKX counts the requests of your whole address", _seconds(answer))
    if answer.reply.status in (403, 451):
        return Forbidden(said, "see whether OKX serves your country and network, or name another host with --rest-url")
    if answer.reply.status >= 500 or code in _UNAVAILABLE_CODES or (code is None and answer.reply.status < 300):
        return Unavailable(said, "again later; https://www.okx.com/status tells of outages", _seconds(answer))
    return RestError(said, "check --rest-url; OKX's API guide lists the codes")


def _unknown(answer: _Answer) -> UnknownInstrument:
    return UnknownInstrument(_said(answer), "check the name at OKX: a live perpetual swap, such as BTC-USDT-SWAP")


def _unreadable(answer: _Answer, reason: str) -> RestError:
    cure = "check --rest-url; if it is OKX, its format has changed"
    return RestError(f"{_said(answer)} That cannot be used: {reason}.", cure)


def silence(url: str, error: Exception, timeout_sec: float) -> Unavailable:
    """What it means that a request of `web.Web` was not answered."""
    import ssl

    if isinstance(error, Closed):
        return Unavailable(f"GET {url}: ended by us.", "nothing to do")
    if isinstance(error, TimeoutError):
        return Unavailable(f"GET {url}: no answer within {timeout_sec:g} s.", "check the network, then again later")
    if isinstance(error, UnusableProxy):
        return Unavailable(f"GET {url}: {error.message}.", error.cure)
    cure = "check the network and --rest-url; a proxy is taken from the variable HTTPS_PROXY"
    if isinstance(error, ssl.SSLCertVerificationError):
        cure = (
            "check this computer's clock and certificates; something between here and OKX may be reading along. Where "
            "that is your organisation's, name the file of its certificate in SSL_CERT_FILE (docs/network.md)"
        )
    return Unavailable(f"GET {url}: {type(error).__name__}: {printable(str(error))}.", cure)


def _said(answer: _Answer) -> str:
    text = answer.reply.body[: 4 * _QUOTED_CHARS].decode("utf-8", "replace")
    quoted = repr(text[:_QUOTED_CHARS]) + ("..." if len(text) > _QUOTED_CHARS else "")
    location = answer.reply.headers.get("location")
    to = f" to {printable(location)}" if location else ""
    return f"GET {answer.url} was answered with HTTP {answer.reply.status}{to}: {quoted}."


def _seconds(answer: _Answer) -> int | None:
    """Retry-After in its form of seconds; as a date it would need a clock, and OKX documents neither."""
    text = answer.reply.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _read(row: msgspec.Raw, kind: type[_Part], answer: _Answer) -> _Part:
    try:
        return msgspec.json.decode(row, type=kind)
    except _UNREADABLE as error:
        raise _unreadable(answer, printable(str(error))) from error


def _check_levels(levels: Sequence[DeepLevel], answer: _Answer, most: int) -> None:
    """A side that no book could have is refused here, where its sender can still be named. A level is a price, a
    quantity, of `books-rpi` the part of it that no RPI order holds, and how many orders."""
    if len(levels) > most:
        raise _unreadable(answer, f"{len(levels)} levels on a side, where {most} are the most")
    prices = set()
    for price, quantity, *parts, orders in levels:
        try:
            prices.add(price_key(price))
            held = price_key(quantity)
            is_more = any(price_key(part) > held for part in parts)
        except LevelError as error:
            raise _unreadable(answer, printable(str(error))) from error
        if not held or not _ORDERS.fullmatch(orders):
            raise _unreadable(answer, f"a level of {printable(f'{quantity} in {orders} orders')}")
        if is_more:
            raise _unreadable(answer, f"a level of {printable(f'{quantity} in all, {parts[0]} of it without RPI')}")
    if len(prices) < len(levels):
        raise _unreadable(answer, "a price stands twice on a side")


def _milliseconds(text: str, answer: _Answer) -> int:
    if not _TIME.fullmatch(text):
        raise _unreadable(answer, f"ts is {text[:_QUOTED_CHARS]!r}")
    return int(text)
