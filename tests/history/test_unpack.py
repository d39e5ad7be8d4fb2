"""Hostile archives end with the reason, hold no more memory than a block, and leave nothing on the disk."""

from pathlib import Path

import pytest

from l2vault.history.unpack import ArchiveDamage, lines_of
from l2vault.sim.exchange.hostile_files import hostile
from support.archive_world import ArchiveWorld


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("torn", "torn"),
        ("two-members", "second member"),
        ("link", "no plain file"),
        ("bomb", "100 times"),
        ("long-line", "4 MB"),
        ("html", "no gzip"),
    ],
)
def test_an_archive_that_is_none_is_refused_by_its_reason(
    world: ArchiveWorld, tmp_path: Path, kind: str, says: str
) -> None:
    path = tmp_path / "day.tar.gz"
    path.write_bytes(hostile(kind, world.files[0].path))
    with pytest.raises(ArchiveDamage, match=says):
        for _ in lines_of(path):
            pass
    assert [each.name for each in tmp_path.iterdir()] == ["day.tar.gz"]


def test_the_name_of_the_member_means_nothing(world: ArchiveWorld, tmp_path: Path) -> None:
    path = tmp_path / "day.tar.gz"
    path.write_bytes(hostile("outside", world.files[0].path))
    assert list(lines_of(path)) == list(lines_of(world.files[0].path))


def test_a_zip_of_a_link_or_of_two_files_is_refused(world: ArchiveWorld, tmp_path: Path) -> None:
    import stat
    import zipfile

    link, two = tmp_path / "link.zip", tmp_path / "two.zip"
    with zipfile.ZipFile(link, "w") as packed:
        member = zipfile.ZipInfo("a.csv")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(member, "/etc/passwd")
    with zipfile.ZipFile(two, "w") as packed:
        packed.writestr("a.csv", "1")
        packed.writestr("b.csv", "2")
    for path, says in ((link, "no plain file"), (two, "2 members")):
        with pytest.raises(ArchiveDamage, match=says):
            list(lines_of(path))
    for name, data, says in (("bomb", b"1\n" * 2_000_000, "100 times"), ("long", bytes(5_000_000), "4 MB|100 times")):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("a.csv", data)
        with pytest.raises(ArchiveDamage, match=says):
            for _ in lines_of(tmp_path / f"{name}.zip"):
                pass
    good = next(file.path for file in world.files if file.kind == "trades")
    torn = tmp_path / "torn.zip"
    torn.write_bytes(good.read_bytes()[:-40])
    with pytest.raises(ArchiveDamage, match="zip"):
        list(lines_of(torn))


@pytest.mark.parametrize("share", [0.5, 0.8, 0.999])
def test_cut_anywhere_a_whole_file_is_torn_and_a_sample_gives_whole_lines(
    world: ArchiveWorld, tmp_path: Path, share: float
) -> None:
    good = world.files[1].path
    path = tmp_path / "day.tar.gz"
    path.write_bytes(good.read_bytes()[: int(good.stat().st_size * share)])
    every = list(lines_of(good))
    found = list(lines_of(path, is_sample=True))
    assert found == every[: len(found)] and found
    with pytest.raises(ArchiveDamage, match="torn"):
        list(lines_of(path))
