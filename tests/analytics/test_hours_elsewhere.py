"""Every measure gives the same rows whoever works on its hours, and hands each of them to the executor it was given."""

import inspect
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

import l2vault
from l2vault.api.books import Books, Result
from support.changes_vault import INST, write_vault

MEASURES = {
    "walls": lambda books, executor: books.walls(lives=True, percentile=99, executor=executor),
    "spread": lambda books, executor: books.spread(executor=executor),
    "imbalance": lambda books, executor: books.imbalance(executor=executor),
    "depth": lambda books, executor: books.depth(executor=executor),
    "slippage": lambda books, executor: books.slippage(executor=executor),
    "zones": lambda books, executor: books.zones(executor=executor),
    "shifts": lambda books, executor: books.shifts("10s", executor=executor),
    "flow": lambda books, executor: books.flow("10s", executor=executor),
    "heatmap": lambda books, executor: books.heatmap(columns=20, rows=20, executor=executor),
}


class Counted(ThreadPoolExecutor):
    """How many hours of work it was given."""

    hours = 0

    def submit(self, *asked):
        self.hours += 1
        return super().submit(*asked)


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """The last 40 s of an hour and the first 10 of the next, and every change of them."""
    root = tmp_path_factory.mktemp("hours") / "Vault"
    write_vault(root, seconds=50)
    return l2vault.open(root).books(INST)


@pytest.fixture(scope="module")
def here(books):
    """The rows of each measure, hour after hour in this thread."""
    with pytest.MonkeyPatch.context() as alone:
        alone.setattr("l2vault.analytics.books.os.cpu_count", lambda: 1)
        return {name: measure(books, None) for name, measure in MEASURES.items()}


def test_every_measure_that_goes_hour_by_hour_takes_an_executor():
    measures = {name: inspect.signature(each) for name, each in vars(Books).items() if inspect.isfunction(each)}
    takes = {name for name, each in measures.items() if "executor" in each.parameters}
    returns = {name for name, each in measures.items() if each.return_annotation is Result}
    assert takes == returns == {*MEASURES, "evaluate"}


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_hands_each_hour_to_the_executor_it_is_given(books, here, name):
    with Counted(2) as executor:
        there = MEASURES[name](books, executor)
    assert executor.hours >= 2 * (2 if name == "flow" else 1), "flow has the hours of the changes too"
    assert len(here[name].frame) > 1
    assert there.frame.equals(here[name].frame)
    assert there.provenance == here[name].provenance


def test_another_process_gives_the_same_rows(books, here):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        for name, measure in MEASURES.items():
            there = measure(books, executor)
            assert there.frame.equals(here[name].frame), name
            assert there.provenance == here[name].provenance
