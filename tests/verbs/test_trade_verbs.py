"""`show --kind trades`, `coverage --kind trades` and `--kind changes`, and what `ls` says of every kind."""

import argparse
import json

import pytest

from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError
from l2vault.vault.journal.change_events import ChangesLost
from l2vault.vault.store.layout import Layout
from l2vault.verbs import coverage, ls, show
from l2vault.verbs.context import Context
from support.changes_vault import START_MS, write_vault
from support.hours import INST, journal_of, started
from support.small_vault import small_vault


@pytest.fixture
def layout(tmp_path):
    return small_vault(tmp_path / "Vault")[0]


def run(verb, layout, *words):
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    return verb.run(Context(layout.root), parser.parse_args(["--vault", str(layout.root), *words]))


def test_the_tape_has_a_row_for_each_push_and_says_what_lacks(layout, capsys):
    assert run(show, layout, "--kind", "trades", "--last", "5s", "--at", "2024-08-20T03:05:03Z") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "BTC-USDT-SWAP  trades of 2024-08-20T03:04:58.001Z to 2024-08-20T03:05:03.001Z"
    assert [row.split() for row in said[2:5]] == [
        ["time", "(UTC)", "side", "price", "size", "USD", "ids"],
        ["03:04:58.500", "sell", "59999", "4", "2400", "1599-1600"],
        ["03:04:59.500", "buy", "60001", "6", "3600", "1601-1602"],
    ]
    assert said[6] == ""
    assert said[-2] == "3 rows, bought 3600 USD, sold 4800 USD"
    assert said[-1].startswith("missing (disconnect): BTC-USDT-SWAP ids 1603 to 1606, 4 ids, between ")


def test_a_tape_says_what_came_by_rest(layout, capsys):
    run(show, layout, "--kind", "trades", "--last", "2s", "--at", "2024-08-20T03:03:21Z")
    assert "03:03:20.500  sell  59999     2  1200  1403 by REST" in capsys.readouterr().out


def test_the_tape_as_json_is_a_document_a_row(layout, capsys):
    run(show, layout, "--kind", "trades", "--last", "2s", "--json")
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert [row["schema"] for row in rows] == ["l2vault.show.trades/1"] * 2
    assert (rows[1]["first_id"], rows[1]["last_id"], rows[1]["price"], rows[1]["usd"]) == (2199, 2200, "59999", 2399.96)


def test_a_tape_of_before_the_first_trade_is_an_error_and_last_is_only_of_a_tape(layout):
    with pytest.raises(VaultError, match="no trade of BTC-USDT-SWAP at or before"):
        run(show, layout, "--kind", "trades", "--at", "2024-08-20T02:00:00Z")
    with pytest.raises(UsageError, match="--last is the length of a tape"):
        run(show, layout, "--last", "5s")


def test_coverage_of_trades_counts_ids_and_names_each_hole(layout, capsys):
    assert run(coverage, layout, "--kind", "trades", "--by", "hour") == 0
    said = capsys.readouterr().out.splitlines()
    assert " ".join(said[0].split()) == ("instrument from (UTC) trades by REST skipped missing unknown proved")
    assert said[1].split() == ["BTC-USDT-SWAP", "2024-08-20", "03:00", "1194", "4", "2", "4", "0", "99.50", "%"]
    assert said[2].startswith("missing (disconnect): BTC-USDT-SWAP ids 1603 to 1606")
    assert said[2].endswith("; OKX gave other ids")


def test_coverage_of_trades_calls_an_hour_quiet_where_the_chain_proves_it(layout, capsys):
    run(coverage, layout, "--kind", "trades", "--from", "2024-08-20T03:01:00.6Z", "--to", "2024-08-20T03:01:01.4Z")
    assert capsys.readouterr().out.splitlines()[1].split()[-3:] == ["100.00", "%", "quiet"]
    run(coverage, layout, "--kind", "trades", "--from", "2024-08-20T03:05:00.6Z", "--to", "2024-08-20T03:05:01.4Z")
    assert "quiet" not in capsys.readouterr().out


def test_coverage_of_trades_as_json(layout, capsys):
    run(coverage, layout, "--kind", "trades", "--json")
    (row,) = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert row["schema"] == "l2vault.coverage.trades/1"
    assert (row["ids"], row["rest_ids"], row["missing_ids"], row["is_quiet"]) == (1194, 4, 4, False)
    assert row["holes"][0]["detail"] == "OKX gave other ids"
    assert row["skipped"][0]["first_id"] == 1245


def test_coverage_of_a_kind_that_is_not_there_names_the_setting(layout):
    with pytest.raises(VaultError, match="changes = true"):
        run(coverage, layout, "--kind", "changes")
    with pytest.raises(UsageError, match="--plot draws the coverage of books"):
        run(coverage, layout, "--kind", "trades", "--plot", "x.png")


def test_coverage_of_changes_is_whole_but_for_what_the_journal_says_was_lost(tmp_path, capsys):
    sent = write_vault(tmp_path / "Vault")
    layout = Layout(tmp_path / "Vault")
    run(coverage, layout, "--kind", "changes")
    assert capsys.readouterr().out.splitlines()[1].split()[2:4] == ["100.00", "%"]
    run(coverage, layout, "--kind", "changes", "--json")
    row = json.loads(capsys.readouterr().out)
    assert (row["from_utc"], row["to_utc"]) == (utc_text(sent[0].ts_ms), utc_text(sent[-1].ts_ms + 1))
    bounds = utc_text(START_MS + 1_000), utc_text(START_MS + 3_000)
    journal_of(layout, started(-1), ChangesLost(bounds[1], INST, bounds[0], "queue", bounds[1], 7, ""))
    run(coverage, layout, "--kind", "changes", "--json")
    after = json.loads(capsys.readouterr().out)
    assert after["lines"] == row["lines"] > 0
    missing = [each for each in after["not_proved"] if each["state"] == "missing"]
    assert [(each["start_ms"] - START_MS, each["end_ms"] - START_MS, each["cause"]) for each in missing] == [
        (1_001, 3_000, "queue")
    ]


def test_ls_has_each_kind_with_its_hours_size_and_newest_time(layout, capsys):
    assert run(ls, layout) == 0
    said = capsys.readouterr().out.splitlines()
    at_ = said.index("")
    rows = [row.split() for row in said[at_ + 1 :]]
    assert rows[0] == ["instrument", "kind", "hours", "size", "newest", "(UTC)"]
    assert [row[:3] + row[-1:] for row in rows[1:]] == [
        [INST, "books", "1", "03:09:58"],
        [INST, "trades", "1", "03:09:58"],
        [INST, "context", "1", "03:09:58"],
        [INST, "deep", "1", "03:09:40"],
        [INST, "rpi", "1", "03:09:40"],
    ]


def test_ls_lists_the_hours_of_a_kind(layout, capsys):
    run(ls, layout, "--kind", "trades", "--json", "--lines")
    (row,) = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert (row["kind"], row["hour"], row["lines"]) == ("trades", 3, 599)
