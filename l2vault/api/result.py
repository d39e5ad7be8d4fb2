"""An answer: a frame, and what it rests on. Knows how both look in a shell and in a notebook."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from l2vault.analytics.figures import percent
from l2vault.api.times import with_times
from l2vault.book.utc import utc_ms, utc_text
from l2vault.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from l2vault.analytics.books import About
    from l2vault.analytics.books import Result as Measured

_NAMES: Final = {
    "vouched_share": "covered_share",
    "told_share": "non_null_share",
    "eaten_share": "filled_at_touch_share",
    "first_ms": "t_first",
    "last_ms": "t_last",
    "is_width_told": "is_width_given",
}
"""Names of columns and settings inside, and at this door."""


@dataclass(frozen=True, slots=True)
class Visible:
    """How far from mid a side could be seen, in basis points, over all books: at the least and at the most. None, None
    where the side was always whole, so that nothing lies beyond what was seen."""

    least_bps: float | None
    most_bps: float | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What must be known to use a result.

    `method` is the measure and its version, `walls/1`: figures of two versions need not agree. `start`, `end` are the
    half-open span, aware datetimes in exchange time; `covered_share` is the share of its time in which a book stood,
    from 0 to 1; `slots` the share of grid slots in each state; `holes` their number; `visible` has `bid` and `ask`;
    `unit` is what sizes are in, such as USDT; `settings` what the method was given or found, such as a threshold.

    >>> vault = l2vault.open("Vault")
    >>> rests_on = vault.books("BTC-USDT-SWAP").walls().provenance
    >>> rests_on.method, rests_on.unit, rests_on.cadence_ms, round(rests_on.covered_share, 3), rests_on.holes
    ('walls/1', 'USDT', 2000, 0.987, 1)
    """

    method: str
    inst_id: str
    start: datetime
    end: datetime
    unit: str
    books: int
    cadence_ms: int | None
    covered_share: float
    slots: Mapping[str, float]
    holes: int
    visible: Mapping[Literal["bid", "ask"], Visible]
    settings: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for people."""
        start, end = (_text(time) for time in (self.start, self.end))
        sides = ", ".join(
            f"{side}s to {seen.least_bps:.1f}..{seen.most_bps:.1f} bps" if _is_bound(seen) else f"{side}s whole"
            for side, seen in self.visible.items()
        )
        holes = f", {self.holes} hole{'' if self.holes == 1 else 's'}" if self.holes else ""
        return (
            f"{self.method} of {self.inst_id}, {start} to {end} UTC, covered {percent(self.covered_share)}{holes}, "
            f"{self.books} books, visible: {sides}, sizes in {self.unit}"
        )


class Result:
    """A polars frame, `frame`, and its `provenance`. Times are exchange time, `Datetime("ms", "UTC")`.

    >>> result = l2vault.open("Vault").books("BTC-USDT-SWAP").walls(min_size="500k")
    >>> result
    <Result walls/1: 1 row, BTC-USDT-SWAP, 2024-08-20 03:00:00 to 03:09:58 UTC, covered 98.71 %>
    >>> result.frame.select("side", "price", "t_from", "end").rows()[0][:2]
    ('ask', 60120.0)
    >>> result.frame.schema["t_from"]
    Datetime(time_unit='ms', time_zone='UTC')
    >>> result.to_polars(raw=True)["t_from"].item()
    1724122800000
    """

    def __init__(self, frame: "pl.DataFrame", provenance: Provenance, is_per_book: bool = False) -> None:
        self.provenance = provenance
        self._raw = frame
        self._is_per_book = is_per_book

    @property
    def frame(self) -> "pl.DataFrame":
        """The rows, as the method of `Books` that made them says."""
        return with_times(self._raw)

    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """With `raw` times are integers: milliseconds since 1970."""
        return self._raw if raw else self.frame

    def to_pandas(self, raw: bool = False) -> "pd.DataFrame":
        """Times are aware timestamps, in UTC."""
        return self.to_polars(raw).to_pandas()

    def to_arrow(self, raw: bool = False) -> "pa.Table":
        """Times are `timestamp[ms, UTC]`."""
        return self.to_polars(raw).to_arrow()

    def summary(self) -> "Result":
        """A row per measure of a result that has a row per book: `mean, min, p5, p50, p95, max, last`, weighted by how
        long each book stood, and `non_null_share`, the share of the covered time in which the measure has a value.

        Raises UsageError for a result with other rows.

        >>> spread = l2vault.open("Vault").books("BTC-USDT-SWAP").spread()
        >>> spread.summary().frame.filter(measure="spread").select("mean", "p95").rows()
        [(2.0, 2.0)]
        """
        from l2vault.analytics.resample import summary

        if not self._is_per_book:
            raise UsageError(f"{self.provenance.method} has no row per book to sum up.", "spread() or depth(), no step")
        return Result(renamed(summary(self._raw)), self.provenance)

    def __len__(self) -> int:
        return len(self._raw)

    def __repr__(self) -> str:
        about = self.provenance
        start, end = _text(about.start), _text(about.end)
        end = end[11:] if end[:10] == start[:10] else end
        rows = f"{len(self)} row{'' if len(self) == 1 else 's'}"
        covered = percent(about.covered_share)
        return f"<Result {about.method}: {rows}, {about.inst_id}, {start} to {end} UTC, covered {covered}>"

    def __str__(self) -> str:
        return f"{self.provenance}\n{self.frame}"

    def _repr_html_(self) -> str:
        """For notebooks: what the rows rest on, and the rows."""
        return f"<p>{html.escape(str(self.provenance))}</p>{self.frame._repr_html_()}"


def result_of(measured: "Measured", frame: "pl.DataFrame | None" = None, is_per_book: bool = False) -> Result:
    """What a measure gave, with the names of this door; `frame` stands for its rows where they were worked on."""
    rows = measured.frame if frame is None else frame
    return Result(renamed(rows), provenance_of(measured.about), is_per_book)


def provenance_of(about: "About") -> Provenance:
    return Provenance(
        method=about.method,
        inst_id=about.inst_id,
        start=_aware(about.from_utc),
        end=_aware(about.to_utc),
        unit=about.unit,
        books=about.books,
        cadence_ms=about.cadence_ms,
        covered_share=about.covered_share,
        slots=dict(about.slots),
        holes=about.holes,
        visible={side: Visible(seen.least_bps, seen.most_bps) for side, seen in about.reach_bps.items()},
        settings={_NAMES.get(name, name): value for name, value in about.settings.items()},
    )


def renamed(frame: "pl.DataFrame") -> "pl.DataFrame":
    return frame.rename({name: new for name, new in _NAMES.items() if name in frame.columns})


def _aware(text: str) -> datetime:
    ms = utc_ms(text)
    return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def _text(time: datetime) -> str:
    return utc_text(int(time.timestamp() * 1000))[:19].replace("T", " ")


def _is_bound(seen: Visible) -> bool:
    return seen.least_bps is not None and seen.most_bps is not None
