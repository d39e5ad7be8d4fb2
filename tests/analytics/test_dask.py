"""The hours of a span on a Dask cluster give the same rows as on this machine's cores."""

import sys
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from l2vault.analytics.books import read_books
from l2vault.analytics.executors import worked_on
from l2vault.analytics.flow.liquidity_flow import shifts
from l2vault.analytics.metrics import spread
from l2vault.analytics.walls.walls import Criteria, walls

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from first_edition_questions import FOLDER, INST, LEAST_USD, SPAN  # noqa: E402


@pytest.fixture(scope="module")
def client():
    """Of a cluster in this process: what goes to its worker and back is packed as for another machine."""
    with LocalCluster(1, 2, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


@pytest.mark.parametrize(
    "measure",
    [spread, lambda books: walls(books, "usd", Criteria(min_size=LEAST_USD)), shifts],
    ids=["spread", "walls", "shifts"],
)
def test_a_cluster_gives_the_same_rows(client, measure):
    books = read_books(FOLDER / "vault", INST, *SPAN)
    assert len(books.hours) == 2
    here = measure(books)
    worked_before = len(client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_log))
    with worked_on(books, client.get_executor()):
        there = measure(books)
    assert len(client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.transition_log)) > worked_before
    assert there.frame.equals(here.frame)
    assert there.provenance == here.provenance
