"""How many files this process may have open, and whether that is enough. POSIX has a limit that can be raised."""

import sys
from typing import Final

from l2vault.errors import L2VaultError

FEED_HANDLES: Final = 2
"""A connection, and its successor while one hands over to the other."""
OWN_HANDLES: Final = 24
"""Standard streams, the log, the lock, the journal, REST, the event loop's own, a probe now and then, and the files
that the threads of a sync open for it."""
LEAST_FILES: Final = 16
MOST_FILES: Final = 64


def open_files(feeds: int, limit: int | None) -> int:
    """How many data files the writer may hold open under `limit` handles; None is no limit.

    Raises L2VaultError where not even 16 fit beside the feeds and what the process needs itself.
    """
    if limit is None:
        return MOST_FILES
    room = limit - feeds * FEED_HANDLES - OWN_HANDLES
    if room < LEAST_FILES:
        needed = feeds * FEED_HANDLES + OWN_HANDLES + LEAST_FILES
        raise L2VaultError(
            f"this process may open {limit} files, and {feeds} feeds, journal, lock and {LEAST_FILES} data files need "
            f"{needed}.",
            f"raise the limit (ulimit -n {max(needed, 256)}), or record with fewer feeds",
        )
    return min(MOST_FILES, room)


def raise_limit() -> int | None:
    """Raise the soft limit on open files to the hard one; returns the limit then in force, None where there is none."""
    if sys.platform == "win32":
        return None  # thousands of handles; only C's own streams are limited, and none of ours is one
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # macOS refuses more than its own maximum
            pass
    return None if soft == resource.RLIM_INFINITY else soft
