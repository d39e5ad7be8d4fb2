"""The vault as a reader sees it: `vault` (spans, the book at a time, coverage), `follow` (the live tail) with
`followed_hours` (what changes behind it), `level_table` (the one model of a span, which needs numpy and pyarrow).

Changes nothing on disk, and loads neither asyncio nor the wire.
"""
