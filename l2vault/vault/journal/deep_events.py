"""What the journal says of deep books (docs/format.md). Knows no file."""

import msgspec


class DeepMissed(
    msgspec.Struct, frozen=True, tag_field="event", tag="deep_missed", rename={"from_": "from"}, omit_defaults=True
):
    """Samples of an instrument's deep book that were due after `from` (null: before the first one) and are not in the
    files. Without `to`, the time of the next sample, it has just begun. `samples` of them were missed, or asked for in
    vain.
    """

    at: str
    inst_id: str
    from_: str | None
    cause: str
    to: str | None = None
    samples: int = 0
    detail: str = ""
