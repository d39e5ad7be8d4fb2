"""The contenders' virtual environments: one each, made once under `benchmarks/.venvs`, versions pinned here.

What cannot be installed is told with its reason and left out; nothing else fails for it.
"""

import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "benchmarks" / ".venvs"
INSTALL_WITHIN_SEC: Final = 900
_NAMES: Final = ("python3.13", "python3.12")
"""The newest first: every peer has wheels for both."""


class Place(NamedTuple):
    """Where a contender runs; `python` is None where it cannot, and then `reason` says why."""

    python: Path | None
    reason: str = ""


@cache
def new_python() -> str | None:
    """An interpreter that all peers support: BENCH_PYTHON, one on the PATH, or one that pyenv has."""
    named = os.environ.get("BENCH_PYTHON")
    if named:
        return named
    for name in _NAMES:
        found = shutil.which(name)
        if found and _runs(found):
            return found
        kept = sorted(Path.home().glob(f".pyenv/versions/{name.removeprefix('python')}.*/bin/python"))
        if kept:
            return str(kept[-1])
    return sys.executable if sys.version_info >= (3, 12) else None


def venv_of(name: str, requirements: tuple[str, ...]) -> Place:
    """Make it, or find it made before with the same requirements."""
    base = new_python()
    if base is None:
        return Place(None, "no Python 3.12 or 3.13 on this machine (BENCH_PYTHON may name one)")
    folder = FOLDER / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done, wanted = folder / "installed", "\n".join(requirements)
    if python.exists() and done.exists() and done.read_text(encoding="utf-8") == wanted:
        return Place(python)
    try:
        _run([base, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *requirements])
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return Place(None, f"cannot be installed: {said.strip().splitlines()[-1]}")
    done.write_text(wanted, encoding="utf-8")
    return Place(python)


class NodePlace(NamedTuple):
    """The folder with `node_modules`; None where it cannot be made, and then `reason` says why."""

    folder: Path | None
    reason: str = ""


def npm_of(name: str, requirement: str) -> NodePlace:
    """Install a package of npm, or find it installed before."""
    npm, folder = shutil.which("npm"), FOLDER / name
    if npm is None or shutil.which("node") is None:
        return NodePlace(None, "no node and npm on this machine")
    done = folder / "installed"
    if done.exists() and done.read_text(encoding="utf-8") == requirement:
        return NodePlace(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}", encoding="utf-8")
        _run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), requirement])
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        return NodePlace(None, f"cannot be installed: {said.strip().splitlines()[-1]}")
    done.write_text(requirement, encoding="utf-8")
    return NodePlace(folder)


def versions_in(place: Place, packages: tuple[str, ...]) -> str:
    """`name version` of each package, and the interpreter."""
    code = "import sys, importlib.metadata as m; print(sys.version.split()[0], *(m.version(p) for p in sys.argv[1:]))"
    python, *found = _run([str(place.python), "-c", code, *packages]).split()
    return ", ".join([*(" ".join(pair) for pair in zip(packages, found, strict=True)), f"Python {python}"])


def versions_here() -> str:
    """Of the process that measures."""
    packages = ("websockets", "msgspec", "pandas", "polars", "duckdb", "pyarrow")
    return ", ".join([*(f"{name} {version(name)}" for name in packages), f"Python {platform.python_version()}"])


def _runs(python: str) -> bool:
    """A pyenv shim is there for versions that are not chosen, and then fails."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def _run(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=INSTALL_WITHIN_SEC).stdout
