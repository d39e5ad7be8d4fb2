"""Retention while recording: a pass soon after the start, then one every hour, by the recorder's own policy.

The policy is handed on as a value, to the child process too: nothing here reads settings a second time.
"""

import logging
import subprocess
import threading
from collections.abc import Callable
from typing import Final

import msgspec

from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.recording.child import start_child
from l2vault.recording.tasks.retention_child import Order, Outcome, carry_out
from l2vault.recording.threads import in_daemon_thread
from l2vault.vault.retention.plan import Policy
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.retention.run import Options
from l2vault.vault.store.layout import Layout

FIRST_AFTER_SEC: Final = 60.0
EVERY_SEC: Final = 3600.0
CLOSE_SEC: Final = 1.0
"""From asking the disk to close its files to the pass: Windows deletes and renames no open file."""

_CHILD: Final = "l2vault.recording.tasks.retention_child"
_SAID_CHARS: Final = 400
_SAID_LINES: Final = 200

_log = logging.getLogger(__name__)

RunPass = Callable[[], Outcome]
"""One whole pass, for a thread; raises what kept it from being made."""


class _Stopping(Exception):
    """Ends a pass between two files."""


class Retention:
    """`run` until cancelled. A pass under way then ends with the file it is at, a child process at once.

    `pass_time` says from what time ages count; it is asked in the pass's own thread.
    """

    def __init__(
        self,
        layout: Layout,
        policy: Policy,
        clock: Clock,
        pass_time: Callable[[], PassTime],
        close_files: Callable[[], None],
        run_pass: RunPass | None = None,
    ) -> None:
        self._layout = layout
        self._policy = policy
        self._clock = clock
        self._pass_time = pass_time
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
                outcome = await in_daemon_thread(self._run_pass)
                for failure in outcome.failures:
                    _log.error("Retention failed on %s: %s", failure.file, failure.text)
                await self._clock.sleep(min(EVERY_SEC, outcome.again_sec or EVERY_SEC))
        finally:
            self._stop()

    def _stop(self) -> None:
        with self._lock:
            self._is_stopping = True
            if self._child is not None:
                self._child.terminate()  # a pass may be killed at any point

    def _pass(self) -> Outcome:
        """Archiving takes half a gigabyte and libraries the recorder must never load; a child gives them back."""
        try:
            if self._policy.archive_days is not None:
                return self._pass_in_a_child()
            options = Options(progress=self._progress)
            return carry_out(self._layout, self._policy, self._pass_time(), self._clock, options)
        except _Stopping:
            _log.info("Retention stops with the recorder")
            return Outcome()

    def _pass_in_a_child(self) -> Outcome:
        time = self._pass_time()
        vault = str(self._layout.root.resolve())
        order = Order(vault, self._policy, time.wall_ms, time.exchange_ms, time.trust_clock)
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
        lines = [printable(text, _SAID_CHARS) for text in said.decode("utf-8", "replace").splitlines()]
        if child.returncode != 0:
            why = lines[-1].removeprefix("ERROR ") if lines else "it said nothing"
            raise VaultError(f"the retention pass failed with code {child.returncode}: {why}")
        for text in lines[:_SAID_LINES]:
            _log.log(logging.INFO if text.startswith("INFO") else logging.WARNING, "%s", text)
        return msgspec.json.decode(answer, type=Outcome)

    def _progress(self, done: int, total: int, file: str) -> None:
        if self._is_stopping:
            raise _Stopping
