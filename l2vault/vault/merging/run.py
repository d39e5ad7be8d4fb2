"""The whole of a merge, hour by hour: which hours are due, each written whole, noted in the journal, noted as done.

The note of an hour is written last: whatever moment a merge is killed at, the next one does the hours that have no
note, or whose vaults have changed since, and finds in the result what it has written already.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.journal.events import HourClosed, Retained, Started
from l2vault.vault.journal.log import Journal, read_journal
from l2vault.vault.journal.merge_events import Merged
from l2vault.vault.journal.places import closed_hours
from l2vault.vault.merging.books import TARGET
from l2vault.vault.merging.days import merge_days
from l2vault.vault.merging.hours import Brought, HourPlanner, Plan
from l2vault.vault.merging.source import Source, Stamp, with_gaps
from l2vault.vault.store.catalog import HourForms
from l2vault.vault.store.digest import HourDigest, RunningDigest, digest_of
from l2vault.vault.store.durable import refusals, sync_folder, unlink, write_atomically
from l2vault.vault.store.layout import KINDS, Kind, Layout, packed_path
from l2vault.vault.store.stream import read_small

Progress = Callable[[int, int, str], None]
_FORM: Final = 1
_GZIP_WBITS: Final = 31
_LEVEL: Final = 6


class Note(msgspec.Struct, frozen=True):
    """What was noted of a merged hour. `stamps` are the files of each vault as they were; `brought` has, in the order
    of the lines, a vault and how many it brought; `aside` are lines that contradict one of them, with their vault."""

    form: int
    stamps: dict[str, list[Stamp]]
    lines: int
    sha256: str
    brought: Brought
    aside: list[tuple[str, str]] = []


class Report(msgspec.Struct):
    """What a merge did. Hours are counted once a kind."""

    merged: int = 0
    unchanged: int = 0
    left_for_now: int = 0
    """Still written to by a recorder."""
    lines: int = 0
    unread: int = 0
    """Lines of the vaults that do not read, or of which nothing proves that they are good."""
    unaligned: int = 0
    contradicted: int = 0
    disputed: list[tuple[str, str, str, str]] = []
    """Instrument, kind, first and last slot; of trades the hour twice."""


def check_places(into: Layout, inputs: Sequence[Layout]) -> None:
    """Raises UsageError where a vault is named twice, the target lies in one, or some are of OKX's archive and others
    are not, VaultError where the target is no vault of merged hours."""
    places = [layout.root.resolve() for layout in (into, *inputs)]
    for at, place in enumerate(places):
        if place in places[:at]:
            other = "the target" if places[0] == place else "another one"
            raise UsageError(
                f"{printable(place)} is named twice: it is {other} too.", "--into with a folder of its own"
            )
    for place in places[1:]:
        if places[0].is_relative_to(place):
            raise UsageError(f"{printable(into.root)} lies in {printable(place)}.", "--into with a folder of its own")
    _check_sources(into, inputs)
    if merged_root(into).is_dir():
        for event in read_journal(into):
            if isinstance(event, Started) and event.program == "recorder":
                raise VaultError(f"a recorder has recorded into {printable(into.root)}.", _CURE)
    elif any(into.of(kind).raw.is_dir() for kind in KINDS) or into.journal.is_dir():
        raise VaultError(f"{printable(into.root)} is a vault, and none that merge made.", _CURE)


def _check_sources(into: Layout, inputs: Sequence[Layout]) -> None:
    """Of what a vault's lines are is known by its place alone."""
    for layout in inputs:
        if layout.is_okx_archive and not into.is_okx_archive:
            text = (
                f"{printable(layout.root)} is of OKX's archive: in {printable(into.root)} it would be called recorded."
            )
            raise UsageError(text, "only what was recorded; archives alone with --into DIR/okx_archive")
        if into.is_okx_archive and not layout.is_okx_archive:
            text = f"{printable(layout.root)} was recorded: in {printable(into.root)} it would be called archive."
            raise UsageError(text, "--into with another name than okx_archive")


_CURE: Final = "--into with a new folder, or with one that merge made"


def merged_root(layout: Layout) -> Path:
    """The folder of the notes, by which a vault of merged hours is known: make it before anything else."""
    return layout.merged_file("-", 0).parents[3]


class Merge:
    """Call `run` with the locks of the target held. `inst_ids` and `span` restrict it to some instruments and hours."""

    def __init__(
        self, into: Layout, inputs: Sequence[tuple[str, Layout]], journal: Journal, wall_text: Callable[[], str]
    ) -> None:
        self._into = into
        self._inputs = list(inputs)
        self._journal = journal
        self._wall_text = wall_text
        self._noted: dict[tuple[Kind, str, str], Merged] = {}
        self._closed: dict[tuple[str, str, str], HourClosed] = {}
        self._deleted: set[str] = set()
        """Files that the target's own retention deleted."""
        for event in read_journal(into):
            if isinstance(event, Merged):
                self._noted[event.kind, event.inst_id, event.hour] = event
            elif isinstance(event, HourClosed):
                self._closed[event.kind, event.inst_id, event.hour] = event
            elif isinstance(event, Retained) and event.action == "delete":
                self._deleted.add(event.file)
        newest = closed_hours(into).newest_line
        self._previous = None if newest is None else sha256(newest).hexdigest()
        self.report = Report()

    def run(self, inst_ids: Iterable[str], span: tuple[int, int], progress: Progress) -> Report:
        """Raises VaultError where vaults do not fit together or the disk refuses: the hours before stay done."""
        chosen = set(inst_ids)
        for kind in KINDS:
            self._kind(kind, chosen, span, progress)
        with refusals(self._into.root, "All hours are merged"):
            self._rows(chosen)
            merge_days(self._into, [layout for _, layout in self._inputs], self._deleted)
        return self.report

    def _kind(self, kind: Kind, chosen: set[str], span: tuple[int, int], progress: Progress) -> None:
        inputs = [Source(layout, name) for name, layout in self._inputs]  # of each kind its own: a journal is large
        found = {inst_id for each in inputs for inst_id in each.instruments(kind)}
        works: dict[str, list[int]] = {}
        for inst_id in sorted(found & chosen if chosen else found):
            every = {hour_ms for each in inputs for hour_ms in each.hours(kind, inst_id)}
            works[inst_id] = [hour_ms for hour_ms in with_gaps(every) if span[0] <= hour_ms < span[1]]
        total, done = sum(map(len, works.values())), 0
        for inst_id, hours in works.items():
            target = Source(self._into, TARGET)
            planner = HourPlanner(inst_id, target, inputs)
            is_rewritten = False
            for hour_ms in hours:
                progress(done, total, f"{inst_id} {kind} {utc_text(hour_ms)[:13]}h")
                done += 1
                if any(each.is_open(inst_id, hour_ms) for each in inputs):
                    self.report.left_for_now += 1
                    continue
                stamps = {each.name: each.stamp(kind, inst_id, hour_ms) for each in inputs}
                with refusals(self._into.of(kind).hour_file(inst_id, hour_ms), "The hours before it are merged whole"):
                    is_rewritten = self._hour(kind, (inst_id, hour_ms), stamps, (target, planner), is_rewritten)

    def _hour(
        self,
        kind: Kind,
        key: tuple[str, int],
        stamps: dict[str, list[Stamp]],
        parts: tuple[Source, HourPlanner],
        is_forced: bool,
    ) -> bool:
        """Returns whether the lines of the hour are others now: then what rests on them in the next one may be too."""
        (inst_id, hour_ms), (target, planner) = key, parts
        path = self._into.of(kind).merged_file(inst_id, hour_ms)
        note = _read_note(path)
        is_same = note is not None and note.stamps == stamps and not is_forced
        if is_same or self._is_deleted(kind, target.forms(kind, inst_id, hour_ms)):
            self.report.unchanged += 1
            return False
        target.look_ahead(kind, inst_id, hour_ms)
        plan = planner.plan(kind, hour_ms, None if note is None else note.brought)
        if plan is None:
            return False
        self.report.unread += plan.unread
        digest = self._write(kind, inst_id, hour_ms, plan)
        is_noted = self._note(kind, plan, digest)
        now_aside = [(name, text.decode()) for name, text in plan.aside]
        aside = list(dict.fromkeys([*(note.aside if note else []), *now_aside]))
        new = Note(_FORM, stamps, digest.lines, digest.sha256, plan.brought, aside)
        write_atomically(path, msgspec.json.encode(new))
        is_changed = is_noted or plan.lines is not None
        self.report.merged += is_changed
        self.report.unchanged += not is_changed
        self.report.lines += digest.lines * is_changed
        self._sum_up(plan.event)
        return plan.lines is not None

    def _is_deleted(self, kind: Kind, forms: HourForms) -> bool:
        """Whether the target's own retention has deleted an hour, which then does not come back."""
        plain = self._into.of(kind).hour_file(forms.inst_id, forms.hour_ms)
        names = {path.relative_to(self._into.root).as_posix() for path in (plain, packed_path(plain))}
        return not forms.every and bool(names & self._deleted)

    def _write(self, kind: Kind, inst_id: str, hour_ms: int, plan: Plan) -> HourDigest:
        """The hour as one file of gzip, whole or as it was."""
        plain = self._into.of(kind).hour_file(inst_id, hour_ms)
        if plan.lines is None:
            return digest_of(plain).value()
        digest = RunningDigest()
        write_atomically(packed_path(plain), _packed(plan.lines(), digest))
        if plain.exists():  # brought back by hand; its lines are among those of the file
            unlink(plain)
            sync_folder(plain.parent)
        return digest.value()

    def _note(self, kind: Kind, plan: Plan, digest: HourDigest) -> bool:
        """In the journal what is known of the hour and what its file holds, where that is new."""
        event, key = plan.event, (kind, plan.event.inst_id, plan.event.hour)
        noted = self._noted.get(key)
        is_new = noted is None or msgspec.structs.replace(noted, at="") != event
        if is_new:
            self._noted[key] = msgspec.structs.replace(event, at=self._wall_text())
            self._journal.append(self._noted[key])
        closed = self._closed.get(key)
        found = digest.lines, digest.bytes, digest.sha256
        if digest.lines and (closed is None or (closed.lines, closed.bytes, closed.sha256) != found):
            at = self._wall_text()
            closed = HourClosed(at, event.inst_id, event.hour, *found, kind=kind, previous=self._previous)
            self._journal.append(closed)
            self._closed[key] = closed
            self._previous = sha256(self._journal.newest_line).hexdigest()
            return True
        return is_new

    def _sum_up(self, event: Merged) -> None:
        self.report.unaligned += event.unaligned
        self.report.contradicted += event.contradicted
        self.report.disputed += [(event.inst_id, event.kind, first, last) for first, last in event.disputed]
        if event.contradicted:
            self.report.disputed.append((event.inst_id, event.kind, event.hour, event.hour))

    def _rows(self, chosen: set[str]) -> None:
        """OKX's rows of the instruments, earlier ones among them: of one name the newest file."""
        newest: dict[str, Path] = {}
        for _, layout in self._inputs:
            for path in sorted(layout.instruments.glob("*.json")):
                held = newest.get(path.name)
                is_chosen = not chosen or path.name.removesuffix(".json").split(".until-")[0] in chosen
                if is_chosen and (held is None or path.stat().st_mtime_ns > held.stat().st_mtime_ns):
                    newest[path.name] = path
        for name, path in newest.items():
            target = self._into.instruments / name
            data = read_small(path)
            if not target.is_file() or read_small(target) != data:
                write_atomically(target, data)


def _packed(lines: Iterator[bytes], digest: RunningDigest) -> Iterator[bytes]:
    """The lines as one member of gzip; equal lines give equal bytes."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
    for line in lines:
        text = line + b"\n"
        digest.add(text)
        if piece := packer.compress(text):
            yield piece
    yield packer.flush()


_LARGEST_NOTE_BYTES: Final = 64 << 20
"""An hour in which vaults take turns at each line has a name a line."""


def _read_note(path: Path) -> Note | None:
    """None where there is none, or none that reads."""
    try:
        note = msgspec.json.decode(read_small(path, _LARGEST_NOTE_BYTES), type=Note)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    return note if note.form == _FORM else None
