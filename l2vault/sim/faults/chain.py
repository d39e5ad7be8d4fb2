"""The faults between the exchange and one client's socket, as a chain: a frame goes in, what is left of it comes out.

Builds the chain of a connection from the plan; what each link of it does is in the `fault_*` modules.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, runtime_checkable

from l2vault.book.change import BookChange
from l2vault.sim.faults import extra as fault_extra
from l2vault.sim.faults import flow as fault_flow
from l2vault.sim.faults import pushes as fault_levels
from l2vault.sim.faults import pushes as fault_text
from l2vault.sim.faults.context import FaultContext
from l2vault.sim.faults.frame import Frame, Item
from l2vault.sim.faults.kinds import KINDS
from l2vault.sim.faults.plan import When
from l2vault.sim.faults.spec import who
from l2vault.sim.faults.timing import Trigger


class Stage(Protocol):
    """What takes every frame on its way out and gives what is to leave instead."""

    def feed(self, frame: Frame) -> list[Item]: ...


@runtime_checkable
class Timed(Protocol):
    """A stage for which time alone may bring something about."""

    def pass_time(self, ts_ms: int, begun: frozenset[int]) -> list[Item]: ...


@runtime_checkable
class Holding(Protocol):
    """A stage that keeps frames back, and gives them up when the timeline has ended."""

    def settle(self) -> list[Item]: ...


class Chain:
    """The stages of one connection in order.

    `own` are the strikes that are counted on it alone, `lasting` the faults of pushes that strike for a time: a full
    book that answers a subscription meanwhile is struck too.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        own: Sequence[tuple[FaultContext, Trigger]] = (),
        lasting: Sequence[FaultContext] = (),
    ) -> None:
        self._stages = stages
        self._own = own
        self._lasting = lasting
        self._frames: dict[str, int] = {}
        self._timed = [(place, stage) for place, stage in enumerate(stages) if isinstance(stage, Timed)]
        self._holding = [(place, stage) for place, stage in enumerate(stages) if isinstance(stage, Holding)]

    def feed(self, frame: Frame) -> list[Item]:
        """What leaves for this frame, now."""
        if not self._stages:
            return [frame]
        change = frame.change
        if change is not None and self._own:
            frame = self._count(frame, change)
        if change is not None and not frame.number:
            met = {context.index for context in self._lasting if context.is_on(change.inst_id)}
            frame = frame._replace(struck=frame.struck | met)
        return self._run(0, [frame])

    def pass_time(self, ts_ms: int, begun: frozenset[int]) -> list[Item]:
        """What leaves because exchange time has come to `ts_ms` and these faults have begun."""
        passed: list[Item] = []
        for place, stage in self._timed:
            passed += self._run(place + 1, stage.pass_time(ts_ms, begun))
        return passed

    def settle(self) -> list[Item]:
        """What was kept back, at the end of the timeline."""
        passed: list[Item] = []
        for place, stage in self._holding:
            passed += self._run(place + 1, stage.settle())
        return passed

    def _run(self, first: int, items: list[Item]) -> list[Item]:
        for stage in self._stages[first:]:
            passed: list[Item] = []
            for item in items:
                passed += stage.feed(item) if isinstance(item, Frame) else [item]
            items = passed
        return items

    def _count(self, frame: Frame, change: BookChange) -> Frame:
        """The book frames of a connection are numbered, full books included, in all and by instrument."""
        for key in ("", change.inst_id):
            self._frames[key] = self._frames.get(key, 0) + 1
        struck = {context.index for context, trigger in self._own if self._hits(context, trigger, change.inst_id)}
        return frame._replace(struck=frame.struck | struck)

    def _hits(self, context: FaultContext, trigger: Trigger, inst_id: str) -> bool:
        fault, kind = context.fault, KINDS[context.fault.kind]
        if not fault.concerns(inst_id):
            return False
        key = inst_id if kind.by_instrument or fault.inst_id == inst_id else ""
        if kind.family == "line":
            return trigger.begins(key, self._frames[key], context.schedule.now_ms)
        return trigger.hits(key, self._frames[key], context.schedule.now_ms)


class _StruckPush:
    """A stage that replaces struck pushes, of whichever channel, and full books, and lets everything else pass."""

    def __init__(self, context: FaultContext, effect: Callable[[Frame, FaultContext], list[Item]]) -> None:
        self._context = context
        self._effect = effect

    def feed(self, frame: Frame) -> list[Item]:
        return self._effect(frame, self._context) if frame.inst_id and self._context.hits(frame) else [frame]


class _Struck:
    """A stage that replaces struck pushes of books and full books and lets everything else pass."""

    def __init__(self, context: FaultContext, effect: Callable[[Frame, BookChange, FaultContext], list[Item]]) -> None:
        self._context = context
        self._effect = effect

    def feed(self, frame: Frame) -> list[Item]:
        if frame.change is None or not self._context.hits(frame):
            return [frame]
        return self._effect(frame, frame.change, self._context)


class _Lost:
    """A struck frame does not reach this connection: the message that restarts the sequence, a trade, or a value."""

    def __init__(self, context: FaultContext) -> None:
        self._context = context

    def feed(self, frame: Frame) -> list[Item]:
        return [] if self._context.hits(frame) else [frame]


class _Altered:
    """A struck frame that is no push of a book or of trades leaves as `effect` has it."""

    def __init__(self, context: FaultContext, effect: Callable[[Frame, FaultContext], list[Item]]) -> None:
        self._context = context
        self._effect = effect

    def feed(self, frame: Frame) -> list[Item]:
        return self._effect(frame, self._context) if self._context.hits(frame) else [frame]


def _dropped(frame: Frame, context: FaultContext) -> list[Item]:
    return []


def _duplicated(frame: Frame, context: FaultContext) -> list[Item]:
    return [frame] * (1 + context.fault.number("copies"))


def _push(effect: Callable[[Frame, FaultContext], list[Item]]) -> Callable[[FaultContext], Stage]:
    return lambda context: _StruckPush(context, effect)


def _struck(effect: Callable[[Frame, BookChange, FaultContext], list[Item]]) -> Callable[[FaultContext], Stage]:
    return lambda context: _Struck(context, effect)


def _altered(effect: Callable[[Frame, FaultContext], list[Item]]) -> Callable[[FaultContext], Stage]:
    return lambda context: _Altered(context, effect)


def _one_shot(act: Callable[[FaultContext], list[Item]]) -> Callable[[FaultContext], Stage]:
    return lambda context: fault_extra.OneShot(context, act)


_STAGES: Final[dict[str, Callable[[FaultContext], Stage]]] = {
    "batch": fault_flow.Batch,
    "levels": _struck(fault_levels.too_many_levels),
    "crossed": _struck(fault_levels.crossed),
    "unknown-delete": _struck(fault_levels.unknown_deletes),
    "resend": _struck(fault_levels.resend),
    "checksum": _struck(fault_levels.checksum),
    "ts": fault_levels.Times,
    "trade-split": _push(fault_text.split),
    "missing": _push(fault_text.missing),
    "unknown-field": _push(fault_text.unknown_field),
    "corrupt": _push(fault_text.corrupt),
    "heartbeat": _struck(fault_extra.heartbeat),
    "snapshot": _struck(fault_extra.unasked_full_book),
    "big-frame": _one_shot(fault_extra.big_frame),
    "unknown-event": _one_shot(fault_extra.unknown_event),
    "no-snapshot": fault_flow.NoFullBook,
    "late-snapshot": fault_flow.LateFullBook,
    "no-book": fault_flow.NoBook,
    "reset": _Lost,
    "drop": _push(_dropped),
    "duplicate": _push(_duplicated),
    "reorder": fault_flow.Reorder,
    "trade-drop": _Lost,
    "trade-duplicate": _push(_duplicated),
    "context-ts": _altered(fault_levels.shift_context),
    "context-corrupt": _altered(fault_text.corrupt_context),
    "context-drop": _Lost,
    "context-duplicate": _altered(_duplicated),
    "notice": fault_extra.Notice,
    "close": _one_shot(fault_extra.close),
    "cut": fault_extra.Cut,
    "stall": fault_flow.Stall,
    "trickle": fault_flow.Trickle,
    "half-open": fault_flow.HalfOpen,
}
"""In the order of the chain: what a push says, its text, what comes beside it, whether and in which order it leaves,
the end of the connection, and how the bytes go."""

_PLACES: Final = {kind: place for place, kind in enumerate(_STAGES)}


def build_chain(contexts: Iterable[FaultContext]) -> Chain:
    """The chain of one connection, of the faults among `contexts` that concern it."""
    concerned = [context for context in contexts if context.fault.kind in _STAGES and _concerns(context)]
    concerned.sort(key=lambda context: _PLACES[context.fault.kind])
    own = [
        (context, context.schedule.trigger(context.index))
        for context in concerned
        if context.fault.when.unit == "frame"
    ]
    of_books = [context for context in concerned if context.fault.channel != "trades"]
    lasting = [
        context for context in of_books if KINDS[context.fault.kind].family == "push" and _lasts(context.fault.when)
    ]
    return Chain([_STAGES[context.fault.kind](context) for context in concerned], own, lasting)


def _lasts(when: When) -> bool:
    return when.pushes is None and when.unit != "frame"


def _concerns(context: FaultContext) -> bool:
    """A reset is everybody's; its message may be lost on some connections."""
    if context.fault.kind != "reset":
        return context.fault.who.matches(context.slot)
    lost = context.fault.word("lost")
    return lost != "none" and who(lost, "reset").matches(context.slot)
