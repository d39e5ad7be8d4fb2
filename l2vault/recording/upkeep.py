"""Retention while recording: an hourly pass in a worker thread, apart from the one that writes lines."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from l2vault.clock import Clock
from l2vault.errors import L2VaultError
from l2vault.vault.layout import Layout
from l2vault.vault.plan import Policy
from l2vault.vault.retention import run_retention

FIRST_AFTER_SEC: Final = 60.0
EVERY_SEC: Final = 3600.0

_log = logging.getLogger(__name__)


class _Stopping(Exception):
    """Ends a pass between two files."""


class Upkeep:
    """`run` until cancelled; a pass under way then ends with the file it is at."""

    def __init__(self, layout: Layout, policy: Policy, clock: Clock, close_files: Callable[[], None]) -> None:
        self._layout = layout
        self._policy = policy
        self._clock = clock
        self._close_files = close_files
        self._is_stopping = False

    async def run(self) -> None:
        try:
            await self._clock.sleep(FIRST_AFTER_SEC)
            while True:
                # A silent instrument keeps an hour long past open, which Windows could not delete.
                self._close_files()
                await asyncio.to_thread(self._pass)
                await self._clock.sleep(EVERY_SEC)
        finally:
            self._is_stopping = True

    def _pass(self) -> None:
        try:
            report = run_retention(self._layout, self._policy, self._clock.wall_ms(), self._progress)
        except _Stopping:
            _log.info("Retention stops with the recorder")
            return
        except (L2VaultError, OSError) as error:
            _log.error("Retention failed: %s", error)
            return
        for failure in report.failures:
            _log.error("Retention failed on %s: %s", failure.file, failure.text)

    def _progress(self, done: int, total: int, file: str) -> None:
        if self._is_stopping:
            raise _Stopping
