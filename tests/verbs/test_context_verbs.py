"""`show --kind context` and `coverage --kind context`: the values at a time, and when each was current."""

import argparse
import json

import pytest

from l2vault.book.context import KINDS
from l2vault.errors import UsageError, VaultError
from l2vault.vault.journal.context_events import ContextNoted
from l2vault.verbs import coverage, show
from l2vault.verbs.context import Context
from support.hours import HOUR_AT_MS, INST, at, journal_v1_of
from support.small_vault import small_vault


@pytest.fixture
def layout(tmp_path):
    return small_vault(tmp_path / "Vault")[0]


def run(verb, layout, *words):
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    args = parser.parse_args(["--vault", str(layout.root), "--kind", "context", *words])
    return verb.run(Context(layout.root), args)


def test_the_values_at_a_time_with_their_age_and_state(layout, capsys):
    assert run(show, layout, "--at", "2024-08-20T03:05:00.500Z") == 0

    said = capsys.readouterr().out.splitlines()
    assert said[0] == "BTC-USDT-SWAP  context of 2024-08-20T03:05:00.000Z"
    assert said[1] == "0.5 s before 2024-08-20T03:05:00.500Z"
    rows = {line.split("  ")[0]: line for line in said[3:]}
    assert rows["mark"].split() == ["mark", "60000.5", "0.6", "s", "present"]
    assert "60003.1 (mark -0.4333 bps)" in rows["index"]
    assert "0.0066 % at 2024-08-20 11:05; 0.0050 % at 2024-08-20 03:05" in rows["funding"]
    assert "2216113.01000000309 contracts, 22161.1301000000309 coin, 1329667806.0 USD" in rows["open interest"]
    assert "sell from 59400.5, buy to 60600.5" in rows["limits"]


def test_as_json_it_has_okxs_strings(layout, capsys):
    run(show, layout, INST, "--at", "2024-08-20T03:05:01Z", "--json")

    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "l2vault.show.context/1"
    assert (shown["timestamp_utc"], shown["age_ms"], shown["basis_bps"]) == ("2024-08-20T03:05:00.000Z", 1000, -0.4333)
    assert [each["kind"] for each in shown["values"]] == list(KINDS)
    assert shown["values"][0] == {
        "kind": "mark",
        "state": "present",
        "cause": "",
        "age_ms": 1100,
        "values": {"price": "60000.5"},
    }


def test_before_the_first_line_there_is_none(layout):
    with pytest.raises(VaultError, match="no context of BTC-USDT-SWAP at or before"):
        run(show, layout, "--at", "2024-08-20T02:00Z")


def test_a_value_that_is_not_known_is_a_dash(layout, capsys):
    path = layout.of("context").hour_file(INST, HOUR_AT_MS)
    empty = {"timestamp_utc": at(0), "exchange": "okx", "market": "perp", "channel": "context", "instId": INST}
    path.write_text(json.dumps(empty, separators=(",", ":")) + "\n")
    run(show, layout, "--at", "2024-08-20T03:00:01Z")

    rows = capsys.readouterr().out.splitlines()[4:]
    assert [row.split()[-2] for row in rows] == ["-"] * 5


def test_coverage_has_a_row_for_each_value_and_says_when_it_was_not_present(layout, capsys):
    journal_v1_of(
        layout,
        ContextNoted(at(200_000), 1, INST, "stale", {"mark": at(100_000)}, "silence"),
        ContextNoted(at(300_000), 1, INST, "present", {"mark": at(300_000)}),
    )
    assert run(coverage, layout) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["instrument", "value", "present", "stale", "lost", "unknown"]
    assert said[1].split()[1:4] == ["mark", "66.56", "%"]
    assert said[2].split()[1:4] == ["index", "100.00", "%"]
    bounds = "2024-08-20T03:01:40.000Z to 2024-08-20T03:05:00.000Z"
    assert said[6:] == [f"stale (silence): mark of BTC-USDT-SWAP, {bounds}"]


def test_coverage_as_json_has_the_shares(layout, capsys):
    run(coverage, layout, "--json", "--from", "2024-08-20T03:00Z", "--to", "2024-08-20T03:05Z")

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["kind"] for row in rows] == list(KINDS)
    assert rows[0]["shares"] == {"present": 1.0, "stale": 0.0, "lost": 0.0, "unknown": 0.0, "archive": 0.0}


def test_a_picture_is_of_books(layout):
    with pytest.raises(UsageError, match="--plot draws the coverage of books"):
        run(coverage, layout, "--plot", "x.png")


def test_a_vault_without_context_says_so(layout):
    layout.of("context").hour_file(INST, HOUR_AT_MS).unlink()

    with pytest.raises(VaultError, match="holds no context"):
        run(coverage, layout)
