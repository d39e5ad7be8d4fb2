"""Programs beside Python that some tests need: absent ones skip a test by name, and fail it where all are required."""

import os
import shutil

import pytest


def need_program(name: str, comes_with: str) -> str:
    """The path of the program. `L2_REQUIRE_PROGRAMS=1` makes its absence a failure."""
    found = shutil.which(name)
    if found is None:
        words = f"needs the program {name}: install {comes_with}"
        if os.environ.get("L2_REQUIRE_PROGRAMS") == "1":
            pytest.fail(words)
        pytest.skip(words)
    return found
