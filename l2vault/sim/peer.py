"""One client connection as OKX answers it, sans-I/O: text and time in, frames to send out.

Knows requests, acknowledgements, errors, subscriptions and OKX's limits; what happens on the market is told to it.
"""

from collections import deque
from typing import Annotated, Final

import msgspec

from l2vault.book.change import BookChange
from l2vault.okx.messages import BOOKS, PING
from l2vault.sim.exchange import Exchange

REQUEST_LIMIT_BYTES: Final = 64 * 1024
"""Docs, "Subscribe": the total length of the channels in one request is at most 64 KB; more is close code 1009."""

SILENCE_LIMIT_MS: Final = 30_000
"""Docs, "Connect": the connection breaks if nothing is subscribed or pushed for more than 30 seconds."""

_REQUESTS_AN_HOUR: Final = 480
"""Docs, "Connect": subscribe, unsubscribe and login together, for each connection. Counted by request, not by arg."""

_HOUR_MS: Final = 3_600_000

_PONG: Final = "pong"
_COUNTED_OPS: Final = ("subscribe", "unsubscribe")
_LOGIN_CHANNELS: Final = frozenset({"books-l2-tbt", "books50-l2-tbt"})

_LOG_IN: Final = "Please log in"
_TOO_FREQUENT: Final = "Requests too frequent"


class _Arg(msgspec.Struct, frozen=True):
    channel: str = ""
    instId: str = ""


class _Request(msgspec.Struct, frozen=True):
    """Docs: an `id` is up to 32 case-sensitive alphanumerics. `args` is checked apart: `ping` brings none."""

    op: str
    id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9]{1,32}$")] | None = None
    args: list[_Arg] | None = None


_DECODER: Final = msgspec.json.Decoder(_Request)
_ENCODER: Final = msgspec.json.Encoder()


class Peer:
    """The exchange's side of one connection. `now_ms` is monotonic time throughout."""

    def __init__(self, exchange: Exchange, conn_id: str, now_ms: int) -> None:
        self.conn_id = conn_id
        self._exchange = exchange
        self._has_book: dict[str, bool] = {}
        self._request_times_ms: deque[int] = deque()
        self._last_sign_ms = now_ms

    @property
    def subscriptions(self) -> int:
        """How many instruments it is subscribed to."""
        return len(self._has_book)

    @property
    def silence_deadline_ms(self) -> int:
        """When OKX gives the connection up, should nothing pass in either direction until then."""
        return self._last_sign_ms + SILENCE_LIMIT_MS

    def receive(self, text: str, now_ms: int) -> list[str]:
        """The answers to one received frame, to be sent in order before anything that happens later."""
        self._last_sign_ms = now_ms
        if text == PING:
            return [_PONG]
        try:
            request = _DECODER.decode(text)
        except msgspec.DecodeError:
            return [self._illegal(text, None)]
        # Seen live: {"op":"ping"} is not a keepalive but an illegal request.
        if request.op == PING:
            return [self._illegal(text, request.id)]
        if request.op not in _COUNTED_OPS:
            return [self._error("60019", f"Invalid op: {request.op}", request.id)]
        if self._is_too_frequent(now_ms):
            return [self._error("60014", _TOO_FREQUENT, request.id)]
        if request.args is None:
            return [self._illegal(text, request.id)]
        return self._answer(request.op, request.args, request.id)

    def takes(self, change: BookChange) -> bool:
        """Whether this push goes to this client. Nothing does before a full book, which ends the wait for one."""
        if change.inst_id not in self._has_book:
            return False
        if change.is_snapshot:
            self._has_book[change.inst_id] = True
        return self._has_book[change.inst_id]

    def note_sent(self, now_ms: int) -> None:
        """A frame has been handed to the socket."""
        self._last_sign_ms = now_ms

    def _answer(self, op: str, args: list[_Arg], request_id: str | None) -> list[str]:
        """One ack or error for each arg, in order, and then the full books of the fresh subscriptions."""
        if not args:
            return [self._error("60013", "Invalid args", request_id)]
        replies: list[str] = []
        full_books: list[str] = []
        for arg in args:
            error = self._refusal(arg, request_id)
            replies.append(error or self._ack(op, arg, request_id))
            if error is None and op == "subscribe":
                full_books += self._subscribe(arg.instId)
            elif error is None:
                self._has_book.pop(arg.instId, None)
        return replies + full_books

    def _subscribe(self, inst_id: str) -> list[str]:
        """The full book that a fresh subscription starts with; a repeated one is only acknowledged."""
        if inst_id in self._has_book:
            return []
        full_book = self._exchange.full_book(inst_id)
        self._has_book[inst_id] = full_book is not None
        return [] if full_book is None else [full_book]

    def _refusal(self, arg: _Arg, request_id: str | None) -> str | None:
        """The error for an arg that cannot be subscribed; the others of its request are not concerned."""
        if arg.channel in _LOGIN_CHANNELS:
            return self._error("60011", _LOG_IN, request_id)
        if arg.channel == BOOKS and arg.instId in self._exchange.inst_ids:
            return None
        message = (
            f"Wrong URL or channel:{arg.channel}, instId:{arg.instId} doesn't exist. "
            "Please use the correct URL, channel and parameters referring to API document."
        )
        return self._error("60018", message, request_id)

    def _is_too_frequent(self, now_ms: int) -> bool:
        """Counts a request into the last hour, unless the hour is full."""
        times = self._request_times_ms
        while times and times[0] <= now_ms - _HOUR_MS:
            times.popleft()
        if len(times) >= _REQUESTS_AN_HOUR:
            return True
        times.append(now_ms)
        return False

    def _ack(self, op: str, arg: _Arg, request_id: str | None) -> str:
        return self._event(request_id, {"event": op, "arg": arg})

    def _illegal(self, text: str, request_id: str | None) -> str:
        return self._error("60012", f"Illegal request: {text}", request_id)

    def _error(self, code: str, message: str, request_id: str | None) -> str:
        """The wire's key order, `event, msg, code`; the documentation prints `code` first."""
        return self._event(request_id, {"event": "error", "msg": message, "code": code})

    def _event(self, request_id: str | None, body: dict[str, object]) -> str:
        head = {} if request_id is None else {"id": request_id}
        return _ENCODER.encode(head | body | {"connId": self.conn_id}).decode()
