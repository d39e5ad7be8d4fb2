"""Which files of a vault are due to be pushed, and of which day each is. Reads names, sizes and times alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from l2vault.book.utc import DAY_MS, utc_ms, utc_text
from l2vault.vault.journal.log import journal_files
from l2vault.vault.retention.plan import SETTLE_MS, is_fresh
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.days import DAY_KINDS, day_files
from l2vault.vault.store.layout import HOUR_MS, KINDS, Layout, levels_beside
from l2vault.vault.store.lock import open_hours

ROWS: Final = "instruments"
"""In the place of a date: OKX's rows of the instruments, which are of no day."""


class Due(NamedTuple):
    """A file, its name in the vault and the day, `YYYY-MM-DD`, in whose manifest it stands. `is_growing`: lines may be
    appended at any moment, so it is taken up to its last whole line."""

    date: str
    name: str
    path: Path
    is_growing: bool = False


def due_files(layout: Layout, wall_ms: int) -> list[Due]:
    """By day, files of an hour or day that has ended and to which nobody has written for ten minutes; the journal and
    the rows of the instruments last. An hour that this machine's clock ends too early is pushed anew when it grows."""
    found = [*_hours(layout, wall_ms), *_days(layout, wall_ms)]
    for path in journal_files(layout):
        found.append(Due(path.stem, _name(layout, path), path, is_growing=True))
    found += [Due(ROWS, _name(layout, path), path) for path in layout.instruments.glob("*.json") if path.is_file()]
    return sorted(found, key=lambda due: (due.date, due.is_growing, due.name))


def _name(layout: Layout, path: Path) -> str:
    return path.relative_to(layout.root).as_posix()


def _hours(layout: Layout, wall_ms: int) -> Iterator[Due]:
    opened = open_hours(layout)
    for kind in KINDS:
        for held in Catalog(layout.of(kind)).files():
            is_over = held.hour_ms + HOUR_MS <= wall_ms and held.key not in opened
            if is_over and not is_fresh(held, wall_ms):
                date = utc_text(held.hour_ms)[:10]
                paths = [held.path, levels_beside(held.path)] if held.form == "archive" else [held.path]
                for path in paths:
                    if path.is_file():
                        yield Due(date, _name(layout, path), path)


def _days(layout: Layout, wall_ms: int) -> Iterator[Due]:
    for kind in DAY_KINDS:
        for day in day_files(layout, kind):
            if day.day_ms + DAY_MS <= wall_ms and abs(wall_ms - day.written_ms) >= SETTLE_MS:
                yield Due(utc_text(day.day_ms)[:10], _name(layout, day.path), day.path)


def is_date(text: str) -> bool:
    """Whether a manifest may be named so."""
    try:
        return text == ROWS or utc_ms(f"{text}T00:00:00.000Z") >= 0
    except ValueError:
        return False
