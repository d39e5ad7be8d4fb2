"""`l2vault show`: a ladder of the right book, with its time, its age and what it is worth."""

import argparse
import json

import pytest

from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms
from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.sim.exchange.instruments import instrument_row
from l2vault.vault.store.layout import Layout
from l2vault.verbs import show
from l2vault.verbs.context import Context
from support.hours import journal_v1_of, lost, started, synced

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


def test_a_moment_before_the_first_book_is_an_error(layout):
    with pytest.raises(VaultError, match="no book of BTC-USDT-SWAP at or before 2024-08-20T03:00:00.122Z"):
        run(layout, "--at", str(HOUR_AT_MS + 122))


@pytest.mark.parametrize("levels", ["0", "-1", "x"])
def test_no_levels_is_wrong_usage(layout, levels):
    with pytest.raises(SystemExit):
        run(layout, "--levels", levels)


def test_the_ladder_has_money_a_bar_and_a_mark_at_what_stands_out(layout, capsys):
    row = layout.instrument_file(BTC)
    row.parent.mkdir(parents=True)
    row.write_text(json.dumps(instrument_row(BTC)))
    bids = [(f"{60_000 - nth}", f"{1 + nth % 7}", "0", "1") for nth in range(150)]
    asks = [(f"{60_001 + nth}", "900" if nth == 2 else f"{1 + nth % 5}.5", "0", "2") for nth in range(150)]
    layout.hour_file(BTC, HOUR_AT_MS).write_bytes(to_line(Snapshot(BTC, HOUR_AT_MS, 400, bids, asks, 0, 1, 0)) + b"\n")
    assert run(layout, "--at", str(HOUR_AT_MS), "--levels", "3") == 0
    assert capsys.readouterr().out.splitlines()[3:] == [
        "     price  contracts    USDT  cumulative  orders",
        "ask  60003      900     540 k       542 k       2  ########################  <- wall",
        "ask  60002        2.5  1.50 k      2.40 k       2  #",
        "ask  60001        1.5     900         900       2  #",
        "(spread 1, 0.1667 bps; mid 60000.5)",
        "bid  60000        1       600         600       1  #",
        "bid  59999        2    1.20 k      1.80 k       1  #",
        "bid  59998        3    1.80 k      3.60 k       1  #",
    ]
