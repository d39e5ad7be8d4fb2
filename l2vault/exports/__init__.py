"""Other tools' formats: a span of a vault written as the files that a backtester or a data library reads. Stands beside
the public door and reads what it reads; knows nothing of how a format is asked for. In reading order:

- `events` (books and trades as one row of events: full books, changes, the end of what is known), `source` (those of a
  vault: from the recorded changes, and from the books of 2 s where there are none).
- `target` (a folder that is whole or not there), `label` (what an export rests on, and its `coverage.json`).
- `hftbacktest`, `nautilus`, `tardis_csv`, `plain` (Parquet and CSV): one format each, written as events come;
  `csv_file` is what two of them write into.
- `run`: a span, day after day, into one of them.
"""
