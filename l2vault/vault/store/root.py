"""Whether a folder is a vault: the one answer, and the one cure, of everything that reads one."""

from pathlib import Path
from typing import Final

from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.vault.store.layout import Layout

NO_VAULT_CURE: Final = "--vault with the folder that the recorder writes to, or l2vault record, which makes one"


def open_layout(path: str | Path) -> Layout:
    """The layout of the vault at `path`; makes nothing.

    A vault has data (`raw/okx`), an archive (`archive/okx`) or what the recorder keeps beside them (`meta/okx`).
    Raises VaultError if `path` is not such a folder, or empty, which would be the working folder.
    """
    if not str(path).strip():
        raise VaultError(f"no vault here: '{printable(path)}' names no folder.", NO_VAULT_CURE)
    layout = Layout(Path(path))
    shown = printable(path)
    try:
        if any(folder.is_dir() for folder in (layout.raw.parent, layout.lock_file.parent, layout.archive.parent)):
            return layout
        is_folder = layout.root.is_dir()
        is_there = is_folder or layout.root.exists()
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        raise VaultError(f"no vault at {shown}: {printable(error)}.", NO_VAULT_CURE) from error
    if is_folder and layout.holds_okx_archive:
        text = f"nothing was recorded in {shown}: it holds what was made of OKX's archive alone."
        raise VaultError(
            text, f"--sources archive where a verb has it, or --vault {printable(layout.okx_archive.root)}"
        )
    if is_folder:
        raise VaultError(f"no vault at {shown}: the folder has neither raw/okx nor meta/okx.", NO_VAULT_CURE)
    raise VaultError(f"no vault at {shown}{': it is no folder' if is_there else ''}.", NO_VAULT_CURE)
