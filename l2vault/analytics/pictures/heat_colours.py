"""The colours of a heatmap's cells: a dark ground, of which the largest are alight. Reads no vault."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from l2vault.analytics.book_matrix import Bools
from l2vault.analytics.contract import Floats
from l2vault.analytics.heatmap.heatmap import Heatmap

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap, LogNorm

GROUND: Final = "#040507"
"""Beyond what was seen."""
EMPTY: Final = "#0C1424"
"""Seen, and nothing there."""
_LIGHTS: Final = (
    (50.0, 0.0, "#101D36"),
    (90.0, 0.25, "#16305A"),
    (97.0, 0.45, "#1C5FA8"),
    (99.3, 0.65, "#22A7D8"),
    (99.95, 0.85, "#A5EBB6"),
    (100.0, 1.0, "#FFF7A3"),
)
"""Of which percentile of all cells that hold something a colour is; between them it runs with the logarithm of size.

The second is the share of the way from the median to the largest, in logarithms, beyond which a colour is not put:
where the largest per cent are all nearly as large as the largest, percentiles alone would give them one colour.
"""
_FAINTEST: Final = 0.03
_REMEMBERED: Final = 0.6
"""How bright what has just gone out of reach is, of its own light."""
HALF_LIVES: Final = 12
"""In so many of the span the light of what is out of reach halves as often."""

Pixels = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lights:
    """From size to colour: up to the largest cell, or the largest wall if that is more."""

    norm: "LogNorm"
    map: "Colormap"

    def of(self, sizes: Floats) -> Pixels:
        """RGBA from 0 to 1, `(..., 4)`; NaN has any."""
        shown: Pixels = self.map(self.norm(np.nan_to_num(sizes, nan=self.norm.vmin or 1.0)))
        return shown

    def mappable(self) -> "ScalarMappable":
        """For a colour bar."""
        from matplotlib.cm import ScalarMappable

        return ScalarMappable(self.norm, self.map)


def lights_of(heat: Heatmap, largest_wall: float) -> Lights:
    """By the sizes of the cells that hold something."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    total = heat.total
    held = total[total > 0]
    percents, ways = (np.array([each[at] for each in _LIGHTS]) for at in (0, 1))
    sizes = np.percentile(held, percents) if len(held) else np.geomspace(1, 10, len(_LIGHTS))
    sizes[-1] = max(sizes[-1], largest_wall)
    sizes = np.minimum(sizes, sizes[0] * (sizes[-1] / sizes[0]) ** ways)
    sizes = np.maximum.accumulate(sizes * 1.001 ** np.arange(len(sizes)))  # no two at one place
    norm = LogNorm(sizes[0], sizes[-1])
    places = np.asarray(norm(sizes), dtype=np.float64)
    places[0], places[-1] = 0.0, 1.0
    colours = [colour for _, _, colour in _LIGHTS]
    lit = LinearSegmentedColormap.from_list("lights", list(zip(places, colours, strict=True)), N=1024)
    return Lights(norm, lit)


def pixels_of(heat: Heatmap, lights: Lights) -> Pixels:
    """`(rows, bins, 4)`, RGBA from 0 to 1: what is seen in its light, what is out of reach in that of when it was seen
    last, the fainter the longer that is ago."""
    from matplotlib.colors import to_rgba

    total = heat.total
    seen = np.isfinite(total)
    last = np.maximum.accumulate(np.where(seen, np.arange(len(total))[:, None], -1), axis=0)
    held = np.where(last >= 0, np.take_along_axis(total, np.maximum(last, 0), axis=0), 0.0)
    pixels = lights.of(np.where(held > 0, held, np.nan))
    pixels[held == 0] = to_rgba(EMPTY)
    ground = np.array(to_rgba(GROUND))
    light = np.where(seen, 1.0, np.where(last >= 0, _REMEMBERED * _age_light(heat, last), 0.0))
    light[light < _FAINTEST] = 0.0
    mixed: Pixels = ground + (pixels - ground) * light[:, :, None]
    return mixed.transpose(1, 0, 2)


def is_remembered(heat: Heatmap) -> Bools:
    """`(bins, rows)`: out of reach now, and seen before."""
    seen = np.isfinite(heat.total)
    return np.logical_or.accumulate(seen, axis=0) & ~seen & (heat.covered_ms > 0)[:, None]


def _age_light(heat: Heatmap, last: npt.NDArray[Any]) -> Floats:
    middle = (heat.t_ms[1:] + heat.t_ms[:-1]) / 2
    age_ms = middle[:, None] - middle[np.maximum(last, 0)]
    half_ms = (heat.t_ms[-1] - heat.t_ms[0]) / HALF_LIVES
    faded: Floats = 0.5 ** (age_ms / half_ms)
    return faded
