"""OKX's rows are kept byte for byte, former ones stay, and a reader finds a row at every moment."""

import json
import os
from pathlib import Path
from unittest import mock

import pytest

from l2vault.book.utc import utc_ms
from l2vault.vault.store.instruments import keep_row, read_row, read_rows
from l2vault.vault.store.layout import Layout
from support.captured import CAPTURES

BTC = "BTC-USDT-SWAP"
NOON_MS = utc_ms("2026-11-22T12:00:00.500Z")
SECOND_MS = 1000
OLD = b'{"instId":"BTC-USDT-SWAP", "tickSz":"0.1" ,"upcChg":[],"note":"\\u00e4\xc3\xa4"}'
NEW = OLD.replace(b'"0.1"', b'"0.01"')
NEWEST = OLD.replace(b'"0.1"', b'"0.001"')


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def names(layout):
    return sorted(path.name for path in layout.instruments.iterdir())


def test_a_row_is_kept_byte_for_byte(layout):
    assert keep_row(layout, BTC, OLD, NOON_MS) == "first"
    assert layout.instrument_file(BTC).read_bytes() == OLD
    assert read_row(layout, BTC) == json.loads(OLD)


@pytest.mark.parametrize(
    "again",
    [OLD, OLD.replace(b" ", b""), json.dumps(dict(reversed(json.loads(OLD).items()))).encode()],
    ids=["same bytes", "other spaces", "other order"],
)
def test_a_row_that_says_the_same_is_left_as_it_was_first_sent(layout, again):
    keep_row(layout, BTC, OLD, NOON_MS)
    assert keep_row(layout, BTC, again, NOON_MS + SECOND_MS) == "same"
    assert layout.instrument_file(BTC).read_bytes() == OLD
    assert names(layout) == ["BTC-USDT-SWAP.json"]


def test_a_changed_row_leaves_the_former_one_beside_it(layout):
    keep_row(layout, BTC, OLD, NOON_MS)
    assert keep_row(layout, BTC, NEW, NOON_MS) == "changed"
    assert {name: (layout.instruments / name).read_bytes() for name in names(layout)} == {
        "BTC-USDT-SWAP.json": NEW,
        "BTC-USDT-SWAP.until-2026-11-22T12-00-00Z.json": OLD,
    }


def test_every_row_is_read_oldest_first_with_the_time_until_which_it_held(layout):
    for hour, row in enumerate([OLD, NEW, NEWEST]):
        keep_row(layout, BTC, row, NOON_MS + hour * 3_600_000)
    keep_row(layout, "BTC-USDT-SWAP-2", NEW, NOON_MS)
    keep_row(layout, "BTC-USDT-SWAP-2", OLD, NOON_MS)
    assert read_rows(layout, BTC) == [
        (utc_ms("2026-11-22T13:00:00.000Z"), json.loads(OLD)),
        (utc_ms("2026-11-22T14:00:00.000Z"), json.loads(NEW)),
        (None, json.loads(NEWEST)),
    ]


def test_changes_within_one_second_lose_no_row(layout):
    for row in (OLD, NEW, NEWEST, OLD):
        keep_row(layout, BTC, row, NOON_MS)
    rows = [json.loads(row) for row in (OLD, NEW, NEWEST, OLD)]
    assert [row for _, row in read_rows(layout, BTC)] == rows


@pytest.mark.parametrize("unreadable", [b"", b"\x00" * 100, b"{", b"[]", b'{"a":"\xff"}'])
def test_a_kept_file_that_does_not_read_is_set_aside(layout, unreadable):
    path = layout.instrument_file(BTC)
    path.parent.mkdir(parents=True)
    path.write_bytes(unreadable)
    assert read_row(layout, BTC) is None
    assert keep_row(layout, BTC, OLD, NOON_MS) == "first"
    assert path.read_bytes() == OLD
    assert layout.former_instrument_file(BTC, NOON_MS).read_bytes() == unreadable
    assert read_rows(layout, BTC) == [(None, json.loads(OLD))]


@pytest.mark.parametrize("row", [b"", b"[]", b"null", b"<html>", b'{"instId":'])
def test_what_is_no_json_object_is_refused_and_changes_nothing(layout, row):
    keep_row(layout, BTC, OLD, NOON_MS)
    with pytest.raises(ValueError):
        keep_row(layout, BTC, row, NOON_MS)
    assert layout.instrument_file(BTC).read_bytes() == OLD


def test_a_vault_without_rows_has_none(layout):
    assert read_row(layout, BTC) is None
    assert read_rows(layout, BTC) == []


def test_foreign_files_are_no_rows(layout):
    keep_row(layout, BTC, OLD, NOON_MS)
    for name in ("BTC-USDT-SWAP.json.tmp", "BTC-USDT-SWAP.until-tomorrow.json", "readme.txt"):
        (layout.instruments / name).write_bytes(NEW)
    assert read_rows(layout, BTC) == [(None, json.loads(OLD))]


class Killed(BaseException):
    """Stands for the death of the process."""


@pytest.mark.parametrize("step", range(6))
def test_killed_at_any_moment_the_latest_row_reads_and_the_former_is_not_lost(layout, step):
    keep_row(layout, BTC, OLD, NOON_MS)
    left = step

    def guard(real):
        def call(*args):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*args)

        return call

    with (
        mock.patch.multiple(os, fsync=guard(os.fsync), replace=guard(os.replace)),
        pytest.raises(Killed),
    ):
        keep_row(layout, BTC, NEW, NOON_MS)
    assert read_row(layout, BTC) in (json.loads(OLD), json.loads(NEW))
    assert json.loads(OLD) in [row for _, row in read_rows(layout, BTC)]
    assert keep_row(layout, BTC, NEW, NOON_MS + SECOND_MS) in ("changed", "same")
    rows = [row for _, row in read_rows(layout, BTC)]
    assert rows[-1] == json.loads(NEW)
    assert set(map(str, rows[:-1])) == {str(json.loads(OLD))}


def test_the_real_row_of_okx_is_kept_whole(layout):
    body = CAPTURES / "okx-rest" / "instrument_BTC-USDT-SWAP_2026-09_single-row.json"
    if not body.exists():
        pytest.skip(f"no real instrument row: {body} is absent")
    row = body.read_bytes().strip().partition(b'"data":[')[2].removesuffix(b"]}")
    assert keep_row(layout, BTC, row, NOON_MS) == "first"
    kept = read_row(layout, BTC)
    assert kept is not None
    assert (kept["instId"], kept["tickSz"], kept["ctVal"], len(kept)) == (BTC, "0.1", "0.01", 55)


def test_a_row_of_a_depth_that_no_parser_follows_is_none(layout):
    path = layout.instrument_file("BTC-USDT-SWAP")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"[" * 100_000)
    assert read_row(layout, "BTC-USDT-SWAP") is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_row_is_no_row(layout):
    path = layout.instrument_file("BTC-USDT-SWAP")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    assert read_row(layout, "BTC-USDT-SWAP") is None


def test_rows_that_cannot_be_read_are_none_and_the_log_says_so(layout, caplog):
    """A folder, a hole of a gigabyte and a pipe in the place of a row and of former ones: the others are given."""
    keep_row(layout, BTC, b'{"tickSz":"1"}', NOON_MS)
    keep_row(layout, BTC, b'{"tickSz":"2"}', NOON_MS + 1_000_000)
    keep_row(layout, BTC, b'{"tickSz":"3"}', NOON_MS + 2_000_000)
    folder, hole = (layout.former_instrument_file(BTC, NOON_MS + nth * 1_000_000) for nth in (3, 4))
    folder.mkdir()
    hole.touch()
    os.truncate(hole, 1 << 30)
    spoiled = {folder.name, hole.name, layout.instrument_file(BTC).name}
    layout.instrument_file(BTC).write_bytes(b"[]")
    if hasattr(os, "mkfifo"):
        pipe = layout.former_instrument_file(BTC, NOON_MS + 5_000_000)
        os.mkfifo(pipe)
        spoiled.add(pipe.name)
    assert [row["tickSz"] for _, row in read_rows(layout, BTC)] == ["1", "2"]
    assert {Path(record.args[0]).name for record in caplog.records} == spoiled
