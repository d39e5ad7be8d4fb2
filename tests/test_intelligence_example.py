"""docs/intelligence-example.md shows what its commands print on the real books it was made from."""

import json
import re
import shlex
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.book.book import Book
from l2vault.book.sampler import due_grid_time
from l2vault.book.snapshot import take_snapshot, to_line
from l2vault.okx.messages import decode
from l2vault.sim.instruments import instrument_row
from l2vault.vault.layout import Layout
from support.captured import PAIR, book_frames, capture

PAGE = Path(__file__).resolve().parents[1] / "docs" / "intelligence-example.md"
BLOCKS = re.findall(r"^```\n\$ (l2vault .*?)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
CADENCE_MS, DEPTH = 2_000, 400


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lines that a recorder writes of the derived pair; a test of the recorder holds that it does."""
    layout = Layout(tmp_path_factory.mktemp("example") / "Vault")
    for inst_id in PAIR:
        book = Book()
        for push in book_frames(capture(f"derived/DERIVED_{inst_id}_from-binance-20240808.jsonl.zst")):
            change = decode(json.dumps(push).encode())
            if due_grid_time(book.ts_ms, change.ts_ms, CADENCE_MS) is not None:
                snapshot = take_snapshot(inst_id, book, DEPTH)
                path = layout.hour_file(inst_id, snapshot.ts_ms)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as file:
                    file.write(to_line(snapshot) + b"\n")
            book.apply(change)
        row = layout.instrument_file(inst_id)
        row.parent.mkdir(parents=True, exist_ok=True)
        row.write_text(json.dumps(instrument_row(inst_id)), encoding="utf-8")
    return layout.root


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_the_page_shows_what_the_command_prints(command, shown, vault, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    assert cli.main([*words, "--vault", str(vault)]) == 0
    assert capsys.readouterr().out.strip() == shown.strip()


def test_every_verb_of_the_intelligence_is_shown():
    verbs = {command.split()[1] for command, _ in BLOCKS}
    assert verbs == {"spread", "imbalance", "depth", "walls", "zones", "shifts", "heatmap"}
