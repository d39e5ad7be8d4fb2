"""Every picture of liquidity by name, each drawn in a module of its own from values alone; coverage is in `plots`."""

from l2vault.analytics.heat_picture import draw_heatmap
from l2vault.analytics.series_picture import draw_series
from l2vault.analytics.shift_picture import draw_shifts
from l2vault.analytics.wall_picture import draw_walls
from l2vault.analytics.zone_picture import draw_zones

__all__ = ["draw_heatmap", "draw_series", "draw_shifts", "draw_walls", "draw_zones"]
