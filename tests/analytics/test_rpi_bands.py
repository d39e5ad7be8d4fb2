"""RPI orders within bands of mid: hand-worked, with the age of the sample, and in no other measure."""

import argparse
import csv
import json
from pathlib import Path

import pytest

import l2vault
from l2vault.analytics.books import read_books
from l2vault.analytics.metrics import depth, depth_and_slippage
from l2vault.book.deep import DeepSample
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from l2vault.verbs import depth as verb
from l2vault.verbs.context import Context
from support.hours import HOUR_AT_MS, INST, journal_of, levels, line, lost, put, started, synced
from support.small_vault import put_deep

NEAR = levels("99 10 1", "98 5 1"), levels("101 4 1", "102 6 1")
# The mid of what is not RPI is 100, whatever rests between: 99 and 101 are the best of the others.
BIDS = [("99.5", "2", "0", "1"), ("99", "12", "10", "2"), ("98", "5", "5", "1"), ("97", "4", "1", "2")]
ASKS = [("101", "4", "4", "1"), ("102", "7.5", "6", "2"), ("104", "1", "0", "1")]
BOOKS = (8_000, 10_000, 30_000, 58_000)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A book of two levels a side; an RPI book of it at 10 s, and none after it."""
    layout = Layout(tmp_path / "Vault")
    put(layout, [line(offset, *NEAR, depth=2) for offset in BOOKS])
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True)
    row.write_text(json.dumps(instrument_row(INST)))
    journal_of(layout, started(0), synced(8_000), lost(60_000))
    return layout


@pytest.fixture
def sampled(layout: Layout) -> Layout:
    put_deep(layout, [DeepSample(INST, HOUR_AT_MS + 10_000, BIDS, ASKS, 1, 0, kind="rpi")], kind="rpi")
    return layout


def rows_of(layout: Layout, *bands: float) -> dict[int, dict]:
    result = depth(read_books(layout.root, INST, HOUR_AT_MS, HOUR_AT_MS + 60_000), "contracts", bands)
    return {row["t_from"] - HOUR_AT_MS: row for row in result.frame.to_dicts()}


def test_size_and_share_are_of_the_sample_around_the_mid_of_other_than_rpi_orders(sampled: Layout) -> None:
    rows = rows_of(sampled, 50, 100, 300, 400)
    row = rows[30_000]
    assert [row[f"rpi_bid_{band}bps"] for band in (50, 100, 300, 400)] == [2, 4, 7, 7]
    assert [row[f"rpi_bid_{band}bps_share"] for band in (50, 100, 300, 400)] == [1, 4 / 14, 7 / 23, 7 / 23]
    assert [row[f"rpi_ask_{band}bps"] for band in (50, 100, 300, 400)] == [0, 0, 1.5, 2.5]
    assert [row[f"rpi_ask_{band}bps_share"] for band in (50, 100, 300, 400)] == [None, 0, 1.5 / 11.5, 2.5 / 12.5]


def test_a_sample_stands_for_45_s_and_before_it_nothing_is_claimed(sampled: Layout) -> None:
    rows = rows_of(sampled, 100)
    assert [rows[at]["rpi_bid_100bps"] for at in BOOKS] == [None, 4, 4, None]
    assert [rows[at]["rpi_age_ms"] for at in BOOKS] == [None, 0, 20_000, None]
    result = depth(read_books(sampled.root, INST, HOUR_AT_MS, HOUR_AT_MS + 60_000), "contracts", (100,))
    settings = result.provenance.settings
    assert (settings["rpi_books"], settings["rpi_oldest_ms"], settings["rpi_last_ms"]) == (2, 20_000, 20_000)


def test_no_other_measure_has_any_of_it(layout: Layout) -> None:
    def measured() -> dict[str, list]:
        books = read_books(layout.root, INST, HOUR_AT_MS, HOUR_AT_MS + 60_000)
        return depth_and_slippage(books, "usd", (50, 100, 300), (10_000.0,)).frame.to_dict(as_series=False)

    before = measured()
    assert before["bid_total"] == pytest.approx([0.01 * (10 * 99 + 5 * 98)] * 4) and "buy_10k_bps" in before
    put_deep(layout, [DeepSample(INST, HOUR_AT_MS + 10_000, BIDS, ASKS, 1, 0, kind="rpi")], kind="rpi")
    after = measured()
    assert not any(name.startswith("rpi_") for name in before)
    assert {name: values for name, values in after.items() if not name.startswith("rpi_")} == before
    own = [name for name in after if name.startswith("rpi_")]
    assert len(own) == 2 * 2 * 3 + 1 and list(after)[-len(own) :] == own, "they stand behind all others"


def test_a_side_of_400_levels_is_seen_as_far_as_its_last_one(layout: Layout) -> None:
    bids = [(f"{9900 - at}", "2", "1", "2") for at in range(400)]
    asks = [(f"{10100 + at}", "2", "1", "2") for at in range(399)]
    put_deep(layout, [DeepSample(INST, HOUR_AT_MS + 10_000, bids, asks, 1, 0, kind="rpi")], kind="rpi")
    row = rows_of(layout, 200, 498, 500)[10_000]
    assert [row[f"rpi_bid_{band}bps"] for band in (200, 498, 500)] == [101, 399, None]
    assert [row[f"rpi_ask_{band}bps"] for band in (200, 498, 500)] == [101, 399, 399], "a whole side is seen to its end"


@pytest.mark.parametrize("bids", [[("99", "1", "0", "1")], BIDS])
def test_a_book_of_rpi_orders_alone_has_no_mid_and_so_no_bands(layout: Layout, bids: list) -> None:
    asks = ASKS if bids is not BIDS else [("101", "4", "0", "1")]
    put_deep(layout, [DeepSample(INST, HOUR_AT_MS + 10_000, bids, asks, 1, 0, kind="rpi")], kind="rpi")
    row = rows_of(layout, 100)[10_000]
    assert [value for name, value in row.items() if name.startswith("rpi_")] == [None, None, None, None, 0]


def test_levels_without_rpi_orders_give_a_share_of_nothing(layout: Layout) -> None:
    plain = [[(price, total, total, orders) for price, total, _, orders in side] for side in (BIDS, ASKS)]
    put_deep(layout, [DeepSample(INST, HOUR_AT_MS + 10_000, *plain, 1, 0, kind="rpi")], kind="rpi")
    row = rows_of(layout, 200)[10_000]
    assert [row[f"rpi_{side}_200bps{end}"] for side in ("bid", "ask") for end in ("", "_share")] == [0, 0, 0, 0]


def run(layout: Layout, *words: str) -> None:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    args = parser.parse_args([INST, "--unit", "contracts", "--bands", "50,100,300", "--sizes", "10k", *words])
    args.verb = "depth"
    assert verb.run(Context(layout.root), args) == 0


def test_the_verb_has_a_table_of_it_with_source_and_age(sampled: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    run(sampled, "--at", "2024-08-20T03:00:30Z")
    said = capsys.readouterr().out
    above, _, table = said.partition("\nRPI orders, which are in no figure above (books-rpi, 20 s old)\n\n")
    assert "bid_total" in above and "rpi" not in above
    rows = [row.split() for row in table.splitlines()[:4]]
    assert rows[0] == ["of", "mid", "bid,", "contracts", "share", "ask,", "contracts", "share"]
    assert rows[1] == ["within", "50bps", "2.00", "100.00", "%", "0.00", "-"]
    assert rows[2] == ["within", "100bps", "4.00", "28.57", "%", "0.00", "0.00", "%"]
    assert rows[3] == ["within", "300bps", "7.00", "30.43", "%", "1.50", "13.04", "%"]


def test_of_a_span_it_is_the_mean_of_the_books_that_have_a_sample(
    sampled: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    run(sampled, "--from", "2024-08-20T03:00Z", "--to", "2024-08-20T03:01Z")
    said = capsys.readouterr().out
    assert "(mean; books-rpi in 2 of 4 books: 20 s old at most, 20 s at the last)" in said
    assert ["within", "100bps", "4.00", "28.57", "%", "0.00", "0.00", "%"] in [row.split() for row in said.splitlines()]


def test_programs_get_it_by_name(sampled: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    run(sampled, "--at", "2024-08-20T03:00:30Z", "--json")
    found = json.loads(capsys.readouterr().out)
    (row,) = found["rows"]
    assert (row["rpi_bid_300bps"], row["rpi_bid_300bps_share"], row["rpi_age_ms"]) == (7, 7 / 23, 20_000)
    assert (row["rpi_ask_50bps"], row["rpi_ask_50bps_share"]) == (0, None)
    assert found["about"]["settings"]["rpi_last_ms"] == 20_000
    run(sampled, "--from", "2024-08-20T03:00Z", "--to", "2024-08-20T03:01Z", "--json")
    rows = {row["measure"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["rpi_bid_300bps"]["mean"] == 7
    run(sampled, "--at", "2024-08-20T03:00:30Z", "--csv")
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert float(row["rpi_bid_300bps"]) == 7


def test_without_a_sample_of_the_span_the_verb_says_nothing_of_it(
    sampled: Layout, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    run(sampled, "--at", "2024-08-20T03:00:58Z")
    assert "RPI" not in capsys.readouterr().out


def test_the_public_door_gives_the_same(sampled: Layout) -> None:
    frame = l2vault.open(sampled.root).books(INST).depth(unit="contracts", bands_bps=(300,)).frame
    assert frame["rpi_bid_300bps"].to_list() == [None, 7, 7, None]
