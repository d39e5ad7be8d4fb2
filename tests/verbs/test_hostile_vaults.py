"""Whatever stands in the place of journal, hours, rows and folders: every reading verb and the public door answer.

`benchmarks/hostile.py` tries 500 seeds of it, in processes whose memory is bounded.
"""

import shutil
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("pyarrow", reason="the verbs need the analysis extra")

from support.hostile import KINDS, read_all, spoil, vault_of

SEEDS = range(12)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vault_of(tmp_path_factory.mktemp("good") / "Vault").root


def test_a_sound_vault_is_read_without_a_complaint(good: Path) -> None:
    assert list(read_all(good)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_no_verb_ends_in_anything_but_an_answer(seed: int, good: Path, tmp_path: Path) -> None:
    root = tmp_path / "Vault"
    shutil.copytree(good, root)
    names = spoil(root, seed)
    assert list(read_all(root)) == [], names


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_changes_a_vault(kind: str, good: Path, tmp_path: Path) -> None:
    root = tmp_path / "Vault"
    for seed in range(20):
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(good, root)
        KINDS[kind](root, Random(seed))
        if _state(root) != _state(good):
            return
    pytest.fail("nothing changed")


def _state(root: Path) -> dict[str, tuple[bool, int, bytes]]:
    found = {}
    for path in root.rglob("*"):
        is_file = path.is_file() and not path.is_symlink()
        size = path.lstat().st_size
        found[path.relative_to(root).as_posix()] = is_file, size * is_file, path.read_bytes() if is_file else b""
    return found
