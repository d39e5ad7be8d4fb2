"""The context on the grid and the freshness of its values, in virtual time."""

from random import Random

import pytest

from l2vault.book.context import KINDS, Context, Funding, Index, Kind, Limits, Mark, OpenInterest, Value
from l2vault.okx.context import LONGEST_SILENCE_MS, Changed, ContextGrid, Freshness
from l2vault.okx.context_messages import Update

INST = "BTC-USDT-SWAP"
OTHER = "BTC-USD-SWAP"
T = 1_788_487_508_000
"""A grid time of 2 s."""


def mark(ts_ms: int, price: str, inst_id: str = INST) -> Update:
    return Update("mark", inst_id, Mark(ts_ms, price))


def index(ts_ms: int, price: str, name: str = "BTC-USDT") -> Update:
    return Update("index", name, Index(ts_ms, price))


def interest(ts_ms: int, contracts: str) -> Update:
    return Update("open_interest", INST, OpenInterest(ts_ms, contracts))


def limits(ts_ms: int) -> Update:
    return Update("limits", INST, Limits(ts_ms, "2", "1", True))


def grid(*inst_ids: str) -> ContextGrid:
    return ContextGrid(inst_ids or (INST,), 2000)


def feed(grid: ContextGrid, *updates: Update) -> list[Context]:
    return [line for update in updates for line in grid.take(update)]


def test_a_line_has_the_last_value_at_or_before_its_grid_time_with_its_own_time() -> None:
    lines = feed(grid(), mark(T - 700, "1"), mark(T, "2"), mark(T + 1, "3"), mark(T + 1000, "4"))

    assert lines == [Context(INST, T, Mark(T, "2"))]


def test_a_grid_time_is_written_once_a_message_a_second_later_has_come() -> None:
    these = grid()

    assert feed(these, mark(T - 1, "1"), mark(T + 999, "2")) == []
    assert feed(these, mark(T + 1000, "3")) == [Context(INST, T, Mark(T - 1, "1"))]


def test_of_two_mark_prices_with_one_time_the_later_wins() -> None:
    (line,) = feed(grid(), mark(T - 5, "1"), mark(T - 5, "2"), mark(T + 1500, "9"))

    assert line.mark == Mark(T - 5, "2")


def test_the_later_of_two_wins_even_after_the_first_was_written() -> None:
    lines = feed(grid(), mark(T, "1"), index(T + 1500, "2"), mark(T, "7"), index(T + 3000, "2"))

    assert [(line.grid_ms, line.mark) for line in lines] == [(T, Mark(T, "1")), (T + 2000, Mark(T, "7"))]


def test_a_message_that_comes_again_as_it_was_is_nothing_new() -> None:
    lines = feed(grid(), mark(T, "1"), index(T + 6500, "2"), mark(T, "1"), index(T + 9500, "2"))

    assert [line.grid_ms for line in lines] == [T, T + 8000]


def test_nothing_is_written_where_nothing_changed_and_a_repeated_value_carries_its_new_time() -> None:
    lines = feed(grid(), mark(T - 1, "1"), mark(T + 11_000, "1"), mark(T + 40_000, "1"))

    assert [(line.grid_ms, line.mark.ts_ms) for line in lines if line.mark] == [(T, T - 1), (T + 12_000, T + 11_000)]


def test_channels_that_are_not_in_step_meet_at_one_grid_time() -> None:
    (line,) = feed(grid(), mark(T + 400, "1"), interest(T - 10, "5"), index(T - 90, "2"), mark(T + 1000, "1"))

    assert line == Context(INST, T, None, Index(T - 90, "2"), None, OpenInterest(T - 10, "5"))


def test_a_value_that_comes_after_its_grid_time_was_written_is_in_the_next_line() -> None:
    lines = feed(grid(), mark(T, "1"), mark(T + 1200, "2"), interest(T - 500, "5"), mark(T + 3000, "3"))

    assert [(line.grid_ms, line.open_interest) for line in lines] == [(T, None), (T + 2000, OpenInterest(T - 500, "5"))]


def test_a_value_older_than_the_one_that_stands_changes_nothing_and_is_counted() -> None:
    these = grid()
    lines = feed(these, mark(T, "1"), mark(T + 1200, "2"), mark(T - 1, "0"), mark(T + 3000, "3"))

    assert [line.mark for line in lines] == [Mark(T, "1"), Mark(T + 1200, "2")]
    assert these.refused == 1


def test_an_index_belongs_to_every_instrument_that_follows_it_and_to_no_other() -> None:
    these = grid(INST, OTHER, "BTC-USDT-240101")
    lines = feed(these, index(T, "5"), index(T, "6", "BTC-USD"), index(T, "7", "ETH-USDT"), index(T + 1500, "8"))

    assert {line.inst_id: line.index for line in lines} == {INST: Index(T, "5"), OTHER: Index(T, "6")}


def test_an_instrument_that_is_not_recorded_leaves_nothing() -> None:
    assert feed(grid(), mark(T, "1", OTHER), mark(T + 5000, "1", OTHER)) == []


def test_the_messages_of_one_instrument_show_that_a_grid_time_of_another_is_over() -> None:
    lines = feed(grid(INST, OTHER), mark(T, "1"), mark(T + 1500, "2", OTHER))

    assert lines == [Context(INST, T, Mark(T, "1"))]


def test_a_value_beyond_proved_time_is_refused_and_counted() -> None:
    these = grid()

    assert these.take(mark(T + 86_400_000, "1"), limit_ms=T + 5000) == []
    assert these.refused == 1
    assert these.take(mark(T, "1"), limit_ms=T + 5000) == []
    assert these.take(mark(T + 1000, "1"), limit_ms=T + 6000) == [Context(INST, T, Mark(T, "1"))]


def test_what_was_believed_before_time_was_proved_is_forgotten_and_lines_go_on() -> None:
    these = grid()
    these.take(mark(T + 86_400_000, "9"))
    these.take(interest(T + 86_409_000, "9"))

    lines = [*these.take(mark(T, "1"), T + 5000), *these.take(mark(T + 1000, "2"), T + 6000)]

    assert lines == [Context(INST, T, Mark(T, "1"))]


def test_any_order_of_the_channels_gives_each_line_the_values_that_held() -> None:
    """Against a plain search: the channels mixed at random, each in its own order, none later than the settling."""
    rng = Random(5)
    streams: dict[Kind, list[Value]] = {
        "mark": [Mark(T + at, str(at)) for at in sorted(rng.sample(range(60_000), 200))],
        "index": [Index(T + at, str(at)) for at in sorted(rng.sample(range(60_000), 100))],
        "open_interest": [OpenInterest(T + at, str(at)) for at in range(500, 60_000, 3000)],
        "funding": [Funding(T + at, "0.1", "5") for at in (700, 41_000)],
    }
    arriving = [(value.ts_ms + rng.randrange(900), kind, value) for kind, values in streams.items() for value in values]
    arriving.sort(key=lambda each: each[0])
    these = grid()
    lines = []
    for _, kind, value in arriving:
        lines += these.take(Update(kind, "BTC-USDT" if kind == "index" else INST, value))

    assert [line.grid_ms for line in lines] == list(range(T + 2000, T + 60_000, 2000))
    for line in lines:
        for kind, values in streams.items():
            held = [value for value in values if value.ts_ms <= line.grid_ms]
            assert line.value(kind) == (held[-1] if held else None)


def start(fresh: Freshness, now_ms: int = 0) -> None:
    """All values of the instrument come at once."""
    fresh.begin(now_ms)
    for update in (
        mark(T, "1"),
        index(T, "1"),
        interest(T, "1"),
        limits(T),
        Update("funding", INST, Funding(T, "1", "5")),
    ):
        fresh.take(update, now_ms)


def test_the_first_value_makes_it_present_and_the_next_ones_change_nothing() -> None:
    fresh = Freshness([INST])

    assert fresh.take(mark(T, "1"), 0) == [Changed(INST, "mark", "present", T)]
    assert fresh.take(mark(T + 200, "2"), 200) == []
    assert fresh.counts() == {"present": 1, "stale": 0, "lost": 4}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if LONGEST_SILENCE_MS[kind] is not None])
def test_a_value_is_stale_after_its_own_longest_silence_and_back_with_its_next_message(kind: Kind) -> None:
    fresh, longest_ms = Freshness([INST]), LONGEST_SILENCE_MS[kind]
    assert longest_ms is not None
    values: dict[Kind, Value] = {"mark": Mark(T, "1"), "index": Index(T, "1"), "funding": Funding(T, "1", "5")}
    update = Update(kind, "BTC-USDT" if kind == "index" else INST, values[kind])
    fresh.begin(0)
    fresh.take(update, 0)

    assert [change for change in fresh.tick(longest_ms) if change.kind == kind] == []
    assert Changed(INST, kind, "stale", T, "silence") in fresh.tick(longest_ms + 1000)
    assert kind not in {change.kind for change in fresh.tick(longest_ms + 2000)}
    assert fresh.take(update, longest_ms + 3000) == [Changed(INST, kind, "present", T)]


def test_silence_of_what_comes_on_change_only_is_no_loss_while_the_mark_price_comes() -> None:
    fresh = Freshness([INST])
    start(fresh)
    for now_ms in range(0, 86_400_000, 10_000):  # a day without a change
        fresh.take(mark(T + now_ms, "1"), now_ms)
        fresh.take(index(T + now_ms, "1"), now_ms)
        fresh.take(Update("funding", INST, Funding(T, "1", "5")), now_ms)
        assert fresh.tick(now_ms) == []

    assert fresh.counts()["present"] == 5


def test_it_is_stale_with_the_mark_price_and_back_with_it() -> None:
    fresh = Freshness([INST])
    start(fresh)

    stale = fresh.tick(31_000)
    assert {(change.kind, change.state) for change in stale} == {
        ("mark", "stale"),
        ("open_interest", "stale"),
        ("limits", "stale"),
    }
    assert fresh.take(mark(T + 40_000, "1"), 40_000) == [Changed(INST, "mark", "present", T + 40_000)]
    assert {(change.kind, change.state) for change in fresh.tick(41_000)} == {
        ("open_interest", "present"),
        ("limits", "present"),
    }


def test_a_connection_that_is_gone_loses_every_value_with_its_cause() -> None:
    fresh = Freshness([INST])
    start(fresh)
    fresh.take(mark(T + 5000, "1"), 5000)

    lost = fresh.lose("disconnect")

    assert {change.kind for change in lost} == set(KINDS)
    assert {(change.state, change.ts_ms, change.cause) for change in lost} == {
        ("lost", T + 4000, "disconnect"),
        ("lost", T + 5000, "disconnect"),
    }
    assert {change.kind for change in lost if change.ts_ms == T + 5000} == {"mark"}
    assert fresh.lose("disconnect") == []
    assert fresh.tick(500_000) == []


def test_a_value_that_did_not_change_for_an_hour_was_known_until_its_witness_was_silent() -> None:
    fresh = Freshness([INST])
    start(fresh)
    for now_ms in range(0, 3_600_000, 10_000):
        fresh.take(mark(T + now_ms, "1"), now_ms)
        fresh.take(index(T + now_ms, "1"), now_ms)
        fresh.take(Update("funding", INST, Funding(T + now_ms, "1", "5")), now_ms)

    stale = fresh.tick(3_590_000 + 31_000)

    assert {(change.kind, change.ts_ms) for change in stale} == {
        ("mark", T + 3_590_000),
        ("open_interest", T + 3_589_000),  # the channels are not in step
        ("limits", T + 3_589_000),
    }


def test_a_value_of_the_connection_before_is_not_current_on_the_next_one() -> None:
    fresh = Freshness([INST])
    start(fresh)
    fresh.lose("disconnect")
    fresh.begin(1000)

    assert fresh.take(mark(T + 1, "1"), 1001) == [Changed(INST, "mark", "present", T + 1)]
    assert fresh.tick(2001) == []
    assert fresh.counts() == {"present": 1, "stale": 0, "lost": 4}


def test_a_value_that_never_comes_is_stale_where_silence_says_something() -> None:
    fresh = Freshness([INST])
    fresh.begin(0)

    changed = fresh.tick(120_001)

    assert {(each.kind, each.state, each.ts_ms) for each in changed} == {
        ("mark", "stale", None),
        ("index", "stale", None),
        ("funding", "stale", None),
    }


def test_a_subscription_that_stays_silent_is_given_up() -> None:
    fresh = Freshness([INST])
    start(fresh)
    fresh.tick(31_000)

    assert not fresh.stale(30_000, 59_000)
    assert fresh.stale(30_000, 60_000)
