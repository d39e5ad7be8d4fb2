"""The disk. Four groups of modules; read `layout` (every path), `events` and `journal` (what we can vouch for) first.

- Recording: `writer` (lines), `recovery` (after a crash), `lock` (one writer), `instruments` (OKX's rows), `durable`.
- Retention: `plan` (what is due, pure), `census` (what is there), `retention` (does it), `compress`, `removal`, `tidy`.
- Reading: `reader` (the front door), `files` and `stream` (lines of any form), `moments`, `follow` (the live tail),
  `lookup` (the last book); `spans`, `coverage`, `testimony`, `absence`, `witness` (what can be said of each slot).
- Level intervals: `levels` (the table), `columns`, `decimals`, `tables`, `leveltable`; `archive` (it as Parquet),
  `parquet`, `rebuild` (lines out of it), `archived`; `verify` and `linecheck` re-check it all.
"""
