"""The disk, in ten rooms. A room may use those before it in this list and none behind it.

- `store/`: names and bytes. Every path, every listing, how lines are written, read, cut, digested and deleted.
- `journal/`: what the recorder and the verbs noted at the time.
- `health/`: `health.json`, by which others see how the recorder is.
- `coverage/`: what can be said of each grid time of a span, and why.
- `archive/`: the level-interval table and its Parquet form, lossless in both directions. Needs numpy and pyarrow.
- `reading/`: the vault as a reader sees it: spans, the book at a time, the live tail, the level table.
- `retention/`: what is compressed, archived and deleted, and when.
- `checking/`: every line, file and journal entry re-checked.
- `merging/`: the vaults of several machines made one.
- `pushing/`: closed hours copied into an object store.

This module, which alone knows all of them, hands the archive's form to `store.forms`: nothing to its left imports it.
"""

from l2vault.vault.archive.form import Archive
from l2vault.vault.store.forms import register_archive

register_archive(Archive())
