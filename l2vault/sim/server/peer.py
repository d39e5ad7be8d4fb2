"""One client connection as OKX answers it, sans-I/O: text and time in, frames to send out.

Knows requests, acknowledgements, errors, subscriptions and OKX's limits; what happens on the market is told to it.
"""

from typing import Annotated, Final

import msgspec

from l2vault.book.change import BookChange
from l2vault.book.trade import TRADES
from l2vault.okx.messages import BOOKS, PING
from l2vault.sim.exchange.books import Exchange, encode_push
from l2vault.sim.exchange.context import CHANNELS, INSTRUMENTS, LIQUIDATIONS, STATUS, encode_context
from l2vault.sim.faults.frame import Frame
from l2vault.sim.faults.request_errors import (
    NO_REQUEST_ERRORS,
    RequestError,
    RequestErrors,
    illegal_request,
    no_such_channel,
)
from l2vault.sim.server.limits import Limits

SILENCE_LIMIT_MS: Final = 30_000
"""Docs, "Connect": the connection breaks if nothing is subscribed or pushed for more than 30 seconds."""

_PONG: Final = "pong"
_COUNTED_OPS: Final = ("subscribe", "unsubscribe")
_LOGIN_CHANNELS: Final = frozenset({"books-l2-tbt", "books50-l2-tbt"})

_LOG_IN: Final = "Please log in"
_TOO_FREQUENT: Final = "Requests too frequent"


_BY_TYPE: Final = frozenset({LIQUIDATIONS, INSTRUMENTS})


class _Arg(msgspec.Struct, frozen=True, omit_defaults=True):
    channel: str = ""
    instId: str = ""
    instType: str = ""

    @property
    def name(self) -> str:
        """What of the channel is meant. Seen live: liquidations take the type alone, and of all its instruments."""
        return "" if self.channel == STATUS else self.instType if self.channel in _BY_TYPE else self.instId

    def taken(self) -> "_Arg":
        """As it is acknowledged: what does not count is silently dropped."""
        if self.channel in _BY_TYPE:
            return _Arg(self.channel, instType=self.instType)
        return _Arg(self.channel, self.instId) if self.channel != STATUS else _Arg(self.channel)


class _Request(msgspec.Struct, frozen=True):
    """Docs: an `id` is up to 32 case-sensitive alphanumerics. `args` is checked apart: `ping` brings none."""

    op: str
    id: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9]{1,32}$")] | None = None
    args: list[_Arg] | None = None


_DECODER: Final = msgspec.json.Decoder(_Request)
_ENCODER: Final = msgspec.json.Encoder()


class ServerSession:
    """The exchange's side of one connection. `now_ms` is monotonic time throughout."""

    def __init__(
        self,
        exchange: Exchange,
        conn_id: str,
        now_ms: int,
        limits: Limits,
        request_errors: RequestErrors = NO_REQUEST_ERRORS,
    ) -> None:
        self.conn_id = conn_id
        self._exchange = exchange
        self._limits = limits
        self._allowance = limits.request_allowance()
        self._request_errors = request_errors
        self._has_book: dict[str, bool] = {}
        self._trades: set[str] = set()
        self._context: set[tuple[str, str]] = set()
        self._last_sign_ms = now_ms

    @property
    def subscriptions(self) -> int:
        """How many channels of instruments it is subscribed to."""
        return len(self._has_book) + len(self._trades) + len(self._context)

    @property
    def wanted(self) -> frozenset[tuple[str, str]]:
        """What it is subscribed to: channel and name."""
        books = {(BOOKS, inst_id) for inst_id in self._has_book}
        return frozenset(books | {(TRADES, inst_id) for inst_id in self._trades} | self._context)

    @property
    def has_context(self) -> bool:
        """Whether it is subscribed to any channel of what stands beside the books."""
        return bool(self._context)

    @property
    def silence_deadline_ms(self) -> int:
        """When OKX gives the connection up, should nothing pass in either direction until then."""
        return self._last_sign_ms + SILENCE_LIMIT_MS

    def receive(self, text: str, now_ms: int) -> list[Frame]:
        """The answers to one received frame, to be sent in order before anything that happens later."""
        self._last_sign_ms = now_ms
        if text == PING:
            return [Frame(_PONG)]
        try:
            request = _DECODER.decode(text)
        except msgspec.DecodeError:
            return [self._illegal(text, None)]
        # Seen live: {"op":"ping"} is not a keepalive but an illegal request.
        if request.op == PING:
            return [self._illegal(text, request.id)]
        if request.op not in _COUNTED_OPS:
            return [self._error("60019", f"Invalid op: {request.op}", request.id)]
        if not self._limits.allows_request(self._allowance, self.conn_id, now_ms):
            return [self._error("60014", _TOO_FREQUENT, request.id)]
        if request.args is None:
            return [self._illegal(text, request.id)]
        return self._answer(request, request.args, text)

    def takes(self, change: BookChange) -> bool:
        """Whether this push goes to this client. Nothing does before a full book, which ends the wait for one."""
        if change.inst_id not in self._has_book:
            return False
        if change.is_snapshot:
            self._has_book[change.inst_id] = True
        return self._has_book[change.inst_id]

    def lose_book(self, inst_id: str) -> bool:
        """The exchange has no book of it any more. Whether the client was sent one."""
        if not self._has_book.get(inst_id, False):
            return False
        self._has_book[inst_id] = False
        return True

    def takes_trades(self, inst_id: str) -> bool:
        """Whether trades of this instrument go to this client."""
        return inst_id in self._trades

    def takes_context(self, channel: str, name: str) -> bool:
        """Whether pushes of this channel and arg go to this client."""
        return (channel, name) in self._context

    def note_sent(self, now_ms: int) -> None:
        """A frame has been handed to the socket."""
        self._last_sign_ms = now_ms

    def note_oversized(self) -> None:
        """The connection ends because of a request of more than 64 KB."""
        self._limits.note_oversized(self.conn_id)

    def _answer(self, request: _Request, args: list[_Arg], text: str) -> list[Frame]:
        """One ack or error for each arg, in order, and then the full books of the fresh subscriptions."""
        if not args:
            return [self._error("60013", "Invalid args", request.id)]
        refused: dict[str, RequestError] = {}
        for error in self._request_errors.to_request(request.op, [arg.instId for arg in args]):
            if error.inst_id is None:
                return [self._error(error.code, error.message(request.op, text, BOOKS), request.id)]
            refused[error.inst_id] = error
        replies: list[Frame] = []
        full_books: list[Frame] = []
        for arg in args:
            objected = refused.get(arg.instId)
            if objected is not None:
                message = objected.message(request.op, text, arg.channel)
                replies.append(self._error(objected.code, message, request.id))
            elif (refusal := self._refusal(arg, request.id)) is not None:
                replies.append(refusal)
            else:
                replies.append(self._event(request.id, {"event": request.op, "arg": arg.taken()}))
                full_books += self._carry_out(request.op, arg)
        return replies + full_books

    def _carry_out(self, op: str, arg: _Arg) -> list[Frame]:
        """The full book that a fresh subscription starts with; a repeated one is only acknowledged."""
        inst_id = arg.instId
        if arg.channel == TRADES:
            (self._trades.add if op == "subscribe" else self._trades.discard)(inst_id)
            return []
        if arg.channel in CHANNELS:
            return self._carry_out_context(op, arg)
        if op == "unsubscribe":
            self._has_book.pop(inst_id, None)
            return []
        if inst_id in self._has_book:
            return []
        full_book = self._exchange.full_book(inst_id)
        self._has_book[inst_id] = full_book is not None
        return [] if full_book is None else [Frame(encode_push(full_book), full_book)]

    def _carry_out_context(self, op: str, arg: _Arg) -> list[Frame]:
        """A fresh subscription is given what stands; one of `instruments` the whole list."""
        key = arg.channel, arg.name
        if op == "unsubscribe" or key in self._context:
            (self._context.discard if op == "unsubscribe" else self._context.add)(key)
            return []
        self._context.add(key)
        rows = self._exchange.instrument_rows() if arg.channel == INSTRUMENTS else self._exchange.context.newest(*key)
        return [Frame(encode_context(*key, rows))] if rows else []

    def _refusal(self, arg: _Arg, request_id: str | None) -> Frame | None:
        """The error for an arg that cannot be subscribed; the others of its request are not concerned."""
        if arg.channel in _LOGIN_CHANNELS:
            return self._error("60011", _LOG_IN, request_id)
        if arg.channel in (BOOKS, TRADES) and arg.instId in self._exchange.inst_ids:
            return None
        if arg.name in self._exchange.context.names.get(arg.channel, ()):
            return None
        return self._error("60018", no_such_channel(arg.channel, arg.instId), request_id)

    def _illegal(self, text: str, request_id: str | None) -> Frame:
        return self._error("60012", illegal_request(text), request_id)

    def _error(self, code: str, message: str, request_id: str | None) -> Frame:
        """The wire's key order, `event, msg, code`; the documentation prints `code` first."""
        return self._event(request_id, {"event": "error", "msg": message, "code": code})

    def _event(self, request_id: str | None, body: dict[str, object]) -> Frame:
        head = {} if request_id is None else {"id": request_id}
        return Frame(_ENCODER.encode(head | body | {"connId": self.conn_id}).decode())
