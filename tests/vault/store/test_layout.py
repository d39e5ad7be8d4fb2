"""Every path of the vault, and the way back from a path to what it says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.store.layout import HOUR_MS, HourFile, Layout, levels_beside, packed_path

ROOT = Path("Vault")
LAYOUT = Layout(ROOT)
TS_MS = utc_ms("2023-12-14T15:30:45.123Z")
MOMENTS = st.integers(utc_ms("2000-01-01T00:00:00.000Z"), utc_ms("2099-12-31T23:59:59.999Z"))
INSTRUMENTS = st.from_regex(r"[A-Z0-9]{1,10}-USDT?-SWAP", fullmatch=True)


@pytest.mark.parametrize(
    ("path", "contract"),
    [
        (LAYOUT.hour_file("BTC-USDT-SWAP", TS_MS), "raw/okx/l2_perps/BTC-USDT-SWAP/2023-12-14/15.jsonl"),
        (LAYOUT.instrument_file("BTC-USDT-SWAP"), "meta/okx/instruments/BTC-USDT-SWAP.json"),
        (LAYOUT.journal_file(TS_MS), "meta/okx/journal/2023-12-14.jsonl"),
    ],
)
def test_the_owners_paths_are_kept_to_the_letter(path, contract):
    assert path.relative_to(ROOT).as_posix() == contract


@pytest.mark.parametrize(
    ("time", "day_and_hour"),
    [
        ("2023-12-31T23:59:59.999Z", "2023-12-31/23.jsonl"),
        ("2024-01-01T00:00:00.000Z", "2024-01-01/00.jsonl"),
        ("2024-02-29T09:00:00.000Z", "2024-02-29/09.jsonl"),
    ],
)
def test_a_line_belongs_to_the_utc_hour_of_its_time(time, day_and_hour):
    path = LAYOUT.hour_file("ETH-USDT-SWAP", utc_ms(time))
    assert path.relative_to(LAYOUT.instrument_folder("ETH-USDT-SWAP")).as_posix() == day_and_hour


@given(INSTRUMENTS, MOMENTS)
def test_a_data_files_path_tells_its_instrument_and_hour(inst_id, ts_ms):
    path = LAYOUT.hour_file(inst_id, ts_ms)
    hour_ms = ts_ms - ts_ms % HOUR_MS
    compressed = path.with_name(path.name + ".gz")
    assert LAYOUT.parse_hour_file(path) == HourFile(inst_id, hour_ms, False, path)
    assert LAYOUT.parse_hour_file(compressed) == HourFile(inst_id, hour_ms, True, compressed)


@pytest.mark.parametrize(
    "foreign",
    [
        "raw/okx/l2_perps/BTC-USDT-SWAP/2023-12-14/15.jsonl.gz.packing",
        "raw/okx/l2_perps/BTC-USDT-SWAP/2023-12-14/15.json",
        "raw/okx/l2_perps/BTC-USDT-SWAP/2023-12-14/24.jsonl",
        "raw/okx/l2_perps/BTC-USDT-SWAP/2023-12-14/5.jsonl",
        "raw/okx/l2_perps/BTC-USDT-SWAP/2023-12-14/15.jsonl/15.jsonl",
        "raw/okx/l2_perps/BTC-USDT-SWAP/2023-13-14/15.jsonl",
        "raw/okx/l2_perps/BTC-USDT-SWAP/2023-02-30/15.jsonl",
        "raw/okx/l2_perps/BTC-USDT-SWAP/notes/15.jsonl",
        "raw/okx/l2_perps/BTC-USDT-SWAP/15.jsonl",
        "meta/okx/journal/2023-12-14.jsonl",
    ],
)
def test_a_path_that_is_no_data_file_says_nothing(foreign):
    assert LAYOUT.parse_hour_file(ROOT / foreign) is None


def test_a_path_of_another_vault_says_nothing():
    elsewhere = Layout(Path("Other")).hour_file("BTC-USDT-SWAP", TS_MS)
    assert LAYOUT.parse_hour_file(elsewhere) is None


@given(INSTRUMENTS, MOMENTS)
def test_a_former_rows_path_tells_its_instrument_and_second(inst_id, wall_ms):
    path = LAYOUT.former_instrument_file(inst_id, wall_ms)
    assert LAYOUT.parse_former_instrument_file(path) == (inst_id, wall_ms - wall_ms % 1000)


@pytest.mark.parametrize(
    "foreign",
    [
        "meta/okx/instruments/BTC-USDT-SWAP.json",
        "meta/okx/instruments/BTC-USDT-SWAP.until-2023-12-14T15-30-45Z.json.tmp",
        "meta/okx/instruments/BTC-USDT-SWAP.until-2023-12-14T25-30-45Z.json",
        "meta/okx/instruments/BTC-USDT-SWAP.until-2023-12-14.json",
        "meta/okx/BTC-USDT-SWAP.until-2023-12-14T15-30-45Z.json",
    ],
)
def test_a_path_that_is_no_former_row_says_nothing(foreign):
    assert LAYOUT.parse_former_instrument_file(ROOT / foreign) is None


def test_file_names_hold_no_character_that_windows_refuses():
    hour_file = LAYOUT.hour_file("BTC-USDT-SWAP", TS_MS)
    paths = [LAYOUT.former_instrument_file("BTC-USDT-SWAP", TS_MS), LAYOUT.torn_file(hour_file, 7, 255), hour_file]
    assert not {character for path in paths for character in path.name} & set('<>:"/\\|?*')


def test_cuts_that_differ_in_place_or_bytes_are_kept_under_different_names():
    hour_file = LAYOUT.hour_file("BTC-USDT-SWAP", TS_MS)
    next_hour = LAYOUT.hour_file("BTC-USDT-SWAP", TS_MS + HOUR_MS)
    cuts = [(hour_file, 0, 1), (hour_file, 10, 1), (hour_file, 1, 1), (hour_file, 1, 2), (next_hour, 0, 1)]
    assert len({LAYOUT.torn_file(*cut) for cut in cuts}) == len(cuts)
    assert LAYOUT.torn_file(*cuts[0]).name == "BTC-USDT-SWAP_2023-12-14T15.jsonl_at_0_00000001"


def test_a_journal_day_is_the_wall_clocks_utc_day():
    midnight = utc_ms("2024-01-01T00:00:00.000Z")
    days = [LAYOUT.journal_file(ms).stem for ms in (midnight - 1, midnight)]
    assert days == [utc_text(midnight - 1)[:10], "2024-01-01"] == ["2023-12-31", "2024-01-01"]


KINDS = {"books": "l2_perps", "trades": "trades", "changes": "book_changes", "context": "context"}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_data_files_of_its_own_and_shares_the_rest(kind):
    other = LAYOUT.of(kind)
    files = other.hour_file("BTC-USDT-SWAP", TS_MS), *other.archived_hour("BTC-USDT-SWAP", TS_MS).files
    assert [path.relative_to(ROOT).parts[2] for path in files] == [KINDS[kind]] * 3
    assert other.parse_hour_file(files[0]) == HourFile("BTC-USDT-SWAP", TS_MS // HOUR_MS * HOUR_MS, False, files[0])
    assert [levels_beside(files[2]), packed_path(files[0]).name] == [files[1], "15.jsonl.gz"]
    assert (LAYOUT.parse_hour_file(files[0]) is None) == (kind != "books")
    assert (LAYOUT.parse_archive_file(files[2]) is None) == (kind != "books")
    shared = "journal", "lock_file", "owner_file", "retention_lock", "instruments", "torn"
    assert [getattr(other, name) for name in shared] == [getattr(LAYOUT, name) for name in shared]
    assert other.of("books").raw == LAYOUT.raw


def test_ends_cut_from_files_of_different_kinds_are_kept_under_different_names():
    layouts = [LAYOUT.of(kind) for kind in KINDS]
    names = {layout.torn_file(layout.hour_file("BTC-USDT-SWAP", TS_MS), 7, 255).name for layout in layouts}
    assert len(names) == len(KINDS)
