"""REST as the probe needs it: every answer with status, headers and round trip, by the recorder's own transport.

Apart from `okx.rest`, whose callers want data or an error: here a refusal is a finding, and headers are too.
"""

from typing import Final, NamedTuple
from urllib.parse import urlencode

import msgspec

from l2vault.book.change import BookChange, Level
from l2vault.clock import Clock
from l2vault.foreign import printable
from l2vault.okx.rest import USER_AGENT, silence
from l2vault.okx.web import Web
from l2vault.probe.network import proxy_to

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
    received_wall_ms: int

    @property
    def is_good(self) -> bool:
        return self.status == 200 and self.code == "0"

    @property
    def said(self) -> str:
        """Status and words, for people."""
        if self.status == 0:
            return self.text
        target = self.headers.get("location")
        to = f" to {printable(target, _QUOTED_CHARS)}, which is not followed" if target else ""
        code = f", code {self.code}" if self.code else ""
        return f"HTTP {self.status}{to}{code}" + (f": {self.text}" if self.text else "")


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
    """Blocking requests to one base address; for a thread."""

    def __init__(self, base_url: str, headers: dict[str, str], timeout_sec: float, clock: Clock) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **headers}
        self._timeout_sec = timeout_sec
        self._clock = clock
        self._web = Web(timeout_sec)

    @property
    def proxy(self) -> str | None:
        """The proxy as it may be printed."""
        return proxy_to(self._base_url)

    def get(self, path: str, **query: str) -> Answer:
        """The answer, or what prevented one; never raises for either. The round trip is that of the request alone."""
        url = f"{self._base_url}{path}" + (f"?{urlencode(query)}" if query else "")
        began_ms = self._clock.monotonic_ms()
        try:
            reply = self._web.get(url, self._headers, self._clock.monotonic_ms)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what came instead of an answer
            text = silence(url, error, self._timeout_sec).message.removeprefix(f"GET {url}: ").removesuffix(".")
            return Answer(path, 0, "", [], {}, text, self._clock.monotonic_ms() - began_ms, self._clock.wall_ms())
        since_ms = self._clock.monotonic_ms() - reply.received_ms
        code, rows, text = _read(reply.body)
        rtt_ms = reply.received_ms - reply.sent_ms
        return Answer(path, reply.status, code, rows, reply.headers, text, rtt_ms, self._clock.wall_ms() - since_ms)

    def close(self) -> None:
        """End what is under way, from any thread."""
        self._web.close()


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
