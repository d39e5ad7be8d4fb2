"""Which ids a run finds in the vault, whatever the files look like."""

import gzip
from pathlib import Path

import msgspec
import pytest

from l2vault.book.trade import IdSpan, TradePush, trade_from_line, trade_to_line
from l2vault.vault.store import known_trades as known_trades_module
from l2vault.vault.store.known_trades import known_trades
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.writer import LineWriter

BTC = "BTC-USDT-SWAP"
T0 = 1_767_225_600_000


def push(last: int, count: int = 1, at: int = 10_000, origin: str = "ws") -> TradePush:
    ts = str(T0 + at)
    return TradePush(BTC, str(last), "100", "1", "buy", ts, str(count), "0", None, 0, origin)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path).of("trades")


def write(layout: Layout, *pushes: TradePush) -> None:
    writer = LineWriter(layout.of("books"))
    for one in pushes:
        writer.append(one)
    writer.close()


def spans(layout: Layout) -> list[tuple[int, int]]:
    return [(span.first, span.last) for span in known_trades(layout, BTC)]


def test_a_new_vault_knows_none(layout: Layout) -> None:
    assert known_trades(layout, BTC) == []


def test_lines_that_follow_each_other_are_one_span(layout: Layout) -> None:
    write(layout, push(10, 3, 10_000), push(12, 2, 10_500), push(13, 1, 11_000))
    assert known_trades(layout, BTC) == [IdSpan(8, 13, T0 + 10_000, T0 + 11_000)]


def test_a_hole_is_seen_and_what_filled_it_later_in_the_file_too(layout: Layout) -> None:
    write(layout, push(10), push(20, at=11_000), push(21, at=12_000), push(15, 1, 10_500, "rest"))
    assert spans(layout) == [(10, 10), (15, 15), (20, 21)]


def test_an_overlap_joins_what_it_overlaps(layout: Layout) -> None:
    write(layout, push(10), push(12, 2), push(14, 4))
    assert spans(layout) == [(10, 14)]


def test_the_two_newest_hours_are_read_whatever_form_they_have(layout: Layout) -> None:
    write(layout, push(5), push(10, at=HOUR_MS + 10_000), push(20, at=2 * HOUR_MS + 10_000))
    old = layout.hour_file(BTC, T0 + HOUR_MS)
    old.with_name(f"{old.name}.gz").write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    write(layout, push(11, at=HOUR_MS + 20_000, origin="rest"))
    assert old.exists(), "a plain file continues the compressed one"
    assert spans(layout) == [(10, 11), (20, 20)]


def test_a_hole_at_the_edge_of_what_is_read_may_be_none(layout: Layout) -> None:
    """Times of neighbours may be out of order: the id between them may stand in an hour that is not read."""
    write(layout, push(10, at=100), push(12, at=200), push(20, at=20_000))
    assert spans(layout) == [(10, 20)]
    write(layout, push(30, at=40_000))
    assert spans(layout) == [(10, 20), (30, 30)]


def test_ids_that_began_anew_are_all_that_counts(layout: Layout) -> None:
    write(layout, push(900_000), push(5, at=60_000), push(6, at=61_000))
    assert spans(layout) == [(5, 6)]


def test_damaged_lines_are_unknown_ids(layout: Layout) -> None:
    write(layout, push(10), push(11, at=11_000), push(12, at=12_000))
    path = layout.hour_file(BTC, T0)
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(b'"side":"buy"', b'"side":"?"') + third + trade_to_line(push(13))[:40])
    assert spans(layout) == [(10, 10), (12, 12)]


def test_a_compressed_hour_that_is_cut_gives_what_comes_before_the_cut(layout: Layout) -> None:
    write(layout, *(push(one, at=10_000 + one) for one in range(100, 400)))
    path = layout.hour_file(BTC, T0)
    packed = gzip.compress(path.read_bytes())
    path.with_name(f"{path.name}.gz").write_bytes(packed[: len(packed) // 2])
    path.unlink()
    ((first, last),) = spans(layout)
    assert first == 100
    assert 100 < last < 399


def minutes(*at: float, received: dict[float, float] | None = None) -> list[TradePush]:
    """A push at each of these minutes, its id ten times the minute, received at once or at the minute that is said."""
    late = received or {}
    return [
        msgspec.structs.replace(push(round(10 * one), at=round(one * 60_000)), recv_us=round(late.get(one, one) * 6e7))
        for one in at
    ]


def test_what_is_older_than_half_an_hour_is_not_read_but_where_a_hole_of_the_tail_begins(layout: Layout) -> None:
    write(layout, *minutes(*(one / 10 for one in range(50, 100)), 11, *(one / 10 for one in range(560, 600))))
    assert spans(layout) == [(99, 110), (560, 599)], "at the edge a hole may be none"


def test_a_start_reads_a_tail_however_long_the_hours_are(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    write(layout, *minutes(*(one / 10 for one in range(1150))))
    read: list[bytes] = []

    def noted(line: bytes) -> TradePush:
        read.append(line)
        return trade_from_line(line)

    monkeypatch.setattr(known_trades_module, "trade_from_line", noted)
    assert spans(layout) == [(846, 1149)], "half an hour, and what stands beside its beginning"
    assert len(read) < 310


def test_an_old_trade_that_was_filled_in_late_is_no_end(layout: Layout) -> None:
    tail = [one / 10 for one in range(300, 590)]
    write(layout, *minutes(0, 1, *tail, 2, 2.5, *(one / 10 for one in range(590, 600)), received={2: 58.9, 2.5: 58.9}))
    assert spans(layout)[-1] == (300, 599)


def test_a_step_of_our_own_clock_is_no_end(layout: Layout) -> None:
    tail = [one / 10 for one in range(300, 600)]
    write(layout, *minutes(*tail, received={one: one + 600 for one in tail[-20:]}))
    assert spans(layout) == [(300, 599)]


@pytest.mark.parametrize("is_packed", [False, True])
def test_no_more_bytes_are_read_than_bounded_and_no_hole_is_made_by_that(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, is_packed: bool
) -> None:
    later = minutes(59.5, 59.6, 59.7)
    write(layout, push(3, at=-60_000), *minutes(*(one / 1000 for one in range(58_000, 59_000))), *later)
    if is_packed:
        path = layout.hour_file(BTC, T0)
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    monkeypatch.setattr(known_trades_module, "TAIL_BYTES", 200 * len(trade_to_line(push(580)) + b"\n"))
    (joined, *others) = spans(layout)
    assert others == [(595, 597)]
    assert joined[0] in (587, 588) and joined[1] == 590


def test_an_old_trade_filled_in_late_makes_no_hole_where_reading_ends_for_its_bytes(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id that the read ones lack stands before them, since its time is out of order."""
    ids = [*range(20), 30, *range(20, 25), 2, *range(25, 30), *range(31, 60)]
    every = [push(100 + one, at=100_000 + 100 * one if at != 26 else 0) for at, one in enumerate(ids)]
    write(layout, *every)
    monkeypatch.setattr(known_trades_module, "TAIL_BYTES", sum(len(trade_to_line(one)) for one in every[23:]))
    assert spans(layout) == [(102, 159)]
