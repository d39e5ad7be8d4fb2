"""What was measured against chance, kept in the vault so that the tables can say which rate they rest on.

Knows the file and its form, and nothing of how a rate is measured. Worth only what it spares: it may be deleted.
"""

import msgspec

from l2vault.vault.store.durable import write_atomically
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_small


class KeptRate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of an evaluation; `rate` is None where `missing` says why. `end_from` is of ends of walls: by `trades`, or
    `inferred` without them."""

    what: str
    side: str | None
    events: int
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    q: float | None = None
    missing: str | None = None
    end_from: str | None = None


class Evaluation(msgspec.Struct, frozen=True):
    """Of one measure: `method` and version, over which span, and its rates."""

    method: str
    from_utc: str
    to_utc: str
    rates: tuple[KeptRate, ...]


_DECODER = msgspec.json.Decoder(dict[str, Evaluation])


def keep_evaluations(layout: Layout, inst_id: str, measured: dict[str, Evaluation]) -> None:
    """Those of some measures, beside those of others that are kept already. Raises OSError."""
    whole = _read(layout, inst_id) | measured
    write_atomically(layout.evaluation_file(inst_id), msgspec.json.encode(whole, order="sorted"))


def kept_evaluation(layout: Layout, inst_id: str, measure: str) -> Evaluation | None:
    """The last one that was kept; None without, or where the file does not read."""
    return _read(layout, inst_id).get(measure)


def _read(layout: Layout, inst_id: str) -> dict[str, Evaluation]:
    try:
        return _DECODER.decode(read_small(layout.evaluation_file(inst_id)))
    except (OSError, ValueError, RecursionError):
        return {}
