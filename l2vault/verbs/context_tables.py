"""The context as `show` and `coverage` print it: the values at a time, and when each was current."""

import sys
from collections.abc import Sequence
from decimal import Decimal, DivisionByZero, InvalidOperation
from typing import Final

import msgspec

from l2vault.book.context import KINDS, Context, Kind
from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.vault.coverage.context import CONTEXT_STATES, ContextCoverage, ContextState
from l2vault.vault.reading.context import ContextAt, ContextReader
from l2vault.verbs.documents import document
from l2vault.verbs.format import exact_share, span_text, table, with_cause

_BPS: Final = 10_000
_CURE: Final = "l2vault record, which records it unless context = false"


class Shown(msgspec.Struct, frozen=True):
    """One value at a time: OKX's strings, how old its message is, and what is known of it."""

    kind: Kind
    state: ContextState
    cause: str
    age_ms: int | None
    values: dict[str, str | bool | None]


class ShownContext(msgspec.Struct, frozen=True):
    """What `show --kind context --json` prints. `basis_bps` is mark over index, in basis points of the index."""

    inst_id: str
    timestamp_utc: str
    asked_utc: str
    age_ms: int
    basis_bps: float | None
    values: list[Shown]


class Row(msgspec.Struct, frozen=True):
    """What `coverage --kind context --json` prints, one a value: shares of the span, and what is not present."""

    inst_id: str
    kind: Kind
    from_utc: str
    to_utc: str
    shares: dict[ContextState, float]
    not_present: list[tuple[str, str, ContextState, str]]


def show_context(reader: ContextReader, inst_id: str, at_ms: int, is_json: bool) -> None:
    """Raises VaultError where the vault has none so early."""
    found = reader.at(inst_id, at_ms)
    if found is None:
        raise VaultError(f"no context of {printable(inst_id)} at or before {utc_text(at_ms)}.", _CURE)
    shown = _shown(found, at_ms)
    sys.stdout.write(document("show", shown, "context") if is_json else _text(shown, found.context))


def print_coverage(coverages: Sequence[ContextCoverage], is_json: bool) -> None:
    """A line per instrument and value, then each part of the span in which one was not present."""
    rows = [_row(coverage, kind) for coverage in coverages for kind in KINDS]
    if is_json:
        sys.stdout.write("".join(document("coverage", row, "context") for row in rows))
        return
    has_archive = any(row.shares["archive"] for row in rows)
    states = [state for state in CONTEXT_STATES if state != "archive" or has_archive]
    names = ["instrument", "value", *states]
    cells = [[printable(row.inst_id), row.kind, *(exact_share(row.shares[state]) for state in states)] for row in rows]
    sys.stdout.write(table(names, cells, left=2))
    for row in rows:
        for start, end, state, cause in row.not_present:
            sys.stdout.write(f"{with_cause(state, cause)}: {row.kind} of {printable(row.inst_id)}, {start} to {end}\n")


def _shown(found: ContextAt, at_ms: int) -> ShownContext:
    context = found.context
    values = []
    for kind in KINDS:
        state, cause = found.states.get(kind, ("unknown", ""))
        value = context.value(kind)
        fields = {} if value is None else {name: getattr(value, name) for name in value.__struct_fields__[1:]}
        values.append(Shown(kind, state, cause, None if value is None else at_ms - value.ts_ms, fields))
    age_ms = at_ms - context.grid_ms
    return ShownContext(
        context.inst_id, utc_text(context.grid_ms), utc_text(at_ms), age_ms, _basis_bps(context), values
    )


def _basis_bps(context: Context) -> float | None:
    if context.mark is None or context.index is None:
        return None
    try:
        return round(float((Decimal(context.mark.price) / Decimal(context.index.price) - 1) * _BPS), 4)
    except (InvalidOperation, DivisionByZero):
        return None


def _text(shown: ShownContext, context: Context) -> str:
    head = f"{printable(shown.inst_id)}  context of {shown.timestamp_utc}\n"
    head += f"{span_text(shown.age_ms)} before {shown.asked_utc}\n\n"
    rows = []
    for each in shown.values:
        state = with_cause(each.state, each.cause)
        age = "-" if each.age_ms is None else span_text(each.age_ms)
        rows.append([each.kind.replace("_", " "), _words(each.kind, context, shown.basis_bps), age, state])
    return head + table(["value", "", "age", "state"], rows, left=4)


def _words(kind: Kind, context: Context, basis_bps: float | None) -> str:
    """One value in the words of a trader; what OKX sent, escaped."""
    words = "-"
    if kind == "mark" and context.mark is not None:
        words = context.mark.price
    elif kind == "index" and context.index is not None:
        words = context.index.price + ("" if basis_bps is None else f" (mark {basis_bps:+g} bps)")
    elif kind == "funding" and (funding := context.funding) is not None:
        words = f"{_percent(funding.rate)} at {_time(funding.time)}"
        if funding.settled_rate is not None and funding.previous_time is not None:
            words += f"; {_percent(funding.settled_rate)} at {_time(funding.previous_time)}"
    elif kind == "open_interest" and (interest := context.open_interest) is not None:
        words = f"{interest.contracts} contracts, {interest.coin or '-'} coin, {interest.usd or '-'} USD"
    elif kind == "limits" and (limits := context.limits) is not None:
        words = f"sell from {limits.sell or '-'}, buy to {limits.buy or '-'}" if limits.is_enabled else "off"
    return printable(words)


def _percent(rate: str) -> str:
    try:
        return f"{Decimal(rate) * 100:.4f} %"
    except InvalidOperation:
        return rate


def _time(text: str) -> str:
    try:
        return utc_text(int(text))[:16].replace("T", " ")
    except (ValueError, OverflowError):
        return text


def _row(coverage: ContextCoverage, kind: Kind) -> Row:
    bounds = utc_text(coverage.start_ms), utc_text(coverage.end_ms)
    not_present: list[tuple[str, str, ContextState, str]] = [
        (utc_text(each.start_ms), utc_text(each.end_ms), each.state, each.cause)
        for each in coverage.stretches
        if each.kind == kind and each.state not in ("present", "archive")
    ]
    shares = {state: coverage.share(kind, state) for state in CONTEXT_STATES}
    return Row(coverage.inst_id, kind, *bounds, shares, not_present)
