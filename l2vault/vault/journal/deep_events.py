"""What the journal says of deep books and of RPI books (docs/format.md). Knows no file."""

from typing import Final

import msgspec

from l2vault.book.deep import DeepKind


class _Missed(msgspec.Struct, frozen=True, tag_field="event", rename={"from_": "from"}, omit_defaults=True):
    """Samples of an instrument's book that were due after `from` (null: before the first one) and are not in the files.
    Without `to`, the time of the next sample, it has just begun. `samples` of them were missed, or asked for in vain.
    """

    at: str
    inst_id: str
    from_: str | None
    cause: str
    to: str | None = None
    samples: int = 0
    detail: str = ""


class DeepMissed(_Missed, frozen=True, tag="deep_missed"):
    """Of the deep book."""


class RpiMissed(_Missed, frozen=True, tag="rpi_missed"):
    """Of the RPI book."""


SamplesMissed = DeepMissed | RpiMissed
MISSED: Final[dict[DeepKind, type[DeepMissed] | type[RpiMissed]]] = {"deep": DeepMissed, "rpi": RpiMissed}
"""What is noted of missing samples, by what is sampled."""
