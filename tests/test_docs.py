"""The documents say what the code does: every verb, option, setting and event, and no other."""

import argparse
import re
from importlib import import_module
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from l2vault import cli
from l2vault.book.snapshot import from_line, to_line
from l2vault.config import ENV_PREFIX, Settings
from l2vault.vault.journal.events import Cause, Event

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
COMMON = {"--config", "--help"}


def _text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def _options(verb: str) -> set[str]:
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"l2vault.verbs.{verb}").configure(parser)
    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return {option for action in shown for option in action.option_strings}


def test_the_example_line_of_the_format_is_a_line() -> None:
    (example,) = re.findall(r'^\{"timestamp_utc".*\}$', _text("format.md"), re.M)
    assert to_line(from_line(example.encode())) == example.encode()


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
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_the_readme_and_the_architecture_stay_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 75
