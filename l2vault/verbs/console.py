"""What a long-running verb shows and hears: its log, a status line on a terminal, and the signals that stop it."""

import asyncio
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Final, TextIO

from l2vault.errors import UsageError
from l2vault.foreign import printable

LOG_FILE_BYTES: Final = 10_000_000
LOG_FILES: Final = 5
CLOSE_WITHIN_SEC: Final = 4.5
"""Windows ends a process about 5 s after its console window was closed."""

MESSAGE_CHARS: Final = 2000
"""Of one log line; a summary of 500 instruments has about 1500."""

_TRACEBACK_LINES: Final = 200
_LEAST_WIDTH: Final = 20
_READ_BYTES: Final = 4096
_FIELD_GAP: Final = "  "
_FORMAT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s"
_LIBRARIES: Final = ("websockets", "asyncio", "filelock")
_CTRL_CLOSE_EVENTS: Final = frozenset({2, 5, 6})  # CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT


class OneLine(logging.Formatter):
    """The one place where what goes into a log or onto a terminal is escaped: whatever foreign text a message holds,
    it is one line of bounded length. Only a traceback has more, each of them indented, so that none looks like a line
    of the log.
    """

    def __init__(self) -> None:
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message, MESSAGE_CHARS)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    lines = text.splitlines()
    if len(lines) > _TRACEBACK_LINES:
        lines = [*lines[: _TRACEBACK_LINES // 2], "...", *lines[-_TRACEBACK_LINES // 2 :]]
    return "\n".join(f"    {printable(line, MESSAGE_CHARS)}" for line in lines)


class StatusConsole(logging.Handler):
    """Log lines on a stream and, if it is a terminal, a status line that stays below them.

    Nothing of either without a stream: `pythonw` on Windows has no stderr.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._is_terminal = stream is not None and stream.isatty()
        self._status = ""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(self._erase() + self.format(record) + "\n" + self._status)
        except (OSError, ValueError):
            self.handleError(record)

    def show(self, status: str | Callable[[int], str]) -> None:
        """Replace the status line, given as text or as a function of the columns there are; nothing where output goes
        to a file or a pipe.

        Of a text that is too long whole fields drop, the last ones first: a number is never cut.
        """
        if not self._is_terminal:
            return
        width = max(_LEAST_WIDTH, shutil.get_terminal_size().columns - 1)
        text = status if isinstance(status, str) else status(width)
        with self._alone():
            erase, self._status = self._erase(), _fitting(text, width)
            self._write(erase + self._status)

    def close(self) -> None:
        with self._alone():
            if self._status:
                self._status = ""
                self._write("\n")
        super().close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Other threads log too, and a terminal that has gone away must not end the recorder."""
        self.acquire()
        try:
            with suppress(OSError, ValueError):
                yield
        finally:
            self.release()

    def _erase(self) -> str:
        # Blanks, not an escape sequence: old Windows consoles print those.
        return "\r" + " " * len(self._status) + "\r" if self._status else ""

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()


def _fitting(text: str, width: int) -> str:
    """As many of the fields, which two blanks part, as there is room for; of a single one what fits."""
    shown = printable(text, MESSAGE_CHARS)
    fields = shown.split(_FIELD_GAP)
    while len(fields) > 1 and len(_FIELD_GAP.join(fields)) > width:
        fields.pop()
    return _FIELD_GAP.join(fields).rstrip()[:width]


class LogFile(RotatingFileHandler):
    """The rotating log. A full disk is told once on the console, not by a traceback for every line it refuses."""

    def __init__(self, path: Path, console: StatusConsole) -> None:
        super().__init__(path, maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES, encoding="utf-8")
        self._console = console
        self._is_told = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        is_closed = getattr(self.stream, "closed", True)  # it may be None, too, after a rotation that was refused
        if not isinstance(error, OSError) and not is_closed:
            super().handleError(record)  # a fault of ours in the line itself
            return
        if is_closed:
            with suppress(OSError):
                self.stream = self._open()
        if not self._is_told:
            self._is_told = True
            words = "Cannot write the log %s: %s. What it misses is on the console"
            told = logging.LogRecord(__name__, logging.ERROR, "", 0, words, (self.baseFilename, error), None)
            self._console.handle(told)


def set_up_logging(log_file: Path | None, verbose: bool) -> StatusConsole:
    """Log to the console and, rotating, to `log_file`; raises UsageError where that cannot be written."""
    formatter = OneLine()
    console = StatusConsole(sys.stderr)
    handlers: list[logging.Handler] = [console]
    if log_file is not None:
        try:
            log_file.parent.mkdir(parents=True, exist_ok=True)
            handlers.append(LogFile(log_file, console))
        except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
            shown = printable(log_file)
            raise UsageError(f"cannot write the log {shown}: {printable(error)}.", "another --log-file") from error
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=handlers, force=True)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    return console


def stop_on_signals(stop: asyncio.Event, finished: threading.Event) -> None:
    """Set `stop` on Ctrl-C, SIGTERM, or a console that closes; `finished` tells when the files are closed.

    A second Ctrl-C is the ordinary one again, so an end that hangs can still be interrupted.
    """
    loop = asyncio.get_running_loop()

    def ask() -> None:
        with suppress(RuntimeError):  # the loop has ended already, and so has what was to be stopped
            loop.call_soon_threadsafe(stop.set)

    def hear(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        ask()

    # SIGHUP is a terminal that closes, ignored under nohup; SIGBREAK is Ctrl-Break, on Windows alone.
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            signal.signal(number, hear)
    if sys.platform == "win32":
        import ctypes

        _hear_console_events(ctypes.windll.kernel32, ask, finished)


def stop_with_stdin(stop: asyncio.Event) -> None:
    """Live exactly as long as the process that holds the other end of our stdin; the terminal is its business."""
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)

    def wait() -> None:
        # Not sys.stdin.read: it would hold a lock that the interpreter needs to end, should we end for another reason.
        while os.read(sys.stdin.fileno(), _READ_BYTES):
            pass
        with suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait, daemon=True).start()


class Asked:
    """Whether the process was asked to stop: for a verb without an event loop.

    A `threading.Event` will not do. Its `set` takes a lock that `wait` of the same thread may hold at the moment a
    signal comes; then the handler waits for the thread that it interrupted, forever. `SimpleQueue.put` may be called
    from anywhere, a handler included.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[None] = SimpleQueue()
        self._is_asked = False

    def ask(self) -> None:
        self._is_asked = True
        self._asked.put(None)

    def wait(self, seconds: float) -> bool:
        """Until then, or until it is asked; whether it was. One thread alone waits."""
        if not self._is_asked:
            with suppress(Empty):
                self._asked.get(timeout=seconds)
        return self._is_asked


def stop_thread_on_signals() -> Asked:
    """The same for a verb without an event loop: Ctrl-C and SIGTERM ask, the second one ends the process."""
    stop = Asked()

    def hear(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.ask()

    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, hear)
    return stop


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

    callback = prototype(ctypes.c_int, ctypes.c_uint)(handle)  # BOOL has four bytes, a C bool one
    _callbacks.append(callback)
    kernel32.SetConsoleCtrlHandler(callback, True)


_callbacks: list[Any] = []
"""Windows keeps only the address of a handler; this keeps the handler itself."""
