"""How l2vault starts itself again as a child process: the same interpreter, the same package, wherever it lies."""

import subprocess
import sys
from collections.abc import Sequence
from os import pathsep
from pathlib import Path
from typing import Any

from l2vault.config import environment


def start_child(words: Sequence[str], module: str = "l2vault", **popen: Any) -> "subprocess.Popen[bytes]":
    """`l2vault WORDS...`, or another module of the package, as a child; `popen` goes to `subprocess.Popen`."""
    package_parent = str(Path(__file__).resolve().parents[2])
    paths = [package_parent, *filter(None, [environment().get("PYTHONPATH")])]
    command = [sys.executable, "-m", module, *words]
    return subprocess.Popen(command, env={**environment(), "PYTHONPATH": pathsep.join(paths)}, **popen)
