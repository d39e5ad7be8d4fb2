"""The last book at or before a moment, straight from the data files. For one look; spans are the reader's.

Needs only what recording needs, so it works where nothing else is installed, unless an archive must be read.
"""

from collections import deque
from typing import Final, NamedTuple

from l2vault.book.snapshot import Snapshot, from_line
from l2vault.errors import LineError
from l2vault.vault.store.catalog import Finding, HourForms, PlacedLine, hour_lines, hours
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.line import as_time_text, time_text

_CANDIDATES: Final = 8
"""Newest lines held per hour, should the very last not read."""


class Found(NamedTuple):
    """A book, and what could not be read on the way to it."""

    snapshot: Snapshot
    passed_by: list[Finding]


def last_book(layout: Layout, inst_id: str, at_ms: int) -> Found | None:
    """The newest line of time `at_ms` or older, None if there is none. Of two lines of one time the later one.

    Raises VaultError where only an archive can tell and the libraries to read it are absent.
    """
    passed_by: list[Finding] = []
    every = hours(layout, inst_id)
    for forms in reversed(every):
        if forms.hour_ms <= at_ms:
            candidates = _newest_lines(layout, forms, forms is every[-1], at_ms, passed_by)
            for line in reversed(candidates):
                try:
                    return Found(from_line(line.text), passed_by)
                except LineError as error:
                    passed_by.append(Finding(line.path, line.offset, str(error)))
    return None


def _newest_lines(
    layout: Layout, forms: HourForms, is_newest: bool, at_ms: int, passed_by: list[Finding]
) -> deque[PlacedLine]:
    limit = as_time_text(at_ms)
    lines = hour_lines(layout, forms, is_newest, passed_by.append)
    return deque((line for line in lines if time_text(line.text) <= limit), maxlen=_CANDIDATES)
