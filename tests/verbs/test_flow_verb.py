"""`flow`, and `walls` where trades were recorded: what a trader reads, what programs get, what is said of nothing."""

import csv
import io
import json
import re

import pytest

from l2vault import cli
from l2vault.analytics.pictures import canvas
from l2vault.book.trade import TradePush, trade_to_line
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal.trade_events import TradesBegun, TradesHole, TradesMissing
from l2vault.vault.store.layout import Layout
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
    ("sizes", "end", "filled"),
    [((500,), "consumed", "100 %"), ((40,), "pulled", "8 %"), ((600, 300), "refilled", "100 %")],
)
def test_walls_end_by_the_trades_at_their_price(tmp_path, monkeypatch, told, sizes, end, filled):
    monkeypatch.chdir(tmp_path)
    first, last = push(1, 500, 1, "59990"), push(9, 110_000, 1, "59990")
    middle = [push(2 + nth, 30_000 if nth else 39_000, size) for nth, size in enumerate(sizes)]
    spare = [push(number, 111_000, 1, "59990") for number in range(2 + len(middle), 9)]
    vault_of(tmp_path / "Vault", [first, *middle, *spare, last], [BEGUN])
    text = told("walls", INST, *FROM_TO, "--min-size", "100k")
    assert re.search(rf" {end} +{filled}$", text, re.M)
    assert "1 end by the trades at the price" in text and "inferred" not in text and "walls/4" in text
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
    (row,) = json.loads(told("walls", INST, *FROM_TO, "--min-size", "100k", "--json"))["rows"]
    assert (row["end"], row["consumed_share"]) == ("unknown", None)


def test_without_trades_the_end_is_inferred_and_says_so(tmp_path, monkeypatch, told):
    monkeypatch.chdir(tmp_path)
    vault_of(tmp_path / "Vault")
    text = told("walls", INST, *FROM_TO, "--min-size", "100k")
    assert "1 end inferred from the books: no trades were recorded here" in text
    (row,) = json.loads(told("walls", INST, *FROM_TO, "--min-size", "100k", "--json"))["rows"]
    assert (row["end"], row["end_from"], row["traded"]) == ("consumed", "inferred", None)
