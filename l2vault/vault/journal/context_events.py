"""What the journal says of the context: which values were current, and the maintenance that OKX announced. Pure."""

from typing import Literal

import msgspec


class ContextNoted(msgspec.Struct, frozen=True, tag_field="event", tag="context", omit_defaults=True):
    """Values of an instrument changed their state; `kinds` has each with the exchange time from which it is so.

    `present`: known since the message of that time. `stale`: nothing came for longer than is normal. `lost`: the feed
    that carried the context is gone. The time of the last two is until when the value was known; null where it never
    was.
    """

    at: str
    feed: int
    inst_id: str
    state: Literal["present", "stale", "lost"]
    kinds: dict[str, str | None]
    cause: str = ""


class MaintenanceNoted(
    msgspec.Struct, frozen=True, tag_field="event", tag="maintenance", rename={"from_": "from"}, omit_defaults=True
):
    """OKX's channel `status` named a maintenance of market data, or said something new of one.

    `from` and `to` are its planned bounds; `service` is OKX's `serviceType`. The newest event of a title counts, for
    one that has not begun; a `canceled` one never was.
    """

    at: str
    title: str
    state: str
    from_: str | None
    to: str | None
    service: str = ""
