"""A gzipped CSV file of which the same rows make the same bytes."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from gzip import GzipFile
from pathlib import Path
from types import TracebackType
from typing import Final

_LEVEL: Final = 6


class CsvFile(AbstractContextManager["CsvFile"]):
    """Takes whole rows, each with its newline."""

    def __init__(self, path: Path, columns: str) -> None:
        self._file = GzipFile(path, "wb", compresslevel=_LEVEL, mtime=0)
        self.write([columns, "\n"])

    def write(self, rows: Iterable[str]) -> None:
        self._file.write("".join(rows).encode("ascii"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
