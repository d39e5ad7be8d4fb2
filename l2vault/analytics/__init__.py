"""The meaning of what was recorded. In reading order:

- `contract` (what a contract is worth), `ladders` (books as matrices), `books` (the books of a span, and what every
  result must say of itself).
- `instant` (what one book says) and `series` (that, over time); `walls`, `ledger`, `tracks` (large levels, their lives,
  which lives are one wall).
- `points` (prices as whole numbers); `zones` and `visits` (what price did there); `shifts` and `steps` (what changed
  between two books); `heat` and `cells` (the grid of a heatmap).
- `figures` writes sizes and shares. `pictures` draws: the only room that knows matplotlib. Only `books` reads a vault.
"""
