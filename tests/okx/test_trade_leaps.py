"""Pushes far from the chain are held until a second word agrees, and for three seconds at most."""

import pytest

from l2vault.book.trade import TradePush
from l2vault.okx.trade_leaps import HOLD_MS, MOST_HELD, Held, TradeLeaps

T0 = 1_790_000_000_000


def held(last_id: int, feed: int = 1, now_ms: int = 0) -> Held:
    ts = str(T0 + now_ms)
    return Held(feed, TradePush("BTC-USDT-SWAP", str(last_id), "100", "1", "buy", ts, "1", "0", 1, 0, "ws"), now_ms)


@pytest.mark.parametrize("up_ms", [0, 10**9])
def test_what_nobody_agreed_with_for_three_seconds_is_dropped_once_a_push_fits(up_ms: int) -> None:
    leaps = TradeLeaps()
    old, new = held(10**12, now_ms=up_ms), held(10**13, now_ms=up_ms + 1)
    assert [leaps.hold(each) for each in (old, new)] == [([], []), ([], [])]
    assert leaps.fitted(up_ms + HOLD_MS - 1) == []
    assert leaps.fitted(up_ms + HOLD_MS) == [old]
    assert leaps.end() == [new]


def test_the_same_word_again_is_no_second_one_and_another_feed_s_is() -> None:
    leaps = TradeLeaps()
    first, again, other = held(10**12), held(10**12, now_ms=5), held(10**12, feed=2, now_ms=9)
    assert leaps.hold(first) == leaps.hold(again) == ([], [])
    believed, dropped = leaps.hold(other)
    assert ([each.feed for each in believed], dropped) == ([1, 2], [])
    assert leaps.end() == []


def test_of_many_the_oldest_go() -> None:
    leaps = TradeLeaps()
    words = [held(10**12 + nth * 10**10) for nth in range(MOST_HELD + 2)]
    assert [leaps.hold(each)[1] for each in words] == [[]] * MOST_HELD + [[words[0]], [words[1]]]
    assert leaps.end() == words[2:]
