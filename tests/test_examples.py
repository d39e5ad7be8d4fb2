"""Every script in examples/ runs on a small vault and gives the right answer."""

import json
import runpy
import sys
from pathlib import Path

import pytest

import l2vault
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from support.hours import INST, journal_v1_of, levels, line, lost, put, started, synced

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SLOTS = 150


def recorded():
    """Five minutes: a whale bid of 300 k for the first two, and a spread of 20 bps from 2:00 to 2:20."""
    for slot in range(SLOTS):
        is_wide = 60 <= slot < 70
        bids = levels("60000 100 5", f"59990 {500 if slot < 60 else 1} 2")
        asks = levels(f"{60121 if is_wide else 60001} 300 4", "60200 200 1")
        yield line(slot * 2_000, bids, asks)


@pytest.fixture(autouse=True)
def vault(tmp_path):
    layout = Layout(tmp_path / "Vault")
    put(layout, list(recorded()))
    journal_v1_of(layout, started(-9_000), synced(-8_000), lost(300_000, "our_restart"))
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")
    return layout.root


@pytest.fixture
def books(vault):
    return l2vault.open(vault).books(INST, last="1h")


def load(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_the_whale_bid_is_found(books):
    bids = load("whale_bids")["whale_bids"](books.walls(percentile=99.8, per_order="100k"))
    assert bids.select("price", "peak", "end").rows() == [(59_990, pytest.approx(500 * 0.01 * 59_990), "pulled")]


def test_the_wide_spread_is_one_episode(books):
    episodes = load("wide_spreads")["wide_spreads"](books.spread())
    assert [(row["seconds"], round(row["widest_bps"], 1)) for row in episodes.to_dicts()] == [(20.0, 20.1)]


def test_imbalance_is_set_beside_the_move_after_it(books):
    table = load("imbalance_10")["imbalance_and_move"](books)
    assert table["imbalance"].to_list()[0] == pytest.approx((600 - 500) / 1_100)
    assert table["move_bps"].to_list()[0] == pytest.approx(0)
    assert table["move_bps"].to_list()[-1] is None


def test_the_position_is_what_the_book_bears(books):
    names = load("size_a_position")
    costs = names["round_trip_bps"](books.slippage(names["SIZES"]))
    # 100 contracts of bids are 60 k; beyond, the second bid stood with 5 contracts and more only for two minutes
    assert names["largest_position"](costs, 25) == "50k"
    assert names["largest_position"](costs, 0.1) is None


NEEDS = {"backtest": "hftbacktest"}
"""Beside what the tests have: `make consumers` runs these."""
ANSWERS = {
    "backtest": "fills",
    "imbalance_10": "03:00          100%      +0.09     60000.5   +0.00 bps",
    "size_a_position": "Only 8% of the hour is covered: too little to advise a size.",
    "whale_bids": "     59990        0.30 M  03:00:00    03:02:00     2.0   1.7 bps  found     pulled",
    "wide_spreads": "03:02:00 UTC  for   20.0 s, at most 20.1 bps",
    "zones_100": "59900 to 60000         0.12 M          40%           0 / 0   0.81",
}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_script_runs_as_its_first_lines_say(path, vault, monkeypatch, capsys):
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    usage = next(text for text in path.read_text(encoding="utf-8").splitlines() if text.startswith("python examples/"))
    _, script, _, inst_id, *rest = usage.split()
    assert script == f"examples/{path.name}"
    monkeypatch.setattr(sys, "argv", [script, str(vault), inst_id, *rest])
    runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().out
    assert ANSWERS[path.stem] in said, said
    assert max(map(len, said.splitlines())) <= 100


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_script_says_in_a_sentence_what_is_wrong(path, tmp_path, monkeypatch):
    for words, answer in (
        ([], "usage: python examples/"),
        ([str(tmp_path / "none"), INST, "1"], "no vault at|usage"),
        ([str(tmp_path / "none"), INST], "no vault at|usage"),
    ):
        monkeypatch.setattr(sys, "argv", [path.name, *words])
        with pytest.raises(SystemExit, match=answer):
            runpy.run_path(str(path), run_name="__main__")
