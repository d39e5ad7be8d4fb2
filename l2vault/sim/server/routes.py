"""Further routes on the two ports of the exchange, for whoever has more to serve there, and HTTP answers of any length.

What is served is not known here. The websocket library parses each request; it has no answer but a whole one.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

_REQUEST_WITHIN_SEC: Final = 10.0


class HttpConnection(ServerConnection):
    """One HTTP request. Nobody ends it while it is answered, however long that takes; a client that asks for nothing is
    cut off."""

    _is_taken_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.loop.call_later(_REQUEST_WITHIN_SEC, self._end_if_silent)

    def take_over(self) -> None:
        """The answer will be of `send_chunks`: what the client sends behind its request, which the library would take
        for frames, is passed over; one that sends no more is taken for gone, as one that closes."""
        self._is_taken_over = True

    def data_received(self, data: bytes) -> None:
        if not self._is_taken_over:
            super().data_received(data)

    def eof_received(self) -> None:
        if self._is_taken_over:
            self.transport.abort()
        else:
            super().eof_received()

    async def send_chunks(self, content_type: str, chunks: AsyncIterator[bytes]) -> None:
        """Answer 200 with these bytes, as fast as the client reads them, and end the connection behind them. What the
        chunks raise ends it short of its end, which clients notice."""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n"
        self.transport.write(f"{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode())
        async for chunk in chunks:
            self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await self.drain()
        self.transport.write(b"0\r\n\r\n")
        self.transport.close()
        await self.wait_closed()

    def _end_if_silent(self) -> None:
        if self.request is None:
            self.transport.abort()


class Routes(Protocol):
    """What else is served, by the path of a request."""

    http_paths: frozenset[str]
    ws_paths: frozenset[str]

    async def answer(self, connection: HttpConnection, request: Request) -> Response | None:
        """To a request for one of the `http_paths`; None where the connection has been answered and ended."""

    async def serve(self, socket: ServerConnection) -> None:
        """A websocket opened on one of the `ws_paths`, until it is closed."""

    async def drained(self) -> None:
        """Returns once nobody is being served."""

    async def stop(self) -> None:
        """End what is being served."""
