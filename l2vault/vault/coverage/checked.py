"""Which hours were read whole and found good, and the times of their lines: so that coverage need not read them again.

`{vault}/meta/okx/checked/{instId}/{date}.json.gz` holds a day of an instrument (`hour_notes`). It is made by retention,
by the recorder's task of closed hours, or where hours are archived by hand.
"""

from array import array
from collections.abc import Callable
from functools import cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from l2vault.vault.coverage.hour_notes import Day, FileStamp, HourNotes, closed_hours, file_stamp, stamp_of
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.journal.events import HourClosed
from l2vault.vault.store.catalog import Catalog, Finding, HourForms
from l2vault.vault.store.digest import digest_of
from l2vault.vault.store.durable import DRAFT_SUFFIX
from l2vault.vault.store.forms import hour_times
from l2vault.vault.store.layout import ArchivedHour, Layout

MOST_HOURS: Final = 100
"""Hours that one call checks, a fifth of a second each: an old vault is worked off in several passes."""


class CheckedHour(msgspec.Struct, frozen=True):
    """An hour that was read whole. `is_good`: every line read, and nothing else was in its files.

    `steps` are the milliseconds from the start of the hour to its first unflagged line, and from each to the next;
    `flagged` those from the start of the hour to each flagged line. `columns` are the column files that were made of
    exactly these lines, empty where none were; `no_columns` says why none can be, empty where nobody has failed.
    """

    files: list[FileStamp]
    steps: list[int]
    flagged: list[int]
    is_good: bool = True
    columns: list[FileStamp] = []
    no_columns: str = ""

    def times(self, hour_ms: int) -> "array[int]":
        """Exchange times of the unflagged lines, in order, milliseconds since the epoch."""
        return array("q", accumulate(self.steps, initial=hour_ms))[1:]

    @property
    def may_have_columns(self) -> bool:
        """An hour without a line has none, nor one whose lines make none."""
        return bool(self.steps or self.flagged) and not self.no_columns

    def flagged_times(self, hour_ms: int) -> "array[int]":
        return array("q", [hour_ms + each for each in self.flagged])


_DECODER: Final = msgspec.json.Decoder(Day[CheckedHour])


def checked_hours(layout: Layout) -> HourNotes[CheckedHour]:
    """What was checked of the books of a vault."""
    return HourNotes(layout, layout.checked_file, _DECODER)


def columns_of(layout: Layout, checked: CheckedHour | None, forms: HourForms) -> ArchivedHour | None:
    """The column files of an hour, if they are those that were made of the lines which it has now. `checked` is its
    note, as `HourNotes.hour` gives it."""
    if checked is None or not has_columns(layout, checked, forms):
        return None
    return layout.columns.archived_hour(forms.inst_id, forms.hour_ms)


def has_columns(layout: Layout, checked: CheckedHour, forms: HourForms) -> bool:
    """Whether the column files that were made of a checked hour are there as they were made."""
    return checked.columns == columns_stamp(layout, forms.inst_id, forms.hour_ms)


def contents_of(layout: Layout, forms: HourForms) -> tuple[int, str] | None:
    """Bytes and SHA-256 of what the raw files of an hour hold, uncompressed; None where they cannot be had."""
    try:
        digest = digest_of(layout.hour_file(forms.inst_id, forms.hour_ms)).value()
    except OSError:
        return None
    return digest.bytes, digest.sha256


def columns_stamp(layout: Layout, inst_id: str, hour_ms: int) -> list[FileStamp]:
    """The column files of an hour as the file system has them now."""
    return [file_stamp(layout, path) for path in layout.columns.archived_hour(inst_id, hour_ms).files]


class ColumnWork(NamedTuple):
    """Hours that lack their column files and may have them, the newest first, and column files whose hour has no raw
    file any more."""

    lacking: list[HourForms]
    stray: list[Path]


def column_work(layout: Layout, before_ms: int) -> ColumnWork:
    """What there is to do for column files of hours that ended before a time; loads no library for them."""
    catalog, checked, columns = Catalog(layout), checked_hours(layout), layout.columns
    lacking: list[HourForms] = []
    wanted: set[Path] = set()
    for inst_id in catalog.instruments():
        for forms in closed_hours(catalog.hours(inst_id), before_ms):
            if forms.raw and forms.archive is None:
                wanted.update(columns.archived_hour(inst_id, forms.hour_ms).files)
                hour = checked.hour(forms)
                if hour is not None and hour.may_have_columns and not has_columns(layout, hour, forms):
                    lacking.append(forms)
    held = columns.archive.glob("*/*/*/*.parquet")
    stray = [path for path in held if path not in wanted and columns.parse_archive_file(path) is not None]
    # A child that was ended in the middle leaves its draft: nobody else writes here while retention's lock is held.
    return ColumnWork(lacking, [*stray, *columns.archive.glob(f"*/*/*/.*{DRAFT_SUFFIX}")])


def note_columns(layout: Layout, forms: HourForms) -> None:
    """Note that the column files of an hour were made of the lines that were checked. With the lock of retention."""
    columns = columns_stamp(layout, forms.inst_id, forms.hour_ms)
    checked_hours(layout).change(forms, lambda note: msgspec.structs.replace(note, columns=columns))


def note_without_columns(layout: Layout, forms: HourForms, reason: str) -> None:
    """Note that the lines of an hour make no column files, and why. With the lock of retention."""
    checked_hours(layout).change(forms, lambda note: msgspec.structs.replace(note, no_columns=reason))


def check_hours(
    layout: Layout,
    before_ms: int,
    before_each: Callable[[Path], object] = lambda path: None,
    is_wanted: Callable[[HourForms], bool] = lambda forms: True,
    most: int | None = None,
) -> int:
    """Read hours that ended before a time and are not yet checked, those of `is_wanted`, the newest first, and note
    those that are good.

    Returns how many were read, good or not, `most` at most, by default `MOST_HOURS`. `before_each` is told which file
    comes; it may raise to end it. An hour is good if each of its lines reads, nothing else is in its files, and they
    hold what the journal noted when it was closed, where it did. Call it with the lock of retention held. Raises
    OSError where no note can be written.
    """
    catalog = Catalog(layout)
    closed_of = cache(JournalIndex(layout).closed_hours)

    def check(forms: HourForms) -> CheckedHour:
        return _check(catalog, closed_of(forms.inst_id).get(forms.hour_ms), forms)

    return checked_hours(layout).fill(
        catalog, before_ms, MOST_HOURS if most is None else most, check, before_each, is_wanted
    )


def _check(catalog: Catalog, closed: HourClosed | None, forms: HourForms) -> CheckedHour:
    before = stamp_of(catalog.layout, forms)
    findings: list[Finding] = []
    lines = list(hour_times(catalog, forms, False, findings.append))
    times = [line.ts_ms for line in lines if not line.is_flagged]
    bad = CheckedHour(before, [], [], is_good=False)
    if findings or times != sorted(times) or before != stamp_of(catalog.layout, forms):
        return bad
    if closed is not None and forms.raw and contents_of(catalog.layout, forms) != (closed.bytes, closed.sha256):
        return bad
    steps = [later - earlier for earlier, later in pairwise([forms.hour_ms, *times])]
    flagged = [line.ts_ms - forms.hour_ms for line in lines if line.is_flagged]
    return CheckedHour(before, steps, flagged)
