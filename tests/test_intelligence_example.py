"""docs/intelligence-example.md shows what its commands print on the real books it was made from."""

import re
import shlex
from pathlib import Path

import pytest

from l2vault import cli
from support.example_vault import make_example_vault

PAGE = Path(__file__).resolve().parents[1] / "docs" / "intelligence-example.md"
BLOCKS = re.findall(r"^```\n\$ (l2vault .*?)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_example_vault(tmp_path_factory.mktemp("example") / "Vault")


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_the_page_shows_what_the_command_prints(command, shown, vault, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    assert cli.main([*words, "--vault", str(vault)]) == 0
    assert capsys.readouterr().out.strip() == shown.strip()


def test_every_verb_of_the_intelligence_is_shown():
    verbs = {command.split()[1] for command, _ in BLOCKS}
    assert verbs == {"spread", "imbalance", "depth", "walls", "zones", "shifts", "heatmap", "evaluate"}
