"""What the exchange has for one client: a frame of text with what is known about it, or the end of the connection."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from l2vault.book.change import BookChange
from l2vault.sim.exchange.trades import Trade

ABNORMAL: Final = 1006
"""Not a code that can be sent: the connection ends without a close frame."""

NOBODY: Final[frozenset[int]] = frozenset()


class FaultySocket(Protocol):
    """A connection that can send a frame badly; `server/wire.py` has it. So the faults know nothing of sockets."""

    async def send_in_pieces(self, text: str, piece_bytes: int, pause: Callable[[], Awaitable[None]]) -> None: ...

    async def send_cut(self, text: str, keep_bytes: int) -> None: ...


Manner = Callable[[FaultySocket, str], Awaitable[None]]
"""How a frame is put on the line; returns once the socket has taken it."""


class HangUp(NamedTuple):
    """Why the exchange ends a connection: a websocket close code and its text."""

    code: int
    reason: str


class SetHalfOpen(NamedTuple):
    """From here on (or no longer) nothing leaves the machine: the socket is half open."""

    is_on: bool


class Frame(NamedTuple):
    """One text frame. `change` is what it says, where it is a push of a book or a full book; `trade`, of trades.

    `number` counts the pushes of its instrument on the timeline; it is 0 for what answers a request. `struck` are the
    faults, by their place in the plan, that strike this frame.
    """

    text: str
    change: BookChange | None = None
    number: int = 0
    struck: frozenset[int] = NOBODY
    manner: Manner | None = None
    trade: Trade | None = None

    @property
    def inst_id(self) -> str:
        """Whose push it is; empty for what is none."""
        if self.change is not None:
            return self.change.inst_id
        return "" if self.trade is None else self.trade.inst_id


Item = Frame | HangUp | SetHalfOpen
