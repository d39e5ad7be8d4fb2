"""What `l2vault push` noted of files that stand in an object store: the one place that says whether a file is pushed.

`{vault}/meta/okx/pushed/{place}/{date}.json` is the manifest of that day as it was last committed in the store, with
size and time of change that each file had then. Written after the commit; knows no network.
"""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from l2vault.book.utc import utc_text
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.durable import write_atomically
from l2vault.vault.store.layout import Kind, Layout, levels_beside
from l2vault.vault.store.stream import read_small, stamp_of

FORM: Final = 1
LARGEST_BYTES: Final = 256 << 20
"""A day of 500 instruments of all kinds takes 20 MB."""
_PLACE_CHARS: Final = 16


class StoredFile(msgspec.Struct, frozen=True):
    """A file of the vault in the store: its bytes and their SHA-256, and the key under which it stands."""

    bytes: int
    sha256: str
    key: str


class Manifest(msgspec.Struct, frozen=True):
    """The files of a day by their names in the vault. `former` are earlier bytes of a name, which stay. `dropped` are
    keys that are never used again: what stood there is in another file, or was damaged, and is deleted."""

    form: int
    date: str
    files: dict[str, StoredFile] = {}
    former: dict[str, list[StoredFile]] = {}
    dropped: list[str] = []


class Note(msgspec.Struct, frozen=True):
    """The manifest of `number`, and of each of its files size and time of change (nanoseconds) when it was read.
    `undeleted` are keys of `dropped` whose objects may still stand in the store."""

    number: int
    manifest: Manifest
    stamps: dict[str, tuple[int, int]] = {}
    undeleted: list[str] = []


class PushNotes:
    """The notes of one vault and one place in a store, `url`."""

    def __init__(self, layout: Layout, url: str) -> None:
        self._root = layout.root
        self._folder = layout.pushed / sha256(url.rstrip("/").encode()).hexdigest()[:_PLACE_CHARS]
        self._read: dict[str, Note | None] = {}

    def note(self, date: str) -> Note | None:
        """None where there is none, or none that reads."""
        if date not in self._read:
            try:
                note = msgspec.json.decode(read_small(self._folder / f"{date}.json", LARGEST_BYTES), type=Note)
            except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
                note = None
            self._read[date] = note if note is not None and note.manifest.form == FORM else None
        return self._read[date]

    def write(self, note: Note) -> None:
        """Raises OSError."""
        write_atomically(self._folder / f"{note.manifest.date}.json", msgspec.json.encode(note))
        self._read[note.manifest.date] = note

    def are_pushed(self, date: str, paths: Iterable[Path]) -> bool:
        """Whether each of these files of a day stands in the store as it is now."""
        note = self.note(date)
        return note is not None and all(self._is_pushed(note, path) for path in paths)

    def _is_pushed(self, note: Note, path: Path) -> bool:
        name = path.relative_to(self._root).as_posix()
        try:
            return name in note.manifest.files and note.stamps.get(name) == stamp_of(path)
        except OSError:
            return False


def unpushed_hours(layout: Layout, url: str, files: Iterable[StoredHour]) -> set[tuple[Kind, str, int]]:
    """Hours of which some file does not stand in the store at `url` as it is now; none at all without an address."""
    if not url:
        return set()
    notes, found = PushNotes(layout, url), set()
    for held in files:
        paths = [held.path]
        if held.form == "archive" and levels_beside(held.path).exists():
            paths.append(levels_beside(held.path))
        if not notes.are_pushed(utc_text(held.hour_ms)[:10], paths):
            found.add(held.kind_key)
    return found
