"""What a long-running verb shows and hears: its log, a status line on a terminal, and the signals that stop it."""

import asyncio
import logging
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO

from l2vault.errors import UsageError

LOG_FILE_BYTES: Final = 10_000_000
LOG_FILES: Final = 5
CLOSE_WITHIN_SEC: Final = 4.5
"""Windows ends a process about 5 s after its console window was closed."""

_FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s"
_CTRL_CLOSE_EVENTS: Final = frozenset({2, 5, 6})  # CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT


class StatusConsole(logging.Handler):
    """Log lines on a stream and, if it is a terminal, a status line that stays below them."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._status = ""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self._erase() + self.format(record) + "\n" + self._status)
        except (OSError, ValueError):
            self.handleError(record)

    def show(self, status: str) -> None:
        """Replace the status line; nothing where output goes to a file or a pipe."""
        if self._is_terminal:
            width = max(20, shutil.get_terminal_size().columns - 1)
            erase = self._erase()
            self._status = status[:width]
            self._write(erase + self._status)

    def close(self) -> None:
        if self._status:
            self._write("\n")
            self._status = ""
        super().close()

    def _erase(self) -> str:
        # Blanks, not an escape sequence: old Windows consoles print those.
        return "\r" + " " * len(self._status) + "\r" if self._status else ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def set_up_logging(log_file: Path | None, verbose: bool) -> StatusConsole:
    """Log to the console and, rotating, to `log_file`; raises UsageError where that cannot be written."""
    formatter = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    console = StatusConsole(sys.stderr)
    handlers: list[logging.Handler] = [console]
    if log_file is not None:
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(
                RotatingFileHandler(log_file, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES, encoding="utf-8")
            )
        except OSError as error:
            raise UsageError(f"cannot write the log {log_file}: {error}.", "another --log-file") from error
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=handlers, force=True)
    logging.getLogger("websockets").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    return console


def stop_on_signals(stop: asyncio.Event, finished: threading.Event) -> None:
    """Set `stop` on Ctrl-C, SIGTERM, or the Windows console events; `finished` tells when the files are closed.

    A second Ctrl-C is the ordinary one again, so an end that hangs can still be interrupted.
    """
    loop = asyncio.get_running_loop()

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        loop.call_soon_threadsafe(stop.set)

    names = ("SIGINT", "SIGTERM", "SIGBREAK")  # SIGBREAK is Ctrl-Break, on Windows alone
    for name in names:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), ask)
    if sys.platform == "win32":
        import ctypes

        _hear_console_events(ctypes.windll.kernel32, lambda: loop.call_soon_threadsafe(stop.set), finished)


def _hear_console_events(kernel32: Any, ask: Callable[[], object], finished: threading.Event) -> None:
    """Closing the window, logging off or shutting down ends the process once the handler returns: so it waits."""
    import ctypes

    prototype = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)

    def handle(event: int) -> bool:
        if event not in _CTRL_CLOSE_EVENTS:
            return False  # Ctrl-C and Ctrl-Break are signals to Python
        ask()
        finished.wait(CLOSE_WITHIN_SEC)
        return True

    callback = prototype(ctypes.c_bool, ctypes.c_uint)(handle)
    _callbacks.append(callback)
    kernel32.SetConsoleCtrlHandler(callback, True)


_callbacks: list[Any] = []
"""Windows keeps only the address of a handler; this keeps the handler itself."""
