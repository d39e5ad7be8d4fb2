"""The meaning of what was recorded, in rooms by question. In reading order:

- `contract` (what a contract is worth), `book_matrix` (books as matrices), `interval_rows` (as rows that last over
  several), `side_levels` (those again as the levels of each book), `books` (the books of a span, hour by hour, and
  what every result must say of itself), `one_book` and `metrics` (what one book says), `resample` (that, over time).
- `walls/` (large levels and their lives), `zones/` (support and resistance), `flow/` (what changed between two books),
  `heatmap/` (the grid of a heatmap), `chance/` (whether any of it is more than chance).
- `tail` says what is more than chance, `figures` writes sizes and shares.
- `pictures/` draws: the only room that knows matplotlib. Only `books` reads a vault.
"""
