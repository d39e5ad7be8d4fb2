"""The bytes of one connection on their way out: as they come, in small pieces, cut off half-way, or not at all.

Stands between the websocket library and the operating system, so that whatever either of them sends keeps its order.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection
from websockets.server import ServerProtocol

from l2vault.sim.faults.plan import ConnectionSlot, Fault


class Wire(asyncio.Transport):
    """A transport as the library expects it, in front of the real one."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._held: bytearray | None = None
        self._is_gone = False
        self.is_deaf = False
        """Swallow everything, the library's own answers and its closing too; only `abort` and `vanish` still work."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_deaf or self._is_gone or self.is_closing():
            return
        if self._held is None:
            self._transport.write(data)
        else:
            self._held += data

    def hold(self) -> None:
        """Keep back what is written from now on, until `let_go` or `cut`."""
        self._held = bytearray()

    async def trickle(self, piece_bytes: int, pause: Callable[[], Awaitable[None]]) -> None:
        """Write what is held, and what comes meanwhile, piece by piece with a `pause` after each."""
        while self._held and not self.is_closing():
            self._transport.write(bytes(self._held[:piece_bytes]))
            del self._held[:piece_bytes]
            await pause()

    def let_go(self) -> None:
        """Write at once what is still held."""
        held, self._held = self._held, None
        if held:
            self.write(bytes(held))

    def cut(self, keep_bytes: int) -> None:
        """Write the first bytes held, drop the others, and end the connection behind them."""
        held, self._held = self._held or bytearray(), None
        self.write(bytes(held[:keep_bytes]))
        self.vanish()

    def vanish(self) -> None:
        """End the connection without a close frame (1006), behind all that was written before."""
        self._is_gone = True
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def close(self) -> None:
        if not self.is_deaf:
            self._transport.close()

    def write_eof(self) -> None:
        if not self.is_deaf:
            self._transport.write_eof()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._transport.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)


@dataclass(slots=True)
class Handshake:
    """A client from its first byte on: the faults of its connection, and its slot once it was accepted."""

    struck: list[Fault]
    is_over_limit: bool
    leave: Callable[["Handshake"], None]
    slot: ConnectionSlot | None = None

    def fault(self, kind: str) -> Fault | None:
        return next((fault for fault in self.struck if fault.kind == kind), None)

    @property
    def is_dropped(self) -> bool:
        """Whether its connection is not even to be heard."""
        refusal = self.fault("refuse")
        return refusal is not None and refusal.word("how") == "tcp"


class WiredConnection(ServerConnection):
    """The library's connection on a `Wire`. `begin` is called as soon as the client is there."""

    def __init__(
        self, begin: Callable[[], Handshake], protocol: ServerProtocol, server: Server, **options: Any
    ) -> None:
        super().__init__(protocol, server, **options)
        self._begin = begin
        self.attempt: Handshake
        self.wire: Wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        self.attempt = self._begin()
        if self.attempt.is_dropped:
            transport.abort()
        else:
            self.wire = Wire(transport)
            super().connection_made(self.wire)

    def connection_lost(self, exc: Exception | None) -> None:
        self.attempt.leave(self.attempt)
        if not self.attempt.is_dropped:
            super().connection_lost(exc)

    async def send_in_pieces(self, text: str, piece_bytes: int, pause: Callable[[], Awaitable[None]]) -> None:
        """As `send`, in pieces too small for whoever takes one read for one frame."""
        self.wire.hold()
        try:
            await self.send(text)
            await self.wire.trickle(piece_bytes, pause)
        finally:
            self.wire.let_go()

    async def send_cut(self, text: str, keep_bytes: int) -> None:
        """As `send`, but the connection ends in the middle of the frame; at least one byte of it is missing."""
        self.wire.hold()
        await self.send(text)
        self.wire.cut(min(keep_bytes, len(text.encode()) - 1))
