"""Tardis CSV of a few events, row by row; and changes whose feed was replaced."""

import gzip

from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange, to_change_line
from l2vault.exports.events import BookEvent, Shown
from l2vault.exports.label import Day, Subject
from l2vault.exports.source import standing_books
from l2vault.exports.tardis_csv import TardisCsv
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.layout import Layout
from support.exported import csv_rows
from support.hours import HOUR_AT_MS, INST, levels, line, put


def rows_of(tmp_path, *events):
    """`local_timestamp` is the event's time and `late` microseconds."""
    writer, day = TardisCsv(tmp_path, Subject(INST, None, None), False), Day("2024-08-20", 0, 1, {}, [])
    writer.begin(day)
    for event, late in events:
        writer.book(event, event.ts_ms * 1000 + late)
    writer.end(day)
    (path,) = tmp_path.iterdir()
    kinds = {"true": "s", "false": "u"}
    return [
        (int(row["local_timestamp"]), kinds[row["is_snapshot"]], row["side"][0], row["price"], row["amount"])
        for row in csv_rows(path)
    ]


def full(ts_ms, bids, asks):
    return BookEvent("full", ts_ms, 0, None, levels(*bids), levels(*asks))


def test_a_full_book_behind_another_deletes_what_is_gone_and_never_has_more_rows_of_a_snapshot(tmp_path):
    found = rows_of(
        tmp_path,
        (full(1, ["10 1 1"], ["11 2 1", "12 3 1"]), 0),
        (full(2, ["9 4 1", "8 5 1"], ["12 3 1"]), 0),
        (full(3, ["9 4 1"], ["12 3 1", "13 1 1"]), 0),
    )
    assert found == [
        *((1000, "s", "b", "10", "1"), (1000, "s", "a", "11", "2"), (1000, "s", "a", "12", "3")),
        (1000, "u", "b", "10", "1"),
        *((2000, "u", "b", "10", "0"), (2000, "u", "a", "11", "0")),
        *((2000, "s", "b", "9", "4"), (2000, "s", "a", "12", "3")),
        *((2000, "u", "b", "8", "5"), (2000, "u", "b", "9", "4")),
        (3000, "u", "b", "8", "0"),
        *((3000, "s", "b", "9", "4"), (3000, "s", "a", "12", "3")),
        *((3000, "u", "b", "9", "4"), (3000, "u", "a", "13", "1")),
    ]  # fmt: skip


def test_a_book_of_one_side_is_followed_by_an_update_too(tmp_path):
    assert rows_of(tmp_path, (full(1, [], ["11 2 1"]), 0)) == [(1000, "s", "a", "11", "2"), (1000, "u", "a", "11", "2")]


def test_a_hole_deletes_every_level_and_rows_stay_in_order_of_receipt(tmp_path):
    clear = BookEvent("clear", 2, 0, None, [], [])
    update = BookEvent("update", 3, 0, 1, levels("9 1 1"), [])
    found = rows_of(tmp_path, (full(1, ["10 1 1"], ["11 2 1"]), 5_000), (clear, 0), (update, 0))
    assert found[3:] == [
        *((6000, "u", "b", "10", "0"), (6000, "u", "a", "11", "0")),
        (6000, "u", "b", "9", "1"),
    ]


def test_another_feeds_book_at_the_same_time_is_a_change_and_no_hole(tmp_path):
    first = BookChange(INST, True, levels("10 1 1", "9 1 1"), levels("11 2 1"), HOUR_AT_MS, 5, -1, 0, 1)
    other = BookChange(INST, True, levels("10 3 1"), levels("11 2 1"), HOUR_AT_MS - 7, 6, 5, 0, 1)
    after = BookChange(INST, False, levels("8 1 1"), [], HOUR_AT_MS + 9, 7, 6, 0, 1)
    put_changes(tmp_path / "Vault", [(0, first, "ws"), (0, other, "book"), (9, after, "ws")])
    events = events_of(tmp_path / "Vault", 10)
    assert [(event.kind, event.ts_ms - HOUR_AT_MS) for event in events] == [("full", 0), ("update", 0), ("update", 9)]
    assert events[1].bids == [("9", "0", "0", "0"), *levels("10 3 1")]
    assert events[1].asks == []


def test_where_the_changes_have_a_hole_the_sampled_books_of_it_are_there(tmp_path):
    first = BookChange(INST, True, levels("10 1 1"), levels("11 2 1"), HOUR_AT_MS, 5, -1, 0, 1)
    anew = BookChange(INST, True, levels("7 1 1"), levels("11 2 1"), HOUR_AT_MS + 5_000, 9, -1, 0, 1)
    put_changes(tmp_path / "Vault", [(0, first, "ws"), (5_000, anew, "ws")])
    bids = {0: "10 1 1", 2_000: "9 1 1", 4_000: "8 1 1"}
    put(Layout(tmp_path / "Vault"), [line(at, levels(bid), levels("11 2 1")) for at, bid in bids.items()])
    events = events_of(tmp_path / "Vault", 5_001)
    assert [(event.kind, event.ts_ms - HOUR_AT_MS, event.bids[-1][0] if event.bids else "") for event in events] == [
        *(("full", 0, "10"), ("clear", 1, ""), ("full", 2_000, "9"), ("update", 4_000, "8"), ("full", 5_000, "7")),
    ]


def put_changes(root, rows):
    text = b"".join(to_change_line(RecordedChange(HOUR_AT_MS + at, change, of, 1)) + b"\n" for at, change, of in rows)
    layout = Layout(root)
    path = layout.of("changes").hour_file(INST, HOUR_AT_MS)
    path = path.with_name(f"{path.name}.gz")
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(text))


def events_of(root, until_ms):
    vault, span = open_vault(root), (HOUR_AT_MS, HOUR_AT_MS + until_ms)
    holes = [(hole.start_ms, hole.end_ms) for hole in vault.coverage(INST, *span).holes] if vault.instruments() else []
    shown = Shown(span, {"changes": [], "lines": holes})
    return list(shown.events(standing_books(vault, INST, span, print)))
