"""The door for new connections: OKX's limit on them, who sits where, and what a plan does to those who knock.

Judges each attempt once. What is a websocket's business after it stands is not this room's.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from l2vault.sim.exchange.scaled_clock import Patience
from l2vault.sim.faults.kinds import KINDS
from l2vault.sim.faults.plan import Seat
from l2vault.sim.faults.schedule import Schedule
from l2vault.sim.server.limits import Limits
from l2vault.sim.server.wire import Visit, WiredConnection

_log = logging.getLogger(__name__)

WS_PATH: Final = "/ws/v5/public"

_TOO_MANY: Final = '{"code":"50011","data":[],"msg":"Too Many Requests"}'
_REFUSALS: Final = {
    "403": (HTTPStatus.FORBIDDEN, "<html><body><h1>403 Forbidden</h1></body></html>\n"),
    "429": (HTTPStatus.TOO_MANY_REQUESTS, _TOO_MANY),
    "451": (HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS, "<html><body><h1>451</h1></body></html>\n"),
    "503": (HTTPStatus.SERVICE_UNAVAILABLE, "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>\n"),
}


class Seats:
    """Gives each connection the next number and the lowest free place."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._count = 0

    def next(self) -> Seat:
        """What a connection would get that came now."""
        place = 1
        while place in self._taken:
            place += 1
        return Seat(self._count + 1, place)

    def take(self) -> Seat:
        seat = self.next()
        self._count = seat.number
        self._taken.add(seat.place)
        return seat

    def leave(self, seat: Seat) -> None:
        self._taken.discard(seat.place)


class Gate:
    """Every attempt is counted against OKX's limit, whatever becomes of it. `now_ms` gives exchange time.

    `compression` agrees to permessage-deflate with everyone who offers it, not only where the plan says so.
    """

    def __init__(
        self, schedule: Schedule, limits: Limits, now_ms: Callable[[], int], patience: Patience, compression: bool
    ) -> None:
        self._faults = [
            (fault, schedule.strikes(index))
            for index, fault in enumerate(schedule.faults)
            if KINDS[fault.kind].family == "connect"
        ]
        self._limits = limits
        self._now_ms = now_ms
        self._patience = patience
        self._compression = compression
        self._seats = Seats()
        self._attempts = 0

    @property
    def may_compress(self) -> bool:
        """Whether some connection may be offered permessage-deflate."""
        return self._compression or any(fault.kind == "deflate" for fault, _ in self._faults)

    def knock(self) -> Visit:
        """Somebody wants a connection: what is to become of it."""
        self._attempts += 1
        now_ms, seat = self._now_ms(), self._seats.next()
        struck = [
            fault
            for fault, strikes in self._faults
            if fault.who.matches(seat) and strikes.hits("", self._attempts, now_ms)
        ]
        return Visit(struck, not self._limits.allows_connect(self._patience.now_ms()), self._leave)

    async def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """The library's hook on an opening request: None lets it in, and gives it a seat."""
        assert isinstance(connection, WiredConnection)
        visit = connection.visit
        if request.path.partition("?")[0] != WS_PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, f"The channels of this exchange are on {WS_PATH}.\n")
        if visit.is_over_limit:
            return connection.respond(*_REFUSALS["429"])
        slow = visit.fault("slow-handshake")
        if slow is not None:
            await self._patience.wait(slow.number("delay"))
        refusal = visit.fault("refuse")
        if refusal is not None:
            return await self._refuse(connection, refusal.word("how"))
        if self._patience.is_over or connection.wire.is_closing():
            return connection.respond(*_REFUSALS["503"])
        if not self._compression and visit.fault("deflate") is None:
            connection.protocol.available_extensions = None
        visit.seat = self._seats.take()
        return None

    async def _refuse(self, connection: WiredConnection, how: str) -> Response | None:
        _log.info("a connection refused: %s", how)
        if how in _REFUSALS:
            return connection.respond(*_REFUSALS[how])
        connection.wire.abort()
        await connection.wait_closed()
        return None  # too late to be sent

    def _leave(self, visit: Visit) -> None:
        if visit.seat is not None:
            self._seats.leave(visit.seat)
