"""How does liquidity lie over time and price? `grid` has the cells, `heatmap` fills them. Pure."""
