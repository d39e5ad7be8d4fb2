"""A file of OKX's archive of trades as hours of the archive's vault. A file is a day of UTC+8, which is 24 whole hours.

Rows are single trades; the chain of their ids shows what lacks. An hour is written once a trade is five minutes behind
its end, in the order of the ids; those of a numbering that OKX began anew come behind those of the one before.
"""

from collections.abc import Callable, Iterable
from typing import Final

from l2vault.book.trade import Numberings, TradePush, trade_to_line
from l2vault.book.utc import HOUR_MS, MINUTE_MS, utc_text
from l2vault.errors import LineError
from l2vault.history.books import NO_BOOK, DayReport
from l2vault.history.hours import HourKeeper, HourNote
from l2vault.history.naming import Wanted
from l2vault.history.rows import trade_of
from l2vault.vault.journal.merge_events import Merged, MergedBegun, MergedIds

_LATE_MS: Final = 5 * MINUTE_MS
_EVERY_LINES: Final = 20_000
_MOST_IDS: Final = 100_000_000
"""Between two trades of one file: more is a numbering begun anew."""


class TradeDay:
    """Reads one file. Holds an hour or two of it in memory."""

    def __init__(self, wanted: Wanted, keeper: HourKeeper, sha256: str, report: DayReport) -> None:
        self._wanted = wanted
        self._keeper = keeper
        self._files = {wanted.name: sha256}
        self._hours: dict[int, list[TradePush]] = {}
        self._kept_ms = 0
        self._last: TradePush | None = None
        self._numberings = Numberings()
        self.report = report

    def read(self, lines: Iterable[bytes], progress: Callable[[int], None]) -> None:
        """All rows. Raises LineError, with the number of the row."""
        start_ms, end_ms = self._wanted.span
        for number, line in enumerate(lines, 1):
            try:
                push = trade_of(line, self._wanted.inst_id)
                if push is None:
                    continue
                ts_ms = push.ts_ms
                if not start_ms <= ts_ms < end_ms:
                    raise LineError(f"a trade of {utc_text(ts_ms)} in the file of {self._wanted.date}")
                if ts_ms < self._kept_ms:
                    raise LineError(f"a trade of {utc_text(ts_ms)} stands among later ones")
            except LineError as error:
                raise LineError(f"row {number}: {error}") from error
            self._numberings.see(push)
            self._hours.setdefault(ts_ms // HOUR_MS * HOUR_MS, []).append(push)
            if len(self._hours) > 1:
                self._keep_ended(ts_ms)
            if number % _EVERY_LINES == 0:
                progress(ts_ms)
            self.report.lines += 1
        self._keep_ended(end_ms + _LATE_MS)

    def drop(self) -> None:
        """Forget hours that are not kept yet."""
        self._hours.clear()

    def _keep_ended(self, ts_ms: int) -> None:
        for hour_ms in sorted(self._hours):
            if hour_ms + HOUR_MS + _LATE_MS <= ts_ms:
                self._keep(hour_ms, sorted(self._hours.pop(hour_ms), key=self._place))
                self._kept_ms = hour_ms + HOUR_MS

    def _place(self, push: TradePush) -> tuple[int, int]:
        return self._numberings.of(push.ts_ms), push.last_id

    def _keep(self, hour_ms: int, pushes: list[TradePush]) -> None:
        inst_id = self._wanted.inst_id
        note = self._keeper.note(inst_id, hour_ms)
        event = self._event(hour_ms, pushes)
        if note is not None and note.files == self._files:
            self.report.kept_hours += 1
            return
        draft = self._keeper.draft(inst_id, hour_ms)
        with draft.dropped_on_error():
            for push in pushes:
                draft.add(trade_to_line(push))
            self._keeper.keep(inst_id, hour_ms, draft, event, HourNote(self._files, 0, 0, 0, ""))
        self.report.hours += 1
        self.report.books += len(pushes)

    def _event(self, hour_ms: int, pushes: list[TradePush]) -> Merged:
        begun, ids = [], []
        for push in pushes:
            last = self._last
            if last is None or push.is_renumbered(last.last_id, last.ts_ms):
                begun.append(MergedBegun(push.first_id, utc_text(push.ts_ms)))
            elif 1 < push.first_id - last.last_id < _MOST_IDS:
                bounds = last.last_id + 1, push.first_id - 1, utc_text(last.ts_ms), utc_text(push.ts_ms)
                ids.append(MergedIds(*bounds, "missing", NO_BOOK, ""))
            self._last = push
        files = {self._wanted.name: len(pushes)}
        return Merged("", self._wanted.inst_id, utc_text(hour_ms), "trades", files, begun=begun, ids=ids)
