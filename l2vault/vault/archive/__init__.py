"""The level-interval table: a row for as long as a level stays the same; and its Parquet form, hour by hour.

`columns` parses lines into columns, `intervals` makes the table, `parquet` its files, `rebuild` the exact lines again;
`build` gives the tables of any span, `write` archives and restores, `read` opens what was archived. Needs numpy and
pyarrow, so nothing here is imported before it is used. Knows nothing of retention.
"""
