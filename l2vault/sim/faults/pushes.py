"""Faults in what a push says of the book: wrong times, too many levels, a crossed book, needless levels, checksums.

Each is a function of one struck push and gives what is sent instead; the exchange's own book is not touched.
"""

import re
from bisect import bisect_left
from random import Random
from typing import Any, Final

import msgspec

from l2vault.book.book import CHANNEL_DEPTH
from l2vault.book.change import BookChange, Level
from l2vault.book.price import SCALE_DIGITS, price_key
from l2vault.okx.checksum import book_checksum
from l2vault.sim.exchange.books import encode_push
from l2vault.sim.exchange.levels import ASK, BID, last_words, price_text
from l2vault.sim.exchange.trades import encode_trade, split_trade
from l2vault.sim.faults.context import FaultContext
from l2vault.sim.faults.frame import Frame, Item

_STRUCTURE: Final = re.compile(r'[{}\[\]:,"]')
_QUOTED_NUMBER: Final = re.compile(r'"(\d+(?:\.\d+)?)"')
_TS: Final = re.compile(r'"ts":"(\d+)"')


def corrupt(frame: Frame, context: FaultContext) -> list[Item]:
    """A byte flipped or the end cut off, so that it is no JSON; or a number without its quotes, which still is."""
    return [frame._replace(text=_corrupted(frame.text, context.fault.word("how"), context.rng(frame)))]


def corrupt_context(frame: Frame, context: FaultContext) -> list[Item]:
    """The same for a push of a channel beside the books."""
    rng = Random(f"{context.schedule.seed} {context.index} {frame.text}")
    return [frame._replace(text=_corrupted(frame.text, context.fault.word("how"), rng))]


def shift_context(frame: Frame, context: FaultContext) -> list[Item]:
    """Another time in a push of a channel beside the books."""
    how, by_ms = context.fault.word("how"), context.fault.number("by")

    def shifted(match: re.Match[str]) -> str:
        ts_ms = {"zero": 0, "back": int(match[1]) - by_ms, "ahead": int(match[1]) + by_ms}[how]
        return f'"ts":"{ts_ms}"'

    return [frame._replace(text=_TS.sub(shifted, frame.text))]


def _corrupted(text: str, how: str, rng: Random) -> str:
    if how == "cut":
        return text[: rng.randrange(1, max(len(text), 2))]
    marks = list((_STRUCTURE if how == "flip" else _QUOTED_NUMBER).finditer(text))
    if not marks:
        return text
    mark = rng.choice(marks)
    # A tilde is JSON only inside a string, and no string of a push could end where this one then would.
    instead = "~" if how == "flip" else mark[1]
    return text[: mark.start()] + instead + text[mark.end() :]


def split(frame: Frame, context: FaultContext) -> list[Item]:
    """A push of trades leaves as two: two connections may sum up the matches of one order differently."""
    first = context.fault.number("first")
    if frame.trade is None or frame.trade.matches <= first:
        return [frame]
    parts = split_trade(frame.trade, first)
    return [frame._replace(text=encode_trade(part), trade=part) for part in parts]


def missing(frame: Frame, context: FaultContext) -> list[Item]:
    name = context.fault.word("field")
    push: dict[str, Any] = msgspec.json.decode(frame.text)
    for part in _parts(push).values():
        part.pop(name, None)
    return [_encoded(frame, push)]


def unknown_field(frame: Frame, context: FaultContext) -> list[Item]:
    """A key nobody knows yet, in the envelope, its `arg` or its data; or a fifth member in the first levels."""
    push: dict[str, Any] = msgspec.json.decode(frame.text)
    parts, where = _parts(push), context.fault.word("where")
    if where == "level":
        for side in ("asks", "bids"):
            levels = parts["data"].get(side, [])  # trades have none
            levels[:1] = [[*level, "0"] for level in levels[:1]]
    else:
        parts[where]["newField"] = {"since": "2027", "values": [1, "2", None]}
    return [_encoded(frame, push)]


def _parts(push: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Where keys are. One that an earlier fault took away is an empty part that nobody will see."""
    return {"push": push, "arg": push.get("arg", {}), "data": (push.get("data") or [{}])[0]}


def _encoded(frame: Frame, push: dict[str, Any]) -> Frame:
    return frame._replace(text=msgspec.json.encode(push).decode())


_SIDES: Final = {"bids": (BID,), "asks": (ASK,), "both": (BID, ASK)}
_MOST_CHECKSUM: Final = 2**31 - 1


class Times:
    """`ts` on the wire: 0, some time back, or that of the push before on the same connection."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context
        self._last_ms: dict[str, int | None] = {}

    def feed(self, frame: Frame) -> list[Item]:
        change = frame.change
        if change is None:
            return [frame]
        last_ms = self._last_ms.get(change.inst_id)
        self._last_ms[change.inst_id] = change.ts_ms
        if not self._context.hits(frame) or change.ts_ms is None:
            return [frame]
        fault = self._context.fault
        wrong_ms = {"zero": 0, "back": change.ts_ms - fault.number("by"), "repeat": last_ms or change.ts_ms}
        return [_with(frame, msgspec.structs.replace(change, ts_ms=wrong_ms[fault.word("how")]))]


def too_many_levels(frame: Frame, change: BookChange, context: FaultContext) -> list[Item]:
    """Levels beyond the worst, as if a delete had been forgotten, until the client holds `count` on the side."""
    for sign in _SIDES[context.fault.word("side")]:
        levels = _side(context, change.inst_id, sign)
        if levels:
            missing = context.fault.number("count") - len(levels)
            change = _add(change, sign, _beyond(levels, sign, missing))
    return [_with(frame, change)]


def crossed(frame: Frame, change: BookChange, context: FaultContext) -> list[Item]:
    """A bid that stands in the asks: at the best of them (locked), or at the second best (crossed)."""
    asks = _side(context, change.inst_id, ASK)
    if not asks:
        return [frame]
    among = asks[0] if context.fault.word("how") == "locked" else asks[min(1, len(asks) - 1)]
    return [_with(frame, _add(change, BID, [among]))]


def unknown_deletes(frame: Frame, change: BookChange, context: FaultContext) -> list[Item]:
    """Deletes of prices that hold nothing, which OKX has been seen to send."""
    rng, count = context.rng(frame), context.fault.number("count")
    for sign, share in ((BID, count // 2), (ASK, count - count // 2)):
        levels = _side(context, change.inst_id, sign)
        if levels:
            free = [(price, "0", "0", "0") for price in _free_prices(levels, sign, share)]
            change = _add(change, sign, rng.sample(free, min(share, len(free))))
    return [_with(frame, change)]


def resend(frame: Frame, change: BookChange, context: FaultContext) -> list[Item]:
    """Levels as they stand, once more: no change at all, and seen on the wire."""
    rng, count = context.rng(frame), context.fault.number("count")
    for sign, share in ((BID, count // 2), (ASK, count - count // 2)):
        told = {level[0] for level in _levels(change, sign)}
        same = [level for level in _side(context, change.inst_id, sign) if level[0] not in told]
        change = _add(change, sign, rng.sample(same, min(share, len(same))))
    return [_with(frame, change)]


def checksum(frame: Frame, change: BookChange, context: FaultContext) -> list[Item]:
    """The checksum of the exchange's own book as OKX sent it until June 2026, a wrong one, or OKX's 0 of today."""
    book = context.exchange.book(change.inst_id)
    if book is None:
        return [frame]
    real = book_checksum(*book.top(CHANNEL_DEPTH))
    wrong = real - 1 if real == _MOST_CHECKSUM else real + 1
    sent = {"zero": 0, "real": real, "wrong": wrong or 1}[context.fault.word("how")]
    return [_with(frame, msgspec.structs.replace(change, checksum=sent))]


def _with(frame: Frame, change: BookChange) -> Frame:
    return frame._replace(text=encode_push(change), change=change)


def _levels(change: BookChange, sign: int) -> list[Level]:
    return change.bids if sign == BID else change.asks


def _side(context: FaultContext, inst_id: str, sign: int) -> list[Level]:
    """The exchange's own levels, best first."""
    book = context.exchange.book(inst_id)
    if book is None:
        return []
    bids, asks = book.top(CHANNEL_DEPTH)
    return bids if sign == BID else asks


def _add(change: BookChange, sign: int, extra: list[Level]) -> BookChange:
    """The change with more levels on one side, in OKX's order: best first."""
    if not extra:
        return change
    levels = last_words([_levels(change, sign), extra], sign)
    return msgspec.structs.replace(change, **{"bids" if sign == BID else "asks": levels})


def _beyond(levels: list[Level], sign: int, count: int) -> list[Level]:
    """So many levels worse than the worst; where the price would come to 0, in finer steps than the market's."""
    worst, step = price_key(levels[-1][0]), _step(levels)
    if sign == BID:
        step = min(step, worst // (count + 1)) if count > 0 else step
    keys = [worst + sign * step * (index + 1) for index in range(count)]
    return [(price_text(key), "1", "0", "1") for key in keys]


def _free_prices(levels: list[Level], sign: int, least: int) -> list[str]:
    """Prices between and beyond the levels at which nothing stands: of each gap the first, and `least` at the end."""
    keys = [sign * price_key(level[0]) for level in levels]
    step = _step(levels)
    behind = [key + step for key in keys] + [keys[-1] + step * (index + 2) for index in range(least)]
    free = [key for key in behind if (at := bisect_left(keys, key)) == len(keys) or keys[at] != key]
    return [price_text(sign * key) for key in free if sign * key > 0]


def _step(levels: list[Level]) -> int:
    """The finest step the side's prices show, in units of `price_key`."""
    places = max(len(level[0].partition(".")[2]) for level in levels)
    return int(10 ** (SCALE_DIGITS - places))
