"""The built-in exchange as a child process, for `record --demo`: another memory, another core, no network."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from l2vault.errors import L2VaultError
from l2vault.recording.child import end_with_stdin, start_child

STOP_WITHIN_SEC: Final = 5.0
FAULTS: Final = "close:at=30s;refuse:how=503,at=30s,for=6s"
"""The demo shows what a loss looks like: after half a minute no connection stands for some seconds."""


class DemoExchange(NamedTuple):
    ws_url: str
    rest_url: str


@contextmanager
def demo_exchange(inst_ids: Sequence[str]) -> Iterator[DemoExchange]:
    """Start the exchange, yield its addresses, stop it. It also ends by itself when this process dies."""
    words = ["sim", "--quiet", "--exit-with-stdin", "--faults", FAULTS, "--inst", *inst_ids]
    child = start_child(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdin is not None and child.stdout is not None  # both are pipes
        announced = child.stdout.readline()
        if not announced:
            raise L2VaultError("the built-in exchange did not start.", "l2vault sim, to see why")
        addresses = json.loads(announced)
        yield DemoExchange(addresses["ws_url"], addresses["rest_url"])
    finally:
        end_with_stdin(child, STOP_WITHIN_SEC)
