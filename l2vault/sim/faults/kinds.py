"""Every kind of fault there is: its parameters, what it may be aimed at, and how long it lasts if nobody says.

The one table behind the parser and `docs/simulator.md` (a test compares them). What a kind does is elsewhere.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from l2vault.sim.exchange.context import CHANNELS
from l2vault.sim.faults.plan import Value

Family = Literal["push", "trade", "context", "mode", "line", "connect", "request", "rest", "exchange"]
"""Where it strikes: single pushes of a book, of trades, of a channel beside the books; all that goes out while it
lasts; a connection as such; its making; requests on it; REST; the exchange itself."""

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_UNITS_MS: Final = {"ms": 1, "s": 1000, None: 1000, "m": 60_000, "h": 3_600_000}
_BYTES: Final = re.compile(r"(\d+)(KB|MB)?")
_UNITS_BYTES: Final = {None: 1, "KB": 1024, "MB": 1024 * 1024}
_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, 1006, *range(1007, 1015)})
_DECIMAL: Final = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Param:
    """How a value is read, what it is if not given, and an example for whoever got it wrong."""

    read: Callable[[str], Value | None]
    default: str
    example: str


@dataclass(frozen=True, slots=True)
class Kind:
    family: Family
    params: dict[str, Param] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    """Which of the keys common to all kinds it takes."""
    pushes: int | None = None
    """How many pushes or requests a strike lasts unless told; None is for ever, or as long as `lasts` says."""
    lasts_ms: int | None = None
    by_instrument: bool = False
    """Whether each instrument has strikes of its own; otherwise a strike concerns the whole connection."""


def duration_ms(text: str) -> int | None:
    """`10s`, `500ms`, `2m`, `1h`, or plain seconds; None for anything else."""
    match = _DURATION.fullmatch(text)
    return None if match is None else round(float(match[1]) * _UNITS_MS[match[2]])


def _whole(least: int, most: int = 1_000_000_000) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        return int(text) if text.isascii() and text.isdigit() and least <= int(text[:12]) <= most else None

    return read


def _close_code(text: str) -> int | None:
    """A code that may stand in a close frame (RFC 6455, 7.4), or 1006 for none."""
    code = _whole(1000, 4999)(text)
    return code if code is not None and (code in _CLOSE_CODES or code >= 3000) else None


def _bytes(text: str) -> int | None:
    match = _BYTES.fullmatch(text)
    return None if match is None else int(match[1]) * _UNITS_BYTES[match[2]]


def _choice(*words: str) -> Param:
    return Param(lambda text: text if text in words else None, words[0], ", ".join(words))


def _decimal(text: str) -> str | None:
    return text if _DECIMAL.fullmatch(text) and text.strip("0.") else None


def _count(default: int, least: int = 1, most: int = 1_000_000_000) -> Param:
    return Param(_whole(least, most), str(default), f"a whole number from {least}")


def _duration(default: str) -> Param:
    return Param(duration_ms, default, "10s, 500ms, 2m")


def _size(default: str) -> Param:
    return Param(_bytes, default, "4096, 64KB, 2MB")


_CLOSE: Final = Param(_close_code, "1006", "1006, 4004, 4005")

CONN_WORDS: Final = {"all": None, "first": 1, "second": 2, "third": 3, "fourth": 4}
_CONN: Final = re.compile(r"all|first|second|third|fourth|even|odd|[1-9]\d{0,5}")


def _connections(default: str) -> Param:
    """`none`, or as the common key `conn`."""
    return Param(
        lambda text: text if text == "none" or _CONN.fullmatch(text) else None,
        default,
        "none, all, first, second, even, odd or the number of a connection",
    )


_REPEAT: Final = frozenset({"every", "times", "p", "until"})
_PUSH: Final = frozenset({"inst", "conn", "at", "push", "frame", "k", "for"}) | _REPEAT
_TRADE: Final = _PUSH - {"frame"}
_MODE: Final = frozenset({"inst", "conn", "at", "push", "for"}) | _REPEAT
_LINE: Final = frozenset({"inst", "conn", "at", "push", "frame"}) | _REPEAT
_CONNECT: Final = frozenset({"conn", "at", "k", "for"}) | _REPEAT
_REQUEST: Final = frozenset({"inst", "conn", "at", "request", "k", "for"}) | _REPEAT
_REST: Final = _REQUEST - {"conn"}

ARG_CODES: Final = ("60018", "60011", "64003", "64004")
"""Errors about one arg of a request; the others of it are acknowledged."""
REQUEST_CODES: Final = ("60014", "60012", "63999", "64007")
"""Errors that answer a whole request."""
REST_ANSWERS: Final = (
    "429",
    "429-html",
    "403",
    "451",
    "50011",
    "51001",
    "500",
    "502",
    "503",
    "timeout",
    "older",
    "empty",
    "torn",
)
REST_PATHS: Final = ("all", "books", "books-full", "books-rpi", "instruments", "time", "trades", "history-trades")


def _push(**params: Param) -> Kind:
    return Kind("push", params, _PUSH, pushes=1, by_instrument=True)


def _any_push(**params: Param) -> Kind:
    """Of either channel; of both, each counts its own."""
    return _push(**params, channel=_choice("books", "trades", "both"))


def _trade(**params: Param) -> Kind:
    return Kind("trade", params, _TRADE, pushes=1, by_instrument=True)


def _context(**params: Param) -> Kind:
    channel = _choice("all", *CHANNELS)
    return Kind("context", {"channel": channel, **params}, _TRADE, pushes=1, by_instrument=True)


def _book_mode(**params: Param) -> Kind:
    return Kind("mode", params, _MODE, by_instrument=True)


def _mode(lasts_ms: int | None = None, **params: Param) -> Kind:
    return Kind("mode", params, _MODE, lasts_ms=lasts_ms)


def _line(**params: Param) -> Kind:
    return Kind("line", params, _LINE)


def _connect(**params: Param) -> Kind:
    return Kind("connect", params, _CONNECT)


def _exchange(keys: frozenset[str], pushes: int | None = None, **params: Param) -> Kind:
    return Kind("exchange", params, keys, pushes, by_instrument=True)


_BOOK_FIELDS: Final = ("ts", "bids", "asks", "seqId", "prevSeqId", "checksum", "arg", "instId", "action", "data")
_TRADE_FIELDS: Final = ("tradeId", "px", "sz", "side", "count", "source")

KINDS: Final[dict[str, Kind]] = {
    "drop": _any_push(),
    "duplicate": _any_push(copies=_count(1, 1, 100)),
    "reorder": _any_push(),
    "corrupt": _any_push(how=_choice("flip", "cut", "unquoted")),
    "missing": _any_push(field=_choice(*_BOOK_FIELDS, *_TRADE_FIELDS)),
    "unknown-field": _any_push(where=_choice("data", "push", "arg", "level")),
    "ts": _push(how=_choice("zero", "back", "repeat"), by=_duration("5s")),
    "heartbeat": _push(),
    "snapshot": _push(),
    "levels": _push(side=_choice("asks", "bids", "both"), count=_count(401, 1, 5000)),
    "crossed": _push(how=_choice("crossed", "locked")),
    "unknown-delete": _push(count=_count(3, 1, 400)),
    "resend": _push(count=_count(3, 1, 400)),
    "checksum": Kind("push", {"how": _choice("wrong", "real", "zero")}, _PUSH, by_instrument=True),
    "trade-drop": _trade(),
    "trade-duplicate": _trade(copies=_count(1, 1, 100)),
    "trade-split": _trade(first=_count(1, 1, 100)),
    "context-drop": _context(),
    "context-duplicate": _context(copies=_count(1, 1, 100)),
    "context-corrupt": _context(how=_choice("flip", "cut", "unquoted")),
    "context-ts": _context(how=_choice("zero", "back", "ahead"), by=_duration("5s")),
    "no-snapshot": _book_mode(),
    "late-snapshot": _book_mode(updates=_count(1, 1, 10_000), book=_choice("fresh", "stale")),
    "no-book": _book_mode(),
    "batch": _book_mode(merge=_count(2, 2, 1000), offset=_count(0, 0, 999)),
    "half-open": _mode(),
    "stall": _mode(lasts_ms=10_000),
    "trickle": _mode(piece=_size("16"), pause=_duration("0ms")),
    "close": _line(code=_CLOSE),
    "notice": _line(after=_duration("60s"), code=_CLOSE),
    "cut": _line(keep=_size("40")),
    "big-frame": _line(size=_size("1MB")),
    "unknown-event": _line(),
    "refuse": _connect(how=_choice("tcp", "handshake", "403", "429", "451", "503")),
    "slow-handshake": _connect(delay=_duration("3s")),
    "accept-silent": _connect(),
    "deflate": _connect(),
    "error": Kind(
        "request",
        {"code": _choice(*ARG_CODES, *REQUEST_CODES), "op": _choice("subscribe", "unsubscribe", "both")},
        _REQUEST,
        pushes=1,
    ),
    "rest": Kind(
        "rest", {"answer": _choice(*REST_ANSWERS), "path": _choice(*REST_PATHS), "by": _duration("2s")}, _REST
    ),
    "reset": _exchange(frozenset({"inst", "at", "push"}) | _REPEAT, 1, to=_count(3, 0), lost=_connections("none")),
    "tick-size": _exchange(
        frozenset({"inst", "at"}),
        tick=Param(_decimal, "1", "a decimal number such as 0.5"),
        notice=_duration("30s"),
        how=_choice("full", "levels"),
    ),
    "state": _exchange(
        frozenset({"inst", "at", "for"}),
        to=_choice("post_only", "suspend", "preopen"),
        crossed=_choice("yes", "no"),
        lead=_duration("0s"),
    ),
    "maintenance": _exchange(
        frozenset({"at"}),
        notice=_duration("30s"),
        lasts=_duration("30s"),
        service=_count(0, 0, 99),
        end=_choice("completed", "canceled"),
    ),
}
