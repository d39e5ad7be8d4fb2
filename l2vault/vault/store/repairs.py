"""Which spans of an instrument are repaired: holes in which, by default, books of OKX's archive are read.

One small file an instrument is what counts; the journal has its history. Nothing of the data is in it.
"""

from collections.abc import Sequence

import msgspec

from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.store.durable import unlink, write_atomically
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.spans import joined
from l2vault.vault.store.stream import read_small


class _Repairs(msgspec.Struct, frozen=True):
    spans: list[tuple[str, str]]


def has_repairs(layout: Layout) -> bool:
    """Whether any instrument has some: one look at a folder."""
    return layout.repairs_file("-").parent.is_dir()


def repaired_spans(layout: Layout, inst_id: str) -> list[tuple[int, int]]:
    """Half-open, in order, none touching another; none where nothing was repaired, or the file does not read."""
    try:
        found = msgspec.json.decode(read_small(layout.repairs_file(inst_id)), type=_Repairs)
        return joined([(utc_ms(first), utc_ms(last)) for first, last in found.spans])
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return []


class RepairedSpans:
    """The same of a vault that stays open: a file is read again only where it is another one than before."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._read: dict[str, tuple[tuple[int, int, int] | None, list[tuple[int, int]]]] = {}

    def of(self, inst_id: str) -> list[tuple[int, int]]:
        """As `repaired_spans` gives them."""
        stamp = self._stamp(inst_id)
        if inst_id not in self._read or self._read[inst_id][0] != stamp:
            self._read[inst_id] = stamp, repaired_spans(self._layout, inst_id)
        return self._read[inst_id][1]

    def _stamp(self, inst_id: str) -> tuple[int, int, int] | None:
        try:
            facts = self._layout.repairs_file(inst_id).stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns


def keep_repairs(layout: Layout, inst_id: str, spans: Sequence[tuple[int, int]]) -> None:
    """Put these in the place of what there was. Raises OSError where the disk refuses."""
    path = layout.repairs_file(inst_id)
    if spans:
        texts = [(utc_text(from_ms), utc_text(to_ms)) for from_ms, to_ms in joined(spans)]
        write_atomically(path, msgspec.json.encode(_Repairs(texts)))
    else:
        unlink(path, missing_ok=True)
