"""Vaults of two recorders made one: every line is the exchange's, and a hole is left only where both have one."""

import errno
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from l2vault import cli
from l2vault.alerts.market_feed import Holes
from l2vault.book.context import KINDS
from l2vault.book.day_lines import Liquidation, liquidation_to_line
from l2vault.book.utc import utc_ms
from l2vault.vault.checking.verify import Verification
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.model import COVERED
from l2vault.vault.journal.events import Retained
from l2vault.vault.journal.log import Journal, verb_journal
from l2vault.vault.merging import run
from l2vault.vault.reading.changes import change_coverage
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.retention.compress import compress
from l2vault.vault.store.catalog import Catalog, unreported
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import VaultLock
from support.judge import Judgement, Truth, judge_lines, judge_slots, lines_of
from support.two_recorders import CADENCE_MS, INST_IDS, START_MS, Act, Recorded, record_two

SECONDS = 240
ACTS = [
    Act(20, 0, "drop"),
    Act(35, 1, "drop", INST_IDS[1]),
    Act(45, 0, "cut", pause_sec=12),
    Act(70, 1, "restart", pause_sec=9),
    Act(95, 0, "kill", pause_sec=15),
    Act(102, 1, "cut", pause_sec=20),
    Act(150, 1, "drop"),
    Act(151, 0, "drop"),
    Act(170, 0, "cut", pause_sec=40),
]
"""Faults of the one while the other holds the book, and faults of both at once, around a midnight."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record_two(tmp_path_factory.mktemp("two"), 5, SECONDS, ACTS)


@pytest.fixture(scope="module")
def merged(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("merged") / "Vault"
    assert merge(recorded.roots, into) == 0
    return into


def merge(roots: list[Path], into: Path, *words: str) -> int:
    return cli.main(["merge", *map(str, roots), "--into", str(into), *words])


def states(root: Path, inst_id: str, end_ms: int) -> dict[int, tuple[str, str]]:
    coverage = open_vault(root).coverage(inst_id, START_MS, end_ms)
    return {
        slot_ms: (stretch.state, stretch.cause)
        for stretch in coverage.stretches
        for slot_ms in range(stretch.first_ms, stretch.last_ms + 1, stretch.cadence_ms)
    }


def files(root: Path) -> dict[str, bytes]:
    """Of what a merge makes; locks come and go."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.mark.parametrize("inst_id", INST_IDS)
def test_every_line_and_every_slot_is_what_the_exchange_knows(recorded: Recorded, merged: Path, inst_id: str) -> None:
    truth = Truth(recorded.world.instruments[inst_id].images)
    judgement = Judgement()
    lines = lines_of(merged, inst_id)
    found = states(merged, inst_id, recorded.end_ms)
    judge_lines(judgement, inst_id, lines, truth, set(), CADENCE_MS)
    judge_slots(judgement, inst_id, found, lines, truth, CADENCE_MS)
    assert judgement.complaints == []
    assert judgement.slots["recorded"] + judgement.slots["quiet"] > SECONDS / 2 * 0.6


@pytest.mark.parametrize("inst_id", INST_IDS)
def test_a_hole_is_left_only_where_both_have_one(recorded: Recorded, merged: Path, inst_id: str) -> None:
    one, other = (states(root, inst_id, recorded.end_ms) for root in recorded.roots)
    found = states(merged, inst_id, recorded.end_ms)
    wrong = {
        slot: (one[slot], other[slot], state)
        for slot, state in found.items()
        if (state[0] in COVERED) != (one[slot][0] in COVERED or other[slot][0] in COVERED)
    }
    assert wrong == {}
    holes = {slot: state for slot, state in found.items() if state[0] not in COVERED}
    assert 0 < len(holes) <= min(sum(state[0] not in COVERED for state in each.values()) for each in (one, other))
    for slot, (state, cause) in holes.items():
        known = [each[slot] for each in (one, other) if each[slot][0] == state]
        assert set(cause.split(", ")) - {""} == {each[1] for each in known} - {""}
    assert any("," in cause for _, cause in holes.values())
    vault = open_vault(merged)
    near = Holes(vault, inst_id)
    for hole in vault.coverage(inst_id, START_MS, recorded.end_ms).holes:
        if hole.kind == "missing" and hole.cause:
            spans = near.near(hole.end_ms)
            assert any(begin <= hole.start_ms and hole.end_ms <= end for begin, end in spans), "alerts see it too"


def test_an_instrument_is_named_in_any_case_and_one_that_no_vault_holds_is_refused(
    recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inst_id, *others = INST_IDS
    assert merge(recorded.roots, tmp_path / "one", "--inst", inst_id.lower()) == 0
    assert open_vault(tmp_path / "one").instruments() == [inst_id]
    assert merge(recorded.roots, tmp_path / "none", "--inst", f"{inst_id}X") == 1
    assert f"the vault holds nothing of {inst_id}X. Try: {inst_id}" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_verify_finds_nothing_in_a_merged_vault(merged: Path, recorded: Recorded) -> None:
    found = list(Verification(Layout(merged), recorded.end_ms + 10**8).run())
    assert [(each.file, each.kind, each.text) for each in found] == []
    assert list(Verification(Layout(merged), recorded.end_ms + 10**8).chain()) == []


def test_trades_are_the_union_by_their_ids(recorded: Recorded, merged: Path) -> None:
    for inst_id in INST_IDS:
        span = START_MS, recorded.end_ms
        ids = []
        for root in (*recorded.roots, merged):
            coverage = TradeReader(Layout(root)).coverage(inst_id, span)
            ids.append({id_ for run in coverage.runs for id_ in range(run.first_id, run.last_id + 1)})
        assert ids[2] == ids[0] | ids[1]
        assert ids[2] <= recorded.world.instruments[inst_id].matches.keys()


def test_values_of_the_context_are_present_where_either_vault_has_them(recorded: Recorded, merged: Path) -> None:
    span = START_MS, recorded.end_ms
    for inst_id in INST_IDS:
        one, other, found = (ContextReader(Layout(root)) for root in (*recorded.roots, merged))
        coverages = [reader.coverage(inst_id, span) for reader in (one, other, found)]
        shares = [coverage.share("mark") for coverage in coverages]
        assert 1 >= shares[2] > max(shares[:2])
        for at_ms in range(*span, 500):
            states_of = [
                [e.state for e in c.stretches if e.kind == "mark" and e.start_ms <= at_ms < e.end_ms] for c in coverages
            ]
            assert (states_of[2] == ["present"]) == (["present"] in states_of[:2])
        rows = list(found.rows(inst_id, span, unreported))
        grids = {row.grid_ms for reader in (one, other) for row in reader.rows(inst_id, span, unreported)}
        assert [row.grid_ms for row in rows] == sorted(grids)
        for reader in (one, other):
            by_grid = {row.grid_ms: row for row in rows}
            for row in reader.rows(inst_id, span, unreported):
                for kind in KINDS:
                    value, newest = row.value(kind), by_grid[row.grid_ms].value(kind)
                    assert value is None or (newest is not None and newest.ts_ms >= value.ts_ms)


def test_changes_are_one_vaults_whole_file_an_hour(recorded: Recorded, merged: Path) -> None:
    for path in merged.glob("raw/okx/book_changes/*/*/*"):
        name = path.relative_to(merged)
        assert _texts(path) in [_texts(root / name) for root in recorded.roots]
    for inst_id in INST_IDS:
        shares = []
        for root in (*recorded.roots, merged):
            layout = Layout(root)
            span = START_MS, START_MS + 75_000  # the first of the two hours
            catalog = Catalog(layout.of("changes"))
            shares.append(change_coverage(catalog, JournalIndex(layout), inst_id, span).share())
        assert shares[2] == max(shares[:2])


def test_a_second_merge_changes_nothing(recorded: Recorded, merged: Path) -> None:
    before = files(merged)
    assert merge(recorded.roots, merged) == 0
    assert files(merged) == before


def test_what_the_vaults_deleted_since_stays_in_the_result(recorded: Recorded, tmp_path: Path) -> None:
    roots = [shutil.copytree(root, tmp_path / root.name) for root in recorded.roots]
    into = tmp_path / "Merged"
    merge(roots, into)
    before = {name: data for name, data in files(into).items() if name.startswith(("raw", "meta/okx/journal/"))}
    shutil.rmtree(roots[0] / "raw")
    for path in roots[1].glob("raw/okx/*/*/*/23.jsonl*"):
        path.unlink()
    assert merge(roots, into) == 0
    after = files(into)
    assert {name: after[name] for name in before} == before


class _Killed(BaseException):
    """In place of SIGKILL: nothing catches it, and what was not written stays so."""


def _stop_at(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException, is_after: bool) -> None:
    """Before or behind that step on the disk."""
    done = iter(range(1, 10_000))
    write, append = run.write_atomically, Journal._append

    def stopped(do: Callable[..., None], *args: object) -> None:
        is_it = next(done) == step
        if is_it and not is_after:
            raise error
        do(*args)
        if is_it:
            raise error

    monkeypatch.setattr(run, "write_atomically", lambda *args: stopped(write, *args))
    monkeypatch.setattr(Journal, "_append", lambda *args: stopped(append, *args))


@pytest.mark.parametrize("step", [1, 3, 9, 22, 60])
@pytest.mark.parametrize("is_after", [False, True])
def test_a_merge_killed_at_any_step_goes_on_to_the_same_vault(
    recorded: Recorded, merged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, is_after: bool
) -> None:
    into = tmp_path / "Vault"
    with monkeypatch.context() as patched, pytest.raises(_Killed):
        _stop_at(patched, step, _Killed(), is_after)
        merge(recorded.roots, into)
    assert merge(recorded.roots, into) == 0
    kept = ("raw", "meta/okx/merged", "meta/okx/instruments")
    found, wanted = (
        {name: data for name, data in files(root).items() if name.startswith(kept)} for root in (into, merged)
    )
    assert found == wanted
    for inst_id in INST_IDS:
        assert states(into, inst_id, recorded.end_ms) == states(merged, inst_id, recorded.end_ms)
    assert list(Verification(Layout(into), recorded.end_ms + 10**8).run()) == []


@pytest.mark.parametrize("step", [1, 2, 4, 23])
def test_a_full_disk_ends_in_one_sentence_with_nothing_half_written(
    recorded: Recorded,
    merged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    step: int,
) -> None:
    into = tmp_path / "Vault"
    with monkeypatch.context() as patched:
        _stop_at(patched, step, OSError(errno.ENOSPC, "No space left on device"), False)
        assert merge(recorded.roots, into) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert "No space left on device. The hours before it are merged whole. Try: make room" in said
    assert not [path for path in into.rglob("*.tmp")]
    whole = files(merged)
    assert all(whole[name] == data for name, data in files(into).items() if name.startswith("raw"))
    assert merge(recorded.roots, into) == 0
    assert {name for name in files(into) if name.startswith("raw")} == {
        name for name in whole if name.startswith("raw")
    }


def test_day_files_are_the_union_of_their_lines(recorded: Recorded, tmp_path: Path) -> None:
    roots = [Path(shutil.copytree(root, tmp_path / root.name)) for root in recorded.roots]
    one, other = (Layout(root).day_file("liquidations", START_MS) for root in roots)
    lines = [
        liquidation_to_line(
            Liquidation(INST_IDS[0], START_MS + at, "buy", "short", "1", str(at + 1), "0", ""), 10**15 + at
        )
        for at in range(6)
    ]
    later = lines[2].replace(b'"recv_utc":"2001', b'"recv_utc":"2002')
    for path, held in (
        (one, [lines[0], lines[1], later]),
        (other, [lines[2], b'{"key": "of nobody"}', lines[4], lines[5], b'{"torn']),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(held) + b"\n" * (held[-1] is later))
    into = tmp_path / "Merged"
    for _ in range(2):
        assert merge(roots, into) == 0
        found = Layout(into).day_file("liquidations", START_MS)
        assert found.read_bytes().splitlines() == [lines[at] for at in (0, 1, 2, 4, 5)]
        changed_ns = found.stat().st_mtime_ns
    assert list(Verification(Layout(into), recorded.end_ms + 10**8).run()) == []
    assert merge(roots, into) == 0
    assert found.stat().st_mtime_ns == changed_ns


def test_what_its_own_retention_deleted_does_not_come_back(recorded: Recorded, merged: Path, tmp_path: Path) -> None:
    roots = [Path(shutil.copytree(root, tmp_path / root.name)) for root in recorded.roots]
    into = tmp_path / "Merged"
    assert merge(roots, into) == 0
    gone = sorted(into.glob("raw/okx/l2_perps/*/2025-12-31/23.jsonl.gz"))
    journal = verb_journal(Layout(into), "retain", lambda: "2026-11-26T05:00:00.000Z", lambda: 0)
    for path in gone:
        name = path.relative_to(into).as_posix()
        journal.append(Retained("2026-11-26T05:00:00.000Z", "delete", name, "by age", path.stat().st_size, 0))
        path.unlink()
    for path in roots[0].glob("raw/okx/l2_perps/*/2025-12-31/23.jsonl"):
        compress(path)
    before = files(into)
    assert len(gone) == 2
    assert merge(roots, into) == 0
    assert files(into) == before


def test_a_merged_vault_may_be_merged_again(recorded: Recorded, merged: Path, tmp_path: Path) -> None:
    one, other = recorded.roots
    first, into = tmp_path / "First", tmp_path / "Second"
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    shutil.copytree(one / "meta", lonely / "meta")
    assert merge([one, lonely], first) == 0
    assert merge([first, other], into) == 0
    for inst_id in INST_IDS:
        assert states(into, inst_id, recorded.end_ms) == states(merged, inst_id, recorded.end_ms)
        assert lines_of(into, inst_id) == lines_of(merged, inst_id)
    assert list(Verification(Layout(into), recorded.end_ms + 10**8).run()) == []


def test_hours_come_whole_though_a_copy_of_a_vault_ended_within_one(
    recorded: Recorded, merged: Path, tmp_path: Path
) -> None:
    """A vault copied while it was recorded: the hour up to its last whole line, and the rest with the next merge."""
    roots = [Path(shutil.copytree(root, tmp_path / root.name)) for root in recorded.roots]
    into = tmp_path / "Merged"
    cut = []
    for path in sorted(roots[0].glob("raw/okx/*/*/2026-01-01/00.jsonl")):
        cut.append((path, path.read_bytes()))
        path.write_bytes(cut[-1][1][: len(cut[-1][1]) // 3])
    assert len(cut) >= 4
    assert merge(roots, into) == 0
    for path, data in cut:
        path.write_bytes(data)
    assert merge(roots, into) == 0
    for inst_id in INST_IDS:
        assert states(into, inst_id, recorded.end_ms) == states(merged, inst_id, recorded.end_ms)
        assert lines_of(into, inst_id) == lines_of(merged, inst_id)
    assert list(Verification(Layout(into), recorded.end_ms + 10**8).run()) == []


def test_hours_that_a_recorder_writes_are_left_for_now(
    recorded: Recorded, merged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "Merged"
    live = Path(shutil.copytree(recorded.roots[1], tmp_path / "live"))
    lock = VaultLock(Layout(live))
    lock.acquire("2026-01-01T00:02:00.000Z")
    lock.note("1" * 12, [(inst_id, utc_ms("2026-01-01T00:00:00.000Z")) for inst_id in INST_IDS])
    try:
        assert merge([recorded.roots[0], live], into) == 0
    finally:
        lock.release()
    assert "8 hours left for now: a recorder is writing them" in capsys.readouterr().out
    assert {path.parent.name for path in into.glob("raw/okx/*/*/*/*")} == {"2025-12-31"}
    assert merge([recorded.roots[0], live], into) == 0
    for inst_id in INST_IDS:
        assert lines_of(into, inst_id) == lines_of(merged, inst_id)


def test_lines_in_a_wrong_place_come_from_the_other_vault(recorded: Recorded, tmp_path: Path) -> None:
    """Lines of another instrument, another hour and out of order, and one that does not read."""
    roots = [Path(shutil.copytree(root, tmp_path / root.name)) for root in recorded.roots]
    inst_id, day = INST_IDS[0], "2026-01-01"
    path = roots[1] / f"raw/okx/l2_perps/{inst_id}/{day}/00.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    strange = (roots[1] / f"raw/okx/l2_perps/{INST_IDS[1]}/{day}/00.jsonl").read_bytes().splitlines(keepends=True)[0]
    former = (roots[1] / f"raw/okx/l2_perps/{inst_id}/2025-12-31/23.jsonl").read_bytes().splitlines(keepends=True)[0]
    lines[3:6] = [strange, former, lines[8]]
    lines[12] = lines[12].replace(b'"0","', b'"0",x', 1)
    path.write_bytes(b"".join(lines))
    into = tmp_path / "Merged"
    assert merge(roots, into) == 0
    truth = Truth(recorded.world.instruments[inst_id].images)
    judgement = Judgement()
    found = states(into, inst_id, recorded.end_ms)
    judge_lines(judgement, inst_id, lines_of(into, inst_id), truth, set(), CADENCE_MS)
    judge_slots(judgement, inst_id, found, lines_of(into, inst_id), truth, CADENCE_MS)
    assert judgement.complaints == []
    one, other = (states(root, inst_id, recorded.end_ms) for root in roots)
    assert all((found[slot][0] in COVERED) == (one[slot][0] in COVERED or other[slot][0] in COVERED) for slot in found)
    assert list(Verification(Layout(into), recorded.end_ms + 10**8).run()) == []


def test_the_note_of_an_hour_says_which_vault_brought_which_lines(recorded: Recorded, merged: Path) -> None:
    layout = Layout(merged)
    hour_ms = utc_ms("2026-01-01T00:00:00.000Z")
    note = msgspec.json.decode(layout.merged_file(INST_IDS[0], hour_ms).read_bytes())
    names = [name for name, count in note["brought"] for _ in range(count)]
    assert set(names) == {root.resolve().as_posix() for root in recorded.roots}
    of = {root.resolve().as_posix(): {str(line) for line in lines_of(root, INST_IDS[0])} for root in recorded.roots}
    lines = [line for line in lines_of(merged, INST_IDS[0]) if line["timestamp_utc"] >= "2026"]
    assert len(lines) == len(names) == note["lines"]
    assert all(str(line) in of[name] for line, name in zip(lines, names, strict=True))


def test_books_that_contradict_are_disputed_and_both_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A level goes wrong on the one feed of one vault, unseen by it; the other vault shows it."""
    recorded = record_two(tmp_path, 8, 100, [Act(at_sec, 1, "wrong_level") for at_sec in range(30, 80, 2)])
    inst_id, into = INST_IDS[0], tmp_path / "Merged"
    assert merge(recorded.roots, into) == 0
    found = states(into, inst_id, recorded.end_ms)
    disputed = {slot for slot, state in found.items() if state[0] == "disputed"}
    truth = Truth(recorded.world.instruments[inst_id].images)
    wrong = Judgement()
    judge_lines(wrong, inst_id, lines_of(recorded.roots[1], inst_id), truth, set(), CADENCE_MS)
    assert len(wrong.wrong_lines) > 2  # nobody told that recorder
    right = Judgement()
    judge_lines(right, inst_id, lines_of(into, inst_id), truth, disputed, CADENCE_MS)
    assert right.complaints == []
    assert len(disputed) == len(wrong.wrong_lines)
    assert f"disputed: {inst_id} books" in capsys.readouterr().out
    notes = [msgspec.json.decode(path.read_bytes()) for path in into.glob(f"meta/okx/merged/l2_perps/{inst_id}/*/*")]
    aside = {text for note in notes for _, text in note["aside"]}
    kept = aside | {line for path in into.glob(f"raw/okx/l2_perps/{inst_id}/*/*") for line in _texts(path)}
    every = {
        line
        for root in recorded.roots
        for path in root.glob(f"raw/okx/l2_perps/{inst_id}/*/*")
        for line in _texts(path)
    }
    assert {line for line in every if any(cut in line for cut in map(_time, aside))} <= kept
    shutil.rmtree(recorded.roots[1] / "raw")  # the dispute stays, whoever deletes what
    assert merge(recorded.roots, into) == 0
    assert states(into, inst_id, recorded.end_ms) == found


def _texts(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()


def _time(line: str) -> str:
    return line[:42]


def test_a_target_that_is_no_vault_of_merge_is_refused(
    recorded: Recorded, merged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = recorded.roots
    assert merge([one, other], other) == 2
    assert merge([one, one], tmp_path / "New") == 2
    assert merge([one], tmp_path / "New") == 2
    assert merge([one, other], Path(shutil.copytree(one, tmp_path / "Recorded"))) == 1
    assert merge([one, tmp_path / "none"], tmp_path / "New") == 1
    assert merge([one, other], other / "Merged") == 2
    assert merge([one, other], tmp_path / "New", "--from", "2026-01-02", "--to", "2026-01-01") == 2
    assert not (other / "Merged").exists()
    archive = Path(shutil.copytree(one, tmp_path / "okx_archive"))
    assert merge([other, archive], tmp_path / "New") == 2
    assert merge([one, other], tmp_path / "Of" / "okx_archive") == 2
    assert not (tmp_path / "New").exists()
    lock = VaultLock(Layout(merged))
    lock.acquire("2026-01-01T00:02:00.000Z")
    try:
        assert merge([one, other], merged) == 1
    finally:
        lock.release()
    said = capsys.readouterr().err.splitlines()
    words = [
        "named twice: it is the target",
        "named twice",
        "one vault alone",
        "none that merge made",
        "no vault",
        "lies in ",
        "no hour lies between them",
        "is of OKX's archive: in ",
        "was recorded: in ",
        "another merge is at work in ",
    ]
    assert len(said) == len(words)
    assert all(word in line and " Try: " in line for word, line in zip(words, said, strict=True))
