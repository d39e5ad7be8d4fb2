"""Where a process begins and ends: Ctrl-C at any moment, a stdout that is full, closed or gone.

Whole processes, few and short: what a terminal and a shell do to one cannot be had in this process.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from l2vault import entry
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.instruments import keep_row
from l2vault.vault.store.layout import Layout
from support.hours import HOUR_AT_MS, INST, line, put
from support.signals import as_from_a_terminal

ROOT = Path(__file__).resolve().parents[1]
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and devices as POSIX has them")

INTERRUPTED_IMPORT = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from l2vault import entry
swallowed = []
def run():
    import swallows
    return 0
sys.exit(entry._interruptible(run))
"""
SWALLOWS = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000): pass
except BaseException as error:
    raise ImportError("a library that misreports it") from error
"""

INTERRUPTED_TWICE = """
import os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from l2vault import entry
class Pool(ThreadPoolExecutor):
    def shutdown(self, wait=True, *, cancel_futures=False):
        os.kill(os.getpid(), signal.SIGINT)
        super().shutdown(wait, cancel_futures=cancel_futures)
def run():
    with Pool(1) as pool:
        pool.submit(threading.Event().wait)  # as for a disk that hangs
        os.kill(os.getpid(), signal.SIGINT)
    return 0
sys.exit(entry._interruptible(run))
"""

INTERRUPTED_IN_VAIN = """
import signal, sys
from l2vault import entry
class Dropped:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
        for _ in range(10): pass
def run():
    Dropped()
    while True: pass
sys.exit(entry._interruptible(run))
"""


def run(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("L2VAULT_")}
    command = [sys.executable, "-m", "l2vault", *words]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        command,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=False,
        **options,
    )


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    put(Layout(tmp_path / "Vault"), [line(slot * 2_000) for slot in range(5)])
    return tmp_path / "Vault"


def assert_interrupted(program: str, *words: str) -> None:
    """It ends as interrupted, in one line."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=as_from_a_terminal(),
    )
    assert (done.returncode, done.stderr) == (130, "l2vault: interrupted\n")


@on_posix
def test_a_ctrl_c_inside_an_import_waits_for_its_end_and_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "swallows.py").write_text(SWALLOWS)
    assert_interrupted(INTERRUPTED_IMPORT, str(tmp_path))


@on_posix
@pytest.mark.parametrize("program", [INTERRUPTED_TWICE, INTERRUPTED_IN_VAIN], ids=["twice", "in vain"])
def test_a_second_ctrl_c_ends_what_hangs_and_one_where_nothing_can_be_raised_comes_again(program: str) -> None:
    assert_interrupted(program)


@on_posix
def test_a_ctrl_c_that_a_library_loses_still_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose() -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except BaseException:  # noqa: BLE001 - the mistake under test
            return 0
        return 1

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert entry._interruptible(lose) == 130
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL, "another one ends the process without a word"
    finally:
        signal.signal(signal.SIGINT, before)


@on_posix
def test_where_a_shell_left_ctrl_c_ignored_it_stays_so() -> None:
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert entry._interruptible(lambda: signal.raise_signal(signal.SIGINT) or 0) == 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupted_verb_is_one_line_and_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert entry._interruptible(interrupted) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "l2vault: interrupted\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
@pytest.mark.parametrize("words", [["ls"], ["show", INST], ["--help"]])
def test_a_full_stdout_is_one_line_and_code_1(vault: Path, words: list[str]) -> None:
    arguments = words if words == ["--help"] else [*words, "--vault", str(vault)]
    with open("/dev/full", "w") as full:
        done = run(*arguments, stdout=full)
    said = "l2vault: stdout takes no more: No space left on device. The output is not complete.\n"
    assert (done.returncode, done.stderr) == (1, said)


@on_posix
def test_a_closed_stdout_is_one_line_and_code_1(vault: Path) -> None:
    done = run("ls", "--vault", str(vault), preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (
        1,
        "l2vault: stdout takes no more: it is closed. The output is not complete.\n",
    )


@on_posix
def test_a_reader_that_has_left_is_no_failure(vault: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run("ls", "--vault", str(vault), stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


WITHOUT_PANDAS = """
import sys
from l2vault.entry import main
assert main() == 0
import numpy, pyarrow
assert pyarrow.array(numpy.arange(3)).to_numpy().sum() == 3, "at such a value pyarrow loads pandas"
print("pandas" in sys.modules, file=sys.stderr)
"""


def test_a_verb_loads_no_pandas(vault: Path) -> None:
    """Where it is installed, that is 0.3 s for a package which only `to_pandas` needs."""
    pytest.importorskip("pandas")
    keep_row(Layout(vault), INST, msgspec.json.encode(instrument_row(INST)), HOUR_AT_MS)
    words = [sys.executable, "-c", WITHOUT_PANDAS, "walls", INST, "--vault", str(vault)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "False", done.stderr


ENDS_AT_ONCE = """
import atexit, sys
from l2vault import __main__, entry
class Kept:
    def __del__(self):
        print("taken apart")
kept = Kept()
sys.argv = ["l2vault", *sys.argv[1:]]
run = entry.main
def begin():
    atexit.register(print, "registered to be done at the exit")
    return run()
entry.main = begin
sys.exit(__main__.main())
"""


@pytest.mark.parametrize(
    ("words", "code", "out"), [(("--version",), 0, "l2vault "), (("nonsense",), 2, ""), (("ls", "--vault", "x"), 1, "")]
)
def test_a_process_ends_with_its_code_after_what_is_registered_and_before_python_takes_all_apart(
    words: tuple[str, ...], code: int, out: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", ENDS_AT_ONCE, *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(out)
    assert done.stdout.endswith("registered to be done at the exit\n")


def test_what_stdout_does_not_take_at_the_very_end_is_still_said_by_python() -> None:
    full = 'type("Full", (), {"closed": False, "flush": lambda own: open("/no/such/file")})()'
    program = ENDS_AT_ONCE.replace('print, "registered to be done at the exit"', f'setattr, sys, "stdout", {full}')
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 120
    assert "/no/such/file" in done.stderr
