"""What is archived ahead of its turn, and what waits for it."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from l2vault.vault.retention.archives import Archives
from l2vault.vault.retention.plan import Action
from l2vault.vault.store.catalog import StoredHour
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST


class Begun(Executor):
    """Notes what it is given, and has done it at once."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        self.paths.append(args[1].path)
        done: Future[Any] = Future()
        done.set_result(7)
        return done


def hours(layout: Layout, count: int) -> list[StoredHour]:
    """Plain, without a byte."""
    held = []
    for nth in range(count):
        path = layout.hour_file(INST, HOUR_AT_MS + nth * HOUR_MS)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        held.append(StoredHour("books", INST, HOUR_AT_MS + nth * HOUR_MS, "plain", path, 0, 1))
    return held


def test_hours_that_surely_are_archived_are_begun_ahead_and_no_others(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    held = hours(layout, 5)
    plan = [
        Action("archive", held[0], "age"),
        Action("archive", held[1], "room", only_if_short=True),
        Action("compress", held[2], "age"),
        Action("archive", held[2], "age"),
        Action("delete", held[3], "age"),
        Action("archive", held[4], "age"),
    ]
    begun = Begun()
    archives = Archives(layout, plan, begun)
    assert archives.make(held[0]) == 7
    assert begun.paths == [held[0].path, held[4].path]
    assert [archives.make(each) for each in (held[1], held[2])] == [0, 0], "in their turn, and here"
    assert archives.make(held[4]) == 7 and len(begun.paths) == 2


def test_a_dozen_archives_at_most_take_room_beside_their_raw_files(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    held = hours(layout, 30)
    begun = Begun()
    archives = Archives(layout, [Action("archive", each, "age") for each in held], begun)
    for taken, each in enumerate(held):
        archives.make(each)
        assert len(begun.paths) == min(taken + 12, len(held))
