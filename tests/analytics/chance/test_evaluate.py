"""The measures against chance, on made-up markets of which it is known whether anything in them is more."""

import importlib
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path as File

import numpy as np
import polars as pl
import pytest

from l2vault.analytics.books import Books, Result, books_of
from l2vault.analytics.chance import windows
from l2vault.analytics.chance.evaluate import EVALUATION, MEASURES, Ask, evaluate, takers_net
from l2vault.analytics.chance.levels import Trial, barriers_of, held_rates, trials_of
from l2vault.analytics.chance.signals import HORIZONS_MS, Sampling, Track, flow_rates, state_rates
from l2vault.analytics.chance.statistics import LEAST_EVENTS
from l2vault.analytics.chance.visits import Barriers, Levels, Path
from l2vault.analytics.chance.windows import Seen, seen, stands_until
from l2vault.analytics.coverage_meter import Tally
from l2vault.analytics.trades import TRADES, trades_of
from l2vault.analytics.walls.walls import walls
from l2vault.errors import UsageError, VaultError
from l2vault.vault.coverage.proved import TimeStretch
from support.books import LINEAR, T0_MS, drawn, frames, hand_made

BENCHMARKS = File(__file__).resolve().parents[3] / "benchmarks"
MINUTE = 60_000
HOURS = 2.5


@pytest.fixture(scope="module")
def markets():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("chance_market")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def nothing(markets):
    return evaluate(markets.market(2, HOURS), ask=Ask(draws=300))


@pytest.fixture(scope="module")
def planted(markets):
    return evaluate(markets.market(3, HOURS, markets.Edge(1.0, 0.15, 0.15)), ask=Ask(draws=300))


def test_an_edge_that_was_planted_is_found_in_each_measure(planted):
    assert set(planted.frame.filter("is_edge")["measure"]) == set(MEASURES)
    (held,) = planted.frame.filter(measure="walls", what="held", side="both").to_dicts()
    assert held["rate"] > 0.95 > held["chance"] and held["lift"] == pytest.approx(held["rate"] / held["chance"])
    assert held["low"] <= held["rate"] <= held["high"] and held["events"] >= LEAST_EVENTS


def test_where_none_was_planted_none_is_found(nothing):
    told = nothing.frame.filter(pl.col("p").is_not_null())
    assert len(told) > 5 and not told["is_edge"].any()
    assert 0.2 < told["p"].mean() < 0.8


def test_a_row_a_question_in_the_order_of_the_measures(nothing):
    assert nothing.frame.schema == EVALUATION
    assert nothing.frame["measure"].unique(maintain_order=True).to_list() == ["walls", "zones", "imbalance", "flow"]
    flow = nothing.frame.filter(measure="flow")
    assert set(flow.select("signal", "horizon_ms").rows()) == {(s, h) for s in ("ofi", "net") for h in HORIZONS_MS}
    assert nothing.provenance.method == "evaluate/2" and nothing.provenance.settings["walls_windows"] == 14


def test_a_rate_of_few_events_is_none_and_says_so(nothing):
    few = nothing.frame.filter(pl.col("events") < LEAST_EVENTS)
    assert len(few) and few["rate"].null_count() == few["p"].null_count() == few["q"].null_count() == len(few)
    for row in few.to_dicts():
        assert f"{row['events']} of 30 events" in row["missing"]
    enough = nothing.frame.filter(pl.col("missing").is_null())
    assert enough["rate"].null_count() == 0 and enough["events"].min() >= LEAST_EVENTS


def test_q_is_over_all_questions_of_a_call(nothing):
    told = nothing.frame.filter(pl.col("p").is_not_null()).sort("p")
    count = len(told)
    scaled = told["p"].to_numpy() * count / np.arange(1, count + 1)
    assert told["q"].to_list() == pytest.approx(np.minimum.accumulate(scaled[::-1])[::-1].tolist())


def without(books: Books, start_ms: int, end_ms: int) -> Books:
    """The same books without those that begin in some time, and trades as they were."""
    ((levels, held),) = books._frames()
    kept = held.filter((pl.col("t_from") < start_ms) | (pl.col("t_from") >= end_ms))
    return books_of(levels, kept, books.contract, books.trades)


def test_a_span_of_which_less_than_99_percent_is_covered_gives_no_rate(markets):
    books = markets.market(3, 1.25, markets.Edge(1.0, 0.15, 0.15))
    middle_ms = books.start_ms + 35 * MINUTE
    result = evaluate(without(books, middle_ms, middle_ms + 3 * MINUTE // 2), ("imbalance",), Ask(draws=50))
    assert result.provenance.covered_share == pytest.approx(0.98)
    assert result.frame["rate"].null_count() == len(result.frame) and not result.frame["is_edge"].any()
    assert all("covered 98 % of 99 %" in why for why in result.frame["missing"])


def test_a_short_span_can_tell_nothing(markets):
    frame = evaluate(markets.market(3, 0.3, markets.PLANTED), ask=Ask(draws=50)).frame
    assert frame["rate"].null_count() == len(frame)
    assert "0 of 20 shifts" in frame.filter(signal="top1", horizon_ms=10_000)["missing"][0]
    assert frame.filter(measure="walls", side="both")["missing"][0] == "0 of 5 windows to test in, 0 of 30 events"


def test_the_same_seed_gives_the_same_rows_in_any_executor(markets):
    books = markets.market(5, 1.25)
    with ThreadPoolExecutor(2) as threads:
        books.executor = threads
        one = evaluate(books, ("zones", "imbalance"), Ask(draws=50, seed=7))
    books.executor = None
    assert one.frame.equals(evaluate(books, ("zones", "imbalance"), Ask(draws=50, seed=7)).frame)
    other = evaluate(books, ("zones", "imbalance"), Ask(draws=50, seed=8)).frame
    assert one.frame["events"].equals(other["events"]) and not one.frame["p"].equals(other["p"])


def test_without_trades_their_flow_is_not_told_and_ofi_is(markets):
    ((levels, held),) = markets.market(5, 1.5)._frames()
    frame = evaluate(books_of(levels, held, markets.CONTRACT), ("flow",), Ask(draws=50)).frame
    assert frame.filter(signal="net", horizon_ms=10_000)["missing"][0].startswith("no trades were recorded")
    assert frame.filter(signal="ofi", horizon_ms=10_000)["events"][0] > 100


def test_rates_of_trades_need_them_for_99_percent_of_the_span(markets):
    """Books of the whole span, and trades of its first part."""
    books = markets.market(5, 1.5)
    ((levels, held),) = books._frames()
    whole = books.trades.read((books.start_ms, books.end_ms)).frame

    def asked(share):
        proved = TimeStretch(books.start_ms, books.start_ms + round(share * 90 * MINUTE), "proved", "")
        some = books_of(levels, held, markets.CONTRACT, trades_of(whole, [proved]))
        return evaluate(some, ("walls", "flow"), Ask(draws=50))

    part = asked(1 / 3)
    assert part.provenance.settings["trades_proved_share"] == pytest.approx(1 / 3)
    (pulled,) = part.frame.filter(what="pulled").to_dicts()
    assert (pulled["rate"], pulled["end_from"]) == (None, "trades")
    for row in (pulled, *part.frame.filter(signal="net").to_dicts()):
        assert "trades proved for 33.33 % of 99 %" in row["missing"] and row["p"] is None
    assert part.frame.filter(signal="ofi", horizon_ms=10_000)["p"][0] is not None, "which rests on books alone"
    assert "trades proved for 98.99 % of 99 %" in asked(0.98995).frame.filter(signal="net")["missing"][0]
    assert asked(0.995).frame.filter(signal="net", horizon_ms=10_000)["p"][0] is not None


def ends_of(*counted):
    """What `walls` gives: so many walls of each end, and by what that is known; one a minute."""
    rows = [(end, end_from) for end, end_from, count in counted for _ in range(count)]
    times = [T0_MS + nth * MINUTE for nth in range(len(rows))]
    frame = pl.DataFrame(rows, ["end", "end_from"], orient="row").with_columns(t_to=pl.Series(times, dtype=pl.Int64))
    return lambda books: Result(frame, None)


def pulled_of(markets, monkeypatch, has_trades, *counted):
    monkeypatch.setattr("l2vault.analytics.chance.evaluate.walls", ends_of(*counted))
    books = markets.market(5, 0.5)
    ((levels, held),) = books._frames()
    some = books if has_trades else books_of(levels, held, markets.CONTRACT)
    (row,) = evaluate(some, ("walls",), Ask(draws=50)).frame.filter(what="pulled").to_dicts()
    return row


def test_the_rate_of_pulled_walls_is_of_ends_that_trades_tell(markets, monkeypatch):
    counted = (
        ("pulled", "trades", 12),
        ("consumed", "trades", 20),
        ("refilled", "trades", 8),
        ("pulled", "inferred", 90),
        ("unknown", "trades", 5),
        ("moved", "trades", 7),
        ("standing", None, 3),
    )
    row = pulled_of(markets, monkeypatch, True, *counted)
    assert (row["events"], row["successes"], row["open"], row["rate"]) == (40, 12, 95, 0.3)
    assert row["end_from"] == "trades"


def test_without_trades_the_rate_of_pulled_walls_is_inferred_and_says_so(markets, monkeypatch):
    row = pulled_of(markets, monkeypatch, False, ("pulled", "inferred", 30), ("consumed", "inferred", 10))
    assert (row["events"], row["rate"], row["end_from"]) == (40, 0.75, "inferred")


@pytest.mark.parametrize(
    "asked", [{"window_ms": 7 * MINUTE}, {"window_ms": 2 * 60 * MINUTE}, {"turn_bps": 0.0}, {"seed": -1}]
)
def test_what_is_impossible_is_refused(asked):
    with pytest.raises(UsageError):
        Ask(**asked)


def test_what_is_no_measure_is_refused():
    books = hand_made(drawn(0, "99 5 1", "101 5 1"))
    for measures in ((), ("walls", "luck")):
        with pytest.raises(UsageError):
            evaluate(books, measures)


def test_books_of_which_none_has_two_sides_are_refused():
    with pytest.raises(VaultError):
        evaluate(hand_made(drawn(0, "99 5 1", ""), drawn(2_000, "99 5 1", "")), ("imbalance", "flow"))


# What is found in one window is tested in the next.


def windows_of(books: Books, window_ms: int = 10 * MINUTE, measures=("walls", "zones")) -> list[Seen]:
    work = partial(seen, window_ms=window_ms, measures=frozenset(measures))
    return [window for hour in books.mapped(work) for window in hour]


def test_what_a_window_finds_does_not_depend_on_any_other(markets):
    books = markets.market(4, 1.0)
    ((levels, held),) = books._frames()
    whole = windows_of(books)
    start_ms = books.start_ms + 20 * MINUTE
    own = held.filter(pl.col("t_from") >= start_ms, pl.col("t_from") < start_ms + 10 * MINUTE)
    (alone,) = windows_of(books_of(levels.filter(pl.col("t_from") < start_ms + 10 * MINUTE), own, markets.CONTRACT))
    assert alone.start_ms == whole[2].start_ms == start_ms
    assert len(alone.walls) and alone.walls.sort("price").equals(whole[2].walls.sort("price"))
    assert len(alone.zones) and alone.zones.sort("price").equals(whole[2].zones.sort("price"))


def test_a_level_is_tested_in_the_window_that_follows_and_not_over_a_hole(markets):
    books = markets.market(4, 1.0)
    trials = trials_of(windows_of(books), "zones", 10 * MINUTE)
    assert [trial.start_ms - books.start_ms for trial in trials] == [
        minutes * MINUTE for minutes in (10, 20, 30, 40, 50)
    ]
    torn = without(books, books.start_ms + 31 * MINUTE, books.start_ms + 33 * MINUTE)
    trials = trials_of(windows_of(torn), "zones", 10 * MINUTE)
    assert [trial.start_ms - books.start_ms for trial in trials] == [minutes * MINUTE for minutes in (10, 20, 50)]


def test_a_window_is_put_together_from_all_the_pieces_in_which_it_lies(markets):
    books = markets.market(4, 1.0)
    ((levels, held),) = books._frames()
    parts = [held.slice(0, 700), held.slice(700)]
    cut_up = Books(
        books.inst_id, (books.start_ms, books.end_ms), lambda: iter([(levels, part) for part in parts]), books.periods
    )
    for one, other in zip(windows_of(books), windows_of(cut_up), strict=True):
        assert one.zones.equals(other.zones) and one.mid.tolist() == other.mid.tolist()


def test_a_wall_stands_as_long_as_its_price_keeps_its_least_size():
    large = pl.DataFrame(
        [(False, 99.0, 50.0, 0, 4_000), (False, 99.0, 30.0, 4_000, 6_000), (False, 99.0, 50.0, 8_000, 9_000)],
        ["is_ask", "price", "size", "t_from", "t_to"],
        orient="row",
    )

    def until(price, least, is_ask=False, end_ms=10_000):
        found = pl.DataFrame({"is_ask": [is_ask], "price": [price], "least": [least]})
        return stands_until(large, found, 0, end_ms)[0]

    assert until(99.0, 30.0) == 6_000  # then nothing for 2 s
    assert until(99.0, 40.0) == 4_000
    assert until(99.0, 60.0) == 0
    assert until(99.0, 30.0, end_ms=6_000) == np.inf
    assert until(98.0, 30.0) == until(99.0, 30.0, is_ask=True) == 0


def test_a_visit_is_decided_by_a_fifth_of_the_range_unless_it_is_given(markets):
    found_in = windows_of(markets.market(4, 1.0), measures=())
    ranges = [(each.mid.max() - each.mid.min()) / each.mid[0] * 1e4 for each in found_in]
    found = barriers_of(found_in, None)
    assert found.turn_bps == pytest.approx(np.median(ranges) / 5) and found.near_bps < found.turn_bps
    assert barriers_of(found_in, 9.0) == Barriers(9.0 / 4, 9.0)
    assert barriers_of(windows_of(hand_made(drawn(0, "99 5 1", "101 5 1")), measures=()), None) is None


def test_of_no_windows_there_are_no_events():
    rates = held_rates([], Barriers(1, 4), MINUTE, np.random.default_rng(0), 10)
    assert [(rate.events, rate.p, rate.interval) for rate in rates.values()] == [(0, None, None)] * 3


# Signals, on moves worked out by hand: mid by step of 10 s, each for one book.


def track(*mids, every_ms=10_000, hole_at=None):
    t_from = T0_MS + np.arange(len(mids)) * every_ms
    t_to = t_from + every_ms
    if hole_at is not None:
        t_to[hole_at] -= 1
    return Track(t_from, t_to, np.array(mids, np.float64))


def sampling(steps, least_ms=20_000):
    return Sampling((T0_MS, T0_MS + steps * 10_000), 30_000, least_ms)


def test_a_hit_is_a_move_over_the_horizon_that_has_the_sign_of_the_signal():
    mids = 100, 101, 100, 100, 102, 101
    signal = np.array([0.5, 0.5, -0.5, 0.5, -0.5, 0.5])  # up, down, still, up, down, and nobody knows
    rate = state_rates({"x": signal}, track(*mids), sampling(6), np.random.default_rng(0))["x", 10_000]
    assert (rate.events, rate.successes, rate.open) == (4, 3, 1)


def test_a_move_over_a_hole_is_none():
    mids = 100, 101, 100, 100, 102, 101
    signal = np.array([0.5, 0.5, -0.5, 0.5, -0.5, 0.5])
    rate = state_rates({"x": signal}, track(*mids, hole_at=3), sampling(6), np.random.default_rng(0))["x", 10_000]
    assert (rate.events, rate.successes) == (3, 2)


def test_a_flow_is_summed_up_over_the_horizon_before_the_move():
    mids = [*[100] * 6, *[110] * 6, *[105] * 6, 107]
    flow = np.array([*[1.0] * 5, -4.0, *[1.0] * 5, -6.0, *[0.5] * 6, 9.0])
    assert T0_MS % MINUTE == 0
    rate = flow_rates({"x": flow}, track(*mids), sampling(19), np.random.default_rng(0))["x", MINUTE]
    # at 1:00: 1 before, and down by 5; at 2:00: -1 before, and up by 2; at 0:00 nothing is known before
    assert (rate.events, rate.successes) == (2, 0)


def test_the_shifts_keep_clear_of_the_signal_itself():
    rng = np.random.default_rng(0)
    mids = 100 + np.cumsum(rng.normal(size=101))
    signal = np.append(np.sign(np.diff(mids)), 1.0)
    rate = state_rates({"x": signal}, track(*mids), sampling(101, 300_000), rng)["x", 10_000]
    assert (rate.successes, rate.draws) == (rate.events, 101 - 2 * 30 + 1)
    assert rate.p == 1 / (rate.draws + 1) and rate.chance == pytest.approx(0.5, abs=0.1)
    short = state_rates({"x": signal}, track(*mids), sampling(101, 600_000), rng)["x", 10_000]
    assert (short.draws, short.p, short.chance) == (0, None, None)


def test_a_quiet_book_is_the_book_of_every_step_it_stands_through():
    levels, held = frames([drawn(0, "99 30 1", "101 10 1"), drawn(45_000, "99 10 1", "101 30 1")])
    (only,) = windows_of(books_of(levels, held, LINEAR), measures=("imbalance", "flow"))
    assert only.signals["t"].to_list() == [T0_MS + step * 10_000 for step in range(5)]
    usd = (30 * 99 - 10 * 101) / (30 * 99 + 10 * 101)
    assert only.signals["top1"].to_list() == pytest.approx([usd] * 5)
    assert only.flows.rows() == [(T0_MS, 0.0), (T0_MS + 40_000, pytest.approx(0.01 * (10 - 30) * (99 + 101)))]


def test_what_takers_did_leaves_out_orders_of_no_book_and_time_in_which_a_trade_may_be_missing():
    rows = [
        (T0_MS + 1_000, 100.0, 10.0, True, False, 1),
        (T0_MS + 2_000, 100.0, 4.0, False, False, 1),
        (T0_MS + 3_000, 100.0, 99.0, True, True, 1),
        (T0_MS + 25_000, 100.0, 7.0, True, False, 1),
    ]
    proved = [
        TimeStretch(T0_MS, T0_MS + 20_000, "proved", ""),
        TimeStretch(T0_MS + 21_000, T0_MS + 40_000, "proved", ""),
    ]
    levels, held = frames([drawn(step * 10_000, "99 5 1", "101 5 1") for step in range(4)])
    books = books_of(levels, held, LINEAR, trades_of(pl.DataFrame(rows, TRADES, orient="row"), proved))
    found = takers_net(books, T0_MS + np.arange(4) * 10_000)
    assert found.tolist() == pytest.approx([0.01 * 100 * (10 - 4), 0.0, np.nan, 0.0], nan_ok=True)


def window(number, mids, walls=(), large=()):
    """Of 10 min, with a book for each mid; walls are price and least size of bids."""
    start_ms = T0_MS + number * 10 * MINUTE
    t_from = start_ms + np.arange(len(mids)) * (10 * MINUTE // len(mids))
    found = pl.DataFrame([(False, *each) for each in walls], windows._FOUND, orient="row")
    rows = pl.DataFrame([(False, *each) for each in large], windows._LARGE, orient="row")
    tally = Tally(len(mids), len(mids), 10 * MINUTE, {})
    none = pl.DataFrame()
    ends = np.append(t_from[1:], start_ms + 10 * MINUTE)
    return Seen(start_ms, t_from, ends, np.array(mids, np.float64), 0.1, tally, found, found, rows, none, none)


def test_walls_are_tested_while_they_stand_and_levels_that_price_has_passed_are_not():
    before = window(0, [100.0], walls=[(99.0, 5.0), (98.0, 5.0), (101.0, 5.0)])
    starts_ms = T0_MS + 10 * MINUTE
    after = window(1, [100.0] * 4, large=[(98.0, 9.0, starts_ms, starts_ms + MINUTE)])
    (trial,) = trials_of([before, after], "walls", 10 * MINUTE)
    assert trial.levels.away_bps.tolist() == pytest.approx([100, 200])
    assert trial.levels.until_ms.tolist() == [0, MINUTE]
    (trial,) = trials_of([before, after], "zones", 10 * MINUTE)
    assert trial.levels.until_ms.tolist() == [np.inf, np.inf]


def test_a_window_that_follows_after_another_one_that_is_missing_tests_nothing():
    assert trials_of([window(0, [100.0]), window(2, [100.0])], "zones", 10 * MINUTE) == []


def test_levels_are_laid_only_into_windows_of_like_volatility():
    def trial(number, moves_bps, away_bps):
        path = Path(np.arange(4) * 2_000, 100 * (1 + np.array(moves_bps) / 1e4), np.arange(4) > 0)
        return Trial(number * MINUTE, path, Levels(np.array([False]), np.array([away_bps]), np.array([np.inf])))

    calm = [trial(number, (0, -9, -9, 0), 10.0) for number in range(5)]  # each holds
    wild = [trial(number, (0, -99, -114, -114), 100.0) for number in range(5, 10)]  # each breaks
    rate = held_rates([*calm, *wild], Barriers(1, 4), MINUTE, np.random.default_rng(0), 50)["both"]
    assert (rate.events, rate.successes, rate.chance, rate.p) == (10, 5, 0.5, 1.0)


def test_what_a_window_finds_stands_at_its_end(markets):
    books = markets.market(4, 1.0)
    ((levels, _),) = books._frames()
    for each in windows_of(books):
        last = levels.filter(pl.col("t_to") >= each.t_to[-1], pl.col("t_from") < each.t_to[-1])
        sizes = {row["price"]: row["qty"] * 0.01 * row["price"] for row in last.to_dicts()}
        assert len(each.walls) and all(sizes[price] >= least for _, price, least in each.walls.rows())


def test_a_flow_over_a_hole_is_none():
    mids = [*[100] * 6, *[110] * 6, *[105] * 6, 107]
    flow = np.array([*[1.0] * 5, -4.0, *[1.0] * 5, -6.0, *[0.5] * 6, 9.0])
    rate = flow_rates({"x": flow}, track(*mids, hole_at=2), sampling(19), np.random.default_rng(0))["x", MINUTE]
    assert (rate.events, rate.successes) == (1, 0)  # at 1:00 the flow before is not known


def test_a_span_of_five_days_is_drawn_and_shifted_by_days():
    hour_ms = 60 * MINUTE
    books = hand_made(*(drawn(hour * hour_ms, "99 5 1", "101 5 1") for hour in range(121)))
    settings = evaluate(books, ("imbalance",), Ask(draws=10)).provenance.settings
    assert settings["block_ms"] == settings["least_shift_ms"] == 24 * hour_ms


def test_the_pulled_are_those_of_the_ledger(markets, nothing):
    ends = walls(markets.market(2, HOURS)).frame["end"].to_list()
    (row,) = nothing.frame.filter(what="pulled").to_dicts()
    assert row["successes"] == ends.count("pulled") > 0
    assert row["events"] == row["successes"] + ends.count("consumed") + ends.count("refilled")
