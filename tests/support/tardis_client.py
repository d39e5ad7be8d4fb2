"""A client of tardis-machine's routes that knows only their documents, and the server it asks."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from l2vault.clock import Clock
from l2vault.replay.tardis.routes import TardisRoutes
from l2vault.sim.server.server import SimOptions, Simulator
from support.virtual import running_clock


class Site(NamedTuple):
    """Addresses of the two ports, and what serves."""

    http: str
    ws: str
    routes: TardisRoutes
    simulator: Simulator


@asynccontextmanager
async def serving(root, clock: Clock | None = None) -> AsyncIterator[Site]:
    """The routes on a vault, beside an exchange that has nothing to do with it."""
    found: list[Any] = []
    routes = TardisRoutes(root, found.append, clock or running_clock())
    simulator = Simulator(SimOptions(inst_ids=("SOL-USDT-SWAP",)), running_clock(), routes=routes)
    await simulator.start()
    try:
        http, ws = simulator.rest_url, simulator.ws_url.rpartition("/ws/")[0]
        yield Site(http, ws, routes, simulator)
    finally:
        await simulator.stop()
    assert not found


def target(path: str, options: Any, **params: str) -> str:
    query = "".join(f"&{name}={quote(value)}" for name, value in params.items())
    return f"/{path}?options={quote(json.dumps(options))}{query}"


async def lines(site: Site, path: str, options: Any, **params: str) -> list[str]:
    """The lines of an answer."""
    status, body = await asked(site, target(path, options, **params))
    assert status == 200, body
    return body.splitlines()


async def messages(site: Site, path: str, options: Any, **params: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in await lines(site, path, options, **params)]


async def asked(site: Site, path: str) -> tuple[int, str]:
    return await asyncio.to_thread(_get, site.http + path)


def _get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url) as answer:
            assert answer.headers["Content-Type"] == "application/x-json-stream"
            return answer.status, answer.read().decode()
    except HTTPError as error:
        assert error.headers["Content-Type"] == "application/json"
        return error.code, json.loads(error.read())["message"]


async def received(site: Site, path: str, *requests: Any) -> tuple[list[Any], int, str]:
    """What a websocket brings until it is closed, and with which code and reason."""
    found: list[Any] = []
    async with connect(site.ws + path, proxy=None) as socket:
        for request in requests:
            await socket.send(request if isinstance(request, str) else json.dumps(request))
        try:
            while True:
                text = await socket.recv()
                found.append(text if text == "pong" else json.loads(text))
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return found, closed.rcvd.code, closed.rcvd.reason


class Book:
    """Rebuilt from `book_change` as Tardis documents it; None before the first full one."""

    def __init__(self) -> None:
        self.sides: tuple[dict[float, float], dict[float, float]] | None = None

    def take(self, message: dict[str, Any]) -> None:
        if message["isSnapshot"]:
            self.sides = {}, {}
        assert self.sides is not None, "an update before the first full book"
        for side, levels in zip(self.sides, (message["bids"], message["asks"]), strict=True):
            for level in levels:
                if level["amount"]:
                    side[level["price"]] = level["amount"]
                else:
                    side.pop(level["price"], None)


def subscribe(*args: tuple[str, str]) -> dict[str, Any]:
    return {"op": "subscribe", "args": [{"channel": channel, "instId": name} for channel, name in args]}
