"""Cures that install something name the interpreter that runs, and no package name that is not ours."""

import gc
import importlib.metadata
import shlex
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from l2vault import errors
from l2vault.errors import UsageError, VaultError, extra, install_command

ROOT = Path(__file__).resolve().parents[1]


def test_in_a_clone_the_clone_is_installed_with_the_extra_into_the_interpreter_that_runs() -> None:
    assert shlex.split(install_command("analysis")) == [
        *(sys.executable, "-m", "pip", "install", "-e"),
        f"{ROOT}[analysis]",
    ]


@pytest.mark.parametrize("name", ["analysis", "screen", "socks"])
def test_elsewhere_the_packages_of_the_extra_are_named_and_not_this_project(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "_CLONE", tmp_path)
    words = shlex.split(install_command(name))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    metadata = ['l2vault[analysis]; extra == "screen"', 'starlette>=1.0; extra == "screen"']
    if name == "screen":  # which includes another extra of ours
        known = [*(importlib.metadata.requires("l2vault") or []), *metadata]
        monkeypatch.setattr(importlib.metadata, "requires", lambda package: known)
        words = shlex.split(install_command(name))
    named = {"analysis": ["numpy", "polars"], "screen": ["numpy", "starlette"], "socks": ["python-socks"]}
    expected = named[name]
    assert all(any(word.startswith(package) for word in words[4:]) for package in expected)
    assert not any("l2vault" in word or "hypothesis" in word for word in words[4:])


def test_without_metadata_it_points_to_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(errors, "_CLONE", tmp_path)
    monkeypatch.setattr(importlib.metadata, "requires", absent)
    assert install_command("socks").endswith('-m pip install -e ".[socks]" in the folder of the clone')


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ImportError("libarrow.so: cannot allocate memory\nthe whole story"), "libarrow.so: cannot allocate memory"),
        (MemoryError(), "too little memory"),
    ],
)
def test_an_extra_that_is_there_and_does_not_load_is_not_called_absent(error: BaseException, why: str) -> None:
    with pytest.raises(VaultError) as raised, extra("analysis"):
        raise error
    assert raised.value.message == f"the analysis extra does not load ({why})."
    assert raised.value.cure.startswith("with more memory; if there is enough, install it anew: ")


@pytest.mark.parametrize("threads", ["0", "00", "+0"])
def test_polars_without_a_thread_is_refused_before_it_panics(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", threads)
    with pytest.raises(UsageError, match="POLARS_MAX_THREADS in the environment is 0"), extra("analysis"):
        pass


@pytest.mark.parametrize("threads", ["1", "10", "", "x"])
def test_what_polars_bears_is_borne(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", threads)
    with extra("analysis"):
        pass


@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_is_looked_through_for_garbage_while_an_extra_loads_and_again_afterwards(is_there: bool) -> None:
    with suppress(VaultError), extra("analysis"):
        assert not gc.isenabled()
        if not is_there:
            raise ModuleNotFoundError("polars")
    assert gc.isenabled()


def test_who_has_switched_the_collector_off_finds_it_so() -> None:
    gc.disable()
    try:
        with extra("analysis"):
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
