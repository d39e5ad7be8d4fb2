"""What is left over around data files: of passes that were killed, and empty folders. Touches no data file.

Call both functions with the lock of retention held.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from l2vault.book.utc import DAY_MS, utc_text
from l2vault.vault.journal.events import Retained
from l2vault.vault.journal.log import Journal
from l2vault.vault.retention.compress import PACKING_SUFFIX
from l2vault.vault.retention.plan import SETTLE_MS, Clocks
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.durable import DELETING_SUFFIX, DRAFT_SUFFIX, finish_removal, former_path, unlink
from l2vault.vault.store.layout import Layout


def clean(layout: Layout, journal: Journal, wall_ms: int) -> Iterator[tuple[Path, OSError]]:
    """Unfinished copies and halves of archives go, a deletion that had begun is finished; yields what refuses to go."""
    catalog = Catalog(layout)
    yield from _unlinked([*catalog.leftovers(PACKING_SUFFIX), *_old(catalog.leftovers(DRAFT_SUFFIX), wall_ms)])
    for path in catalog.leftovers(DELETING_SUFFIX):
        try:
            _finish(layout, path, journal, wall_ms)
        except OSError as error:
            yield path, error
    # Young levels may be of an archive in the making: its snapshots come last.
    yield from _unlinked(_old(catalog.halves(), wall_ms))


def prune(layout: Layout, clocks: Clocks) -> None:
    """Remove empty folders: of days that are over, of instruments that have none left, of archives."""
    for folder in layout.raw.glob("*"):
        is_emptied = False
        for day in folder.glob("*"):
            first = layout.parse_hour_file(day / "00.jsonl")
            if first is not None and first.hour_ms + DAY_MS + SETTLE_MS <= clocks.proved_ms:
                with suppress(OSError):  # not empty
                    day.rmdir()
                    is_emptied = True
        with suppress(OSError):
            if is_emptied or _is_old(folder, clocks.wall_ms):
                folder.rmdir()
    for pattern in ("*/*/*", "*/*"):
        for folder in (*layout.archive.glob(pattern), *layout.columns.archive.glob(pattern)):
            with suppress(OSError):
                if folder.is_dir() and _is_old(folder, clocks.wall_ms):
                    folder.rmdir()


def _unlinked(paths: Iterable[Path]) -> Iterator[tuple[Path, OSError]]:
    """Delete them; yields those that refuse."""
    for path in paths:
        try:
            unlink(path, missing_ok=True)
        except OSError as error:
            yield path, error


def _old(paths: Iterable[Path], wall_ms: int) -> Iterator[Path]:
    """Those that no work in progress can own any more."""
    for path in paths:
        with suppress(OSError):
            if _is_old(path, wall_ms):
                yield path


def _finish(layout: Layout, doomed: Path, journal: Journal, wall_ms: int) -> None:
    name = former_path(doomed).relative_to(layout.root).as_posix()
    size_bytes = doomed.stat().st_size
    event = Retained(utc_text(wall_ms), "delete", name, "a deletion that was cut short", size_bytes, 0)
    finish_removal(doomed, partial(journal.append, event))


def _is_old(path: Path, wall_ms: int) -> bool:
    """A change in the future is of a clock set back: as good as long ago."""
    return abs(wall_ms - path.stat().st_mtime_ns // 1_000_000) >= SETTLE_MS
