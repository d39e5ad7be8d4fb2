"""`python -m l2vault`, and the installed `l2vault`: the first of our lines that a process runs.

While nothing is open yet, a Ctrl-C ends the process at once: an exception would come out of whichever import it hits.
What comes while Python itself starts is Python's.
"""

import os
import sys
from typing import NoReturn


def _end(*_: object) -> NoReturn:
    os.write(2, b"l2vault: interrupted\n")
    os._exit(130)


try:
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
except KeyboardInterrupt:
    _end()


def main() -> int:
    from l2vault.entry import main as begin

    return begin()


if __name__ == "__main__":
    sys.exit(main())
