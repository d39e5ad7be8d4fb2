"""Processes that work for a verb: what becomes of them when it is interrupted or killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.signals import as_from_a_terminal

ROOT = Path(__file__).resolve().parents[1]
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither process groups nor SIGKILL")

OWNER = """
import os, signal, sys
from l2vault.analytics.executors import spawned
from l2vault.entry import _interruptible

def done(before, path):
    before()
    with open(path, "w") as file:
        file.write("whole")
    return 0

def nothing():
    pass

def ctrl_c():
    os.killpg(0, signal.SIGINT)

def work():
    with spawned(1) as pool:
        if sys.argv[1] == "starting":
            pool.submit(done, nothing, sys.argv[2])
            ctrl_c()
        elif sys.argv[1] == "at work":
            pool.submit(done, ctrl_c, sys.argv[2]).result()
        elif sys.argv[1] == "idle":
            pool.submit(done, nothing, sys.argv[2]).result()
            ctrl_c()
        else:
            pool.submit(done, nothing, sys.argv[2]).result()
            print("at work", flush=True)
            sys.stdin.read()
    return 0

if __name__ == "__main__":
    sys.exit(_interruptible(work))
"""


@contextmanager
def owner(folder: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """In a process group of its own, as a shell starts a command. Its workers share its stdout and stderr."""
    program = folder / "owner.py"
    program.write_text(OWNER)
    begun = subprocess.Popen(
        [sys.executable, str(program), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
        preexec_fn=as_from_a_terminal(),
    )
    try:
        yield begun
    finally:
        with suppress(ProcessLookupError):
            os.killpg(begun.pid, signal.SIGKILL)
        begun.communicate(timeout=60)


@on_posix
@pytest.mark.parametrize("when", ["starting", "at work", "idle"])
def test_ctrl_c_lets_a_worker_end_what_it_is_at_and_says_one_line(when: str, tmp_path: Path) -> None:
    written = tmp_path / "written"
    with owner(tmp_path, when, str(written)) as begun:
        said = begun.communicate(timeout=60)
        assert (begun.returncode, *said) == (130, "", "l2vault: interrupted\n")
    if when != "starting":  # then it may not have begun with anything
        assert written.read_text() == "whole"


@on_posix
def test_no_worker_outlives_an_owner_that_is_killed(tmp_path: Path) -> None:
    with owner(tmp_path, "killed", str(tmp_path / "written")) as begun:
        assert begun.stdout is not None and begun.stdout.readline() == "at work\n"
        begun.kill()
        begun.communicate(timeout=60)  # the end of stdout: the last process that has it open is gone
