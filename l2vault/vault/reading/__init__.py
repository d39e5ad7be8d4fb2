"""The vault as a reader sees it: `vault` (spans, the book at a time, coverage), `follow` (the live tail) with
`followed_hours` (what changes behind it), `level_table` (the one model of a span), `lookup` (one book, where nothing but
the recorder's libraries is installed).

Changes nothing on disk, and loads neither asyncio nor the wire.
"""
