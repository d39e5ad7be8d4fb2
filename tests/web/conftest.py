"""A vault with a planted wall, a hole and trades."""

from pathlib import Path

import pytest

from l2vault.vault.store.layout import Layout
from support.screen_site import write_vault


@pytest.fixture
def vault(tmp_path: Path) -> Layout:
    return write_vault(tmp_path / "Vault")
