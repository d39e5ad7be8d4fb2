"""What is to go wrong, as values: which fault, on which instrument and connection, when, how often and for how long.

Knows neither how a plan is written down (`fault_spec`) nor what a fault does.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

ALL_INSTRUMENTS: Final = "all"

Value = int | str
"""Of a fault's own parameter: whole numbers (milliseconds, bytes, counts, codes) or words."""

Unit = Literal["time", "push", "frame", "request"]
"""What a strike is found by: exchange time since the start of the timeline, the number of a push of its instrument,
the number of a book frame on its connection, or the number of a request."""


class ConnectionSlot(NamedTuple):
    """A connection's place: `number` counts all that were accepted, `place` is the lowest one free when it came."""

    number: int
    place: int


@dataclass(frozen=True, slots=True)
class Who:
    """Which connections: all, those of one place among the open ones (1 is `first`), or by the accepted number.

    A client that connects again takes the place it left, so `first` follows a client through its reconnections.
    """

    place: int | None = None
    number: int | None = None
    parity: int | None = None

    def matches(self, slot: ConnectionSlot) -> bool:
        return (
            self.place in (None, slot.place)
            and self.number in (None, slot.number)
            and self.parity in (None, slot.number % 2)
        )


@dataclass(frozen=True, slots=True)
class When:
    """A strike begins at `start` (of `unit`), again `every` so often or with `chance` at each push from then on.

    It lasts for `pushes` pushes or requests, for `lasts_ms` of exchange time, or, both None, for ever. `times` is the
    most strikes there may be, `until_ms` the exchange time from which none begins.
    """

    unit: Unit = "time"
    start: int = 0
    every: int | None = None
    chance: float | None = None
    times: int | None = None
    until_ms: int | None = None
    pushes: int | None = None
    lasts_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One line of a plan. `params` are those of its kind, complete: what was not given stands at its default."""

    kind: str
    inst_id: str
    who: Who
    when: When
    params: dict[str, Value]

    @property
    def channel(self) -> str:
        """Whose pushes it strikes: `books`, `trades` or `both`."""
        return str(self.params.get("channel", "books"))

    def concerns(self, inst_id: str) -> bool:
        return self.inst_id in (ALL_INSTRUMENTS, inst_id)

    def number(self, name: str) -> int:
        value = self.params[name]
        assert isinstance(value, int)  # its parser made it one
        return value

    def word(self, name: str) -> str:
        value = self.params[name]
        assert isinstance(value, str)  # its parser made it one
        return value


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All faults of a run. `seed` decides what is left to chance; None takes the simulator's own."""

    faults: tuple[Fault, ...] = field(default=())
    seed: int | None = None
