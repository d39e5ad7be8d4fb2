"""Changes as tables and back, and the level intervals of all messages against books rebuilt one by one."""

from decimal import Decimal
from random import Random

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from l2vault.book.change import BookChange, Level
from l2vault.book.change_line import RecordedChange, to_change_line
from l2vault.book.replay import Replay, full_book
from l2vault.errors import LineError
from l2vault.vault.archive.change_columns import ChangeTables, changes_of, in_order, read_changes, tables_of
from l2vault.vault.archive.change_intervals import hour_of_changes, steps_of

INST = "BTC-USDT-SWAP"
T0 = 1_767_225_600_000


def rough_changes(seed: int, count: int = 120) -> list[RecordedChange]:
    """Updates, heartbeats, re-sends, unknown deletes, switches, holes, missing pushes, unasked books, odd spellings."""
    rng, replay, found = Random(seed), Replay(), []
    ts_ms, seq = T0, 1_000

    def level(side: str) -> Level:
        price = rng.randint(90, 99) if side == "bid" else rng.randint(101, 110)
        spelling = str(price) if rng.random() < 0.97 else f"{price}.0"
        return (
            spelling,
            rng.choice(("0", "0", "1", "2.5" if seed % 2 else "2")),
            "0",
            rng.choice(("0", "1", "x") if seed % 5 == 4 else ("1",)),
        )

    def full(origin: str, at_ms: int) -> RecordedChange:
        bids = [(str(price), "3", "0", "1") for price in range(99, 94, -1)]
        asks = [(str(price), "3", "0", "1") for price in range(101, 106)]
        return RecordedChange(at_ms, BookChange(INST, True, bids, asks, at_ms, seq, -1, 0, at_ms * 1000), origin, 1)

    found.append(full("ws", ts_ms))
    replay.apply(found[0])
    for _ in range(count):
        ts_ms += rng.choice((0, 1, 100, 100, 100))
        what = rng.random()
        if replay.book is None or what < 0.03:
            seq += 7
            found.append(full(rng.choice(("ws", "rest")), ts_ms))
        elif what < 0.08:
            own = full_book(INST, replay.book, 17)
            found.append(RecordedChange(ts_ms if rng.random() < 0.5 else found[-1].ts_ms, own, "book", 2))
            ts_ms = max(ts_ms, found[-1].ts_ms)
        else:
            before = seq if what > 0.1 else seq - 1
            seq += 0 if what > 0.95 else rng.randint(1, 9)
            levels = [] if what > 0.95 else [level("bid") for _ in range(rng.randint(0, 3))]
            asks = [] if what > 0.95 else [level("ask") for _ in range(rng.randint(0, 2))]
            own_ms = ts_ms if rng.random() < 0.9 else None
            change = BookChange(
                INST, False, levels, asks, own_ms, seq, before, rng.choice((0, None)), ts_ms * 1000 + 66
            )
            found.append(RecordedChange(ts_ms, change, "ws", 1))
        replay.apply(found[-1])
    return found


@pytest.mark.parametrize("seed", range(30))
def test_the_tables_give_the_lines_back_byte_for_byte_in_whatever_order_their_rows_stand(seed: int) -> None:
    lines = [to_change_line(one) for one in rough_changes(seed)]
    tables = read_changes(lines, INST)
    assert changes_of(tables, INST) == lines
    order = np.random.default_rng(seed).permutation(len(tables.events))
    assert in_order(tables.events.take(pa.array(order))).equals(tables.events)


def test_no_change_at_all_is_an_empty_table() -> None:
    assert changes_of(tables_of([]), INST) == []
    assert len(hour_of_changes(tables_of([]), None).levels) == 0


@pytest.mark.parametrize("alter", [b'"later":1,', b" "])
def test_a_line_that_would_not_come_back_is_refused(alter: bytes) -> None:
    line = to_change_line(rough_changes(1)[3])
    with pytest.raises(LineError, match="other keys"):
        read_changes([line.replace(b'"exchange"', alter + b'"exchange"')], INST)
    with pytest.raises(LineError, match="among those of ETH"):
        read_changes([line], "ETH-USDT-SWAP")


def _books(changes: list[RecordedChange], after_ms: int | None) -> list[tuple[int, int, object]]:
    """From when until when the book after each change stands, as the replay tells, and the book."""
    replay, found, times = Replay(), [], []
    for recorded in changes:
        step = replay.apply(recorded)
        if times and times[-1] is not None and step != "follows":
            times[-1] = min(times[-1] + 1, recorded.ts_ms)
        elif times and times[-1] is not None:
            times[-1] = recorded.ts_ms
        found.append(None if replay.book is None else (recorded.ts_ms, _numbers(replay)))
        times.append(None if replay.book is None else recorded.ts_ms)
    if times[-1] is not None:
        times[-1] = after_ms or times[-1] + 1
    return [(each[0], t_to, each[1]) for each, t_to in zip(found, times, strict=True) if each and t_to is not None]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("after", [None, 60_000])
def test_the_intervals_are_the_books_of_every_message(seed: int, after: int | None) -> None:
    """Law: at any time the rows that stand are the book that the lines prove, or there are none."""
    changes = rough_changes(seed)
    end_ms = changes[-1].ts_ms
    after_ms = None if after is None else end_ms + after
    hour = hour_of_changes(tables_of(changes), after_ms)
    rows = hour.levels.to_pylist()
    stands = _books(changes, after_ms)
    books = hour.snapshots.to_pylist()
    assert [(book["timestamp"], book["t_to"]) for book in books] == [stand[:2] for stand in stands]
    for t_from, t_to, book in stands:
        for t_ms in {t_from, (t_from + t_to) // 2, t_to - 1} & set(range(t_from, t_to)):
            assert _at(rows, t_ms) == book
    for t_ms in range(T0, end_ms, 37):
        assert _at(rows, t_ms) == set() or any(t_from <= t_ms < t_to for t_from, t_to, _ in stands)
    keys = [(row["side"], row["price_num"], row["qty_num"], row["orders"], row["t_to"]) for row in rows]
    begins = {(row["side"], row["price_num"], row["qty_num"], row["orders"], row["t_from"]) for row in rows}
    assert not begins.intersection(keys), "equal rows that touch are one"


@pytest.mark.parametrize("seed", range(40))
def test_the_steps_are_those_of_the_replay(seed: int) -> None:
    changes = rough_changes(seed)
    replay = Replay()
    steps = [replay.apply(recorded) for recorded in changes]
    found = steps_of(tables_of(changes))
    assert found.is_known.tolist() == [step != "refused" for step in steps]
    assert found.follows.tolist() == [step == "follows" for step in steps]
    assert {"follows", "begins"} <= set(steps)


def _numbers(replay: Replay) -> set[tuple[str, Decimal, Decimal, int | None]]:
    assert replay.book is not None
    return {
        (side, Decimal(price), Decimal(qty), int(orders) if orders.isdecimal() else None)
        for side, levels in zip(("bid", "ask"), replay.book.top(400), strict=True)
        for price, qty, _, orders in levels
    }


def _at(rows: list[dict], t_ms: int) -> set[tuple[str, Decimal, Decimal, int | None]]:
    return {
        (
            row["side"],
            Decimal(row["price_num"]) / row["price_den"],
            Decimal(row["qty_num"]) / row["qty_den"],
            row["orders"],
        )
        for row in rows
        if row["t_from"] <= t_ms < row["t_to"]
    }


def test_a_level_that_no_table_can_hold_is_refused() -> None:
    one = rough_changes(1)[0]
    bad = msgspec.structs.replace(one.change, bids=[("1" + "0" * 25, "1", "0", "1")])
    with pytest.raises(LineError, match="60 bits"):
        tables_of([msgspec.structs.replace(one, change=bad)])
    assert isinstance(tables_of([one]), ChangeTables)
