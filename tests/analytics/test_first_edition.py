"""Every number whose definition did not change is that of the first edition: its answers are in tests/data.

`benchmarks/first_edition.py` made its vault and its answers, and asks both editions about any other vault.
"""

import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from l2vault.analytics.books import read_books
from l2vault.vault.archive.intervals import SNAPSHOTS
from l2vault.vault.archive.parquet import encode_levels, encode_snapshots, facts_of, opened
from l2vault.vault.archive.read import read_archived
from l2vault.vault.archive.write import archive_hour, restore_hour
from l2vault.vault.store.layout import HOUR_MS, Layout

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from first_edition_questions import (  # noqa: E402
    FOLDER,
    INST,
    LEAST_USD,
    SPAN,
    WIDTH,
    answers,
    difference,
    questions,
)

FIRST_HOUR_MS = SPAN[0] // HOUR_MS * HOUR_MS


def answered(name: str) -> pl.DataFrame:
    return pl.read_parquet(FOLDER / f"{name}.parquet")


@pytest.fixture(scope="module")
def found():
    return answers(FOLDER / "vault", INST, SPAN, LEAST_USD, WIDTH)


@pytest.mark.parametrize("name", questions(LEAST_USD, WIDTH))
def test_every_number_of_its_own_archive_is_that_of_the_first_edition(found, name):
    old = answered(name)
    assert len(old) > 20
    assert difference(old, found[name]) == ""


@pytest.fixture(scope="module")
def archived_anew(tmp_path_factory):
    """The same lines and times in files of this edition, whose snapshots say more. (Of a book before a hole this
    edition's own archive says that it stood until the connection was lost; the first edition's, until the next slot.)
    """
    root = tmp_path_factory.mktemp("anew") / "vault"
    shutil.copytree(FOLDER / "vault" / "meta", root / "meta")
    layout = Layout(root)
    for hour_ms in (FIRST_HOUR_MS, FIRST_HOUR_MS + HOUR_MS):
        first, ours = (each.archived_hour(INST, hour_ms) for each in (Layout(FOLDER / "vault"), layout))
        path = layout.hour_file(INST, hour_ms)
        path.parent.mkdir(parents=True, exist_ok=True)
        restore_hour(first, path)
        archive_hour(layout, layout.parse_hour_file(path))
        path.unlink()
        with opened(ours.snapshots) as file:
            facts = facts_of(file)
        then, now = read_archived(first), read_archived(ours)
        at = SNAPSHOTS.get_field_index("t_to")
        snapshots = now.snapshots.set_column(at, SNAPSHOTS.field(at), then.snapshots["t_to"])
        ours.levels.write_bytes(encode_levels(then.levels, facts))
        ours.snapshots.write_bytes(encode_snapshots(snapshots, facts))
    return root


@pytest.mark.parametrize("name", ["spread", "walls", "zones"])
def test_what_the_snapshots_say_more_changes_no_number(archived_anew, name):
    read = read_books(archived_anew, INST, *SPAN)
    assert difference(answered(name), questions(LEAST_USD, WIDTH)[name](read).frame) == ""


def test_a_difference_is_found(found):
    old, new = answered("walls"), found["walls"]
    assert "peak" in difference(old, new.with_columns(pl.col("peak") * (1 + 1e-6)))
    assert "end" in difference(old, new.with_columns(end=pl.lit("pulled")))
    assert "microprice" in difference(answered("spread"), found["spread"].drop("microprice"))
