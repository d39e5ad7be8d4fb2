"""A plan of faults at work on one exchange: what happens instead, what each connection gets, and what REST answers.

Decides nothing itself: the schedule says when, the `fault_*` modules do.
"""

from collections.abc import Callable
from typing import NamedTuple

from l2vault.book.change import BookChange
from l2vault.sim.exchange.books import Exchange, Tick
from l2vault.sim.exchange.scaled_clock import ScaledClock
from l2vault.sim.faults.chain import Chain, build_chain
from l2vault.sim.faults.context import FaultContext
from l2vault.sim.faults.exchange import ExchangeFault, Maintenance, Reset, State, TickSize
from l2vault.sim.faults.frame import NOBODY
from l2vault.sim.faults.plan import ConnectionSlot, Fault, FaultPlan
from l2vault.sim.faults.request_errors import RequestErrors
from l2vault.sim.faults.schedule import Schedule


class Played(NamedTuple):
    """A tick as it happens, its number among those of its instrument, the faults that strike it, and those of whole
    connections that begin with it."""

    tick: Tick
    number: int
    struck: frozenset[int]
    begun: frozenset[int]


class Faults:
    """The faults of `plan` on a timeline that starts at `start_ms` of exchange time."""

    def __init__(self, plan: FaultPlan, seed: int, start_ms: int, exchange: Exchange) -> None:
        self.schedule = Schedule(plan, seed, start_ms)
        self._exchange = exchange
        self._disturbances = [
            (index, self._disturbance(index, fault))
            for kind in ("state", "tick-size", "reset", "maintenance")
            for index, fault in enumerate(plan.faults)
            if fault.kind == kind
        ]
        for _, disturbance in self._disturbances:
            disturbance.pass_time(start_ms)

    def first(self, tick: Tick) -> Tick:
        """A full book from before the timeline begins, as it happens."""
        return self._altered(tick, NOBODY)[0]

    def play(self, tick: Tick) -> Played:
        """The next tick of the timeline, as it happens."""
        number, struck, begun = self.schedule.note_push(tick.change.inst_id, tick.ts_ms)
        if self._disturbances:
            tick, struck = self._altered(tick, struck)
        return Played(tick, number, struck, begun)

    def pass_time(self, ts_ms: int) -> frozenset[int]:
        """Exchange time has come to `ts_ms`: the faults of whole connections that begin now."""
        begun = self.schedule.note_time(ts_ms)
        for _, disturbance in self._disturbances:
            disturbance.pass_time(ts_ms)
        return begun

    def chain(self, slot: ConnectionSlot, conn_id: str, scaled_clock: ScaledClock) -> Chain:
        """What stands between the exchange and the connection on that slot."""
        schedule = self.schedule
        return build_chain(
            FaultContext(index, fault, schedule, self._exchange, slot, conn_id, scaled_clock)
            for index, fault in enumerate(schedule.faults)
        )

    def request_errors(self, slot: ConnectionSlot, now_ms: Callable[[], int]) -> RequestErrors:
        """The errors planned for the requests of the connection on that slot; `now_ms` gives exchange time."""
        concerned = [
            (fault, self.schedule.trigger(index))
            for index, fault in enumerate(self.schedule.faults)
            if fault.kind == "error" and fault.who.matches(slot)
        ]
        return RequestErrors(concerned, now_ms)

    def _disturbance(self, index: int, fault: Fault) -> ExchangeFault:
        if fault.kind == "reset":
            return Reset(fault)
        if fault.kind == "tick-size":
            return TickSize(fault, self.schedule, self._exchange)
        if fault.kind == "maintenance":
            return Maintenance(fault, self.schedule, self._exchange)
        return State(index, fault, self.schedule, self._exchange)

    def _altered(self, tick: Tick, struck: frozenset[int]) -> tuple[Tick, frozenset[int]]:
        change: BookChange = tick.change
        for index, disturbance in self._disturbances:
            if not self.schedule.faults[index].concerns(change.inst_id):
                continue
            change, shows = disturbance.alter(change, index in struck)
            struck = struck - {index} | ({index} if shows else NOBODY)
        if change is tick.change:
            return tick, struck
        return tick._replace(change=change, frame=tick.frame if change == tick.change else None), struck
