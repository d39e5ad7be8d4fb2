"""The built-in exchange as a child process, for `record --demo`: another memory, another core, no network."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from l2vault.config import environment
from l2vault.errors import L2VaultError

STOP_WITHIN_SEC: Final = 5.0


class DemoExchange(NamedTuple):
    ws_url: str
    rest_url: str


@contextmanager
def demo_exchange(inst_ids: Sequence[str]) -> Iterator[DemoExchange]:
    """Start the exchange, yield its addresses, stop it. It also ends by itself when this process dies."""
    package_parent = str(Path(__file__).resolve().parents[2])
    paths = [package_parent, *filter(None, [environment().get("PYTHONPATH")])]
    command = [sys.executable, "-m", "l2vault", "sim", "--quiet", "--exit-with-stdin", "--inst", *inst_ids]
    separator = ";" if sys.platform == "win32" else ":"
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**environment(), "PYTHONPATH": separator.join(paths)},
    )
    try:
        assert child.stdin is not None and child.stdout is not None  # both are pipes
        announced = child.stdout.readline()
        if not announced:
            raise L2VaultError("the built-in exchange did not start.", "l2vault sim, to see why")
        addresses = json.loads(announced)
        yield DemoExchange(addresses["ws_url"], addresses["rest_url"])
    finally:
        child.communicate(timeout=STOP_WITHIN_SEC)
