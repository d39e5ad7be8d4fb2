"""OKX's public REST interface as far as a recorder asks it: instruments, books, trades, time. Pure.

Rate limits are kept elsewhere (`limits`); envelopes and refusals are those seen on OKX.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.sim.exchange import Exchange

_INSTRUMENT_TYPES: Final = frozenset({"SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION"})
_DEFAULT_DEPTH: Final = "1"
_DEPTH: Final = re.compile("[1-9][0-9]{0,2}")
_TRADE_ID: Final = re.compile("[0-9]{1,18}")
_DEFAULT_TRADES: Final = "100"
_MOST_TRADES: Final = 500
_MOST_OF_A_PAGE: Final = 100
_FILTERS: Final = ("instType", "instFamily", "instId")

_ENCODER: Final = msgspec.json.Encoder()


class Answer(NamedTuple):
    """An HTTP status and a body: JSON, but where something in front of OKX answers in its place."""

    status: int
    body: str


def answer(exchange: Exchange, target: str, now_ms: int) -> Answer:
    """The answer to GET `target` (path and query). `now_ms` is wall time, for `/public/time`."""
    url = urlsplit(target)
    params = dict(parse_qsl(url.query))
    if url.path == "/api/v5/public/time":
        return data([{"ts": str(now_ms)}])
    if url.path == "/api/v5/public/instruments":
        return _instruments(exchange, params)
    if url.path == "/api/v5/market/books":
        return _books(exchange, params)
    if url.path == "/api/v5/market/trades":
        return _trades(exchange, params, _MOST_TRADES)
    if url.path == "/api/v5/market/history-trades":
        return _trades(exchange, params, _MOST_OF_A_PAGE)
    return refusal(404, "404", "Not Found")


def _instruments(exchange: Exchange, params: dict[str, str]) -> Answer:
    if params.get("instType") not in _INSTRUMENT_TYPES:
        return _bad_parameter("instType")
    wanted = {name: params[name] for name in _FILTERS if name in params}
    rows = [row for row in exchange.instrument_rows() if all(row.get(name) == value for name, value in wanted.items())]
    return unknown_instrument() if "instId" in wanted and not rows else data(rows)


def _books(exchange: Exchange, params: dict[str, str]) -> Answer:
    if "instId" not in params:
        return _bad_parameter("instId")
    depth = params.get("sz", _DEFAULT_DEPTH)
    if not _DEPTH.fullmatch(depth) or int(depth) > CHANNEL_DEPTH:
        return _bad_parameter("sz")
    if params["instId"] not in exchange.inst_ids:
        return unknown_instrument()
    row = exchange.books_row(params["instId"], int(depth))
    return data([] if row is None else [row])


def _trades(exchange: Exchange, params: dict[str, str], most: int) -> Answer:
    """The newest trades; those of the past (`most` is a page) older than `after` and newer than `before` by id."""
    if "instId" not in params:
        return _bad_parameter("instId")
    limit = params.get("limit", _DEFAULT_TRADES)
    if not _DEPTH.fullmatch(limit) or int(limit) > most:
        return _bad_parameter("limit")
    bounds: list[int | None] = [None, None]
    if most == _MOST_OF_A_PAGE:
        if params.get("type", "1") != "1":
            return _bad_parameter("type")  # OKX pages by time too, this exchange by trade id alone
        for place, name in enumerate(("after", "before")):
            if name in params and not _TRADE_ID.fullmatch(params[name]):
                return _bad_parameter(name)
            bounds[place] = int(params[name]) if name in params else None
    if params["instId"] not in exchange.inst_ids:
        return unknown_instrument()
    return data(exchange.trades.page(params["instId"], int(limit), *bounds))


def data(rows: Sequence[object]) -> Answer:
    """What was asked for."""
    return Answer(200, _envelope("0", rows, ""))


def _bad_parameter(name: str) -> Answer:
    return refusal(400, "51000", f"Parameter {name} error.")


def unknown_instrument() -> Answer:
    """Seen live: the status is 200."""
    return refusal(200, "51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")


def refusal(status: int, code: str, message: str) -> Answer:
    """An error in OKX's envelope."""
    return Answer(status, _envelope(code, [], message))


def _envelope(code: str, data: Sequence[object], message: str) -> str:
    """The key order of the captures; the documentation prints `msg` before `data`."""
    return _ENCODER.encode({"code": code, "data": data, "msg": message}).decode()


TOO_MANY_REQUESTS: Final = refusal(429, "50011", "Too Many Requests")
"""Docs: the answer to an address that asks too often."""
