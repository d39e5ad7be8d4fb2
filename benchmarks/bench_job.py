"""The whole job at OKX's pace: the recorder against the built-in exchange, each in a process of its own.

Resident memory, processor share, bytes written and latencies of 2, 50 and 300 instruments on one and two lines, a line
every 2 s, while retention compresses an hour that stands in the vault.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from material import INST_ID
from venvs import ROOT

from l2vault.sim.exchange.instruments import known_inst_ids
from l2vault.vault.store.layout import HOUR_MS, Layout

WARM_UP_SEC: Final = 15
CONFIGURATIONS: Final = ((2, 1), (2, 2), (50, 1), (50, 2), (300, 1), (300, 2))
QUICK: Final = ((2, 2), (300, 1))


@dataclass(frozen=True, slots=True)
class Job:
    """One configuration's run; latencies are p50, p99 and the most, in ms."""

    instruments: int
    lines: int
    seconds: float
    exchange_share: float
    """Of a core, the exchange's: near 1 it would be the exchange that is measured."""
    written_mb: float
    peak_mb: float
    cpu_share: float
    messages_per_sec: float
    snapshots: int
    packing_cpu_sec: float
    applied_ms: list[float]
    applied_packing_ms: list[float] | None
    grid_ms: list[float]
    due_ms: list[float]
    due_packing_ms: list[float] | None


def measure_jobs(configurations: tuple[tuple[int, int], ...], seconds: float, hour: bytes) -> list[Job]:
    jobs = []
    for instruments, lines in configurations:
        print(f"whole job: {instruments} instruments, {lines} line(s), {seconds:.0f} s", flush=True)
        jobs.append(_run(instruments, lines, seconds, hour))
    return jobs


def _run(instruments: int, lines: int, seconds: float, hour: bytes) -> Job:
    inst_ids = known_inst_ids(instruments)
    with tempfile.TemporaryDirectory() as folder, _exchange(instruments) as (at, exchange):
        vault = Path(folder, "vault")
        old_file = _put_old_hour(vault, hour)
        words = [at["ws_url"], at["rest_url"], str(vault), str(lines), str(seconds), str(WARM_UP_SEC), *inst_ids]
        command = [sys.executable, str(ROOT / "benchmarks" / "probe.py"), *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as recorder:
            time.sleep(WARM_UP_SEC)
            before, began = exchange.cpu_times(), time.monotonic()
            time.sleep(seconds)
            after, lasted = exchange.cpu_times(), time.monotonic() - began
            said, _ = recorder.communicate(timeout=120)
        written = sum(
            path.stat().st_size for path in vault.rglob("raw/**/*.jsonl*") if not path.name.startswith(old_file.name)
        )
    busy = after.user + after.system - before.user - before.system
    result: dict[str, Any] = json.loads(said)
    snapshots = result.pop("lines")
    return Job(instruments, lines, seconds, busy / lasted, written / 1e6, snapshots=snapshots, **result)


@contextmanager
def _exchange(instruments: int) -> Iterator[tuple[dict[str, str], psutil.Process]]:
    words = [sys.executable, "-m", "l2vault", "sim", "--quiet", "--exit-with-stdin", "--inst", str(instruments)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as exchange:
        assert exchange.stdin is not None and exchange.stdout is not None
        try:
            yield json.loads(exchange.stdout.readline()), psutil.Process(exchange.pid)
        finally:
            exchange.stdin.close()


def _put_old_hour(vault: Path, hour: bytes) -> Path:
    """An hour that ended long enough ago for the recorder's own retention, a minute after its start, to compress it."""
    hour_ms = (time.time_ns() // 1_000_000 // HOUR_MS - 10) * HOUR_MS
    path = Layout(vault).hour_file(INST_ID, hour_ms)
    path.parent.mkdir(parents=True)
    path.write_bytes(hour)
    os.utime(path, (hour_ms / 1000 + 3600, hour_ms / 1000 + 3600))
    return path
