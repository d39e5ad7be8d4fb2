"""The exchange of the feed benchmark: frames encoded before anyone connects, sent as fast as the client reads.

    python benchmarks/feed/server.py FRAMES_FILE INST_ID

Prints its two addresses as a line of JSON and ends with its stdin. Every subscription to `books` gets the whole file
from the start. REST is the simulator's own, so that every client finds the instrument rows it asks for.
"""

import asyncio
import json
import sys
import time
from http import HTTPStatus
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.sim.server.rest import answer

BLOCK_BYTES = 64 * 1024
BACKLOG_BYTES = 512 * 1024
PAUSE_SEC = 0.0005


class Feed:
    """One file of frames for any number of connections, one after the other."""

    def __init__(self, frames: Path, inst_id: str) -> None:
        self._blocks = _blocks(frames)
        self._exchange = Exchange([inst_id], {inst_id: instrument_row(inst_id)})

    async def serve(self, connection: ServerConnection) -> None:
        sending: asyncio.Task[None] | None = None
        try:
            async for text in connection:
                if text == "ping":
                    await connection.send("pong")
                    continue
                request = json.loads(text)
                for arg in request.get("args", []):
                    ack = {"event": request["op"], "arg": arg, "connId": "a4d3ae55"}
                    await connection.send(json.dumps({"id": request["id"], **ack} if "id" in request else ack))
                    if sending is None and request["op"] == "subscribe" and arg.get("channel") == "books":
                        sending = asyncio.create_task(self._send(connection))
        except ConnectionClosed:
            pass
        finally:
            if sending is not None:
                sending.cancel()

    async def _send(self, connection: ServerConnection) -> None:
        transport = connection.transport
        for block in self._blocks:
            while transport.get_write_buffer_size() > BACKLOG_BYTES:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(PAUSE_SEC)
            if transport.is_closing():
                return
            transport.write(block)

    async def rest(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/ws/"):
            return None
        said = answer(self._exchange, request.path, time.time_ns() // 1_000_000)
        response = connection.respond(HTTPStatus(said.status), said.body)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response


def _blocks(frames: Path) -> list[bytes]:
    """The websocket frames themselves, joined: what a server sends is not masked, so it can be made beforehand."""
    blocks, block = [], bytearray()
    for line in frames.read_bytes().splitlines():
        block += Frame(Opcode.TEXT, line).serialize(mask=False)
        if len(block) >= BLOCK_BYTES:
            blocks.append(bytes(block))
            block.clear()
    return [*blocks, bytes(block)]


async def main() -> None:
    feed = Feed(Path(sys.argv[1]), sys.argv[2])
    async with serve(
        feed.serve, "127.0.0.1", 0, process_request=feed.rest, compression=None, ping_interval=None
    ) as server:
        host, port = server.sockets[0].getsockname()[:2]
        addresses = {"ws_url": f"ws://{host}:{port}/ws/v5/public", "rest_url": f"http://{host}:{port}"}
        print(json.dumps(addresses), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
