"""What time a pass of retention may believe. Pure, but for `newest_line`, which reads the ends of the newest hours.

This machine's clock alone never makes an hour older: a dead battery or a bad answer of NTP puts it years ahead. What an
exchange says of its own time is proof; without it the earlier of this machine's clock and the newest line is taken.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal, NamedTuple

from l2vault.errors import VaultError
from l2vault.vault.store.catalog import StoredHour, unreported
from l2vault.vault.store.forms import archive_form
from l2vault.vault.store.layout import HOUR_MS
from l2vault.vault.store.line import has_time, time_ms
from l2vault.vault.store.stream import GzipDamage, read_lines

Source = Literal["exchange", "server", "clock and newest line", "trusted clock", ""]

CONFIRMING_LINES: Final = 10
"""A line proves its time only behind so many others of its instrument, in order and at their usual distance."""

LARGEST_STEP: Final = 10
"""The largest distance between two of these lines, in medians of all ten: what is further may be absurd."""

LEAST_STEP_MS: Final = 10_000
"""A distance that is never too large: five lines at the default cadence."""

TAIL_BYTES: Final = 4 * 1024 * 1024
"""Of a plain file its end is read first: about 100 lines of 400 levels a side."""

MOST_HOURS: Final = 48
"""How many hours of an instrument are looked at, so that a vault of unreadable files costs a bounded time."""

_SOURCES: Final[dict[Source, str]] = {
    "exchange": "exchange time of the books being recorded",
    "server": "OKX's clock, asked over REST",
    "clock and newest line": "the earlier of this machine's clock and the newest line",
    "trusted clock": "this machine's clock, which trust_clock allows",
    "": "no line proves any time",
}


@dataclass(frozen=True, slots=True)
class PassTime:
    """What the caller of a pass knows of the time, in milliseconds.

    `exchange_ms` is proved exchange time, as a recorder has it. `ask_server` asks OKX's clock over REST; it is called
    only where its answer can make a difference, must return within seconds, and returns None where it has no answer.
    """

    wall_ms: int
    exchange_ms: int | None = None
    trust_clock: bool = False
    ask_server: Callable[[], int | None] | None = None


class Proved(NamedTuple):
    """The time from which ages are counted, and what it rests on. `newest_ms` is the newest confirmed line's."""

    now_ms: int
    source: Source
    newest_ms: int | None

    @property
    def basis(self) -> str:
        """`source` in words."""
        return _SOURCES[self.source]


def prove(time: PassTime, newest_ms: int | None, server_ms: int | None = None) -> Proved:
    """The best time that is proved. Without any proof it is 0: then no hour has ended."""
    if time.exchange_ms is not None:
        return Proved(time.exchange_ms, "exchange", newest_ms)
    if time.trust_clock:
        return Proved(time.wall_ms, "trusted clock", newest_ms)
    if server_ms is not None:
        return Proved(server_ms, "server", newest_ms)
    if newest_ms is None:
        return Proved(0, "", None)
    return Proved(min(time.wall_ms, newest_ms), "clock and newest line", newest_ms)


def confirmed_ms(times: Sequence[int]) -> int | None:
    """The newest of the times of one instrument's lines, rising, that the ten lines before it confirm.

    One absurd line in the future proves nothing: it is too far from the line before it.
    """
    for at in range(len(times) - 1, CONFIRMING_LINES - 1, -1):
        ten = times[at - CONFIRMING_LINES : at + 1]
        steps = [after - before for before, after in zip(ten, ten[1:], strict=False)]
        if min(steps) >= 0 and max(steps) <= max(LEAST_STEP_MS, LARGEST_STEP * median(steps)):
            return times[at]
    return None


def newest_line(files: list[StoredHour]) -> int | None:
    """The time of the newest confirmed line over all instruments; None if no line is confirmed."""
    newest: int | None = None
    by_inst: dict[str, dict[int, list[StoredHour]]] = {}
    for held in (each for each in files if each.kind == "books"):
        by_inst.setdefault(held.inst_id, {}).setdefault(held.hour_ms, []).append(held)
    for hours in by_inst.values():
        times: list[int] = []
        for hour_ms in sorted(hours, reverse=True)[:MOST_HOURS]:
            if newest is not None and hour_ms + HOUR_MS <= newest:
                break  # nothing older can be newer
            found = None
            for hour_times in _times_of(hours[hour_ms]):
                found = confirmed_ms([*hour_times, *times])
                if found is not None:
                    break
            times = [*hour_times, *times]
            if found is not None:
                newest = found if newest is None else max(newest, found)
                break
    return newest


def _times_of(forms: list[StoredHour]) -> Iterator[list[int]]:
    """The times of an hour's lines: those at the end of the file first, then all, for whom the end was not enough."""
    raw = [held for held in forms if held.form != "archive"]
    if len(raw) == 1 and raw[0].form == "plain" and raw[0].size_bytes > TAIL_BYTES:
        yield _tail_times(raw[0])
    if raw:
        yield sorted({time for held in raw for time in _raw_times(held)})
    else:
        with suppress(VaultError):  # an archive proves its time too, where the libraries that read it are there
            yield sorted(set(archive_form().all_times(forms[0], unreported)))


def _raw_times(held: StoredHour) -> Iterator[int]:
    with suppress(GzipDamage, OSError):
        for line in read_lines(held.path):
            if line.text is not None and line.is_ended:
                yield from _time(line.text, held.hour_ms)


def _tail_times(held: StoredHour) -> list[int]:
    try:
        with held.path.open("rb") as file:
            file.seek(-TAIL_BYTES, 2)
            _, *whole, _ = file.read(TAIL_BYTES).split(b"\n")
    except (OSError, ValueError):  # shorter by now, or without a whole line in its end
        return []
    return sorted({time for text in whole for time in _time(text, held.hour_ms)})


def _time(text: bytes, hour_ms: int) -> Iterator[int]:
    """The time of a line, if it is one of that hour."""
    if has_time(text):
        with suppress(ValueError):
            ts_ms = time_ms(text)
            if ts_ms // HOUR_MS * HOUR_MS == hour_ms:
                yield ts_ms
