"""Every script in examples/ runs on a small vault and gives the right answer."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from l2vault.sim.instruments import instrument_row
from l2vault.vault.layout import Layout
from support.hours import INST, journal_v1_of, levels, line, lost, put, started, synced

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SLOTS = 150


def books():
    """Five minutes: a whale bid of 300 k for the first two, and a spread of 20 bps from 2:00 to 2:20."""
    for slot in range(SLOTS):
        is_wide = 60 <= slot < 70
        bids = levels("60000 100 5", f"59990 {500 if slot < 60 else 1} 2")
        asks = levels(f"{60121 if is_wide else 60001} 300 4", "60200 200 1")
        yield line(slot * 2_000, bids, asks)


@pytest.fixture(autouse=True)
def vault(tmp_path):
    layout = Layout(tmp_path / "Vault")
    put(layout, list(books()))
    journal_v1_of(layout, started(-9_000), synced(-8_000), lost(300_000, "our_restart"))
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")
    return layout.root


def load(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_the_whale_bid_is_found(vault):
    bids = load("whale_bids")["whale_bids"](str(vault), INST)
    assert bids.select("price", "peak", "end").rows() == [(59_990, pytest.approx(500 * 0.01 * 59_990), "pulled")]


def test_the_wide_spread_is_one_episode(vault):
    episodes = load("wide_spreads")["wide_spreads"](str(vault), INST)
    assert [(row["seconds"], round(row["widest_bps"], 1)) for row in episodes.to_dicts()] == [(20.0, 20.1)]


def test_imbalance_is_set_beside_the_move_after_it(vault):
    table = load("imbalance_10")["imbalance_and_move"](str(vault), INST)
    assert table["top10"].to_list()[0] == pytest.approx((600 - 500) / 1_100)
    assert table["move_bps"].to_list()[0] == pytest.approx(0)
    assert table["move_bps"].to_list()[-1] is None


def test_the_position_is_what_the_book_bears(vault):
    size = load("size_a_position")["largest_position"]
    # 100 contracts of bids are 60 k; beyond, the second bid stood with 5 contracts and more only for two minutes
    assert size(str(vault), INST, 25) == 50_000
    assert size(str(vault), INST, 0.1) == 0


def test_zones_of_100_dollars_hold_what_rests_in_them(vault):
    zones = load("zones_100")["zones_of_100"](str(vault), INST)
    best = zones.filter(zones["side"] == "bid").row(0, named=True)
    assert (best["price_from"], best["price_to"]) == (59_900, 60_000)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_script_runs_as_its_first_lines_say(path, vault, monkeypatch, capsys):
    usage = next(text for text in path.read_text(encoding="utf-8").splitlines() if text.startswith("python examples/"))
    _, script, _, inst_id, *rest = usage.split()
    assert script == f"examples/{path.name}"
    monkeypatch.setattr(sys, "argv", [script, str(vault), inst_id, *rest])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()
