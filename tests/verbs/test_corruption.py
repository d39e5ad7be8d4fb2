"""Whatever becomes of the files of a vault: no reading verb ends in a traceback, no slot is called covered that is not,
and `verify` exits 1 for damage and contradiction."""

import gzip
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="the verbs need the analysis extra")

from l2vault import cli
from l2vault.book.utc import utc_text
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.coverage.model import COVERED
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST
from support.reference_coverage import deserved
from support.vaults import good_vault, truth

START, END = utc_text(HOUR_AT_MS), utc_text(HOUR_AT_MS + 120_000)
VERBS = [
    ["ls"],
    ["verify"],
    ["coverage"],
    ["coverage", INST, "--by", "hour"],
    ["show", INST, "--at", utc_text(HOUR_AT_MS + 45_000)],
    ["spread", INST, "--from", START, "--to", END],
    ["walls", INST, "--from", START, "--to", END],
    ["retain", "--dry-run"],
    ["archive", "--keep"],
]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_vault(tmp_path_factory.mktemp("good") / "Vault").root


@pytest.fixture
def vault(good, tmp_path):
    shutil.copytree(good, tmp_path / "Vault")
    return tmp_path / "Vault"


CASES: dict[str, tuple[Callable[[Path], object], int]] = {}


def case(exit_code: int = 1):
    """A corruption, and what `verify` is to say of it."""

    def register(corrupt: Callable[[Path], object]) -> Callable[[Path], object]:
        CASES[corrupt.__name__] = corrupt, exit_code
        return corrupt

    return register


def first(vault: Path) -> Path:
    return Layout(vault).hour_file(INST, HOUR_AT_MS)


def change(vault: Path, edit: Callable[[bytes], bytes]) -> None:
    path = first(vault)
    path.write_bytes(edit(path.read_bytes()))


def change_lines(vault: Path, edit: Callable[[list[bytes]], object]) -> None:
    def edited(data: bytes) -> bytes:
        lines = data.split(b"\n")[:-1]
        edit(lines)
        return b"".join(line + b"\n" for line in lines)

    change(vault, edited)


def change_row(vault: Path, edit: Callable[[dict], object]) -> None:
    def edited(lines: list[bytes]) -> None:
        row = json.loads(lines[5])
        edit(row)
        lines[5] = json.dumps(row, separators=(",", ":")).encode()

    change_lines(vault, edited)


def change_journal(vault: Path, edit: Callable[[bytes], bytes]) -> None:
    for path in (vault / "meta/okx/journal").glob("*"):
        path.write_bytes(edit(path.read_bytes()))


def change_instrument(vault: Path, text: str | bytes) -> None:
    for path in (vault / "meta/okx/instruments").glob("*"):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def gzipped(vault: Path, edit: Callable[[bytearray], object] = lambda data: None) -> Path:
    path = first(vault)
    data = bytearray(gzip.compress(path.read_bytes()))
    edit(data)
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(data)
    path.unlink()
    return packed


def archived(vault: Path) -> list[Path]:
    for hour in range(3):
        path = Layout(vault).hour_file(INST, HOUR_AT_MS + hour * HOUR_MS)
        archive_hour(Layout(vault), Layout(vault).parse_hour_file(path))
        path.unlink()
    return sorted((vault / "archive").rglob("*.parquet"))


@case(0)
def nothing(vault):
    pass


@case()
def byte_order_mark(vault):
    change(vault, lambda data: b"\xef\xbb\xbf" + data)


@case()
def windows_newlines(vault):
    change(vault, lambda data: data.replace(b"\n", b"\r\n"))


@case()
def zeros_at_the_end(vault):
    change(vault, lambda data: data + bytes(4096))


@case()
def zeros_in_the_middle(vault):
    change(vault, lambda data: data[:2000] + bytes(2000) + data[4000:])


@case()
def a_huge_line(vault):
    change_lines(vault, lambda lines: lines.insert(5, b"x" * 3_000_000))


@case()
def two_lines_swapped(vault):
    def swap(lines):
        lines[5], lines[9] = lines[9], lines[5]

    change_lines(vault, swap)


@case()
def lines_reversed(vault):
    change_lines(vault, lambda lines: lines.reverse())


@case()
def a_line_doubled(vault):
    change_lines(vault, lambda lines: lines.insert(6, lines[5]))


@case()
def a_line_dropped(vault):
    change_lines(vault, lambda lines: lines.pop(5))


@case()
def the_line_of_quiet_slots_dropped(vault):
    change_lines(vault, lambda lines: lines.pop(19))


@case()
def many_lines_dropped(vault):
    def drop(lines):
        del lines[5:35]

    change_lines(vault, drop)


@case()
def a_quantity_altered(vault):
    """Reads as if nothing were; only the digest of the closed hour knows."""
    change_row(vault, lambda row: row["bids_top400"][1].__setitem__(1, "9"))


@case()
def a_best_bid_altered(vault):
    change_row(vault, lambda row: row.update(best_bid="1"))


@case()
def levels_unsorted(vault):
    change_row(vault, lambda row: row["bids_top400"].reverse())


@case()
def a_quantity_that_is_no_number(vault):
    change_row(vault, lambda row: row["bids_top400"][1].__setitem__(1, "NaN"))


@case()
def a_price_of_thirty_digits(vault):
    change_row(vault, lambda row: row["asks_top400"][-1].__setitem__(0, "9" * 30))


@case()
def an_order_count_of_forty_digits(vault):
    change_row(vault, lambda row: row["asks_top400"][-1].__setitem__(3, "9" * 40))


@case()
def a_number_for_a_quantity(vault):
    change_row(vault, lambda row: row["asks_top400"][-1].__setitem__(1, 5))


@case()
def a_sequence_number_beyond_64_bits(vault):
    change_row(vault, lambda row: row.update(seqId=2**80))


@case()
def a_checksum_beyond_64_bits(vault):
    change_row(vault, lambda row: row.update(checksum=-(2**80)))


@case()
def a_key_of_a_newer_version(vault):
    change_row(vault, lambda row: row.update(venue="okx"))


@case()
def a_flag_set(vault):
    change_row(vault, lambda row: row.update(gap_detected=True))


@case()
def the_wrong_hour(vault):
    first(vault).rename(first(vault).with_name("17.jsonl"))


@case()
def a_date_that_is_none(vault):
    first(vault).parent.rename(first(vault).parent.with_name("2024-02-31"))


@case()
def the_year_9999(vault):
    path = vault / "raw/okx/l2_perps" / INST / "9999-12-31" / "23.jsonl"
    path.parent.mkdir()
    path.write_bytes(re.sub(rb"2024-08-20T03", b"9999-12-31T23", first(vault).read_bytes()))


@case()
def the_year_1(vault):
    path = vault / "raw/okx/l2_perps" / INST / "0001-01-01" / "00.jsonl"
    path.parent.mkdir()
    path.write_bytes(re.sub(rb"2024-08-20T03", b"0001-01-01T00", first(vault).read_bytes()))


@case()
def another_instrument(vault):
    change(vault, lambda data: data.replace(b"BTC-USDT-SWAP", b"ETH-USDT-SWAP"))


@case()
def one_line_of_another_instrument(vault):
    change_row(vault, lambda row: row.update(instId="ETH-USDT-SWAP"))


@case()
def keys_in_another_order(vault):
    change_lines(
        vault, lambda lines: lines.__setitem__(5, json.dumps(dict(reversed(json.loads(lines[5]).items()))).encode())
    )


@case()
def a_pipe(vault):
    first(vault).unlink()
    os.mkfifo(first(vault))


@case()
def a_folder(vault):
    first(vault).unlink()
    first(vault).mkdir()


@case()
def a_link_out_of_the_vault(vault):
    first(vault).unlink()
    first(vault).symlink_to("/etc/hostname")


@case()
def a_link_that_leads_nowhere(vault):
    first(vault).unlink()
    first(vault).symlink_to("nowhere")


@case()
def a_link_to_itself(vault):
    first(vault).unlink()
    first(vault).symlink_to(first(vault))


@case()
def a_folder_that_is_a_circle(vault):
    day = first(vault).parent
    (day.parent / "2024-08-21").symlink_to(day.parent)


@case()
def an_empty_file(vault):
    first(vault).write_bytes(b"")


@case()
def no_file(vault):
    first(vault).unlink()


@case()
def a_torn_end(vault):
    change(vault, lambda data: data[:-300])


@case(0)
def gzip_as_it_should_be(vault):
    gzipped(vault)


@case()
def gzip_cut_short(vault):
    packed = gzipped(vault)
    packed.write_bytes(packed.read_bytes()[:-200])


@case()
def gzip_with_a_byte_changed(vault):
    gzipped(vault, lambda data: data.__setitem__(len(data) // 2, data[len(data) // 2] ^ 0x55))


@case()
def gzip_with_a_wrong_checksum(vault):
    gzipped(vault, lambda data: data.__setitem__(-6, data[-6] ^ 0x55))


@case()
def gzip_of_nothing(vault):
    gzipped(vault).write_bytes(gzip.compress(b""))


@case()
def gzip_that_is_empty(vault):
    gzipped(vault).write_bytes(b"")


@case()
def gzip_that_is_none(vault):
    first(vault).rename(first(vault).with_name("03.jsonl.gz"))


@case()
def both_forms(vault):
    path = first(vault)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))


@case()
def both_forms_overlapping(vault):
    path = first(vault)
    lines = path.read_bytes().splitlines(keepends=True)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(b"".join(lines[:20])))
    path.write_bytes(b"".join(lines[10:]))


@case()
def a_journal_with_rubbish(vault):
    change_journal(vault, lambda data: b'{not json\n\0\0\n[]\n"x"\n{"event":5}\n' + data)


@case(0)
def no_journal(vault):
    shutil.rmtree(vault / "meta/okx/journal")


@case()
def a_journal_cut_in_a_line(vault):
    change_journal(vault, lambda data: b"".join(data.splitlines(keepends=True)[:6]) + data[-200:])


@case()
def a_time_in_the_journal_that_is_none(vault):
    change_journal(vault, lambda data: data.replace(b'"at":"2024', b'"at":"20x4'))


@case()
def the_year_9999_in_the_journal(vault):
    change_journal(vault, lambda data: data.replace(b'"from":"2024-08', b'"from":"9999-12'))


@case()
def huge_numbers_in_the_journal(vault):
    change_journal(
        vault, lambda data: data.replace(b'"lines":37', b'"lines":%d' % 2**80).replace(b'"seq_id":1', b'"seq_id":1e400')
    )


@case()
def a_beat_of_the_year_9999(vault):
    change_journal(vault, lambda data: data.replace(b'"exchange":"2024', b'"exchange":"9999'))


@case(0)
def a_journal_reversed(vault):
    """Places, not lines, tell the order."""
    change_journal(vault, lambda data: b"\n".join(data.split(b"\n")[-2::-1]) + b"\n")


@case()
def a_journal_without_its_minutes(vault):
    change_journal(vault, lambda data: b"".join(line for line in data.splitlines(True) if b'"minute"' not in line))


@case(0)
def foreign_files_in_the_journal(vault):
    (vault / "meta/okx/journal/2026-13-45.jsonl").write_text("x")
    (vault / "meta/okx/journal/notes.txt").write_text("x")


@case(0)
def an_instrument_row_of_rubbish(vault):
    change_instrument(vault, b"\0\xff{")


@case(0)
def an_instrument_row_that_is_a_list(vault):
    change_instrument(vault, "[1,2]")


@case(0)
def an_instrument_row_of_numbers(vault):
    change_instrument(vault, '{"instId":"BTC-USDT-SWAP","ctVal":0.01,"ctMult":1,"tickSz":0.1}')


@case(0)
def no_instrument_row(vault):
    shutil.rmtree(vault / "meta/okx/instruments")


@case()
def files_of_others(vault):
    (vault / "raw/okx/l2_perps/.DS_Store").write_bytes(b"x")
    (first(vault).parent / "00 (1).jsonl").write_bytes(b"x")
    (vault / "raw/okx/l2_perps/ü ..").mkdir()


@case(0)
def an_archive(vault):
    archived(vault)


@case()
def an_archive_whose_snapshots_are_cut(vault):
    path = next(path for path in archived(vault) if "snapshots" in path.parts)
    path.write_bytes(path.read_bytes()[:-500])


@case()
def an_archive_whose_levels_are_cut(vault):
    path = next(path for path in archived(vault) if "levels" in path.parts)
    path.write_bytes(path.read_bytes()[:-500])


@case()
def an_archive_of_nothing(vault):
    for path in archived(vault):
        path.write_bytes(b"")


@case()
def an_archive_without_levels(vault):
    next(path for path in archived(vault) if "levels" in path.parts).unlink()


ALTERED = {"a_quantity_altered", "a_quantity_that_is_no_number", "a_price_of_thirty_digits"}
"""Lines that read as if nothing were: only the digest of the closed hour, which `verify` asks, knows better."""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes in folders")
@pytest.mark.parametrize("name", CASES)
def test_whatever_becomes_of_a_vault_it_is_read_without_a_traceback_or_a_lie(vault, name, capsys, monkeypatch):
    corrupt, exit_code = CASES[name]
    corrupt(vault)
    capsys.readouterr()
    monkeypatch.setattr(logging, "raiseExceptions", False)  # handlers of one verb outlive the stream of its test
    codes = {" ".join(words): cli.main([*words, "--vault", str(vault)]) for words in VERBS}
    output = capsys.readouterr()
    assert codes["verify"] == exit_code, output.out
    assert codes.keys() - {words for words, code in codes.items() if code in (0, 1)} == set()

    allowed = deserved(vault, truth())
    coverage = open_vault(vault).coverage(INST, HOUR_AT_MS, HOUR_AT_MS + 3 * HOUR_MS)
    lies = [
        (utc_text(slot), stretch.state, stretch.cause, sorted(allowed[slot]))
        for stretch in coverage.stretches
        for slot in range(stretch.first_ms, stretch.last_ms + 1, stretch.cadence_ms)
        if stretch.state in COVERED and stretch.state not in allowed[slot]
    ]
    if name not in ALTERED:
        assert lies == []


def test_of_the_good_vault_every_slot_is_what_it_deserves(vault):
    allowed = deserved(vault, truth())
    coverage = open_vault(vault).coverage(INST, HOUR_AT_MS, HOUR_AT_MS + 3 * HOUR_MS)
    assert [coverage.count(state) for state in ("recorded", "quiet")] == [3 * 33, 3 * 4]
    assert sum("recorded" in states for states in allowed.values()) == 3 * 33
    assert sum("quiet" in states for states in allowed.values()) == 3 * 4
