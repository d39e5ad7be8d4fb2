"""The console of a long-running verb: a status line that never mixes with the log, rotation, and what stops it."""

import gc
import io
import logging
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.errors import UsageError
from l2vault.verbs import console as console_module
from l2vault.verbs.console import LOG_FILE_BYTES, LOG_FILES, StatusConsole, _hear_console_events, set_up_logging
from support.signals import as_from_a_terminal

CTRL_C, CTRL_BREAK, CLOSE, LOGOFF, SHUTDOWN = 0, 1, 2, 5, 6
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")


class Terminal(io.StringIO):
    """Keeps what it is sent, and can show what a person would see of it."""

    def isatty(self) -> bool:
        return True

    @property
    def screen(self) -> list[str]:
        rows: list[list[str]] = [[]]
        column = 0
        for char in self.getvalue():
            if char == "\r":
                column = 0
            elif char == "\n":
                rows.append([])
                column = 0
            else:
                rows[-1][column : column + 1] = char
                column += 1
        return ["".join(row).rstrip() for row in rows]


def logged(console: StatusConsole, text: str) -> None:
    console.handle(logging.LogRecord("l2vault", logging.INFO, "", 0, text, None, None))


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_status_stays_below_the_log() -> None:
    terminal = Terminal()
    console = StatusConsole(terminal)
    logged(console, "first")
    console.show("status 1, the longer one")
    logged(console, "second")
    assert terminal.screen == ["first", "second", "status 1, the longer one"]
    console.show("status 2")
    assert terminal.screen == ["first", "second", "status 2"]
    console.close()
    assert terminal.screen == ["first", "second", "status 2", ""]
    logged(console, "after the end")
    assert terminal.screen == ["first", "second", "status 2", "after the end", ""]


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)


@given(st.lists(st.tuples(st.booleans(), TEXT)))
def test_whatever_is_shown_and_logged_no_log_line_is_lost_or_mixed(steps: list[tuple[bool, str]]) -> None:
    terminal = Terminal()
    console = StatusConsole(terminal)
    lines, status = [], ""
    for is_status, text in steps:
        if is_status:
            console.show(text)
            status = text
        else:
            logged(console, text)
            lines.append(text)
    assert terminal.screen == [*lines, status]


def test_threads_that_log_at_once_do_not_mix_with_the_status() -> None:
    """The disk's worker logs while the event loop shows the status."""

    class Slow(Terminal):
        def write(self, text: str) -> int:
            return sum(super(Slow, self).write(char) for char in text)

    terminal = Slow()
    console = StatusConsole(terminal)
    began = threading.Barrier(3)

    def log(name: str) -> None:
        began.wait(10)
        for nth in range(100):
            logged(console, f"{name} {nth} " + "x" * 40)

    threads = [threading.Thread(target=log, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    began.wait(10)
    while any(thread.is_alive() for thread in threads):
        console.show("status " + "y" * 30)
    console.show("the end")
    for thread in threads:
        thread.join(10)
    lines = terminal.screen
    assert lines[-1] == "the end"
    for name in ("a", "b"):
        wanted = [f"{name} {nth} " + "x" * 40 for nth in range(100)]
        assert [line for line in lines[:-1] if line.startswith(name)] == wanted


def test_where_there_is_no_terminal_nothing_of_the_status_is_written() -> None:
    stream = io.StringIO()
    console = StatusConsole(stream)
    console.show("status")
    logged(console, "first")
    console.show("status")
    console.close()
    assert stream.getvalue() == "first\n"


@pytest.mark.parametrize("columns", [40, 80])
def test_a_long_status_is_cut_so_that_the_terminal_does_not_wrap_it(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    StatusConsole(terminal).show("0123456789" * 30)
    assert terminal.screen == [("0123456789" * 30)[: columns - 1]]


def test_a_status_that_is_too_long_loses_whole_fields_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    terminal = Terminal()
    console = StatusConsole(terminal)
    console.show("12:00:00Z  in sync 2/2  gaps 0  BTC-USDT-SWAP 64213.8 / 64213.9  ETH-USDT-SWAP 3000.1 / 3000.2")
    assert terminal.screen == ["12:00:00Z  in sync 2/2  gaps 0"]
    console.show(lambda width: "x" * (width - 10))
    assert terminal.screen == ["x" * 49]


def test_a_status_with_foreign_text_moves_no_cursor() -> None:
    terminal = Terminal()
    StatusConsole(terminal).show("reading evil\x1b[2J\rname")
    assert terminal.screen == [r"reading evil\x1b[2J\rname"]


def test_a_terminal_that_has_gone_away_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    console = StatusConsole(Gone())
    console.show("status")
    logged(console, "first")
    console.show("status")
    console.close()


def test_without_any_stderr_it_is_silent() -> None:
    """As under `pythonw` on Windows."""
    console = StatusConsole(None)
    logged(console, "first")
    console.show("status")
    console.close()


@pytest.mark.usefixtures("_restored_logging")
def test_the_log_has_utc_times_and_goes_to_the_file_and_the_console(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "l2_exporter.log"
    console = set_up_logging(file, verbose=False)
    assert console in logging.getLogger().handlers
    log = logging.getLogger("l2vault.test")
    log.info("GAP DETECTED: price in €")
    log.debug("not this")
    (text,) = file.read_text(encoding="utf-8").splitlines()
    at, level, words = text.split(maxsplit=2)
    assert (level, words) == ("INFO", "GAP DETECTED: price in €")
    assert abs(datetime.now(UTC) - datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%f%z")) < timedelta(minutes=1)
    assert at.endswith("Z")


FORGED = "ok\n2026-11-25T16:00:00.000Z ERROR   GAP DETECTED: FAKE\x1b[2J\x1b]0;pwned\x07\r\u202e\u2028"


@pytest.mark.usefixtures("_restored_logging")
def test_foreign_text_forges_no_line_of_the_log_and_no_escape_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "l2_exporter.log"
    set_up_logging(file, verbose=False)
    log = logging.getLogger("l2vault.test")
    log.warning("OKX says %s", FORGED)
    log.warning("Far too long: %s", "x" * 2_000_000)
    text = file.read_text(encoding="utf-8")
    assert text == capsys.readouterr().err
    first, second = text.splitlines()
    assert first.endswith(
        r"WARNING OKX says ok\n2026-11-25T16:00:00.000Z ERROR   GAP DETECTED: FAKE\x1b[2J\x1b]0;pwned\x07\r\u202e\u2028"
    )
    assert len(second) < console_module.MESSAGE_CHARS + 40


@pytest.mark.usefixtures("_restored_logging")
def test_a_traceback_with_foreign_text_forges_no_line_either(tmp_path: Path) -> None:
    file = tmp_path / "l2_exporter.log"
    set_up_logging(file, verbose=False)
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("l2vault.test").exception("It ended")
    first, *traceback = file.read_text(encoding="utf-8").splitlines()
    assert first.endswith("ERROR   It ended")
    assert len(traceback) > 3 and all(line.startswith("    ") and "\x1b" not in line for line in traceback)


@pytest.mark.usefixtures("_restored_logging")
def test_verbose_logs_every_line_written_and_still_nothing_of_the_libraries(tmp_path: Path) -> None:
    file = tmp_path / "l2_exporter.log"
    set_up_logging(file, verbose=True)
    logging.getLogger("l2vault.recording.disk").debug("Snapshot written: one")
    logging.getLogger("websockets.client").debug("> TEXT")
    logging.getLogger("asyncio").info("Using selector")
    logging.getLogger("filelock").debug("Lock 140 acquired")
    assert [line.split("DEBUG   ")[1] for line in file.read_text().splitlines()] == ["Snapshot written: one"]


@pytest.mark.usefixtures("_restored_logging")
def test_the_log_file_is_bounded_by_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "l2_exporter.log"
    set_up_logging(file, verbose=False)
    (handler,) = [one for one in logging.getLogger().handlers if isinstance(one, RotatingFileHandler)]
    assert (handler.maxBytes, handler.backupCount) == (LOG_FILE_BYTES, LOG_FILES)
    handler.close()
    monkeypatch.setattr(console_module, "LOG_FILE_BYTES", 1000)
    monkeypatch.setattr(console_module, "LOG_FILES", 2)
    set_up_logging(file, verbose=False)
    for nth in range(100):
        logging.getLogger("l2vault.test").warning("line %03d", nth)
    files = [tmp_path / f"l2_exporter.log{end}" for end in (".2", ".1", "")]
    assert set(tmp_path.iterdir()) == set(files)
    kept = [line[-3:] for path in files for line in path.read_text().splitlines()]
    assert kept == [f"{nth:03d}" for nth in range(100 - len(kept), 100)], "the newest, without a hole"
    assert all(path.stat().st_size <= 1000 for path in files)


@pytest.mark.usefixtures("_restored_logging")
def test_a_disk_that_refuses_the_log_is_told_once_on_the_console_and_the_file_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "l2_exporter.log"
    set_up_logging(file, verbose=False)
    (handler,) = [one for one in logging.getLogger().handlers if isinstance(one, RotatingFileHandler)]
    log = logging.getLogger("l2vault.test")

    def full() -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(handler, "flush", full)
        for nth in range(3):
            log.info("line %d", nth)
    log.info("line 3")
    handler.stream.close()  # as a rotation leaves it that the disk refuses half-way
    log.info("line 4")
    log.info("line 5")
    said = [line.split(maxsplit=1)[1] for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "INFO    line 0",
        f"ERROR   Cannot write the log {file}: [Errno 28] No space left on device. What it misses is on the console",
        *(f"INFO    line {nth}" for nth in range(1, 6)),
    ]
    assert file.read_text().splitlines()[-1].endswith("line 5")


@pytest.mark.parametrize("name", ["a folder", "a file/l2_exporter.log"])
def test_a_log_that_cannot_be_written_is_a_usage_error_with_a_cure(tmp_path: Path, name: str) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a file").write_text("mine")
    with pytest.raises(UsageError, match=r"cannot write the log .*Try: another --log-file"):
        set_up_logging(tmp_path / name, verbose=False)
    assert (tmp_path / "a file").read_text() == "mine"


INTERRUPTED_ANYWHERE = """
import signal, sys
from l2vault.verbs.console import stop_thread_on_signals

def interrupt_at(nth):
    # As a signal may come: between any two steps of the thread that waits, the standard library's own included.
    steps = 0
    def step(frame, event, argument):
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += 1
        if steps == nth:
            sys.settrace(None)
            signal.raise_signal(signal.SIGTERM)
        return step
    return step

for nth in range(1, 400):
    stop = stop_thread_on_signals()
    sys.settrace(interrupt_at(nth))
    was_asked = stop.wait(0.001)
    sys.settrace(None)
    if signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        break  # so many steps it has not
    assert was_asked or stop.wait(0), nth
print(nth)
"""


def test_a_signal_at_any_step_of_waiting_is_heard_and_hangs_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_ANYWHERE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert 10 < int(done.stdout) < 399


PROGRAM = """
import asyncio, os, signal, sys, threading
from l2vault.verbs.console import stop_on_signals

async def main():
    stop, finished = asyncio.Event(), threading.Event()
    stop_on_signals(stop, finished)
    loop = asyncio.get_running_loop()
    for name in sys.argv[2:]:
        loop.call_soon(os.kill, os.getpid(), getattr(signal, name))
    if sys.argv[1] == "lives":
        for _ in range(10):
            await asyncio.sleep(0)
        print("stopping" if stop.is_set() else "goes on")
        return
    await asyncio.wait_for(stop.wait(), 10)
    print("stopping", flush=True)
    if sys.argv[1] == "hangs":
        loop.call_soon(os.kill, os.getpid(), getattr(signal, sys.argv[2]))
        await asyncio.sleep(10)
        print("nothing interrupted it")

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
if sys.argv[1] == "late":
    os.kill(os.getpid(), signal.SIGINT)
    print("ended in peace")
"""


def run_program(how: str, *signals: str, ignoring: str = "") -> subprocess.CompletedProcess[str]:
    """Started as from a terminal, whatever this process ignores (as under nohup), but for `ignoring`."""

    command = [sys.executable, "-c", PROGRAM, how, *signals]
    inherit = as_from_a_terminal(ignoring)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, preexec_fn=inherit)


@on_posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_asks_to_stop(name: str) -> None:
    done = run_program("stops", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopping\n", "")


@on_posix
def test_an_end_that_hangs_can_be_interrupted_by_a_second_ctrl_c() -> None:
    done = run_program("hangs", "SIGINT")
    assert (done.returncode, done.stdout) == (0, "stopping\ninterrupted\n")


@on_posix
def test_a_second_sigterm_ends_an_end_that_hangs() -> None:
    done = run_program("hangs", "SIGTERM")
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "stopping\n")


@on_posix
def test_ctrl_c_and_sigterm_at_once_as_a_launcher_sends_them_are_one_clean_stop() -> None:
    done = run_program("stops", "SIGINT", "SIGTERM")
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopping\n", "")


@on_posix
def test_a_signal_that_comes_after_the_end_does_no_harm() -> None:
    done = run_program("late", "SIGTERM")
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopping\nended in peace\n", "")


@on_posix
def test_under_nohup_a_terminal_that_closes_stops_nothing() -> None:
    assert run_program("lives", "SIGHUP").stdout == "stopping\n"
    assert run_program("lives", "SIGHUP", ignoring="SIGHUP").stdout == "goes on\n"


@on_posix
def test_ctrl_c_is_heard_even_where_the_launcher_left_it_ignored() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and `start_l2.sh` does that."""
    assert run_program("stops", "SIGINT", ignoring="SIGINT").stdout == "stopping\n"


class Kernel32:
    """What Windows does with a handler: keeps its address and calls it, with a number, in a thread of its own."""

    def __init__(self) -> None:
        self.handler: Any = None

    def SetConsoleCtrlHandler(self, handler: object, add: bool) -> int:
        assert add is True
        self.handler = handler
        return 1

    def event(self, number: int) -> int:
        return int(self.handler(number))


def heard(finished: threading.Event) -> tuple[Kernel32, threading.Event]:
    kernel32, asked = Kernel32(), threading.Event()
    _hear_console_events(kernel32, asked.set, finished)
    return kernel32, asked


@pytest.mark.parametrize("number", [CLOSE, LOGOFF, SHUTDOWN])
def test_a_windows_console_that_closes_is_held_until_the_files_are_closed(number: int) -> None:
    finished, answers = threading.Event(), []
    kernel32, asked = heard(finished)
    thread = threading.Thread(target=lambda: answers.append(kernel32.event(number)))
    thread.start()
    assert asked.wait(10)
    assert not answers, "Windows would end the process at once"
    finished.set()
    thread.join(10)
    assert answers == [1]


def test_windows_is_not_kept_waiting_for_files_that_never_close(monkeypatch: pytest.MonkeyPatch) -> None:
    assert console_module.CLOSE_WITHIN_SEC < 5, "Windows ends the process after that anyway"
    monkeypatch.setattr(console_module, "CLOSE_WITHIN_SEC", 0.01)
    kernel32, asked = heard(threading.Event())
    assert kernel32.event(CLOSE) == 1
    assert asked.is_set()


@pytest.mark.parametrize("number", [CTRL_C, CTRL_BREAK])
def test_ctrl_c_and_ctrl_break_are_left_to_python_s_signals(number: int) -> None:
    kernel32, asked = heard(threading.Event())
    assert kernel32.event(number) == 0
    assert not asked.is_set()


def test_the_handler_outlives_the_call_that_set_it() -> None:
    """Windows keeps no reference to it."""
    kernel32, _ = heard(threading.Event())
    handler = weakref.ref(kernel32.handler)
    del kernel32
    gc.collect()
    assert handler() is not None
