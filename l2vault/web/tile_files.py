"""Tiles on disk, so that a new start of the screen has them: one Arrow file for each hour and width, and one for what
belongs beside each hour, in a folder that is a cache and nothing else. What cannot be read or written there is made
again, and no request fails of it.

Each file says of what it was made: a tile of other files, or of another form, is none.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from l2vault.vault.store.durable import write_atomically
from l2vault.web.tile import Singles, Tile

MOST_BYTES: Final = 1 << 30
"""A day of an instrument takes 15 MB at 2 s and 0.7 MB at a minute; what was used longest ago goes first."""
_SUFFIX: Final = ".arrow"
_LEFT_SHARE: Final = 0.9
_FACTS: Final = b"tile"
_BESIDE: Final = "beside"
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)
"""msgspec's errors are ValueErrors."""

_log = logging.getLogger(__name__)


class _Made(msgspec.Struct):
    digest: str


_F = TypeVar("_F", bound=_Made)


class _Facts(_Made):
    tick: float
    step: int
    first_row: int


class _BesideFacts(_Made):
    newest_ms: int | None


class TileFiles:
    """The cache of one vault in `folder`, at most about `most_bytes` of it. Several processes may share it."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._bytes: int | None = None

    def read(self, inst_id: str, hour_ms: int, bin_ms: int, digest: str) -> Tile | None:
        """The tile that was made of what `digest` says; None where there is none."""
        found = _found(self._path(inst_id, hour_ms, bin_ms), _Facts, digest)
        if found is None:
            return None
        try:
            return _tile(*found, hour_ms, bin_ms)
        except _UNREADABLE:
            return None

    def has(self, inst_id: str, hour_ms: int, bin_ms: int, digest: str) -> bool:
        """Whether there is one, of what `digest` says; its cells are not read."""
        return _is_of(self._path(inst_id, hour_ms, bin_ms), digest)

    def write(self, inst_id: str, tile: Tile, digest: str) -> None:
        """Keep a tile, and let go of what was used longest ago where there are too many."""
        facts = _Facts(digest, tile.tick, tile.step, tile.first_row)
        self._put(self._path(inst_id, tile.hour_ms, tile.bin_ms), _bytes(_columns(tile), facts))

    def read_beside(self, inst_id: str, hour_ms: int, digest: str) -> tuple[dict[str, Singles], int | None] | None:
        """What belongs beside an hour, `(bins,)` each, and the time of its newest trade, as `write_beside` got them
        with this digest; None where there is none."""
        found = _found(self._path(inst_id, hour_ms, _BESIDE), _BesideFacts, digest)
        if found is None:
            return None
        table, facts = found
        return {name: table[name].to_numpy() for name in table.column_names}, facts.newest_ms

    def has_beside(self, inst_id: str, hour_ms: int, digest: str) -> bool:
        """As `has`."""
        return _is_of(self._path(inst_id, hour_ms, _BESIDE), digest)

    def write_beside(
        self, inst_id: str, hour_ms: int, values: Mapping[str, Singles], newest_ms: int | None, digest: str
    ) -> None:
        """As `write`; 15 KB an hour."""
        columns = {name: pa.array(each) for name, each in values.items()}
        self._put(self._path(inst_id, hour_ms, _BESIDE), _bytes(columns, _BesideFacts(digest, newest_ms)))

    def _put(self, path: Path, data: bytes) -> None:
        try:
            with self._lock:
                write_atomically(path, data, is_durable=False)
                self._bytes = (self._held() if self._bytes is None else self._bytes) + len(data)
                if self._bytes > self._most_bytes:
                    self._bytes = self._forget()
        except OSError as error:
            _log.debug("a tile is not kept on disk: %s", error)

    def _path(self, inst_id: str, hour_ms: int, bin_ms: int | str) -> Path:
        return self._folder / inst_id / f"{hour_ms}_{bin_ms}{_SUFFIX}"

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.glob(f"*/*{_SUFFIX}"):
            with suppress(OSError):
                facts = path.stat()
                yield facts.st_mtime, facts.st_size, path

    def _held(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _forget(self) -> int:
        files = sorted(self._files())
        held = sum(size for _, size, _ in files)
        for _, size, path in files:
            if held <= self._most_bytes * _LEFT_SHARE:
                break
            with suppress(OSError):
                path.unlink()
                held -= size
        return held


def _found(path: Path, kind: type[_F], digest: str) -> tuple[pa.Table, _F] | None:
    """What was made of what `digest` says, now the latest used; None where there is none that reads."""
    try:
        with pa.ipc.open_file(pa.OSFile(str(path))) as file:
            table = file.read_all()
        facts = msgspec.json.decode(table.schema.metadata[_FACTS], type=kind)
    except _UNREADABLE:
        return None
    if facts.digest != digest:
        return None
    with suppress(OSError):
        os.utime(path)
    return table, facts


def _is_of(path: Path, digest: str) -> bool:
    try:
        with pa.ipc.open_file(pa.OSFile(str(path))) as file:
            return msgspec.json.decode(file.schema.metadata[_FACTS], type=_Made).digest == digest
    except _UNREADABLE:
        return False


def _columns(tile: Tile) -> dict[str, pa.Array]:
    return {
        "size": _rows(tile.size),
        "most": _rows(tile.most),
        "best_bid": pa.array(tile.best[0]),
        "best_ask": pa.array(tile.best[1]),
        "covered_ms": pa.array(tile.covered_ms),
    }


def _bytes(columns: Mapping[str, pa.Array], facts: msgspec.Struct) -> bytes:
    table = pa.table(columns).replace_schema_metadata({_FACTS: msgspec.json.encode(facts)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
        file.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _rows(cells: Singles) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(cells.ravel()), cells.shape[1])


def _tile(table: pa.Table, facts: _Facts, hour_ms: int, bin_ms: int) -> Tile:
    size, most = (_cells(table, name) for name in ("size", "most"))
    best = tuple(table[name].to_numpy() for name in ("best_bid", "best_ask"))
    covered_ms = table["covered_ms"].to_numpy()
    return Tile(hour_ms, bin_ms, facts.tick, facts.step, facts.first_row, size, most, (best[0], best[1]), covered_ms)


def _cells(table: pa.Table, name: str) -> Singles:
    column = table[name].combine_chunks()
    cells: Singles = column.values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return cells.reshape(len(column), column.type.list_size)
