"""Closed hours checked and their column files made in a process of its own: neither memory nor time is the recorder's.

    python -m l2vault.recording.tasks.closed_hours_child VAULT BEFORE_MS [columns]

Reads no settings. Prints how many hours got their columns, and one more where more hours wait to be checked; 0 too
where another pass holds the lock of retention. Of which hours no columns can be made it says on stderr, each time once.
Without the word `columns` no analysis library is loaded.
"""

import ctypes
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from filelock import Timeout

from l2vault.errors import L2VaultError
from l2vault.own_process import keep_pandas_out
from l2vault.vault.coverage.checked import MOST_HOURS, check_hours, column_work
from l2vault.vault.reading.trade_check import MOST_HOURS as MOST_TRADE_HOURS
from l2vault.vault.reading.trade_check import check_trades
from l2vault.vault.retention.run import locked
from l2vault.vault.store.layout import Layout

BELOW_NORMAL = 0x4000
"""Of Windows' SetPriorityClass."""


def main() -> int:
    layout, before_ms, *what = Layout(Path(sys.argv[1])), int(sys.argv[2]), *sys.argv[3:]
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    _give_way()
    done = 0
    try:
        with suppress(Timeout), locked(layout):
            done = check_hours(layout, before_ms) // MOST_HOURS + check_trades(layout, before_ms) // MOST_TRADE_HOURS
            if "columns" in what and any(work := column_work(layout, before_ms)):
                from l2vault.vault.archive.twins import make_columns  # loads numpy and pyarrow

                done += make_columns(layout, work)
    except (L2VaultError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


def _give_way() -> None:
    """Whatever else wants the processor comes first."""
    if sys.platform == "win32":
        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), BELOW_NORMAL)
    else:
        os.nice(10)


if __name__ == "__main__":
    keep_pandas_out()
    sys.exit(main())
