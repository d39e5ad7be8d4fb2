"""The door for new connections: OKX's limit on them, the number each gets, and what a plan does to a handshake.

Judges each attempt once. What is a websocket's business after it stands is not this room's.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from l2vault.sim.exchange.scaled_clock import ScaledClock
from l2vault.sim.faults.kinds import KINDS
from l2vault.sim.faults.plan import ConnectionSlot
from l2vault.sim.faults.schedule import Schedule
from l2vault.sim.server.limits import Limits
from l2vault.sim.server.wire import Handshake, WiredConnection

_log = logging.getLogger(__name__)

WS_PATH: Final = "/ws/v5/public"

_TOO_MANY: Final = '{"code":"50011","data":[],"msg":"Too Many Requests"}'
_REFUSALS: Final = {
    "403": (HTTPStatus.FORBIDDEN, "<html><body><h1>403 Forbidden</h1></body></html>\n"),
    "429": (HTTPStatus.TOO_MANY_REQUESTS, _TOO_MANY),
    "451": (HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS, "<html><body><h1>451</h1></body></html>\n"),
    "503": (HTTPStatus.SERVICE_UNAVAILABLE, "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>\n"),
}


class ConnectionSlots:
    """Gives each connection the next number and the lowest free place."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._count = 0

    def next(self) -> ConnectionSlot:
        """What a connection would get that came now."""
        place = 1
        while place in self._taken:
            place += 1
        return ConnectionSlot(self._count + 1, place)

    def take(self) -> ConnectionSlot:
        slot = self.next()
        self._count = slot.number
        self._taken.add(slot.place)
        return slot

    def leave(self, slot: ConnectionSlot) -> None:
        self._taken.discard(slot.place)


class Gate:
    """Every attempt is counted against OKX's limit, whatever becomes of it. `now_ms` gives exchange time.

    `compression` agrees to permessage-deflate with everyone who offers it, not only where the plan says so. What is on
    the `further_paths` is no part of OKX: neither its limits nor a plan's faults concern it.
    """

    def __init__(
        self,
        schedule: Schedule,
        limits: Limits,
        now_ms: Callable[[], int],
        scaled_clock: ScaledClock,
        compression: bool,
        further_paths: frozenset[str] = frozenset(),
    ) -> None:
        self._faults = [
            (fault, schedule.trigger(index))
            for index, fault in enumerate(schedule.faults)
            if KINDS[fault.kind].family == "connect"
        ]
        self._limits = limits
        self._now_ms = now_ms
        self._scaled_clock = scaled_clock
        self._compression = compression
        self._further_paths = further_paths
        self._slots = ConnectionSlots()
        self._attempts = 0

    @property
    def may_compress(self) -> bool:
        """Whether some connection may be offered permessage-deflate."""
        return self._compression or any(fault.kind == "deflate" for fault, _ in self._faults)

    def begin(self) -> Handshake:
        """Somebody wants a connection: what is to become of it."""
        self._attempts += 1
        now_ms, slot = self._now_ms(), self._slots.next()
        struck = [
            fault
            for fault, trigger in self._faults
            if fault.who.matches(slot) and trigger.hits("", self._attempts, now_ms)
        ]
        return Handshake(struck, not self._limits.allows_connect(self._scaled_clock.now_ms()), self._leave)

    async def accept(self, connection: ServerConnection, request: Request) -> Response | None:
        """The library's hook on an opening request: None accepts it, and gives it a slot, but on a further path."""
        assert isinstance(connection, WiredConnection)
        handshake = connection.attempt
        path = request.path.partition("?")[0]
        if path in self._further_paths:
            connection.protocol.available_extensions = None
            return None
        if path != WS_PATH:
            paths = ", ".join([WS_PATH, *sorted(self._further_paths)])
            return connection.respond(HTTPStatus.NOT_FOUND, f"The channels of this exchange are on {paths}.\n")
        if handshake.is_over_limit:
            return connection.respond(*_REFUSALS["429"])
        slow = handshake.fault("slow-handshake")
        if slow is not None:
            await self._scaled_clock.wait(slow.number("delay"))
        refusal = handshake.fault("refuse")
        if refusal is not None:
            return await self._refuse(connection, refusal.word("how"))
        if self._scaled_clock.is_over or connection.wire.is_closing():
            return connection.respond(*_REFUSALS["503"])
        if not self._compression and handshake.fault("deflate") is None:
            connection.protocol.available_extensions = None
        handshake.slot = self._slots.take()
        return None

    async def _refuse(self, connection: WiredConnection, how: str) -> Response | None:
        _log.info("a connection refused: %s", how)
        if how in _REFUSALS:
            return connection.respond(*_REFUSALS[how])
        connection.wire.abort()
        await connection.wait_closed()
        return None  # too late to be sent

    def _leave(self, handshake: Handshake) -> None:
        if handshake.slot is not None:
            self._slots.leave(handshake.slot)
