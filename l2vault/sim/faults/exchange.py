"""Faults of the exchange itself: its sequence restarts, its prices get another step, an instrument is not live.

They change what is true, before it is applied: the exchange's own book, every connection and REST agree on the outcome.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from l2vault.book.book import CHANNEL_DEPTH, Book
from l2vault.book.change import BookChange, Level
from l2vault.book.price import price_key
from l2vault.errors import LevelError
from l2vault.okx.checksum import book_checksum, is_provided
from l2vault.sim.exchange.books import Exchange
from l2vault.sim.exchange.context import STATUS
from l2vault.sim.exchange.levels import ASK, BID, Image, difference, price_text
from l2vault.sim.faults.plan import Fault
from l2vault.sim.faults.schedule import Schedule

_NO_SEQ_ID: Final = -1


class ExchangeFault(Protocol):
    def alter(self, change: BookChange, is_struck: bool) -> tuple[BookChange, bool]:
        """The change as it happens instead, and whether this is the push by which the fault shows."""

    def pass_time(self, ts_ms: int) -> None: ...


class Reset:
    """Maintenance: an update's `seqId` is a small one, its `prevSeqId` still the last; from there it goes on."""

    def __init__(self, fault: Fault) -> None:
        self._to = fault.number("to")
        self._shift: dict[str, int] = {}
        self._is_due: set[str] = set()

    def alter(self, change: BookChange, is_struck: bool) -> tuple[BookChange, bool]:
        inst_id, seq_id, prev_seq_id = change.inst_id, change.seq_id, change.prev_seq_id
        if is_struck:
            self._is_due.add(inst_id)
        if seq_id is None or prev_seq_id is None:
            return change, False
        shift = self._shift.get(inst_id, 0)
        prev_seq_id = prev_seq_id if change.is_snapshot else prev_seq_id + shift
        # Neither a full book nor a heartbeat can show it, nor a sequence that has not come past the small number.
        restarts = (
            inst_id in self._is_due
            and not change.is_snapshot
            and seq_id + shift != prev_seq_id
            and self._to < prev_seq_id
        )
        if restarts:
            self._is_due.discard(inst_id)
            self._shift[inst_id] = shift = self._to - seq_id
        return msgspec.structs.replace(change, seq_id=seq_id + shift, prev_seq_id=prev_seq_id), restarts

    def pass_time(self, ts_ms: int) -> None:
        pass


class View:
    """A book that is shown otherwise than it is: `show` turns the true image into the one all clients see.

    Follows the true book from its first full one, so that it can be switched on and off at any push.
    """

    def __init__(self, show: Callable[[Image], Image]) -> None:
        self._show = show
        self._book: Book | None = None
        self._shown: Image | None = None

    def alter(self, change: BookChange, is_on: bool, as_full_book: bool = False) -> BookChange:
        """The change between what was shown before and what is now; where it is to begin so, as a full book."""
        was_on = self._shown is not None
        before = self._shown or (self._image() if is_on else None)
        try:
            self._apply(change)
        except LevelError:
            self._book = None
        true = self._image() if is_on or was_on else None
        if true is None:
            self._shown = None
            return change
        image = self._show(true) if is_on else true
        self._shown = image if is_on else None
        checksum = book_checksum(*image) if is_provided(change.checksum) else change.checksum
        if change.is_snapshot or before is None or (as_full_book and not was_on):
            prev_seq_id = None if change.prev_seq_id is None else _NO_SEQ_ID
            changed = BookChange(
                change.inst_id, True, image.bids, image.asks, change.ts_ms, change.seq_id, prev_seq_id, checksum
            )
        else:
            bids, asks = difference(before.bids, image.bids, BID), difference(before.asks, image.asks, ASK)
            changed = msgspec.structs.replace(change, bids=bids, asks=asks, checksum=checksum)
        return changed

    def _apply(self, change: BookChange) -> None:
        if self._book is None and change.is_snapshot:
            self._book = Book()
        if self._book is not None:
            self._book.apply(change)

    def _image(self) -> Image | None:
        return None if self._book is None else Image(*self._book.top(CHANNEL_DEPTH))


class TickSize:
    """A new price step: announced in the row (`upcChg`), then in force, and the book stands on the new grid."""

    def __init__(self, fault: Fault, schedule: Schedule, exchange: Exchange) -> None:
        self._fault = fault
        self._exchange = exchange
        self._tick = fault.word("tick")
        self._announce_ms = schedule.start_ms + fault.when.start
        self._effect_ms = self._announce_ms + fault.number("notice")
        self._now_ms = schedule.start_ms - 1
        self._views: dict[str, View] = {}
        schedule.wake_at(self._effect_ms)

    def alter(self, change: BookChange, is_struck: bool) -> tuple[BookChange, bool]:
        view = self._views.setdefault(change.inst_id, View(self._regrid))
        is_on = self._now_ms >= self._effect_ms
        return view.alter(change, is_on, as_full_book=self._fault.word("how") == "full"), False

    def pass_time(self, ts_ms: int) -> None:
        was_ms, self._now_ms = self._now_ms, ts_ms
        for inst_id in filter(self._fault.concerns, self._exchange.inst_ids):
            if was_ms < self._announce_ms <= ts_ms:
                change = {"param": "tickSz", "newValue": self._tick, "effTime": str(self._effect_ms)}
                self._exchange.amend_row(inst_id, upcChg=[change])
            if was_ms < self._effect_ms <= ts_ms:
                self._exchange.amend_row(inst_id, upcChg=[], tickSz=self._tick)

    def _regrid(self, true: Image) -> Image:
        return Image(_on_grid(true.bids, BID, self._tick), _on_grid(true.asks, ASK, self._tick))


class State:
    """An instrument that is not live; in `preopen` its book may be crossed, and is."""

    def __init__(self, index: int, fault: Fault, schedule: Schedule, exchange: Exchange) -> None:
        self._index = index
        self._fault = fault
        self._schedule = schedule
        self._exchange = exchange
        self._crosses = fault.word("to") == "preopen" and fault.word("crossed") == "yes"
        self._lead_end_ms = schedule.start_ms + fault.when.start + fault.number("lead")
        self._views: dict[str, View] = {}
        self._states: dict[str, object] = {}

    def alter(self, change: BookChange, is_struck: bool) -> tuple[BookChange, bool]:
        inst_id = change.inst_id
        is_on = self._schedule.is_on(self._index, inst_id)
        if self._crosses:
            view = self._views.setdefault(inst_id, View(_crossed))
            change = view.alter(change, is_on and self._schedule.now_ms >= self._lead_end_ms)
        if not is_on:
            self._restore(inst_id)  # only now: until this push the book may be crossed
        return change, False

    def pass_time(self, ts_ms: int) -> None:
        for inst_id in filter(self._fault.concerns, self._exchange.inst_ids):
            is_on = self._schedule.is_on(self._index, inst_id)
            if is_on and inst_id not in self._states:
                self._states[inst_id] = self._exchange.row_value(inst_id, "state")
                self._exchange.amend_row(inst_id, state=self._fault.word("to"))
            elif not is_on and not self._crosses:
                self._restore(inst_id)

    def _restore(self, inst_id: str) -> None:
        if inst_id in self._states:
            self._exchange.amend_row(inst_id, state=self._states.pop(inst_id))


class Maintenance:
    """A maintenance as OKX announces it on the channel `status`: scheduled, ongoing, and how it ends.

    What goes wrong meanwhile is for other faults of the plan.
    """

    def __init__(self, fault: Fault, schedule: Schedule, exchange: Exchange) -> None:
        self._fault = fault
        self._exchange = exchange
        self._announce_ms = schedule.start_ms + fault.when.start
        self._begin_ms = self._announce_ms + fault.number("notice")
        self._end_ms = self._begin_ms + fault.number("lasts")
        self._now_ms = schedule.start_ms - 1
        for ts_ms in (self._begin_ms, self._end_ms):
            schedule.wake_at(ts_ms)

    def alter(self, change: BookChange, is_struck: bool) -> tuple[BookChange, bool]:
        return change, False

    def pass_time(self, ts_ms: int) -> None:
        was_ms, self._now_ms = self._now_ms, ts_ms
        end = self._fault.word("end")
        is_canceled = end == "canceled"
        steps = [(self._announce_ms, "scheduled"), (self._begin_ms, end if is_canceled else "ongoing")]
        for at_ms, state in steps if is_canceled else [*steps, (self._end_ms, end)]:
            if was_ms < at_ms <= ts_ms:
                self._exchange.context.announce(STATUS, "", self._row(state, at_ms))

    def _row(self, state: str, ts_ms: int) -> dict[str, object]:
        """The key order of OKX's documentation."""
        return {
            "title": "Trading account WebSocket system upgrade",
            "state": state,
            "begin": str(self._begin_ms),
            "end": str(self._end_ms),
            "href": "",
            "preOpenBegin": "",
            "scheDesc": "",
            "serviceType": str(self._fault.number("service")),
            "system": "unified",
            "maintType": "1",
            "env": "1",
            "ts": str(ts_ms),
        }


def _crossed(true: Image) -> Image:
    """One bid more, at the second best ask; the window of 400 pushes the worst bid out."""
    if not true.asks:
        return true
    price, quantity, liquidated, orders = true.asks[min(1, len(true.asks) - 1)]
    bid: Level = (price, quantity, liquidated, orders)
    return Image([bid, *true.bids][:CHANNEL_DEPTH], true.asks)


def _on_grid(levels: list[Level], sign: int, tick: str) -> list[Level]:
    """The levels moved away from the touch to the next price of the grid, those that meet there added up."""
    step = price_key(tick)
    grouped: dict[int, list[Level]] = {}
    for level in levels:
        key = price_key(level[0])
        grouped.setdefault(-(-key // step) * step if sign == ASK else key // step * step, []).append(level)
    return [_together(price_text(key), group) for key, group in grouped.items() if key > 0]


def _together(price: str, group: list[Level]) -> Level:
    if len(group) == 1:
        return (price, *group[0][1:])
    quantity = sum((Decimal(level[1]) for level in group), Decimal(0))
    orders = sum(int(level[3]) for level in group)
    return price, price_text(price_key(f"{quantity:f}")), "0", str(orders)
