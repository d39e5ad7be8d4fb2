"""How whoever follows changes shows itself to the recorder: by a file whose time of change it moves on.

Works on every system and over shares, needs no clock of both to agree, and costs the recorder one look a second.
"""

from contextlib import suppress
from typing import Final

from l2vault.vault.store.layout import Layout

TOUCH_SEC: Final = 1.0
"""A follower shows itself this often."""


def touch(layout: Layout) -> None:
    """Show that somebody follows. Where the vault cannot be written to, changes come every five seconds only."""
    with suppress(OSError):
        layout.follow_file.touch()


def followed_at(layout: Layout) -> int | None:
    """A number that changes with each touch; None where nobody ever followed."""
    try:
        return layout.follow_file.stat().st_mtime_ns
    except OSError:
        return None
