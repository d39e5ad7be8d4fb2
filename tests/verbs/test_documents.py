"""What verbs print for programs: each document names its form, and a renamed key stands under both names."""

import argparse
import csv
import io
import json
from importlib import import_module
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.analytics.former_names import FORMER, with_former
from l2vault.verbs.documents import SCHEMAS, document, schema_of
from support.hours import INST
from support.small_vault import small_vault

MEASURES = ("spread", "imbalance", "depth", "walls", "zones", "shifts", "flow", "heatmap")
FORMER_OF_RETAIN = {"skipped": "let_alone"}
COLUMNS = {
    ("spread",): {"non_null_share"},
    ("spread", "--step", "1m"): {"covered_share"},
    ("depth", "--step", "1m"): {"covered_share", "bid_visible_bps", "ask_visible_bps"},
    ("walls", "--min-size", "500k"): {"filled_at_touch_share"},
    ("walls", "--min-size", "500k", "--lives"): {"filled_at_touch_share"},
    ("zones",): {"t_first", "t_last"},
    ("shifts",): {"entered_view", "left_view", "visible_bps", "covered_share"},
}
"""Words of a verb, and which of its columns had another name before."""


@pytest.fixture(autouse=True)
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_vault(tmp_path / "Vault")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "Vault"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    cli.main(list(words))
    return capsys.readouterr().out


def takes_json(verb: str) -> bool:
    parser = argparse.ArgumentParser()
    import_module(f"l2vault.verbs.{verb}").configure(parser)
    return any("--json" in action.option_strings for action in parser._actions)


def every_object(value: object) -> list[dict[str, object]]:
    if isinstance(value, list):
        return [found for each in value for found in every_object(each)]
    if not isinstance(value, dict):
        return []
    return [value, *(found for each in value.values() for found in every_object(each))]


def test_every_verb_with_json_has_a_schema_and_no_other() -> None:
    assert set(SCHEMAS) == {verb for verb in cli.VERBS if takes_json(verb)} | {"sim"}
    assert schema_of("walls") == "l2vault.walls/1"


@pytest.mark.parametrize("words", [(verb,) for verb in (*MEASURES, "show", "ls", "coverage", "retain")])
def test_every_document_names_its_form_first(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, *words, "--json", *(["--dry-run"] if words == ("retain",) else []))
    assert text
    for row in text.splitlines():
        assert row.startswith(f'{{"schema":"{schema_of(words[0])}",')


def test_a_finding_names_its_form_too(vault: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = vault.glob("raw/okx/l2_perps/*/*/*.jsonl")
    file.write_bytes(file.read_bytes() + b"no line\n")
    rows = [json.loads(row) for row in printed(capsys, "verify", "--json").splitlines()]
    assert rows and {row["schema"] for row in rows} == {schema_of("verify")}


@pytest.mark.parametrize("words", COLUMNS, ids=" ".join)
def test_a_renamed_key_of_json_stands_under_both_names_with_one_value(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    answer = json.loads(printed(capsys, *words, "--json"))
    assert answer["rows"], "there is something to compare"
    assert COLUMNS[words] <= set(answer["rows"][0])
    assert {"covered_share", "visible_bps"} <= set(answer["about"])
    for found in every_object(answer):
        for name, former in FORMER.items():
            assert (name in found) == (former in found), name
            assert found.get(name) == found.get(former), name


@pytest.mark.parametrize("words", COLUMNS, ids=" ".join)
def test_a_renamed_column_of_csv_stands_under_both_names_with_one_value(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    row = next(csv.DictReader(io.StringIO(printed(capsys, *words, "--csv"))))
    assert COLUMNS[words] <= set(row)
    assert row["schema"] == schema_of(words[0])
    pairs = [*FORMER.items(), ("covered_of_span", "vouched_of_span")]
    pairs += [
        (f"visible_{side}_{end}_bps", f"reach_{side}_{end}_bps") for side in ("bid", "ask") for end in ("least", "most")
    ]
    for name, former in pairs:
        assert (name in row) == (former in row), name
        assert row.get(name) == row.get(former), name
    assert row["covered_of_span"]


def test_the_report_of_retention_has_both_names(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(printed(capsys, "retain", "--dry-run", "--json"))
    for name, former in FORMER_OF_RETAIN.items():
        assert report[name] == report[former]


def test_no_name_is_the_former_one_of_two_others() -> None:
    assert len(set(FORMER.values())) == len(FORMER)
    assert not set(FORMER) & set(FORMER.values())
    assert with_former({"side": "bid", "left_view": 1.5}) == {"side": "bid", "left_view": 1.5, "rolled_out": 1.5}


def test_a_document_is_one_line_whatever_it_holds() -> None:
    text = document("ls", {"inst_id": f"{INST}\n\x1b[2J"})
    assert text.count("\n") == 1 and "\x1b" not in text
