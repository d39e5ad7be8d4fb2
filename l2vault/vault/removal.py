"""How a data file is deleted: renamed, noted, removed. So no deletion goes unnoted, and none is noted that was refused.

Knows neither why a file goes nor what the note says.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from l2vault.vault.durable import replace, sync_folder, unlink

DELETING_SUFFIX: Final = ".deleting"
"""Ends the name of a file whose deletion has begun; finish it with `finish_removal`."""

_LINES: Final = ".jsonl"


def doomed_path(path: Path) -> Path:
    """The name of `path` once its deletion has begun: `.23.gz.deleting` for `23.jsonl.gz`, which no reader takes."""
    return path.with_name(f".{path.name.replace(_LINES, '', 1)}{DELETING_SUFFIX}")


def former_path(doomed: Path) -> Path:
    """The inverse of `doomed_path`, for the names of earlier versions too, which only had the suffix."""
    name = doomed.name.removesuffix(DELETING_SUFFIX)
    if not name.startswith("."):
        return doomed.with_name(name)
    stem, dot, suffix = name[1:].partition(".")
    return doomed.with_name(f"{stem}{'' if suffix == 'parquet' else _LINES}{dot}{suffix}")


def remove(path: Path, note: Callable[[], None]) -> None:
    """Raises OSError with the file in place where it cannot go: Windows refuses to rename what a reader has open."""
    doomed = doomed_path(path)
    replace(path, doomed)
    finish_removal(doomed, note)


def finish_removal(doomed: Path, note: Callable[[], None]) -> None:
    """A disk too full for the note is no reason to keep what fills it: then the file goes first."""
    try:
        note()
    except OSError:
        unlink(doomed)
        note()
    else:
        unlink(doomed)
    sync_folder(doomed.parent)
