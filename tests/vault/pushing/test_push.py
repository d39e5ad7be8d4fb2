"""Closed hours in an object store: each sent once, whole, whenever a push is killed and whoever else pushes."""

import gzip
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.config import Settings
from l2vault.errors import UsageError, VaultError
from l2vault.vault.pushing.hold import due_files
from l2vault.vault.pushing.objects import Objects
from l2vault.vault.pushing.run import Push, Step
from l2vault.vault.retention.compress import compress
from l2vault.vault.retention.plan import Clocks, Policy, policy_of, select
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.days import DAY_KINDS
from l2vault.vault.store.layout import HOUR_MS, DayKind, Layout, packed_path
from l2vault.vault.store.pushed import unpushed_hours
from support.hours import HOUR_AT_MS, INST
from support.vaults import good_vault

pytest.importorskip("obstore", reason="the extra push")
from obstore.store import MemoryStore  # noqa: E402

URL = "s3://bucket/l2"
NOW_MS = HOUR_AT_MS + 10 * HOUR_MS


class Killed(BaseException):
    """What no code catches."""


class Counted(Objects):
    """A store that counts what it is sent, and is gone at a chosen request, before or after that was done."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store, URL)
        self.sent: list[str] = []
        self.requests = 0
        self.kill_at = -1
        self.before_commit: Callable[[], object] = lambda: None

    def create(self, key: str, data: bytes) -> bool:
        self._request()
        if key.startswith("manifest/"):
            act, self.before_commit = self.before_commit, lambda: None
            act()
        made = super().create(key, data)
        if made:
            self.sent.append(key)
        self._request()
        return made

    def digest(self, key: str) -> tuple[int, str] | None:
        self._request()
        return super().digest(key)

    def delete(self, key: str) -> None:
        self._request()
        super().delete(key)
        self._request()

    def _request(self) -> None:
        self.requests += 1
        if self.requests == self.kill_at:
            raise Killed


def quiet(done: int, total: int, name: str) -> None:
    assert 0 <= done <= total


def push(layout: Layout, objects: Objects, wall_ms: int = NOW_MS) -> Push:
    pushing = Push(layout, objects, due_files(layout, wall_ms))
    pushing.check_owner(may_make=True)
    pushing.run(quiet)
    return pushing


def contents(store: MemoryStore) -> dict[str, bytes]:
    """What the newest manifests name, by the names in the vault."""
    objects, newest = Objects(store, URL), {}
    for key in objects.keys("manifest"):
        newest[key.split("/")[1]] = key
    found = {}
    for key in newest.values():
        for name, stored in json.loads(objects.read(key) or b"")["files"].items():
            data = objects.read(stored["key"])
            assert data is not None, name
            found[name] = data
    return found


def files(layout: Layout) -> dict[str, bytes]:
    return {due.name: due.path.read_bytes() for due in due_files(layout, NOW_MS)}


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = good_vault(tmp_path / "Vault")
    for path in layout.root.rglob("*.jsonl"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return layout


def test_every_closed_file_is_sent_once_and_a_second_push_sends_nothing(layout: Layout) -> None:
    store = MemoryStore()
    first = Counted(store)
    report = push(layout, first).report
    assert contents(store) == files(layout)
    assert report.sent == len(files(layout)) == 5  # three hours, the journal, a row
    again = Counted(store)
    assert push(layout, again).report.unchanged == 5
    assert again.sent == []
    shutil.rmtree(layout.pushed / next(path.name for path in layout.pushed.iterdir() if path.is_dir()))
    assert push(layout, again).report.unchanged == 5
    assert again.sent == []


def test_progress_ends_with_all_bytes_done(layout: Layout) -> None:
    seen: list[tuple[int, int, str]] = []
    pushing = Push(layout, Counted(MemoryStore()), due_files(layout, NOW_MS))
    pushing.check_owner(may_make=True)
    pushing.run(lambda *step: seen.append(step))
    total = sum(map(len, files(layout).values()))
    assert seen[0][:2] == (0, total) and seen[-1] == (total, total, "")


def test_an_hour_that_has_not_ended_or_that_a_recorder_still_writes_is_not_due(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hours(wall_ms: int) -> list[str]:
        return [due.path.stem for due in due_files(layout, wall_ms) if due.path.parent.parent.name == INST]

    third_ms = HOUR_AT_MS + 2 * HOUR_MS
    assert hours(third_ms + HOUR_MS) == ["03", "04", "05"]
    assert hours(third_ms + HOUR_MS - 1) == ["03", "04"]
    monkeypatch.setattr("l2vault.vault.pushing.hold.open_hours", lambda layout: {(INST, third_ms)})
    assert hours(NOW_MS) == ["03", "04"]


def test_what_a_grown_file_was_before_is_deleted_once_and_noted_as_deleted(layout: Layout) -> None:
    store = MemoryStore()
    push(layout, Counted(store))
    journal = next(layout.journal.glob("*.jsonl"))
    journal.write_bytes(journal.read_bytes() + b"{}\n")
    push(layout, Counted(store))
    assert contents(store) == files(layout)
    notes = [json.loads(path.read_bytes()) for path in layout.pushed.rglob("*.json")]
    assert [note["undeleted"] for note in notes if "undeleted" in note] == [[], []], "of the day and of the rows"


@pytest.mark.parametrize("kind", DAY_KINDS)
def test_a_day_file_that_was_compressed_stands_in_one_form(layout: Layout, kind: DayKind) -> None:
    path = layout.day_file(kind, HOUR_AT_MS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{}\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    store, later_ms = MemoryStore(), HOUR_AT_MS + 3 * 24 * HOUR_MS
    push(layout, Counted(store), later_ms)
    name = path.relative_to(layout.root).as_posix()
    assert name in contents(store)
    packed_path(path).write_bytes(gzip.compress(b"{}\n"))
    os.utime(packed_path(path), (1_700_000_000, 1_700_000_000))
    path.unlink()
    push(layout, Counted(store), later_ms)
    assert [each for each in contents(store) if each.startswith(name)] == [f"{name}.gz"]


def test_a_file_that_goes_before_its_turn_is_counted_and_not_sent(layout: Layout) -> None:
    store = MemoryStore()
    pushing = Push(layout, Counted(store), due_files(layout, NOW_MS))
    pushing.check_owner(may_make=True)
    gone = next(due for due in due_files(layout, NOW_MS) if due.path.suffix == ".jsonl")
    pushing.run(lambda done, total, name: gone.path.unlink() if name == gone.name else None)
    assert (pushing.report.gone, pushing.report.sent, pushing.report.failed) == (1, 4, [])
    assert gone.name not in contents(store)


def test_a_file_that_is_gone_since_it_was_listed_is_no_unchanged_one(layout: Layout) -> None:
    store = MemoryStore()
    push(layout, Counted(store))
    pushing = Push(layout, Counted(store), due_files(layout, NOW_MS))
    layout.hour_file(INST, HOUR_AT_MS).unlink()
    report = pushing.run(quiet)
    assert (report.gone, report.unchanged, report.sent) == (1, 4, 0)


def test_a_file_that_was_touched_or_copied_is_read_once_to_see_that_it_is_the_same(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    push(layout, Counted(store))
    due, read = due_files(layout, NOW_MS), []
    for each in due:
        os.utime(each.path, (1_700_000_009, 1_700_000_009))
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or read_bytes(path))
    pushing = Push(layout, Counted(store), due)
    assert pushing.plan() == [] == pushing.plan()
    report = pushing.run(quiet)
    assert (report.unchanged, report.sent, report.found) == (5, 0, 0)
    assert sorted(path for path in read if path in {each.path for each in due}) == sorted(each.path for each in due)
    due[0].path.write_bytes(b"other bytes\n")
    assert [step.due for step in pushing.plan()] == due[:1], "one that changed since it was read is read again"


def owned_and_copied(layout: Layout, store: MemoryStore, root: Path) -> Layout:
    """The store is of the vault; its copy has an hour more."""
    Push(layout, Objects(store, URL), []).check_owner(may_make=True)
    copy = Layout(root)
    shutil.copytree(layout.root, copy.root)
    hour = copy.hour_file(INST, HOUR_AT_MS + 4 * HOUR_MS)
    hour.write_bytes(b"an hour of the copy alone\n")
    os.utime(hour, (1_700_000_000, 1_700_000_000))
    return copy


def test_a_day_that_another_push_commits_first_is_counted_once(layout: Layout, tmp_path: Path) -> None:
    """By the one that looks at it twice."""
    store = MemoryStore()
    copy = owned_and_copied(layout, store, tmp_path / "copy")
    gone, torn = layout.hour_file(INST, HOUR_AT_MS), layout.hour_file(INST, HOUR_AT_MS + HOUR_MS)
    (copy.root / gone.relative_to(layout.root)).unlink()
    pushing = Push(layout, one := Counted(store), due_files(layout, NOW_MS))
    pushing.check_owner(may_make=True)
    gone.unlink()
    torn.unlink()
    torn.mkdir()
    one.before_commit = lambda: push(copy, Counted(store))
    report = pushing.run(quiet)
    assert (report.gone, len(report.failed)) == (1, 1)
    assert report.sent == len(one.sent) - sum(key.startswith("manifest/") for key in one.sent)
    assert report.found + report.sent + report.unchanged + report.gone + len(report.failed) == 5


def test_killed_at_any_request_the_next_push_goes_on_and_nothing_is_sent_twice(layout: Layout, tmp_path: Path) -> None:
    whole = Counted(MemoryStore())
    push(layout, whole)
    shutil.rmtree(layout.pushed)
    for moment in range(1, whole.requests + 1):
        copy = Layout(tmp_path / f"copy{moment}")
        shutil.copytree(layout.root, copy.root)
        store = MemoryStore()
        objects = Counted(store)
        objects.kill_at = moment
        with pytest.raises(Killed):
            push(copy, objects)
        compress(copy.hour_file(INST, HOUR_AT_MS))
        push(copy, objects)
        assert contents(store) == files(copy)
        assert len(objects.sent) == len(set(objects.sent))
        shutil.rmtree(copy.root)


def test_what_a_killed_push_sent_is_found_by_the_next_one(layout: Layout) -> None:
    def kill() -> None:
        raise Killed

    objects = Counted(MemoryStore())
    objects.before_commit = kill
    with pytest.raises(Killed):
        push(layout, objects)
    report = push(layout, objects).report
    assert (report.found, report.sent, report.unchanged) == (4, 1, 0)  # three hours and the journal; a row


def test_a_file_that_was_pushed_and_cannot_be_read_any_more_is_a_changed_one(layout: Layout) -> None:
    store = MemoryStore()
    push(layout, Counted(store))
    due = due_files(layout, NOW_MS)
    torn = next(each for each in due if each.path == layout.hour_file(INST, HOUR_AT_MS))
    torn.path.unlink()
    torn.path.mkdir()
    pushing = Push(layout, Counted(store), due)
    assert pushing.plan() == [Step(torn, 0, is_changed=True)]
    (failed,) = pushing.run(quiet).failed
    assert failed.startswith(torn.name)


def test_a_compressed_hour_replaces_its_plain_form_and_other_lines_are_kept_beside(layout: Layout) -> None:
    store = MemoryStore()
    push(layout, Counted(store))
    same, other = layout.hour_file(INST, HOUR_AT_MS), layout.hour_file(INST, HOUR_AT_MS + HOUR_MS)
    names = [path.relative_to(layout.root).as_posix() for path in (same, other)]
    compress(same)
    other.with_name(f"{other.name}.gz").write_bytes(gzip.compress(other.read_bytes() + b"{}\n"))
    other.unlink()
    report = push(layout, Counted(store)).report
    assert (report.replaced, report.changed, report.sent) == ([names[0]], [names[1]], 2)
    assert contents(store) == files(layout)
    objects = Objects(store, URL)
    assert objects.read(names[0]) is None and objects.read(names[1]) is not None
    changed = layout.hour_file(INST, HOUR_AT_MS + 2 * HOUR_MS)
    changed.write_bytes(b"other bytes\n")
    os.utime(changed, (1_700_000_001, 1_700_000_001))
    name = changed.relative_to(layout.root).as_posix()
    assert push(layout, Counted(store)).report.changed == [name]
    assert contents(store)[name] == b"other bytes\n" and objects.read(name) != b"other bytes\n"
    push(layout, Counted(store))
    plain = layout.hour_file(INST, HOUR_AT_MS)
    plain.write_bytes(gzip.decompress(plain.with_name(f"{plain.name}.gz").read_bytes()))
    os.utime(plain, (1_700_000_000, 1_700_000_000))
    push(layout, Counted(store))
    assert contents(store) == files(layout) and objects.read(names[0]) is None  # a dropped key is never used again


def test_what_retention_deleted_stays_in_the_store(layout: Layout) -> None:
    store = MemoryStore()
    push(layout, Counted(store))
    before = contents(store)
    layout.hour_file(INST, HOUR_AT_MS).unlink()
    push(layout, Counted(store))
    assert contents(store) == before


def test_of_two_pushes_at_once_the_later_goes_on_from_what_the_other_committed(layout: Layout, tmp_path: Path) -> None:
    store = MemoryStore()
    copy = owned_and_copied(layout, store, tmp_path / "copy")
    own = layout.hour_file(INST, HOUR_AT_MS + 5 * HOUR_MS)
    own.write_bytes(b"an hour of the vault alone\n")
    os.utime(own, (1_700_000_000, 1_700_000_000))
    one = Counted(store)
    one.before_commit = lambda: push(copy, Counted(store))
    push(layout, one)
    assert contents(store) == files(copy) | files(layout)


def test_a_wrong_byte_in_the_store_is_found_and_sent_again(layout: Layout) -> None:
    store = MemoryStore()
    push(layout, Counted(store))
    name = layout.hour_file(INST, HOUR_AT_MS).relative_to(layout.root).as_posix()
    data = bytearray(bytes(store.get(name).bytes()))
    data[7] ^= 1
    store.put(name, bytes(data))
    pushing = Push(layout, Objects(store, URL), due_files(layout, NOW_MS))
    (found,) = pushing.verify(quiet)
    assert (found.name, found.what[:11]) == (name, "has SHA-256")
    pushing.run(quiet)
    assert contents(store) == files(layout)
    assert Push(layout, Objects(store, URL), []).verify(quiet) == []


def test_a_store_that_spoils_what_it_is_sent_commits_nothing(layout: Layout) -> None:
    class Spoiling(Objects):
        def create(self, key: str, data: bytes) -> bool:
            return super().create(key, data + b"!" if key.startswith("raw/") else data)

    store = MemoryStore()
    with pytest.raises(VaultError, match="other bytes of raw/"):
        push(layout, Spoiling(store, URL))
    assert not any(name.startswith("raw/") for name in contents(store))


def test_another_vault_is_refused_at_the_same_place(layout: Layout, tmp_path: Path) -> None:
    store = MemoryStore()
    push(layout, Objects(store, URL))
    with pytest.raises(VaultError, match="holds what another vault pushed"):
        push(good_vault(tmp_path / "Other"), Objects(store, URL))


def test_no_hour_is_deleted_that_is_not_pushed(layout: Layout) -> None:
    policy = Policy(delete_after_days=0.1, keep_until_pushed=URL)
    clocks = Clocks(NOW_MS, NOW_MS)

    def deleted() -> set[int]:
        held = Catalog(layout).files()
        kept = unpushed_hours(layout, policy.keep_until_pushed, held)
        plan = select(policy, held, clocks, 0, (), kept)
        return {action.held.hour_ms for action in plan if action.kind == "delete"}

    assert deleted() == set()
    push(layout, Objects(MemoryStore(), URL))
    hours = {HOUR_AT_MS + hour * HOUR_MS for hour in range(3)}
    assert deleted() == hours
    with layout.hour_file(INST, HOUR_AT_MS).open("ab") as file:
        file.write(b"{}\n")
    assert deleted() == hours - {HOUR_AT_MS}
    with pytest.raises(UsageError, match="needs the address"):
        policy_of(Settings(keep_until_pushed=True))


def test_retain_says_what_waits_for_a_push_and_deletes_it_after_one(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "store"
    store.mkdir()
    Path("l2vault.toml").write_text(f'push_url = "{store.as_uri()}"\nkeep_until_pushed = true\nvault = "Vault"\n')
    words = ["--trust-clock", "--yes"]
    assert cli.main(["retain", *words]) == 0
    assert f"3 hours, 39.4 kB, wait: not pushed to {store.as_uri()}" in capsys.readouterr().out
    assert len(Catalog(layout).files()) == 3
    assert cli.main(["push", "--dry-run"]) == 0
    assert "would send 6 objects" in capsys.readouterr().out and not any(store.iterdir())
    assert cli.main(["push"]) == 0
    assert "6 objects sent" in capsys.readouterr().out
    assert cli.main(["push", "--verify"]) == 0
    assert "0 objects sent, 0 B, read back and equal; 6 unchanged" in capsys.readouterr().out
    assert cli.main(["retain", *words]) == 0
    assert Catalog(layout).files() == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3://AKIA:hidden@bucket/x", "holds credentials, which belong in the environment"),
        ("s3://bucket/x?sig=hidden", "holds credentials, which belong in the environment"),
        ("ftp://hidden/x", "is no address of a store"),
        ("bucket hidden", "is no address of a store"),
    ],
)
def test_an_address_that_holds_a_secret_is_refused_and_never_repeated(
    url: str, says: str, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["push", "--vault", str(layout.root), "--to", url]) == 2
    err = capsys.readouterr().err
    assert says in err and "hidden" not in err


@pytest.mark.parametrize("place", ["", "store", "meta/okx/../.."])
def test_a_vault_is_not_pushed_into_itself(layout: Layout, capsys: pytest.CaptureFixture[str], place: str) -> None:
    """Its own files would be found there, and retention would think them safe."""
    (layout.root / "store").mkdir()
    before = sorted(layout.root.rglob("*"))
    assert cli.main(["push", "--vault", str(layout.root), "--to", f"{layout.root.as_uri()}/{place}"]) == 2
    assert "lies in the vault that is pushed. Try: a folder on another disk" in capsys.readouterr().err
    assert sorted(layout.root.rglob("*")) == before


def test_a_folder_that_is_not_there_is_one_sentence(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["push", "--vault", str(layout.root), "--to", "file:///no/such/disk"]) == 1
    assert capsys.readouterr().err.startswith("l2vault: there is no folder file:///no/such/disk. Try: make it first")
    assert cli.main(["push", "--vault", str(layout.root)]) == 2
    assert "no address to push to" in capsys.readouterr().err
