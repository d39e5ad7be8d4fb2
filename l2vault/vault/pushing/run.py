"""A push: what is due against what the store has, each file sent once and read back, and each day committed at its end.

A day's manifest is `manifest/{date}/{number}.json`; the one of the greatest number counts. It is made under a number
that is free, so of two pushes one learns that it was too late, reads the other's manifest and goes on from there.
Killed at any moment, the next push finds by their SHA-256 the objects that no manifest names yet.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import count
from typing import Final, NamedTuple

import msgspec

from l2vault.book.utc import utc_ms
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.vault.pushing.hold import Due, is_date
from l2vault.vault.pushing.objects import Objects
from l2vault.vault.store.days import DAY_KINDS
from l2vault.vault.store.digest import digest_of
from l2vault.vault.store.durable import refusals, write_atomically
from l2vault.vault.store.layout import KINDS, Layout, packed_path
from l2vault.vault.store.pushed import FORM, Manifest, Note, PushNotes, StoredFile
from l2vault.vault.store.stream import stamp_of

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all and the name of the file whose turn it is."""

_OWNER_KEY: Final = "l2vault.json"
_MANIFESTS: Final = "manifest"
_KEY_CHARS: Final = 16
_ATTEMPTS: Final = 20
"""Of committing a day while others commit it too."""


class Owner(msgspec.Struct, frozen=True):
    """Whose a place in a store is: the same file stands in the vault."""

    form: int
    vault: str


class Step(NamedTuple):
    """A file to be sent. `is_changed`: the store has other bytes of that name."""

    due: Due
    size_bytes: int
    is_changed: bool


class Damaged(NamedTuple):
    """An object whose bytes are not those that were pushed, and what is wrong with it."""

    date: str
    name: str
    what: str


class Report(msgspec.Struct):
    """What a push did. `found` were in the store already, of a push that was cut short."""

    sent: int = 0
    sent_bytes: int = 0
    found: int = 0
    unchanged: int = 0
    changed: list[str] = []
    replaced: list[str] = []
    """Names that are no longer needed: their lines are in another form of the hour."""
    gone: int = 0
    """Compressed or deleted meanwhile: the next push takes what there is then."""
    failed: list[str] = []


class _Looked(NamedTuple):
    """What a look at the files of a day finds: what is to be sent, the stamps, with those of files that were touched or
    copied and are the same, how many are unchanged since another push, and how many are gone since they were listed."""

    steps: list[Step]
    stamps: dict[str, tuple[int, int]]
    unchanged: int
    gone: int


class _Day(NamedTuple):
    number: int
    manifest: Manifest
    stamps: dict[str, tuple[int, int]]
    undeleted: list[str]


class Push:
    """Call with the lock of pushes held, or for a dry run `plan` alone, which changes nothing anywhere."""

    def __init__(self, layout: Layout, objects: Objects, due: Sequence[Due]) -> None:
        self._layout = layout
        self._objects = objects
        self._notes = PushNotes(layout, objects.url)
        self._due: dict[str, list[Due]] = {}
        for each in due:
            self._due.setdefault(each.date, []).append(each)
        self._numbers: dict[str, int] | None = None
        self._damaged: dict[str, set[str]] = {}
        self._digests: dict[str, tuple[tuple[int, int], str]] = {}
        """By name the stamp that a file had and the SHA-256 of what is pushed of it: the same file is read once."""
        self._sent: set[str] = set()
        """Keys of what was sent."""
        self.report = Report()

    def check_owner(self, may_make: bool) -> None:
        """Raises VaultError where another vault was pushed to this place."""
        path = self._layout.pushed / _OWNER_KEY
        ours = _owner_in(path.read_bytes()) if path.is_file() else None
        found = self._objects.read(_OWNER_KEY)
        theirs = _owner_in(found) if found is not None else None
        if found is None and may_make:
            owner = ours or Owner(FORM, secrets.token_hex(8))
            with refusals(path, "Nothing was pushed"):
                write_atomically(path, msgspec.json.encode(owner))
            if not self._objects.create(_OWNER_KEY, msgspec.json.encode(owner)):
                self.check_owner(may_make)
        elif found is not None and (theirs is None or theirs != ours):
            raise VaultError(
                f"{printable(self._objects.url)} holds what another vault pushed.",
                f"a prefix of its own; or, if this vault is that one brought back, its {_OWNER_KEY} as {path}",
            )

    def plan(self) -> list[Step]:
        """What is to be sent, in order. Raises VaultError where the store refuses."""
        return [step for date in sorted(self._due) for step in self._look(date, self._day(date)).steps]

    def verify(self, progress: Progress) -> list[Damaged]:
        """Read every object of every day anew; what is damaged, `run` then sends again where the vault has it."""
        found: list[Damaged] = []
        days = [self._day(date).manifest for date in sorted(self._known())]
        total, done = sum(each.bytes for day in days for each in day.files.values()), 0
        for day in days:
            for name, stored in day.files.items():
                progress(done, total, name)
                done += stored.bytes
                actual = self._objects.digest(stored.key)
                if actual != (stored.bytes, stored.sha256):
                    what = "is not there" if actual is None else f"has SHA-256 {actual[1]}, not {stored.sha256}"
                    found.append(Damaged(day.date, name, what))
                    self._damaged.setdefault(day.date, set()).add(name)
        return found

    def run(self, progress: Progress) -> Report:
        """Send, read back and commit, day by day. Raises VaultError where the store refuses; earlier days stay done."""
        total, done = sum(step.size_bytes for step in self.plan()), 0

        def show(name: str, size_bytes: int) -> None:
            nonlocal done
            progress(done, total, name)
            done = min(total, done + size_bytes)

        for date in sorted(self._due):
            self._push_day(date, show)
        progress(total, total, "")
        return self.report

    def _push_day(self, date: str, show: Callable[[str, int], None]) -> None:
        for _ in range(_ATTEMPTS):
            day = self._day(date)
            looked, of_day = self._look(date, day), Report()
            new = self._send(day._replace(stamps=looked.stamps), looked.steps, of_day, show)
            number = day.number
            if new != day.manifest:
                number += 1
                if not self._commit(number, new):
                    self._numbers = None  # another push was first: what it committed is the beginning of ours
                    continue
            dropped = [*day.undeleted, *new.dropped[len(day.manifest.dropped) :]]
            self._note(Note(number, new, looked.stamps, dropped))
            of_day.unchanged, of_day.gone = looked.unchanged, of_day.gone + looked.gone
            self._count(of_day)
            return
        raise VaultError(f"another push commits {date} all the time.", "one push of a vault at a time")

    def _count(self, of_day: Report) -> None:
        """Once a day is committed: a day that another push committed meanwhile is looked at again."""
        report = self.report
        report.found += of_day.found
        report.unchanged += of_day.unchanged
        report.gone += of_day.gone
        report.changed += of_day.changed
        report.replaced += of_day.replaced
        report.failed += of_day.failed

    def _note(self, note: Note) -> None:
        """The note comes before the deletions, so that a kill among them leaves none behind."""
        date = note.manifest.date
        with refusals(self._layout.pushed, f"{date} is pushed, but that is not noted; nothing is sent twice"):
            if note != self._notes.note(date):
                self._notes.write(note)
            for key in note.undeleted:
                self._objects.delete(key)
            if note.undeleted:
                self._notes.write(msgspec.structs.replace(note, undeleted=[]))
        if self._numbers is not None and note.number:
            self._numbers[date] = note.number
        self._damaged.pop(date, None)

    def _send(self, day: _Day, steps: Sequence[Step], of_day: Report, show: Callable[[str, int], None]) -> Manifest:
        """The objects; returns the manifest that names them. `day.stamps` gets those of what was read, `of_day` what
        became of it but for what was sent, which `report` counts at once."""
        files, former = dict(day.manifest.files), {name: list(each) for name, each in day.manifest.former.items()}
        dropped, stamps = list(day.manifest.dropped), day.stamps
        for name in self._repaired(day):
            dropped.append(files.pop(name).key)
            stamps.pop(name, None)
        for step in steps:
            name, before = step.due.name, files.get(step.due.name)
            show(name, step.size_bytes)
            try:
                stamp = stamp_of(step.due.path)
                data = _contents(step.due)
            except FileNotFoundError:
                of_day.gone += 1
                continue
            except OSError as error:
                of_day.failed.append(f"{name}: {printable(error.strerror or error)}")
                continue
            stored = self._stored(name, data, {*dropped, *_keys_in(files, former)}, of_day)
            files[name], stamps[name] = stored, stamp
            if before is not None and step.due.is_growing:
                dropped.append(before.key)
            elif before is not None:
                former.setdefault(name, []).append(before)
                of_day.changed.append(name)
        for name in self._superseded(day.manifest.date, files):
            stored = files.pop(name)
            stamps.pop(name, None)
            if self._is_held_elsewhere(name, stored):
                dropped.append(stored.key)
                of_day.replaced.append(name)
            else:
                former.setdefault(name, []).append(stored)
                of_day.changed.append(name)
        return Manifest(FORM, day.manifest.date, files, former, dropped)

    def _stored(self, name: str, data: bytes, taken: set[str], of_day: Report) -> StoredFile:
        """Where these bytes stand in the store, sent now unless they do so already."""
        wanted = len(data), sha256(data).hexdigest()
        for key in _keys(name, wanted[1]):
            if key in taken:
                continue
            found = self._objects.digest(key)
            is_sent = found is None and self._objects.create(key, data)
            if found is None:
                found = self._objects.digest(key)
            if found == wanted:
                if is_sent:
                    self._sent.add(key)
                    self.report.sent += 1
                    self.report.sent_bytes += len(data)
                elif key not in self._sent:
                    of_day.found += 1
                return StoredFile(*wanted, key)
            if is_sent:
                self._objects.delete(key)
                raise VaultError(f"the store gives other bytes of {key} than were sent.", "the same again")
        raise AssertionError("keys have no end")

    def _commit(self, number: int, manifest: Manifest) -> bool:
        """Whether this manifest has the number now; a request that was repeated on the way may have made it before."""
        key, data = _manifest_key(manifest.date, number), msgspec.json.encode(manifest)
        return self._objects.create(key, data) or self._objects.read(key) == data

    def _repaired(self, day: _Day) -> list[str]:
        """Damaged objects whose file the vault still has."""
        held = {due.name for due in self._due[day.manifest.date]}
        return sorted(self._damaged.get(day.manifest.date, set()) & held & set(day.manifest.files))

    def _superseded(self, date: str, files: dict[str, StoredFile]) -> list[str]:
        """Names of the manifest that the vault has no more, while it has the hour or day in another form, pushed."""
        held = {due.name for due in self._due[date] if due.name in files}
        hours = {self._hour(name) for name in held} - {None}
        gone = [name for name in files if name not in held and not (self._layout.root / name).exists()]
        return [name for name in gone if self._hour(name) in hours]

    def _hour(self, name: str) -> tuple[str, str, int] | None:
        path = self._layout.root / name
        for layout in map(self._layout.of, KINDS):
            hour = layout.parse_hour_file(path) or layout.parse_archive_file(path)
            if hour is not None:
                return layout.kind, hour.inst_id, hour.hour_ms
        if path.parent in map(self._layout.day_folder, DAY_KINDS):
            return path.parent.name, "", utc_ms(f"{path.name[:10]}T00:00:00.000Z")
        return None

    def _is_held_elsewhere(self, name: str, stored: StoredFile) -> bool:
        """Of a `.jsonl`, whether its `.gz` has the same contents; retention itself checks what it archives."""
        path = self._layout.root / name
        if not name.endswith(".jsonl") or not packed_path(path).exists():
            return True
        try:
            return digest_of(path).value().sha256 == stored.sha256
        except OSError:
            return False

    def _look(self, date: str, day: _Day) -> _Looked:
        repaired, steps, stamps = set(self._repaired(day)), [], dict(day.stamps)
        unchanged = gone = 0
        for due in self._due[date]:
            stored = None if due.name in repaired else day.manifest.files.get(due.name)
            try:
                stamp = stamp_of(due.path)
                is_same = stored is not None and (
                    stamps.get(due.name) == stamp or self._digest(due, stamp) == stored.sha256
                )
            except FileNotFoundError:
                gone += 1
                continue
            except OSError:  # it is read again when its turn comes, and named then
                steps.append(Step(due, 0, stored is not None))
                continue
            if stored is not None and is_same:
                stamps[due.name] = stamp
                unchanged += stored.key not in self._sent
            else:
                steps.append(Step(due, stamp[0], stored is not None))
        return _Looked(steps, stamps, unchanged, gone)

    def _digest(self, due: Due, stamp: tuple[int, int]) -> str:
        """Of what is pushed of a file that has this stamp."""
        known = self._digests.get(due.name)
        if known is None or known[0] != stamp:
            known = self._digests[due.name] = stamp, sha256(_contents(due)).hexdigest()
        return known[1]

    def _day(self, date: str) -> _Day:
        """What is pushed of a day: by our note, unless the store has a newer manifest."""
        number, note = self._known().get(date, 0), self._notes.note(date)
        if note is not None and note.number == number:
            return _Day(number, note.manifest, note.stamps, note.undeleted)
        if number == 0:
            return _Day(0, Manifest(FORM, date), {}, [])
        key = _manifest_key(date, number)
        try:
            manifest = msgspec.json.decode(self._objects.read(key) or b"", type=Manifest)
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            text = f"{key} in {printable(self._objects.url)} is no manifest: {printable(error)}."
            raise VaultError(text, "delete that object, then the same again: the one before it counts") from error
        if manifest.form != FORM or manifest.date != date:
            text = f"{key} in {printable(self._objects.url)} is of form {manifest.form}, of {printable(manifest.date)}."
            raise VaultError(text, "push with the version of l2vault that made it")
        before = {} if note is None else note.stamps
        same = {name for name in before if note is not None and _has_same(note.manifest, manifest, name)}
        return _Day(number, manifest, {name: before[name] for name in same}, list(manifest.dropped))

    def _known(self) -> dict[str, int]:
        """By date the greatest number of a manifest in the store."""
        if self._numbers is None:
            self._numbers = {}
            for key in self._objects.keys(_MANIFESTS):
                _, date, name = (key.split("/") + ["", ""])[:3]
                digits = name.removesuffix(".json")
                if is_date(date) and digits.isdecimal():
                    self._numbers[date] = max(self._numbers.get(date, 0), int(digits))
        return self._numbers


def _contents(due: Due) -> bytes:
    """What is pushed of a file: all of it, or up to its last whole line where lines may still be appended."""
    data = due.path.read_bytes()
    return data[: data.rfind(b"\n") + 1] if due.is_growing else data


def _has_same(one: Manifest, other: Manifest, name: str) -> bool:
    return name in one.files and one.files[name] == other.files.get(name)


def _keys(name: str, digest: str) -> Iterator[str]:
    """Keys for a file's bytes, in the order in which they are tried: its name, then its name with its digest."""
    with_digest = f"{name}.{digest[:_KEY_CHARS]}"
    yield name
    yield with_digest
    yield from (f"{with_digest}.{number}" for number in count(2))


def _keys_in(files: dict[str, StoredFile], former: dict[str, list[StoredFile]]) -> set[str]:
    every = [*files.values(), *(each for several in former.values() for each in several)]
    return {stored.key for stored in every}


def _manifest_key(date: str, number: int) -> str:
    return f"{_MANIFESTS}/{date}/{number:06d}.json"


def _owner_in(data: bytes) -> Owner | None:
    try:
        return msgspec.json.decode(data, type=Owner)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
