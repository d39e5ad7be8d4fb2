"""What programs may ask the screen and what it answers, as an OpenAPI 3.1 document. Pure.

A test compares its paths with the routes and its schemas with real answers: objects have these keys and no others.
"""

from typing import Any, Final

import pyarrow as pa

from l2vault.vault.coverage.model import STATES
from l2vault.web.arrow import ARROW, BOOKS, HOLES, TRADES, WALLS, ZONES

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"

Schema = dict[str, Any]

_INTEGER: Final[Schema] = {"type": "integer"}
_NUMBER: Final[Schema] = {"type": "number"}
_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_TIME: Final[Schema] = {"type": "integer", "description": "ms since 1970, exchange time"}


def _object(**names: Schema) -> Schema:
    return {"type": "object", "properties": names, "required": list(names), "additionalProperties": False}


def _or_less(always: dict[str, Schema], sometimes: dict[str, Schema]) -> Schema:
    return {**_object(**always, **sometimes), "required": list(always)}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _row(*of: Schema) -> Schema:
    return {"type": "array", "prefixItems": list(of), "minItems": len(of), "maxItems": len(of)}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _of_type(kind: pa.DataType) -> Schema:
    """Of a column's values in JSON. What lies within a row is a list in the order of its fields there."""
    if pa.types.is_list(kind):
        fields = [kind.value_type.field(at) for at in range(kind.value_type.num_fields)]
        return _list(_row(*(_or_null(_of_type(field.type)) for field in fields)))
    if pa.types.is_timestamp(kind):
        return _TIME
    if pa.types.is_integer(kind):
        return _INTEGER
    if pa.types.is_floating(kind):
        return _NUMBER
    return _FLAG if pa.types.is_boolean(kind) else _TEXT


def _named(columns: pa.Schema) -> Schema:
    return _object(**{field.name: _or_null(_of_type(field.type)) for field in columns})


def _in_order(columns: pa.Schema) -> Schema:
    return _row(*(_or_null(_of_type(field.type)) for field in columns))


_SOURCES: Final = _list({"enum": ["recorded", "archive"]})
_COVERAGE: Final = _object(
    **{"from": _TIME, "to": _TIME},
    covered_share=_or_null(_NUMBER),
    cadence_ms=_or_null(_INTEGER),
    slots={"type": "object", "propertyNames": {"enum": list(STATES)}, "additionalProperties": _INTEGER},
    holes=_list(_in_order(HOLES)),
    holes_left_out=_INTEGER,
    sources=_SOURCES,
)
_SHARE: Final = _object(covered_share=_or_null(_NUMBER), sources=_SOURCES)
_LEVELS: Final = _of_type(BOOKS.field("bids").type)
_OF_SPAN: Final[Schema] = {"inst_id": _TEXT, "from": _TIME, "to": _TIME, "coverage": _COVERAGE}
_STATE: Final = {"state": {"enum": list(STATES)}, "cause": _TEXT}
_RECORDER: Final = _or_less(
    {
        "state": {"enum": ["healthy", "not healthy", "no recorder"]},
        "reasons": _list(_TEXT),
        "disk_days_left": _or_null(_NUMBER),
    },
    {
        "disk_bounded_by": _or_null(_TEXT),
        "unpushed_bytes": _or_null(_INTEGER),
        "feeds_wanted": _INTEGER,
        "feeds": _list(_row(_INTEGER, _TEXT, _or_null(_TEXT))),
        "lag_ms": _or_null(_NUMBER),
        "book_state": _or_null(_TEXT),
        "clock_offset_ms": _or_null(_INTEGER),
        "last_loss": _or_null({"type": "object"}),
    },
)
_ERROR: Final = _object(error=_TEXT, cure=_TEXT)
_CONTRACT: Final = _object(
    is_inverse=_FLAG, value=_NUMBER, coin=_TEXT, quote=_TEXT, tick=_NUMBER, tick_decimals=_INTEGER
)
_HOLE: Final = _object(**{"from": _TIME, "to": _TIME}, kind=_TEXT, cause=_TEXT)
_LEVEL_SINCE: Final = _object(
    side={"enum": ["bid", "ask"]}, price=_NUMBER, qty=_NUMBER, orders=_or_null(_INTEGER), since_ms=_TIME,
    is_since_before=_FLAG,
)  # fmt: skip


def _asked(name: str, schema: Schema, text: str, is_needed: bool = True) -> Schema:
    return {"name": name, "in": "query", "required": is_needed, "schema": schema, "description": text}


_INST: Final = _asked("inst", _TEXT, "an instrument, as /api/instruments has it")
_FROM: Final = _asked("from", _TIME, "the first moment of the span")
_TO: Final = _asked("to", _TIME, "the moment behind the span")
_AT: Final = _asked("t", _TIME, "the moment; without it the newest", is_needed=False)
_FROM_WHERE: Final = _asked(
    "sources",
    {**_TEXT, "pattern": "^(recorded|archive)(,(recorded|archive))*$"},
    "recorded, archive (of OKX, made by l2vault backfill), or recorded,archive: that in its holes; without it what was "
    "recorded. `coverage` of the answer names them, and has the state `archive` where the archive stands in",
    is_needed=False,
)
_FORMAT: Final = _asked(
    "format", {"enum": ["json", "arrow"]}, "json unless this or Accept asks for arrow", is_needed=False
)


def _bounds(is_needed: bool) -> tuple[Schema, Schema]:
    return _asked("low", _NUMBER, "price from", is_needed), _asked("high", _NUMBER, "price below", is_needed)


def _path(summary: str, asked: tuple[Schema, ...], answers: dict[str, Schema], **more: Schema) -> Schema:
    refused = {"description": "why, and what to do", "content": {JSON: {"schema": _ERROR}}}
    answered = {"description": summary, "content": {kind: {"schema": schema} for kind, schema in answers.items()}}
    responses = {"200": answered, "400": refused, "404": refused, "401": {"description": "the token is missing"}}
    return {"get": {"summary": summary, "parameters": list(asked), "responses": responses | more}}


def _table(summary: str, asked: tuple[Schema, ...], schema: Schema) -> Schema:
    bytes_: Schema = {"description": "an Arrow IPC stream; the rest of the answer is JSON in its metadata `about`"}
    return _path(summary, (*asked, _FORMAT), {JSON: schema, ARROW: bytes_})


def _refused(what: str) -> Schema:
    return {"description": f"`{what}` is false"}


_READY: Final = _object(ready=_FLAG, reasons=_list(_TEXT))
_BOOK_ROWS: Final = {"books": _list(_named(BOOKS)), "next_ms": _or_null(_TIME)}
_BOOKS: Final = _table(
    "books of a span with their best levels, or a window of cells of time and price",
    (
        *(_INST, _FROM, _TO, _FROM_WHERE, *_bounds(is_needed=False)),
        _asked("columns", _INTEGER, "of a window: columns at most", is_needed=False),
        _asked("of", {"enum": ["mean", "max"]}, "of a window: what a cell has", is_needed=False),
        _asked("levels", _INTEGER, "of books: levels a side, 1 to 400", is_needed=False),
        _asked("limit", _INTEGER, "of books: 1 to 5,000; next_ms says where to go on", is_needed=False),
    ),
    _object(**_OF_SPAN, **_BOOK_ROWS),
)
_BOOKS["get"]["responses"]["200"]["content"][BINARY] = {"schema": {"description": "a window, without `format`"}}
_OF_TRADES: Final = {"recorded": _FLAG, "too_long": _FLAG, "left_out": _INTEGER, "trades": _list(_in_order(TRADES))}
_TRADES: Final = _object(**_OF_TRADES, inst_id=_TEXT, coverage=_COVERAGE, proved_share=_or_null(_NUMBER))
_OF_WALLS: Final = {
    "walls": _list(_named(WALLS)),
    "ended": _list(_named(WALLS)),
    "left_out": _INTEGER,
    "threshold": {"type": "object"},
}
_MEASURES: Final = ("bought", "sold", "basis_bps", "funding_rate", "open_interest_usd")
_BESIDE: Final = dict.fromkeys(_MEASURES, _list(_or_null(_NUMBER))) | {
    "unread_hours": _list(_TIME),
    "newest_ms": _or_null(_TIME),
    "too_long": _FLAG,
}
_ONE: Final = {"inst_id": _TEXT, "contract": _or_null(_CONTRACT), "first_ms": _TIME, "newest_ms": _TIME}
_PATHS: Final[dict[str, Schema]] = {
    "/api/instruments": _path(
        "every instrument of the vault", (_FROM_WHERE,),
        {JSON: _object(version=_TEXT, instruments=_list(_object(**_ONE, coverage=_COVERAGE)))},
    ),
    "/api/status": _path(
        "the newest line, the recorder, the last hole of a day", (_INST,),
        {
            JSON: _object(
                now_ms=_TIME, inst_id=_TEXT, newest_ms=_or_null(_TIME), evidence_ms=_or_null(_TIME),
                recorder=_RECORDER, context=_or_null({"type": "object"}), last_hole=_or_null(_HOLE),
                coverage=_COVERAGE,
            )
        },
    ),
    "/api/books": _BOOKS,
    "/api/ladder": _path(
        "the book at a moment", (_INST, _AT, _FROM_WHERE),
        {
            JSON: _object(
                inst_id=_TEXT, book_ms=_TIME, bids=_LEVELS, asks=_LEVELS, depth=_INTEGER, is_flagged=_FLAG,
                t=_TIME, age_ms=_INTEGER, **_STATE, coverage=_COVERAGE,
            )
        },
    ),
    "/api/cell": _path(
        "the levels of some prices at a moment, and since when",
        (_INST, _asked("t", _TIME, "the moment"), _FROM_WHERE, *_bounds(is_needed=True)),
        {JSON: _object(levels=_list(_LEVEL_SINCE), t=_TIME, **_STATE, coverage=_SHARE)},
    ),
    "/api/walls": _table(
        "walls that stand, heaviest first", (_INST, _AT, _FROM_WHERE), _object(**_OF_SPAN, **_OF_WALLS)
    ),
    "/api/zones": _table(
        "the nearest zones", (_INST, _AT, _FROM_WHERE), _object(**_OF_SPAN, zones=_list(_named(ZONES)))
    ),
    "/api/trades": _table(
        "the largest trades of a span of at most six hours", (_INST, _FROM, _TO, _FROM_WHERE), _TRADES
    ),
    "/api/beside": _path(
        "what takers bought and sold, basis, funding and open interest in bins, of at most 25 hours",
        (_INST, _FROM, _TO, _FROM_WHERE, _asked("columns", _INTEGER, "bins at most", is_needed=False)),
        {JSON: _or_less({"inst_id": _TEXT, "start_ms": _TIME, "bin_ms": _INTEGER, "coverage": _COVERAGE}, _BESIDE)},
    ),
    "/api/coverage": _table(
        "slots by state, and holes", (_INST, _FROM, _TO, _FROM_WHERE), _object(inst_id=_TEXT, coverage=_COVERAGE)
    ),
    "/api/openapi.json": _path("this document", (), {JSON: {"type": "object"}}),
    "/api/session": {
        "post": {
            "summary": "gives a page that has the token in Authorization a cookie of it",
            "responses": {"200": {"description": "the cookie"}, "401": {"description": "the token is missing"}},
        }
    },
    "/trades.arrow": _path(
        "every trade of a span, as flowsurface's server gives them",
        (
            _asked("venue", {"enum": ["okx", "okex"]}, "OKX"),
            _asked("market", {"enum": ["linear", "inverse"]}, "what a contract is of"),
            _asked("symbol", _TEXT, "such as btc-usdt-swap or btcusdt"),
            _asked("from", _TIME, "the first moment", is_needed=False),
            _asked("to", _TIME, "the last moment", is_needed=False),
            _asked("limit", _INTEGER, "rows at most: 100,000, or up to 1,000,000", is_needed=False),
            _FROM_WHERE,
        ),
        {ARROW: {"description": "ts, price, qty (coin; quote currency of inverse contracts), is_sell"}},
    ),
    "/metrics": _path("the recorder's metrics", (), {PROMETHEUS: _TEXT}),
    "/livez": _path(
        "whether the recorder gives a sign of life", (), {JSON: _object(live=_FLAG)}, **{"503": _refused("live")}
    ),
    "/readyz": _path(
        "whether the recorder is healthy and the vault has books", (), {JSON: _READY}, **{"503": _refused("ready")}
    ),
}  # fmt: skip


def openapi(version: str) -> Schema:
    """The whole document."""
    text = (
        "Times are ms since 1970, exchange time. `/live?inst` is a websocket of new books and trades: docs/screen.md."
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "l2vault screen", "version": version, "description": text},
        "paths": _PATHS,
        "security": [{}, {"token": []}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }
