"""OKX's public REST interface, one blocking request a call; for a thread. What failed is told by the error's class.

Retries nothing and knows no vault: callers have `backoff_sec` and decide.
"""

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import SplitResult, urlencode, urlsplit

import msgspec

from l2vault import __version__
from l2vault.book.change import BookChange, Level
from l2vault.errors import RestError, UsageError

if TYPE_CHECKING:  # urllib.request brings ssl and http: 40 ms that a process without a request need not pay
    from random import Random
    from urllib.request import OpenerDirector

USER_AGENT: Final = f"l2vault/{__version__}"
"""OKX answers Python-urllib's own with 403."""
LARGEST_BODY_BYTES: Final = 4 * 1024 * 1024
"""A book of 400 levels is 30 KB, the rows of all swaps are 400 KB."""
FIRST_BACKOFF_SEC: Final = 1.0
LONGEST_BACKOFF_SEC: Final = 60.0
LONGEST_RETRY_AFTER_SEC: Final = 600
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_QUOTED_CHARS: Final = 200
_TIME: Final = re.compile("[0-9]{1,14}")
"""Milliseconds up to the year 5138; a longer number may be none that can be written as `timestamp_utc`."""
_UNREADABLE: Final = (ValueError, RecursionError)
"""msgspec's errors and that of invalid UTF-8 are ValueErrors; the other is for nesting so deep that it gives up."""
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
    seqId: int | None = None


class _Time(msgspec.Struct):
    ts: str


class _Answer(NamedTuple):
    url: str
    status: int
    retry_after: str | None
    location: str | None
    body: bytes


_Part = TypeVar("_Part", _Named, _Book, _Time)


class OkxRest:
    """Requests to one base URL, such as `https://www.okx.com`. Every method raises RestError or a subclass of it.

    `timeout_sec` bounds each wait on the network: for the connection, and for the next bytes of the answer.
    """

    def __init__(self, base_url: str, timeout_sec: float) -> None:
        """Raises UsageError for anything but an http or https URL."""
        parts = _checked(base_url)
        self._base_url = base_url.rstrip("/")
        self._is_loopback = parts.hostname in LOOPBACK
        self._timeout_sec = timeout_sec
        self._opener: OpenerDirector | None = None

    def instrument(self, inst_id: str) -> bytes:
        """OKX's row of a swap, a JSON object, byte for byte as sent."""
        answer = self._get("/api/v5/public/instruments", instType="SWAP", instId=inst_id)
        for row in _data(answer):
            if _read(row, _Named, answer).instId == inst_id:
                return bytes(row)
        raise _unknown(answer)

    def book(self, inst_id: str, depth: int) -> BookChange:
        """The full book, at most `depth` (1 to 400) levels a side.

        OKX serves it from several caches: it may be older than one fetched before, its `seq_id` tells.
        """
        answer = self._get("/api/v5/market/books", instId=inst_id, sz=str(depth))
        rows = _data(answer)
        if not rows:
            raise _unknown(answer)
        book = _read(rows[0], _Book, answer)
        ts_ms = _milliseconds(book.ts or "0", answer) or None  # both say nothing, as on the websocket
        return BookChange(inst_id, True, book.bids, book.asks, ts_ms, book.seqId, None, None)

    def server_time_ms(self) -> int:
        """OKX's clock, some network delay ago."""
        answer = self._get("/api/v5/public/time")
        rows = _data(answer)
        if not rows:
            raise _unreadable(answer, "no time in it")
        return _milliseconds(_read(rows[0], _Time, answer).ts, answer)

    def _get(self, path: str, **query: str) -> _Answer:
        """Whatever the server says, with any status; raises Unavailable if it says nothing."""
        from http.client import HTTPException
        from urllib.request import Request

        url = f"{self._base_url}{path}" + (f"?{urlencode(query)}" if query else "")
        request = Request(url, headers={"User-Agent": USER_AGENT, "Accept": "application/json"})
        if self._opener is None:
            self._opener = _opener(self._is_loopback)
        try:
            with self._opener.open(request, timeout=self._timeout_sec) as response:
                headers = response.headers
                body = response.read(LARGEST_BODY_BYTES + 1)
        except (OSError, HTTPException, UnicodeError) as error:  # the last: a host name that no DNS can hold
            raise _silent(url, error, self._timeout_sec) from error
        answer = _Answer(url, response.status, headers.get("Retry-After"), headers.get("Location"), body)
        if len(body) > LARGEST_BODY_BYTES:
            raise _unreadable(answer, f"more than {LARGEST_BODY_BYTES} bytes")
        return answer


def backoff_sec(attempt: int, rng: "Random", retry_after_sec: int | None = None) -> float:
    """Seconds to wait after failure number `attempt`, counted from 0: exponential with full jitter, capped.

    What the server asked for comes on top, so that many clients told the same time do not come back at once.
    """
    longest = min(LONGEST_BACKOFF_SEC, FIRST_BACKOFF_SEC * 2 ** min(attempt, 16))
    return min(retry_after_sec or 0, LONGEST_RETRY_AFTER_SEC) + rng.uniform(0, longest)


def _checked(base_url: str) -> SplitResult:
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
    return parts


def _opener(is_loopback: bool) -> "OpenerDirector":
    """An opener that returns answers of every status as they are and follows no redirect.

    Certificates are verified against the system's store. Proxies of the environment are used, but never to reach
    this very machine.
    """
    import ssl
    from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler

    opener = OpenerDirector()
    opener.add_handler(ProxyHandler({} if is_loopback else None))
    opener.add_handler(HTTPHandler())
    opener.add_handler(HTTPSHandler(context=ssl.create_default_context()))
    return opener


def _data(answer: _Answer) -> list[msgspec.Raw]:
    """The rows of a good answer; every other answer is raised as what it means."""
    try:
        envelope = msgspec.json.decode(answer.body, type=_Envelope)
    except _UNREADABLE:
        raise _refusal(answer, None) from None
    code = str(envelope.code)
    if answer.status == 200 and code == "0":
        return envelope.data
    raise _refusal(answer, code)


def _refusal(answer: _Answer, code: str | None) -> RestError:
    """What an answer without data means. `code` is None where the body is not OKX's envelope."""
    said = _said(answer)
    if code in _UNKNOWN_CODES:
        return _unknown(answer)
    if answer.status == 429 or code in _THROTTLE_CODES:
        return Throttled(said, "ask less often; OKX counts the requests of your whole address", _seconds(answer))
    if answer.status in (403, 451):
        return Forbidden(said, "see whether OKX serves your country and network, or name another host with --rest-url")
    if answer.status >= 500 or code in _UNAVAILABLE_CODES or (code is None and answer.status < 300):
        return Unavailable(said, "again later; https://www.okx.com/status tells of outages", _seconds(answer))
    return RestError(said, "check --rest-url; OKX's API guide lists the codes")


def _unknown(answer: _Answer) -> UnknownInstrument:
    return UnknownInstrument(_said(answer), "check the name at OKX: a live perpetual swap, such as BTC-USDT-SWAP")


def _unreadable(answer: _Answer, reason: str) -> RestError:
    cure = "check --rest-url; if it is OKX, its format has changed"
    return RestError(f"{_said(answer)} That cannot be used: {reason}.", cure)


def _silent(url: str, error: Exception, timeout_sec: float) -> Unavailable:
    import ssl

    reason = getattr(error, "reason", error)  # URLError wraps what happened
    if isinstance(reason, TimeoutError):
        return Unavailable(f"GET {url}: no answer within {timeout_sec:g} s.", "check the network, then again later")
    cure = "check the network and --rest-url; a proxy is taken from the variable HTTPS_PROXY"
    if isinstance(reason, ssl.SSLCertVerificationError):
        cure = "check this computer's clock and certificates; something between here and OKX may be reading along"
    return Unavailable(f"GET {url}: {type(reason).__name__}: {reason}.", cure)


def _said(answer: _Answer) -> str:
    text = answer.body[: 4 * _QUOTED_CHARS].decode("utf-8", "replace")
    quoted = repr(text[:_QUOTED_CHARS]) + ("..." if len(text) > _QUOTED_CHARS else "")
    to = f" to {answer.location}" if answer.location else ""
    return f"GET {answer.url} was answered with HTTP {answer.status}{to}: {quoted}."


def _seconds(answer: _Answer) -> int | None:
    """Retry-After in its form of seconds; as a date it would need a clock, and OKX documents neither."""
    text = answer.retry_after or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _read(row: msgspec.Raw, kind: type[_Part], answer: _Answer) -> _Part:
    try:
        return msgspec.json.decode(row, type=kind)
    except _UNREADABLE as error:
        raise _unreadable(answer, str(error)) from error


def _milliseconds(text: str, answer: _Answer) -> int:
    if not _TIME.fullmatch(text):
        raise _unreadable(answer, f"ts is {text[:_QUOTED_CHARS]!r}")
    return int(text)
