"""The floor: the websocket library that l2vault uses and an untyped decode of each frame, nothing else."""

import asyncio
import json

import msgspec
from meter import Meter, arguments
from websockets.asyncio.client import connect


async def main() -> None:
    ws_url, _, inst_id, count = arguments()
    meter = Meter(count)
    decode = msgspec.json.Decoder().decode
    async with connect(ws_url, compression=None, ping_interval=None, max_size=None, proxy=None) as websocket:
        await websocket.send(json.dumps({"op": "subscribe", "args": [{"channel": "books", "instId": inst_id}]}))
        while True:
            frame = decode(await websocket.recv(decode=False))
            if "data" in frame and meter.note():
                break
    meter.report()


asyncio.run(main())
