"""Children started with signals as a terminal would, whatever this process ignores (under nohup, in the background)."""

import signal
import sys
from collections.abc import Callable

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


def as_from_a_terminal(*ignoring: str) -> Callable[[], None] | None:
    """For `preexec_fn`: every signal does what it does by default, but those named, which are ignored."""
    if sys.platform == "win32":
        return None

    def inherit() -> None:
        for name in _NAMES:
            signal.signal(getattr(signal, name), signal.SIG_IGN if name in ignoring else signal.SIG_DFL)

    return inherit
