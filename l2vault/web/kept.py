"""How long what was made of an hour may be given again: as long as what it rests on is as it was. Pure.

An hour rests on its files, and at its end on what came later: the next line, the journal and the id of the next trade
say whether nothing happened behind its last line, or whether something is missing there.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from l2vault.vault.coverage.hour_notes import FileStamp
from l2vault.vault.store.layout import HOUR_MS

SETTLED_MS: Final = 300_000
"""An hour is settled once something is known of a time so much behind its end: nothing is added to it any more."""
_GROWING_MS: Final = 1_000

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Basis:
    """The files of an hour, and up to when anything was known that says more of it (ms, exchange time)."""

    stamp: list[FileStamp]
    known_ms: int
    is_settled: bool


def basis_of(stamp: list[FileStamp], hour_ms: int, newest_evidence_ms: int | None) -> Basis:
    """To be taken before the hour is read, so that it claims no more than what was read."""
    settled_ms = hour_ms + HOUR_MS + SETTLED_MS
    known_ms = min(newest_evidence_ms or 0, settled_ms)
    return Basis(stamp, known_ms, known_ms == settled_ms)


@dataclass(frozen=True, slots=True)
class Kept(Generic[_Made]):
    """`until_ms`, by the monotonic clock, it is good enough whatever became of what it rests on."""

    basis: Basis
    until_ms: int
    made: _Made


def good_until(begun_ms: int, now_ms: int, times: int) -> int:
    """An hour that is still written is read again after 1 s at the earliest, and after `times` what reading it took."""
    return now_ms + max(_GROWING_MS, times * (now_ms - begun_ms))
