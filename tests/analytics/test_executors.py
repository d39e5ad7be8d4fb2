"""Who works on the hours: the executor that is given, processes where they are worth it and may be started."""

from concurrent.futures import BrokenExecutor, Future
from types import SimpleNamespace

import pytest

from l2vault.analytics import executors
from l2vault.analytics.books import AT_ONCE, Beside, Books, Hours, HourSource
from l2vault.analytics.executors import worked_on
from l2vault.errors import VaultError


class Noted:
    """In the place of a pool of processes."""

    started: list[int] = []

    def __init__(self, workers, mp_context, initializer):
        assert mp_context.get_start_method() == "spawn"
        self.started.append(workers)

    def shutdown(self, cancel_futures):
        assert cancel_futures
        self.started.append(0)


@pytest.fixture
def started(monkeypatch):
    monkeypatch.setattr(executors, "ProcessPoolExecutor", Noted)
    monkeypatch.setattr(executors.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(Noted, "started", [])
    return Noted.started


def span(hours, raw):
    return SimpleNamespace(hours=range(hours), raw_hours=range(raw), executor=None)


@pytest.mark.parametrize(
    ("hours", "raw", "workers"), [(24, 0, None), (24, 1, None), (4, 4, 4), (168, 0, 4), (3, 3, None), (1, 1, None)]
)
def test_processes_are_started_where_the_span_is_worth_it(started, hours, raw, workers):
    books = span(hours, raw)
    with worked_on(books, is_guarded=True):
        assert isinstance(books.executor, Noted) == (workers is not None)
    assert books.executor is None
    assert started == ([] if workers is None else [workers, 0])


def test_no_more_processes_are_started_than_memory_may_have_for_and_one_that_dies_is_one_sentence(started, monkeypatch):
    monkeypatch.setattr(executors.os, "cpu_count", lambda: 64)
    books = span(168, 168)
    with pytest.raises(VaultError, match="ended from outside"), worked_on(books, is_guarded=True):
        raise BrokenExecutor("a worker was killed")
    assert books.executor is None and started == [8, 0]
    with pytest.raises(BrokenExecutor), worked_on(books, object()):
        raise BrokenExecutor("of an executor that is not ours")


def test_the_executor_that_is_given_is_taken_and_not_ended(started):
    books, given = span(168, 168), object()
    with worked_on(books, given):
        assert books.executor is given
    assert books.executor is None and started == []


@pytest.mark.parametrize(
    ("main", "may_start"), [({"__file__": "study.py"}, False), ({"__spec__": 1}, False), ({}, True)]
)
def test_a_script_whose_work_a_process_would_do_again_gets_none(started, monkeypatch, main, may_start):
    monkeypatch.setitem(executors.sys.modules, "__main__", SimpleNamespace(**main))
    with worked_on(span(168, 0)):
        assert bool(started) == may_start


def test_no_more_hours_are_worked_on_than_may_be_held_and_the_newest_lines_are_begun_first():
    hours = tuple(range(3 * AT_ONCE))
    source = HourSource(None, "", (0, 1), "lines", ())
    held = Hours(source, hours, frozenset(hours[-2:]))
    books = Books("", (0, 1), lambda: iter(()), [], Beside(hours=lambda: held))
    begun, taken = [], []

    class Held:
        def submit(self, work, hour):
            begun.append(hour)
            future = Future()
            future.set_result(hour)
            return future

    books.executor = Held()
    for hour in books.mapped(len):
        taken.append(hour)
        assert len(begun) <= len(taken) + AT_ONCE + 1
    assert begun[:3] == [*hours[-2:], 0]
    assert taken == list(hours)
