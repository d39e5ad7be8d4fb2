"""What is left over around data files: of passes that were killed, and empty folders. Touches no data file.

Call both functions with the lock of retention held.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from l2vault.book.utc import utc_text
from l2vault.vault.compress import PACKING_SUFFIX
from l2vault.vault.journal.events import Retained
from l2vault.vault.journal.log import Journal
from l2vault.vault.layout import HOUR_MS, Layout
from l2vault.vault.removal import DELETING_SUFFIX, finish_removal
from l2vault.vault.retention.plan import SETTLE_MS

_DAY_MS: Final = 24 * HOUR_MS


def clean(layout: Layout, now_ms: int) -> Iterator[tuple[Path, OSError]]:
    """Unfinished copies and halves of archives go, a deletion that had begun is finished; yields what refuses to go."""
    for path in layout.raw.glob(f"*/*/*{PACKING_SUFFIX}"):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            yield path, error
    for tree in (layout.raw, layout.archive / "snapshots"):
        for path in tree.glob(f"*/*/*{DELETING_SUFFIX}"):
            try:
                _finish(layout, path, now_ms)
            except OSError as error:
                yield path, error
    for path in (layout.archive / "levels").glob("*/*/*.parquet"):
        hour = layout.parse_archive_file(path)
        try:
            # A young one may be of an archive in the making: its snapshots come last.
            if hour is not None and not hour.snapshots.exists() and _is_old(path, now_ms):
                path.unlink(missing_ok=True)
        except OSError as error:
            yield path, error


def prune(layout: Layout, now_ms: int) -> None:
    """Remove empty folders: of days that are over, of instruments that have none left, of archives."""
    for folder in layout.raw.glob("*"):
        is_emptied = False
        for day in folder.glob("*"):
            first = layout.parse_hour_file(day / "00.jsonl")
            if first is not None and first.hour_ms + _DAY_MS + SETTLE_MS <= now_ms:
                with suppress(OSError):  # not empty
                    day.rmdir()
                    is_emptied = True
        with suppress(OSError):
            if is_emptied or _is_old(folder, now_ms):
                folder.rmdir()
    for pattern in ("*/*/*", "*/*"):
        for folder in layout.archive.glob(pattern):
            with suppress(OSError):
                if folder.is_dir() and _is_old(folder, now_ms):
                    folder.rmdir()


def _finish(layout: Layout, doomed: Path, now_ms: int) -> None:
    name = doomed.relative_to(layout.root).as_posix().removesuffix(DELETING_SUFFIX)
    size_bytes = doomed.stat().st_size
    event = Retained(utc_text(now_ms), "delete", name, "a deletion that was cut short", size_bytes, 0)
    finish_removal(doomed, partial(Journal(layout).append, event))


def _is_old(path: Path, now_ms: int) -> bool:
    """A change in the future is of a clock set back: as good as long ago."""
    return abs(now_ms - path.stat().st_mtime_ns // 1_000_000) >= SETTLE_MS
