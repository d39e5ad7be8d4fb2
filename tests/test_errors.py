"""Cures that install something name the interpreter that runs, and no package name that is not ours."""

import importlib.metadata
import shlex
import sys
from pathlib import Path

import pytest

from l2vault import errors
from l2vault.errors import install_command

ROOT = Path(__file__).resolve().parents[1]


def test_in_a_clone_the_clone_is_installed_with_the_extra_into_the_interpreter_that_runs() -> None:
    assert shlex.split(install_command("analysis")) == [
        *(sys.executable, "-m", "pip", "install", "-e"),
        f"{ROOT}[analysis]",
    ]


@pytest.mark.parametrize("extra", ["analysis", "screen", "socks"])
def test_elsewhere_the_packages_of_the_extra_are_named_and_not_this_project(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "_CLONE", tmp_path)
    words = shlex.split(install_command(extra))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    metadata = ['l2vault[analysis]; extra == "screen"', 'starlette>=1.0; extra == "screen"']
    if extra == "screen":  # which includes another extra of ours
        known = [*(importlib.metadata.requires("l2vault") or []), *metadata]
        monkeypatch.setattr(importlib.metadata, "requires", lambda name: known)
        words = shlex.split(install_command(extra))
    named = {"analysis": ["numpy", "polars"], "screen": ["numpy", "starlette"], "socks": ["python-socks"]}
    expected = named[extra]
    assert all(any(word.startswith(name) for word in words[4:]) for name in expected)
    assert not any("l2vault" in word or "hypothesis" in word for word in words[4:])


def test_without_metadata_it_points_to_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(errors, "_CLONE", tmp_path)
    monkeypatch.setattr(importlib.metadata, "requires", absent)
    assert install_command("socks").endswith('-m pip install -e ".[socks]" in the folder of the clone')
