"""What was recorded of OKX as the timeline of an exchange: pushes of books and trades, values beside them, and the cuts
where nothing is known. Values only; whoever has a recording makes one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from l2vault.sim.exchange.books import Tick, TradeTick
from l2vault.sim.exchange.context import ContextPush


class Cut(NamedTuple):
    """From here on nothing is known of the instrument's book, until its next full one; whoever is subscribed to it is
    disconnected and told `cause`."""

    ts_ms: int
    inst_id: str
    cause: str


class ContextTick(NamedTuple):
    """A value beside the books. `ts_ms` is its place on the timeline."""

    ts_ms: int
    push: ContextPush


class ContextLost(NamedTuple):
    """From here on no value stands in these channels, each with its name, until the next tick of each: whoever
    subscribes or asks is given none."""

    ts_ms: int
    names: Sequence[tuple[str, str]]


Event = Tick | TradeTick | ContextTick | ContextLost | Cut


class Timeline(NamedTuple):
    """`rows` has OKX's row of each instrument of which one is known; `names` what may be subscribed to beside books and
    trades, by channel. `events` are in order of `ts_ms`; full books of `start_ms` stand before it begins."""

    start_ms: int
    inst_ids: Sequence[str]
    rows: Mapping[str, dict[str, object]]
    names: Mapping[str, frozenset[str]]
    events: Iterator[Event]


class RecordedContext:
    """The values of a recording, in the place of those that a market makes up (`ContextMarket`)."""

    def __init__(self, names: Mapping[str, frozenset[str]]) -> None:
        self.names = names
        self._newest: dict[tuple[str, str], ContextPush] = {}
        self._announced: list[ContextPush] = []

    def newest(self, channel: str, name: str) -> list[Mapping[str, object]]:
        """The row that stands; none where there is none yet."""
        push = self._newest.get((channel, name))
        return [] if push is None else [push.row]

    def announce(self, channel: str, name: str, row: Mapping[str, object]) -> None:
        """It is pushed next."""
        self._announced.append(ContextPush(channel, name, 0, row))

    def forget(self, names: Iterable[tuple[str, str]]) -> None:
        """Of these channels and names no row stands any more."""
        for each in names:
            self._newest.pop(each, None)

    def pass_time(self, ts_ms: int) -> Sequence[ContextPush]:
        """What was announced."""
        pushes, self._announced = self._announced, []
        for push in pushes:
            self._newest[push.channel, push.name] = push
        return pushes
