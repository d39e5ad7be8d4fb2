"""`l2vault show`: a ladder of the right book, with its time, its age and what it is worth."""

import argparse
import json

import pytest

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms
from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.journal.events import Disputed
from l2vault.vault.store.layout import Layout
from l2vault.verbs import show
from l2vault.verbs.context import Context
from support.hours import at, journal_of, journal_v1_of, lost, started, synced

BTC = "BTC-USDT-SWAP"
HOUR_AT_MS = utc_ms("2024-08-20T03:00:00.000Z")
BIDS = [("61804", "242.9", "0", "12"), ("61803.8", "136", "0", "1"), ("61803.6", "0.00000001", "0", "1")]
ASKS = [("61804.1", "482.9", "0", "13"), ("61806", "0.4", "0", "7")]


NO_USD = {"usd": None, "cumulative_usd": None, "is_wall": False}


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path / "Vault")
    path = layout.hour_file(BTC, HOUR_AT_MS)
    path.parent.mkdir(parents=True)
    books = [
        Snapshot(BTC, HOUR_AT_MS + 123, 400, BIDS, ASKS, 0, 40, 39),
        Snapshot(BTC, HOUR_AT_MS + 2_000, 400, BIDS, [], 0, 41, 40),
        Snapshot(BTC, HOUR_AT_MS + 4_000, 400, BIDS, ASKS, 0, 42, 99, gap_detected=True),
    ]
    path.write_bytes(b"".join(to_line(book) + b"\n" for book in books) + b'{"torn')
    return layout


def run(layout, *words):
    parser = argparse.ArgumentParser()
    show.configure(parser)
    return show.run(Context(layout.root), parser.parse_args([BTC, "--vault", str(layout.root), *words]))


def test_the_ladder_has_asks_above_bids_and_exact_sums(layout, capsys):
    assert run(layout, "--at", "2024-08-20T03:00:02+00:00", "--levels", "2") == 0
    assert run(layout, "--at", "2024-08-20T03:00:01.999Z") == 0
    one_sided, ladder = capsys.readouterr().out.split(f"{BTC}  2024-08-20T03:00:00.123Z  ")
    assert ladder.splitlines() == [
        "seqId 40",
        "age 1.876 s at 2024-08-20T03:00:01.999Z",
        "no instrument row says what a contract is worth: l2vault record keeps it",
        "",
        "       price     contracts    cumulative  orders",
        "ask  61806      0.4         483.3              7",
        "ask  61804.1  482.9         482.9             13",
        "(spread 0.1, 0.0162 bps; mid 61804.05)",
        "bid  61804    242.9         242.9             12",
        "bid  61803.8  136           378.9              1",
        "bid  61803.6    0.00000001  378.90000001       1",
    ]
    assert one_sided.splitlines() == [
        f"{BTC}  2024-08-20T03:00:02.000Z  seqId 41",
        "age 0 s at 2024-08-20T03:00:02.000Z",
        "no instrument row says what a contract is worth: l2vault record keeps it",
        "",
        "       price  contracts  cumulative  orders",
        "(a side is empty)",
        "bid  61804        242.9       242.9      12",
        "bid  61803.8      136         378.9       1",
    ]


def test_the_default_is_the_last_book_with_its_age_and_its_flag(layout, monkeypatch, capsys):
    monkeypatch.setattr(Clock, "wall_ms", lambda clock: HOUR_AT_MS + 4_000 + 2 * 3_600_000 + 180_500)
    assert run(layout) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        f"{BTC}  2024-08-20T03:00:04.000Z  seqId 42",
        "age 2 h 3 min at 2024-08-20T05:03:04.500Z",
        "no book is known then: unknown; this is the last one known",
        "gap_detected: the last good book before a break; nothing is known from then until the next line",
    ]


@pytest.mark.parametrize(
    "at",
    [
        str(HOUR_AT_MS + 200),
        "2024-08-20T03:00:00.200Z",
        "2024-08-20T03:00:00.200",
        "2024-08-20 03:00:00.200",
        "2024-08-20T05:00:00.200+02:00",
    ],
)
def test_a_moment_may_be_given_in_each_usual_form(layout, at, capsys):
    assert run(layout, "--at", at, "--json") == 0
    ladder = json.loads(capsys.readouterr().out)
    assert (ladder["timestamp_utc"], ladder["asked_utc"], ladder["age_ms"]) == (
        "2024-08-20T03:00:00.123Z",
        "2024-08-20T03:00:00.200Z",
        77,
    )


@pytest.mark.parametrize("at", ["yesterday", "1724122800", "2024-13-01", "٢٠٢٤", "²²²²²²²²²²²²²"])
def test_what_is_no_moment_is_refused(layout, at, capsys):
    with pytest.raises(SystemExit):
        run(layout, "--at", at)
    assert "Try: " in capsys.readouterr().err


def test_the_ladder_as_json_keeps_every_string_exact(layout, capsys):
    assert run(layout, "--at", str(HOUR_AT_MS + 123), "--json", "--levels", "1") == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": "l2vault.show/1",
        "inst_id": BTC,
        "timestamp_utc": "2024-08-20T03:00:00.123Z",
        "asked_utc": "2024-08-20T03:00:00.123Z",
        "age_ms": 0,
        "gap_detected": False,
        "seq_id": 40,
        "spread": "0.1",
        "spread_bps": 0.0162,
        "mid_price": "61804.05",
        "currency": None,
        "asks": [{"price": "61804.1", "qty": "482.9", "orders": "13", "cumulative_qty": "482.9", **NO_USD}],
        "bids": [{"price": "61804", "qty": "242.9", "orders": "12", "cumulative_qty": "242.9", **NO_USD}],
        "source": "recorded",
        "state": "recorded",
        "cause": "",
        "wall_usd": None,
        "wall_books": 0,
    }


def test_in_a_hole_the_ladder_is_called_the_last_one_known(layout, capsys):
    journal_v1_of(layout, started(0), synced(0), lost(3_000, "chain"), synced(9_000))
    assert run(layout, "--at", str(HOUR_AT_MS + 3_500)) == 0
    assert "no book is known then: missing (chain); this is the last one known" in capsys.readouterr().out
    assert run(layout, "--at", str(HOUR_AT_MS + 3_500), "--json") == 0
    ladder = json.loads(capsys.readouterr().out)
    assert (ladder["state"], ladder["cause"], ladder["age_ms"]) == ("missing", "chain", 1_500)
    assert run(layout, "--at", str(HOUR_AT_MS + 2_500)) == 0
    assert "no book is known" not in capsys.readouterr().out


def test_a_doubtful_book_is_called_so_and_not_the_last_one_known(layout, capsys):
    doubt = Disputed(at(2_500), BTC, at(1_000), at(2_500), "feeds", "")
    journal_of(layout, started(0), synced(0), doubt, lost(60_000))
    assert run(layout, "--at", str(HOUR_AT_MS + 2_000)) == 0
    text = capsys.readouterr().out
    assert "\ndisputed: two sources contradict each other about the book of then\n" in text
    assert "last one known" not in text


def test_a_moment_before_the_first_book_is_an_error(layout):
    with pytest.raises(VaultError, match="no book of BTC-USDT-SWAP at or before 2024-08-20T03:00:00.122Z"):
        run(layout, "--at", str(HOUR_AT_MS + 122))


@pytest.mark.parametrize("levels", ["0", "-1", "x"])
def test_no_levels_is_wrong_usage(layout, levels):
    with pytest.raises(SystemExit):
        run(layout, "--levels", levels)


def row_of(layout):
    row = layout.instrument_file(BTC)
    row.parent.mkdir(parents=True)
    row.write_text(json.dumps(instrument_row(BTC)))


def test_the_ladder_has_money_a_bar_and_a_mark_at_what_stands_out(layout, capsys):
    row_of(layout)
    bids = [(f"{60_000 - nth}", f"{1 + nth % 7}", "0", "1") for nth in range(150)]
    asks = [(f"{60_001 + nth}", "900" if nth == 2 else f"{1 + nth % 5}.5", "0", "2") for nth in range(150)]
    layout.hour_file(BTC, HOUR_AT_MS).write_bytes(to_line(Snapshot(BTC, HOUR_AT_MS, 400, bids, asks, 0, 1, 0)) + b"\n")
    assert run(layout, "--at", str(HOUR_AT_MS), "--levels", "3") == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "a wall has 5.72 k or more: what stands out of this book alone, since none of the 10 min before could be read",
        "",
        "     price  contracts    USDT  cumulative  orders",
        "ask  60003      900     540 k       542 k       2  ########################  <- wall",
        "ask  60002        2.5  1.50 k      2.40 k       2  #",
        "ask  60001        1.5     900         900       2  #",
        "(spread 1, 0.1667 bps; mid 60000.5)",
        "bid  60000        1       600         600       1  #",
        "bid  59999        2    1.20 k      1.80 k       1  #",
        "bid  59998        3    1.80 k      3.60 k       1  #",
    ]


def wide(ts_ms, whale, seq_id, step=7):
    """A book of 300 levels; of some the larger levels are ten times as large as usual."""
    bids = [(f"{60_000 - nth}", f"{1 + nth % step}", "0", "1") for nth in range(150)]
    asks = [(f"{60_001 + nth}", f"{whale if nth == 2 else 1 + nth % step}", "0", "2") for nth in range(150)]
    return Snapshot(BTC, ts_ms, 150, bids, asks, 0, seq_id, 0)


def odd(ts_ms, whale, seq_id):
    """The same with four levels in a hundred so large that of this book alone nothing stands out."""
    book = wide(ts_ms, whale, seq_id)
    asks = [(px, "2000" if nth % 25 == 20 else qty, *rest) for nth, (px, qty, *rest) in enumerate(book.asks)]
    return Snapshot(BTC, ts_ms, 150, book.bids, asks, 0, seq_id, 0)


def written(layout, *books):
    layout.hour_file(BTC, HOUR_AT_MS).write_bytes(b"".join(to_line(book) + b"\n" for book in books))


def shown(layout, capsys, *words):
    assert run(layout, "--at", str(HOUR_AT_MS + 900_000), "--levels", "3", *words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    return found, [rung["price"] for rung in found["asks"] if rung["is_wall"]]


def test_what_stands_out_is_told_by_the_books_of_the_ten_minutes_before(layout, capsys):
    row_of(layout)
    newest = odd(HOUR_AT_MS + 900_000, 900, 999)
    written(layout, newest)
    alone, marked = shown(layout, capsys)
    assert (alone["wall_books"], marked) == (1, []) and alone["wall_usd"] > 1e9
    before = [wide(HOUR_AT_MS + ms, 4, ms // 1000 + 1) for ms in range(0, 900_000, 10_000)]
    written(layout, *before, newest)
    found, marked = shown(layout, capsys)
    assert found["wall_books"] == 61, "each 10 s of 10 min, and the book itself"
    assert marked == ["60003"] and found["wall_usd"] < 540_000
    assert run(layout, "--at", str(HOUR_AT_MS + 900_000)) == 0
    assert "or more: what stands out of the 61 books of the 10 min up to it\n" in capsys.readouterr().out
    later = [odd(HOUR_AT_MS + ms, 4, ms) for ms in range(910_000, 1_500_000, 10_000)]
    written(layout, *before, newest, *later)
    assert shown(layout, capsys)[0]["wall_usd"] == found["wall_usd"], "what came later has no say"


def test_where_the_books_before_cannot_be_read_the_book_is_shown_all_the_same(layout, capsys, monkeypatch):
    row_of(layout)
    written(layout, *(wide(HOUR_AT_MS + ms, 900, ms) for ms in (0, 2_000)))

    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("l2vault.vault.reading.vault.Vault.snapshots", refuse)
    found, marked = shown(layout, capsys)
    assert (found["wall_books"], marked) == (1, ["60003"])


def test_books_of_few_levels_have_no_wall_and_say_so(layout, capsys):
    row_of(layout)
    assert run(layout, "--at", str(HOUR_AT_MS + 123)) == 0
    assert "no level is called a wall: that takes books of 200 levels or more\n" in capsys.readouterr().out


def test_levels_beyond_those_recorded_are_not_known_unless_the_side_is_whole(layout, capsys):
    row_of(layout)
    written(layout, wide(HOUR_AT_MS, 900, 1))
    for levels, said in ((150, False), (151, True)):
        assert run(layout, "--at", str(HOUR_AT_MS), "--levels", str(levels)) == 0
        out = capsys.readouterr().out
        assert ("150 levels a side were recorded: bids and asks beyond them are not known\n" in out) == said
    written(layout, Snapshot(BTC, HOUR_AT_MS, 3, BIDS, ASKS, 0, 1, 0))
    assert run(layout, "--at", str(HOUR_AT_MS), "--levels", "4") == 0
    assert "3 levels a side were recorded: bids beyond them are not known\n" in capsys.readouterr().out
