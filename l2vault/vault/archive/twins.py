"""Column files of closed hours: the archive's two files beside the lines, quickly made, for questions to read.

They lie under `{vault}/columns`, are worth no more than the time they spare, and go with their hour. A reader takes
them only while the note of the hour (`coverage.checked`) says that they were made of exactly the lines which it has
now. The archive itself, which may be all that is left of an hour, is never touched here.
"""

import logging
from typing import Final

from l2vault.errors import L2VaultError, VaultError
from l2vault.vault.archive.parquet import ZSTD_QUICK
from l2vault.vault.archive.read import CANNOT_READ, archived_lines
from l2vault.vault.archive.write import encoded_books
from l2vault.vault.coverage.checked import ColumnWork, note_columns, note_without_columns
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.store.catalog import Catalog, Finding, HourForms
from l2vault.vault.store.durable import unlink, write_atomically
from l2vault.vault.store.forms import PlacedLine, hour_lines
from l2vault.vault.store.layout import ArchivedHour, Layout

MOST_HOURS: Final = 24
"""Hours that one call makes columns of, two seconds each."""

_log = logging.getLogger(__name__)


def make_columns(layout: Layout, work: ColumnWork) -> int:
    """Make the column files that lack, those of `MOST_HOURS` hours at most, and delete the stray ones.

    Returns how many were made. Call it with the lock of retention held. Raises OSError where they cannot be written.
    """
    catalog, journal = Catalog(layout), JournalIndex(layout)
    made = sum(_make(catalog, journal, forms) for forms in work.lacking[:MOST_HOURS])
    for path in work.stray:
        unlink(path, missing_ok=True)
    return made


def _make(catalog: Catalog, journal: JournalIndex, forms: HourForms) -> bool:
    """Whether the hour has its columns now. Of one whose lines make none that is said once, and noted: it is not tried
    again before its files change."""
    try:
        lines = list(hour_lines(catalog, forms, False, _refuse))
        if not _gives_back(catalog.layout.columns.archived_hour(forms.inst_id, forms.hour_ms), lines):
            _write(catalog, journal, forms, lines)
    except (L2VaultError, ValueError) as error:  # pyarrow's are ValueErrors
        _log.warning("no column files of the hour of %s: %s", forms.every[0].path, error)
        note_without_columns(catalog.layout, forms, str(error))
        return False
    note_columns(catalog.layout, forms)
    return True


def _gives_back(archived: ArchivedHour, lines: list[PlacedLine]) -> bool:
    """As after compression, which changes the files of an hour and none of its lines."""
    try:
        return archived_lines(archived) == [line.text for line in lines]
    except CANNOT_READ:
        return False


def _write(catalog: Catalog, journal: JournalIndex, forms: HourForms, lines: list[PlacedLine]) -> None:
    archived = catalog.layout.columns.archived_hour(forms.inst_id, forms.hour_ms)
    contents = encoded_books(catalog, journal, lines, forms.inst_id, forms.hour_ms, ZSTD_QUICK)
    for path, content in zip(archived.files, contents, strict=True):
        write_atomically(path, content)
        if path.read_bytes() != content:
            raise OSError(f"{path} does not read back as it was written")


def _refuse(finding: Finding) -> None:
    raise VaultError(f"{finding.path} at byte {finding.offset}: {finding.reason}.")
