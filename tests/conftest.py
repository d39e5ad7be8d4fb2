"""How the tests run: property tests with the same examples each time, and no time limit on a busy machine."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from l2vault.recording.tasks import closed_hours

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("search", max_examples=1000, deadline=None)
"""`pytest --hypothesis-profile=search` looks for new counterexamples instead."""
settings.load_profile("repeatable")

# In virtual time ten minutes are nothing: recorders of tests start no process that makes columns. Those of
# `recording/tasks/test_closed_hours.py` do.
closed_hours._NEEDED = ("no such library",)

_MEMORY = Path("/dev/shm")
if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    tempfile.tempdir = str(_MEMORY)
"""The files of tests lie in memory where there is room: they are synced many thousand times, 6 ms each on a disk."""


_FIRST = ("tests/endtoend/", "tests/web/", "tests/test_launchers", "tests/test_notebook")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first, so that no worker is left alone with it at the end: whole recorders, the browser,
    commands in processes of their own. A file stays on one worker (`--dist loadfile`), so each fixture is made once."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))
