"""The time of one book, watched: which `ts` its book takes over, which it leaves, and which shows a wrong clock. Pure.

OKX's `ts` may be absent, repeat, or be a little older; the book then keeps the time it has. A clock that runs well
back, stands still while the book changes, or jumps ahead of proved time would silence the book or date its lines wrong.
"""

from typing import Final

from l2vault.book.change import BookChange
from l2vault.okx.exchange_time import LATEST_MS, ExchangeTime

SLACK_MS: Final = 5_000
"""How much older or later than expected a `ts` may be."""
BACK_FOR_MS: Final = 5_000
STILL_FOR_MS: Final = 10_000
LONGEST_STEP_MS: Final = 600_000
"""Of `ts` from one message to the next while nothing proves the time. Heartbeats come each minute."""


class BookTime:
    """One book's watch; a new full book after a loss takes a new one."""

    __slots__ = ("_back", "_still_ms", "_time")

    def __init__(self, time: ExchangeTime) -> None:
        self._time = time
        self._back: tuple[int, int] | None = None
        """`ts` and arrival of the first message that is far back."""
        self._still_ms: int | None = None
        """Arrival of the first change that did not bring the time on."""

    def goes_on(self) -> None:
        """A message has brought the book's time on by no more than `SLACK_MS`: nothing is odd any more."""
        self._back = self._still_ms = None

    def fault(self, change: BookChange, book_ms: int | None, now_ms: int) -> str | None:
        """Why a message shows that the clock is wrong, in words; None if the message may be applied."""
        ts_ms = change.ts_ms
        if ts_ms is not None and (book_ms is None or ts_ms > book_ms):
            self.goes_on()
            if book_ms is None or ts_ms - book_ms > SLACK_MS:
                return ahead(self._time, ts_ms, book_ms, now_ms)
            return None
        return self._runs_back(ts_ms, book_ms, now_ms) or self._stands_still(change, now_ms)

    def _runs_back(self, ts_ms: int | None, book_ms: int | None, now_ms: int) -> str | None:
        if ts_ms is None or book_ms is None:
            return None
        if ts_ms >= book_ms - SLACK_MS:
            self._back = None
        elif self._back is None:
            self._back = (ts_ms, now_ms)
        elif max(ts_ms - self._back[0], now_ms - self._back[1]) > BACK_FOR_MS:
            return f"ts {ts_ms} and those before it are over {SLACK_MS // 1000} s behind the book's {book_ms}"
        return None

    def _stands_still(self, change: BookChange, now_ms: int) -> str | None:
        if not (change.bids or change.asks):
            return None
        if self._still_ms is None:
            self._still_ms = now_ms
        elif now_ms - self._still_ms >= STILL_FOR_MS:
            return f"{STILL_FOR_MS // 1000} s of changes have not brought the time on"
        return None


def ahead(time: ExchangeTime, ts_ms: int, book_ms: int | None, now_ms: int) -> str | None:
    """Why a `ts` is too late to be true; `book_ms` is None for a full book that joins.

    While nothing proves the time, only what no clock could say is refused.
    """
    proved_ms = time.now_ms(now_ms)
    if ts_ms >= LATEST_MS:
        return f"ts {ts_ms} is beyond the year 2199"
    if proved_ms is None:
        is_far = book_ms is not None and ts_ms - book_ms > LONGEST_STEP_MS
        return f"ts {ts_ms} is over {LONGEST_STEP_MS // 1000} s ahead of the book's {book_ms}" if is_far else None
    is_allowed = time.allows_full(ts_ms, now_ms) if book_ms is None else time.allows(ts_ms, now_ms)
    return None if is_allowed else f"ts {ts_ms} is ahead of the proved time {proved_ms}"
