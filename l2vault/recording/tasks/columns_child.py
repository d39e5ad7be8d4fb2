"""Column files of closed hours, made in a process of its own: neither its memory nor its time is the recorder's.

    python -m l2vault.recording.tasks.columns_child VAULT BEFORE_MS

Reads no settings. Prints how many hours were made; 0 too where another pass holds the lock of retention.
"""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

from filelock import Timeout

from l2vault.errors import L2VaultError
from l2vault.vault.coverage.checked import check_hours, column_work
from l2vault.vault.retention.run import locked
from l2vault.vault.store.layout import Layout

BELOW_NORMAL = 0x4000
"""Of Windows' SetPriorityClass."""


def main() -> int:
    layout, before_ms = Layout(Path(sys.argv[1])), int(sys.argv[2])
    _give_way()
    made = 0
    try:
        with suppress(Timeout), locked(layout):
            check_hours(layout, before_ms)
            work = column_work(layout, before_ms)
            if any(work):
                from l2vault.vault.archive.twins import make_columns  # loads numpy and pyarrow

                made = make_columns(layout, work)
    except (L2VaultError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{made}\n")
    return 0


def _give_way() -> None:
    """Whatever else wants the processor comes first."""
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), BELOW_NORMAL)
    else:
        os.nice(10)


if __name__ == "__main__":
    sys.exit(main())
