"""`l2vault retain`: the plan, the work, the summary and the exit code."""

import argparse
import gzip
import io
import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.book.snapshot import Snapshot, to_line
from l2vault.book.utc import utc_ms
from l2vault.clock import Clock
from l2vault.okx.rest import OkxRest
from l2vault.vault.coverage.checked import checked_hours
from l2vault.vault.journal.events import Retained, Started
from l2vault.vault.journal.log import read_journal
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.verbs import retain

BTC = "BTC-USDT-SWAP"
NOW_MS = utc_ms("2024-08-20T15:30:00.000Z")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def logging_as_it_was():
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture
def layout(tmp_path, monkeypatch):
    monkeypatch.setattr(Clock, "wall_ms", lambda clock: NOW_MS)
    monkeypatch.chdir(tmp_path)
    layout = Layout(tmp_path / "Vault")
    put_newest(layout)
    return layout


def put(layout, hours_ago, data=b"x" * 999 + b"\n", packed=False):
    path = layout.hour_file(BTC, NOW_MS - 30 * 60_000 - (hours_ago + 1) * HOUR_MS)
    path.parent.mkdir(parents=True, exist_ok=True)
    if packed:
        path = path.with_name(path.name + ".gz")
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


def put_newest(layout, at_ms=NOW_MS, inst_id=BTC, count=11):
    """Lines at the usual distance up to `at_ms`, which therefore is proved time."""
    lines = [line(inst_id, at_ms - 2000 * back) for back in reversed(range(count))]
    path = layout.hour_file(inst_id, at_ms)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.writelines(lines)
    return path


def line(inst_id, ts_ms):
    side = [("100.5", "5", "0", "2")], [("101", "7", "0", "1")]
    return to_line(Snapshot(inst_id, ts_ms, 400, *side, 0, ts_ms, ts_ms - 1)) + b"\n"


def run(layout, *words):
    return cli.main(["retain", "--vault", str(layout.root), *words])


def test_a_dry_run_prints_the_plan_and_touches_nothing(layout, capsys):
    old, new = put(layout, 130), put(layout, 7)
    assert run(layout, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "delete    BTC-USDT-SWAP/2024-08-15/04.jsonl  1.0 kB  its hour ended 5 days ago or more",
        "compress  BTC-USDT-SWAP/2024-08-20/07.jsonl  1.0 kB  its hour ended 6 hours ago or more",
        "would have compressed 1, archived 0, deleted 1",
    ]
    assert old.exists()
    assert new.exists()


def test_a_real_run_sums_up_what_it_did(layout, capsys):
    put(layout, 130)
    new = put(layout, 7)
    assert run(layout) == 0
    packed = new.with_name("07.jsonl.gz")
    freed = (2000 - packed.stat().st_size) / 1000
    assert capsys.readouterr().out == f"compressed 1, archived 0, deleted 1, {freed:.1f} kB freed\n"
    assert sorted(layout.raw.rglob("*.jsonl*")) == [packed, layout.hour_file(BTC, NOW_MS)]


def test_flags_set_the_policy(layout):
    files = [put(layout, hours_ago) for hours_ago in (1, 2, 30)]
    assert run(layout, "--compress-after-hours", "2", "--delete-after-days", "1") == 0
    assert [path.exists() for path in files] == [True, False, False]
    assert files[1].with_name(files[1].name + ".gz").exists()


def test_a_budget_in_gigabytes_deletes_the_oldest(layout):
    data = os.urandom(3000)
    old, new = put(layout, 3, data, packed=True), put(layout, 1, data, packed=True)
    budget = sum(path.stat().st_size for path in layout.raw.rglob("*.jsonl*")) - 1
    assert run(layout, "--max-gb", str(budget / 1e9)) == 0
    assert (old.exists(), new.exists()) == (False, True)


def test_a_shortage_that_stays_is_said_and_is_exit_code_1(layout, capsys):
    size = layout.hour_file(BTC, NOW_MS).stat().st_size
    assert run(layout, "--max-gb", "0.0000005") == 1
    assert f"room is still lacking: the raw tree holds {size} bytes of at most 500" in capsys.readouterr().out


def test_a_disk_that_cannot_be_freed_enough_is_exit_code_1_too(layout, capsys):
    assert run(layout, "--min-free-gb", "1e9") == 1
    assert "bytes free of at least 1000000000000000000" in capsys.readouterr().out


def test_a_file_that_fails_is_named_at_the_end_and_is_exit_code_1(layout, capsys):
    put(layout, 8)
    put(layout, 7, packed=True).write_bytes(b"no gzip")
    put(layout, 7)
    assert run(layout) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[1] == "1 failed:"
    assert "raw/okx/l2_perps/BTC-USDT-SWAP/2024-08-20/07.jsonl: compress failed:" in out.splitlines()[2]
    assert out.startswith("compressed 1,")
    assert "the next pass tries again" in err


def test_a_file_just_written_to_is_mentioned(layout, capsys):
    os.utime(put(layout, 7), ns=(NOW_MS * 1_000_000,) * 2)
    assert run(layout) == 0
    assert "1 skipped for now: written to within the last 10 minutes" in capsys.readouterr().out


def test_the_report_as_json(layout, capsys):
    old = put(layout, 130)
    assert run(layout, "--json") == 0
    row = {"action": "delete", "file": str(old), "bytes": 1000, "reason": "its hour ended 5 days ago or more"}
    assert json.loads(capsys.readouterr().out) == {
        "schema": "l2vault.retain/1",
        "planned": [row],
        "days": [],
        "done": [{**row, "bytes_before": 1000, "bytes_after": 0}],
        "not_needed": [],
        "failed": [],
        "skipped": [],
        "let_alone": [],
        "held_back": [],
        "proved_time": "2024-08-20T15:30:00.000Z",
        "proved_by": "the earlier of this machine's clock and the newest line",
        "freed_bytes": 1000,
        "shortage": None,
        "busy": False,
    }


def test_progress_shows_on_a_terminal_and_leaves_no_trace_elsewhere(layout, monkeypatch, capsys):
    put(layout, 7)
    assert run(layout) == 0
    assert "#" not in capsys.readouterr().err
    put(layout, 8)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert run(layout) == 0
    assert "[------------------------]   0%  BTC-USDT-SWAP/2024-08-20/06.jsonl" in terminal.getvalue()


def test_a_vault_that_is_not_there_is_an_error_not_an_empty_success(layout, tmp_path, capsys):
    assert run(Layout(tmp_path / "Valut")) == 1
    assert "no vault at" in capsys.readouterr().err


def test_a_policy_nobody_can_mean_is_wrong_usage(layout, capsys):
    assert run(layout, "--delete-after-days", "0") == 2
    assert "--delete-after-days = 0.0 (flag) is impossible" in capsys.readouterr().err


def test_the_settings_file_and_flags_reach_the_policy_through_the_command_line(layout, tmp_path, capsys):
    (tmp_path / "l2vault.toml").write_text("compress_after_hours = 1\ndelete_after_days = 2\n")
    put(layout, 49), put(layout, 2)
    assert cli.main(["retain", "--dry-run", "--delete-after-days", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "compress  BTC-USDT-SWAP/2024-08-18/13.jsonl  1.0 kB  its hour ended 1 hours ago or more",
        "compress  BTC-USDT-SWAP/2024-08-20/12.jsonl  1.0 kB  its hour ended 1 hours ago or more",
        "would have compressed 2, archived 0, deleted 0",
    ]


def test_nothing_due_is_silent(layout, capfd):
    put(layout, 1)
    assert run(layout) == 0
    assert capfd.readouterr() == ("", "")


def test_a_clock_set_ahead_deletes_nothing_and_says_what_the_time_rests_on(layout, monkeypatch, capsys):
    paths = [put(layout, hours_ago, packed=True) for hours_ago in (1, 2)]
    monkeypatch.setattr(Clock, "wall_ms", lambda clock: NOW_MS + 30 * 24 * HOUR_MS)
    assert run(layout) == 0
    assert all(path.exists() for path in paths)
    assert capsys.readouterr().out.splitlines() == [
        "3 hours, 3.7 kB, wait: due by this machine's clock alone (2024-09-19T15:30:00.000Z), not by proved time: "
        "2024-08-20T15:30:00.000Z (the earlier of this machine's clock and the newest line)",
        f"  only if this machine's clock is right: l2vault retain --vault {layout.root} --trust-clock",
    ]


@pytest.mark.parametrize("how", ["flag", "file", "environment"])
def test_a_clock_that_is_trusted_makes_hours_old_enough(layout, tmp_path, monkeypatch, how):
    put(layout, 1, packed=True)
    later = NOW_MS + 30 * 24 * HOUR_MS
    monkeypatch.setattr(Clock, "wall_ms", lambda clock: later)
    if how == "file":
        (tmp_path / "l2vault.toml").write_text("trust_clock = true\n")
    if how == "environment":
        monkeypatch.setenv("L2VAULT_TRUST_CLOCK", "1")
    assert run(layout, *(["--trust-clock"] if how == "flag" else [])) == 0
    assert list(layout.raw.rglob("*.jsonl*")) == []


def test_more_than_a_pass_may_delete_waits_unless_asked_for_at_once(layout, capsys):
    for hours_ago in range(200, 210):
        put(layout, hours_ago, packed=True)
    assert run(layout) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("compressed 0, archived 0, deleted 2, ")
    assert out[1].startswith("8 hours, ")
    assert "a pass deletes at most 2 hours of an instrument; ages count from 2024-08-20T15:30:00.000Z" in out[1]
    assert out[2] == f"  to delete them at once: l2vault retain --vault {layout.root} --yes"
    assert run(layout, "--yes") == 0
    assert capsys.readouterr().out.startswith("compressed 0, archived 0, deleted 8, ")


def test_okx_is_asked_for_the_time_only_where_an_address_is_named_and_ages_depend_on_it(layout, monkeypatch, capsys):
    old = put(layout, 1, packed=True)
    asked = []

    def server_time_ms(rest):
        asked.append(rest)
        return NOW_MS + 6 * 24 * HOUR_MS

    monkeypatch.setattr(OkxRest, "server_time_ms", server_time_ms)
    run(layout, "--rest-url", "http://127.0.0.1:1")
    assert asked == []
    monkeypatch.setattr(Clock, "wall_ms", lambda clock: NOW_MS + 30 * 24 * HOUR_MS)
    assert run(layout) == 0
    assert asked == []
    assert old.exists()
    capsys.readouterr()
    assert run(layout, "--json", "--rest-url", "http://127.0.0.1:1") == 0
    assert len(asked) == 1
    assert not old.exists()
    report = json.loads(capsys.readouterr().out)
    assert (report["proved_time"], report["proved_by"]) == ("2024-08-26T15:30:00.000Z", "OKX's clock, asked over REST")


def test_a_server_that_cannot_be_reached_proves_nothing_and_is_no_failure(layout, monkeypatch):
    old = put(layout, 1, packed=True)
    monkeypatch.setattr(Clock, "wall_ms", lambda clock: NOW_MS + 30 * 24 * HOUR_MS)
    assert run(layout, "--rest-url", "http://127.0.0.1:1") == 0
    assert old.exists()


def test_every_step_is_of_one_run_of_the_journal_that_begins_with_the_first(layout):
    assert run(layout) == 0
    assert list(read_journal(layout)) == []
    put(layout, 130)
    put(layout, 7)
    assert run(layout) == 0
    started, *steps = read_journal(layout)
    assert isinstance(started, Started)
    assert (started.program, [type(step) for step in steps]) == ("retain", [Retained, Retained])


def test_a_lock_that_this_user_cannot_have_is_one_sentence(layout, capsys):
    layout.retention_lock.mkdir(parents=True)
    assert run(layout) == 1
    assert re.fullmatch(r"l2vault: the lock of retention cannot be used: .* Try: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("vault", "says"), [("", "no vault here: --vault = '' (flag) names no folder"), ("elsewhere", "no vault at")]
)
def test_a_folder_that_is_no_vault_is_refused_and_left_as_it_is(tmp_path, monkeypatch, capsys, vault, says):
    folder = tmp_path / "empty"
    (folder / "elsewhere").mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert cli.main(["retain", "--vault", vault]) == 1
    assert says in capsys.readouterr().err
    assert [path.name for path in folder.rglob("*")] == ["elsewhere"]


@pytest.mark.parametrize("flag", ["--max-gb", "--min-free-gb", "--delete-after-days", "--compress-after-hours"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_a_number_nobody_can_mean_is_refused_by_the_name_of_its_setting(layout, capsys, flag, value):
    old = put(layout, 200)
    assert run(layout, f"{flag}={value}") == 2
    assert f"{flag} = {float(value)} (flag) is impossible. Try: " in capsys.readouterr().err
    assert old.exists()


def test_the_launcher_works_on_the_vault_beside_it_with_its_two_values(tmp_path):
    script = tmp_path / "l2_retention.py"
    text = (ROOT / "l2_retention.py").read_text(encoding="utf-8")
    script.write_text(text.replace("DELETE_AFTER_DAYS = 5", "DELETE_AFTER_DAYS = 10000"), encoding="utf-8")
    layout = Layout(tmp_path / "Vault")
    path = put(layout, 0)
    put_newest(layout, NOW_MS + 6 * HOUR_MS)
    os.utime(path, (1_724_000_000,) * 2)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, str(script), "--dry-run"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        f"compress  BTC-USDT-SWAP/2024-08-20/{path.name}  1.0 kB  its hour ended 6 hours ago or more",
        "would have compressed 1, archived 0, deleted 0",
    ], done.stderr
    assert done.returncode == 0


def test_the_documentation_names_every_setting_and_no_flag_that_does_not_exist():
    text = (ROOT / "docs" / "retention.md").read_text(encoding="utf-8")
    parser = argparse.ArgumentParser()
    retain.configure(parser)
    flags = {flag for action in parser._actions for flag in action.option_strings}
    named = {word for line in text.splitlines() if "l2vault retain" in line for word in re.findall(r"--[a-z-]+", line)}
    assert named <= flags
    policy_flags = {"--compress-after-hours", "--delete-after-days", "--archive-days", "--max-gb", "--min-free-gb"}
    assert policy_flags <= flags
    assert all(f"`{flag[2:].replace('-', '_')}`" in text for flag in policy_flags)


def test_the_hours_that_were_read_and_found_good_are_noted_for_coverage(layout):
    def minute(hours_ago):
        start_ms = NOW_MS - 30 * 60_000 - (hours_ago + 1) * HOUR_MS
        return b"".join(line(BTC, start_ms + at) for at in range(0, 60_000, 2000))

    put(layout, 9, minute(9))
    put(layout, 8, minute(8) + b"rubbish\n")
    put(layout, 2, minute(2))
    run(layout, "--dry-run")
    hours = Catalog(layout).hours(BTC)
    assert [checked_hours(layout).hour(forms) is not None for forms in hours] == [False] * 4
    assert run(layout) == 0
    hours = Catalog(layout).hours(BTC)
    assert [checked_hours(layout).hour(forms) is not None for forms in hours] == [True, False, True, False]
    assert hours[0].raw[0].form == "gzip", "what is noted is what the pass left"


def test_what_cannot_be_noted_for_coverage_fails_no_pass(layout, capsys):
    put(layout, 9, line(BTC, NOW_MS - 30 * 60_000 - 10 * HOUR_MS))
    (layout.root / "meta" / "okx").mkdir(parents=True)
    (layout.root / "meta" / "okx" / "checked").write_bytes(b"a file where a folder belongs")
    assert run(layout) == 0
    assert "cannot be noted" in capsys.readouterr().err
