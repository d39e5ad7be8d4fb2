"""Which rate a table rests on: what `l2vault evaluate` last measured of all that the vault held, in a line."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from l2vault.book.utc import utc_text
from l2vault.vault.store.evaluations import Evaluation, KeptRate, keep_evaluations, kept_evaluation
from l2vault.vault.store.layout import Layout

if TYPE_CHECKING:
    from l2vault.analytics.books import Result

SHOWN: Final = ("walls", "zones")
"""What has a table that shows its rate."""
_LEVEL: Final = 0.05


def keep(vault: Path, result: "Result") -> None:
    """Keep what was measured of `SHOWN` for their tables. Raises OSError."""
    provenance = result.provenance
    from_ms, to_ms = provenance.span_ms
    names = KeptRate.__struct_fields__
    measured = {}
    for measure in SHOWN:
        rows = result.frame.filter(measure=measure).select(*names).to_dicts()
        rates = tuple(KeptRate(**row) for row in rows)
        if rates:
            measured[measure] = Evaluation(provenance.method, utc_text(from_ms), utc_text(to_ms), rates)
    if measured:
        keep_evaluations(Layout(vault), provenance.inst_id, measured)


def rests_on(vault: Path, inst_id: str, measure: str, is_default: bool) -> str:
    """`of walls like these in this vault 61 % held when price came (n = 120; 95 %: 52 to 70 %), by chance 55 %: ...`,
    or why there is none, and how to get one. A line. Only those of the default criteria are measured."""
    if not is_default:
        return f"how many {measure} like these hold is not measured: l2vault evaluate takes the default criteria\n"
    kept = kept_evaluation(Layout(vault), inst_id, measure)
    held = None if kept is None else next((each for each in kept.rates if each.what == "held"), None)
    command = f"l2vault evaluate {measure} {inst_id}"
    if kept is None or held is None:
        return f"how many {measure} hold was not measured in this vault yet: {command}\n"
    span = f"{kept.from_utc[:16].replace('T', ' ')} to {kept.to_utc[:16].replace('T', ' ')}"
    if held.rate is None:
        return f"how many {measure} hold is not known: too little from {span} ({held.missing}); {command}\n"
    text = f"of {measure} like these in this vault {percents(held.rate)} held when price came (n = {held.events}"
    if held.low is not None and held.high is not None:
        text += f"; 95 %: {percents(held.low)} to {percents(held.high)}"
    return f"{text}), by chance {percents(held.chance)}: {_verdict(held.q)} ({span})\n"


def percents(share: float | None) -> str:
    """`61 %`"""
    return "-" if share is None else f"{100 * share:.0f} %"


def _verdict(q: float | None) -> str:
    return "no edge measured" if q is None or q >= _LEVEL else f"more than chance, q = {q:.2g}"
