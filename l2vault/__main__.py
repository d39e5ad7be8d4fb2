"""`python -m l2vault`, and the installed `l2vault`: the first of our lines that a process runs.

While nothing is open yet, a Ctrl-C ends the process at once: an exception would come out of whichever import it hits.
What comes while Python itself starts is Python's.
"""

import atexit
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


class _Ending:
    """Ends the process once all is done that is registered to be done at its exit: Python would then take one library
    after the other apart, for longer than it takes to read a book."""

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._at_last)  # what is registered first is called last

    def _at_last(self) -> None:
        if self.code is None:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        except (OSError, ValueError):  # Python says so, and with which code
            return
        os._exit(self.code)


def main() -> int:
    ending = _Ending()
    from l2vault.entry import main as begin

    ending.code = begin()
    return ending.code


if __name__ == "__main__":
    sys.exit(main())
