"""`spread`, `imbalance`, `depth`, `walls` and their kin on a small vault with a hole: tables, JSON, CSV, errors."""

import csv
import io
import json
from typing import get_args

import numpy as np
import pytest

from l2vault import cli
from l2vault.analytics import contract
from l2vault.analytics import resample as series
from l2vault.analytics.pictures import canvas
from l2vault.clock import Clock
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from l2vault.verbs import analysis
from l2vault.verbs import series as verb_series
from support.hours import HOUR_AT_MS, INST, at, journal_v1_of, levels, line, lost, put, started, synced

SLOTS = 60
HOLE = range(30, 35)
VERBS = ("spread", "imbalance", "depth", "walls", "zones", "shifts", "flow", "heatmap")
FROM_TO = ["--from", at(0), "--to", at(120_000)]


def books():
    """Two minutes: a bid of 500 contracts that is pulled at 0:40, a hole from 1:00 to 1:10, then a wider spread."""
    for slot in range(SLOTS):
        if slot not in HOLE:
            wall = 500 if slot < 20 else 1
            bids = levels("60000 10 5", f"59990 {wall} 2")
            asks = levels("60001 20 4" if slot < 35 else "60061 20 4", "60120 5 1")
            yield line(slot * 2_000, bids, asks)


@pytest.fixture(autouse=True)
def vault(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layout = Layout(tmp_path / "Vault")
    put(layout, list(books()))
    journal_v1_of(layout, started(-9_000), synced(-8_000), lost(59_000), synced(70_000), lost(120_000, "our_restart"))
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")
    return layout


def run(*words, code=0):
    assert cli.main(list(words)) == code


@pytest.fixture
def told(capsys):
    """Runs a verb and gives what it printed."""

    def ask(*words, code=0):
        run(*words, code=code)
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return ask


def test_a_summary_weighs_by_time_and_says_what_it_rests_on(told):
    text = told("spread", INST, *FROM_TO)
    assert f"{INST}  2024-08-20 03:00:00 to 03:02:00 UTC, sizes in USDT" in text
    row = next(line.split() for line in text.splitlines() if line.startswith("spread "))
    # 59 s of 1 and 50 s of 61, of which nothing stood for 11 s
    assert row[1:4] == [f"{(59 * 1 + 50 * 61) / 109:.2f}", "1.00", "1.00"]
    assert "covered 90.83 % of the time, 1 hole (slots: recorded 91.67 %, missing 8.333 %); see" in text
    assert f"see: l2vault coverage {INST}" in text
    assert "visible range: bids all, asks all; cadence 2 s; 55 books; spread/1" in text


def test_a_long_reading_shows_how_far_it_is_on_a_terminal(told, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", shown)
    told("spread", *FROM_TO)
    assert "100%  reading" in shown.getvalue()
    assert shown.getvalue().endswith("\r" + " " * 78 + "\r")  # and leaves nothing behind
    shown.seek(0)
    shown.truncate()
    told("imbalance", "--from", at(0), "--to", at(1_200_000))  # of which the books fill a tenth
    assert "100%  reading" in shown.getvalue(), "by hours, of which there is one"
    assert shown.getvalue().endswith("\r" + " " * 78 + "\r")


def test_the_choices_offered_are_those_there_are():
    """The command line lists them itself, so that asking for help loads no library."""
    assert set(analysis.UNITS) == set(contract.UNITS)
    assert set(verb_series.STATISTICS) == set(get_args(series.Statistic))


def test_steps_are_rows_and_a_hole_shows(told):
    rows = json.loads(told("spread", *FROM_TO, "--step", "30s", "--show", "max", "--json"))["rows"]
    assert [(row["from_utc"], row["spread"], round(row["covered_share"], 3)) for row in rows] == [
        (at(0), 1, 1),
        (at(30_000), 1, 0.967),
        (at(60_000), 61, 0.667),
        (at(90_000), 61, 1),
    ]
    assert "03:01:00" in told("spread", *FROM_TO, "--step", "30s")


def test_one_moment_is_one_book(told):
    text = told("imbalance", INST, "--at", at(41_000), "--unit", "contracts", "--levels", "1,2", "--bands", "5")
    assert [line.split() for line in text.splitlines()[2:6]] == [
        ["measure", "value"],
        ["top1", f"{(10 - 20) / 30:.3f}"],
        ["top2", f"{(11 - 25) / 36:.3f}"],
        ["5bps", f"{(11 - 20) / 31:.3f}"],
    ]


def test_a_moment_in_a_hole_is_refused_with_its_cause(told):
    text = told("spread", "--at", at(65_000), code=1)
    assert f"no book of {INST} at {at(65_000)} is known: missing (chain). Try: --at {at(58_000)}" in text


def test_depth_tells_bands_and_what_orders_would_cost(told):
    answer = json.loads(told("depth", "--at", at(10_000), "--bands", "1,5", "--sizes", "10k,500k", "--json"))
    (row,) = answer["rows"]
    assert row["bid_1bps"] == pytest.approx(10 * 0.01 * 60_000)
    assert row["bid_5bps"] == pytest.approx(10 * 0.01 * 60_000 + 500 * 0.01 * 59_990)
    assert row["buy_10k_avg"] == pytest.approx(60_001)
    assert (row["buy_500k_avg"], row["sell_10k_worst"]) == (None, 59_990)
    assert (row["bid_visible_bps"], answer["about"]["unit"], answer["about"]["method"]) == (None, "USDT", "depth/1")
    assert "buy_500k_bps" in told("depth", "--at", at(10_000))


def test_walls_have_a_life_and_an_end(told):
    text = told("walls", *FROM_TO, "--min-size", "100k")
    row = next(line for line in text.splitlines() if line.startswith("bid"))
    assert " ".join(row.split()) == "bid 59990 03:00:00 03:00:40 40 s 300 k 300 k 2.0 1.7 found pulled (inferred) -"
    assert "ends of 1 life: 1 pulled (300 k)" in text
    assert "cancelled share of removed wall size: 100 %, inferred from the books: no trade says what was" in text


def test_lives_of_walls_are_sorted_as_asked(told, vault):
    """A bid of 300 k for 40 s, and before the hole an ask of 2.4 M, 20 bps away, for 4 s."""
    asks = [levels("60001 20 4", "60120 4000 1") if slot in (25, 26) else levels("60001 20 4") for slot in range(30)]
    bids = [levels("60000 10 5", f"59990 {500 if slot < 20 else 1} 2") for slot in range(30)]
    vault.hour_file(INST, HOUR_AT_MS).unlink()
    put(vault, [line(slot * 2_000, *both) for slot, both in enumerate(zip(bids, asks, strict=True))])

    def order(*words):
        text = told("walls", *FROM_TO, "--min-size", "100k", "--lives", *words)
        list_of = text[text.index("every life of a wall, ") :].splitlines()
        rows = json.loads(told("walls", *FROM_TO, "--min-size", "100k", "--lives", *words, "--json"))["rows"]
        return list_of[0], [each.split()[0] for each in list_of[2:4]], [row["side"] for row in rows]

    of_birth = ["bid", "ask"]
    assert order() == ("every life of a wall, largest first", ["ask", "bid"], of_birth)
    assert order("--sort", "size") == ("every life of a wall, largest first", ["ask", "bid"], ["ask", "bid"])
    assert order("--sort", "time") == ("every life of a wall, longest in sight first", of_birth, of_birth)
    assert order("--sort", "near") == ("every life of a wall, nearest to mid first", of_birth, of_birth)
    _, shown, rows = order("--sort", "weight")
    assert shown == rows == ["bid", "ask"], "300 k for 40 s and 2.4 M for 4 s"


def test_without_trades_the_cancelled_share_lies_between_bounds(told, vault):
    """Of two walls alike one is pulled in sight; the other is gone when the price has passed it, filled or not."""
    vault.hour_file(INST, HOUR_AT_MS).unlink()
    first = levels("60000 10 5", "59990 500 2", "59980 500 2")
    books = [first, levels("60000 10 5", "59990 500 2"), levels("59970 10 5")]
    put(vault, [line(slot * 2_000, books[min(slot // 5, 2)], levels("60001 20 4")) for slot in range(20)])
    text = told("walls", "--from", at(0), "--to", at(40_000), "--min-size", "100k")
    assert "ends of 2 lives: 1 pulled (300 k), 1 consumed (300 k)" in text
    assert "cancelled share of removed wall size: 50 to 100 %, inferred from the books" in text


def test_walls_at_a_moment_are_those_that_stood_then(told):
    standing = json.loads(told("walls", "--at", at(30_000), "--min-size", "100k", "--json"))["rows"]
    assert [(row["price"], row["end"], row["to_utc"]) for row in standing] == [(59_990, "standing", at(30_001))]
    assert json.loads(told("walls", "--at", at(50_000), "--min-size", "100k", "--json"))["rows"] == []


def test_no_wall_stands_in_a_hole(told):
    words = ("walls", "--at", at(65_000), "--min-size", "1k")
    text = told(*words)
    assert f"standing at {at(65_001)[11:19]} UTC: not known, no book is known then: missing (chain)" in text
    assert f"the last one stood until 03:00:59. Try: --at {at(58_999)}" in text
    assert json.loads(told(*words, "--json"))["rows"] == []
    ended = json.loads(told("walls", "--from", at(0), "--to", at(65_000), "--min-size", "1k", "--json"))["rows"]
    assert {row["end"] for row in ended if row["to_utc"] == at(59_000)} == {"gap"}
    assert json.loads(told("walls", "--at", at(58_999), "--min-size", "1k", "--json"))["rows"] != []


def test_zones_are_told_as_support_and_resistance(told):
    text = told("zones", *FROM_TO, "--width", "100")
    resistance, support = text.split("support below the price")
    assert "zones 100 wide" in resistance
    # 59,900 to 60,000 held the wall for 40 s of the 109 s that are covered, and 1 contract in the rest
    mean = (500 * 40 + 1 * 69) / 109 * 0.01 * 59_990
    (row,) = [line.split() for line in support.splitlines() if "59900" in line]
    assert row[:5] == ["59900", "60000", "5.1", f"{mean / 1e3:.0f}", "k"]
    rows = json.loads(told("zones", *FROM_TO, "--width", "100", "--json"))["rows"]
    assert [row["size"] for row in rows if row["price_from"] == 59_900] == pytest.approx([mean])


def test_shifts_tell_what_was_pulled_and_when(told):
    rows = json.loads(told("shifts", *FROM_TO, "--horizon", "30s", "--bands", "5", "--json"))["rows"]
    pulled = [(row["from_utc"], row["side"], row["band"], row["pulled"]) for row in rows if row["pulled"]]
    assert pulled == [(at(30_000), "bid", "0-5", pytest.approx(499 * 0.01 * 59_990))]
    text = told("shifts", *FROM_TO, "--horizon", "30s")
    assert next(line.split() for line in text.splitlines() if line.startswith("bid"))[1:4] == ["0.00", "299", "k"]
    assert "alerts: 4 windows of 30 s are too few to tell what is out of the ordinary; 10 are needed" in text
    assert "most net flow in 30 s" in text
    text = told("shifts", *FROM_TO, "--horizon", "10s")
    assert "too few to tell what chance gives once a day. Try: a longer span" in text
    text = told("shifts", "--from", at(0), "--to", at(20_000), "--horizon", "30s")
    assert "alerts: 1 window of 30 s is too few to tell what is out of the ordinary; 10 are needed" in text
    assert json.loads(told("shifts", *FROM_TO, "--alerts", "--json"))["rows"] == []


def test_a_heatmap_is_cells_and_a_picture(told, tmp_path):
    text = told("heatmap", *FROM_TO, "--plot", "heat.png")
    assert "cells of 2 s by" in text and ", 0 walls found (0 lives)" in text
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    rows = json.loads(told("heatmap", *FROM_TO, "--no-walls", "--json", "--plot", "heat.png"))["rows"]
    wall = [
        row["size"] for row in rows if row["from_utc"] == at(10_000) and row["price_from"] <= 59_990 < row["price_to"]
    ]
    assert wall == pytest.approx([500 * 0.01 * 59_990])
    text = told("heatmap", *FROM_TO, "--around-mid", "--no-walls", "--no-trades", "--plot", "mid.png")
    assert "cells of 2 s by 0.08 bps\n" in text
    assert (tmp_path / "mid.png").read_bytes().startswith(b"\x89PNG")


def test_a_heatmap_counts_walls_and_their_lives(told):
    text = told("heatmap", *FROM_TO, "--min-size", "100k", "--plot", "heat.png")
    ledger = json.loads(told("walls", *FROM_TO, "--min-size", "100k", "--lives", "--json"))["rows"]
    assert len(ledger) == len({row["track"] for row in ledger}) == 1
    assert ", 1 wall found (1 life)\n" in text


def test_with_steps_the_picture_draws_these(told, monkeypatch):
    shown = []
    monkeypatch.setattr(canvas, "save", lambda figure, path: shown.append(figure))
    told("depth", *FROM_TO, "--sizes", "10k", "--step", "30s", "--show", "max", "--plot", "x.png")
    told("depth", *FROM_TO, "--sizes", "10k", "--plot", "x.png")
    steps, books = shown
    values = np.asarray(steps.axes[0].lines[0].get_ydata())
    rows = json.loads(told("depth", *FROM_TO, "--sizes", "10k", "--step", "30s", "--show", "max", "--json"))["rows"]
    assert values[:-1].tolist() == [row["buy_10k_bps"] for row in rows] and len(rows) == 4
    assert "max of each step of 30 s" in steps.get_supxlabel()
    assert "each book a step" in books.get_supxlabel()
    for figure in shown:
        assert any(patch.get_hatch() for patch in figure.axes[0].patches), "the hole, also within a step"


@pytest.mark.parametrize("verb", ["flow", "shifts"])
def test_steps_and_windows_hatch_the_holes_of_the_books(verb, told, monkeypatch):
    shown = []
    monkeypatch.setattr(canvas, "save", lambda figure, path: shown.append(figure))
    told(verb, *FROM_TO, "--plot", "x.png")
    (hole,) = [patch for patch in shown[0].axes[0].patches if patch.get_hatch()]
    box = hole.get_window_extent()
    edges = shown[0].axes[0].transData.inverted().transform([(box.x0, 0), (box.x1, 0)])[:, 0]
    assert [round(edge * canvas.DAY_MS) - HOUR_AT_MS for edge in edges] == [59_000, 70_000]
    legends = [axes.get_legend() for axes in shown[0].axes]
    words = [text.get_text() for legend in legends if legend for text in legend.get_texts()]
    assert "not covered" in words


@pytest.mark.parametrize("verb", VERBS)
def test_every_answer_can_be_drawn(told, verb, tmp_path):
    told(verb, *FROM_TO, "--plot", f"{verb}.png")
    assert (tmp_path / f"{verb}.png").read_bytes().startswith(b"\x89PNG")
    text = told(verb, *FROM_TO, "--plot", "nowhere/picture.png", code=1)
    assert "cannot write nowhere" in text and "Try: a name like picture.png" in text


def test_no_row_of_csv_travels_without_what_it_rests_on(told):
    (row,) = csv.DictReader(io.StringIO(told("walls", *FROM_TO, "--min-size", "100k", "--lives", "--csv")))
    assert (row["price"], row["end"], row["from_utc"], row["unit"]) == ("59990.0", "pulled", at(0), "USDT")
    assert (row["method"], row["cadence_ms"], row["inst_id"]) == ("walls/2", "2000", INST)
    assert float(row["covered_of_span"]) == pytest.approx(109 / 120)
    assert {"visible_bid_least_bps", "visible_ask_most_bps"} <= set(row)


def test_the_last_hour_is_what_is_told_unless_asked_otherwise(told):
    about = json.loads(told("spread", "--json"))["about"]
    assert (about["from_utc"], about["to_utc"]) == (at(0), at(118_001))  # not before there was a line
    about = json.loads(told("spread", "--last", "30s", "--json"))["about"]
    assert (about["from_utc"], about["to_utc"]) == (at(88_001), at(118_001))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["ETH-USDT-SWAP"], 1, f"holds nothing of ETH-USDT-SWAP. Try: {INST}"),
        (["--inst", "ETH-USDT-SWAP"], 1, "holds nothing of ETH-USDT-SWAP"),
        (
            [INST, "--inst", "ETH-USDT-SWAP"],
            2,
            "2 instruments are named (BTC-USDT-SWAP, ETH-USDT-SWAP). Try: one at a time",
        ),
        (["--inst", "eth-usdt-swap,sol-usdt-swap"], 2, "2 instruments are named"),
        (["--from", at(50_000), "--to", at(40_000)], 2, "is not after --from"),
        (["--from", at(500_000), "--to", at(600_000)], 1, f"a time in what the vault holds of {INST}: {at(0)} to "),
        (
            ["--from", "2300-01-01"],
            1,
            f"nothing lies at 2300-01-01T00:00:00.000Z or later. Try: a time in what the vault holds of {INST}",
        ),
        (["--from", at(0), "--last", "1m"], 2, "--from and --last"),
        (["--at", at(0), "--to", at(1)], 2, "--at names a moment"),
        (["--last", "soon"], 2, "'soon' is no duration. Try: a number and its unit, such as 90s, 15m, 2h or 1d"),
        (["--json", "--csv"], 2, "exclude each other"),
        (["--vault", "nowhere"], 1, "no vault at nowhere"),
    ],
)
def test_what_cannot_be_answered_is_one_clear_sentence(told, verb, words, code, says):
    text = told(verb, *words, code=code)
    assert says in text
    assert text.count("\n") == 1 and "Traceback" not in text


@pytest.mark.parametrize("verb", VERBS)
def test_an_empty_vault_and_one_sided_books_are_told_apart(told, verb, tmp_path):
    Layout(tmp_path / "Empty").journal.mkdir(parents=True)
    assert "holds no books yet. Try: l2vault record" in told(verb, "--vault", "Empty", code=1)
    put(Layout(tmp_path / "Vault"), [line(slot * 2_000, levels("60000 1 1"), []) for slot in range(5)])
    text = told(verb, *FROM_TO, code=1)
    assert f"no book of {INST} between {at(0)} and {at(120_000)} has both bids and asks" in text


def test_without_the_row_of_the_instrument_the_cure_is_named(told, vault):
    vault.instrument_file(INST).unlink()
    assert f"no instrument row of {INST}" in told("walls", code=1)
    assert HOUR_AT_MS


def test_several_instruments_need_a_name(told, vault):
    other = vault.hour_file("ETH-USDT-SWAP", HOUR_AT_MS)
    other.parent.mkdir(parents=True)
    other.write_bytes(b"")
    assert "no instrument is named. Try: one of BTC-USDT-SWAP, ETH-USDT-SWAP" in told("spread", code=2)


@pytest.mark.parametrize(
    ("verb", "words", "says"),
    [
        ("imbalance", ["--levels", "1.5"], "'1.5' are no whole numbers of levels"),
        ("depth", ["--sizes", "1k,much"], "'much' is no number above 0"),
        ("walls", ["--percentile", "120"], "a percentile of 120 is impossible"),
        ("walls", ["--min-size", "1,2"], "'1,2' is not one number"),
    ],
)
def test_options_of_their_own_are_checked_too(told, verb, words, says):
    assert says in told(verb, *words, code=2)


def test_more_than_there_is_is_answered_with_all_there_is_and_said(capsys):
    run("spread", "--last", "1w")
    assert f"more than there is: what the vault holds of {INST}: {at(0)} to " in capsys.readouterr().err
    run("spread", "--last", "1m", "--to", at(100_000))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [(), ("--last", "1m"), ("--from", at(0)), ("--at", "now")])
def test_an_answer_of_the_newest_books_says_how_old_they_are(capsys, monkeypatch, words):
    newest = "2024-08-20T03:01:58.000Z"
    for age_ms, said in ((90_000, ""), (91_500, f"the newest book of {INST} is 1 min 31 s old: {newest}\n")):
        monkeypatch.setattr(Clock, "wall_ms", lambda clock, age_ms=age_ms: HOUR_AT_MS + 118_000 + age_ms)
        run("spread", *words)
        assert capsys.readouterr().err == said


def test_a_price_of_before_a_hole_says_so(told):
    """The hole is from 0:59 to 1:10; the span ends within it."""
    text = told("zones", "--from", at(0), "--to", at(66_000), "--width", "100")
    assert "price 60000.5, of 7 s before the end of the span: no book stood since; zones 100 wide" in text
    text = told("walls", "--from", at(0), "--to", at(66_000), "--min-size", "100k")
    assert "standing at 03:01:06 UTC: not known, no book is known then: missing (chain)" in text
    assert "price 60000.5; zones 100 wide" in told("zones", "--from", at(0), "--to", at(50_000), "--width", "100")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--at", "2300-01-01"), "nothing lies at 2300-01-01T00:00:00.000Z or in the 1 h before it. Try: a time in"),
        (("--at", "2300-01-01", "--last", "90s"), "2300-01-01T00:00:00.000Z or in the 1 min 30 s before it."),
        (("--at", "2000-01-01"), "nothing lies at 2000-01-01T00:00:00.000Z. Try: a time in"),
        (("--to", "2300-01-01"), "nothing lies in the 1 h before 2300-01-01T00:00:00.000Z. Try: a time in"),
        (("--to", "2000-01-01"), "nothing lies before 2000-01-01T00:00:00.000Z. Try: a time in"),
    ],
)
def test_where_nothing_lies_the_time_that_was_asked_is_named(told, words, said):
    assert said in told("walls", *words, code=1)


def test_a_loss_that_begins_at_the_last_line_leads_to_a_moment_that_works(told, vault):
    """The journal says that the book was lost at the very time of the line, within its slot of the grid."""
    lost_at = Layout(vault.root.parent / "Lost")
    put(lost_at, [line(slot * 2_000 + 700, levels("60000 10 5"), levels("60001 20 4")) for slot in range(11)])
    journal_v1_of(lost_at, started(-9_000), synced(-8_000), lost(20_700), synced(25_700))
    path = lost_at.instrument_file(INST)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(vault.instrument_file(INST).read_bytes())
    text = told("depth", "--vault", "Lost", "--at", "now", code=1)
    assert f"no book of {INST} at {at(20_700)} is known: missing (chain). Try: --at {at(20_699)}, the last" in text
    assert f"{INST}  " in told("depth", "--vault", "Lost", "--at", at(20_699))


def test_a_broken_settings_file_is_none_of_a_reader_s_business(told, tmp_path):
    (tmp_path / "l2vault.toml").write_text("depth = [")
    told("spread", "--vault", "Vault")
    assert "is not TOML" in told("spread", code=2)
