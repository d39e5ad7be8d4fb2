"""The level-interval table: a row for as long as a level stays the same; and its Parquet form, hour by hour.

`columns` parses lines into columns, `intervals` makes the table, `parquet` its files, `rebuild` the exact lines again;
`build` gives the tables of any span, `write` archives and restores, `read` opens what was archived. Of changes:
`change_columns` (lines to two tables and back), `change_intervals` (the table at every message), `change_files` (their
Parquet form) and `change_build`. Of trades and context: `rows`. All of these need numpy and pyarrow, so none is
imported before it is used; `form`, which loads them then, is what `store.forms` knows of this room. Knows nothing of
retention.
"""
