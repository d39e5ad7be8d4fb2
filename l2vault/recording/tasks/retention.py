"""Retention while recording: a pass soon after the start, then one every hour, by the recorder's own policy.

The policy is handed on as a value, to the child process too: nothing here reads settings a second time.
"""

import logging
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.okx.foreign import printable
from l2vault.recording.child import start_child
from l2vault.recording.tasks.retention_child import Order, Outcome
from l2vault.recording.tasks.threads import in_daemon_thread
from l2vault.vault.layout import Layout
from l2vault.vault.plan import Policy
from l2vault.vault.retention import Failure, run_retention

FIRST_AFTER_SEC: Final = 60.0
EVERY_SEC: Final = 3600.0
CLOSE_SEC: Final = 1.0
"""From asking the disk to close its files to the pass: Windows deletes and renames no open file."""

_CHILD: Final = "l2vault.recording.tasks.retention_child"
_SAID_CHARS: Final = 2000

_log = logging.getLogger(__name__)

RunPass = Callable[[], Sequence[Failure]]
"""One whole pass, for a thread; returns what failed, raises what kept the pass itself from being made."""


class _Stopping(Exception):
    """Ends a pass between two files."""


class Retention:
    """`run` until cancelled. A pass under way then ends with the file it is at, and so does a child process."""

    def __init__(
        self,
        layout: Layout,
        policy: Policy,
        clock: Clock,
        close_files: Callable[[], None],
        run_pass: RunPass | None = None,
    ) -> None:
        self._layout = layout
        self._policy = policy
        self._clock = clock
        self._close_files = close_files
        self._run_pass = run_pass or self._pass
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_stopping = False

    async def run(self) -> None:
        self._is_stopping = False
        try:
            await self._clock.sleep(FIRST_AFTER_SEC)
            while True:
                # A silent instrument keeps an hour long past open.
                self._close_files()
                await self._clock.sleep(CLOSE_SEC)
                for failure in await in_daemon_thread(self._run_pass):
                    _log.error("Retention failed on %s: %s", failure.file, failure.text)
                await self._clock.sleep(EVERY_SEC)
        finally:
            self._stop()

    def _stop(self) -> None:
        with self._lock:
            self._is_stopping = True
            if self._child is not None:
                self._child.terminate()  # a pass may be killed at any point

    def _pass(self) -> Sequence[Failure]:
        """Archiving takes half a gigabyte and libraries the recorder must never load; a child gives them back."""
        try:
            if self._policy.archive_days is not None:
                return self._pass_in_a_child()
            return run_retention(self._layout, self._policy, self._clock.wall_ms(), self._progress).failures
        except _Stopping:
            _log.info("Retention stops with the recorder")
            return []

    def _pass_in_a_child(self) -> Sequence[Failure]:
        order = Order(str(self._layout.root.resolve()), self._policy, self._clock.wall_ms())
        pipe = subprocess.PIPE
        with self._lock:
            if self._is_stopping:
                raise _Stopping
            child = self._child = start_child([], _CHILD, stdin=pipe, stdout=pipe, stderr=pipe)
        try:
            answer, said = child.communicate(msgspec.json.encode(order))
        finally:
            with self._lock:
                self._child = None
        if self._is_stopping:
            raise _Stopping
        if child.returncode != 0:
            words = printable(said.decode("utf-8", "replace")[-_SAID_CHARS:].strip(), _SAID_CHARS)
            raise VaultError(f"the retention pass failed with code {child.returncode}: {words}.", "see the log")
        outcome = msgspec.json.decode(answer, type=Outcome)
        if outcome.steps:
            _log.info("Retention: %d steps done, %d bytes freed", outcome.steps, outcome.freed_bytes)
        if outcome.shortage:
            _log.warning("Retention: room is still lacking, %s", outcome.shortage)
        return [Failure(*failure) for failure in outcome.failures]

    def _progress(self, done: int, total: int, file: str) -> None:
        if self._is_stopping:
            raise _Stopping
