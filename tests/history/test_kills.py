"""Killed at any act on the file system, each verb of history goes on to what it makes undisturbed; refused by the disk
at one, it ends in one sentence with nothing half-written. `benchmarks/kills.py` tries every act, in real processes."""

from collections.abc import Callable, Iterator

import pytest

from l2vault.history import download
from l2vault.sim.server.archive import ArchiveServer, Shelf
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.repairs import repaired_spans
from support import tiny_archive as tiny
from support.acts import Disk
from support.disturbed import Trial
from support.history_verbs import FETCH, REPAIR, VERBS, Verb, asked, run

KILLS, REFUSALS = 3, 1
SLOW = {"export hftbacktest --force", "export parquet --force", "export tardis-csv --force", "export tardis-csv"}
"""What `export csv` and its twins do with the disk, these do too."""
TRIED = [verb for verb in (*VERBS, FETCH) if verb.name not in SLOW]
LIKE_OTHERS = {"backfill books5000", "backfill trades", "backfill funding", "export parquet", "merge"}
"""A refusal meets these where it meets `backfill books400` and `export csv`; `merge` has tests of its own."""
REFUSED = [verb for verb in TRIED if verb.name not in LIKE_OTHERS]

TrialOf = Callable[[Verb], Trial]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArchiveServer]:
    server = ArchiveServer(Shelf(tiny.offered(tmp_path_factory.mktemp("offered"))))
    yield server
    server.close()


@pytest.fixture(scope="module")
def trial_of(server: ArchiveServer, tmp_path_factory: pytest.TempPathFactory) -> TrialOf:
    """Each verb's trial, prepared once."""
    made: dict[str, Trial] = {}

    def trial(verb: Verb) -> Trial:
        if verb.name == "push":
            pytest.importorskip("obstore", reason="the extra push")
        if verb.name not in made:
            made[verb.name] = Trial(verb, tmp_path_factory.mktemp("trial"), asked(server))
        return made[verb.name]

    return trial


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a few hundred bytes comes in several pieces."""
    monkeypatch.setattr(download, "_BLOCK_BYTES", 300)


@pytest.mark.parametrize("verb", TRIED, ids=lambda verb: verb.name)
def test_killed_at_a_moment_it_goes_on_to_what_it_makes_undisturbed(verb: Verb, trial_of: TrialOf) -> None:
    trial = trial_of(verb)
    moments = trial.behind_names[1::3] if verb.name == "merge" else trial.moments(KILLS)
    assert {at: list(trial.killed(at)) for at in moments} == dict.fromkeys(moments, [])


@pytest.mark.parametrize("verb", REFUSED, ids=lambda verb: verb.name)
def test_refused_by_the_disk_it_ends_in_one_sentence_with_nothing_half_written(verb: Verb, trial_of: TrialOf) -> None:
    trial = trial_of(verb)
    tried = [(fault, at) for fault in ("full", "error") for at in {*trial.moments(REFUSALS), *trial.last_words}]
    assert {each: list(trial.refused(*each)) for each in tried} == dict.fromkeys(tried, [])


def test_a_repair_that_the_journal_refuses_is_none(trial_of: TrialOf) -> None:
    trial = trial_of(REPAIR)
    folder, at = trial.prepared(), max(at for at in trial.last_words if trial.acts[at - 1].startswith("write"))
    assert run(REPAIR, folder, Disk("error", at)).code == 1
    assert not repaired_spans(Layout(folder / "Vault"), tiny.INST)
