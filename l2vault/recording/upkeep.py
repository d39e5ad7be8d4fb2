"""Retention while recording: an hourly pass in a worker thread, apart from the one that writes lines."""

import asyncio
import logging
import subprocess
from collections.abc import Callable
from typing import Final

from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.errors import L2VaultError
from l2vault.recording.child import start_child
from l2vault.vault.journal.log import verb_journal
from l2vault.vault.layout import Layout
from l2vault.vault.retention.plan import GB, Policy
from l2vault.vault.retention.proved_time import PassTime
from l2vault.vault.retention.run import Options, run_retention

FIRST_AFTER_SEC: Final = 60.0
EVERY_SEC: Final = 3600.0
CHILD_LOOK_SEC: Final = 0.5

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
            if self._policy.archive_days is None:
                self._pass_here()
            else:
                self._pass_in_a_child()
        except _Stopping:
            _log.info("Retention stops with the recorder")
        except (L2VaultError, OSError) as error:
            _log.error("Retention failed: %s", error)

    def _pass_here(self) -> None:
        time = PassTime(self._clock.wall_ms())
        journal = verb_journal(
            self._layout, "retention", lambda: utc_text(self._clock.wall_ms()), self._clock.monotonic_ms
        )
        report = run_retention(self._layout, self._policy, time, journal, Options(progress=self._progress))
        for failure in report.failures:
            _log.error("Retention failed on %s: %s", failure.file, failure.text)

    def _pass_in_a_child(self) -> None:
        """Archiving takes half a gigabyte and libraries the recorder must never load; a child gives them back."""
        words = ["retain", "--vault", str(self._layout.root), *_flags(self._policy)]
        child = start_child(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while True:
            try:
                _, said = child.communicate(timeout=CHILD_LOOK_SEC)
            except subprocess.TimeoutExpired:
                if self._is_stopping:
                    child.terminate()  # a pass may be killed at any point
                continue
            break
        if self._is_stopping:
            raise _Stopping
        if child.returncode != 0:
            _log.error("Retention failed with code %d: %s", child.returncode, said.decode("utf-8", "replace")[-2000:])

    def _progress(self, done: int, total: int, file: str) -> None:
        if self._is_stopping:
            raise _Stopping


def _flags(policy: Policy) -> list[str]:
    gigabytes = {"--max-gb": policy.max_bytes, "--min-free-gb": policy.min_free_bytes}
    flags: dict[str, float | None] = {
        "--compress-after-hours": policy.compress_after_hours,
        "--delete-after-days": policy.delete_after_days,
        "--archive-days": policy.archive_days,
        **{flag: None if size is None else size / GB for flag, size in gigabytes.items()},
    }
    return [word for flag, value in flags.items() if value is not None for word in (flag, repr(float(value)))]
