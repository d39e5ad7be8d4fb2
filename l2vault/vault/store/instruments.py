"""OKX's instrument rows as it sent them, byte for byte, and the former ones beside the latest.

Knows that a row is a JSON object, and nothing of its fields: OKX changes them every few months.
"""

import logging
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from l2vault.vault.store.durable import write_atomically
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_small

_log = logging.getLogger(__name__)

Row = dict[str, object]

_DECODER: Final[msgspec.json.Decoder[dict[str, Any]]] = msgspec.json.Decoder(dict[str, Any])
_STAMP_MS: Final = 1000
"""Resolution of the moment in a former row's file name."""


def keep_row(layout: Layout, inst_id: str, row: bytes, wall_ms: int) -> Literal["first", "changed", "same"]:
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
    if known == told:
        return "same"
    write_atomically(_free_former_file(layout, inst_id, wall_ms), kept)
    write_atomically(path, row)
    return "first" if known is None else "changed"


def read_row(layout: Layout, inst_id: str) -> Row | None:
    """The latest row; None where none is kept or it does not read, which the log says."""
    return _read(layout.instrument_file(inst_id))


def read_rows(layout: Layout, inst_id: str) -> list[tuple[int | None, Row]]:
    """Every row that reads, oldest first, each with the wall time until which it was the latest known (None: it is).

    The row at a time is the first whose `until_ms` is None or later.
    """
    found: list[tuple[int | None, Row]] = []
    for until_ms, path in sorted(_former_files(layout, inst_id)):
        row = _read(path)
        if row is not None:
            found.append((until_ms, row))
    latest = read_row(layout, inst_id)
    return found if latest is None else [*found, (None, latest)]


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
