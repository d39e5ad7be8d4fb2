"""One connection to OKX's public websocket, sans-I/O: frames and the time go in, events and frames to send come out.

Knows keepalive, acks, errors and every subscription's deadline; knows nothing of books, files or sockets. The caller
sends what `take_outgoing` returns, calls `tick` several times a second, and closes the connection on `Dead`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

from l2vault.book.change import BookChange
from l2vault.book.trade import TRADES
from l2vault.okx.context_messages import ContextFailure, ContextPush
from l2vault.okx.messages import (
    BOOKS,
    PING,
    Ack,
    Notice,
    Pong,
    Refusal,
    SchemaFailure,
    Traded,
    Unknown,
    decode,
    encode_request,
)
from l2vault.okx.subscription import ANSWER_WITHIN_MS, BATCH, SILENCE_MS, Phase, Subscription

PING_AFTER_MS: Final = 15_000
"""OKX closes with 4004 after 30 s without data, so a quiet connection must be pinged well before."""
PONG_WITHIN_MS: Final = 10_000
ESCALATE_AT: Final = 3
"""The time-out in a row at which one instrument is worth a new connection, though others are well on this one."""
RENEW_AT: Final = 3
"""The resync in a row at which it is, where no other book flows on this one."""
RENEW_FOR_ONE_AT: Final = 6
"""The same where others are well: half a minute later, by the back-off between two resyncs."""
REQUEST_BURST: Final = 60
REQUEST_EVERY_MS: Final = 8_600
"""OKX allows 480 subscribe and unsubscribe requests an hour on a connection: 60 at once and one every 8.6 s are 478.

Paced all along rather than cut off at the end of the allowance, which one instrument in trouble would use up so that
another had to wait for an hour. What has to wait shares the next request."""

KEPT_FOR_BOOKS: Final = 20
"""Of that burst: other channels never use up what a book may need."""

_OF_THE_WHOLE_REQUEST: Final = frozenset({"60014", "63999", "64007"})
"""Too frequent, and OKX's internal errors: no instrument is to blame, so asking in halves would only ask more often."""
_NAMED: Final = re.compile(r"(?:channel:([A-Za-z0-9-]+), *)?instId:([A-Za-z0-9_-]+)")
_REQUESTS: Final = {Phase.PAUSED: ("unsubscribe", Phase.UNSUBSCRIBING), Phase.IDLE: ("subscribe", Phase.SUBSCRIBING)}


class Topic(NamedTuple):
    """What can be subscribed."""

    channel: str
    inst_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """OKX refused an instrument's subscription (60018: it does not know it). It is asked again after `retry_ms`."""

    inst_id: str
    code: str
    message: str
    retry_ms: int
    channel: str = BOOKS


@dataclass(frozen=True, slots=True)
class Silent:
    """A subscribed instrument sent nothing, not even its heartbeat, for `SILENCE_MS`. A resync has begun."""

    inst_id: str


@dataclass(frozen=True, slots=True)
class Dead:
    """Close this connection and open another: it does not answer, or recovery on it has failed."""

    reason: str


Event = (
    BookChange
    | Traded
    | ContextPush
    | ContextFailure
    | SchemaFailure
    | Notice
    | Refusal
    | Refused
    | Unknown
    | Silent
    | Dead
)


class Session:
    """The subscriptions of `inst_ids` to `books`, through any number of connections, one at a time.

    `beside` are further channels of the same instruments, which have no full book and may be silent for as long as they
    like. Trouble with one of them changes nothing for `books`: its requests are its own, and it never ends the
    connection. The same holds for what `carry` adds while the session lives.
    """

    def __init__(self, inst_ids: Iterable[str], rng: Random, beside: Iterable[str] = ()) -> None:
        names = list(inst_ids)
        topics = [Topic(channel, inst_id) for channel in (BOOKS, *beside) for inst_id in names]
        self._subscriptions: dict[tuple[str, str], Subscription] = {
            topic: Subscription(topic.inst_id, channel=topic.channel) for topic in topics
        }
        """By topic. A plain pair finds it too, and costs a message less to make."""
        self._rng = rng
        self._outgoing: list[str] = []
        self._all_requests_free_ms = 0
        self._requests = 0
        self._heard_ms = 0
        self._pong_due_ms: int | None = None
        self._unhealed: str | None = None
        """Why the connection is to end: resyncs that did not help."""

    def open(self, now_ms: int) -> None:
        """A new connection stands: forget the old one's acks and subscribe anew on the next `tick`."""
        self._outgoing.clear()
        self._all_requests_free_ms = now_ms
        self._heard_ms = now_ms
        self._pong_due_ms = self._unhealed = None
        for subscription in self._subscriptions.values():
            subscription.begin_again(now_ms)

    def carry(self, topics: Iterable[tuple[str, str]], now_ms: int) -> None:
        """Subscribe to these channels too, on this connection and the next ones, until `drop`."""
        for channel, name in topics:
            subscription = Subscription(name, channel=channel, deadline_ms=now_ms)
            self._subscriptions.setdefault(Topic(channel, name), subscription)

    def drop(self, topics: Iterable[tuple[str, str]], now_ms: int) -> None:
        """The opposite of `carry`: their data is dropped at once, whether or not OKX may be asked to end it."""
        gone = [(topic, one) for topic in topics if (one := self._subscriptions.pop(Topic(*topic), None)) is not None]
        held = [topic for topic, one in gone if one.phase is not Phase.IDLE]
        for at in range(0, len(held), BATCH):
            if self._may_request(now_ms, KEPT_FOR_BOOKS):
                self._request("unsubscribe", held[at : at + BATCH])

    @property
    def heard_ms(self) -> int:
        """When the newest frame came on this connection, or when it was opened; monotonic, 0 before the first one."""
        return self._heard_ms

    def take_outgoing(self) -> list[str]:
        """The text frames to send now, in order. Each is handed out once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def receive(self, frame: bytes, now_ms: int, recv_us: int = 0) -> list[Event]:
        """One received frame. Data of an instrument whose book is being resubscribed is dropped."""
        self._heard_ms = now_ms
        self._pong_due_ms = None
        message = decode(frame, recv_us)
        if isinstance(message, BookChange):
            return [message] if self._takes(BOOKS, message.inst_id, now_ms) else []
        if isinstance(message, Traded):
            return [message] if self._takes(TRADES, message.inst_id, now_ms) else []
        if isinstance(message, ContextPush):
            return [message] if self._takes(message.channel, message.name, now_ms) else []
        if isinstance(message, SchemaFailure) and message.inst_id is not None:
            return [message] if self._takes(message.channel, message.inst_id, now_ms) else []
        if isinstance(message, Pong):
            return []
        if isinstance(message, Ack):
            self._acknowledge(message, now_ms)
            return []
        if isinstance(message, Refusal):
            return self._refuse(message, now_ms)
        return [message]

    def _takes(self, channel: str, name: str, now_ms: int) -> bool:
        """Whether data of this topic is wanted now; where it flows, it has just shown to be alive."""
        subscription = self._subscriptions.get((channel, name))
        if subscription is None:
            return False
        if channel != BOOKS:
            if subscription.takes_data and subscription.phase is not Phase.LIVE:
                subscription.sync(now_ms)  # it may overtake its ack
            return subscription.takes_data
        if subscription.phase is Phase.LIVE:
            subscription.deadline_ms = now_ms + SILENCE_MS
            return True
        return subscription.takes_data

    def synced(self, inst_id: str, now_ms: int) -> None:
        """The caller holds a full book of this instrument. Until told so, the session treats it as failing."""
        subscription = self._subscriptions[Topic(BOOKS, inst_id)]
        if subscription.takes_data:
            subscription.sync(now_ms)

    def resync(self, inst_id: str, now_ms: int) -> None:
        """Begin unsubscribe, ack, subscribe, full book: a second subscribe alone would only be acked again."""
        subscription = self._subscriptions[Topic(BOOKS, inst_id)]
        if subscription.takes_data:
            subscription.fail(now_ms, self._rng)
            subscription.resyncs += 1
            self._renew(subscription)

    def _renew(self, unhealed: Subscription) -> None:
        """Its resyncs may not help because of what the connection sends besides, as for a subscription that did not
        end. Others are disturbed for that once; alone it gets a new connection at each so many, ever later."""
        is_alone = not self._flows()
        if unhealed.resyncs == (RENEW_AT if is_alone else RENEW_FOR_ONE_AT):
            self._unhealed = f"{unhealed.resyncs} resyncs of {unhealed.inst_id} in a row did not help"
            unhealed.resyncs = 0 if is_alone else unhealed.resyncs

    def awaiting_snapshot(self, inst_id: str) -> bool:
        """Whether its data is taken but no full book has come yet; only then may one come from elsewhere."""
        subscription = self._subscriptions[Topic(BOOKS, inst_id)]
        return subscription.takes_data and subscription.phase is not Phase.LIVE

    def wait_longer(self, inst_id: str, until_ms: int) -> None:
        """The caller seeks the full book elsewhere: let the subscription stand without one until then."""
        subscription = self._subscriptions[Topic(BOOKS, inst_id)]
        if subscription.phase in (Phase.SUBSCRIBING, Phase.AWAITING_SNAPSHOT):
            subscription.deadline_ms = max(subscription.deadline_ms, until_ms)

    def tick(self, now_ms: int) -> list[Event]:
        """What time alone brings about: pings, time-outs, and the requests that are due, batched."""
        events = self._keep_alive(now_ms)
        if self._unhealed is not None:
            events.append(Dead(self._unhealed))
            self._unhealed = None
        unanswered = []
        for one in self._subscriptions.values():
            if now_ms < one.deadline_ms or one.phase in _REQUESTS:
                continue
            if one.phase is Phase.REFUSAL_PENDING:
                events += self._settle(one, now_ms)
                continue
            if one.phase is Phase.LIVE:
                events.append(Silent(one.inst_id))
            else:
                one.unanswered += 1
                unanswered += [one] if one.channel == BOOKS else []
            one.fail(now_ms, self._rng)
        events += self._escalate(unanswered)
        self._send_due(now_ms)
        return events

    def _keep_alive(self, now_ms: int) -> list[Event]:
        if self._pong_due_ms is not None:
            return [Dead("no answer to ping")] if now_ms >= self._pong_due_ms else []
        if now_ms - self._heard_ms >= PING_AFTER_MS:
            self._outgoing.append(PING)
            self._pong_due_ms = now_ms + PONG_WITHIN_MS
        return []

    def _escalate(self, unanswered: list[Subscription]) -> list[Event]:
        """One instrument's trouble is its own: others that flow are not disturbed for it, but for one escalation."""
        grave = [one for one in unanswered if one.unanswered == ESCALATE_AT] if self._flows() else unanswered
        if not grave:
            return []
        more = len(grave) - 1
        others = f" and {more} more" if more else ""
        return [Dead(f"no answer for {grave[0].inst_id}{others} within {ANSWER_WITHIN_MS} ms")]

    def _flows(self) -> bool:
        """Whether some book is live."""
        return any(one.phase is Phase.LIVE and one.channel == BOOKS for one in self._subscriptions.values())

    def _send_due(self, now_ms: int) -> None:
        """Who has waited longest goes first, and takes along everyone who is due for the same.

        Books have the first claim to the requests that OKX allows, and are asked for behind the others: an exchange
        that keeps one stream for an instrument, as small ones for tests do, then keeps that of its book.
        """
        begin, of_books = len(self._outgoing), 0
        due = [one for one in self._subscriptions.values() if one.phase in _REQUESTS and now_ms >= one.deadline_ms]
        due.sort(key=lambda one: (one.channel != BOOKS, one.deadline_ms))
        while due and self._may_request(now_ms, 0 if due[0].channel == BOOKS else KEPT_FOR_BOOKS):
            first = due[0]
            op, next_phase = _REQUESTS[first.phase]
            alike = [one for one in due if (one.phase, one.batch) == (first.phase, first.batch)]
            batch = [one for one in alike if _group(one.channel) == _group(first.channel)][: first.batch]
            request_id = self._request(op, [(one.channel, one.inst_id) for one in batch])
            of_books += first.channel == BOOKS
            for one in batch:
                one.enter(next_phase, now_ms + ANSWER_WITHIN_MS, request_id)
            due = [one for one in due if one.phase in _REQUESTS]
        asked = self._outgoing[begin:]
        self._outgoing[begin:] = asked[of_books:] + asked[:of_books]

    def _request(self, op: str, topics: list[tuple[str, str]]) -> str:
        """Returns the request's id."""
        self._requests += 1
        request_id = f"l2v{self._requests}"
        self._outgoing.append(encode_request(op, topics, request_id))
        return request_id

    def _may_request(self, now_ms: int, kept: int) -> bool:
        """OKX counts requests, not instruments. What may not be sent stays due; `kept` of the burst must be left."""
        all_free_ms = max(self._all_requests_free_ms, now_ms) + REQUEST_EVERY_MS
        if all_free_ms - now_ms > (REQUEST_BURST - kept) * REQUEST_EVERY_MS:
            return False
        self._all_requests_free_ms = all_free_ms
        return True

    def _acknowledge(self, ack: Ack, now_ms: int) -> None:
        subscription = self._subscriptions.get(Topic(ack.channel, ack.inst_id))
        if subscription is None or ack.request_id not in (None, subscription.request_id):
            return  # not ours, or the late ack of a request given up
        if ack.is_subscribe and subscription.phase in (Phase.SUBSCRIBING, Phase.REFUSAL_PENDING):
            if subscription.channel == BOOKS:
                subscription.enter(Phase.AWAITING_SNAPSHOT, now_ms + ANSWER_WITHIN_MS)
            else:
                subscription.sync(now_ms)
        elif not ack.is_subscribe and subscription.phase is Phase.UNSUBSCRIBING:
            subscription.enter(Phase.IDLE, now_ms)

    def _refuse(self, refusal: Refusal, now_ms: int) -> list[Event]:
        """Find whose error it is: by `id`, by the name in its text, or by asking again in halves."""
        refused = self._meant_by(refusal)
        if not refused:
            return [refusal]
        if refusal.code in _OF_THE_WHOLE_REQUEST:
            return self._put_off(refused, refusal, now_ms)
        if refused[0].phase is Phase.UNSUBSCRIBING:
            for one in refused:
                one.enter(Phase.IDLE, now_ms)  # what OKX cannot unsubscribe is not subscribed
            return [refusal]
        if len(refused) == 1:
            return self._put_off(refused, refusal, now_ms)
        for one in refused:
            one.suspect(now_ms, refusal, len(refused))
        return [refusal]

    def _settle(self, waiting: Subscription, now_ms: int) -> list[Event]:
        """It was not acknowledged: to be asked with half as many others, or if it was alone, the refusal is its own."""
        if waiting.batch == 1 and waiting.pending is not None:
            return self._put_off([waiting], waiting.pending, now_ms)
        waiting.batch = max(1, waiting.batch // 2)
        waiting.enter(Phase.IDLE, now_ms)
        return []

    def _meant_by(self, refusal: Refusal) -> list[Subscription]:
        """Those who wait for the answer that this may be; without its `id` it is taken for that of a subscribe."""
        named = _NAMED.search(refusal.message)
        return [
            one
            for one in self._subscriptions.values()
            if (one.request_id == refusal.request_id if refusal.request_id else one.phase is Phase.SUBSCRIBING)
            and (named is None or (one.inst_id == named[2] and named[1] in (None, one.channel)))
        ]

    def _put_off(self, refused: list[Subscription], refusal: Refusal, now_ms: int) -> list[Event]:
        """One delay for all of them: each its own would turn one request too many into a hundred."""
        delay_ms = max(one.refusal_delay_ms(self._rng) for one in refused)
        for one in refused:
            one.refuse(now_ms, delay_ms)
        return [Refused(one.inst_id, refusal.code, refusal.message, delay_ms, one.channel) for one in refused]


def _group(channel: str) -> str:
    """Channels that may share a request: books and trades stand alone, so that no other's trouble is theirs."""
    return channel if channel in (BOOKS, TRADES) else ""
