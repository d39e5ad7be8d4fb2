"""The files of a vault held against its journal: hours closed, lines put on disk a minute, and the journal itself.

What the journal never noted is no finding, nor is what retention deleted. A journal of form 2 notes what was put on
disk; one of form 1 what was queued (`form_1`). Memory is bounded by the minutes of either.
"""

from bisect import bisect_left
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.checking.form_1 import LineCounts
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.sync_history import ALWAYS_MS, DEFAULT_CADENCE_MS
from l2vault.vault.journal.events import HourClosed, Minute, MinuteOf, Restored, Retained, Started
from l2vault.vault.journal.lines import raw_lines
from l2vault.vault.journal.log import Entry, in_order, journal_files, read_file
from l2vault.vault.store.layout import HOUR_MS, KINDS, ArchivedHour, Layout

_HOUR_CLOSED: Final = b'{"event":"hour_closed"'
_CURE: Final = "every other line counts; looked at and kept elsewhere, it may be taken out while nothing records"


TroubleKind = Literal["unreadable", "contents", "missing", "lacking", "fewer", "journal", "chain"]


class Trouble(NamedTuple):
    """Something the journal and the files contradict each other in; `path` is where to look."""

    path: Path
    kind: TroubleKind
    text: str


class Contents:
    """Bytes, lines and digest of what was read; the digest also of as many bytes as an open hour's record covers."""

    def __init__(self, prefix_bytes: int) -> None:
        self._prefix_bytes = prefix_bytes
        self._whole, self._prefix = sha256(), sha256()
        self.bytes = 0
        self.lines = 0

    def add(self, chunk: bytes) -> None:
        if self.bytes < self._prefix_bytes:
            self._prefix.update(chunk[: self._prefix_bytes - self.bytes])
        self._whole.update(chunk)
        self.bytes += len(chunk)
        self.lines += chunk.count(b"\n")

    def is_as_noted(self, closed: HourClosed, may_go_on: bool) -> bool:
        if may_go_on and self.bytes > closed.bytes:
            return self._prefix.hexdigest() == closed.sha256
        return (self.bytes, self._whole.hexdigest()) == (closed.bytes, closed.sha256)


class HourContents:
    """The contents of all files of an hour one after the other, and of each alone: a copy is no contradiction."""

    def __init__(self, closed: HourClosed | None) -> None:
        self.closed = closed
        self._prefix_bytes = 0 if closed is None else closed.bytes
        self.all = Contents(self._prefix_bytes)
        self._each: list[Contents] = []

    def begin_file(self) -> None:
        self._each.append(Contents(self._prefix_bytes))

    def add(self, chunk: bytes) -> None:
        self.all.add(chunk)
        self._each[-1].add(chunk)

    def trouble(self, may_go_on: bool) -> str | None:
        """What contradicts the record of the closed hour, in words; None where nothing does or none was made."""
        closed = self.closed
        if closed is None or any(each.is_as_noted(closed, may_go_on) for each in (self.all, *self._each)):
            return None
        noted = f"the journal says that it holds {closed.lines} lines, {closed.bytes} bytes"
        if (self.all.bytes, self.all.lines) == (closed.bytes, closed.lines):
            return f"{noted}; it does, but not the same ones: it was altered"
        return f"{noted}; it holds {self.all.lines} lines, {self.all.bytes} bytes"


class _Window(NamedTuple):
    """So many unflagged lines of times in `(after_ms, to_ms]` were put on disk."""

    after_ms: int
    to_ms: int
    lines: int


class _Counts:
    """The minutes of one instrument, and how many lines of each were seen."""

    def __init__(self, windows: list[_Window]) -> None:
        self.windows = sorted(windows, key=lambda window: window.to_ms)
        self.seen = [0] * len(windows)

    def add(self, ts_ms: int) -> None:
        at = bisect_left(self.windows, ts_ms, key=lambda window: window.to_ms)
        if at < len(self.windows) and self.windows[at].after_ms < ts_ms:
            self.seen[at] += 1

    def lacking(self) -> Iterator[tuple[_Window, int]]:
        return ((window, seen) for window, seen in zip(self.windows, self.seen, strict=True) if seen < window.lines)


class JournalCheck:
    """Is given, while the files are read, what they hold, and says what the journal knows better."""

    def __init__(self, layout: Layout, now_ms: int) -> None:
        self._layout = layout
        self._now_ms = now_ms
        self._index = JournalIndex(layout)
        self._closed: dict[str, dict[int, HourClosed]] = {}
        self._counts: dict[str, _Counts] = {}
        self._former_counts: dict[str, LineCounts] = {}
        self._met: set[tuple[str, int]] = set()

    def journal_troubles(self) -> Iterator[Trouble]:
        """Of the journal alone: what cannot be read, and what its order lacks."""
        entries: list[Entry] = []
        yield from _strangers(self._layout)
        try:
            paths = journal_files(self._layout)
        except OSError as error:
            yield Trouble(self._layout.journal, "unreadable", error.strerror or str(error))
            return
        for path in paths:
            try:
                file = read_file(path)
            except OSError as error:
                yield Trouble(path, "unreadable", error.strerror or str(error))
                continue
            entries += file.entries
            for bad in file.bad:
                yield Trouble(path, "journal", f"line {bad.number} cannot be read: {bad.reason}; {_CURE}")
            if file.more_bad:
                yield Trouble(path, "journal", f"{file.more_bad} lines behind it cannot be read either")
        for text in in_order(entries).troubles:
            yield Trouble(self._layout.journal, "journal", text)

    def hour(self, inst_id: str, hour_ms: int) -> HourContents:
        """Where the contents of an hour that is there are to be added."""
        self._met.add((inst_id, hour_ms))
        return HourContents(self._closed_hours(inst_id).get(hour_ms))

    def hour_trouble(self, path: Path, hour_ms: int, contents: HourContents) -> Iterator[Trouble]:
        """Once all of an hour was added. One that is open, or hardly over, may have gone on since it was noted."""
        closed = contents.closed
        may_go_on = closed is not None and (closed.is_open or self._now_ms < hour_ms + 2 * HOUR_MS)
        text = contents.trouble(may_go_on)
        if text is not None:
            yield Trouble(path, "contents", text)

    def line(self, inst_id: str, ts_ms: int, is_flagged: bool = False) -> None:
        """A line that reads and stands where it belongs."""
        self._former(inst_id).add(ts_ms)
        if not is_flagged:
            if inst_id not in self._counts:
                self._counts[inst_id] = _Counts(list(_windows(self._index.entries(), inst_id)))
            self._counts[inst_id].add(ts_ms)

    def troubles_at_end(self) -> Iterator[Trouble]:
        """Hours that are gone though nobody deleted them, and lines that are."""
        for inst_id in sorted({inst_id for inst_id, _ in self._met}):
            yield from self._fewer(inst_id)
        for inst_id in sorted(self._instruments()):
            gone = set(rightly_gone(self._layout, self._index.entries(), inst_id))
            for hour_ms, closed in sorted(self._closed_hours(inst_id).items()):
                if (inst_id, hour_ms) not in self._met and hour_ms not in gone and closed.lines:
                    text = f"the journal says that it holds {closed.lines} lines; it is gone, and nothing deleted it"
                    yield Trouble(self._layout.hour_file(inst_id, hour_ms), "missing", text)
            yield from self._lacking(inst_id, gone)

    def archive_digests(self) -> Iterator[tuple[ArchivedHour, Path, str]]:
        """The files of archives that the journal names, with the digest that each had when it was made last."""
        newest: dict[str, str] = {}
        for entry in self._index.entries():
            if isinstance(entry.event, Retained):
                newest |= entry.event.sha256
        for name, digest in newest.items():
            path = self._layout.root / name
            hours = (self._layout.of(kind).parse_archive_file(path) for kind in KINDS)
            yield from ((hour, path, digest) for hour in hours if hour is not None)

    def _lacking(self, inst_id: str, gone: set[int]) -> Iterator[Trouble]:
        """Minutes of which lines are not there, those of an hour that follow each other as one."""
        counts = self._counts.get(inst_id) or _Counts(list(_windows(self._index.entries(), inst_id)))
        by_hour: dict[int, list[tuple[_Window, int]]] = {}
        for window, seen in counts.lacking():
            hours_of = {
                each // HOUR_MS * HOUR_MS for each in (max(window.after_ms, window.to_ms - HOUR_MS), window.to_ms)
            }
            if not hours_of & gone:
                by_hour.setdefault(window.to_ms // HOUR_MS * HOUR_MS, []).append((window, seen))
        for hour_ms, found in sorted(by_hour.items()):
            lines, seen = sum(window.lines for window, _ in found), sum(seen for _, seen in found)
            text = f"of {lines} lines that the journal says were put on the disk up to {utc_text(found[-1][0].to_ms)}"
            yield Trouble(self._layout.hour_file(inst_id, hour_ms), "lacking", f"{text}, {seen} are there")

    def _fewer(self, inst_id: str) -> Iterator[Trouble]:
        """Only of hours that are there: who deletes one without l2vault would be told of each, and knows."""
        there = {hour_ms for met, hour_ms in self._met if met == inst_id}
        for counted, seen in self._former(inst_id).lacking(there):
            span = f"{utc_text(counted.from_ms)} to {utc_text(counted.to_ms)}"
            text = f"of {counted.lines} lines that a journal of form 1 counted from {span}, at most {seen} are there"
            yield Trouble(self._layout.hour_file(inst_id, counted.from_ms), "fewer", text)

    def _former(self, inst_id: str) -> LineCounts:
        if inst_id not in self._former_counts:
            self._former_counts[inst_id] = LineCounts(self._index.entries(), self._layout, inst_id)
        return self._former_counts[inst_id]

    def _closed_hours(self, inst_id: str) -> dict[int, HourClosed]:
        if inst_id not in self._closed:
            self._closed[inst_id] = self._index.closed_hours(inst_id)
        return self._closed[inst_id]

    def _instruments(self) -> set[str]:
        found = set()
        for entry in self._index.entries():
            if isinstance(entry.event, HourClosed) and entry.event.kind == "books":
                found.add(entry.event.inst_id)
            elif isinstance(entry.event, Minute):
                found.update(entry.event.instruments)
        return found


def _strangers(layout: Layout) -> Iterator[Trouble]:
    """What stands in the place of the journal or of one of its days, and is none. The rest is told where it is read."""
    folder = layout.journal
    try:
        if folder.exists() and not folder.is_dir():
            yield Trouble(folder, "journal", "no folder, in the place of the journal")
            return
        for path in sorted(folder.glob("*.jsonl")):
            if not path.is_file():
                yield Trouble(path, "journal", "no regular file, in the place of a day of the journal")
    except OSError:
        return


def _windows(entries: list[Entry], inst_id: str) -> Iterator[_Window]:
    """The lines of each minute: of times after those of the minute before, and after the slot before its first."""
    after_ms, cadence_ms = ALWAYS_MS, DEFAULT_CADENCE_MS
    for entry in entries:
        if isinstance(entry.event, Started) and entry.event.program == "recorder":
            cadence_ms = entry.event.cadence_ms or DEFAULT_CADENCE_MS
        if not isinstance(entry.event, Minute):
            continue
        found: MinuteOf | None = entry.event.instruments.get(inst_id)
        if found is None or found.last_line is None or found.lines <= 0:
            continue
        first_ms = ALWAYS_MS if found.first is None else utc_ms(found.first) - cadence_ms
        last_ms = utc_ms(found.last_line)
        if last_ms > max(after_ms, first_ms):
            yield _Window(max(after_ms, first_ms), last_ms, found.lines)
        after_ms = max(after_ms, last_ms)


def rightly_gone(layout: Layout, entries: list[Entry], inst_id: str) -> Iterator[int]:
    """Hours of the layout's kind of which, by the journal, no form ought to be left."""
    forms: dict[int, set[str]] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, Restored) and event.inst_id == inst_id and layout.kind == "books":
            forms.setdefault(utc_ms(event.hour) // HOUR_MS * HOUR_MS, set()).add("raw")
        if not isinstance(event, Retained):
            continue
        raw, archived = (
            layout.parse_hour_file(layout.root / event.file),
            layout.parse_archive_file(layout.root / event.file),
        )
        hour = raw or archived
        if hour is None or hour.inst_id != inst_id:
            continue
        held = forms.setdefault(hour.hour_ms, {"raw"})
        if event.action == "archive":
            held.add("archive")
        elif event.action == "restore":
            held.add("raw")
        elif event.action == "delete":
            held.discard("raw" if raw is not None else "archive")
    return (hour_ms for hour_ms, held in forms.items() if not held)


def broken_chain(layout: Layout) -> Iterator[Trouble]:
    """The first `hour_closed` that does not name the digest of the one before it; none where all do.

    Each entry holds the digest of the line before it, so whoever changes or takes out one breaks all that follow. What
    was cut off at the end cannot be seen so.
    """
    placed: dict[tuple[str | None, int], tuple[Path, int, bytes]] = {}
    entries: list[Entry] = []
    for path in journal_files(layout):
        entries += read_file(path).entries
        for number, line, _ in raw_lines(path):
            if line is not None and line.startswith(_HOUR_CLOSED):
                try:
                    place = msgspec.json.decode(line, type=_Place)
                except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
                    continue  # a finding of its own
                placed[place.run, place.n] = path, number, line
    before: tuple[Path, int, str] | None = None
    for entry in in_order(entries).entries:
        if not isinstance(entry.event, HourClosed) or (entry.run, entry.n) not in placed:
            continue
        path, number, line = placed[entry.run, entry.n]
        expected = None if before is None else before[2]
        if entry.event.previous != expected:
            other = "no other" if before is None else f"line {before[1]} of {before[0].name}"
            text = (
                f"line {number} does not continue the hour_closed before it, {other}: the past was edited or is missing"
            )
            yield Trouble(path, "chain", text)
            return
        before = path, number, sha256(line).hexdigest()


class _Place(msgspec.Struct):
    run: str
    n: int
