"""What a fault at work on one connection can see: itself, the exchange, the time, and rng of its own."""

from dataclasses import dataclass
from random import Random

from l2vault.sim.exchange.books import Exchange, encode_push
from l2vault.sim.exchange.scaled_clock import ScaledClock
from l2vault.sim.faults.frame import Frame
from l2vault.sim.faults.plan import ConnectionSlot, Fault
from l2vault.sim.faults.schedule import Schedule


@dataclass(frozen=True, slots=True)
class FaultContext:
    index: int
    """The fault's place in the plan."""
    fault: Fault
    schedule: Schedule
    exchange: Exchange
    slot: ConnectionSlot
    conn_id: str
    scaled_clock: ScaledClock

    def hits(self, frame: Frame) -> bool:
        return self.index in frame.struck

    def is_on(self, inst_id: str = "") -> bool:
        return self.schedule.is_on(self.index, inst_id)

    def rng(self, frame: Frame) -> Random:
        """The same for the same push of the same timeline, on whichever connection."""
        change, trade = frame.change, frame.trade
        push = "" if change is None else f"{change.inst_id} {change.seq_id} {change.ts_ms}"
        if trade is not None:
            push = f"{trade.inst_id} trade {trade.trade_id}"
        return Random(f"{self.schedule.seed} {self.index} {push}")

    def full_book(self, inst_id: str) -> Frame | None:
        """The full book of this moment as a frame, as if somebody subscribed just now."""
        change = self.exchange.full_book(inst_id)
        return None if change is None else Frame(encode_push(change), change)
