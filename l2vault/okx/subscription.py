"""One subscription to an instrument's channel on one connection: its phase, until when, and how it backs off. Pure."""

from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Final

from l2vault.okx.backoff import delay_sec
from l2vault.okx.messages import BOOKS, Refusal

ANSWER_WITHIN_MS: Final = 5_000
"""For an ack, and for the full book after it. OKX took 3 to 200 ms in a capture of 2022."""
SETTLE_MS: Final = 1_000
"""After a refusal that names nobody: for the acks of those in the same request that it does not concern."""
SILENCE_MS: Final = 75_000
"""OKX sends a heartbeat on `books` after about 60 s without a change; later than this is silence, not quiet."""
STABLE_MS: Final = 60_000
"""A book in sync this long has healed: its next trouble is met at once again, without back-off."""
BATCH: Final = 100
"""Instruments in one request: 100 are 6 KB, where OKX allows 64 KB."""

NEVER_MS: Final = 1 << 62
"""The deadline of a channel that may be silent for hours, as trades may."""

_DELAYS_SEC: Final = (1.0, 60.0)
"""The first and the longest before an instrument is asked for again."""
_REFUSED_DELAYS_SEC: Final = (30.0, 600.0)


class Phase(Enum):
    """What the subscription waits for. Each phase ends at its deadline at the latest: nothing waits for ever."""

    PAUSED = auto()  # subscribed, its data dropped; unsubscribes at the deadline
    UNSUBSCRIBING = auto()  # data still in flight is dropped until the ack
    IDLE = auto()  # not subscribed; subscribes at the deadline
    SUBSCRIBING = auto()  # the ack
    REFUSAL_PENDING = auto()  # a refusal that names nobody may be for it: the ack, or it asks in a smaller request
    AWAITING_SNAPSHOT = auto()  # the full book
    LIVE = auto()  # the next push, heartbeats included


_TAKING: Final = frozenset({Phase.SUBSCRIBING, Phase.REFUSAL_PENDING, Phase.AWAITING_SNAPSHOT, Phase.LIVE})


@dataclass(slots=True)
class Subscription:
    """Of `books`, whose pushes begin with a full book, or of a channel that has neither that nor a heartbeat."""

    inst_id: str
    phase: Phase = Phase.IDLE
    deadline_ms: int = 0
    request_id: str | None = None
    """Of the request that is not yet answered; None when none is."""
    failures: int = 0
    """In a row: every resync and refusal counts until the book has been in sync for `STABLE_MS`."""
    unanswered: int = 0
    """The failures among them that were time-outs."""
    resyncs: int = 0
    """The failures among them that were of the stream itself."""
    synced_ms: int = 0
    refused_until_ms: int = 0
    batch: int = BATCH
    """How many may share its request; halved when one is refused and nobody says for whom."""
    pending: Refusal | None = None
    """The refusal that may be for it, while it is `REFUSAL_PENDING`."""
    channel: str = BOOKS

    def enter(self, phase: Phase, deadline_ms: int, request_id: str | None = None) -> None:
        self.phase = phase
        self.deadline_ms = deadline_ms
        self.request_id = request_id

    @property
    def takes_data(self) -> bool:
        """OKX's data may overtake its own ack, so it counts from the request on."""
        return self.phase in _TAKING

    def begin_again(self, now_ms: int) -> None:
        """For a new connection, on which nothing is subscribed: ask at once, unless a refusal is being waited out."""
        self._heal(now_ms)
        self.enter(Phase.IDLE, max(self.refused_until_ms, now_ms))

    def fail(self, now_ms: int, rng: Random) -> None:
        """Resubscribe: at once after a stable time, otherwise backed off; `PAUSED` leads to unsubscribe first.

        An unsubscribe that was never answered is not repeated: OKX may ignore one for what is not subscribed, and a
        subscribe that proves needless ends here again, so that one of the two gets through.
        """
        self._heal(now_ms)
        delay_ms = round(delay_sec(self.failures - 1, *_DELAYS_SEC, rng) * 1000) if self.failures else 0
        self.failures += 1
        self.enter(Phase.IDLE if self.phase is Phase.UNSUBSCRIBING else Phase.PAUSED, now_ms + delay_ms)

    def refusal_delay_ms(self, rng: Random) -> int:
        """How long to leave OKX alone after it refused this instrument: longer with every failure."""
        return round(delay_sec(self.failures, *_REFUSED_DELAYS_SEC, rng) * 1000)

    def refuse(self, now_ms: int, delay_ms: int) -> None:
        """OKX will not have the request, which is repeated after `delay_ms` on this connection or another."""
        self.failures += 1
        self.refused_until_ms = now_ms + delay_ms
        self.enter(Phase.PAUSED if self.phase is Phase.UNSUBSCRIBING else Phase.IDLE, self.refused_until_ms)

    def suspect(self, now_ms: int, refusal: Refusal, suspects: int) -> None:
        """One of so many `suspects` is refused: those that are not will be acknowledged in a moment."""
        self.batch = min(self.batch, suspects)
        self.pending = refusal
        self.enter(Phase.REFUSAL_PENDING, now_ms + SETTLE_MS, self.request_id)

    def sync(self, now_ms: int) -> None:
        self.synced_ms = now_ms
        self.batch = BATCH
        self.enter(Phase.LIVE, now_ms + SILENCE_MS if self.channel == BOOKS else NEVER_MS)

    def _heal(self, now_ms: int) -> None:
        if self.phase is Phase.LIVE and now_ms - self.synced_ms >= STABLE_MS:
            self.failures = self.unanswered = self.resyncs = 0
