"""The archive of an hour: two Parquet files that give its lines back byte for byte, checked before anyone relies on it.

Order of work, so that a kill at any point loses nothing: first the rows, then the snapshots, whose file is what makes
the hour an archived one; both are compared with what was meant to be written. The original is never touched here.
An hour of books that has its column files (`twins`) gets those, compressed again, since they are the same two files:
that they give back its lines is proved all the same. Any other is made of its lines.
Of changes the rows are the levels of each message, and the messages stand in the place of the snapshots. Of trades and
context there is one file.
"""

import gzip
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from l2vault.errors import LineError, VaultError
from l2vault.vault.archive.build import HourContext, build_hour, readable
from l2vault.vault.archive.change_columns import changes_of, read_changes
from l2vault.vault.archive.change_files import KIND as CHANGES
from l2vault.vault.archive.change_files import UNITS as CHANGE_UNITS
from l2vault.vault.archive.change_files import decode_changes, encode_changes
from l2vault.vault.archive.intervals import Hour
from l2vault.vault.archive.parquet import (
    SCHEMA_VERSION,
    ZSTD_SMALL,
    Facts,
    encode_levels,
    encode_snapshots,
    facts_of,
    hour_text,
    opened,
    read_levels,
    read_snapshots,
    recompressed,
)
from l2vault.vault.archive.read import CANNOT_READ, archived_lines
from l2vault.vault.archive.rebuild import lines_of_hour
from l2vault.vault.archive.rows import FORMS, RowForm, decode_rows, encode_rows
from l2vault.vault.coverage.checked import checked_hours, columns_of
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.store.catalog import Catalog, Finding, HourForms
from l2vault.vault.store.durable import sync_folder, unlink, write_atomically
from l2vault.vault.store.forms import PlacedLine, first_ms, hour_lines
from l2vault.vault.store.layout import HOUR_MS, ArchivedHour, HourFile, Layout

_GZIP_LEVEL: Final = 4
"""Of what is restored: a third of the time of 6, and 13 % larger (measured on an hour of real books)."""
_CURE: Final = "l2vault verify, to see what is wrong with the hour; until then it stays as it is"


def archive_hour(layout: Layout, hour_file: HourFile, journal: JournalIndex | None = None) -> int:
    """Archive the hour of `hour_file` from all its raw forms; returns the bytes of its files. `journal` is the vault's,
    for who archives many hours.

    When it returns, every line of the hour is in the archive and the raw forms may go. Safe to repeat. Raises
    VaultError, and leaves the hour as it was, if a line is torn, foreign or altered, naming file and offset.
    """
    inst_id, hour_ms = hour_file.inst_id, hour_file.hour_ms
    catalog = Catalog(layout)
    forms = catalog.hour(inst_id, hour_ms)
    archived = layout.archived_hour(inst_id, hour_ms)
    lines = list(hour_lines(catalog, forms, False, _refuse))
    if not lines:
        raise VaultError(f"{hour_file.path}: no line to archive.", _CURE)
    if forms.archive is not None:
        trouble, given = checked_lines(archived)
        if trouble is None and given == [line.text for line in lines]:
            return _size(archived)
        _write_raw(hour_file, lines)
        remove_archive(archived)
    moved = moved_columns(catalog, forms, lines) if layout.kind == "books" else None
    made = moved or _encoded(catalog, lines, archived, journal or JournalIndex(layout))
    for path, content in zip(archived.files[-len(made) :], made, strict=True):
        write_atomically(path, content)
        if path.read_bytes() != content:
            raise VaultError(f"{path}: does not read back as it was written.", "check the disk")
    return _size(archived)


def restore_hour(archived: ArchivedHour, target: Path) -> int:
    """Write the lines of an archived hour to `target`, gzipped if its name ends in `.gz`; returns how many.

    The archive stays. Raises VaultError if `target` exists or the archive contradicts itself.
    """
    if target.exists():
        raise VaultError(f"{target} is there already.", "another folder, or remove it first")
    trouble, lines = checked_lines(archived)
    if trouble is not None:
        raise VaultError(f"{archived.snapshots}: {trouble}.", "fetch both files of the hour from a backup")
    write_atomically(target, _contents(lines, target.suffix == ".gz"))
    return len(lines)


def check_archive(archived: ArchivedHour) -> str | None:
    """What is wrong with an archived hour, in words, or None: it must give back exactly the lines it was made of."""
    return checked_lines(archived)[0]


def checked_lines(archived: ArchivedHour) -> tuple[str | None, list[bytes]]:
    """What is wrong with an archived hour, in words, and the lines that it gives back."""
    try:
        with opened(archived.snapshots) as file:
            facts = facts_of(file)
        lines = archived_lines(archived)
    except CANNOT_READ as error:
        return f"cannot be read ({error})", []
    if (facts.inst_id, facts.hour_utc) != (archived.inst_id, hour_text(archived.hour_ms)):
        return f"is the archive of {facts.inst_id}, {facts.hour_utc} h UTC", lines
    made = _facts(archived.inst_id, archived.hour_ms, lines, facts.kind)
    if facts != msgspec.structs.replace(made, schema_version=facts.schema_version, units=facts.units):
        return "does not give back the lines it was made of", lines
    return None, lines


def remove_archive(archived: ArchivedHour) -> None:
    """Delete both files, in the order in which a kill leaves no half of an archive that looks like a whole one."""
    for path in (archived.snapshots, archived.levels):
        unlink(path, missing_ok=True)
        if path.parent.exists():
            sync_folder(path.parent)


def _refuse(finding: Finding) -> None:
    raise VaultError(f"{finding.path} at byte {finding.offset}: {finding.reason}.", _CURE)


def _encoded(
    catalog: Catalog, lines: list[PlacedLine], archived: ArchivedHour, journal: JournalIndex
) -> tuple[bytes, ...]:
    """What is to be in each file, in the order in which they are made."""
    inst_id, hour_ms, kind = archived.inst_id, archived.hour_ms, catalog.layout.kind
    if kind in FORMS:
        return (_encoded_rows(lines, inst_id, hour_ms, FORMS[kind]),)
    if kind == "changes":
        return _encoded_changes(lines, inst_id, hour_ms)
    return encoded_books(catalog, journal, lines, inst_id, hour_ms)


def moved_columns(catalog: Catalog, forms: HourForms, lines: list[PlacedLine]) -> tuple[bytes, bytes] | None:
    """The two files of an hour of books from its column files, after a look at what they give back; None where it has
    none, or none that give back these lines."""
    columns = columns_of(catalog.layout, checked_hours(catalog.layout).hour(forms), forms)
    if columns is None:
        return None
    facts = _facts(forms.inst_id, forms.hour_ms, [line.text for line in lines])
    try:
        with opened(columns.levels) as levels, opened(columns.snapshots) as snapshots:
            if facts_of(levels) != facts or facts_of(snapshots) != facts:
                return None
            contents = recompressed(levels, snapshots, facts)
        _compare(_lines_in(contents, forms.inst_id), lines)
    except CANNOT_READ:
        return None
    return contents


def _encoded_rows(lines: list[PlacedLine], inst_id: str, hour_ms: int, form: RowForm) -> bytes:
    """The file of an hour of trades, context, deep or RPI books, after a look at what it gives back."""
    texts = [line.text for line in lines]
    facts = _facts(inst_id, hour_ms, texts, form.kind)
    try:
        content = encode_rows(texts, form, facts)
    except LineError:
        for line in lines:
            try:
                encode_rows([line.text], form, facts)
            except LineError as error:
                _refuse(Finding(line.path, line.offset, error.message))
        raise
    _compare(decode_rows(pq.ParquetFile(pa.BufferReader(content))), lines)
    return content


def encoded_books(
    catalog: Catalog,
    journal: JournalIndex,
    lines: list[PlacedLine],
    inst_id: str,
    hour_ms: int,
    zstd_level: int = ZSTD_SMALL,
) -> tuple[bytes, bytes]:
    """The two files of an hour of books, after a look at what they give back."""
    setting = HourContext(journal.history(inst_id), first_ms(catalog.hour(inst_id, hour_ms + HOUR_MS)))
    hour = build_hour(readable(lines, inst_id, _refuse), inst_id, hour_ms, setting)
    facts = _facts(inst_id, hour_ms, [line.text for line in lines])
    contents = encode_levels(hour.levels, facts, zstd_level), encode_snapshots(hour.snapshots, facts, zstd_level)
    _compare(_lines_in(contents, inst_id), lines)
    return contents


def _lines_in(contents: tuple[bytes, bytes], inst_id: str) -> list[bytes]:
    """What the two files of an hour of books give back."""
    levels, snapshots = (pq.ParquetFile(pa.BufferReader(content)) for content in contents)
    return lines_of_hour(Hour(read_levels(levels), read_snapshots(snapshots)), inst_id)


def _encoded_changes(lines: list[PlacedLine], inst_id: str, hour_ms: int) -> tuple[bytes, bytes]:
    """The two files of an hour of changes, after a look at what they give back."""
    texts = [line.text for line in lines]
    try:
        contents = encode_changes(read_changes(texts, inst_id), _facts(inst_id, hour_ms, texts, CHANGES))
    except LineError:
        for line in lines:
            try:
                read_changes([line.text], inst_id)
            except LineError as error:
                _refuse(Finding(line.path, line.offset, error.message))
        raise
    events, messages = (pq.ParquetFile(pa.BufferReader(content)) for content in contents)
    _compare(changes_of(decode_changes(events, messages), inst_id), lines)
    return contents


def _compare(rebuilt: list[bytes], lines: list[PlacedLine]) -> None:
    for line, text in zip(lines, rebuilt, strict=True):
        if line.text != text:
            _refuse(Finding(line.path, line.offset, "a line that its levels do not give back: unsorted or altered"))


def _facts(inst_id: str, hour_ms: int, lines: list[bytes], kind: str = "books") -> Facts:
    digest = blake2b(digest_size=16)
    for line in lines:
        digest.update(line)
        digest.update(b"\n")
    size_bytes = sum(len(line) + 1 for line in lines)
    facts = Facts(inst_id, hour_text(hour_ms), len(lines), size_bytes, digest.hexdigest())
    if kind in FORMS:
        return msgspec.structs.replace(facts, kind=kind, channel=FORMS[kind].channel, units=FORMS[kind].units)
    if kind == CHANGES:
        return msgspec.structs.replace(facts, kind=kind, units=CHANGE_UNITS)
    return msgspec.structs.replace(facts, schema_version=SCHEMA_VERSION)


def _write_raw(hour_file: HourFile, lines: list[PlacedLine]) -> None:
    """Bring lines that only the archive has back into the raw file, so that the archive may be made anew."""
    write_atomically(hour_file.path, _contents([line.text for line in lines], hour_file.is_compressed))


def _contents(lines: list[bytes], is_compressed: bool) -> bytes:
    contents = b"".join(line + b"\n" for line in lines)
    return gzip.compress(contents, _GZIP_LEVEL, mtime=0) if is_compressed else contents


def _size(archived: ArchivedHour) -> int:
    levels_bytes = archived.levels.stat().st_size if archived.levels.exists() else 0
    return levels_bytes + archived.snapshots.stat().st_size
