"""What happens on the exchange, in order: the one form in which captures and the market model feed it."""

from typing import NamedTuple

from l2vault.book.change import BookChange


class Tick(NamedTuple):
    """One push of one instrument. `ts_ms` is its place on the timeline and never goes back, whatever the frame says.

    `frame` is the text to send verbatim, or None where the exchange is to encode `change` itself.
    """

    ts_ms: int
    change: BookChange
    frame: str | None
