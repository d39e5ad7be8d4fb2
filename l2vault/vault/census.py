"""What data files a vault holds, with size and time of the last change. Opens none of them."""

import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from l2vault.vault.layout import Layout

Form = Literal["plain", "gzip", "archive"]


class Held(NamedTuple):
    """One hour of one instrument in one form, as it was found. `written_ms` is the wall time of its last change."""

    inst_id: str
    hour_ms: int
    form: Form
    path: Path
    size_bytes: int
    written_ms: int


def scan(layout: Layout) -> list[Held]:
    """Every data file, in no order; foreign files, pipes, and what vanishes meanwhile, are left out.

    An archived hour is one: by the path of its snapshots, with the size of both its files.
    """
    return [*_raw(layout), *_archived(layout)]


def _raw(layout: Layout) -> Iterator[Held]:
    for path in layout.raw.glob("*/*/*.jsonl*"):
        if (file := layout.parse_hour_file(path)) is None:
            continue
        with suppress(OSError):
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):
                continue
            form: Form = "gzip" if file.is_compressed else "plain"
            written_ms = facts.st_mtime_ns // 1_000_000
            yield Held(file.inst_id, file.hour_ms, form, path, facts.st_size, written_ms)


def _archived(layout: Layout) -> Iterator[Held]:
    for path in (layout.archive / "snapshots").glob("*/*/*.parquet"):
        if (hour := layout.parse_archive_file(path)) is None:
            continue
        with suppress(OSError):
            facts = path.stat()
            size_bytes = facts.st_size + (hour.levels.stat().st_size if hour.levels.exists() else 0)
            written_ms = facts.st_mtime_ns // 1_000_000
            yield Held(hour.inst_id, hour.hour_ms, "archive", path, size_bytes, written_ms)
