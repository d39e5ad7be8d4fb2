"""The market of one instrument, book after book, and whether the conditions of alerts on it hold. Pure.

Times are exchange time. Nothing is claimed across a hole, of a flagged book's future, or of a book older than the
longest silence of OKX's. What happens at one moment holds for EVENT_MS from then.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, NamedTuple

from l2vault.alerts.conditions import Held
from l2vault.alerts.rule import EVENTS, Rule
from l2vault.analytics import one_book
from l2vault.analytics.contract import Contract
from l2vault.analytics.figures import amount
from l2vault.analytics.standing_walls import SIDES, Ending, Gone, SizedBook, StandingWalls, Wall, net_flow, sized
from l2vault.book.context import Context
from l2vault.book.snapshot import Snapshot
from l2vault.book.utc import utc_text

Span = tuple[int, int]
"""Half-open, in milliseconds."""

EVENT_MS: Final = 60_000
SHIFT_MS: Final = 60_000
"""A shift is what came less what went in so much time."""
LONGEST_SILENCE_MS: Final = 90_000
"""OKX sends at least a heartbeat every 60 s, after which the recorder writes a line."""
LONGEST_CONTEXT_MS: Final = 180_000
"""Funding is pushed once or twice a minute."""
IMBALANCE_LEVELS: Final = 10

NO_BOOK: Final = "there is no book of the last 90 s"
NO_ZONES: Final = "no zones are known yet"
NOT_IN_SYNC: Final = "the book is not in sync"
NOT_PROVED: Final = "a wall ended in a time whose trades were not recorded, or are not proved to be all"

_CURE: Final = "l2vault walls, depth or shifts of that time; l2vault watch"


class Sight(NamedTuple):
    """Of what a condition holds; and, where more may hold than is known, why."""

    held: list[Held]
    unknown: str = ""


class _Event(NamedTuple):
    ts_ms: int
    held: Held
    ending: Ending | None = None


class _Flow(NamedTuple):
    """Net flow of both sides since the book before; None: not known."""

    ts_ms: int
    bid: float | None
    ask: float | None


class Zone(NamedTuple):
    """Prices between which much rests on a side."""

    side: str
    low: float
    high: float


class Market:
    """Call `take` with each book and `take_context` with each line of context up to a time, then `look` with that time,
    and `sight` for each of the rules."""

    def __init__(
        self,
        inst_id: str,
        rules: Sequence[Rule],
        contract_at: Callable[[int], Contract],
        ending: Callable[[Gone, Contract], Ending],
    ) -> None:
        self._inst_id = inst_id
        self._contract_at = contract_at
        self._ending = ending
        self._rules = [rule for rule in rules if inst_id in rule.instruments]
        self._walls = {rule.limit: StandingWalls(rule.limit) for rule in self._rules if "wall" in rule.condition}
        self._flows: dict[float, deque[_Flow]] = {
            rule.within_bps: deque() for rule in self._rules if rule.condition == "shift beyond" and rule.within_bps
        }
        self._of_price = [rule for rule in self._rules if rule.condition == "price crosses"]
        self._of_zones = [rule for rule in self._rules if rule.condition == "price crosses zone"]
        self._events: dict[Rule, list[_Event]] = {rule: [] for rule in self._rules}
        self._was_above: dict[Rule | Zone, bool] = {}
        self._zones: Sequence[Zone] = ()
        self._why_no_zones = NO_ZONES
        self._line: Snapshot | None = None
        self._book: SizedBook | None = None
        self._context: Context | None = None
        self._now_ms = 0
        self._why_unknown = NO_BOOK

    def take(self, line: Snapshot, holes: Sequence[Span]) -> None:
        """The next book, with the holes since the one before."""
        before, self._line = self._line, line
        is_linked = before is not None and not is_apart(before, line.ts_ms, holes)
        contract = self._contract_at(line.ts_ms)
        book_before, self._book = self._book, sized(line, contract)
        ending = cache(lambda one: self._ending(one, contract))  # several rules ask of one wall; it reads trades
        for least, walls in self._walls.items():
            step = walls.take(self._book, is_linked)
            for rule in self._rules:
                if rule.limit == least:
                    self._note_walls(rule, step.born, step.gone, ending)
        for bps, flows in self._flows.items():
            before_it = book_before if is_linked else None
            found = [None if before_it is None else net_flow(before_it, self._book, side, bps) for side in SIDES]
            flows.append(_Flow(line.ts_ms, *found))
        if self._book.mid is not None:
            self._note_crossings(line.ts_ms, self._book.mid)

    def take_zones(self, zones: Sequence[Zone], why_none: str = "") -> None:
        """The zones of the hour before what is taken next; or why they are not known. Of those that were there before
        it is still known on which side of them the price was."""
        self._zones, self._why_no_zones = zones, why_none
        for known in [each for each in self._was_above if isinstance(each, Zone) and each not in zones]:
            del self._was_above[known]
        if self._book is not None and self._book.mid is not None:
            for zone in zones:
                if not zone.low <= self._book.mid <= zone.high:
                    self._was_above.setdefault(zone, self._book.mid > zone.high)

    def take_context(self, context: Context) -> None:
        """The next line of context."""
        self._context = context

    def look(self, now_ms: int, holes: Sequence[Span]) -> None:
        """Everything up to this time has been taken."""
        self._now_ms = now_ms
        line = self._line
        if line is None or now_ms - line.ts_ms > LONGEST_SILENCE_MS:
            self._why_unknown = NO_BOOK
        else:
            self._why_unknown = NOT_IN_SYNC if is_apart(line, now_ms, holes) else ""
        for events in self._events.values():
            events[:] = [event for event in events if now_ms - event.ts_ms < EVENT_MS]
        for flows in self._flows.values():
            while flows and flows[0].ts_ms <= now_ms - SHIFT_MS:
                flows.popleft()

    def sight(self, rule: Rule) -> Sight:
        """Whether the condition of one of the rules holds now."""
        condition = rule.condition
        if condition == "funding beyond":
            return self._funding(rule)
        if condition in EVENTS:
            return self._happened(rule)
        if self._why_unknown:
            return Sight([], self._why_unknown)
        if condition == "wall above":
            return Sight([self._held(wall, wall_text(wall)) for wall in self._standing(rule)])
        if condition == "spread above":
            return self._spread(rule)
        if condition == "imbalance beyond":
            return self._imbalance(rule)
        return self._depth(rule) if condition == "depth below" else self._shift(rule)

    def _standing(self, rule: Rule) -> list[Wall]:
        return [wall for wall in self._walls[rule.limit].standing if _is_asked(rule, wall)]

    def _note_walls(
        self, rule: Rule, born: Sequence[Wall], gone: Sequence[Gone], ending_of: Callable[[Gone], Ending]
    ) -> None:
        events = self._events[rule]
        if rule.condition == "wall born above":
            came = [wall for wall in born if wall.began in ("placed", "grown") and _is_asked(rule, wall)]
            events += [_Event(wall.born_ms, self._held(wall, wall_text(wall))) for wall in came]
        if rule.condition not in ("wall pulled above", "wall consumed above"):
            return
        for one in gone:
            if one.how == "moved" or one.how == "fell":
                if not _is_asked(rule, one.wall):
                    continue
                ending = ending_of(one)
                if one.how == "moved" and ending != "consumed":  # without trades a move is as likely as ever
                    continue
                text = f"{wall_text(one.wall)} It was {ending} by {_second(one.ts_ms)} UTC."
                if ending == "unknown" or ending == rule.condition.split()[1]:
                    events.append(_Event(one.ts_ms, self._held(one.wall, text), ending))

    def _note_crossings(self, ts_ms: int, mid: float) -> None:
        for rule in self._of_price:
            if way := self._crossed(rule, rule.limit, rule.upper, mid):
                what = f"{rule.limit:.12g}" if rule.limit == rule.upper else f"{rule.limit:.12g} to {rule.upper:.12g}"
                self._events[rule].append(_Event(ts_ms, self._crossing(way, "", what, mid)))
        for zone in self._zones if self._of_zones else ():
            if way := self._crossed(zone, zone.low, zone.high, mid):
                of, what = f" {zone.side} {zone.low:.12g}-{zone.high:.12g}", f"{zone.low:.12g} to {zone.high:.12g}"
                event = _Event(ts_ms, self._crossing(way, of, f"the {zone.side} zone {what}", mid))
                for rule in self._of_zones:
                    if rule.side in (None, zone.side):
                        self._events[rule].append(event)

    def _crossed(self, key: Rule | Zone, low: float, high: float, mid: float) -> str | None:
        """Which way the price went from one side of a span to the other since it was last on one of them; None: it did
        not. To be asked once a book for each key."""
        if low <= mid <= high:
            return None
        is_above, was_above = mid > high, self._was_above.get(key)
        self._was_above[key] = is_above
        if was_above is None or was_above == is_above:
            return None
        return "up" if is_above else "down"

    def _crossing(self, way: str, of: str, what: str, mid: float) -> Held:
        text = f"The price of {self._inst_id} crossed {what} {way}wards: {mid:.12g}."
        return Held(f"{self._inst_id}{of} {way}", text, _CURE)

    def _happened(self, rule: Rule) -> Sight:
        events = self._events[rule]
        is_open = any(event.ending == "unknown" for event in events)
        held = {event.held.of: event.held for event in events if event.ending != "unknown"}
        why = self._why_no_zones if rule.condition == "price crosses zone" else ""
        return Sight(list(held.values()), self._why_unknown or why or (NOT_PROVED if is_open else ""))

    def _spread(self, rule: Rule) -> Sight:
        assert self._line is not None  # otherwise it would not be known
        bps = one_book.spread_bps(self._line)
        if bps is None:
            return Sight([], "a side of the book is empty")
        text = f"The spread of {self._inst_id} is {bps:.3g} bps."
        return Sight([Held(self._inst_id, text, _CURE)] if bps > rule.limit else [])

    def _imbalance(self, rule: Rule) -> Sight:
        assert self._line is not None
        contract = self._contract_at(self._line.ts_ms)
        found = one_book.imbalance(self._line, IMBALANCE_LEVELS, "usd", contract)
        if found is None:
            is_empty = not (self._line.bids or self._line.asks)
            why = f"the recorded levels are fewer than {IMBALANCE_LEVELS}"
            return Sight([], "the book is empty" if is_empty else why)
        side = "bid" if found > 0 else "ask"
        if abs(found) <= rule.limit or rule.side not in (None, side):
            return Sight([])
        text = f"The imbalance of the best {IMBALANCE_LEVELS} levels of {self._inst_id} is {found:+.2f}."
        return Sight([Held(f"{self._inst_id} {side}", text, _CURE)])

    def _depth(self, rule: Rule) -> Sight:
        assert self._line is not None and rule.within_bps is not None
        found = one_book.depth(self._line, rule.within_bps, "usd", self._contract_at(self._line.ts_ms))
        held, unknown = [], ""
        for side, size in zip(SIDES, found, strict=True):
            if rule.side not in (None, side):
                continue
            if size is None:
                unknown = f"the recorded levels do not reach {rule.within_bps:g} bps"
            elif size < rule.limit:
                text = f"{amount(size)} rest on the {side} side of {self._inst_id} within {rule.within_bps:g} bps."
                held.append(Held(f"{self._inst_id} {side}", text, _CURE))
        return Sight(held, unknown)

    def _shift(self, rule: Rule) -> Sight:
        assert rule.within_bps is not None
        flows = self._flows[rule.within_bps]
        held, unknown = [], ""
        for side in SIDES:
            if rule.side not in (None, side):
                continue
            known = [flow for each in flows if (flow := each.bid if side == "bid" else each.ask) is not None]
            if len(known) < len(flows):
                unknown = "not all of the last 60 s was in sight"
            elif abs(net := sum(known)) > rule.limit:
                what = f"{amount(abs(net))} {'came to' if net > 0 else 'left'} the {side} side of {self._inst_id}"
                text = f"{what} within {rule.within_bps:g} bps in 60 s, less what went the other way."
                held.append(Held(f"{self._inst_id} {side}", text, _CURE))
        return Sight(held, unknown)

    def _funding(self, rule: Rule) -> Sight:
        context = self._context
        if context is None or context.funding is None or self._now_ms - context.grid_ms > LONGEST_CONTEXT_MS:
            return Sight([], "no funding rate is recorded")
        rate = float(context.funding.rate)
        if abs(rate) <= rule.limit:
            return Sight([])
        text = f"The funding rate of {self._inst_id} is {100 * rate:+.4f} %."
        return Sight([Held(self._inst_id, text, "l2vault ls --context")])

    def _held(self, wall: Wall, text: str) -> Held:
        of = f"{self._inst_id} {wall.side} {wall.price:.12g}"
        return Held(of, f"{self._inst_id}: {text}", _CURE)


def wall_text(wall: Wall) -> str:
    """What is said of a wall, in a sentence."""
    away = "" if wall.away_bps is None else f", {wall.away_bps:.1f} bps from mid"
    return (
        f"{wall.side} wall of {amount(wall.size)} at {wall.price:.12g}{away}, seen since {_second(wall.born_ms)} UTC."
    )


def _is_asked(rule: Rule, wall: Wall) -> bool:
    is_near = rule.within_bps is None or (wall.away_bps is not None and wall.away_bps <= rule.within_bps)
    return is_near and rule.side in (None, wall.side)


def is_apart(before: Snapshot, until_ms: int, holes: Sequence[Span]) -> bool:
    """Whether a book may have been another one at a time behind it than what is known says."""
    if before.gap_detected or until_ms - before.ts_ms > LONGEST_SILENCE_MS:
        return True
    return any(start_ms < until_ms and before.ts_ms < end_ms for start_ms, end_ms in holes)


def _second(ms: int) -> str:
    return utc_text(ms)[11:19]
