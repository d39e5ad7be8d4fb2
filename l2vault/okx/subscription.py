"""One instrument's subscription on one connection: which phase it is in, until when, and how it backs off. Pure."""

from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Final

ANSWER_WITHIN_MS: Final = 5_000
"""For an ack, and for the full book after it. OKX took 3 to 200 ms in a capture of 2022."""
SILENCE_MS: Final = 75_000
"""OKX sends a heartbeat on `books` after about 60 s without a change; later than this is silence, not quiet."""
STABLE_MS: Final = 60_000
"""A book in sync this long has healed: its next trouble is met at once again, without back-off."""
BATCH: Final = 100
"""Instruments in one request: 100 are 6 KB, where OKX allows 64 KB."""

_FIRST_DELAY_MS: Final = 1_000
_LONGEST_DELAY_MS: Final = 60_000
_REFUSED_DELAY_MS: Final = 30_000
_LONGEST_REFUSED_DELAY_MS: Final = 600_000


class Phase(Enum):
    """What the subscription waits for. Each phase ends at its deadline at the latest: nothing waits for ever."""

    PAUSED = auto()  # subscribed, its data dropped; unsubscribes at the deadline
    UNSUBSCRIBING = auto()  # data still in flight is dropped until the ack
    IDLE = auto()  # not subscribed; subscribes at the deadline
    SUBSCRIBING = auto()  # the ack
    SEEDING = auto()  # the full book
    FLOWING = auto()  # the next push, heartbeats included


@dataclass(slots=True)
class Subscription:
    inst_id: str
    phase: Phase = Phase.IDLE
    deadline_ms: int = 0
    request_id: str | None = None
    failures: int = 0
    """In a row: every resync counts until the book has been in sync for `STABLE_MS`."""
    synced_ms: int = 0
    batch: int = BATCH
    """With how many others it may share a request; halved when a request is refused and nobody says for whom."""

    def enter(self, phase: Phase, deadline_ms: int, request_id: str | None = None) -> None:
        self.phase = phase
        self.deadline_ms = deadline_ms
        self.request_id = request_id

    @property
    def takes_data(self) -> bool:
        """OKX's data may overtake its own ack, so it counts from the request on."""
        return self.phase in (Phase.SUBSCRIBING, Phase.SEEDING, Phase.FLOWING)

    def begin_again(self, now_ms: int) -> None:
        """For a new connection, on which nothing is subscribed: ask at once, unless a refusal is being waited out."""
        self.enter(Phase.IDLE, max(self.deadline_ms, now_ms) if self.phase is Phase.IDLE else now_ms)

    def fail(self, now_ms: int, rng: Random) -> None:
        """Resubscribe: at once after a stable time, otherwise backed off; `PAUSED` leads to unsubscribe first."""
        if self.phase is Phase.FLOWING and now_ms - self.synced_ms >= STABLE_MS:
            self.failures = 0
        delay_ms = _delay_ms(self.failures - 1, _FIRST_DELAY_MS, _LONGEST_DELAY_MS, rng) if self.failures else 0
        self.failures += 1
        self.enter(Phase.PAUSED, now_ms + delay_ms)

    def refuse(self, now_ms: int, rng: Random) -> int:
        """OKX will not have it: ask again much later. Returns the delay in ms."""
        delay_ms = _delay_ms(self.failures, _REFUSED_DELAY_MS, _LONGEST_REFUSED_DELAY_MS, rng)
        self.failures += 1
        self.enter(Phase.IDLE, now_ms + delay_ms)
        return delay_ms

    def sync(self, now_ms: int) -> None:
        self.synced_ms = now_ms
        self.batch = BATCH
        self.enter(Phase.FLOWING, now_ms + SILENCE_MS)


def _delay_ms(doublings: int, first_ms: int, longest_ms: int, rng: Random) -> int:
    """Exponential and capped, then between half and all of it, so that many instruments spread out."""
    full_ms = min(longest_ms, first_ms << min(doublings, 20))
    return rng.randint(full_ms // 2, full_ms)
