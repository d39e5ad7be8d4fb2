"""Which hours of trades were read whole and found good, and the runs of their ids: so that coverage reads no other.

`{vault}/meta/okx/checked_trades/{instId}/{date}.json.gz` holds a day of an instrument, and counts as `checked` does for
books: as long as the files of an hour have the size and the time of change that they had, and never for `verify`.
"""

import gzip
import zlib
from typing import Final, NamedTuple

import msgspec

from l2vault.book.utc import DAY_MS
from l2vault.vault.coverage.checked import DAY_BYTES, FileStamp, closed_hours, forget_files, stamp_of
from l2vault.vault.coverage.trades import IdRun
from l2vault.vault.store.catalog import HourForms
from l2vault.vault.store.durable import write_atomically
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_small


class NotedRun(NamedTuple):
    """An `IdRun` of one hour, without its numbering; times are milliseconds from the start of the hour."""

    first_id: int
    last_id: int
    from_ms: int
    to_ms: int
    rows: int
    rest_ids: int
    unsized: int


class CheckedTrades(msgspec.Struct, frozen=True):
    """An hour of trades that was read whole. `is_good`: every line read, is of the hour, and all are of one numbering.

    `runs` are its ids, in their order; `bounds` the least and the greatest time of its lines, from the start of the
    hour, empty where it has none.
    """

    files: list[FileStamp]
    runs: list[NotedRun]
    bounds: list[int]
    is_good: bool = True

    def id_runs(self, hour_ms: int, numbering_ms: int) -> list[IdRun]:
        """The runs as coverage has them."""
        return [
            IdRun(run.first_id, run.last_id, hour_ms + run.from_ms, hour_ms + run.to_ms, *run[4:], numbering_ms)
            for run in self.runs
        ]


class _Day(msgspec.Struct):
    form: int
    hours: dict[str, CheckedTrades]


_FORM: Final = 1
_DECODER: Final = msgspec.json.Decoder(_Day)


class CheckedTradeHours:
    """What was checked of the trades of a vault; `layout` is that of trades. Each day is read once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._days: dict[tuple[str, int], dict[str, CheckedTrades]] = {}

    def record(self, forms: HourForms) -> CheckedTrades | None:
        """What was noted of an hour whose files are those that were read, also where it is not good."""
        key = forms.inst_id, forms.hour_ms // DAY_MS
        if key not in self._days:
            self._days[key] = _read_day(self._layout, forms.inst_id, forms.hour_ms)
        checked = self._days[key].get(str(forms.hour_ms))
        return checked if checked is not None and checked.files == stamp_of(self._layout, forms) else None

    def hour(self, forms: HourForms) -> CheckedTrades | None:
        """The same of a good hour; None for any other."""
        checked = self.record(forms)
        return checked if checked is not None and checked.is_good else None

    def lacking(self, every: list[HourForms], before_ms: int) -> list[HourForms]:
        """Closed hours that nothing is noted of, the newest first."""
        return [forms for forms in closed_hours(every, before_ms) if self.record(forms) is None]


def note_trades(layout: Layout, inst_id: str, found: dict[int, CheckedTrades], every: list[HourForms]) -> None:
    """Note hours by their start; those that are gone leave their day. With the lock of retention held. Raises OSError
    where nothing can be written."""
    there = {str(forms.hour_ms) for forms in every}
    for day in sorted({hour_ms // DAY_MS for hour_ms in found}):
        of_day = {str(hour_ms): hour for hour_ms, hour in found.items() if hour_ms // DAY_MS == day}
        hours = _read_day(layout, inst_id, day * DAY_MS) | of_day
        path = layout.checked_trades_file(inst_id, day * DAY_MS)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: hour for name, hour in hours.items() if name in there}
        write_atomically(path, gzip.compress(msgspec.json.encode(_Day(_FORM, kept)), mtime=0))
    folder = layout.checked_trades_file(inst_id, 0).parent
    forget_files(folder, {layout.checked_trades_file(inst_id, forms.hour_ms).name for forms in every})


def _read_day(layout: Layout, inst_id: str, ts_ms: int) -> dict[str, CheckedTrades]:
    """Empty where there is none, or none that reads."""
    try:
        data = zlib.decompressobj(31).decompress(read_small(layout.checked_trades_file(inst_id, ts_ms)), DAY_BYTES)
        day = _DECODER.decode(data)
    except (OSError, ValueError, zlib.error, RecursionError):  # msgspec's errors are ValueErrors
        return {}
    return day.hours if day.form == _FORM else {}
