"""Small proxies on 127.0.0.1 for tests: SOCKS5 and HTTP CONNECT. Whatever name they are asked for leads to one port."""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Asked(list[str]):
    """What the proxy was asked for, as `host:port`, in order; and where it listens."""

    port: int


@asynccontextmanager
async def http_proxy(target_port: int = 0, status: str = "200 OK", password: str | None = None) -> AsyncIterator[Asked]:
    """CONNECT is answered with `status`; `password` is the value of Proxy-Authorization that it wants."""
    asked = Asked()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.split()[1])
        said = status
        if password is not None and f"Proxy-Authorization: {password}" not in head:
            said = "407 Proxy Authentication Required"
        writer.write(f"HTTP/1.1 {said}\r\n\r\n".encode())
        if said.startswith("200"):
            await _join((reader, writer), target_port)

    async with listening(serve) as asked.port:
        yield asked


@asynccontextmanager
async def socks5_proxy(
    target_port: int = 0, reply: int = 0, user: tuple[str, str] | None = None
) -> AsyncIterator[Asked]:
    """`reply` is the code of RFC 1928 in its answer, 0 for success; `user` the name and password that it wants."""
    asked = Asked()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x02" if user else b"\x05\x00")
        if user is not None:
            _, length = await reader.readexactly(2)
            name = await reader.readexactly(length)
            word = await reader.readexactly((await reader.readexactly(1))[0])
            is_right = (name.decode(), word.decode()) == user
            writer.write(b"\x01\x00" if is_right else b"\x01\x01")
            if not is_right:
                return
        _, _, _, kind = await reader.readexactly(4)
        host = "an address"
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            await reader.readexactly(4 if kind == 1 else 16)
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        asked.append(f"{host}:{port}")
        writer.write(bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]))
        if reply == 0:
            await _join((reader, writer), target_port)

    async with listening(serve) as asked.port:
        yield asked


@asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yields the port where `serve` gets every connection. Nothing of it is left afterwards."""
    running: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running[task] = writer
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, writer in running.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)


async def _join(client: Streams, target_port: int) -> None:
    target = await asyncio.open_connection("127.0.0.1", target_port)
    try:
        await asyncio.gather(_pipe(client[0], target[1]), _pipe(target[0], client[1]))
    finally:
        target[1].close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    writer.close()
