"""What the journal says of changes and of how late pushes come, as types (docs/format.md). Knows no file."""

import msgspec


class ChangesLost(
    msgspec.Struct,
    frozen=True,
    tag_field="event",
    tag="changes_lost",
    rename={"from_": "from"},
    omit_defaults=True,
):
    """The changes of an instrument after `from` (null: from the first one on), up to the full book of time `to`, are
    not in the files; where the cause is `conflict` or `audit` they are there, up to `to`, and may be wrong.

    Without `to` it has just begun; the event that ends it has the same `from`. `pushes` of them were received.
    """

    at: str
    inst_id: str
    from_: str | None
    cause: str
    to: str | None = None
    pushes: int = 0
    detail: str = ""


class Latency(msgspec.Struct, frozen=True, tag_field="event", tag="latency"):
    """Once a minute and feed: receive time by this machine's clock minus `ts` of the pushes of books, in milliseconds.

    `offset_ms` is this machine's clock minus OKX's when OKX last told its time, give or take `uncertain_ms`; both null
    where it did not. So the way from the exchange took the difference of the two.
    """

    at: str
    feed: int
    pushes: int
    min_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    offset_ms: int | None
    uncertain_ms: int | None
