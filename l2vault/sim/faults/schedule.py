"""All faults of a plan against one timeline: which strike this push, which begin at this moment, which are going on.

Decided once for all connections and whether or not anybody watches, so that the same pushes are struck in every run.
"""

import heapq
from collections import Counter
from typing import Final

from l2vault.sim.faults.frame import NOBODY
from l2vault.sim.faults.kinds import KINDS
from l2vault.sim.faults.plan import ALL_INSTRUMENTS, Fault, FaultPlan
from l2vault.sim.faults.timing import Trigger

_SHARED_UNITS: Final = ("time", "push")
_TIMELINE_FAMILIES: Final = ("push", "mode", "line", "exchange")
_WAKING_FAMILIES: Final = ("mode", "line", "exchange")
"""Those that act at a moment of time; the others wait for the next push, request or connection."""

_WHOLE_CONNECTION: Final = ""


class Schedule:
    """The strikes of `plan` on a timeline that starts at `start_ms`. Faults are named by their place in the plan."""

    def __init__(self, plan: FaultPlan, seed: int, start_ms: int) -> None:
        self.faults: Final = plan.faults
        self.seed: Final = seed if plan.seed is None else plan.seed
        self.start_ms: Final = start_ms
        self.now_ms = start_ms
        self._triggers = [self.trigger(index) for index in range(len(plan.faults))]
        self._shared = [
            (index, fault)
            for index, fault in enumerate(plan.faults)
            if KINDS[fault.kind].family in _TIMELINE_FAMILIES
            and fault.when.unit in _SHARED_UNITS
            and not (KINDS[fault.kind].family == "push" and fault.channel == "trades")
        ]
        self._trade_faults = [
            (fault, index, self.trigger(index))
            for index, fault in enumerate(plan.faults)
            if KINDS[fault.kind].family == "trade"
            or (KINDS[fault.kind].family == "push" and fault.channel in ("trades", "both"))
        ]
        """Counted apart: a fault of both channels strikes each by that channel's own numbers."""
        self._lines = frozenset(index for index, fault in self._shared if KINDS[fault.kind].family == "line")
        self._alarms = heapq.merge(
            *(
                self._triggers[index].alarms()
                for index, fault in self._shared
                if KINDS[fault.kind].family in _WAKING_FAMILIES
            )
        )
        self._next_alarm = next(self._alarms, None)
        self._wakes: list[int] = []
        self._pushes: Counter[str] = Counter()
        self._context_faults = [
            (index, fault) for index, fault in enumerate(plan.faults) if KINDS[fault.kind].family == "context"
        ]
        self._trades: Counter[str] = Counter()
        self._context: Counter[tuple[str, str]] = Counter()

    @property
    def next_ms(self) -> int | None:
        """The exchange time at which `note_time` is to be called next, or None."""
        due = self._wakes[:1] + ([] if self._next_alarm is None else [self._next_alarm])
        return min(due, default=None)

    def trigger(self, index: int) -> Trigger:
        """A fresh count of one fault's strikes, for what is counted apart: frames or requests of one connection."""
        return Trigger(self.faults[index].when, self.start_ms, f"{self.seed} {index}")

    def wake_at(self, ts_ms: int) -> None:
        """Ask for a `note_time` at that exchange time."""
        heapq.heappush(self._wakes, ts_ms)

    def note_time(self, ts_ms: int) -> frozenset[int]:
        """Time has come to `ts_ms`: the faults of whole connections that begin now."""
        self.now_ms = ts_ms
        while self._wakes and self._wakes[0] <= ts_ms:
            heapq.heappop(self._wakes)
        while self._next_alarm is not None and self._next_alarm <= ts_ms:
            self._next_alarm = next(self._alarms, None)
        return frozenset(
            index
            for index in self._lines
            if self.faults[index].when.unit == "time" and self._triggers[index].begins(_WHOLE_CONNECTION, 0, ts_ms)
        )

    def note_push(self, inst_id: str, ts_ms: int) -> tuple[int, frozenset[int], frozenset[int]]:
        """The number of this push among those of its instrument, the faults that strike it, and those of whole
        connections that begin with it."""
        self.now_ms = ts_ms
        self._pushes[inst_id] += 1
        self._pushes[ALL_INSTRUMENTS] += 1
        number = self._pushes[inst_id]
        if not self._shared:
            return number, NOBODY, NOBODY
        hit = frozenset(
            index for index, fault in self._shared if fault.concerns(inst_id) and self._hits(index, fault, inst_id)
        )
        begun = hit & self._lines
        return number, hit - begun, begun

    def note_trade(self, inst_id: str, ts_ms: int) -> frozenset[int]:
        """The faults that strike this trade of an instrument, whose trades are counted apart from its pushes."""
        self._trades[inst_id] += 1
        return frozenset(
            index
            for fault, index, trigger in self._trade_faults
            if fault.concerns(inst_id) and trigger.hits(inst_id, self._trades[inst_id], ts_ms)
        )

    def note_context(self, channel: str, inst_id: str, ts_ms: int) -> frozenset[int]:
        """The faults that strike this push of a channel beside the books; each channel of an instrument is counted by
        itself. `inst_id` is empty for what is of no instrument: then only a fault of all strikes it."""
        self._context[channel, inst_id] += 1
        number, key = self._context[channel, inst_id], f"{channel} {inst_id}"
        return frozenset(
            index
            for index, fault in self._context_faults
            if fault.word("channel") in ("all", channel)
            and fault.concerns(inst_id)
            and self._triggers[index].hits(key, number, ts_ms)
        )

    def is_on(self, index: int, inst_id: str) -> bool:
        """Whether a fault that lasts for a time is going on for this instrument, or for the whole connection."""
        fault = self.faults[index]
        if not KINDS[fault.kind].by_instrument:
            return self._triggers[index].is_on(_WHOLE_CONNECTION, self.now_ms)
        return fault.concerns(inst_id) and self._triggers[index].is_on(inst_id, self.now_ms)

    def _hits(self, index: int, fault: Fault, inst_id: str) -> bool:
        kind, trigger = KINDS[fault.kind], self._triggers[index]
        key = inst_id if kind.by_instrument else _WHOLE_CONNECTION
        number = self._pushes[inst_id if kind.by_instrument else fault.inst_id]
        if kind.family in ("push", "exchange"):
            return trigger.hits(key, number, self.now_ms)
        begins = trigger.begins(key, number, self.now_ms)
        end_ms = trigger.end_ms(key) if begins else None
        if end_ms is not None:
            self.wake_at(end_ms)
        return begins
