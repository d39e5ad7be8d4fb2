"""The routes of the screen: the page, `/api`, `/trades.arrow`, `/live`, `/metrics`, `/livez`, `/readyz`. Knows HTTP;
what is read runs in threads, so that the event loop never waits for a disk or for arithmetic."""

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Final, get_args

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from l2vault.clock import Clock
from l2vault.errors import L2VaultError, UsageError, VaultError
from l2vault.vault.coverage.model import Source
from l2vault.vault.reading.sources import RECORDED, sources_named
from l2vault.version import __version__
from l2vault.web.ahead import begin_ahead
from l2vault.web.answers import Answers, Form, as_json
from l2vault.web.arrow import ARROW
from l2vault.web.guard import COOKIE, App, Guard, Guarded
from l2vault.web.live import POLL_SEC, Live
from l2vault.web.openapi import BINARY, JSON, PROMETHEUS, openapi
from l2vault.web.opened import Opened
from l2vault.web.tile_files import TileFiles
from l2vault.web.tiles import Tiles
from l2vault.web.turns import Turns

_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_READERS: Final = 2
_TILERS: Final = 1
_COLUMNS: Final = 1600
_LEVELS: Final = 10
_BOOKS: Final = 500
_FEW_BOOKS: Final = 100
"""A page asks for so many that it lacks: they do not wait behind what programs ask for in bulk."""
_TRADES: Final = 100_000
_MOST_TRADES: Final = 1_000_000
_VENUES: Final = ("okx", "okex")
_MARKETS: Final = ("linear", "inverse")
"""As flowsurface calls them."""
_COOKIE_SEC: Final = 30 * 24 * 3600
_MOST_PRICE: Final = 1e9
_UNKNOWN_INSTRUMENT: Final = 4404
_OTHERS_BYTES: Final = 16 << 20


class Screen:
    """The application over the vault at `root`. `stop` ends its threads. Tiles of past hours are kept in `cache`, if
    there is one; `trim` is called behind each piece of work that took much memory."""

    def __init__(  # noqa: PLR0913 - two say what, the others are what it is given
        self,
        root: Path,
        guard: Guard,
        clock: Clock,
        poll_sec: float = POLL_SEC,
        cache: Path | None = None,
        trim: Callable[[], object] = lambda: None,
    ) -> None:
        self._guard = guard
        self._tiling = ThreadPoolExecutor(_TILERS, "tiles")
        self._reading = ThreadPoolExecutor(_READERS, "reading")
        self._measuring = ThreadPoolExecutor(1, "measuring")
        self._beside = ThreadPoolExecutor(1, "beside")
        self._rows = ThreadPoolExecutor(1, "rows")
        """What programs ask for in bulk takes a minute, and nothing that says how the recorder is waits for it."""
        files, turns = None if cache is None else TileFiles(cache), Turns(trim)
        self._tiles = Tiles(root, self._tiling, clock, turns, files)
        self._answers = Answers(root, self._tiles, clock, turns)
        self._with_sources: dict[tuple[Source, ...], Answers] = {}
        self._new_answers = partial(_answers_of, root, self._tiling, clock, turns)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._begin_ahead = partial(begin_ahead, self._tiles, clock, self._stopped)
        self._live = Live(root, poll_sec)
        self._files = _static_files()
        routes = self._routes()
        self.paths = [route.path for route in routes]
        self.app: App = Guarded(Starlette(routes=routes), guard)

    def make_ahead(self) -> None:
        """Begin to make tiles of the last week before anybody asks; `stop` ends that too."""
        self._begin_ahead()

    def stop(self) -> None:
        """What is being read ends by itself, and nobody waits for it."""
        self._stopped.set()
        self._live.stop()
        for pool in (self._tiling, self._reading, self._measuring, self._beside, self._rows):
            pool.shutdown(wait=False, cancel_futures=True)

    def _routes(self) -> list[Route | WebSocketRoute]:
        pages = [Route("/" if name == "index.html" else f"/{name}", self._page(name)) for name in self._files]
        return [
            *pages,
            Route("/api/instruments", self._instruments),
            Route("/api/books", self._books),
            Route("/api/walls", self._walls),
            Route("/api/zones", self._zones),
            Route("/api/trades", self._trades),
            Route("/api/beside", self._besides),
            Route("/api/coverage", self._coverage),
            Route("/api/ladder", self._ladder),
            Route("/api/cell", self._cell),
            Route("/api/status", self._status),
            Route("/api/session", self._session, methods=["POST"]),
            Route("/api/openapi.json", self._openapi),
            Route("/trades.arrow", self._trades_arrow),
            Route("/metrics", self._metrics),
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            WebSocketRoute("/live", self._follow),
        ]

    def _asked(self, request: Request) -> Answers:
        """Who answers, by the sources that were asked for. Raises UsageError for what is none."""
        sources = sources_named(request.query_params.get("sources", RECORDED[0]))
        if sources == RECORDED:
            return self._answers
        with self._lock:
            if sources not in self._with_sources:
                self._with_sources[sources] = self._new_answers(sources)
            return self._with_sources[sources]

    def _page(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        body, kind = self._files[name], _KINDS[Path(name).suffix]

        async def page(request: Request) -> Response:
            return Response(body, media_type=kind)

        return page

    async def _instruments(self, request: Request) -> Response:
        return await self._answered(self._reading, lambda: self._asked(request).instruments())

    async def _status(self, request: Request) -> Response:
        return await self._answered(self._reading, lambda: self._answers.status(_name(request)))

    async def _books(self, request: Request) -> Response:
        def books() -> bytes:
            prices = _number(request, "low"), _number(request, "high")
            asked = (prices[0], prices[1]) if prices[0] is not None and prices[1] is not None else None
            if asked is not None and not asked[0] < asked[1] < _MOST_PRICE:
                raise UsageError("low is not below high, or no price is so high.", "low=59000&high=61000")
            span = _ms(request, "from"), _ms(request, "to")
            columns = int(_number(request, "columns") or _COLUMNS)
            of = request.query_params.get("of", "mean")
            if of not in ("mean", "max"):
                raise UsageError("of is neither mean nor max.", "of=max")
            return self._asked(request).books(_name(request), *span, columns, asked, "max" if of == "max" else "mean")

        def rows() -> bytes:
            span = _ms(request, "from"), _ms(request, "to")
            levels, limit = int(_number(request, "levels") or _LEVELS), int(_number(request, "limit") or _BOOKS)
            return self._asked(request).rows_of_books(_name(request), *span, levels, limit, _form(request))

        if "format" in request.query_params or _form(request) == "arrow":
            return await self._tabled(self._reading if _are_few(request) else self._rows, request, rows)
        return await self._answered(self._reading, books, BINARY)

    async def _walls(self, request: Request) -> Response:
        def walls() -> bytes:
            return self._asked(request).walls(_name(request), _at(request), _form(request))

        return await self._tabled(self._measuring, request, walls)

    async def _zones(self, request: Request) -> Response:
        def zones() -> bytes:
            return self._asked(request).zones(_name(request), _at(request), _form(request))

        return await self._tabled(self._measuring, request, zones)

    async def _trades(self, request: Request) -> Response:
        def trades() -> bytes:
            span = _ms(request, "from"), _ms(request, "to")
            return self._asked(request).trades(_name(request), *span, _form(request))

        return await self._tabled(self._reading, request, trades)

    async def _besides(self, request: Request) -> Response:
        def beside() -> bytes:
            columns = int(_number(request, "columns") or _COLUMNS)
            return self._asked(request).beside(_name(request), _ms(request, "from"), _ms(request, "to"), columns)

        return await self._answered(self._beside, beside)

    async def _coverage(self, request: Request) -> Response:
        def coverage() -> bytes:
            span = _ms(request, "from"), _ms(request, "to")
            return self._asked(request).coverage(_name(request), *span, _form(request))

        return await self._tabled(self._reading, request, coverage)

    async def _trades_arrow(self, request: Request) -> Response:
        def trades() -> bytes:
            asked = request.query_params
            if asked.get("venue", "").lower() not in _VENUES or asked.get("market", "").lower() not in _MARKETS:
                raise UsageError("venue or market is not recorded here.", "venue=okex&market=linear, or inverse")
            limit = _number(request, "limit") or _TRADES
            if not 1 <= limit <= _MOST_TRADES:
                raise UsageError("limit is out of range.", f"limit={_TRADES}, up to {_MOST_TRADES}")
            bounds = [None if name not in asked else _ms(request, name) for name in ("from", "to")]
            market, symbol = asked["market"].lower(), asked.get("symbol", "")
            return self._asked(request).every_trade(market, symbol, bounds[0], bounds[1], int(limit))

        return await self._answered(self._rows, trades, ARROW)

    async def _ladder(self, request: Request) -> Response:
        return await self._answered(self._reading, lambda: self._asked(request).ladder(_name(request), _at(request)))

    async def _cell(self, request: Request) -> Response:
        def cell() -> bytes:
            low, high = _number(request, "low"), _number(request, "high")
            if low is None or high is None:
                raise UsageError("low or high is missing.", "low=59000&high=59010")
            return self._asked(request).cell(_name(request), _ms(request, "t"), low, high)

        return await self._answered(self._measuring, cell)

    async def _session(self, request: Request) -> Response:
        """Whoever came through the guard with the token in `Authorization` gets it as a cookie that no script reads."""
        response = Response(b"{}", media_type=JSON)
        if self._guard.token is not None:
            response.set_cookie(
                COOKIE, self._guard.token, max_age=_COOKIE_SEC, httponly=True, samesite="strict", path="/"
            )
        return response

    async def _openapi(self, request: Request) -> Response:
        return Response(as_json(openapi(__version__)), media_type=JSON)

    async def _metrics(self, request: Request) -> Response:
        return await self._answered(self._reading, self._answers.metrics, PROMETHEUS)

    async def _livez(self, request: Request) -> Response:
        """Open to all that reach the screen, so it says no more than yes or no."""
        is_live = await asyncio.get_running_loop().run_in_executor(self._reading, self._answers.is_live)
        return Response(as_json({"live": is_live}), 200 if is_live else 503, media_type=JSON)

    async def _readyz(self, request: Request) -> Response:
        reasons = await asyncio.get_running_loop().run_in_executor(self._reading, self._answers.unready)
        said = {"ready": not reasons, "reasons": reasons}
        return Response(as_json(said), 503 if reasons else 200, media_type=JSON)

    async def _follow(self, socket: WebSocket) -> None:
        asked = socket.query_params.get("inst", "")
        loop = asyncio.get_running_loop()
        await socket.accept()
        try:
            inst_id = await loop.run_in_executor(self._reading, self._answers.held, asked)
        except VaultError:
            await socket.close(_UNKNOWN_INSTRUMENT)
            return
        page = self._live.open(inst_id)
        sending = asyncio.create_task(_send_all(socket, page.next))
        try:
            while True:  # the page says nothing; that it went away is known by reading
                await socket.receive_text()
        except (WebSocketDisconnect, RuntimeError, KeyError):
            pass
        finally:
            self._live.close(inst_id, page)
            sending.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await sending

    async def _tabled(self, pool: ThreadPoolExecutor, request: Request, answer: Callable[[], bytes]) -> Response:
        if request.query_params.get("format", "json") not in get_args(Form):
            return _refused(UsageError("format is neither json nor arrow.", "format=json"), 400)
        return await self._answered(pool, answer, JSON if _form(request) == "json" else ARROW)

    async def _answered(self, pool: ThreadPoolExecutor, answer: Callable[[], bytes], kind: str = JSON) -> Response:
        try:
            body = await asyncio.get_running_loop().run_in_executor(pool, answer)
        except UsageError as error:
            return _refused(error, 400)
        except VaultError as error:
            return _refused(error, 404)
        return Response(body, media_type=kind)


def _answers_of(
    root: Path, tiling: ThreadPoolExecutor, clock: Clock, turns: Turns, sources: tuple[Source, ...]
) -> Answers:
    """Tiles of other sources than the page's are not kept on disk: programs seldom ask for the same ones again."""
    tiles = Tiles(Opened(root, sources), tiling, clock, turns, most_bytes=_OTHERS_BYTES)
    return Answers(root, tiles, clock, turns)


def _refused(error: L2VaultError, status: int) -> Response:
    return Response(as_json({"error": error.message, "cure": error.cure}), status, media_type=JSON)


async def _send_all(socket: WebSocket, next_message: Callable[[], Awaitable[bytes]]) -> None:
    while True:
        message = await next_message()
        await socket.send_text(message.decode())


def _static_files() -> dict[str, bytes]:
    """The page's files by name, read once: what a request names is looked up here and nowhere else."""
    folder = files("l2vault.web").joinpath("static")
    return {each.name: each.read_bytes() for each in folder.iterdir() if Path(each.name).suffix in _KINDS}


def _name(request: Request) -> str:
    return request.query_params.get("inst", "")


def _form(request: Request) -> Form:
    """By `format`, otherwise by what the client accepts."""
    asked = request.query_params.get("format", "")
    return "arrow" if asked == "arrow" or (not asked and ARROW in request.headers.get("accept", "")) else "json"


def _are_few(request: Request) -> bool:
    """Whether no more books are asked for than a page lacks at once."""
    limit = request.query_params.get("limit", "")
    return limit.isascii() and limit.isdigit() and len(limit) < 4 and 0 < int(limit) <= _FEW_BOOKS


def _at(request: Request) -> int | None:
    return None if "t" not in request.query_params else _ms(request, "t")


def _ms(request: Request, name: str) -> int:
    value = _number(request, name)
    if value is None or not 0 <= value < 1 << 45:
        raise UsageError(f"{name} is no time.", f"{name}=1786000000000, in ms since 1970")
    return int(value)


def _number(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name} is no number.", f"{name}=1")
    return value
