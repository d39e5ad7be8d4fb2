"""Retention while recording: a pass soon after the start, then one every hour, by the recorder's own policy.

The policy is handed on as a value, to the child process too: nothing here reads settings a second time.
"""

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.recording.child import OwnChild
from l2vault.recording.tasks.retention_child import Order, Outcome, carry_out
from l2vault.recording.threads import in_daemon_thread
from l2vault.vault.retention.plan import Policy
from l2vault.vault.retention.proved_time import PassTime
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
        self._child = OwnChild()

    async def run(self) -> None:
        self._child.begin()
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
            self._child.stop()  # a pass may be killed at any point

    def _pass(self) -> Outcome:
        """Archiving takes half a gigabyte and libraries the recorder must never load; a child gives them back."""
        try:
            if self._policy.archive_days is not None:
                return self._pass_in_a_child()
            return carry_out(self._layout, self._policy, self._pass_time(), self._clock, self._progress)
        except _Stopping:
            _log.info("Retention stops with the recorder")
            return Outcome()

    def _pass_in_a_child(self) -> Outcome:
        time = self._pass_time()
        vault = str(self._layout.root.resolve())
        order = Order(vault, self._policy, time.wall_ms, time.exchange_ms, time.trust_clock)
        ended = self._child.run(_CHILD, given=msgspec.json.encode(order))
        if ended is None:
            raise _Stopping
        lines = ended.lines(_SAID_CHARS)
        if ended.code != 0:
            why = lines[-1].removeprefix("ERROR ") if lines else "it said nothing"
            raise VaultError(f"the retention pass failed with code {ended.code}: {why}")
        for text in lines[:_SAID_LINES]:
            _log.log(logging.INFO if text.startswith("INFO") else logging.WARNING, "%s", text)
        return msgspec.json.decode(ended.answer, type=Outcome)

    def _progress(self, done: int, total: int, file: str) -> None:
        if self._child.is_stopping:
            raise _Stopping
