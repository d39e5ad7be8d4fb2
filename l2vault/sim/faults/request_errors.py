"""Errors that the exchange answers requests with because a plan says so, on one connection. Pure."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from l2vault.sim.faults.kinds import ARG_CODES
from l2vault.sim.faults.plan import Fault
from l2vault.sim.faults.timing import Trigger

_MESSAGES: Final = {
    "60011": "Please log in",
    "60014": "Requests too frequent",
    "64003": "Your trading fee tier doesn't meet the requirement to access this channel",
    "64004": "Subscribe to both {channel} and books-l2-tbt is not allowed. Unsubscribe books-l2-tbt first.",
    "63999": "Internal system error",
    "64007": "Operation {op} failed due to WebSocket internal error. Please try again later.",
}


class RequestError(NamedTuple):
    """An error to answer with: to the whole request, or instead of the ack of one instrument (`inst_id`)."""

    code: str
    inst_id: str | None

    def message(self, op: str, text: str, channel: str) -> str:
        """OKX's words, as far as they are known."""
        if self.code == "60018":
            return no_such_channel(channel, self.inst_id or "")
        if self.code == "60012":
            return illegal_request(text)
        return _MESSAGES[self.code].format(op=op, channel=channel)


class RequestErrors:
    """The faults of kind `error` that concern one connection, each with its strikes; `now_ms` gives exchange time.

    Each counts the requests that it could strike: those of its operation that name its instrument.
    """

    def __init__(self, faults: Sequence[tuple[Fault, Trigger]], now_ms: Callable[[], int]) -> None:
        self._faults = faults
        self._now_ms = now_ms
        self._requests: Counter[int] = Counter()

    def to_request(self, op: str, inst_ids: Sequence[str]) -> list[RequestError]:
        """What is wrong with this request. To be asked once for each."""
        found = []
        for index, (fault, trigger) in enumerate(self._faults):
            named = [inst_id for inst_id in inst_ids if fault.concerns(inst_id)]
            if not named or fault.word("op") not in (op, "both"):
                continue
            self._requests[index] += 1
            if trigger.hits("", self._requests[index], self._now_ms()):
                code = fault.word("code")
                found.append(RequestError(code, named[0] if code in ARG_CODES else None))
        return found


NO_REQUEST_ERRORS: Final = RequestErrors((), lambda: 0)


def no_such_channel(channel: str, inst_id: str) -> str:
    """OKX's words of 2026 with 60018."""
    return (
        f"Wrong URL or channel:{channel}, instId:{inst_id} doesn't exist. "
        "Please use the correct URL, channel and parameters referring to API document."
    )


def illegal_request(text: str) -> str:
    return f"Illegal request: {text}"
