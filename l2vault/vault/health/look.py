"""One look at the recorder of a vault: the kernel's lock, the file, the disk, and the verdict on them. The only place
where they meet, so that `status`, the alerts and the screen say the same of one moment."""

import shutil
from pathlib import Path

from l2vault.errors import VaultError
from l2vault.vault.health.form import read_health
from l2vault.vault.health.judge import Look, Reason, Verdict, judge
from l2vault.vault.store.lock import is_held
from l2vault.vault.store.root import open_layout


def look(root: str | Path, now_ms: int) -> Look:
    """How the recorder is at `now_ms`, by this machine's clock. A vault that is not there has no recorder."""
    try:
        layout = open_layout(root)
    except VaultError as error:
        return Look(
            now_ms, None, None, Verdict("no recorder", [Reason("no_vault", "", error.message, error.cure)], None)
        )
    # The lock first: a recorder that starts in between has then no file yet, rather than an old one.
    held = is_held(layout)
    health = read_health(layout)
    free_bytes = _free_bytes(layout.root)
    return Look(now_ms, health, held, judge(health, now_ms, held, free_bytes), free_bytes)


def _free_bytes(root: Path) -> int | None:
    """Asked here too: a disk that is filled at once keeps the recorder from saying so."""
    try:
        return shutil.disk_usage(root).free
    except OSError:
        return None
