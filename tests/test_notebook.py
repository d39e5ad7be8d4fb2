"""examples/first_look.ipynb runs from its first cell to its last, and says what a reader came for."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from support.small_vault import small_vault

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "first_look.ipynb"


@pytest.mark.filterwarnings("ignore")  # of the kernel's own parts
def test_the_notebook_runs_and_shows_its_answers(tmp_path: Path) -> None:
    small_vault(tmp_path / "Vault")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # none are kept: they would grow stale
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        "".join(str(output.get("text", output.get("data", {}))) for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    expected = ["<Vault 'Vault': 1 instrument", "chain", "spread 0.33 bps", "; walls/3"]
    expected += ["t_from", "widest_bps"]
    for text, word in zip(shown, expected, strict=True):
        assert word in text
    assert "<table" in shown[3]
