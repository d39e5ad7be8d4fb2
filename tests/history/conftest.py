"""One archive for all tests that only read it."""

import pytest

from support.archive_world import ArchiveWorld, make_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> ArchiveWorld:
    return make_world(tmp_path_factory.mktemp("archive"))
