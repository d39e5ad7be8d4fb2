"""What systemd is told of a recorder (`Type=notify`): that it is ready, that it is alive, and what it does.

A word is one datagram to the socket that `NOTIFY_SOCKET` names (systemd.exec(5), sd_notify(3)); without that variable,
as everywhere but under systemd, this does nothing. The watchdog is fed only while books advance.
"""

import logging
import os
import socket
from collections.abc import Mapping
from typing import Final, Protocol

from l2vault.clock import Clock
from l2vault.okx.outputs import Counts
from l2vault.recording.counters import Counters
from l2vault.recording.pipelines import Pipelines

EVERY_SEC: Final = 5.0
SOCKET: Final = "NOTIFY_SOCKET"
WATCHDOG_US: Final = "WATCHDOG_USEC"
WATCHDOG_PID: Final = "WATCHDOG_PID"

_log = logging.getLogger(__name__)


class Progress(Protocol):
    """What says how far a recorder is (`recording.tasks.health.Sources`)."""

    @property
    def pipelines(self) -> Pipelines: ...
    @property
    def counts(self) -> Counts: ...
    @property
    def counters(self) -> Counters: ...


class ServiceManager:
    """`run` until cancelled; it returns at once where no service manager is there to be told."""

    def __init__(self, environment: Mapping[str, str], clock: Clock, progress: Progress) -> None:
        self._address = environment.get(SOCKET, "")
        pid = environment.get(WATCHDOG_PID, "")
        self._has_watchdog = WATCHDOG_US in environment and pid in ("", str(os.getpid()))
        self._clock = clock
        self._progress = progress
        self._is_ready = False
        self._messages = 0
        self._is_refused = False

    async def run(self) -> None:
        """READY=1 with the first book in sync; WATCHDOG=1 whenever messages of books have come since the last time."""
        if not self._address:
            return
        try:
            while True:
                self._tell(self._words())
                await self._clock.sleep(EVERY_SEC)
        finally:
            self._tell("STOPPING=1")

    def _words(self) -> str:
        in_sync, messages = len(self._progress.pipelines.book_times()), self._progress.counts.messages
        lines = self._progress.counters.lines
        words = [f"STATUS=Books in sync: {in_sync}; {messages} messages of books, {lines} lines since the start"]
        if in_sync and not self._is_ready:
            self._is_ready = True
            words.append("READY=1")
        if self._is_ready and self._has_watchdog and messages > self._messages:
            words.append("WATCHDOG=1")
        self._messages = messages
        return "\n".join(words)

    def _tell(self, words: str) -> None:
        """A word that does not arrive changes nothing here; the service manager has its own deadlines."""
        # A leading @ stands for the NUL of Linux' abstract names.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.setblocking(False)
                sending.sendto(words.encode(), address)
        except (OSError, AttributeError) as error:  # Windows has no AF_UNIX
            if not self._is_refused:
                _log.warning("The service manager at %s=%s cannot be told anything: %s", SOCKET, self._address, error)
            self._is_refused = True
