"""OKX's instrument rows as it sent them, byte for byte, and the former ones beside the latest.

Knows that a row is a JSON object, and of its fields only those that announce a change: OKX changes the others every few
months.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from l2vault.vault.store.durable import write_atomically
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_small

_log = logging.getLogger(__name__)

Row = dict[str, object]

_DECODER: Final[msgspec.json.Decoder[dict[str, Any]]] = msgspec.json.Decoder(dict[str, Any])
_STAMP_MS: Final = 1000
"""Resolution of the moment in a former row's file name."""
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?", re.ASCII)
_TIME: Final = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
_WHOLE: Final = frozenset({"ctType", "ctVal", "ctMult", "tickSz"})
"""Without these a row says nothing of the contract: a push that lacks them is no row of its own."""
_LATEST_MS: Final = 253_370_764_800_000
"""9999-01-01."""
DELISTING: Final = "delisting"

What = Literal["first", "changed", "same"]


class Coming(NamedTuple):
    """What a row announces: from `from_ms` of exchange time on, `param` has this value. `param` `delisting` has none.

    OKX, `GET /api/v5/public/instruments`, 2026-07: `upcChg` has `param`, `newValue`, `effTime`; `expTime` of a swap is
    the time of its delisting.
    """

    param: str
    value: str
    from_ms: int


def patch_row(layout: Layout, inst_id: str, pushed: bytes, wall_ms: int) -> What | None:
    """Keep what the channel `instruments` pushed of an instrument, whose row may lack keys there; else as `keep_row`.

    Keys that only the push has wait for the row of REST, and numbers that only look different are the same: the two
    sources would otherwise take turns. None where no row is known and the push is not a whole one.
    """
    told, known = _DECODER.decode(pushed), read_row(layout, inst_id)
    if known is None:
        return keep_row(layout, inst_id, pushed, wall_ms) if told.keys() >= _WHOLE else None
    merged = {key: value if _is_same(value, told.get(key, value)) else told[key] for key, value in known.items()}
    if merged == known:
        return "same"
    row = pushed if merged == told else msgspec.json.encode(merged)
    return keep_row(layout, inst_id, row, wall_ms)


def keep_row(layout: Layout, inst_id: str, row: bytes, wall_ms: int) -> What:
    """Keep the row, verbatim; a kept one that says something else stays beside it as valid until `wall_ms`.

    At every moment the latest row can be read, even by a reader of a process killed here. A kept file that does not
    read is set aside in the same way and counts as none. Raises OSError, and ValueError if `row` is no JSON object.
    """
    told = _DECODER.decode(row)
    path = layout.instrument_file(inst_id)
    kept = _bytes(path)
    if kept is None:
        write_atomically(path, row)
        return "first"
    known = _row(kept)
    if known is not None and known.keys() == told.keys() and all(_is_same(known[key], told[key]) for key in told):
        return "same"
    write_atomically(_free_former_file(layout, inst_id, wall_ms), kept)
    write_atomically(path, row)
    return "first" if known is None else "changed"


def read_row(layout: Layout, inst_id: str) -> Row | None:
    """The latest row; None where none is kept or it does not read, which the log says."""
    return _read(layout.instrument_file(inst_id))


def row_at(rows: Sequence[tuple[int | None, Row]], t_ms: int) -> Row:
    """The one of `read_rows` that was valid at a time, behind all of them the last. There must be one."""
    return next((row for until_ms, row in rows if until_ms is None or until_ms >= t_ms), rows[-1][1])


def read_rows(layout: Layout, inst_id: str) -> list[tuple[int | None, Row]]:
    """Every row that reads, oldest first, each with the time until which it was valid (None: the latest is).

    The row at a time is the first whose `until_ms` is None or later. A change that a row announces is one from its
    effective time on, as long as no later row was known by then: the old contract holds up to it, however late its
    change was noticed. For other changes the time is this machine's, when they were noticed.
    """
    found: list[tuple[int | None, Row]] = []
    for until_ms, path in sorted(_former_files(layout, inst_id)):
        row = _read(path)
        if row is not None:
            found.append((until_ms, row))
    latest = read_row(layout, inst_id)
    rows = found if latest is None else [*found, (None, latest)]
    pieces: list[tuple[int | None, Row]] = []
    begin_ms: int | None = None
    for end_ms, row in rows:
        pieces += _pieces(begin_ms, end_ms, row)
        begin_ms = end_ms
    return pieces


def coming(row: Row) -> list[Coming]:
    """What the row announces, in order of time; what does not read as such is left out."""
    found = [Coming(DELISTING, "", ms)] if (ms := _ms(row.get("expTime"))) is not None else []
    changes = row.get("upcChg")
    for change in changes if isinstance(changes, list) else []:
        if not isinstance(change, dict):
            continue
        param, value, from_ms = change.get("param"), change.get("newValue"), _ms(change.get("effTime"))
        if isinstance(param, str) and isinstance(value, str) and param and value and from_ms is not None:
            found.append(Coming(param, value, from_ms))
    return sorted(found, key=lambda each: each.from_ms)


def _pieces(begin_ms: int | None, until_ms: int | None, row: Row) -> Iterator[tuple[int | None, Row]]:
    """A row and, from their effective times on, what it announces for the time in which it was the latest known."""
    for change in coming(row):
        is_later = begin_ms is None or begin_ms < change.from_ms
        is_meanwhile = is_later and (until_ms is None or change.from_ms < until_ms)
        if is_meanwhile and change.param != DELISTING and not _is_same(row.get(change.param), change.value):
            yield change.from_ms, row
            row = row | {change.param: change.value}
    yield until_ms, row


def _ms(value: object) -> int | None:
    ms = int(value) if isinstance(value, str) and _TIME.fullmatch(value) else None
    return ms if ms is not None and ms < _LATEST_MS else None


def _is_same(one: object, other: object) -> bool:
    """`"0.01"` and `"0.0100"` are: the channel and REST need not print alike."""
    if one == other:
        return True
    if not (isinstance(one, str) and isinstance(other, str) and _NUMBER.fullmatch(one) and _NUMBER.fullmatch(other)):
        return False
    return Decimal(one) == Decimal(other)


def _former_files(layout: Layout, inst_id: str) -> list[tuple[int, Path]]:
    if not layout.instruments.is_dir():
        return []
    parsed = ((layout.parse_former_instrument_file(path), path) for path in layout.instruments.iterdir())
    return [(former[1], path) for former, path in parsed if former is not None and former[0] == inst_id]


def _free_former_file(layout: Layout, inst_id: str, wall_ms: int) -> Path:
    """Two changes within a second must not share a name."""
    while (path := layout.former_instrument_file(inst_id, wall_ms)).exists():
        wall_ms += _STAMP_MS
    return path


def _read(path: Path) -> Row | None:
    try:
        row = _row(read_small(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s cannot be read: %s", path, error.strerror or error)
        return None
    if row is None:
        _log.warning("%s is no JSON object", path)
    return row


def _bytes(path: Path) -> bytes | None:
    """None where there is no file; a pipe, whose reader would wait for ever, is none."""
    try:
        return None if path.is_fifo() else read_small(path)
    except FileNotFoundError:
        return None


def _row(text: bytes) -> Row | None:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors, and so is that of bytes that are no UTF-8
        return None
