"""What the journal can say of trades, as types (docs/format.md defines each). Knows no file.

`events` has all other events, and what `at`, times and feeds mean.
"""

from typing import Literal

import msgspec

HoleCause = Literal["chain", "disconnect", "notice", "our_restart", "disk_full", "silence", "task_failed"]
"""Why ids of trades are missing: a subset of the causes of a `lost`."""


class TradesOf(msgspec.Struct, frozen=True, omit_defaults=True):
    """One instrument's trades in one `minute`, as the disk took them: `lines` that stand for so many `ids`, the least
    and the greatest of them, and the newest time. Ids that an `overlap` line repeats are counted again."""

    lines: int
    ids: int
    first_id: int
    last_id: int
    last_ts: str


class TradesBegun(msgspec.Struct, frozen=True, tag_field="event", tag="trades_begun"):
    """From the trade `id` of exchange time `ts` on, every id is in the files, in a `trades_hole` or `trades_skipped`.

    `cause` is `first` (the vault holds none before it) or `numbering` (OKX's ids began anew: the same ids come again).
    """

    at: str
    inst_id: str
    id: int
    ts: str
    cause: Literal["first", "numbering"]


class TradesHole(msgspec.Struct, frozen=True, tag_field="event", tag="trades_hole", rename={"from_": "from"}):
    """No feed brought the ids `from_id` to `to_id`, `size` of them; they lie between the exchange times `from` and
    `to`, those of the trades beside them. REST is asked for them."""

    at: str
    inst_id: str
    from_id: int
    to_id: int
    size: int
    from_: str
    to: str
    cause: HoleCause


class TradesFilled(msgspec.Struct, frozen=True, tag_field="event", tag="trades_filled"):
    """So many `ids` of holes, all between `from_id` and `to_id`, have come after all: by a `feed` or by `rest`."""

    at: str
    inst_id: str
    from_id: int
    to_id: int
    ids: int
    by: Literal["feed", "rest"]


class TradesForeign(msgspec.Struct, frozen=True, tag_field="event", tag="trades_foreign"):
    """`feed` brought a push of the ids `from_id` to `to_id` and exchange time `ts`, far from the ids around it, with
    which neither another push nor the other feed nor REST agreed: it is in no file, and changes nothing."""

    at: str
    inst_id: str
    from_id: int
    to_id: int
    ts: str
    feed: int


class TradesSkipped(msgspec.Struct, frozen=True, tag_field="event", tag="trades_skipped"):
    """REST has the trades on both sides of the ids `from_id` to `to_id` and none between: OKX never used these ids, and
    nothing is lost."""

    at: str
    inst_id: str
    from_id: int
    to_id: int
    size: int


class TradesMissing(msgspec.Struct, frozen=True, tag_field="event", tag="trades_missing", rename={"from_": "from"}):
    """The ids `from_id` to `to_id` of a hole could not be had, for the reason in `detail`: they stay missing unless a
    later `trades_filled` names them. The next run looks for them again."""

    at: str
    inst_id: str
    from_id: int
    to_id: int
    size: int
    from_: str
    to: str
    detail: str
