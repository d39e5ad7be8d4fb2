"""OKX's rows are kept byte for byte, former ones stay, and a reader finds a row at every moment."""

import json
import os
from pathlib import Path
from unittest import mock

import pytest

from l2vault.book.utc import utc_ms
from l2vault.vault.store.instruments import Coming, coming, keep_row, patch_row, read_row, read_rows
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


# --- what a row announces, and what the channel pushes of it

DAY_MS = 86_400_000
WHOLE = {
    "instId": BTC,
    "ctType": "linear",
    "ctVal": "0.01",
    "ctMult": "1",
    "tickSz": "0.1",
    "maxIcebergSz": "100000000.0000000000000000",
    "state": "live",
    "expTime": "",
    "upcChg": [],
}


def text(**fields):
    return json.dumps(WHOLE | fields, separators=(",", ":")).encode()


def announced(param, value, from_ms):
    return {"param": param, "newValue": value, "effTime": str(from_ms)}


def until(layout, name):
    """Time and value of each piece of the history."""
    return [(until_ms, row[name]) for until_ms, row in read_rows(layout, BTC)]


def test_a_row_announces_changes_and_its_delisting_in_order_of_time():
    changes = [announced("tickSz", "0.01", NOON_MS + 2), announced("ctVal", "0.1", NOON_MS + 1)]
    row = json.loads(text(upcChg=changes, expTime=str(NOON_MS + 3)))

    assert coming(row) == [
        Coming("ctVal", "0.1", NOON_MS + 1),
        Coming("tickSz", "0.01", NOON_MS + 2),
        Coming("delisting", "", NOON_MS + 3),
    ]


@pytest.mark.parametrize(
    "broken",
    [
        {"upcChg": "soon"},
        {"upcChg": [None, 5, {}, {"param": "tickSz"}, announced("", "1", 5), announced("tickSz", "", 5)]},
        {"upcChg": [{"param": "tickSz", "newValue": "1", "effTime": "tomorrow"}]},
        {"upcChg": [{"param": "tickSz", "newValue": 1, "effTime": "5"}]},
        {"upcChg": [announced("tickSz", "1", 10**15 - 1)]},
        {"expTime": "never"},
        {"upcChg": None, "expTime": None},
    ],
)
def test_what_does_not_read_as_an_announcement_is_none(broken):
    assert coming(json.loads(text(**broken))) == []


def test_the_old_contract_holds_up_to_the_announced_time_however_late_the_change_is_noticed(layout):
    effective_ms = NOON_MS + 3_600_000
    keep_row(layout, BTC, text(), NOON_MS)
    keep_row(layout, BTC, text(upcChg=[announced("ctVal", "0.1", effective_ms)]), NOON_MS + SECOND_MS)
    keep_row(layout, BTC, text(ctVal="0.1"), effective_ms + DAY_MS)

    noticed_ms = (effective_ms + DAY_MS) // SECOND_MS * SECOND_MS
    assert until(layout, "ctVal")[1:] == [(effective_ms, "0.01"), (noticed_ms, "0.1"), (None, "0.1")]


def test_an_announced_change_is_one_even_if_nobody_recorded_after_it(layout):
    keep_row(layout, BTC, text(upcChg=[announced("tickSz", "0.01", NOON_MS + DAY_MS)]), NOON_MS)

    assert until(layout, "tickSz") == [(NOON_MS + DAY_MS, "0.1"), (None, "0.01")]


def test_a_change_that_was_put_off_before_its_time_is_not_made_then(layout):
    keep_row(layout, BTC, text(upcChg=[announced("tickSz", "0.01", NOON_MS + DAY_MS)]), NOON_MS)
    keep_row(layout, BTC, text(upcChg=[announced("tickSz", "0.01", NOON_MS + 3 * DAY_MS)]), NOON_MS + SECOND_MS)

    assert until(layout, "tickSz")[1:] == [(NOON_MS + 3 * DAY_MS, "0.1"), (None, "0.01")]
    assert until(layout, "tickSz")[0][1] == "0.1"


def test_a_row_that_still_announces_what_it_already_has_changes_nothing(layout):
    keep_row(layout, BTC, text(tickSz="0.01", upcChg=[announced("tickSz", "0.010", NOON_MS)]), NOON_MS)

    assert until(layout, "tickSz") == [(None, "0.01")]


def test_what_was_due_before_a_row_came_and_is_not_in_it_did_not_happen(layout):
    keep_row(layout, BTC, text(), NOON_MS)
    keep_row(layout, BTC, text(upcChg=[announced("tickSz", "0.01", NOON_MS - DAY_MS)]), NOON_MS)

    assert until(layout, "tickSz")[-1] == (None, "0.1")
    assert {value for _, value in until(layout, "tickSz")} == {"0.1"}


def test_two_changes_of_one_row_come_one_after_the_other(layout):
    changes = [announced("tickSz", "0.01", NOON_MS + 2 * DAY_MS), announced("ctVal", "1", NOON_MS + DAY_MS)]
    keep_row(layout, BTC, text(upcChg=changes, expTime=str(NOON_MS + DAY_MS // 2)), NOON_MS)

    found = [(until_ms, row["ctVal"], row["tickSz"]) for until_ms, row in read_rows(layout, BTC)]
    assert found == [
        (NOON_MS + DAY_MS, "0.01", "0.1"),
        (NOON_MS + 2 * DAY_MS, "1", "0.1"),
        (None, "1", "0.01"),
    ]


def test_a_push_changes_the_keys_that_it_has_and_leaves_the_others(layout):
    keep_row(layout, BTC, text(), NOON_MS)

    assert patch_row(layout, BTC, b'{"instId":"BTC-USDT-SWAP","state":"suspend"}', NOON_MS) == "changed"
    assert read_row(layout, BTC) == WHOLE | {"state": "suspend"}


def test_a_whole_push_is_kept_byte_for_byte(layout):
    keep_row(layout, BTC, text(), NOON_MS)

    assert patch_row(layout, BTC, text(tickSz="0.01"), NOON_MS) == "changed"
    assert layout.instrument_file(BTC).read_bytes() == text(tickSz="0.01")


def test_channel_and_rest_do_not_take_turns_over_how_a_number_looks_or_a_key_that_one_lacks(layout):
    pushed = text(maxIcebergSz="100000000", tickSz="0.10", onlyHere="1")
    keep_row(layout, BTC, text(), NOON_MS)
    for hour in range(3):
        assert patch_row(layout, BTC, pushed, NOON_MS + hour) == "same"
        assert keep_row(layout, BTC, text(), NOON_MS + hour) == "same"

    assert keep_row(layout, BTC, text(maxIcebergSz="100000000"), NOON_MS) == "same"
    assert layout.instrument_file(BTC).read_bytes() == text()
    assert len(names(layout)) == 1


def test_a_push_without_a_row_of_rest_is_kept_only_if_it_is_whole(layout):
    assert patch_row(layout, BTC, b'{"instId":"BTC-USDT-SWAP","state":"live"}', NOON_MS) is None
    assert read_row(layout, BTC) is None
    assert patch_row(layout, BTC, text(), NOON_MS) == "first"
    assert layout.instrument_file(BTC).read_bytes() == text()


@pytest.mark.parametrize("pushed", [b"[]", b"{", b"5", b"\xff"])
def test_a_push_that_is_no_object_is_refused(layout, pushed):
    keep_row(layout, BTC, text(), NOON_MS)
    with pytest.raises(ValueError):
        patch_row(layout, BTC, pushed, NOON_MS)
    assert read_row(layout, BTC) == WHOLE
