"""The vault as a reader sees it: `vault` (spans, the book at a time, coverage), `follow` (the live tail) with
`followed_hours` (what changes behind it), `level_table` (the one model of a span, which needs numpy and
pyarrow); `changes` and `follow_changes` (the same at the resolution of changes); `trades` (each id once),
`trade_check` (which hours of them are good), `context` and `deep` (books of 5000 levels, rebuilt); `sources` with
`joined_levels` and `joined_beside` (the holes of a vault filled from another one).

Changes nothing on disk, and loads neither asyncio nor the wire.
"""
