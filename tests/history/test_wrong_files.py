"""A file of the archive that is none, not whole, or another's ends each verb in one sentence with its name and the
cure; what was made of it before that stands whole, and nothing else is in the vault."""

import io
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from l2vault.history.naming import Wanted
from support import tiny_archive as tiny
from support.acts import Disk
from support.fetched import put_row
from support.history_verbs import AUDIT, REPAIR, Layout, Verb, copied, false_statements, run, state

Wrong = Callable[[Wanted], bytes]
FORTY_DAYS_MS = 40 * 86_400_000


def holding(each: Wanted, *members: tuple[str, bytes]) -> bytes:
    return tiny.zipped(*members) if each.name.endswith(".zip") else tiny.tarred(*members)


def good(each: Wanted) -> bytes:
    return tiny.packed(each, tiny.rows_of(each))


def text(each: Wanted) -> bytes:
    return b"\n".join(tiny.rows_of(each)) + b"\n"


def of_type(each: Wanted, tar_type: bytes, mode: int, name: str) -> bytes:
    held = io.BytesIO()
    if each.name.endswith(".zip"):
        with zipfile.ZipFile(held, "w") as archive:
            member = zipfile.ZipInfo(name)
            member.external_attr = (mode | 0o777) << 16
            archive.writestr(member, "/etc/passwd")
    else:
        with tarfile.open(fileobj=held, mode="w:gz") as tar:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tar_type, "/etc/passwd"
            tar.addfile(info)
    return held.getvalue()


def with_row(each: Wanted, row: bytes) -> bytes:
    """In the place of one in the middle."""
    rows = tiny.rows_of(each)
    at = len(rows) // 2
    return tiny.packed(each, [*rows[:at], row, *rows[at + 1 :]])


def of_another_day(each: Wanted) -> bytes:
    later = (
        re.sub(rb"17[67]\d{10}", lambda ms: b"%d" % (int(ms[0]) + FORTY_DAYS_MS), row) for row in tiny.rows_of(each)
    )
    return tiny.packed(each, list(later))


def of_the_other_kind(each: Wanted) -> bytes:
    return tiny.tarred(("day", text(each))) if each.name.endswith(".zip") else tiny.zipped(("day", text(each)))


WRONG: dict[str, Wrong] = {
    "a page": lambda each: b"<html><body>Please log in to this network</body></html>",
    "nothing": lambda each: b"",
    "cut in the middle": lambda each: good(each)[: len(good(each)) // 2],
    "cut at its end": lambda each: good(each)[:-9],
    "a zip for a tar": of_the_other_kind,
    "two members": lambda each: holding(each, ("a", text(each)), ("b", b"x")),
    "no member": lambda each: holding(each),
    "an empty member": lambda each: holding(each, ("day", b"")),
    "a link": lambda each: of_type(each, tarfile.SYMTYPE, stat.S_IFLNK, "day"),
    "a folder": lambda each: of_type(each, tarfile.DIRTYPE, stat.S_IFDIR, "day/"),
    "another instrument's": lambda each: tiny.packed(each, tiny.rows_of(each, "XYZ-USDT-SWAP")),
    "another day's": of_another_day,
    "a row that is none": lambda each: with_row(each, b"no row"),
    "a row of another form": lambda each: with_row(each, b'{"instId":"BTC-USDT-SWAP","action":"update","ts":1}'),
    "a row of zeros": lambda each: with_row(each, bytes(40)),
    "a last row that is torn": lambda each: holding(each, ("day", text(each)[:-20])),
}
KINDS = [
    *((each, ()) for each in tiny.EVERY if each.date != tiny.DAYS[0]),
    (tiny.wanted("books5000", tiny.DAY), ("--deep",)),
]
MAY_LACK_IT = tiny.wanted("funding", tiny.DAY)
"""A file of a day has all swaps, of which one need not be."""


def backfill(each: Wanted, deep: tuple[str, ...]) -> Verb:
    return Verb(each.name, ("backfill", tiny.INST, "--what", each.what, *deep), lambda folder: None)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_ends_a_backfill_in_one_sentence(wrong: str, tmp_path: Path) -> None:
    for number, (each, deep) in enumerate(KINDS):
        if (wrong, each) != ("another instrument's", MAY_LACK_IT):
            folder = tmp_path / str(number)
            put_row(Layout(folder / "Vault"))
            judge(folder, backfill(each, deep), tiny.put(folder / "Vault", each, WRONG[wrong](each)))


@pytest.mark.parametrize("verb", [AUDIT, REPAIR], ids=lambda verb: verb.name)
def test_a_wrong_file_ends_an_audit_and_a_repair_in_one_sentence(verb: Verb, tmp_path: Path) -> None:
    verb.prepare(tmp_path / "template")
    for wrong in ("a page", "cut at its end", "another instrument's", "a row that is none"):
        folder = copied(tmp_path / "template", tmp_path / "work")
        each = tiny.wanted("books400", tiny.DAY)
        judge(folder, verb, tiny.put(folder / "Vault", each, WRONG[wrong](each)))


@pytest.mark.parametrize("end", [b"\r\n", b"\n\n"])
def test_what_is_only_written_otherwise_is_no_damage(end: bytes, tmp_path: Path) -> None:
    """Lines that end as on Windows, blank ones, a mark of the byte order, columns without names."""
    for number, each in enumerate(each for each in tiny.EVERY if each.name.endswith(".zip")):
        folder = tmp_path / str(number)
        put_row(Layout(folder / "Vault"))
        rows = tiny.rows_of(each)
        rows = [b"\xef\xbb\xbf" + rows[0], *rows[1:]] if end == b"\r\n" else rows[1:]
        tiny.put(folder / "Vault", each, tiny.packed(each, rows, end))
        ran = run(backfill(each, ()), folder, Disk())
        assert ran.code == 0 and f": {21 if each.what == 'trades' else 1} " in ran.out, ran


def test_a_line_far_behind_a_newer_one_is_damage_and_one_a_little_behind_is_none(tmp_path: Path) -> None:
    rows = tiny.book_lines(tiny.DAY)
    for name, lines, code in (("far", [*rows, rows[0]], 1), ("near", [*rows[:3], rows[3], rows[2], *rows[4:]], 0)):
        for each, deep in ((tiny.wanted("books400", tiny.DAY), ()), (tiny.wanted("books5000", tiny.DAY), ("--deep",))):
            put_row(Layout(tmp_path / name / "Vault"))
            tiny.put(tmp_path / name / "Vault", each, tiny.packed(each, lines))
            ran = run(backfill(each, deep), tmp_path / name, Disk())
            assert ran.code == code and ("stands behind one of" in ran.err) == bool(code), ran


def judge(folder: Path, verb: Verb, path: Path) -> None:
    before = state(folder)
    ran = run(verb, folder, Disk())
    (said,) = ran.err.splitlines()
    assert ran.code == 1 and said.startswith("l2vault: ") and path.name in said, (path.name, ran)
    assert "Try: delete the file, then l2vault fetch again" in said, said
    found = state(folder)
    assert not [name for name in found.files if "/." in name], "nothing half-written"
    assert {name: found.files[name] for name in before.files} == before.files, "nothing of what was there is another"
    assert not false_statements(folder, before)
