"""What a client of tardis-machine asks for: the JSON of `options`, read and checked against what a vault holds.

Knows the words and the refusals; what is then sent is made elsewhere. Everything here raises UsageError, in a sentence
that names the key.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeVar

import msgspec

from l2vault.book.moments import as_ms
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError
from l2vault.exports.events import Span
from l2vault.foreign import quoted
from l2vault.sim.exchange.context import index_name
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import HOUR_MS

EXCHANGE: Final = "okex-swap"
"""Tardis's name of OKX's swaps."""
PLAIN_TYPES: Final = ("trade", "book_change", "derivative_ticker")

_TYPES: Final = (
    "trade, book_change, derivative_ticker, quote, quote_10s, book_snapshot_25_100ms, trade_bar_1m "
    "(also ms, s, m; ticks and vol)"
)
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000}
_SNAPSHOT: Final = re.compile(r"book_snapshot_([1-9][0-9]{0,2})_([0-9]{1,9})(ms|s|m)", re.ASCII)
_QUOTE: Final = re.compile(r"quote(?:_([0-9]{1,9})(ms|s|m))?", re.ASCII)
_BAR: Final = re.compile(r"trade_bar_([1-9][0-9]{0,8})(ms|s|m|ticks|vol)", re.ASCII)
_SHOWN: Final = 5
"""Instruments that a refusal names."""
_QUOTED: Final = 64

_Asked = TypeVar("_Asked", bound=msgspec.Struct)
_Names = Callable[[Vault, str, Span], Mapping[str, str]]


class SnapshotType(NamedTuple):
    """`book_snapshot_{depth}_{interval}`, or `quote`: `interval_ms` 0 is each change within the depth."""

    name: str
    depth: int
    interval_ms: int


class BarType(NamedTuple):
    """`trade_bar_{interval}{suffix}`: `interval` is in milliseconds, trades or contracts."""

    name: str
    kind: Literal["time", "tick", "volume"]
    interval: int


class Normalized(NamedTuple):
    """One object of the options of `/replay-normalized`."""

    inst_ids: list[str]
    span: Span
    types: frozenset[str]
    """Those of `PLAIN_TYPES` that are sent."""
    snapshots: list[SnapshotType]
    bars: list[BarType]
    tells_disconnects: bool

    @property
    def needs_books(self) -> bool:
        return "book_change" in self.types or bool(self.snapshots)

    @property
    def needs_trades(self) -> bool:
        return "trade" in self.types or bool(self.bars)


class Native(NamedTuple):
    """One object of the options of `/replay`, or one connection to `/ws-replay`: by instrument what is sent of it, the
    channel and the name of each arg."""

    span: Span
    wanted: dict[str, frozenset[tuple[str, str]]]
    disconnects: bool | None = None
    """`withDisconnects`."""


class _OfBoth(msgspec.Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Keys of tardis-machine's that mean nothing here are taken and passed over."""

    exchange: str
    from_: str | int = msgspec.field(name="from")
    to: str | int
    api_key: str | None = None
    auto_cleanup: bool | None = None
    wait_when_data_not_yet_available: bool | int | None = None


class _Normalized(_OfBoth, kw_only=True):
    symbols: list[str] | None = None
    data_types: list[str]
    with_disconnect_messages: bool | None = None


class _Filter(msgspec.Struct, forbid_unknown_fields=True):
    channel: str
    symbols: list[str] | None = None


class _Native(_OfBoth, kw_only=True):
    filters: list[_Filter] | None = None
    with_disconnects: bool | None = None
    skip_decoding: bool | None = None
    with_microseconds: bool | None = None


def query_of(params: Sequence[tuple[str, str]], known: frozenset[str]) -> dict[str, str]:
    """The parameters of a URL, each once and each `known`."""
    query: dict[str, str] = {}
    for name, value in params:
        if name not in known:
            raise UsageError(f"the parameter {quoted(name, _QUOTED)} is unknown.", f"one of {', '.join(sorted(known))}")
        if name in query:
            raise UsageError(f"the parameter {name} stands twice.", "it once")
        query[name] = value
    return query


def speed_of(text: str | None) -> float | None:
    """How many times as fast as it happened; None, which is also what no parameter means: as fast as the client
    reads."""
    if text is None or text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise UsageError(f"speed = {quoted(text, _QUOTED)} is no pace.", "a number above 0, such as 1 or 10, or max")
    return speed


def normalized_of(text: str | None, vault: Vault) -> list[Normalized]:
    """The options of `/replay-normalized`: one object or a list of them."""
    return [_one_normalized(each, vault) for each in _objects(text, _Normalized)]


def native_of(text: str | None, vault: Vault, names: _Names) -> list[Native]:
    """The same of `/replay`. `names` gives the channels of an instrument over a span, each with the name that its arg
    has."""
    return [_one_native(each, vault, names) for each in _objects(text, _Native)]


def span_of(start: str | int, end: str | int) -> Span:
    """Of the keys `from` and `to`; half-open."""
    bounds = []
    for name, moment in (("from", start), ("to", end)):
        try:
            bounds.append(as_ms(moment))
        except UsageError as error:
            raise UsageError(f"{name}: {error.message}", "2026-01-31T12:00:00.000Z") from None
    if bounds[0] >= bounds[1]:
        raise UsageError(f"to ({utc_text(bounds[1])}) is not later than from ({utc_text(bounds[0])}).", "a later to")
    return bounds[0], bounds[1]


def check_exchange(name: str) -> None:
    """A vault holds OKX's swaps alone."""
    if name != EXCHANGE:
        raise UsageError(f"exchange = {quoted(name, _QUOTED)}: the vault has {EXCHANGE} alone.", EXCHANGE)


def check_held(vault: Vault, inst_ids: Sequence[str], span: Span) -> None:
    """Whether any of the instruments was recorded within the span; what was is in the refusal."""
    if not inst_ids:
        raise UsageError("the vault holds no books.", "l2vault record, or another --vault")
    if not any(_has_hour(vault, inst_id, span) for inst_id in inst_ids):
        held = "; ".join(_bounds(vault, inst_id) for inst_id in inst_ids[:_SHOWN])
        more = f"; and {len(inst_ids) - _SHOWN} more" if len(inst_ids) > _SHOWN else ""
        raise UsageError(f"nothing was recorded from {utc_text(span[0])} to {utc_text(span[1])}.", f"{held}{more}")


def _one_normalized(asked: _Normalized, vault: Vault) -> Normalized:
    check_exchange(asked.exchange)
    span = span_of(asked.from_, asked.to)
    inst_ids = _held(asked.symbols, vault.instruments())
    types, snapshots, bars = set(), [], []
    if not asked.data_types:
        raise UsageError("dataTypes is empty.", f"one or more of {_TYPES}")
    for name in dict.fromkeys(asked.data_types):
        kind = _type_of(name)
        if isinstance(kind, SnapshotType):
            snapshots.append(kind)
        elif isinstance(kind, BarType):
            bars.append(kind)
        else:
            types.add(kind)
    check_held(vault, inst_ids, span)
    tells = asked.with_disconnect_messages is not False
    return Normalized(inst_ids, span, frozenset(types), snapshots, bars, tells)


def _one_native(asked: _Native, vault: Vault, names: _Names) -> Native:
    check_exchange(asked.exchange)
    span, inst_ids = span_of(asked.from_, asked.to), _held(None, vault.instruments())
    asked_symbols = [_upper(each.symbols) for each in asked.filters or []]
    if asked_symbols and all(asked_symbols):
        symbols = {symbol for each in asked_symbols for symbol in each}
        inst_ids = [each for each in inst_ids if not symbols.isdisjoint((each, index_name(each)))] or inst_ids
    held = {inst_id: names(vault, inst_id, span) for inst_id in inst_ids}
    channels = sorted({channel for each in held.values() for channel in each})
    wanted: dict[str, set[tuple[str, str]]] = {}
    for one in asked.filters or [_Filter(channel) for channel in channels]:
        if one.channel not in channels:
            raise UsageError(
                f"filters: the vault has no channel {quoted(one.channel, _QUOTED)} in that time.",
                f"one of {', '.join(channels)}",
            )
        symbols = set(_held(one.symbols, [each[one.channel] for each in held.values() if one.channel in each]))
        for inst_id, each in held.items():
            if each.get(one.channel) in symbols:
                wanted.setdefault(inst_id, set()).add((one.channel, each[one.channel]))
    check_held(vault, list(wanted), span)
    return Native(span, {inst_id: frozenset(args) for inst_id, args in wanted.items()}, asked.with_disconnects)


def _objects(text: str | None, kind: type[_Asked]) -> list[_Asked]:
    cure = 'options={"exchange":"okex-swap","from":"...","to":"...",...}, as JSON'
    if text is None:
        raise UsageError("the parameter options is missing.", cure)
    try:
        found: Any = msgspec.json.decode(text.encode(), type=dict[str, Any] | list[dict[str, Any]])
        asked = [msgspec.convert(each, kind) for each in (found if isinstance(found, list) else [found])]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UsageError(f"options: {error}.", cure) from None
    if not asked:
        raise UsageError("options is an empty list.", cure)
    return asked


def _held(symbols: list[str] | None, known: Sequence[str]) -> list[str]:
    """Those asked for, in capitals; no list and an empty one mean all."""
    found = _upper(symbols) or list(dict.fromkeys(known))
    unknown = [symbol for symbol in found if symbol not in known]
    if unknown:
        shown = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise UsageError(f"symbols: the vault has no {quoted(unknown[0], _QUOTED)}.", f"one of {shown}")
    if not found:
        raise UsageError("the vault holds no books.", "l2vault record, or another --vault")
    return found


def _upper(symbols: list[str] | None) -> list[str]:
    return list(dict.fromkeys(symbol.upper() for symbol in symbols or []))


def _type_of(name: str) -> SnapshotType | BarType | str:
    if name in PLAIN_TYPES:
        return name
    if match := _SNAPSHOT.fullmatch(name):
        return SnapshotType(name, int(match[1]), int(match[2]) * _UNIT_MS[match[3]])
    if match := _QUOTE.fullmatch(name):
        return SnapshotType(name, 1, int(match[1]) * _UNIT_MS[match[2]] if match[1] else 0)
    if match := _BAR.fullmatch(name):
        if match[2] in _UNIT_MS:
            return BarType(name, "time", int(match[1]) * _UNIT_MS[match[2]])
        return BarType(name, "tick" if match[2] == "ticks" else "volume", int(match[1]))
    raise UsageError(f"dataTypes: {quoted(name, _QUOTED)} is not among those served.", f"one or more of {_TYPES}")


def _has_hour(vault: Vault, inst_id: str, span: Span) -> bool:
    every = [forms.hour_ms for forms in vault.catalog.hours(inst_id)]
    found = [hour_ms for hour_ms in every if hour_ms < span[1] and span[0] < hour_ms + HOUR_MS]
    if not found:
        return False
    # Of the first and the last hour there may be a part alone.
    if found == every[:1] and (first_ms := vault.first_line_ms(inst_id)) is not None and span[1] <= first_ms:
        return False
    newest_ms = vault.newest_line_ms(inst_id) if found == every[-1:] else None
    return newest_ms is None or span[0] <= newest_ms


def _bounds(vault: Vault, inst_id: str) -> str:
    first_ms, newest_ms = vault.first_line_ms(inst_id), vault.newest_line_ms(inst_id)
    if first_ms is None or newest_ms is None:
        return f"{inst_id} has no line that reads"
    return f"{inst_id} has {utc_text(first_ms)} to {utc_text(newest_ms)}"
