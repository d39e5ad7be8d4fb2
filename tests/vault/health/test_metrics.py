"""The health file as Prometheus reads it: every name typed, no stale file that looks healthy."""

import re
import shutil
import subprocess

import msgspec
import pytest

from l2vault.vault.health.form import ChangesHealth, Health, TaskHealth
from l2vault.vault.health.judge import judge
from l2vault.vault.health.metrics import METRICS, metrics_text
from support.healths import BTC, ETH, WRITTEN_MS, ago, feed, health, instrument
from support.programs import need_program

FULL = health(
    feeds=[feed(1), feed(2, state="down", message_age_sec=None)],
    instruments=[instrument(BTC, changes=ChangesHealth("kept", None, None)), instrument(ETH)],
    tasks=[TaskHealth(ago(5), "audit", "x", 3)],
)


def text(one: Health | None, after_sec: float = 2, is_held: bool | None = True) -> str:
    return metrics_text(one, judge(one, WRITTEN_MS + round(after_sec * 1000), is_held))


def values(printed: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(l2vault_\S+) (\S+)$", printed, re.M)}


def test_every_metric_is_printed_once_with_its_help_and_type_and_no_other() -> None:
    printed = text(FULL)
    typed = re.findall(r"^# TYPE l2vault_(\w+) (\w+)$", printed, re.M)
    assert typed == [(metric.name, metric.kind) for metric in METRICS]
    assert re.findall(r"^# HELP l2vault_(\w+) (.+)$", printed, re.M) == [(each.name, each.help) for each in METRICS]
    assert {re.sub(r"\{.*", "", name) for name in values(printed)} == {f"l2vault_{each.name}" for each in METRICS}
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith(".")


def test_the_values_are_in_base_units() -> None:
    found = values(text(FULL))
    assert found[f'l2vault_receive_lag_p50_seconds{{inst="{BTC}"}}'] == 0.0234
    assert found["l2vault_clock_offset_seconds"] == 0.003
    assert found["l2vault_health_timestamp_seconds"] == WRITTEN_MS / 1000
    assert found['l2vault_losses_total{cause="disconnect"}'] == 2
    assert found["l2vault_feeds_connected"] == 1
    assert found["l2vault_disk_left_seconds"] == float("inf")
    assert found['l2vault_task_failures_total{task="audit"}'] == 3


def test_mismatches_of_audits_are_counted_from_zero_on() -> None:
    for audits, count in (({}, 0), ({"equal": 48}, 0), ({"equal": 48, "mismatch": 2}, 2)):
        counts = msgspec.structs.replace(FULL.counts, audits=audits)
        assert values(text(health(counts=counts)))["l2vault_audit_mismatch_total"] == count


def test_a_stale_file_cannot_look_healthy() -> None:
    fresh, later = values(text(FULL)), values(text(FULL, after_sec=1000))
    book = f'l2vault_book_age_seconds{{inst="{BTC}"}}'
    assert (fresh["l2vault_recorder_up"], later["l2vault_recorder_up"]) == (1, 0)
    assert (fresh[book], later[book]) == (2.2, 1000.2)
    assert later['l2vault_feed_message_age_seconds{feed="1"}'] == 1000.1
    assert later["l2vault_feeds_connected"] == later['l2vault_feed_up{feed="1"}'] == 0
    assert later[f'l2vault_in_sync{{inst="{BTC}"}}'] == later["l2vault_healthy"] == 0
    free = values(text(FULL, is_held=False))
    assert free["l2vault_recorder_up"] == free["l2vault_feeds_connected"] == 0


def test_without_a_file_there_is_no_recorder_and_nothing_else() -> None:
    assert values(text(None, is_held=False)) == {"l2vault_recorder_up": 0, "l2vault_healthy": 0}


def test_a_label_cannot_break_out_of_its_quotes() -> None:
    printed = text(health(instruments=[instrument('X"} 1\nl2vault_healthy 1\\')]))
    assert '{inst="X\\"} 1\\nl2vault_healthy 1\\\\"}' in printed
    assert printed.count("\nl2vault_healthy ") == 1


def test_prometheus_finds_nothing_to_object_to() -> None:
    promtool = need_program("promtool", "the Debian package prometheus")
    for one, is_held in ((FULL, True), (None, False), (msgspec.structs.replace(FULL, instruments=[]), True)):
        done = subprocess.run(
            [promtool, "check", "metrics"],
            input=text(one, is_held=is_held),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_program_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("L2_REQUIRE_PROGRAMS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="promtool"):
        need_program("promtool", "the Debian package prometheus")
    monkeypatch.setenv("L2_REQUIRE_PROGRAMS", "1")
    with pytest.raises(pytest.fail.Exception, match="promtool"):
        need_program("promtool", "the Debian package prometheus")
