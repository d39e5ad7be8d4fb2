"""What is a vault, and what is said where there is none."""

from pathlib import Path

import pytest

import l2vault
from l2vault.errors import VaultError
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.root import open_layout


@pytest.mark.parametrize("part", ["raw/okx/l2_perps", "meta/okx/journal", "archive/okx/l2_perps/levels"])
def test_a_folder_with_any_part_of_a_vault_is_one(tmp_path: Path, part: str) -> None:
    (tmp_path / part).mkdir(parents=True)
    assert open_layout(tmp_path).root == tmp_path
    assert open_vault(str(tmp_path)).instruments() == []


def test_any_other_place_is_refused_with_the_same_cure_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    for name, why in (("folder", "has neither raw/okx nor meta/okx"), ("file", "it is no folder"), ("none", "none.")):
        for opened in (open_layout, open_vault):
            with pytest.raises(VaultError, match=f"^no vault at .*{why}") as refused:
                opened(tmp_path / name)
            assert refused.value.cure.startswith("--vault with the folder that the recorder writes to")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize("name", ["a\0b", "x" * 100_000, "bad\x1b[2Jname\n"])
def test_a_name_that_no_folder_has_is_one_short_sentence(name: str) -> None:
    with pytest.raises(VaultError, match="no vault at") as refused:
        open_layout(name)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 600


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_no_vault_even_where_the_working_folder_is_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw/okx").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert open_layout(".").root == Path()
    for opened in (open_layout, open_vault, l2vault.open):
        with pytest.raises(VaultError, match=f"no vault here: '{name}' names no folder"):
            opened(name)
