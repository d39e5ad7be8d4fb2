"""The files of OKX's archive that are in the vault: where they lie, and what is known of each. Asks nobody.

A file has its name once all of it is there; what is still coming has a hidden one, with a note by which it goes on.
"""

from pathlib import Path
from typing import Final

import msgspec

from l2vault.history.naming import WHATS, Wanted, What, parse_name
from l2vault.vault.store.catalog import listed
from l2vault.vault.store.durable import hidden, unlink, write_atomically
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_small

_PART: Final = ".part"
_NOTE: Final = ".json"
_SAMPLE: Final = "sample-"


class FileNote(msgspec.Struct, frozen=True):
    """What is known of a file. `source` is `listed` by OKX's index, or `unlisted`: found at its documented address.
    `is_sample`: only the first part of it was fetched. `size_mb` is what the index said, 0 where it said nothing."""

    url: str
    source: str
    size_bytes: int
    size_mb: float
    etag: str = ""
    sha256: str = ""
    fetched_at: str = ""
    is_sample: bool = False


class Shelf:
    """The files of one vault."""

    def __init__(self, layout: Layout) -> None:
        self.root = layout.archive_files

    def path(self, wanted: Wanted, is_sample: bool = False) -> Path:
        """Where the file lies, or will."""
        return self.root / wanted.what / f"{_SAMPLE if is_sample else ''}{wanted.name}"

    def part(self, wanted: Wanted, is_sample: bool = False) -> Path:
        """The same file while it comes."""
        return hidden(self.path(wanted, is_sample), _PART)

    def part_bytes(self, wanted: Wanted, is_sample: bool = False) -> int:
        """How much of it came so far."""
        part = self.part(wanted, is_sample)
        return part.stat().st_size if part.exists() else 0

    def note(self, wanted: Wanted, is_sample: bool = False) -> FileNote | None:
        """What is known of a file that is here; None where it is not, or its note does not read."""
        path = self.path(wanted, is_sample)
        note = _read(path.with_name(path.name + _NOTE))
        if note is None or not path.is_file() or path.stat().st_size != note.size_bytes:
            return None
        return note

    def part_note(self, wanted: Wanted, is_sample: bool = False) -> FileNote | None:
        """By what a file that began to come goes on."""
        return _read(hidden(self.path(wanted, is_sample), _PART + _NOTE))

    def keep_part_note(self, wanted: Wanted, note: FileNote) -> None:
        """Note what is coming, before any of it is."""
        write_atomically(hidden(self.path(wanted, note.is_sample), _PART + _NOTE), msgspec.json.encode(note))

    def keep_note(self, wanted: Wanted, note: FileNote) -> None:
        """Note a file just before it gets its name: a note without its file says nothing."""
        path = self.path(wanted, note.is_sample)
        write_atomically(path.with_name(path.name + _NOTE), msgspec.json.encode(note))

    def drop_part(self, wanted: Wanted, is_sample: bool = False) -> None:
        """Forget what began to come."""
        unlink(self.part(wanted, is_sample), missing_ok=True)
        unlink(hidden(self.path(wanted, is_sample), _PART + _NOTE), missing_ok=True)

    def held(self, what: What, inst_id: str) -> list[Wanted]:
        """The whole files of an instrument that are here, oldest first; none of a day whose month is here too."""
        paths = listed(self.root / what, _passed_over)
        names = [wanted for path in paths if (wanted := parse_name(path.name, inst_id)) is not None]
        found = {wanted.date: wanted for wanted in names if self.note(wanted) is not None}
        return [found[date] for date in sorted(found) if date[:7] == date or date[:7] not in found]

    def held_within(self, what: What, inst_id: str, span: tuple[int, int]) -> list[Wanted]:
        """Those of them that have something of a half-open span of exchange time."""
        return [each for each in self.held(what, inst_id) if each.span[0] < span[1] and each.span[1] > span[0]]

    def instruments(self) -> list[str]:
        """Those of which books or trades are here."""
        names = {
            path.name.split("-L2orderbook-")[0].split("-trades-")[0]
            for what in WHATS
            for path in listed(self.root / what, _passed_over)
            if path.name[:1].isalnum() and not path.name.startswith((_SAMPLE, "allswap"))
        }
        return sorted(name for name in names if name.endswith("-SWAP"))


def _passed_over(folder: Path, error: OSError) -> None:
    """A folder that cannot be listed has nothing for us; whoever writes to it will hear why."""


def _read(path: Path) -> FileNote | None:
    try:
        return msgspec.json.decode(read_small(path), type=FileNote)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
