"""Column files of closed hours while recording, where the libraries for them are installed: a child now and then."""

import logging
import subprocess
import threading
from importlib.util import find_spec
from typing import Final

from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.recording.child import start_child
from l2vault.recording.threads import in_daemon_thread
from l2vault.vault.store.layout import Layout

FIRST_AFTER_SEC: Final = 120.0
EVERY_SEC: Final = 600.0
"""Compression changes the files of an hour: within this time its columns count again."""
SOON_SEC: Final = 30.0
"""After a child that made some: an old vault may have many more."""

_CHILD: Final = "l2vault.recording.tasks.columns_child"
_NEEDED: Final = ("numpy", "pyarrow")
_SAID_CHARS: Final = 400

_log = logging.getLogger(__name__)


def can_make_columns() -> bool:
    """Whether the libraries are there; loads none of them."""
    return all(find_spec(name) is not None for name in _NEEDED)


class Columns:
    """`run` until cancelled; a child at work then ends at once, which any step of it bears."""

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self._layout = layout
        self._clock = clock
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_stopping = False

    async def run(self) -> None:
        self._is_stopping = False
        try:
            await self._clock.sleep(FIRST_AFTER_SEC)
            while True:
                made = await in_daemon_thread(self.make)
                await self._clock.sleep(SOON_SEC if made else EVERY_SEC)
        finally:
            with self._lock:
                self._is_stopping = True
                if self._child is not None:
                    self._child.terminate()

    def make(self) -> int:
        """How many hours got their columns. Raises VaultError with what the child complained of."""
        words = [str(self._layout.root.resolve()), str(self._clock.wall_ms())]
        with self._lock:
            if self._is_stopping:
                return 0
            pipe = subprocess.PIPE
            child = self._child = start_child(words, _CHILD, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL)
        try:
            answer, complaint = child.communicate()
        finally:
            with self._lock:
                self._child = None
        if child.returncode == 0:
            return int(answer)
        if self._is_stopping:
            return 0
        said = complaint.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise VaultError(f"columns could not be made (code {child.returncode}): {printable(said[-1], _SAID_CHARS)}")
