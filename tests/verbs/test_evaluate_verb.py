"""`evaluate`: what a trader reads, what programs get, what is kept, and what `walls` and `zones` say of it."""

import csv
import io
import json
import math
from random import Random

import pytest

from l2vault import cli
from l2vault.analytics.chance import evaluate as analytics
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.evaluations import Evaluation, KeptRate, keep_evaluations, kept_evaluation
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.verbs import evaluate, rates
from support.hours import INST, at, journal_v1_of, levels, line, lost, put, started, synced

SLOTS = 2_700
"""An hour and a half: the second hour is half one."""


def books():
    """A price that goes up and down, every minute or so by 6 bps, between levels that change now and then."""
    rng = Random(1)
    sizes = [rng.randint(5, 90) for _ in range(400)]
    for slot in range(SLOTS):
        sizes[rng.randrange(400)] = rng.randint(5, 90)
        mid = 60_000 + round(18 * math.sin(slot / 5) + 30 * math.sin(slot / 173) + rng.gauss(0, 4))
        bids = [f"{mid - 1 - step * 3} {sizes[(mid - step * 3) % 400]} 2" for step in range(12)]
        asks = [f"{mid + 1 + step * 3} {sizes[(mid + step * 3) % 400]} 2" for step in range(12)]
        yield line(slot * 2_000, levels(*bids), levels(*asks), depth=12)


def row_of(layout):
    row = layout.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_text(json.dumps(instrument_row(INST)), encoding="utf-8")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    layout = Layout(tmp_path_factory.mktemp("evaluated") / "Vault")
    lines = list(books())
    put(layout, [each for each in lines if each.ts_ms < lines[0].ts_ms + HOUR_MS])
    put(layout, [each for each in lines if each.ts_ms >= lines[0].ts_ms + HOUR_MS])
    journal_v1_of(layout, started(-9_000), synced(-8_000), lost(SLOTS * 2_000, "our_restart"))
    row_of(layout)
    return layout


@pytest.fixture
def vault(recorded):
    recorded.evaluation_file(INST).unlink(missing_ok=True)
    return recorded


@pytest.fixture
def short(tmp_path):
    """Two minutes."""
    layout = Layout(tmp_path / "Short")
    put(layout, [line(slot * 2_000, levels("60000 10 5"), levels(f"{60001 + slot % 7} 20 4")) for slot in range(60)])
    journal_v1_of(layout, started(-9_000), synced(-8_000), lost(120_000, "our_restart"))
    row_of(layout)
    return layout


@pytest.fixture
def told(capsys):
    def ask(layout, *words, code=0):
        assert cli.main([*words, "--vault", str(layout.root)]) == code
        printed = capsys.readouterr()
        ask.errors = printed.err
        return printed.err if code else printed.out

    return ask


def test_a_trader_reads_how_often_it_held_beside_chance_and_what_that_rests_on(vault, told):
    text = told(vault, "evaluate", "zones", INST)
    assert "zones: found in a window of 10 min, tested in the next, 59 zones in 8 windows" in text
    assert "by chance: the same levels, as far from mid, in windows of like volatility" in text
    assert "95 %: blocks of 30 min drawn as a whole, since the span has fewer than 5 days" in text
    (row,) = json.loads(told(vault, "evaluate", "zones", INST, "--json"))["rows"][:1]
    shown = next(each for each in text.splitlines() if each.startswith("zones held  ")).split()
    assert shown[2:6] == [str(row["events"]), str(row["open"]), f"{100 * row['rate']:.1f}", "%"]
    assert row["events"] > 100 and row["rate"] == row["successes"] / row["events"]
    assert "no edge measured: of 3 rates none is above chance with a q below 0.05" in text
    assert "covered 100 % of the time" in text and "evaluate/2" in text


def test_up_to_a_moment_means_all_that_is_held_before_it(short, told):
    text = told(short, "evaluate", "imbalance", INST, "--to", at(60_000))
    assert text.splitlines()[0].startswith(f"{INST}  2024-08-20 03:00:00 to 03:01:00 UTC")
    assert "covered 100 % of the time" in text


def test_zones_show_the_rate_that_was_kept(vault, told):
    before = told(vault, "zones", INST)
    assert "how many zones hold was not measured in this vault yet: l2vault evaluate zones BTC-USDT-SWAP" in before
    (row,) = json.loads(told(vault, "evaluate", "zones", INST, "--json"))["rows"][:1]
    after = told(vault, "zones", INST)
    share, chance = (f"{100 * row[name]:.0f} %" for name in ("rate", "chance"))
    assert (
        f"of zones like these in this vault {share} held when price came (n = {row['events']}), by chance {chance}: "
        "no edge measured (2024-08-20 03:00 to 2024-08-20 04:29)" in after
    )
    assert "how many zones like these hold is not measured" in told(vault, "zones", INST, "--width", "20")


def test_a_span_that_is_too_short_says_so_and_walls_say_why_there_is_no_rate(short, told):
    text = told(short, "evaluate", "all", INST)
    assert "nothing can be told: 1 min 58 s is too short a span" in text
    assert "too little: 0 of 5 windows to test in, 0 of 30 events" in text and "no trades were recorded" in text
    shown = told(short, "walls", INST)
    assert "how many walls hold is not known: too little from 2024-08-20 03:00 to 2024-08-20 03:01 (0 of 5" in shown
    assert "how many walls like these hold is not measured" in told(short, "walls", INST, "--min-size", "1k")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["0 of 30 events", "no trades were recorded in this span, 0 of 30 events"], "2 days held too few events"),
        (["no trades were recorded in this span, 0 of 30 events"], "no trades were recorded in this span"),
        (["3 of 5 windows to test in, 0 of 30 events", "12 of 30 events"], "2 days is too short a span"),
        (["5 of 20 shifts"], "2 days is too short a span"),
        (
            ["trades proved for 31 % of 99 %", "12 of 30 events, trades proved for 31 % of 99 %"],
            "trades are proved for less than 99 % of the span; see: l2vault coverage --kind trades",
        ),
    ],
)
def test_a_long_span_that_tells_nothing_is_not_called_short(missing, said):
    assert evaluate._why_nothing([{"missing": each} for each in missing], "2 days") == said


def test_a_span_with_holes_says_that_these_are_why(short, told):
    text = told(short, "evaluate", "imbalance", INST, "--from", at(-60_000))
    assert "nothing can be told: less than 99 % of the span is covered" in text
    assert "events, covered 66" in text


def test_what_is_more_than_chance_is_named_and_warned_of(vault, told, capsys):
    edge = {"measure": "flow", "what": "hit", "signal": "net", "horizon_ms": 60_000, "side": None, "end_from": None}
    plain = {"measure": "walls", "what": "held", "side": "bid", "end_from": None}
    text = evaluate._verdict([edge | {"q": 0.012, "is_edge": True}, plain | {"q": 0.4, "is_edge": False}], None)
    assert text.startswith("more than chance: flow net, next 1 min (q = 0.012)\nthat is no profit yet")


def test_an_inferred_rate_of_pulled_walls_is_called_so(short, told):
    text = told(short, "evaluate", "walls", INST)
    assert "walls pulled (inferred)  " in text
    assert "inferred from the books, no trades were recorded in this span" in text
    (row,) = [
        each for each in json.loads(told(short, "evaluate", "walls", "--json"))["rows"] if each["what"] == "pulled"
    ]
    assert row["end_from"] == "inferred"
    by_trades = evaluate._pulled([{"end_from": None}, {"end_from": "trades"}])
    assert by_trades == "those that were cancelled and not traded, as the trades tell it"


def test_programs_get_rows_with_their_schema(vault, told):
    document = json.loads(told(vault, "evaluate", "all", INST, "--json"))
    assert document["schema"] == "l2vault.evaluate/1" and document["about"]["settings"]["draws"] == 1000
    assert [row["measure"] for row in document["rows"]] == ["walls"] * 3 + ["zones"] * 3 + ["walls"] + [
        "imbalance"
    ] * 9 + ["flow"] * 6
    rows = list(csv.DictReader(io.StringIO(told(vault, "evaluate", "imbalance", INST, "--csv"))))
    assert len(rows) == 9 and rows[0]["schema"] == "l2vault.evaluate/1" and float(rows[0]["rate"]) > 0


def test_only_what_rests_on_all_that_the_vault_holds_is_kept(vault, told):
    told(vault, "evaluate", "zones", INST, "--last", "1h")
    told(vault, "evaluate", "zones", INST, "--no-keep")
    told(vault, "evaluate", "imbalance", INST)
    assert not vault.evaluation_file(INST).exists()
    told(vault, "evaluate", "zones", INST, "--turn", "5")
    kept = kept_evaluation(vault, INST, "zones")
    assert kept is not None and [each.side for each in kept.rates] == ["both", "bid", "ask"]
    assert kept_evaluation(vault, INST, "walls") is None


def test_a_vault_that_cannot_be_written_is_evaluated_all_the_same(short, told, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "x.json")

    monkeypatch.setattr(rates, "keep_evaluations", refuse)
    assert "nothing can be told" in told(short, "evaluate", "walls", INST)
    assert "not kept for walls and zones to show: [Errno 13] Permission denied" in told.errors


def test_what_was_kept_of_one_measure_stays_with_that_of_another_and_a_damaged_file_is_none(short, told):
    one = Evaluation("evaluate/1", at(0), at(60_000), (KeptRate("held", "both", 40, 0.75, 0.6, 0.9, 0.5, 0.01),))
    keep_evaluations(short, INST, {"walls": one})
    keep_evaluations(short, INST, {"zones": one})
    assert kept_evaluation(short, INST, "walls") == kept_evaluation(short, INST, "zones") == one
    assert "75 % held when price came (n = 40; 95 %: 60 % to 90 %), by chance 50 %: more than chance, q = 0.01" in told(
        short, "walls", INST
    )
    for damage in (b"{", b'{"walls": 1}', b"\xff"):
        short.evaluation_file(INST).write_bytes(damage)
        assert kept_evaluation(short, INST, "walls") is None
        assert "was not measured in this vault yet" in told(short, "walls", INST)


def test_what_cannot_be_asked_is_refused(short, told):
    for words in (("luck", INST), ("luck",), (INST, "luck")):
        assert cli.main(["evaluate", *words, "--vault", str(short.root)]) == 2
    told_of = told(short, "evaluate", "luck", INST, code=2)
    assert "'luck' is no measure. Try: one of walls, zones, imbalance, flow, all\n" in told_of
    assert "a window of 420 s is impossible. Try: one that divides the hour: 10m" in told(
        short, "evaluate", "walls", INST, "--window", "7m", code=2
    )


@pytest.mark.parametrize(
    ("words", "measures"),
    [
        ((INST,), analytics.MEASURES),
        (("all", "--no-keep", INST), analytics.MEASURES),
        (("zones", "--last", "1m", INST), ("zones",)),
        (("--last", "1m", INST, "zones"), ("zones",)),
        (("Zones", INST.lower()), ("zones",)),
    ],
)
def test_the_instrument_may_stand_wherever_other_verbs_take_it(short, told, words, measures):
    rows = json.loads(told(short, "evaluate", *words, "--json"))["rows"]
    assert {row["measure"] for row in rows} == set(measures)


def test_two_instruments_are_refused_as_such(short, told):
    text = told(short, "evaluate", INST, "ETH-USDT-SWAP", code=2)
    assert "2 instruments are named (BTC-USDT-SWAP, ETH-USDT-SWAP). Try: one at a time" in text


def test_the_choices_offered_are_those_there_are():
    """The command line lists them itself, so that asking for help loads no library."""
    assert evaluate.MEASURES == analytics.MEASURES
    assert set(rates.SHOWN) < set(evaluate.MEASURES)
