"""The folder of an export is whole or not there, and nothing that is none of ours is replaced."""

import pytest

from l2vault.errors import UsageError, VaultError
from l2vault.exports.target import LABEL, SCHEMA, new_folder


def fill(folder, text="new"):
    (folder / "data").mkdir()
    (folder / "data" / "x").write_text(text)
    (folder / LABEL).write_text(f'{{"schema": "{SCHEMA}"}}')


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_is_there_once_it_is_whole(tmp_path):
    out = tmp_path / "deep" / "out"
    with new_folder(out, False) as folder:
        fill(folder)
        assert not out.exists()
    assert (out / "data" / "x").read_text() == "new"
    assert names(out.parent) == ["out"]


def test_nothing_is_left_of_one_that_fails(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out", False) as folder:
        fill(folder)
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_disk_that_takes_no_more_ends_in_a_sentence(tmp_path):
    for error, cure in (
        (OSError(28, "No space left on device"), "with more room"),
        (PermissionError(13, "Permission denied"), "or let this user write there"),
    ):
        said = f"cannot write .*out: {error.strerror}.*another --out, {cure}"
        with pytest.raises(VaultError, match=said), new_folder(tmp_path / "out", False):
            raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize("is_forced", [False, True])
def test_of_two_at_once_the_second_is_refused_and_touches_nothing_of_the_first(tmp_path, is_forced):
    out = tmp_path / "out"
    if is_forced:
        with new_folder(out, False) as folder:
            fill(folder, "old")
    with new_folder(out, is_forced) as folder:
        fill(folder)
        for other in (False, True):
            refused = pytest.raises(VaultError, match=r"another export is writing .*out\. Try: another --out, or")
            with refused, new_folder(out, other):
                pytest.fail("it was begun")
        with new_folder(tmp_path / "out2", False) as beside:
            fill(beside)
    assert (out / "data" / "x").read_text() == "new"
    assert names(tmp_path) == ["out", "out2"]


def test_one_refused_for_what_stands_there_leaves_the_next_its_turn(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_text("mine")
    (tmp_path / ".out.exporting").mkdir()
    with pytest.raises(UsageError, match="exists already"), new_folder(tmp_path / "out", False):
        pytest.fail("it was begun")
    (tmp_path / "out").rename(tmp_path / "mine")
    with new_folder(tmp_path / "out", False) as folder:
        fill(folder)
    assert names(tmp_path) == ["mine", "out"]


def test_what_a_killed_one_left_is_in_nobodys_way(tmp_path):
    (tmp_path / ".out.exporting").mkdir()
    (tmp_path / ".out.exporting" / "old").write_text("half")
    with new_folder(tmp_path / "out", False) as folder:
        fill(folder)
    assert names(tmp_path) == ["out"]
    assert "old" not in names(tmp_path / "out")


def test_killed_between_two_names_the_export_made_before_comes_back(tmp_path):
    out = tmp_path / "out"
    with new_folder(out, False) as folder:
        fill(folder, "old")
    out.rename(tmp_path / ".out.replaced")
    with pytest.raises(UsageError, match="exists already"), new_folder(out, False):
        pytest.fail("it was begun")
    assert (out / "data" / "x").read_text() == "old" and names(tmp_path) == ["out"]
    (tmp_path / ".out.replaced").mkdir()
    with new_folder(out, True) as folder:
        fill(folder)
    assert (out / "data" / "x").read_text() == "new" and names(tmp_path) == ["out"], "and one that was replaced goes"


def test_what_exists_is_replaced_only_on_request_and_only_if_it_is_ours(tmp_path):
    out = tmp_path / "out"
    with new_folder(out, False) as folder:
        fill(folder, "old")
    with pytest.raises(UsageError, match="exists already.*--force"), new_folder(out, False):
        pytest.fail("it was begun")
    with pytest.raises(RuntimeError), new_folder(out, True):
        raise RuntimeError
    assert (out / "data" / "x").read_text() == "old"
    with new_folder(out, True) as folder:
        fill(folder)
    assert (out / "data" / "x").read_text() == "new"
    assert names(tmp_path) == ["out"]
    (out / LABEL).write_text('{"schema": "another"}')
    with pytest.raises(UsageError, match="is no export of l2vault"), new_folder(out, True):
        pytest.fail("it was begun")


@pytest.mark.parametrize("label", [b"[" * 100_000, b"", b"[]", b'{"schema":' + b"9" * 5_000 + b"}"])
def test_a_folder_with_another_label_is_no_export(tmp_path, label):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LABEL).write_bytes(label)
    with pytest.raises(UsageError, match="is no export of l2vault"), new_folder(tmp_path / "out", True):
        pytest.fail("it was begun")


@pytest.mark.parametrize("name", ["file", "full", "link", "link_to_ours"])
def test_files_folders_and_links_of_others_stay(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    with new_folder(tmp_path / "ours", False) as folder:
        fill(folder)
    (tmp_path / "link_to_ours").symlink_to(tmp_path / "ours")
    with pytest.raises(UsageError, match="is no export of l2vault"), new_folder(tmp_path / name, True):
        pytest.fail("it was begun")
    assert (tmp_path / "full" / "x").read_text() == "mine"
