"""Rules, their tests and the dashboard, by Prometheus' own tool and against the metrics that we print."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from l2vault.vault.health.form import ChangesHealth, TaskHealth
from l2vault.vault.health.judge import judge
from l2vault.vault.health.metrics import METRICS, metrics_text
from support.healths import BTC, ETH, WRITTEN_MS, ago, feed, health, instrument
from support.programs import need_program

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
RULES = (OPS / "prometheus" / "l2vault.rules.yml").read_text(encoding="utf-8")
TESTS = (OPS / "prometheus" / "l2vault.test.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((OPS / "grafana" / "l2vault.json").read_text(encoding="utf-8"))
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES, re.M)
NAMES = {f"l2vault_{metric.name}" for metric in METRICS}
QUERIES = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]


@pytest.fixture
def promtool() -> str:
    return need_program("promtool", "the Debian package prometheus")


def outcome_of(promtool: str, folder: Path, rules: str = RULES, tests: str = TESTS) -> subprocess.CompletedProcess[str]:
    (folder / "l2vault.rules.yml").write_text(rules, encoding="utf-8")
    (folder / "l2vault.test.yml").write_text(tests, encoding="utf-8")
    words = [promtool, "test", "rules", str(folder / "l2vault.test.yml")]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_each_alert_fires_in_one_test_and_stays_silent_in_another() -> None:
    assert len(ALERTS) == len(set(ALERTS)) >= 15
    for alert in ALERTS:
        blocks = [block for block in TESTS.split("  - name: ") if f"alertname: {alert}\n" in block]
        assert any("exp_alerts: []" in block for block in blocks), alert
        assert any("exp_labels" in block for block in blocks), alert
    assert set(re.findall(r"alertname: (\w+)", TESTS)) == set(ALERTS)


def test_the_rules_pass_their_tests(promtool: str, tmp_path: Path) -> None:
    done = outcome_of(promtool, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("expr", ["vector(1) == 2", "vector(1)"], ids=["never", "always"])
def test_each_rule_that_never_or_always_fires_fails_a_test(promtool: str, tmp_path: Path, expr: str) -> None:
    broken = re.sub(r"(alert: \w+\n +expr: )'.*'\n", rf"\g<1>'{expr}'\n", RULES)
    done = outcome_of(promtool, tmp_path, rules=broken)
    failed = re.findall(r"alertname: ?(\w+)", done.stdout + done.stderr)
    assert set(failed) == set(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_its_section_in_the_runbook_and_no_other(alert: str) -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", runbook, re.M) == ALERTS
    assert f'runbook: "docs/runbook.md#{alert.lower()}"' in RULES
    assert "summary:" in RULES.split(f"alert: {alert}\n")[1].split("- alert")[0]


def test_every_metric_that_rules_and_dashboard_name_is_printed_and_described() -> None:
    variables = [variable.get("definition", "") for variable in DASHBOARD["templating"]["list"]]
    notes = [note["expr"] for note in DASHBOARD["annotations"]["list"]]
    for text in (RULES, TESTS, *(query for _, query in QUERIES), *variables, *notes):
        assert set(re.findall(r"\bl2vault_\w+", text)) <= NAMES, text
    services = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(l2vault_\w+)`.*?\| (.+) \|$", services, re.M))
    assert rows == {f"l2vault_{each.name}": f"{each.kind} | {each.help}" for each in METRICS}


def test_every_query_of_the_dashboard_finds_something_in_what_is_printed(promtool: str, tmp_path: Path) -> None:
    instruments = [instrument(BTC, changes=ChangesHealth("kept", None, None)), instrument(ETH)]
    one = health(feeds=[feed(1), feed(2)], instruments=instruments, tasks=[TaskHealth(ago(5), "audit", "x", 3)])
    printed = metrics_text(one, judge(one, WRITTEN_MS + 2000, True))
    series = []
    for name, labels, value in re.findall(r"^(l2vault_\w+)(?:\{(.*)\})? (\S+)$", printed, re.M):
        text = ", ".join(['instance="h"', *([labels] if labels else [])])
        series.append({"series": f"{name}{{{text}}}", "values": f"{value}+0x40"})
    queries = [query.replace("$instance", ".*").replace("$inst", ".*") for _, query in QUERIES]
    assert len(queries) > 25 and not any("$" in query for query in queries)
    expected = [{"labels": "{}", "value": 1}]
    wanted = [
        {"expr": f"count({query}) > bool 0", "eval_time": "10m", "exp_samples": expected} for query in set(queries)
    ]
    tests = {"evaluation_interval": "15s", "tests": [{"interval": "15s", "input_series": series}]}
    tests["tests"][0]["promql_expr_test"] = wanted  # type: ignore[index]
    done = outcome_of(promtool, tmp_path, tests=json.dumps(tests))  # JSON is YAML
    assert done.returncode == 0, done.stdout + done.stderr
    wanted.append({"expr": "count(l2vault_no_such_thing) > bool 0", "eval_time": "10m", "exp_samples": expected})
    assert outcome_of(promtool, tmp_path, tests=json.dumps(tests)).returncode != 0, "the test can fail"


def test_panels_have_a_place_of_their_own_and_a_title() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert panel["title"] and place["x"] + place["w"] <= 24 and not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_configuration_of_the_compose_file_is_one(promtool: str, tmp_path: Path) -> None:
    folder = tmp_path / "prometheus"
    shutil.copytree(OPS / "prometheus", folder)
    words = [promtool, "check", "config", str(folder / "prometheus.yml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
