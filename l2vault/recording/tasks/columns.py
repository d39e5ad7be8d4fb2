"""Column files of closed hours while recording, where the libraries for them are installed: a child now and then."""

from importlib.util import find_spec
from typing import Final

from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.recording.child import OwnChild
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


def can_make_columns() -> bool:
    """Whether the libraries are there; loads none of them."""
    return all(find_spec(name) is not None for name in _NEEDED)


class Columns:
    """`run` until cancelled; a child at work then ends at once, which any step of it bears."""

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self._layout = layout
        self._clock = clock
        self._child = OwnChild()

    async def run(self) -> None:
        self._child.begin()
        try:
            await self._clock.sleep(FIRST_AFTER_SEC)
            while True:
                made = await in_daemon_thread(self.make)
                await self._clock.sleep(SOON_SEC if made else EVERY_SEC)
        finally:
            self._child.stop()

    def make(self) -> int:
        """How many hours got their columns. Raises VaultError with what the child complained of."""
        words = [str(self._layout.root.resolve()), str(self._clock.wall_ms())]
        ended = self._child.run(_CHILD, words)
        if ended is None:
            return 0
        if ended.code == 0:
            return int(ended.answer)
        said = ended.said.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise VaultError(f"columns could not be made (code {ended.code}): {printable(said[-1], _SAID_CHARS)}")
