"""How a process runs one verb: for `l2vault`, `python -m l2vault` and the launcher scripts.

Loads nothing heavy itself, so that a Ctrl-C while the rest is being loaded ends in one line and code 130. A Ctrl-C that
comes inside an import waits until that is over: libraries written in C lose or misreport an exception raised in them.
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from l2vault.own_process import keep_pandas_out

INTERRUPTED: Final = 130
_AGAIN_SEC: Final = 0.05
_IMPORTING: Final = "importlib._bootstrap"


def main() -> int:
    """The installed `l2vault`."""
    keep_pandas_out()

    def run() -> int:
        from l2vault.cli import main

        return main()

    return _interruptible(run)


def launch(verb: str | None, folder: Path, values: Mapping[str, object]) -> int:
    """`l2vault VERB` for a launcher script with `values`, its settings; what is relative is beside it.

    Without a verb the first word of the command line is one.
    """
    keep_pandas_out()

    def run() -> int:
        from l2vault.cli import launch

        return launch(verb, folder, values)

    return _interruptible(run)


def _interruptible(run: Callable[[], int]) -> int:
    """The exit code of `run`, or 130 if it was interrupted, whoever lost the exception. Interrupted twice the process
    ends here: a thread that does not end would be waited for."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # as a shell starts what runs in its background: Ctrl-C is not for this process
        return run()
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)  # then nothing is left that must be closed
    interrupts = _Interrupts()
    try:
        sys.unraisablehook = interrupts.lost
        signal.signal(signal.SIGINT, interrupts.hear)
        code = run()
    except KeyboardInterrupt:
        _say_interrupted()
        code = INTERRUPTED
    finally:
        interrupts.end()
        # Whoever is impatient ends a process that is only waiting for its threads, without a traceback of that.
        signal.signal(signal.SIGINT, signal.SIG_DFL if interrupts.found else before)
    if interrupts.found and code == 0:
        _say_interrupted()
        code = INTERRUPTED
    if interrupts.found.count(None) > 1:
        os._exit(code)
    return code


class _Interrupts:
    """What comes of each Ctrl-C: an exception, or later another one."""

    def __init__(self) -> None:
        self.found: list[threading.Timer | None] = []
        """In order; a timer for each that has to come again."""
        self._say_unraisable = sys.unraisablehook

    def hear(self, number: int, frame: FrameType | None) -> None:
        if _is_importing(frame):
            self.found.append(_interrupt_soon())
            return
        self.found.append(None)
        raise KeyboardInterrupt

    def lost(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """It was raised where nothing can be raised, as while a generator is thrown away."""
        if unraisable.exc_type is KeyboardInterrupt and self.found:
            self.found[-1] = _interrupt_soon()
        else:
            self._say_unraisable(unraisable)

    def end(self) -> None:
        for timer in self.found:
            if timer is not None:
                timer.cancel()
        sys.unraisablehook = self._say_unraisable


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if _IMPORTING in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _interrupt_soon() -> threading.Timer:
    timer = threading.Timer(_AGAIN_SEC, _interrupt_main)
    timer.daemon = True
    timer.start()
    return timer


def _interrupt_main() -> None:
    if hasattr(signal, "pthread_kill"):  # ends a wait of the main thread too
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)


def _say_interrupted() -> None:
    if sys.stderr is not None:
        sys.stderr.write("l2vault: interrupted\n")
        sys.stderr.flush()
