"""How l2vault starts itself again as a child process: the same interpreter, the same package, wherever it lies."""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from os import pathsep
from pathlib import Path
from typing import Any, Final, NamedTuple

from l2vault.config import environment
from l2vault.foreign import printable

_ASKED: Final = frozenset({-signal.SIGINT, -signal.SIGTERM, 0xC000013A})
"""How a process ends that is asked to by a signal; the last one is Windows' for Ctrl-C."""


def start_child(words: Sequence[str], module: str = "l2vault", **popen: Any) -> "subprocess.Popen[bytes]":
    """`l2vault WORDS...`, or another module of the package, as a child; `popen` goes to `subprocess.Popen`."""
    package_parent = str(Path(__file__).resolve().parents[2])
    paths = [package_parent, *filter(None, [environment().get("PYTHONPATH")])]
    command = [sys.executable, "-m", module, *words]
    return subprocess.Popen(command, env={**environment(), "PYTHONPATH": pathsep.join(paths)}, **popen)


def end_with_stdin(child: "subprocess.Popen[bytes]", within_sec: float) -> None:
    """Close the stdin that a child follows, and wait for its end; one that does not end in time is killed, so that it
    keeps nobody from ending."""
    try:
        child.communicate(timeout=within_sec)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()


class Ended(NamedTuple):
    """How a child ended: its exit code, and what it wrote to stdout and stderr."""

    code: int
    answer: bytes
    said: bytes

    def lines(self, most_chars: int) -> list[str]:
        """What it wrote to stderr, fit to be printed, each line of at most so many characters."""
        return [printable(text, most_chars) for text in self.said.decode("utf-8", "replace").strip().splitlines()]


class OwnChild:
    """The one child of a task at a time: `run` it in a thread; `stop`, from any other, ends it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self.is_stopping = False

    def begin(self) -> None:
        """Children may be run, also after a `stop`."""
        self.is_stopping = False

    def stop(self) -> None:
        """From now on none is started."""
        with self._lock:
            self.is_stopping = True
            if self._child is not None:
                self._child.terminate()

    def run(self, module: str, words: Sequence[str] = (), given: bytes = b"") -> Ended | None:
        """Start a module of the package, hand it `given` on stdin, wait for it; None if it was stopped, from outside
        too: Ctrl-C in a terminal and a service manager's SIGTERM reach every process, this one perhaps later."""
        pipe = subprocess.PIPE
        with self._lock:
            if self.is_stopping:
                return None
            child = self._child = start_child(words, module, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            answer, said = child.communicate(given)
        finally:
            with self._lock:
                self._child = None
        return None if self.is_stopping or child.returncode in _ASKED else Ended(child.returncode, answer, said)
