"""Books, levels and measures at the resolution of changes: live, closed and archived hours alike."""

from pathlib import Path
from random import Random
from typing import Literal

import polars as pl
import pytest

import l2vault
from l2vault.book.change import BookChange, Level
from l2vault.book.change_line import RecordedChange
from l2vault.book.snapshot import to_line
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError
from l2vault.vault.archive.form import Archive
from l2vault.vault.journal import events as noted
from l2vault.vault.reading.vault import Vault, open_vault
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.durable import unlink
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.changes_vault import INST, START_MS, book_after, full_book_after, pushes, write_vault
from support.hours import journal_of

END_MS = START_MS + 80_000
LOST = range(150, 170)


def archive_everything(root: Path) -> None:
    """By the archive's form, as retention makes it."""
    catalog = open_vault(root).change_catalog
    for stored in catalog.files():
        assert Archive().make(catalog.layout, stored) < stored.size_bytes * 2
        unlink(stored.path)


@pytest.fixture(params=["closed", "being written", "archived"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    write_vault(tmp_path, is_closed=request.param != "being written")
    if request.param == "archived":
        archive_everything(tmp_path)
    return open_vault(tmp_path)


def test_on_the_recorders_grid_they_are_the_recorded_lines(vault: Vault) -> None:
    lines = [to_line(snapshot) for snapshot in vault.snapshots(INST, START_MS, END_MS)]
    rebuilt = vault.snapshots(INST, START_MS, END_MS, "changes", 2_000)
    assert [to_line(snapshot) for snapshot in rebuilt] == lines
    assert len(lines) > 30
    assert rebuilt.findings == []


def test_each_push_leaves_a_book(vault: Vault, tmp_path: Path) -> None:
    sent = write_vault(tmp_path / "twin")
    found = list(vault.snapshots(INST, START_MS, END_MS, "changes"))
    assert [snapshot.seq_id for snapshot in found] == [push.seq_id for push in sent]
    assert found[-1] == book_after(sent, END_MS)


def test_a_finer_grid_gives_each_book_that_stood_at_one_of_its_times_once(vault: Vault) -> None:
    every = list(vault.snapshots(INST, START_MS, END_MS, "changes"))
    fine = list(vault.snapshots(INST, START_MS, END_MS, "changes", 100))
    assert len(every) * 0.7 < len(fine) <= len(every)
    assert set(map(to_line, fine)) <= set(map(to_line, every))


def test_a_span_cuts_by_the_books_own_time(vault: Vault) -> None:
    from_ms, to_ms = START_MS + 30_050, START_MS + 50_050
    some = list(vault.snapshots(INST, from_ms, to_ms, "changes"))
    every = vault.snapshots(INST, START_MS, END_MS, "changes")
    assert some == [snapshot for snapshot in every if from_ms <= snapshot.ts_ms < to_ms]


def test_the_book_at_any_time_is_that_after_the_last_push(vault: Vault, tmp_path: Path) -> None:
    sent, rng = write_vault(tmp_path / "twin"), Random(3)
    for t_ms in [rng.randrange(START_MS, END_MS) for _ in range(25)] + [START_MS + 39_999, START_MS + 40_000]:
        found = vault.book_at(INST, t_ms, resolution="changes")
        assert found is not None and found.snapshot == book_after(sent, t_ms)
        assert found.state == ("recorded" if t_ms < sent[-1].ts_ms else "unknown")
        assert found.age_ms == t_ms - found.snapshot.ts_ms
    assert vault.book_at(INST, START_MS - 1, resolution="changes") is None


def test_the_level_table_is_the_book_at_any_time_over_the_turn_of_the_hour(vault: Vault, tmp_path: Path) -> None:
    sent, rng = write_vault(tmp_path / "twin"), Random(4)
    table = vault.levels(INST, START_MS, END_MS, resolution="changes").to_polars()
    last_ms = sent[-1].ts_ms or 0
    for t_ms in [rng.randrange(START_MS + 200, last_ms) for _ in range(25)] + [START_MS + 39_999, START_MS + 40_000]:
        at = table.filter(pl.col("t_from") <= t_ms, pl.col("t_to") > t_ms)
        book = book_after(sent, t_ms)
        wanted = {("bid", float(p), float(q), int(n)) for p, q, _, n in book.bids}
        wanted |= {("ask", float(p), float(q), int(n)) for p, q, _, n in book.asks}
        assert set(at.select("side", "price", "qty", "orders").iter_rows()) == wanted
    for t_ms in (START_MS + 39_999, START_MS + 40_000):
        at = table.filter(pl.col("t_from") <= t_ms, pl.col("t_to") > t_ms)
        assert len(at) == 800, "the book stands up to the turn of the hour and over it"
    turn = table.filter(pl.col("t_to") == START_MS + 40_000)
    assert not len(turn), "no level ends because an hour does"


def test_measures_see_every_book(vault: Vault) -> None:
    books = l2vault.open(vault.layout.root).books(INST, start=START_MS, end=END_MS, resolution="changes")
    spread = books.spread().frame
    snapshots = {s.ts_ms: s for s in vault.snapshots(INST, START_MS, END_MS, "changes")}
    assert len(spread) == len(snapshots) + 1, "one book stands over the turn of the hour, in a row of each"
    for row in spread.sample(20, seed=1).iter_rows(named=True):
        book = snapshots[round(row["t_from"].timestamp() * 1000)]
        assert (row["bid"], row["ask"]) == (float(book.bids[0][0]), float(book.asks[0][0]))
    assert 0.97 < books.spread().provenance.covered_share <= 1.0
    assert len(books.walls(min_size="1k").frame) > 0


@pytest.mark.parametrize("is_archived", [False, True])
def test_a_hole_is_a_hole_at_every_door(tmp_path: Path, is_archived: bool) -> None:
    sent = write_vault(tmp_path, lost=LOST)
    if is_archived:
        archive_everything(tmp_path)
    vault = open_vault(tmp_path)
    before_ms, after_ms = sent[LOST.start - 1].ts_ms, sent[LOST.stop].ts_ms
    inside_ms = (before_ms + after_ms) // 2
    found = vault.book_at(INST, inside_ms, resolution="changes")
    assert found is not None and (found.snapshot.ts_ms, found.state) == (before_ms, "unknown")
    table = vault.levels(INST, START_MS, END_MS, resolution="changes").to_polars()
    assert not len(table.filter(pl.col("t_from") <= inside_ms, pl.col("t_to") > inside_ms))
    times = [s.ts_ms for s in vault.snapshots(INST, START_MS, END_MS, "changes")]
    assert before_ms in times and after_ms in times
    assert not [t_ms for t_ms in times if before_ms < t_ms < after_ms]
    on_grid = vault.snapshots(INST, START_MS, END_MS, "changes", 2_000)
    assert not [s for s in on_grid if before_ms < -(-s.ts_ms // 2_000) * 2_000 < after_ms], "silence is never sampled"


def test_of_changes_that_fit_no_book_the_first_of_a_row_is_found(tmp_path: Path) -> None:
    """The others are what follows from it."""
    sent, writer = pushes(10), ChangeWriter(Layout(tmp_path))
    for push in (*sent[:20], *sent[21:30]):
        writer.write(RecordedChange(push.ts_ms, push, "ws", 1))
    writer.close()
    books = open_vault(tmp_path).snapshots(INST, START_MS, END_MS, "changes")
    assert [snapshot.seq_id for snapshot in books] == [push.seq_id for push in sent[:20]]
    (finding,) = books.findings
    assert finding.reason.startswith("a change that fits no book") and finding.offset > 0


def test_a_book_that_feeds_did_not_agree_on_is_disputed(tmp_path: Path) -> None:
    write_vault(tmp_path)
    line = list(open_vault(tmp_path).snapshots(INST, START_MS, END_MS))[10]
    at = utc_text(-(-line.ts_ms // 2_000) * 2_000)
    started = noted.Started(at, "0", "host", 1, "os", [INST], 2_000, 400, 2, "")
    journal_of(Layout(tmp_path), started, noted.Disputed(at, INST, at, at, "feeds", ""))
    vault = open_vault(tmp_path)
    found = {ms: vault.book_at(INST, line.ts_ms + ms, resolution="changes") for ms in (-1, 0, 1, 2_500)}
    assert {ms: book and book.state for ms, book in found.items()} == {
        -1: "recorded",
        0: "disputed",
        1: "disputed",
        2_500: "recorded",
    }


def test_after_a_hole_over_the_turn_of_an_hour_nothing_is_carried_into_the_next(tmp_path: Path) -> None:
    """The next hour begins with the recorder's own book, but of another number."""
    layout = Layout(tmp_path)
    sent = pushes(60)
    writer = ChangeWriter(layout)
    hour_ms = START_MS + 40_000
    for push in (push for push in sent if push.ts_ms < hour_ms - 2_000):
        writer.write(RecordedChange(push.ts_ms, push, "ws", 1))
        last_ms = push.ts_ms
    own = full_book_after(sent, hour_ms + 1_000)
    writer.write(RecordedChange(own.ts_ms, own, "book", 1), "disk_full")
    writer.close()
    table = open_vault(tmp_path).levels(INST, START_MS, END_MS, resolution="changes").to_polars()
    assert not len(table.filter(pl.col("t_from") <= hour_ms, pl.col("t_to") > hour_ms))
    assert table.filter(pl.col("t_from") < hour_ms)["t_to"].max() == last_ms + 1


def test_a_level_that_stood_over_the_turns_of_hours_is_one_row_in_the_table(tmp_path: Path) -> None:
    hour_ms = START_MS // HOUR_MS * HOUR_MS
    writer = ChangeWriter(Layout(tmp_path))

    def write(offset_ms: int, seq_id: int, origin: Literal["ws", "book"], asks: list[Level]) -> None:
        """A full book if it has both sides, else a push that follows the one before."""
        ts_ms, bids = hour_ms + offset_ms, [("100", "5", "0", "1")] if asks else [("99", str(seq_id), "0", "1")]
        before = -1 if asks else seq_id - 1
        change = BookChange(INST, bool(asks), bids, asks, ts_ms, seq_id, before, 0, ts_ms * 1_000)
        writer.write(RecordedChange(ts_ms, change, origin, 1))

    ask = ("101", "7", "0", "1")
    write(1_000, 1, "ws", [ask])
    for hour in (1, 2):
        write(hour * HOUR_MS + 500, hour, "book", [ask])
        write(hour * HOUR_MS + 9_000, hour + 1, "ws", [])
    writer.close()
    table = open_vault(tmp_path).levels(INST, hour_ms, hour_ms + 3 * HOUR_MS, resolution="changes").to_polars()
    (stood,) = table.filter(pl.col("side") == "ask").select("t_from", "t_to").rows()
    assert stood == (hour_ms + 1_000, hour_ms + 2 * HOUR_MS + 9_001)


def test_without_changes_it_says_how_to_keep_them(tmp_path: Path) -> None:
    write_vault(tmp_path)
    vault = open_vault(tmp_path)
    with pytest.raises(VaultError, match="changes of ETH-USDT-SWAP.*changes = true"):
        vault.snapshots("ETH-USDT-SWAP", START_MS, END_MS, "changes")
    with pytest.raises(UsageError, match="resolution='changes'"):
        vault.snapshots(INST, START_MS, END_MS, every_ms=100)


def test_the_public_door_takes_a_length(tmp_path: Path) -> None:
    write_vault(tmp_path)
    vault = l2vault.open(tmp_path)
    fine = list(vault.snapshots(INST, last="10s", every="100ms"))
    assert len(fine) > 60
    assert vault.book_at(INST, START_MS + 5_050, resolution="changes").age_ms < 400
    assert len(vault.levels(INST, last="10s", resolution="changes").to_polars()) > 400


def test_a_span_of_changes_ends_with_the_newest_of_them_which_come_to_the_disk_after_the_line(tmp_path: Path) -> None:
    write_vault(tmp_path, is_closed=False)
    newest = max(stored.path for stored in open_vault(tmp_path).change_catalog.files())
    newest.write_bytes(b"".join(newest.read_bytes().splitlines(keepends=True)[:-25]))
    books = l2vault.open(tmp_path).books(INST, last="20s", resolution="changes")
    found = books.walls(min_size="100k", standing=True)
    assert len(found.frame) > 0
    changes = open_vault(tmp_path).change_bounds(INST)
    assert changes is not None and END_MS - 10_000 < changes[1] < END_MS - 2_000
    assert int(found.provenance.end.timestamp() * 1000) == changes[1] + 1
