"""The vault that answers are read from: with the books, trades and values of which sources, one object a thread."""

import threading
from collections.abc import Iterable
from pathlib import Path

from l2vault.vault.coverage.hour_notes import FileStamp, stamp_of
from l2vault.vault.coverage.model import Source
from l2vault.vault.reading.sources import RECORDED, open_sources
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import Kind, Layout


class Opened:
    """The vault at `root` with `sources`; of the archive's own vault there is one source alone."""

    def __init__(self, root: Path, sources: tuple[Source, ...] = RECORDED) -> None:
        self._root = root
        self.sources: tuple[Source, ...] = ("archive",) if Layout(root).is_okx_archive else sources
        self._local = threading.local()

    def vault(self) -> Vault:
        """This thread's, which remembers what it has read and sees what was written since. Raises VaultError where
        there is none, or nothing of these sources."""
        if not hasattr(self._local, "vault"):
            self._local.vault = open_sources(self._root, self.sources)
        vault: Vault = self._local.vault
        vault.refresh()
        return vault


def stamps_of(vault: Vault, kinds: Iterable[Kind], inst_id: str, hour_ms: int) -> list[FileStamp]:
    """The files of an hour as they are, of each vault that is read."""
    catalogs = [
        part.catalog if kind == "books" else Catalog(part.layout.of(kind)) for kind in kinds for part in vault.parts
    ]
    return [each for own in catalogs for each in stamp_of(own.layout, own.hour(inst_id, hour_ms))]
