"""The context of instruments on the grid, and whether each of its values is still current. Pure.

Messages alone decide what a line holds; but the channels have no common order, so two observers may write different
lines. Knows neither how a channel is subscribed to nor where a line goes.
"""

from bisect import insort_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from l2vault.book.context import KINDS, Context, Funding, Index, Kind, Limits, Mark, OpenInterest, Value
from l2vault.okx.context_messages import CHANNEL_OF, SWAP, Update

SETTLE_MS: Final = 1_000
"""A grid time is settled once a message this much later has come: the channels are not in step with each other."""

LONGEST_SILENCE_MS: Final[dict[Kind, int | None]] = {
    "mark": 30_000,
    "index": 75_000,
    "funding": 120_000,
    "open_interest": None,
    "limits": None,
}
"""Between two pushes of a subscription that works, with room for delivery; None where silence proves nothing.

OKX, 2026-07: mark price "200 ms on change, else each 10 s", index "100 ms on change, else each minute", funding "each
30 to 90 s". Open interest comes "each 3 s when updated" and limits "only on change": a value of theirs is current as
long as the mark price of the instrument is, which comes on the same connection.
"""
_WITNESS: Final[Kind] = "mark"
_LOOK_MS: Final = 1_000

State = Literal["present", "stale", "lost"]
LossCause = Literal["disconnect", "silence", "our_restart"]


def index_of(inst_id: str) -> str:
    """The index that a swap follows: OKX's `uly`, which is the swap's own name without `-SWAP`."""
    return inst_id.removesuffix("-SWAP")


def topics_of(inst_ids: Iterable[str]) -> list[tuple[str, str]]:
    """Channel and arg of everything that stands beside the books of these instruments."""
    names = list(dict.fromkeys(inst_ids))
    found = [("index-tickers", name) for name in dict.fromkeys(map(index_of, names))]
    for kind, channel in CHANNEL_OF.items():
        found += [(channel, name) for name in names if kind != "index"]
    return [*found, ("liquidation-orders", SWAP), ("instruments", SWAP), ("status", "")]


class Changed(NamedTuple):
    """A value became current (`present`), or is no more: `stale` if nothing came for longer than is normal though the
    connection stands, `lost` if the connection does not.

    `ts_ms` is the exchange time from which it is so: that of the value, or of the newest message that shows it to have
    been current; None where it never was.
    """

    inst_id: str
    kind: Kind
    state: State
    ts_ms: int | None
    cause: str = ""


def _later(one_ms: int | None, other_ms: int) -> int:
    return other_ms if one_ms is None else max(one_ms, other_ms)


class _Names:
    """Whom an update concerns: an instrument, or all instruments of an index."""

    def __init__(self, inst_ids: Iterable[str]) -> None:
        self._own = {inst_id: (inst_id,) for inst_id in inst_ids}
        self._by_index: dict[str, tuple[str, ...]] = {}
        for inst_id in self._own:
            name = index_of(inst_id)
            self._by_index[name] = (*self._by_index.get(name, ()), inst_id)

    def of(self, update: Update) -> Sequence[str]:
        return (self._by_index if update.kind == "index" else self._own).get(update.name, ())


@dataclass(slots=True)
class _Track:
    """One value of one instrument: the settled one, and what has come for later grid times."""

    settled: Value | None = None
    ahead: list[Value] = field(default_factory=list)
    """In order of their times; of equal times the later message last, so that it wins."""

    def add(self, value: Value) -> bool:
        """False for one that is older than what is settled: a value never goes back."""
        if self.settled is not None and value.ts_ms < self.settled.ts_ms:
            return False
        insort_right(self.ahead, value, key=lambda each: each.ts_ms)
        return True

    def settle(self, grid_ms: int) -> bool:
        """Bring it to what it was at `grid_ms`; returns whether that is anything new."""
        before = self.settled
        while self.ahead and self.ahead[0].ts_ms <= grid_ms:
            self.settled = self.ahead.pop(0)
        return self.settled != before


class ContextGrid:
    """What stands beside the books of `inst_ids`, on the multiples of `cadence_ms` of exchange time.

    `refused` counts values that were older than what was written, or later than `limit_ms`.
    """

    def __init__(self, inst_ids: Iterable[str], cadence_ms: int) -> None:
        names = list(dict.fromkeys(inst_ids))
        self._names = _Names(names)
        self._tracks: dict[str, dict[Kind, _Track]] = {name: {kind: _Track() for kind in KINDS} for name in names}
        self._cadence_ms = cadence_ms
        self._newest_ms = -1
        self._settled_ms = -1
        self.refused = 0

    @property
    def settled_ms(self) -> int:
        """The newest grid time that is settled: what comes now is in the lines behind it. -1 before anything came."""
        return self._settled_ms

    def take(self, update: Update, limit_ms: int | None = None) -> list[Context]:
        """One value; returns the lines of the grid times that it shows to be over, in order of time.

        `limit_ms` is the latest time that can be: a value beyond it is refused. None: nothing proves exchange time.
        """
        ts_ms = update.value.ts_ms
        if limit_ms is not None and ts_ms > limit_ms:
            self.refused += 1
            return []
        if limit_ms is not None and self._newest_ms > limit_ms:
            self._come_back(limit_ms)
        if self._settled_ms < 0:
            self._settled_ms = (ts_ms - 1 - SETTLE_MS) // self._cadence_ms * self._cadence_ms
        for inst_id in self._names.of(update):
            self.refused += not self._tracks[inst_id][update.kind].add(update.value)
        self._newest_ms = max(self._newest_ms, ts_ms)
        return self._settle((self._newest_ms - SETTLE_MS) // self._cadence_ms * self._cadence_ms)

    def settle_all(self, limit_ms: int | None = None) -> list[Context]:
        """Nothing more comes on this connection: the lines of every grid time up to its newest message, in order."""
        newest_ms = self._newest_ms if limit_ms is None else min(self._newest_ms, limit_ms)
        return self._settle(newest_ms // self._cadence_ms * self._cadence_ms)

    def _settle(self, to_ms: int) -> list[Context]:
        lines: list[Context] = []
        for inst_id, tracks in self._tracks.items() if to_ms > self._settled_ms else ():
            for grid_ms in self._due(tracks, to_ms):
                changed = [track.settle(grid_ms) for track in tracks.values()]
                if any(changed):
                    lines.append(_context(inst_id, grid_ms, tracks))
        self._settled_ms = max(self._settled_ms, to_ms)
        lines.sort(key=lambda line: line.grid_ms)
        return lines

    def _due(self, tracks: dict[Kind, _Track], to_ms: int) -> list[int]:
        """The grid times up to `to_ms` at which something may be new, however long ago the last one was."""
        first_ms = self._settled_ms + self._cadence_ms
        times = (value.ts_ms for track in tracks.values() for value in track.ahead)
        grids = {max(first_ms, -(-ts_ms // self._cadence_ms) * self._cadence_ms) for ts_ms in times}
        return sorted(grid_ms for grid_ms in grids if grid_ms <= to_ms)

    def _come_back(self, limit_ms: int) -> None:
        """What was believed before time was proved lay in the future: forget it, or nothing would be written until
        then."""
        self._newest_ms, self._settled_ms = -1, -1
        for tracks in self._tracks.values():
            for kind, track in tracks.items():
                track.ahead = [value for value in track.ahead if value.ts_ms <= limit_ms]
                if track.settled is not None and track.settled.ts_ms > limit_ms:
                    tracks[kind] = _Track(None, track.ahead)


def _context(inst_id: str, grid_ms: int, tracks: dict[Kind, _Track]) -> Context:
    mark, index, funding = tracks["mark"].settled, tracks["index"].settled, tracks["funding"].settled
    interest, limits = tracks["open_interest"].settled, tracks["limits"].settled
    assert mark is None or isinstance(mark, Mark)
    assert index is None or isinstance(index, Index)
    assert funding is None or isinstance(funding, Funding)
    assert interest is None or isinstance(interest, OpenInterest)
    assert limits is None or isinstance(limits, Limits)
    return Context(inst_id, grid_ms, mark, index, funding, interest, limits)


@dataclass(slots=True)
class _Sign:
    """The newest message of one value: when it came (monotonic; None: not on this connection), and its time."""

    heard_ms: int | None = None
    ts_ms: int | None = None
    state: State = "lost"


class Freshness:
    """Which values are current. One for the process: whichever feed carries the context, it is told.

    `begin` when a feed's subscriptions are asked for, `take` each update, `tick` about once a second, `lose` when the
    feed is gone; each returns what changed.
    """

    def __init__(self, inst_ids: Iterable[str]) -> None:
        names = list(dict.fromkeys(inst_ids))
        self._names = _Names(names)
        self._signs: dict[str, dict[Kind, _Sign]] = {name: {kind: _Sign() for kind in KINDS} for name in names}
        self._begun_ms: int | None = None
        self._newest_ms: int | None = None
        """Exchange time of the newest message of any value on this connection."""
        self._look_ms = 0

    def begin(self, now_ms: int) -> None:
        """A connection stands, and is asked for all values."""
        self._begun_ms = now_ms

    def take(self, update: Update, now_ms: int) -> list[Changed]:
        changed: list[Changed] = []
        ts_ms = update.value.ts_ms
        self._newest_ms = _later(self._newest_ms, ts_ms)
        for inst_id in self._names.of(update):
            sign = self._signs[inst_id][update.kind]
            sign.heard_ms = now_ms
            sign.ts_ms = _later(sign.ts_ms, ts_ms)
            changed += self._enter(inst_id, update.kind, "present", sign.ts_ms)
        return changed

    def tick(self, now_ms: int) -> list[Changed]:
        if self._begun_ms is None or now_ms < self._look_ms:
            return []
        self._look_ms = now_ms + _LOOK_MS
        changed: list[Changed] = []
        for inst_id, signs in self._signs.items():
            for kind, sign in signs.items():
                if self._is_current(signs, kind, now_ms):
                    changed += self._enter(inst_id, kind, "present", self._known_ms(signs, kind))
                elif sign.heard_ms is not None or self._never_came(kind, now_ms):
                    changed += self._enter(inst_id, kind, "stale", self._known_ms(signs, kind), "silence")
        return changed

    def lose(self, cause: LossCause) -> list[Changed]:
        """The connection is gone, or hands over: nothing is known until messages come on another one."""
        self._begun_ms = None
        changed: list[Changed] = []
        for inst_id, signs in self._signs.items():
            for kind, sign in signs.items():
                # A value that is present was so up to the newest message of the connection, whatever that was of.
                known_ms = self._known_ms(signs, kind)
                if sign.state == "present" and self._newest_ms is not None:
                    known_ms = _later(known_ms, self._newest_ms - SETTLE_MS)
                changed += self._enter(inst_id, kind, "lost", known_ms, cause)
        for signs in self._signs.values():
            for sign in signs.values():
                sign.heard_ms = sign.ts_ms = None
        self._newest_ms = None
        return changed

    def present(self) -> list[Changed]:
        """Every value that is current, as if it had become so."""
        return [
            Changed(inst_id, kind, "present", self._known_ms(signs, kind))
            for inst_id, signs in self._signs.items()
            for kind, sign in signs.items()
            if sign.state == "present"
        ]

    def stale(self, longer_ms: int, now_ms: int) -> bool:
        """Whether some value has been stale for `longer_ms` beyond its longest silence: its subscription is gone."""
        return any(
            sign.state == "stale" and now_ms - self._since(sign) >= (LONGEST_SILENCE_MS[kind] or 0) + longer_ms
            for signs in self._signs.values()
            for kind, sign in signs.items()
            if LONGEST_SILENCE_MS[kind] is not None
        )

    def counts(self) -> dict[State, int]:
        """Values in each state, for the log."""
        counts: dict[State, int] = {"present": 0, "stale": 0, "lost": 0}
        for signs in self._signs.values():
            for sign in signs.values():
                counts[sign.state] += 1
        return counts

    def _is_current(self, signs: dict[Kind, _Sign], kind: Kind, now_ms: int) -> bool:
        heard_ms, longest_ms = signs[kind].heard_ms, LONGEST_SILENCE_MS[kind]
        if heard_ms is None:
            return False
        if longest_ms is not None:
            return now_ms - heard_ms <= longest_ms
        within_ms = LONGEST_SILENCE_MS[_WITNESS] or 0
        return now_ms - heard_ms <= within_ms or self._is_current(signs, _WITNESS, now_ms)

    def _never_came(self, kind: Kind, now_ms: int) -> bool:
        """Nothing came since the connection was asked. Of what comes on change only, that says nothing."""
        longest_ms = LONGEST_SILENCE_MS[kind]
        return self._begun_ms is not None and longest_ms is not None and now_ms - self._begun_ms > longest_ms

    def _since(self, sign: _Sign) -> int:
        return sign.heard_ms if sign.heard_ms is not None else self._begun_ms or 0

    def _known_ms(self, signs: dict[Kind, _Sign], kind: Kind) -> int | None:
        """Until when the newest message, or that of its witness, shows the value to have been current. The channels are
        not in step: what is a second before the message of another one has come."""
        ts_ms, witness_ms = signs[kind].ts_ms, signs[_WITNESS].ts_ms
        if ts_ms is None or LONGEST_SILENCE_MS[kind] is not None or witness_ms is None:
            return ts_ms
        return max(ts_ms, witness_ms - SETTLE_MS)

    def _enter(self, inst_id: str, kind: Kind, state: State, ts_ms: int | None, cause: str = "") -> list[Changed]:
        sign = self._signs[inst_id][kind]
        if sign.state == state:
            return []
        sign.state = state
        return [Changed(inst_id, kind, state, ts_ms, cause)]
