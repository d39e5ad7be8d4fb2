"""The rules of one market, on books made by hand: what links two, what is an event, and what cannot be known."""

from l2vault.alerts.market import NO_BOOK, NOT_IN_SYNC, NOT_PROVED, Market, Sight, Span
from l2vault.alerts.market_feed import not_held
from l2vault.alerts.rule import Rule, read_rules
from l2vault.analytics.contract import contract_of
from l2vault.analytics.standing_walls import Ending
from l2vault.book.context import Context, Funding
from l2vault.book.snapshot import Snapshot
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.coverage.sync_history import NEVER_MS, SyncInterval
from support.hours import HOUR_AT_MS, INST, levels, line

CONTRACT = contract_of(INST, instrument_row(INST))
WALL = "60050 10000 3"


def rule(when: str, **keys: object) -> Rule:
    return read_rules([{"when": when, "instruments": [INST], **keys}], {}, are_sent=False)[0]


def market_of(asked: Rule, ending: Ending = "pulled") -> Market:
    return Market(INST, [asked], lambda ts_ms: CONTRACT, lambda gone, contract: ending)


def book(second: int, *asks: str, middle: int = 60_000, gap_detected: bool = False) -> Snapshot:
    own = f"{middle - 1} 100 3", f"{middle + 1} 100 3"
    return line(second * 1000, levels(own[0]), levels(own[1], *asks), gap_detected=gap_detected)


def seen(asked: Rule, books: list[Snapshot], holes: tuple[Span, ...] = (), ending: Ending = "pulled") -> Sight:
    """What is known at the time of the last book."""
    market = market_of(asked, ending)
    for each in books:
        market.take(each, holes)
    market.look(books[-1].ts_ms, holes)
    return market.sight(asked)


def ofs(sight: Sight) -> list[str]:
    return [held.of for held in sight.held]


BORN = rule("wall born above 5M")


def test_a_wall_is_born_if_the_book_before_had_none_and_nothing_is_missing_between() -> None:
    two = [book(0), book(2, WALL)]
    assert ofs(seen(BORN, two)) == [f"{INST} ask 60050"]
    assert ofs(seen(BORN, two[1:])) == [], "it was found"
    assert ofs(seen(BORN, two, ((HOUR_AT_MS + 500, HOUR_AT_MS + 900),))) == [], "over a hole"
    assert ofs(seen(BORN, [book(0, gap_detected=True), two[1]])) == [], "after a flagged book"
    assert ofs(seen(BORN, [book(0), book(91, WALL)])) == [], "after a silence"
    assert ofs(seen(BORN, [book(0), book(90, WALL)])) == [f"{INST} ask 60050"]


def test_a_wall_that_moved_was_neither_pulled_nor_born_unless_trades_say_that_it_was_consumed() -> None:
    moved = [book(0), book(2, WALL), *(book(second, "60052 10000 3") for second in (4, 6))]
    gone = [book(0), book(2, WALL), book(4), book(6)]
    assert ofs(seen(rule("wall pulled above 5M"), gone)) == [f"{INST} ask 60050"]
    assert ofs(seen(rule("wall pulled above 5M"), moved)) == []
    assert ofs(seen(rule("wall consumed above 5M"), moved, ending="consumed")) == [f"{INST} ask 60050"]
    assert ofs(seen(BORN, moved)) == [f"{INST} ask 60050"], "and not where it moved to"


def test_an_event_holds_for_a_minute_and_an_end_that_is_not_proved_is_not_known() -> None:
    market = market_of(BORN)
    for each in (book(0), book(2, WALL)):
        market.take(each, ())
    for second, count in ((2, 1), (61, 1), (62, 0)):
        market.look(HOUR_AT_MS + second * 1000, ())
        assert len(market.sight(BORN).held) == count
    gone = [book(0), book(2, WALL), book(4), book(6)]
    assert seen(rule("wall pulled above 5M"), gone, ending="unknown") == Sight([], NOT_PROVED)


def test_an_imbalance_of_more_levels_than_were_recorded_is_not_known() -> None:
    bids, asks = levels("59990 1 1", "59980 1 1"), levels("60010 90 1")
    leaning = rule("imbalance beyond 0.9")
    whole = Snapshot(INST, HOUR_AT_MS, 400, bids, asks, None, 1, 0)
    assert [held.of for held in seen(leaning, [whole]).held] == [f"{INST} ask"]
    full = Snapshot(INST, HOUR_AT_MS, 2, bids, asks, None, 1, 0)
    assert seen(leaning, [full]) == Sight([], "the recorded levels are fewer than 10")
    empty = Snapshot(INST, HOUR_AT_MS, 400, [], [], None, 1, 0)
    assert seen(leaning, [empty]) == Sight([], "the book is empty")


def test_a_price_crosses_when_it_is_beyond_the_other_bound_and_not_when_it_turns_within() -> None:
    crosses = rule("price crosses 60100-60200")

    def walk(*middles: int) -> list[str]:
        return ofs(seen(crosses, [book(2 * at, middle=middle) for at, middle in enumerate(middles)]))

    assert walk(60_000, 60_150, 60_000) == []
    assert walk(60_300, 60_150, 60_300) == []
    assert walk(60_000, 60_150, 60_300) == [f"{INST} up"]
    assert walk(60_300, 60_000) == [f"{INST} down"]
    assert walk(60_300, 60_000, 60_300) == [f"{INST} down", f"{INST} up"]


def test_what_is_not_in_sync_too_old_or_flagged_is_not_known() -> None:
    wide = rule("spread above 0.1bps")
    market = market_of(wide)
    assert market.sight(wide) == Sight([], NO_BOOK)
    market.take(book(0), ())
    for second, holes, why in ((90, (), ""), (91, (), NO_BOOK), (5, ((HOUR_AT_MS + 1, NEVER_MS),), NOT_IN_SYNC)):
        market.look(HOUR_AT_MS + second * 1000, holes)
        assert market.sight(wide).unknown == why
        assert bool(market.sight(wide).held) == (why == "")
    assert seen(wide, [book(0, gap_detected=True)]).unknown == NOT_IN_SYNC


def test_a_measure_that_the_recorded_levels_do_not_reach_is_not_known() -> None:
    near = line(0, levels("59999 1 1"), levels("60001 1 1"), depth=1)
    asked = rule("depth below 2M")
    assert seen(asked, [near]) == Sight([], "the recorded levels do not reach 5 bps")
    asked = rule("shift beyond 2M")
    assert "in sight" in seen(asked, [near, line(2_000, levels("59999 1 1"), levels("60001 1 1"), depth=1)]).unknown


def test_funding_is_not_known_without_a_line_of_the_last_minutes_and_needs_no_book() -> None:
    asked = rule("funding beyond 0.05%")
    market = market_of(asked)
    market.look(HOUR_AT_MS, ())
    assert market.sight(asked).unknown
    market.take_context(Context(INST, HOUR_AT_MS, None, None, Funding(HOUR_AT_MS, "-0.0006", "0"), None, None))
    for second, is_known in ((180, True), (181, False)):
        market.look(HOUR_AT_MS + second * 1000, ())
        assert bool(market.sight(asked).held) == is_known and bool(market.sight(asked).unknown) != is_known


def test_no_feed_holds_the_book_between_a_loss_and_the_next_sync_or_at_once_before_that_where_the_end_is_unknown() -> (
    None
):
    def spans(*intervals: SyncInterval) -> list[Span]:
        return list(not_held(intervals))

    assert spans() == []
    assert spans(SyncInterval(0, 10, is_cut_short=True)) == [], "it goes on"
    assert spans(SyncInterval(0, 10)) == [(10, NEVER_MS)]
    assert spans(SyncInterval(0, 10), SyncInterval(5, 20, is_cut_short=True)) == [], "the other feed held it"
    assert spans(SyncInterval(0, 10), SyncInterval(20, 30, is_cut_short=True)) == [(10, 20)]
    assert spans(SyncInterval(0, 10, is_cut_short=True), SyncInterval(20, 30)) == [(19, 20), (30, NEVER_MS)]
