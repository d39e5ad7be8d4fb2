"""`flow`, and `walls` where trades were recorded: what a trader reads, what programs get, what is said of nothing."""

import csv
import io
import json
import re

import polars as pl
import pytest

from l2vault import cli
from l2vault.analytics.pictures import canvas
from l2vault.analytics.trades import read_trades
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal.trade_events import TradesBegun, TradesHole, TradesMissing
from l2vault.vault.reading.trades import TradeReader
from l2vault.vault.store.layout import Layout
from l2vault.verbs import flow as verb
from support.hours import HOUR_AT_MS, INST, at, journal_v1_of, levels, line, lost, put, started, synced
from support.small_vault import small_vault

SLOTS = 60
FROM_TO = ["--from", at(0), "--to", at(120_000)]


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return small_vault(tmp_path / "Vault")[0]


@pytest.fixture
def told(capsys):
    def ask(*words, code=0):
        assert cli.main(list(words)) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return ask


def test_flow_reads_like_a_tape_with_its_sums_first(small, told):
    text = told("flow", INST, "--last", "5m")
    assert "trades: bought 536 k, sold 358 k, net +179 k USDT (+298 contracts)" in text
    assert "steps of 1 min" in text and "cum. delta" in text and "basis bps" in text
    assert "OFI: net of what happened between two recorded books" in text
    assert "price impact (Kyle's lambda): 0 bps per million net, standard error 0, 147 moves" in text
    assert "depth hit by takers: never in this span" in text
    assert "mark 60000.5, index 60003.1; funding 0.0066 %; open interest 2.22 M contracts" in text


def test_how_depth_came_back_is_said_with_what_100_percent_is():
    shares = {f"recovered_{sec}s_share": share for sec, share in ((2, -0.001), (10, 2.58), (60, -0.2))}
    few = shares | {"events": 1, "half_life_sec": None, "recovered_in_the_end_share": None}
    many = shares | {"events": 43, "half_life_sec": 2.84, "recovered_in_the_end_share": 1.81}
    resilience = {"hits": many, "withdrawals": few}
    settings = {"lambda_bps_per_musd": 0.1, "lambda_error": 0.02, "lambda_moves": 99, "resilience": resilience}
    assert verb._impact(settings, pl.DataFrame({"vpin": [0.5]})).splitlines()[1:] == [
        "depth hit by takers: 43 times; back: 0 % after 2 s, 258 % after 10 s, -20 % after 60 s; "
        "a curve fitted to it levels off at 181 %, half of that after 2.8 s",
        "as much withdrawn: 1 time; back: 0 % after 2 s, 258 % after 10 s, -20 % after 60 s",
        "  100 %: all that had gone within 5 bps of mid; above: more came than had gone; below 0: more went",
    ]


def test_flow_says_which_share_of_the_trades_is_proved_and_where_to_look(small, told):
    text = told("flow", INST)
    assert "trades proved for 99.41 % of the span; see: l2vault coverage BTC-USDT-SWAP --kind trades" in text


def test_flow_for_programs_has_a_row_a_step_with_units_in_its_names(small, told):
    document = json.loads(told("flow", INST, "--last", "5m", "--step", "2m", "--bands", "10", "--json"))
    assert document["schema"] == "l2vault.flow/1" and document["about"]["method"] == "flow/1"
    row = document["rows"][1]
    assert row["from_utc"] == "2024-08-20T03:06:00.000Z" and row["net_contracts"] == 120
    assert {"buy_usd", "cum_contracts", "ofi_10bps_usd", "lambda_bps_per_musd", "open_interest_usd"} <= set(row)
    settings = document["about"]["settings"]
    assert settings["largest"][0]["side"] == "buy" and settings["resilience"]["hits"]["events"] == 0
    rows = list(csv.DictReader(io.StringIO(told("flow", INST, "--last", "5m", "--step", "2m", "--csv"))))
    assert [float(each["net_contracts"]) for each in rows[1:2]] == [120] and rows[0]["schema"] == "l2vault.flow/1"


def test_many_steps_are_cut_to_the_newest_and_say_so(small, told):
    text = told("flow", INST, "--last", "5m", "--step", "10s", "--top", "3")
    assert "... and 28 before them: --top, --json or --csv" in text


def test_flow_draws(small, told, tmp_path):
    told("flow", INST, "--last", "5m", "--plot", "flow.png")
    assert (tmp_path / "flow.png").read_bytes().startswith(b"\x89PNG")


def test_a_heatmap_counts_as_many_trades_as_flow(small, told, monkeypatch):
    shown = []
    monkeypatch.setattr(canvas, "save", lambda figure, path: shown.append(figure.get_supxlabel().replace("\n", " ")))
    told("heatmap", INST, "--last", "5m", "--plot", "x.png")
    trades = re.search(r"^([\d,]+) trades: ", told("flow", INST, "--last", "5m"), re.M)[1]
    rows = len(told("show", INST, "--kind", "trades", "--last", "5m", "--json").splitlines())
    assert f" of {trades} trades" in shown[0]
    assert rows != int(trades.replace(",", "")), "so that pushes and trades differ"


def vault_of(root, pushes=(), noted=()):
    """Two minutes: a bid of 500 contracts, the best one, of which nothing is left at 0:40."""
    layout = Layout(root)
    put(layout, [line(slot * 2_000, bids(slot), levels("60001 20 4", "60120 5 1")) for slot in range(SLOTS)])
    journal_v1_of(layout, started(-9_000), synced(-8_000), *noted, lost(120_000, "our_restart"))
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")
    path = layout.of("trades").hour_file(INST, HOUR_AT_MS)
    if pushes:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(trade_to_line(push) + b"\n" for push in pushes))


def bids(slot):
    return levels("60000 500 2", "59990 1 1") if slot < 20 else levels("59990 1 1")


def push(number, ms, size, price="60000"):
    ts_ms = HOUR_AT_MS + ms
    return TradePush(INST, str(number), price, str(size), "sell", str(ts_ms), "1", "0", number, ts_ms * 1000, "ws")


BEGUN = TradesBegun(at(0), INST, 1, at(500), "first")


def test_without_trades_flow_says_so_and_what_to_do_and_measures_the_books(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    vault_of(tmp_path / "Vault")
    text = told("flow", INST, *FROM_TO)
    assert "no trades were recorded in this span" in text and "Try: l2vault record, with trades = true" in text
    assert "OFI touch" in text and "VPIN" not in text.partition("steps of")[2]
    assert "no context was recorded in this span" in text
    row = json.loads(told("flow", INST, *FROM_TO, "--json"))["rows"][0]
    assert row["net_contracts"] is None and row["proved_share"] == 0


@pytest.mark.parametrize(
    ("sizes", "end", "filled", "cancelled"),
    [
        ((500,), "consumed", "100 %", "0 %, by the trades (1 of 1 wall that went: 300 k traded, 0.00 cancelled)"),
        ((300,), "consumed", "60 %", "40 %, by the trades (1 of 1 wall that went: 180 k traded, 120 k cancelled)"),
        ((40,), "pulled", "8 %", "92 %, by the trades (1 of 1 wall that went: 24.0 k traded, 276 k cancelled)"),
        ((600, 300), "refilled", "100 %", "0 %, by the trades (1 of 1 wall that went: 540 k traded, 0.00 cancelled)"),
    ],
)
def test_walls_end_by_the_trades_at_their_price(tmp_path, monkeypatch, told, sizes, end, filled, cancelled):
    monkeypatch.chdir(tmp_path)
    first, last = push(1, 500, 1, "59990"), push(9, 110_000, 1, "59990")
    middle = [push(2 + nth, 30_000 if nth else 39_000, size) for nth, size in enumerate(sizes)]
    spare = [push(number, 111_000, 1, "59990") for number in range(2 + len(middle), 9)]
    vault_of(tmp_path / "Vault", [first, *middle, *spare, last], [BEGUN])
    text = told("walls", INST, *FROM_TO, "--min-size", "100k")
    assert re.search(rf" {end} +{filled}$", text, re.M)
    assert "1 end by the trades at the price" in text and "inferred" not in text and "walls/4" in text
    assert f"cancelled share of removed wall size: {cancelled}\n" in text
    (row,) = json.loads(told("walls", INST, *FROM_TO, "--min-size", "100k", "--json"))["rows"]
    assert (row["end"], row["end_from"], row["traded"]) == (end, "trades", pytest.approx(sum(sizes) * 600))
    assert row["eaten_share"] == row["filled_at_touch_share"]  # what was there before keeps its name


def test_a_hole_in_the_trades_makes_an_end_unknown_and_the_table_says_where_to_look(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    ids = 2, 3, 2, at(30_000), at(60_000)
    noted = [BEGUN, TradesHole(at(60_000), INST, *ids, "disconnect"), TradesMissing(at(61_000), INST, *ids, "gone")]
    vault_of(tmp_path / "Vault", [push(1, 30_000, 1, "59990"), push(4, 60_000, 1, "59990")], noted)
    text = told("walls", INST, *FROM_TO, "--min-size", "100k")
    assert "1 unknown: a hole in the trades, see: l2vault coverage --kind trades" in text
    assert "cancelled share" not in text, "of this wall nobody knows it"
    (row,) = json.loads(told("walls", INST, *FROM_TO, "--min-size", "100k", "--json"))["rows"]
    assert (row["end"], row["consumed_share"]) == ("unknown", None)


def test_what_is_known_of_the_time_of_trades_is_the_same_with_their_rows_and_without(tmp_path):
    layout, _ = small_vault(tmp_path / "Vault")
    trades = read_trades(TradeReader(layout), INST)
    for span in ((HOUR_AT_MS, HOUR_AT_MS + 600_000), (HOUR_AT_MS - 600_000, HOUR_AT_MS + 1_000), (0, 1_000)):
        read, covered = trades.read(span), trades.covered(span)
        assert covered.stretches == read.stretches and covered.proved_share == read.proved_share
        assert covered.is_recorded == read.is_recorded and not len(covered.frame)
    assert 0.5 < trades.covered((HOUR_AT_MS, HOUR_AT_MS + 600_000)).proved_share < 1, "it has a hole"


def test_without_trades_the_end_is_inferred_and_says_so(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    vault_of(tmp_path / "Vault")
    text = told("walls", INST, *FROM_TO, "--min-size", "100k")
    assert "1 end inferred from the books: no trades were recorded here" in text
    assert re.search(r" consumed \(inferred\) +0 %$", text, re.M)
    assert "cancelled share of removed wall size: 0 to 100 %, inferred from the books: no trade says what was" in text
    (row,) = json.loads(told("walls", INST, *FROM_TO, "--min-size", "100k", "--json"))["rows"]
    assert (row["end"], row["end_from"], row["traded"]) == ("consumed", "inferred", None)
