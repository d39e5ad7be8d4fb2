"""Reads the journal: each line to an event with its place, each day's file, the whole vault in order of runs.

What cannot be read is reported with its file and number and never raises: no line brings a reader down.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from l2vault.book.utc import DAY_MS, utc_ms
from l2vault.vault.journal.context_events import ContextNoted
from l2vault.vault.journal.events import Alive, Event, Minute, Slots, Started
from l2vault.vault.journal.merge_events import Merged
from l2vault.vault.journal.order import RECORDER, Entry, Ordered, Place, in_order
from l2vault.vault.store.layout import Layout

_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_DICT_DECODER: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_DAYS: Final = "????-??-??.jsonl"
_PLACE: Final = re.compile(rb',"run":"([0-9a-f]{1,32})","n":([0-9]{1,15}),"mono_ms":([0-9]{1,15})\}\Z')
_RUN: Final = re.compile(r"[0-9a-f]{1,32}")
_MOST: Final = 10**15
"""Ordinals and monotonic milliseconds beyond it are none of ours."""
_INT64: Final = 1 << 63
_EARLIEST_MS: Final = 0
LATEST_MS: Final = 253_370_764_800_000
"""The year 9999, whose last hours have no next one: no reader has to expect a time that it cannot add to."""
_LONGEST_CADENCE_MS: Final = DAY_MS
_LONGEST_BYTES: Final = 1 << 24
"""A minute of 500 instruments at 10 lines a second has some megabytes. What is longer is not gathered in memory."""
_BUFFER_BYTES: Final = 1 << 18
_BEGINS: Final = b'{"event":"'
"""Of every event: so little of one says nothing of which it was."""
_MONO: Final = b',"mono_ms"'
"""An event that is tried again has a later one."""
_MOST_BAD: Final = 100
"""Lines of a file that are reported one by one; of the others only their number."""
_TIME_FIELDS: Final = ("at", "ts", "from_", "to", "grid", "last_sign_of_life", "since", "hour", "exchange")
_FORMER_KEYS: Final = {
    "started": {"lines": "feeds"},
    "conflict": {"lines": "feeds"},
}
"""Keys of form 1 that form 2 calls otherwise; besides these, `line`, a connection, became `feed`."""


class BadLine(NamedTuple):
    """A line of the journal that cannot be read, by its number from 1 on.

    None is a torn last line, nor one that a write left which the disk refused or a kill interrupted, where what stands
    behind it shows that no event is lost: the same event, or the beginning of a run that names the event before it.
    """

    path: Path
    number: int
    reason: str


class JournalFile(NamedTuple):
    """What one day's file holds, in the order of its lines; `passed_over` are places of events of later versions.

    `bad` has the first lines that cannot be read, `more_bad` is the number of the others.
    """

    entries: list[Entry]
    bad: list[BadLine]
    passed_over: list[Place]
    more_bad: int


def journal_files(layout: Layout) -> list[Path]:
    """The day files, oldest name first."""
    return sorted(path for path in layout.journal.glob(_DAYS) if path.is_file())


def raw_lines(path: Path) -> Iterator[tuple[int, bytes | None, bool]]:
    """Number, text and whether it has its newline, of each line of a file that is not empty.

    A text is None where the line is too long to be one of ours; memory is bounded by the longest of ours.
    """
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        number = 0
        while piece := file.readline(_LONGEST_BYTES):
            number += 1
            text: bytes | None = piece
            while len(piece) == _LONGEST_BYTES and not piece.endswith(b"\n"):
                text, piece = None, file.readline(_LONGEST_BYTES)
            text = text and text.rstrip(b"\n").rstrip(b"\r")
            if text != b"":
                yield number, text, piece.endswith(b"\n")


def read_file(path: Path) -> JournalFile:
    """Every entry of one day's file. Events of later versions are passed over; what cannot be read is in `bad`."""
    entries: list[Entry] = []
    bad: dict[int, BadLine] = {}
    torn: dict[int, bytes] = {}
    passed_over: list[Place] = []
    more_bad = read_to = 0
    for number, text, is_ended in raw_lines(path):
        try:
            entry = _read_line(text, number)
        except (ValueError, RecursionError) as error:  # msgspec's errors and that of invalid UTF-8 are ValueErrors
            if is_ended and len(bad) < _MOST_BAD:  # what follows the last newline is torn, or being written
                bad[number] = BadLine(path, number, str(error)[:200])
                if text is not None and text.startswith(_BEGINS[: len(text)]):
                    torn[number] = text
            elif is_ended:
                more_bad += 1
            continue
        if torn and text is not None:
            just = {each for each in torn if each > read_to}
            for each in _made_good(torn, just, text, entry, entries[-1] if entries else None):
                del bad[each], torn[each]
        read_to = number
        if isinstance(entry, Entry):
            entries.append(entry)
        elif entry is not None:
            passed_over.append(entry)
    return JournalFile(entries, list(bad.values()), passed_over, more_bad)


def _made_good(
    torn: dict[int, bytes], just: set[int], text: bytes, entry: Entry | Place | None, before: Entry | None
) -> set[int]:
    """The torn lines of which this one shows that no event is lost. `just` are those between it and the last event
    `before` it."""
    begun = {each for each, part in torn.items() if text.startswith(part.partition(_MONO)[0])}
    found = {each for each in begun if len(torn[each]) > len(_BEGINS) or just == {each}}
    event = entry.event if isinstance(entry, Entry) else None
    if isinstance(event, Started) and before is not None and before.run is not None:
        found |= just if (event.previous_run, event.previous_n) == (before.run, before.n) else set()
    return found


def read_events(path: Path) -> Iterator[Event]:
    """The events of one day's file, in the order of its lines."""
    return (entry.event for entry in read_file(path).entries)


def read_ordered(layout: Layout) -> tuple[Ordered, list[BadLine]]:
    """Every entry of the vault in the order in which it happened, what that order lacks, and the lines that do not
    read."""
    files = [read_file(path) for path in journal_files(layout)]
    passed_over = [place for file in files for place in file.passed_over]
    ordered = in_order((entry for file in files for entry in file.entries), passed_over)
    return ordered, [bad for file in files for bad in file.bad]


def read_journal(layout: Layout) -> Iterator[Event]:
    """Every event of the vault in the order in which it happened (see `in_order`)."""
    return (entry.event for entry in read_ordered(layout)[0].entries)


def read_line(line: bytes) -> Entry | None:
    """One line's entry; None for what does not read, whatever it is."""
    try:
        entry = _read_line(line, 0)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, Entry) else None


def place_of(line: bytes) -> tuple[str, int, int] | None:
    """Run, ordinal and monotonic time as the end of a line has them; None for a line of form 1."""
    found = _PLACE.search(line, max(0, len(line) - 96))
    return None if found is None else (found[1].decode(), int(found[2]), int(found[3]))


def _read_line(line: bytes | None, number: int) -> Entry | Place | None:
    """The entry of a line; for an event this version does not know, its place or None.

    Raises ValueError or RecursionError for what is no event.
    """
    if line is None:
        raise ValueError(f"more than {_LONGEST_BYTES} bytes are no event")
    place = place_of(line)
    try:
        if place is None:
            values = _DICT_DECODER.decode(line)
            place = _place_in(values)
            event = msgspec.convert(values if place is not None else _as_form_2(values), Event)
        else:
            event = _DECODER.decode(line)
    except msgspec.ValidationError as error:
        if "Invalid value" in str(error) and "`$.event`" in str(error):  # of a later version
            return None if place is None else Place(*place[:2])
        raise
    _check(event)
    return Entry(event, None, number, None) if place is None else Entry(event, *place)


def _place_in(values: dict[str, Any]) -> tuple[str, int, int] | None:
    """The place of a line that some program wrote anew, in another order or with blanks."""
    run, n, mono_ms = (values.get(key) for key in ("run", "n", "mono_ms"))
    if not (isinstance(run, str) and _RUN.fullmatch(run)):
        return None
    if not all(isinstance(number, int) and 0 <= number < _MOST for number in (n, mono_ms)):
        raise ValueError(f"run {run} without a place in it: n {n!r}, mono_ms {mono_ms!r}"[:200])
    return run, int(str(n)), int(str(mono_ms))


def _as_form_2(values: dict[str, Any]) -> dict[str, Any]:
    kind = values.get("event")
    renamed = _FORMER_KEYS.get(kind if isinstance(kind, str) else "", {"line": "feed"})
    return {renamed.get(key, key): value for key, value in values.items()}


def _check(event: Event) -> None:
    """Raises ValueError for a time that is none and a number that cannot be, so that no reader has to expect one."""
    if isinstance(event, Alive):
        _check_time(event.at)
        if event.exchange is not None:
            _check_time(event.exchange)
        return
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            raise ValueError(f"{name} has more than 64 bits")
        if name in _TIME_FIELDS and isinstance(value, str):
            _check_time(value)
    if isinstance(event, Started) and event.program == RECORDER and not 0 < event.cadence_ms <= _LONGEST_CADENCE_MS:
        raise ValueError(f"cadence_ms is {event.cadence_ms}")
    if isinstance(event, Minute | Slots):
        _check_minute(event)
    if isinstance(event, ContextNoted | Merged):
        for time in event.times() if isinstance(event, Merged) else filter(None, event.kinds.values()):
            _check_time(time)


def _check_minute(minute: Minute | Slots) -> None:
    if isinstance(minute, Slots):
        for book_time in minute.book_times.values():
            _check_time(book_time)
        if any(not 0 <= count < _INT64 for count in (*minute.written.values(), *minute.doubled.values())):
            raise ValueError("a count that is none")
        return
    for one in minute.instruments.values():
        quiet = [time for each in one.quiet for time in (each.since, each.first, each.last)]
        for time in (one.first, one.last, one.last_line, one.book_time, *quiet):
            if time is not None:
                _check_time(time)
        if any(not 0 <= count < _INT64 for count in (one.due, one.lines, one.flagged, one.held_back)):
            raise ValueError("a count that is none")


def _check_time(text: str) -> None:
    if not _EARLIEST_MS <= utc_ms(text) < LATEST_MS:
        raise ValueError(f"not a time of ours: {text}")
