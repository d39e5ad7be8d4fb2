"""Every picture, drawn from values alone: reads no vault. Only this room knows matplotlib, which loads when one draws.

`canvas` has what all share (colours, time axis, title, footnote), `wall_marks` draws walls on a price axis; each other
module draws one picture.
"""

from l2vault.analytics.pictures.audits import plot_audits
from l2vault.analytics.pictures.coverage import plot_coverage
from l2vault.analytics.pictures.heatmap import draw_heatmap
from l2vault.analytics.pictures.series import Steps, draw_series
from l2vault.analytics.pictures.shifts import draw_shifts
from l2vault.analytics.pictures.walls import draw_walls
from l2vault.analytics.pictures.zones import draw_zones

__all__ = [
    "Steps",
    "draw_heatmap",
    "draw_series",
    "draw_shifts",
    "draw_walls",
    "draw_zones",
    "plot_audits",
    "plot_coverage",
]
