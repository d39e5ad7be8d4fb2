"""REST as the probe needs it: every answer with status, headers and round trip, over a connection that is kept.

Apart from `okx.rest`, whose callers want data or an error: here a refusal is a finding, and headers are too.
"""

import base64
import socket
import ssl
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

import msgspec

from l2vault.book.change import BookChange, Level
from l2vault.clock import Clock
from l2vault.okx.proxies import UnusableProxy
from l2vault.okx.rest import USER_AGENT
from l2vault.okx.web import LARGEST_BODY_BYTES
from l2vault.probe.network import error_text, proxy_of, without_password

_QUOTED_CHARS: Final = 80
_UNREADABLE: Final = (ValueError, RecursionError)


class Answer(NamedTuple):
    """What REST said to one request. `status` 0: nothing; `text` is then why."""

    path: str
    status: int
    code: str
    """OKX's own, empty where the body is not OKX's."""
    rows: list[msgspec.Raw]
    headers: dict[str, str]
    text: str
    rtt_ms: int
    sent_wall_ms: int
    received_wall_ms: int

    @property
    def is_good(self) -> bool:
        return self.status == 200 and self.code == "0"

    @property
    def said(self) -> str:
        """Status and words, for people."""
        if self.status == 0:
            return self.text
        return (
            f"HTTP {self.status}" + (f", code {self.code}" if self.code else "") + (f": {self.text}" * bool(self.text))
        )


class _Envelope(msgspec.Struct):
    code: str | int
    data: list[msgspec.Raw] = []
    msg: str = ""


class _Book(msgspec.Struct):
    asks: list[Level]
    bids: list[Level]
    ts: str
    seqId: int | None = None


class _Time(msgspec.Struct):
    ts: str


class RestClient:
    """Blocking requests to one base address, one at a time; for a thread."""

    def __init__(self, base_url: str, headers: dict[str, str], timeout_sec: float, clock: Clock) -> None:
        self._parts = urlsplit(base_url)
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **headers}
        self._timeout_sec = timeout_sec
        self._clock = clock
        self._proxy, self._unusable = None, None
        try:
            self._proxy = proxy_of(base_url)
        except UnusableProxy as error:
            self._unusable = error
        self._connection: HTTPConnection | None = None
        self._is_reset = False

    @property
    def proxy(self) -> str | None:
        """The proxy as it may be printed."""
        return None if self._proxy is None else without_password(self._proxy)

    def get(self, path: str, **query: str) -> Answer:
        """The answer, or what prevented one; never raises for either. The round trip is that of the request alone."""
        target = self._parts.path.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        was_kept = self._connection is not None
        answer = self._ask(path, target)
        # The server may have closed a kept connection in between, which says nothing about it.
        return self._ask(path, target) if was_kept and answer.status == 0 and self._is_reset else answer

    def _ask(self, path: str, target: str) -> Answer:
        sent_wall_ms, sent_ms = self._clock.wall_ms(), self._clock.monotonic_ms()
        self._is_reset = False
        try:
            connection = self._connected()
            sent_wall_ms, sent_ms = self._clock.wall_ms(), self._clock.monotonic_ms()
            connection.request("GET", target, headers=self._headers)
            response = connection.getresponse()
            body = response.read(LARGEST_BODY_BYTES)
        except (OSError, HTTPException, ValueError, UnusableProxy) as error:
            self.close()
            self._is_reset = isinstance(error, ConnectionError)
            rtt_ms = self._clock.monotonic_ms() - sent_ms
            return Answer(path, 0, "", [], {}, _why(error), rtt_ms, sent_wall_ms, self._clock.wall_ms())
        rtt_ms, received_wall_ms = self._clock.monotonic_ms() - sent_ms, self._clock.wall_ms()
        if response.will_close:
            self.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        code, rows, text = _read(body)
        return Answer(path, response.status, code, rows, headers, text, rtt_ms, sent_wall_ms, received_wall_ms)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                if connection.sock is not None:
                    connection.sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for the answer
            connection.close()

    def _connected(self) -> HTTPConnection:
        """A connection that stands, so that a request's time does not hold that of making one."""
        if self._connection is None:
            connection = self._new()
            connection.connect()
            self._connection = connection
        return self._connection

    def _new(self) -> HTTPConnection:
        parts, is_secure = self._parts, self._parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if is_secure else 80)
        if self._unusable is not None:
            raise self._unusable
        if self._proxy is None:
            return self._plain_or_tls(host, port)
        proxy = urlsplit(self._proxy)
        if proxy.scheme != "http":
            raise ValueError(f"REST cannot go through the proxy {self.proxy}: only http:// proxies")
        connection = self._plain_or_tls(proxy.hostname or "", proxy.port or 80)
        connection.set_tunnel(host, port, _authorization(proxy))
        return connection

    def _plain_or_tls(self, host: str, port: int) -> HTTPConnection:
        if self._parts.scheme == "https":
            return HTTPSConnection(host, port, timeout=self._timeout_sec, context=ssl.create_default_context())
        return HTTPConnection(host, port, timeout=self._timeout_sec)


def book_of(answer: Answer, inst_id: str) -> BookChange | None:
    """The full book in an answer, None where there is none or it cannot be read."""
    try:
        book = msgspec.json.decode(answer.rows[0], type=_Book)
        ts_ms = int(book.ts or "0") or None
    except (IndexError, *_UNREADABLE):
        return None
    return BookChange(inst_id, True, book.bids, book.asks, ts_ms, book.seqId, None, None)


def time_of(answer: Answer) -> int | None:
    """OKX's clock in an answer of `/public/time`."""
    try:
        return int(msgspec.json.decode(answer.rows[0], type=_Time).ts)
    except (IndexError, *_UNREADABLE):
        return None


def row_of(answer: Answer) -> dict[str, object]:
    """The first row of an answer, empty where there is none."""
    try:
        row = msgspec.json.decode(answer.rows[0])
    except (IndexError, *_UNREADABLE):
        return {}
    return row if isinstance(row, dict) else {}


def _read(body: bytes) -> tuple[str, list[msgspec.Raw], str]:
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
    except _UNREADABLE:
        text = " ".join(body[:400].decode("utf-8", "replace").split())
        return "", [], repr(text[:_QUOTED_CHARS])
    return str(envelope.code), envelope.data, envelope.msg[:_QUOTED_CHARS]


def _authorization(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, UnusableProxy):
        return str(error)
    return error_text(error)
