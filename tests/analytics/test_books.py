"""Books of a span as ladders: every level at its rank, holes kept apart, whatever pieces they come in."""

import json

import numpy as np
import polars as pl
import pytest

from l2vault.analytics import books as books_module
from l2vault.analytics.books import books_of, read_books
from l2vault.analytics.coverage_meter import CoverageMeter, tally_of
from l2vault.errors import VaultError
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.archive.write import archive_hour
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.books import LINEAR, T0_MS, drawn, frames, hand_made
from support.hours import HOUR_AT_MS, INST, at, journal_v1_of, levels, line, lost, put, started, synced
from support.ladders import ladders_in

THREE = (
    drawn(0, "99 5 2, 98 10 1", "101 7 3"),
    drawn(2_000, "99 5 2", "101 7 3, 102 1 1"),
    drawn(4_000, "98 10 1", "101 7 3, 102 1 1", until_ms=5_000),
    drawn(8_000, "98.5 1 1", ""),
)


def ladder_rows(books):
    """Each book as time, bids and asks, in plain numbers."""
    rows = []
    for ladders in ladders_in(books):
        for at_book in range(len(ladders)):
            sides = [
                [
                    (side.price[at_book, rank], side.qty[at_book, rank], side.orders[at_book, rank])
                    for rank in range(side.count[at_book])
                ]
                for side in (ladders.bids, ladders.asks)
            ]
            rows.append((int(ladders.t_from[at_book]) - T0_MS, bool(ladders.is_linked[at_book]), *sides))
    return rows


EXPECTED = [
    (0, False, [(99, 5, 2), (98, 10, 1)], [(101, 7, 3)]),
    (2_000, True, [(99, 5, 2)], [(101, 7, 3), (102, 1, 1)]),
    (4_000, True, [(98, 10, 1)], [(101, 7, 3), (102, 1, 1)]),
    (8_000, False, [(98.5, 1, 1)], []),
]


def test_each_level_stands_at_its_rank_in_every_book_of_its_life():
    assert ladder_rows(hand_made(*THREE)) == EXPECTED


def test_rows_that_last_over_several_books_stand_in_each_of_them():
    table, held = frames(THREE[:2])
    merged = table.filter(~((pl.col("price") == 99) & (pl.col("t_from") > T0_MS)))
    merged = merged.with_columns(t_to=pl.when(pl.col("price") == 99).then(T0_MS + 4_000).otherwise("t_to"))
    assert ladder_rows(books_of(merged.sample(fraction=1, shuffle=True, seed=1), held, LINEAR)) == EXPECTED[:2]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_pieces_of_any_size_give_the_same_books(at_once, monkeypatch):
    monkeypatch.setattr(books_module, "_BOOKS_AT_ONCE", at_once)
    assert ladder_rows(hand_made(*THREE)) == EXPECTED


def test_a_side_that_fills_its_window_reaches_to_its_last_level_and_a_whole_one_without_end():
    (ladders,) = ladders_in(hand_made(*THREE[:1], depth=2))
    assert ladders.mid.tolist() == [100]
    assert (ladders.visible_bps("bid").tolist(), ladders.visible_bps("ask").tolist()) == ([200], [np.inf])


def tallies(books):
    return [tally_of(piece) for pieces in books.mapped(list) for piece in pieces]


def test_what_is_known_of_the_span_goes_with_every_result():
    books = hand_made(*THREE, depth=2)
    seen = CoverageMeter(books)
    for tally in tallies(books):
        seen.count_in(tally)
    about = seen.provenance("test/1", "usd", threshold=3)
    assert about.covered_share == pytest.approx(7_000 / 10_000)
    assert (about.books, about.unit, about.method, about.settings) == (4, "USDT", "test/1", {"threshold": 3})
    assert (about.visible["bid"].least_bps, about.visible["bid"].most_bps) == (200, 200)
    assert about.visible["ask"].least_bps == pytest.approx(200)


def test_without_one_book_that_has_both_sides_nothing_is_said():
    books = hand_made(drawn(0, "99 5 2", ""))
    seen = CoverageMeter(books)
    seen.count_in(*tallies(books))
    with pytest.raises(VaultError, match="no book of BTC-USDT-SWAP between .* has both bids and asks"):
        seen.provenance("test/1", "usd")


@pytest.fixture
def layout(tmp_path):
    """Two hours of two lines each, a hole in between, and OKX's row."""
    layout = Layout(tmp_path / "Vault")
    put(layout, [line(HOUR_MS - 4_000, levels("100 5 2")), line(HOUR_MS - 2_000, levels("100 6 2"))], packed=True)
    put(layout, [line(HOUR_MS, levels("100 6 2")), line(HOUR_MS + 10_000, levels("100 7 2"))])
    journal_v1_of(layout, started(0), synced(0), lost(HOUR_MS + 1_000), synced(HOUR_MS + 9_000))
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")
    return layout


def spans(books):
    return [
        (int(t_from) - HOUR_AT_MS - HOUR_MS, int(t_to) - HOUR_AT_MS - HOUR_MS, bool(is_linked))
        for ladders in ladders_in(books)
        for t_from, t_to, is_linked in zip(ladders.t_from, ladders.t_to, ladders.is_linked, strict=True)
    ]


@pytest.mark.parametrize("is_archived", [False, True])
def test_a_vault_gives_the_books_of_a_span_over_hours_and_holes(layout, is_archived):
    if is_archived:
        path = layout.hour_file(INST, HOUR_AT_MS).with_suffix(".jsonl.gz")
        archive_hour(layout, layout.parse_hour_file(path))
        path.unlink()
    books = read_books(layout.root, INST, at(HOUR_MS - 3_000), at(HOUR_MS + 11_000))
    assert spans(books) == [
        (-3_000, -2_000, False),
        (-2_000, 0, True),
        (0, 1_000, True),
        (10_000, 11_000, False),
    ]
    assert books.coverage is not None
    assert [(hole.kind, hole.cause) for hole in books.coverage.holes] == [("missing", "chain")]


def test_a_vault_is_asked_for_what_it_holds(layout):
    with pytest.raises(VaultError, match="holds nothing of ETH-USDT-SWAP"):
        read_books(layout.root, "ETH-USDT-SWAP", at(0), at(1))
    with pytest.raises(VaultError, match=f"no book of {INST} stands between .*Try: l2vault coverage {INST}"):
        list(ladders_in(read_books(layout.root, INST, at(0), at(1_000))))


def test_contracts_that_changed_in_the_span_are_told_apart(layout):
    row = dict(instrument_row(INST))
    former = layout.former_instrument_file(INST, HOUR_AT_MS + HOUR_MS)
    former.write_text(json.dumps(row | {"ctVal": "0.1"}), encoding="utf-8")
    books = read_books(layout.root, INST, at(HOUR_MS - 3_000), at(HOUR_MS + 1_000))
    assert [(len(ladders), ladders.contract.value) for ladders in ladders_in(books)] == [(2, 0.1), (1, 0.01)]
    assert spans(books)[2] == (0, 1_000, False)


def test_an_hour_is_raw_where_it_is_not_read_as_columns(layout, monkeypatch):
    path = layout.hour_file(INST, HOUR_AT_MS).with_suffix(".jsonl.gz")
    archive_hour(layout, layout.parse_hour_file(path))
    path.unlink()
    archived, lines, elsewhere = (HOUR_AT_MS + nth * HOUR_MS for nth in range(3))

    def raw_hours(*left_out, resolution="lines"):
        monkeypatch.setattr(Vault, "left_out", lambda *asked: list(left_out))
        return read_books(layout.root, INST, archived, elsewhere + HOUR_MS, resolution=resolution).raw_hours

    assert raw_hours() == {lines}
    assert raw_hours((elsewhere, elsewhere + 1)) == {lines}, "its last book does not stand so long"
    assert raw_hours((elsewhere - 1, elsewhere)) == {archived, lines}, "its last book may"
    monkeypatch.setattr(Vault, "bearing_hours", lambda *asked: [archived, lines, elsewhere])
    assert raw_hours() == {lines, elsewhere}, "of which another vault has the lines"
    assert raw_hours(resolution="changes") == {archived, lines, elsewhere}
