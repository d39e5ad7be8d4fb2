"""One connection to OKX's public websocket, sans-I/O: frames and the time go in, events and frames to send come out.

Knows keepalive, acks, errors and every subscription's deadline; knows nothing of books, files or sockets. The caller
sends what `take_outgoing` returns, calls `tick` several times a second, and closes the connection on `Dead`.
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from random import Random
from typing import Final

from l2vault.book.change import BookChange
from l2vault.okx.messages import PING, Ack, Notice, Pong, Refusal, SchemaFailure, Unknown, decode, encode_request
from l2vault.okx.subscription import ANSWER_WITHIN_MS, SILENCE_MS, Phase, Subscription

PING_AFTER_MS: Final = 15_000
"""OKX closes with 4004 after 30 s without data, so a quiet connection must be pinged well before."""
PONG_WITHIN_MS: Final = 10_000
ESCALATE_AT: Final = 3
"""The failure in a row at which one instrument is worth a new connection, though others are well on this one."""
REQUESTS_PER_HOUR: Final = 440
"""OKX allows 480 subscribe and unsubscribe requests an hour on a connection; the rest is margin."""

_OF_THE_WHOLE_REQUEST: Final = frozenset({"60014", "63999", "64007"})
"""Too frequent, and OKX's internal errors: no instrument is to blame, so asking in halves would only ask more often."""
_HOUR_MS: Final = 3_600_000
_NAMED_INSTRUMENT: Final = re.compile(r"instId:([A-Za-z0-9_-]+)")


@dataclass(frozen=True, slots=True)
class Refused:
    """OKX refused an instrument's subscription (60018: it does not know it). It is asked again after `retry_ms`."""

    inst_id: str
    code: str
    message: str
    retry_ms: int


@dataclass(frozen=True, slots=True)
class Silent:
    """A subscribed instrument sent nothing, not even its heartbeat, for `SILENCE_MS`. A resync has begun."""

    inst_id: str


@dataclass(frozen=True, slots=True)
class Dead:
    """Close this connection and open another: it does not answer, or recovery on it has failed."""

    reason: str


Event = BookChange | SchemaFailure | Notice | Refusal | Refused | Unknown | Silent | Dead


class Session:
    """The subscriptions of `inst_ids` to `books`, through any number of connections, one at a time."""

    def __init__(self, inst_ids: Iterable[str], rng: Random) -> None:
        self._subscriptions = {inst_id: Subscription(inst_id) for inst_id in inst_ids}
        self._rng = rng
        self._outgoing: list[str] = []
        self._request_times: deque[int] = deque()
        self._requests = 0
        self._heard_ms = 0
        self._pong_due_ms: int | None = None

    def open(self, now_ms: int) -> None:
        """A new connection stands: forget the old one's acks and subscribe anew on the next `tick`."""
        self._outgoing.clear()
        self._request_times.clear()
        self._heard_ms = now_ms
        self._pong_due_ms = None
        for subscription in self._subscriptions.values():
            subscription.begin_again(now_ms)

    def take_outgoing(self) -> list[str]:
        """The text frames to send now, in order. Each is handed out once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def receive(self, frame: bytes, now_ms: int) -> list[Event]:
        """One received frame. Data of an instrument that is being resubscribed is dropped."""
        self._heard_ms = now_ms
        self._pong_due_ms = None
        message = decode(frame)
        if isinstance(message, BookChange | SchemaFailure) and message.inst_id is not None:
            subscription = self._subscriptions.get(message.inst_id)
            if subscription is None or not subscription.takes_data:
                return []
            if subscription.phase is Phase.FLOWING:
                subscription.deadline_ms = now_ms + SILENCE_MS
            return [message]
        if isinstance(message, Pong):
            return []
        if isinstance(message, Ack):
            self._acknowledge(message, now_ms)
            return []
        if isinstance(message, Refusal):
            return self._refuse(message, now_ms)
        return [message]

    def synced(self, inst_id: str, now_ms: int) -> None:
        """The caller holds a full book of this instrument. Until told so, the session treats it as failing."""
        subscription = self._subscriptions[inst_id]
        if subscription.takes_data:
            subscription.sync(now_ms)

    def resync(self, inst_id: str, now_ms: int) -> None:
        """Begin unsubscribe, ack, subscribe, full book: a second subscribe alone would only be acked again."""
        subscription = self._subscriptions[inst_id]
        if subscription.takes_data:
            subscription.fail(now_ms, self._rng)

    def tick(self, now_ms: int) -> list[Event]:
        """What time alone brings about: pings, time-outs, and the requests that are due, batched."""
        events = self._keep_alive(now_ms)
        for subscription in self._subscriptions.values():
            if now_ms >= subscription.deadline_ms:
                events += self._expire(subscription, now_ms)
        self._send_due(Phase.PAUSED, "unsubscribe", Phase.UNSUBSCRIBING, now_ms)
        self._send_due(Phase.IDLE, "subscribe", Phase.SUBSCRIBING, now_ms)
        return events

    def _keep_alive(self, now_ms: int) -> list[Event]:
        if self._pong_due_ms is not None:
            return [Dead("no answer to ping")] if now_ms >= self._pong_due_ms else []
        if now_ms - self._heard_ms >= PING_AFTER_MS:
            self._outgoing.append(PING)
            self._pong_due_ms = now_ms + PONG_WITHIN_MS
        return []

    def _expire(self, subscription: Subscription, now_ms: int) -> list[Event]:
        phase = subscription.phase
        if phase in (Phase.PAUSED, Phase.IDLE):
            return []  # its request is due, `_send_due` makes it
        subscription.fail(now_ms, self._rng)
        if phase is Phase.FLOWING:
            return [Silent(subscription.inst_id)]
        # One instrument's trouble is its own: others that flow are not disturbed for it, but for one escalation.
        others_flow = any(other.phase is Phase.FLOWING for other in self._subscriptions.values())
        if others_flow and subscription.failures != ESCALATE_AT:
            return []
        return [Dead(f"{subscription.inst_id}: no answer while {phase.name.lower()}")]

    def _send_due(self, phase: Phase, op: str, next_phase: Phase, now_ms: int) -> None:
        due = [one for one in self._subscriptions.values() if one.phase is phase and now_ms >= one.deadline_ms]
        for size, group in groupby(sorted(due, key=lambda one: one.batch), key=lambda one: one.batch):
            same_size = list(group)
            for start in range(0, len(same_size), size):
                if not self._may_request(now_ms):
                    return
                batch = same_size[start : start + size]
                self._requests += 1
                request_id = f"l2v{self._requests}"
                self._outgoing.append(encode_request(op, [one.inst_id for one in batch], request_id))
                for one in batch:
                    one.enter(next_phase, now_ms + ANSWER_WITHIN_MS, request_id)

    def _may_request(self, now_ms: int) -> bool:
        """OKX counts requests, not instruments, over an hour. What may not be sent stays due."""
        while self._request_times and self._request_times[0] <= now_ms - _HOUR_MS:
            self._request_times.popleft()
        if len(self._request_times) >= REQUESTS_PER_HOUR:
            return False
        self._request_times.append(now_ms)
        return True

    def _acknowledge(self, ack: Ack, now_ms: int) -> None:
        subscription = self._subscriptions.get(ack.inst_id)
        if subscription is None or ack.request_id not in (None, subscription.request_id):
            return  # not ours, or the late ack of a request given up
        if ack.is_subscribe and subscription.phase is Phase.SUBSCRIBING:
            subscription.enter(Phase.SEEDING, now_ms + ANSWER_WITHIN_MS)
        elif not ack.is_subscribe and subscription.phase is Phase.UNSUBSCRIBING:
            subscription.enter(Phase.IDLE, now_ms)

    def _refuse(self, refusal: Refusal, now_ms: int) -> list[Event]:
        """Find whose error it is: by `id`, by the name in its text, or by asking again in halves."""
        waiting = [one for one in self._subscriptions.values() if one.phase is Phase.SUBSCRIBING]
        if refusal.request_id is not None:
            waiting = [one for one in waiting if one.request_id == refusal.request_id]
        named = _NAMED_INSTRUMENT.search(refusal.message)
        if named is not None:
            waiting = [one for one in waiting if one.inst_id == named[1]]
        if len(waiting) > 1 and refusal.code not in _OF_THE_WHOLE_REQUEST:
            for one in waiting:
                one.batch = max(1, len(waiting) // 2)
                one.enter(Phase.IDLE, now_ms)
            waiting = []
        if not waiting:
            return [refusal]
        return [Refused(one.inst_id, refusal.code, refusal.message, one.refuse(now_ms, self._rng)) for one in waiting]
