"""Closed hours while recording: read once and noted for coverage, and column files of them: a child now and then.

Reading an hour of books takes a fifth of a second and an old vault has thousands: no work for a thread of the recorder.
Column files are made where the libraries for them are installed.
"""

import logging
from importlib.util import find_spec
from typing import Final

from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.recording.child import OwnChild
from l2vault.recording.threads import in_daemon_thread
from l2vault.vault.retention.plan import SETTLE_MS
from l2vault.vault.store.layout import Layout

FIRST_AFTER_SEC: Final = 120.0
EVERY_SEC: Final = 600.0
"""Compression changes the files of an hour: within this time its columns count again."""
SOON_SEC: Final = 30.0
"""After a child that did much: an old vault may have many more."""

_CHILD: Final = "l2vault.recording.tasks.closed_hours_child"
_NEEDED: Final = ("numpy", "pyarrow")
_SAID_CHARS: Final = 400
_SAID_LINES: Final = 50

_log = logging.getLogger(__name__)


def can_make_columns() -> bool:
    """Whether the libraries are there; loads none of them."""
    return all(find_spec(name) is not None for name in _NEEDED)


class ClosedHours:
    """`run` until cancelled; a child at work then ends at once, which any step of it bears."""

    def __init__(self, layout: Layout, clock: Clock, makes_columns: bool) -> None:
        self._layout = layout
        self._clock = clock
        self._makes_columns = makes_columns
        self._child = OwnChild()

    async def run(self) -> None:
        self._child.begin()
        try:
            await self._clock.sleep(FIRST_AFTER_SEC)
            while True:
                is_more = await in_daemon_thread(self.work)
                await self._clock.sleep(SOON_SEC if is_more else EVERY_SEC)
        finally:
            self._child.stop()

    def work(self) -> int:
        """How much the child did that may have more behind it: 0 if nothing is left for now. Raises VaultError with
        what it complained of."""
        # What was quiet to the end of an hour is noted up to a minute later: columns made before would lack it for
        # good.
        words = [str(self._layout.root.resolve()), str(self._clock.wall_ms() - SETTLE_MS)]
        ended = self._child.run(_CHILD, [*words, "columns"] if self._makes_columns else words)
        if ended is None:
            return 0
        said = [printable(text, _SAID_CHARS) for text in ended.said.decode("utf-8", "replace").strip().splitlines()]
        if ended.code == 0:
            for text in said[:_SAID_LINES]:
                _log.warning("Closed hours: %s", text)
            return int(ended.answer)
        code, why = ended.code, said[-1] if said else "it said nothing"
        raise VaultError(f"closed hours could not be checked, or their columns made (code {code}): {why}")
