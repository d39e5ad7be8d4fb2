"""The archives that a plan asks for: each made when its turn comes, or a few of the next ones by other processes."""

from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Final

from l2vault.vault.retention.plan import Action
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.forms import archive_form
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.stream import read_chunks

_MOST_AHEAD: Final = 12
"""Archives that are being made or wait for their turn, beside their raw files."""


class Archives:
    """Of one plan. With an `executor` several are made at a time."""

    def __init__(self, layout: Layout, plan: list[Action], executor: Executor | None) -> None:
        self._layout = layout
        self._executor = executor
        compressed = {action.kind_hour for action in plan if action.kind == "compress"}
        # What must be compressed first, or may prove not to be needed, is not made ahead of its turn.
        self._next = iter(
            [
                action.held
                for action in plan
                if action.kind == "archive" and not action.only_if_short and action.kind_hour not in compressed
            ]
        )
        self._begun: dict[Path, Future[int]] = {}

    def make(self, held: StoredHour) -> int:
        """Have the archive of an hour built and checked; returns its size, 0 for an hour without a byte, which has
        nothing to archive. Raises what kept it from being made."""
        if self._executor is not None:
            while len(self._begun) < _MOST_AHEAD and (each := next(self._next, None)) is not None:
                self._begun[each.path] = self._executor.submit(_made, self._layout, each)
        begun = self._begun.pop(held.path, None)
        return _made(self._layout, held) if begun is None else begun.result()


def _made(layout: Layout, held: StoredHour) -> int:
    if not any(read_chunks(held.path)):
        return 0
    return archive_form().make(layout.of(held.kind), held)
