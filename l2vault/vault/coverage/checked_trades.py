"""Which hours of trades were read whole and found good, and the runs of their ids: so that coverage reads no other.

`{vault}/meta/okx/checked_trades/{instId}/{date}.json.gz` holds a day of an instrument (`hour_notes`).
"""

from typing import Final, NamedTuple

import msgspec

from l2vault.vault.coverage.hour_notes import Day, FileStamp, HourNotes
from l2vault.vault.coverage.trades import IdRun
from l2vault.vault.store.layout import Layout


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


_DECODER: Final = msgspec.json.Decoder(Day[CheckedTrades])


def checked_trade_hours(layout: Layout) -> HourNotes[CheckedTrades]:
    """What was checked of the trades of a vault; `layout` is that of trades."""
    return HourNotes(layout, layout.checked_trades_file, _DECODER)
