"""What data files there are: every form of every hour, of one kind; what is no data file is none."""

import os
from pathlib import Path

import pytest

from l2vault.vault.archive.write import archive_hour
from l2vault.vault.store.catalog import Catalog, Findings, StoredHour
from l2vault.vault.store.forms import first_ms
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST, line, put, put_bytes

BOOKS = [line(at * 2000) for at in range(5)]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "Vault")


def test_hours_and_instruments_are_found_in_every_form(layout):
    put(layout, [line(-HOUR_MS)], packed=True)
    archive_hour(layout, layout.parse_hour_file(path := put(layout, BOOKS)))
    path.unlink()
    put(layout, [line(HOUR_MS)])
    put_bytes(layout, HOUR_AT_MS, b"", inst_id="ETH-USDT-SWAP")
    (layout.raw / "SOL-USDT-SWAP").mkdir()
    assert Catalog(layout).instruments() == [INST, "ETH-USDT-SWAP"]
    found = [(forms.hour_ms, len(forms.raw), forms.archive is not None) for forms in Catalog(layout).hours(INST)]
    assert found == [(HOUR_AT_MS - HOUR_MS, 1, False), (HOUR_AT_MS, 0, True), (HOUR_AT_MS + HOUR_MS, 1, False)]
    assert [first_ms(forms) for forms in Catalog(layout).hours(INST)] == [
        HOUR_AT_MS - HOUR_MS,
        HOUR_AT_MS,
        HOUR_AT_MS + HOUR_MS,
    ]


def test_foreign_files_are_no_hours(layout):
    put(layout, BOOKS)
    folder = layout.hour_file(INST, HOUR_AT_MS).parent
    (folder / "03.jsonl.gz.17.packing").write_bytes(b"")
    (folder / "notes.jsonl").write_bytes(b"")
    (layout.archived_hour(INST, HOUR_AT_MS).snapshots.parent).mkdir(parents=True)
    (layout.archived_hour(INST, HOUR_AT_MS).snapshots.parent / "notes.parquet").write_bytes(b"")
    assert [(forms.hour_ms, len(forms.raw), forms.archive) for forms in Catalog(layout).hours(INST)] == [
        (HOUR_AT_MS, 1, None)
    ]


def archived(layout):
    archive_hour(layout, layout.parse_hour_file(path := put(layout, BOOKS)))
    path.unlink()
    return layout.archived_hour(INST, HOUR_AT_MS)


def test_a_stored_hour_has_the_size_and_the_time_of_its_files(layout):
    files = archived(layout)
    path = put(layout, [line(HOUR_MS)])
    for each in (files.snapshots, path):
        os.utime(each, ns=(7_999_999, 7_999_999))
    size_bytes = files.snapshots.stat().st_size + files.levels.stat().st_size
    wanted = [
        StoredHour("books", INST, HOUR_AT_MS, "archive", files.snapshots, size_bytes, 7),
        StoredHour("books", INST, HOUR_AT_MS + HOUR_MS, "plain", path, path.stat().st_size, 7),
    ]
    catalog = Catalog(layout)
    assert sorted(catalog.files()) == wanted
    assert [stored for forms in catalog.hours(INST) for stored in forms.every] == wanted
    assert list(catalog.hour(INST, HOUR_AT_MS).every) == wanted[:1]


def test_what_is_no_regular_file_is_an_hour_to_report_and_no_file_to_act_on(layout):
    path = put(layout, BOOKS)
    folder = path.with_name("04.jsonl")
    folder.mkdir()
    path.with_name("05.jsonl").symlink_to("nowhere")
    _, *others = [forms.raw[0] for forms in Catalog(layout).hours(INST)]
    assert others == [
        StoredHour("books", INST, HOUR_AT_MS + HOUR_MS, "plain", folder, 0, 0, is_file=False),
        StoredHour("books", INST, HOUR_AT_MS + 2 * HOUR_MS, "plain", path.with_name("05.jsonl"), 0, 0, is_file=False),
    ]
    assert [stored.path for stored in Catalog(layout).files()] == [path]
    assert [stored.path for stored in Catalog(layout).raw_newest_first(INST)] == [path]


def test_hours_at_the_ends_of_time_are_none_but_their_files_are_there(layout):
    put(layout, BOOKS)
    for date in ("1970-01-01", "9999-12-31"):
        path = layout.instrument_folder(INST) / date / "23.jsonl"
        path.parent.mkdir()
        path.touch()
    catalog = Catalog(layout)
    assert [forms.hour_ms for forms in catalog.hours(INST)] == [HOUR_AT_MS]
    assert catalog.hour(INST, 0).every == ()
    assert len(catalog.files()) == 3


def test_a_folder_that_cannot_be_listed_is_reported(layout, monkeypatch):
    day = put(layout, BOOKS).parent
    iterdir = Path.iterdir

    def refuse(folder):
        if folder == day:
            raise PermissionError(13, "Permission denied", str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    findings = Findings()
    catalog = Catalog(layout)
    assert catalog.hours(INST, findings.report) == []
    assert [(each.path, each.reason) for each in findings] == [(day, "cannot be listed: Permission denied")]
    assert catalog.hours(INST) == catalog.files() == []
    assert catalog.newest_raw_hour(INST) is None
    with pytest.raises(PermissionError):
        next(catalog.raw_newest_first(INST))


def test_raw_hours_go_on_from_any_hour_and_know_the_newest(layout):
    hours = [0, 1, 30, 31]
    for hour in hours:
        put(layout, [line(hour * HOUR_MS)], packed=hour == 1)
    put_bytes(layout, HOUR_AT_MS + HOUR_MS, b"")
    catalog = Catalog(layout)
    assert [ms - HOUR_AT_MS for ms in catalog.raw_hours(INST)] == [hour * HOUR_MS for hour in hours]
    assert [ms - HOUR_AT_MS for ms in catalog.raw_hours(INST, HOUR_AT_MS)] == [hour * HOUR_MS for hour in hours[1:]]
    assert catalog.newest_raw_hour(INST) == HOUR_AT_MS + 31 * HOUR_MS
    assert catalog.newest_raw_hour("ETH-USDT-SWAP") is None
    newest_first = [(file.hour_ms, file.form) for file in catalog.raw_newest_first(INST)]
    assert newest_first[-3:] == [
        (HOUR_AT_MS + HOUR_MS, "plain"),
        (HOUR_AT_MS + HOUR_MS, "gzip"),
        (HOUR_AT_MS, "plain"),
    ]


def test_what_work_in_progress_left_is_found_beside_raw_files_and_archives(layout):
    path, files = put(layout, [line(HOUR_MS)]), archived(layout)
    left = [each.with_name(".03.17.tmp") for each in (path, files.snapshots, files.levels)]
    for each in left:
        each.touch()
    assert sorted(Catalog(layout).leftovers(".tmp")) == sorted(left)
    assert list(Catalog(layout).halves()) == []
    files.snapshots.unlink()
    assert list(Catalog(layout).halves()) == [files.levels]


def test_each_kind_has_files_of_its_own_and_nothing_else(layout):
    put(layout, BOOKS)
    trades = layout.of("trades")
    path = put_bytes(trades, HOUR_AT_MS, b"", inst_id="ETH-USDT-SWAP")
    assert path.relative_to(layout.root).parts[:3] == ("raw", "okx", "trades")
    assert Catalog(layout).instruments() == [INST]
    assert Catalog(trades).instruments() == ["ETH-USDT-SWAP"]
    assert [(each.kind, each.path) for each in Catalog(trades).files()] == [("trades", path)]
