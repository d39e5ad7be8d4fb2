"""The documents say what the code does: every verb, option, setting and event, and no other."""

import argparse
import gzip
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from l2vault import __version__, cli
from l2vault.alerts.receivers import message as alert_message
from l2vault.alerts.rule import CONDITIONS, KEYS, read_rules
from l2vault.book.change_line import from_change_line, to_change_line
from l2vault.book.context import from_line as context_from_line
from l2vault.book.context import to_line as context_to_line
from l2vault.book.day_lines import liquidation_from_line, liquidation_to_line, status_to_line
from l2vault.book.deep import RPI, from_deep_line, to_deep_line
from l2vault.book.snapshot import from_line, to_line
from l2vault.book.utc import utc_micros
from l2vault.config import ENV_PREFIX, Settings
from l2vault.okx.context_messages import status_of
from l2vault.vault.health.form import Health
from l2vault.vault.health.judge import THRESHOLDS
from l2vault.vault.journal.events import Cause, Event

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(DOCS.glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMON = {"--config", "--help"}


def _text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _options(verb: str) -> set[str]:
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"l2vault.verbs.{verb}").configure(parser)
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return {option for action in shown for option in action.option_strings}


def test_the_example_line_of_the_format_is_a_line() -> None:
    (example,) = re.findall(r'^\{"timestamp_utc".*"bids_top.*\}$', _text("format.md"), re.M)
    assert to_line(from_line(example.encode())) == example.encode()


def test_the_example_of_a_deep_book_in_the_format_is_a_line() -> None:
    (example,) = re.findall(r'^\{"timestamp_utc".*"channel":"books-full",.*\}$', _text("format.md"), re.M)
    line = from_deep_line(example.encode())
    assert to_deep_line(line) == example.encode()
    assert line.asks[1] == ("64980", "0", "0") and line.before_ms == line.ts_ms - 30_011


def test_the_example_of_an_rpi_book_in_the_format_is_a_line() -> None:
    (example,) = re.findall(r'^\{"timestamp_utc".*"channel":"books-rpi",.*\}$', _text("format.md"), re.M)
    line = from_deep_line(example.encode(), RPI)
    assert to_deep_line(line) == example.encode()
    assert line.asks[1:] == [("64230.3", "2", "0", "1"), ("64232", "0", "0", "0")]


def test_the_example_of_a_change_in_the_format_is_a_line() -> None:
    (example,) = re.findall(r'^\{"timestamp_utc".*"channel":"books",.*"action":.*\}$', _text("format.md"), re.M)
    assert to_change_line(from_change_line(example.encode())) == example.encode()


def test_the_example_lines_of_the_context_and_the_day_files_are_such_lines() -> None:
    lines = {msgspec.json.decode(line)["channel"]: line.encode() for line in _examples()}
    assert context_to_line(context_from_line(lines["context"])) == lines["context"]
    assert liquidation_to_line(*liquidation_from_line(lines["liquidation_sample"])) == lines["liquidation_sample"]
    row = msgspec.json.decode(lines["status"])
    assert status_to_line(status_of(row["status"]), utc_micros(row["recv_utc"])) == lines["status"]


def test_the_example_of_the_health_file_is_one_and_every_key_is_described() -> None:
    text = _text("format.md")
    section = text[text.index("## health.json") :]
    (example,) = re.findall(r"^```json\n(.*?)^```$", section, re.M | re.S)
    found = msgspec.json.decode(example, type=Health)
    assert msgspec.to_builtins(found) == msgspec.json.decode(example)
    table = section[section.index("| key |") :]

    def described(value: object) -> None:
        for name, each in value.items() if isinstance(value, dict) else ():
            assert f"`{name}`" in table, name
            if name not in ("losses", "compared", "audits") or isinstance(each, list):
                for one in each if isinstance(each, list) else [each]:
                    described(one)

    described(msgspec.to_builtins(found))


def test_the_alerts_of_their_page_are_some_and_every_key_and_condition_is_described() -> None:
    text = _text("alerts.md")
    examples = re.findall(r"^```toml\n(.*?)^```$", text, re.M | re.S)
    tables = [table for example in examples for table in tomllib.loads(example)["alert"]]
    rules = read_rules(tables, {"ALERT_URL": "https://x/y", "ALERT_PHONE": "ntfys://x/y"})
    assert {rule.condition for rule in rules} == set(CONDITIONS), "an example of each"
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"^\| `(\w+)` \|", text.split("## Keys")[1], re.M)) == set(KEYS)
    for name, limit in CONDITIONS.items():
        assert f"| `{f'{name} {limit}'.strip()}` |" in table, name
    (message,) = re.findall(r"^```json\n(.*?)^```$", text, re.M | re.S)
    assert msgspec.json.decode(message).keys() == msgspec.json.decode(alert_message(rules[0], "v", "h", [], 0)).keys()


def test_the_page_about_health_has_the_thresholds_of_the_code() -> None:
    assert THRESHOLDS in " ".join(_text("operate.md").split())


def _examples() -> list[str]:
    return re.findall(r'^\{"timestamp_utc".*\}$', _text("format.md"), re.M)


def test_every_event_and_cause_of_the_journal_is_described() -> None:
    text = _text("format.md")
    table = set(
        re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in text.splitlines() if row.startswith("| `")))
    )
    tags = {kind.__struct_config__.tag for kind in get_args(Event)}
    assert tags <= table
    for kind in get_args(Event):
        row = next(row for row in text.splitlines() if re.match(rf"\|[^|]*`{kind.__struct_config__.tag}`", row))
        for name in kind.__struct_encode_fields__:
            assert name == "at" or f"`{name}`" in row, f"{kind.__name__}.{name}"
    for cause in get_args(Cause):
        assert f"`{cause}`" in text


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_option_of_a_verb_is_in_its_reference_and_no_other(verb: str) -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", _text("cli.md"), re.M | re.S))
    assert set(sections) == set(cli.VERBS)
    table = "\n".join(line for line in sections[verb].splitlines() if line.startswith("| `-"))
    assert set(re.findall(r"^\| `(--[\w-]+)", table, re.M)) == _options(verb)


def test_every_setting_is_described_with_its_default_environment_and_flag() -> None:
    text = _text("configuration.md")
    for field in msgspec.structs.fields(Settings):
        assert f"`{field.name}`" in text, field.name
        assert f"`{ENV_PREFIX}{field.name.upper()}`" in text, field.name
    assert set(re.findall(r"`(--[\w-]+)`", text)) - {"--config"} <= _options("record")


def test_every_target_the_readme_names_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set()
    for path in [ROOT / "README.md", *DOCS.glob("*.md")]:
        named |= set(re.findall(r"(?:^|`)make ([a-z]+)\b", path.read_text(encoding="utf-8"), re.M))
    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_verb_and_document_a_page_names_exists() -> None:
    for path in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *DOCS.glob("*.md")]:
        text = path.read_text(encoding="utf-8")
        for verb in re.findall(r"`l2vault ([a-z]+)", text):
            assert verb in cli.VERBS, f"{path.name}: l2vault {verb}"


def _anchors(path: Path) -> set[str]:
    """Of the headings, as GitHub and the site name them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.M)
    }


def test_every_test_that_the_table_of_faults_names_is_there() -> None:
    text = (ROOT / "docs" / "recovery.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[a-z0-9_/]+\.py)`", text)
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_every_link_and_anchor_of_a_page_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place) if place else path
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_every_page_is_in_the_spine_once_and_a_page_of_the_site_links_to_no_file_outside_it() -> None:
    spine = re.findall(r"^ +- ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    assert sorted(spine) == sorted(path.name for path in DOCS.glob("*.md"))
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", _text("index.md")))
    assert linked == set(spine) - {"index.md"}
    for path in DOCS.glob("*.md"):
        assert "](../" not in path.read_text(encoding="utf-8"), path.name


def test_the_site_asks_for_nothing_from_outside() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in text
    assert "https://" not in text
    for path in DOCS.glob("*.md"):
        assert not re.search(r"!\[[^]]*\]\(https?:", path.read_text(encoding="utf-8")), path.name


def test_no_text_tells_to_install_this_project_by_its_name_from_an_index() -> None:
    """The name is not ours there; whoever takes it would be installed."""
    texts = [*PAGES, *(ROOT / "l2vault").rglob("*.py"), ROOT / "Makefile", *ROOT.glob("*.bat"), *ROOT.glob("*.sh")]
    for path in texts:
        assert not re.search(r"pip install [\"']?l2vault", path.read_text(encoding="utf-8")), path


def test_the_answer_on_the_first_page_is_that_of_the_worked_example() -> None:
    command, rows = re.search(r"^```\n\$ (l2vault walls .*)\n([^`]+)^```", README, re.M).groups()  # type: ignore[union-attr]
    example = _text("intelligence-example.md")
    answer = example[example.index(f"$ {command}\n") :].split("```")[0]
    assert len(rows.splitlines()) == 6
    for row in rows.splitlines():
        assert row in answer


def test_what_it_costs_is_what_the_benchmarks_measured() -> None:
    results = (ROOT / "benchmarks" / "results.md").read_text(encoding="utf-8")
    sizes = [
        float(re.search(rf"^\| {form} \| ([\d.]+) \|", results, re.M)[1])
        for form in ("JSON lines", "gzip -6", "archive")
    ]  # type: ignore[index]
    assert f"{24 * sizes[0]:.0f} MB, {24 * sizes[1]:.0f} MB, {24 * sizes[2]:.0f} MB" in README
    memory, share = (
        float(text)
        for text in re.search(
            r"2 instruments, two lines: memory \| ([\d.]+) MB.*?processor \| ([\d.]+) %", results, re.S
        ).groups()
    )  # type: ignore[union-attr]
    assert f"| {memory:.0f} MB |" in README
    assert f"| {share:.1f} % of a core |" in README


@pytest.mark.parametrize("depth", [400, 25])
def test_the_readers_of_the_first_page_read_every_form_depth_and_leftover(
    depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r'^\{"timestamp_utc".*"bids_top.*\}$', _text("format.md"), re.M)
    line = example.replace("_top400", f"_top{depth}")
    empty = re.sub(r'"bids_top\d+":\[.*?\]\],', f'"bids_top{depth}":[],', line)
    day = tmp_path / "Vault/raw/okx/l2_perps/BTC-USDT-SWAP/2023-12-14"
    day.mkdir(parents=True)
    packed = gzip.compress(f"{line}\n".encode())
    (day / "14.jsonl.gz").write_bytes(packed)
    (day / "15.jsonl").write_text(f"{line}\n{empty}\n", encoding="utf-8")
    for leftover in (
        ".14.packing",
        ".14.gz.deleting",
        "14.jsonl.gz.packing",
        "14.jsonl.gz.4711.packing",
        "14.jsonl.gz.deleting",
    ):
        (day / leftover).write_bytes(packed[:20])
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    assert len([text for text in code.splitlines() if text]) <= 10
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - the document is what is tested
    wall = "['43250.7', '12.5', '0', '3']"
    assert capsys.readouterr().out.splitlines() == [
        f"2023-12-14T15:30:45.123Z 43250.75 {wall}",
        f"2023-12-14T15:30:45.123Z 43250.75 {wall}",
        "2023-12-14T15:30:45.123Z 43250.75 None",
    ]


def test_what_is_deleted_is_on_the_first_screen_with_the_defaults_of_the_code() -> None:
    first = "\n".join(README.splitlines()[:30])
    settings = Settings()
    words = (
        f"gzipped after {settings.compress_after_hours:g} hours and deleted after {settings.delete_after_days:g} days"
    )
    assert words in first


def test_the_newest_section_of_the_changelog_is_the_version() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert newest is not None
    assert newest[1] == __version__


def test_the_readme_and_the_architecture_stay_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 90
