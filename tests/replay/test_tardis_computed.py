"""Book snapshots and trade bars by Tardis's rules, on a few events."""

import pytest

from l2vault.exports.events import TradeEvent
from l2vault.replay.tardis.asked import BarType, SnapshotType
from l2vault.replay.tardis.computed import Bars, Snapshots
from l2vault.replay.tardis.numbers import NUMBERS, levels_json
from support.hours import levels


def snapshots(interval_ms, *changes):
    """Each change is a time and the best bid's quantity: times of the snapshots, and that quantity in them."""
    made = Snapshots(SnapshotType("x", 1, interval_ms))
    return [
        (ts_ms, top[0][0][1])
        for at_ms, qty in changes
        for ts_ms, top in made.feed(at_ms, (levels(f"10 {qty} 1"), levels("11 1 1")))
    ]


def test_without_an_interval_each_change_within_the_depth_is_a_snapshot():
    assert snapshots(0, (1, 5), (2, 5), (3, 6), (3, 5)) == [(1, "5"), (3, "6"), (3, "5")]


def test_with_one_the_first_book_and_the_last_of_each_interval_in_which_something_changed():
    found = snapshots(10, (3, 5), (4, 6), (9, 7), (12, 7), (25, 7), (31, 8), (60, 8))
    assert found == [(3, "5"), (10, "7"), (40, "8")]


def test_the_number_of_orders_is_no_change_of_a_snapshot():
    made = Snapshots(SnapshotType("quote", 1, 0))
    assert len(made.feed(1, (levels("10 5 1"), levels("11 1 1")))) == 1
    assert made.feed(2, (levels("10 5 2"), levels("11 1 1"))) == []


def bars(kind, interval, *trades):
    made = Bars(BarType("x", kind, interval))
    return [
        bar
        for number, (ts_ms, side, price, size) in enumerate(trades)
        for bar in made.feed(TradeEvent(ts_ms, 0, number, 1, side, price, size))
    ]


TRADES = ((3, "buy", "10", "1"), (5, "sell", "9.5", "2.5"), (9, "buy", "100", "1"), (21, "buy", "11", "1"))


def test_a_bar_of_time_ends_with_the_first_trade_behind_its_interval():
    (bar,) = bars("time", 10, *TRADES)
    assert (bar.open, bar.high, bar.low, bar.close) == ("10", "100", "9.5", "100"), "as numbers, not as texts"
    assert (str(bar.buy), str(bar.sell), str(bar.volume), bar.trades) == ("2", "2.5", "4.5", 3)
    assert (bar.open_ms, bar.close_ms, bar.ts_ms) == (3, 9, 10)
    assert float(bar.notional) == 10 + 9.5 * 2.5 + 100


@pytest.mark.parametrize(("kind", "interval", "wanted"), [("tick", 2, [2, 2]), ("volume", 2, [2, 2])])
def test_bars_of_trades_and_of_volume_end_with_the_trade_that_fills_them(kind, interval, wanted):
    assert [bar.trades for bar in bars(kind, interval, *TRADES)] == wanted


def test_numbers_are_okx_s_digits_where_json_takes_them():
    texts = ["60000.50", "0.00001234", "-0.00004", "7", "007", "5.", "1329667806.0000000001"]
    assert [NUMBERS[text] for text in texts] == [
        *("60000.50", "0.00001234", "-0.00004", "7", "7", "5", "1329667806.0000000001")
    ]
    assert levels_json(levels("10.5 0 0", "10 2 1")) == '[{"price":10.5,"amount":0},{"price":10,"amount":2}]'
