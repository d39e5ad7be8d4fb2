"""The recorder in a process of its own, watched: times of messages and lines are noted as they pass.

    python benchmarks/probe.py WS_URL REST_URL VAULT LINES SECONDS WARM_UP INST_ID...

Prints one line of JSON. What the hooks cost is in the figures; the processor time of compressing an hour is told apart.
Receive times are those at which the event loop handed over the bytes, before any of the websocket library's work.
"""

import asyncio
import json
import logging
import os
import sys
import time
from collections import deque
from pathlib import Path
from random import Random
from typing import Any, Final

import psutil
from report import percentile
from websockets.asyncio.client import ClientConnection
from websockets.frames import DATA_OPCODES

from l2vault.book.snapshot import Snapshot
from l2vault.clock import Clock
from l2vault.config import Settings
from l2vault.okx.pipeline import Pipeline, Sampled
from l2vault.okx.websocket import Feed
from l2vault.recorder import Recorder
from l2vault.vault import retention
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.writer import LineWriter

CADENCE_MS: Final = 2_000
SAMPLE_SEC: Final = 0.5


class Watch:
    """What has been seen since the warm-up, in milliseconds; apart, what was seen while an hour was compressed."""

    def __init__(self) -> None:
        self.is_warm = False
        self.is_packing = False
        self.packing_cpu_sec = 0.0
        self.applied_ms: list[float] = []
        self.applied_packing_ms: list[float] = []
        self.grid_ms: list[float] = []
        self.due_ms: list[float] = []
        self.due_packing_ms: list[float] = []
        self.messages = 0
        self.due_at: dict[int, int] = {}
        """Exchange time of the message that made a snapshot due, by the snapshot's identity while it lives."""

    def applied(self, latency_ms: float) -> None:
        self.messages += 1
        if self.is_warm:
            (self.applied_packing_ms if self.is_packing else self.applied_ms).append(latency_ms)

    def written(self, snapshot: Snapshot) -> None:
        due_at = self.due_at.pop(id(snapshot), None)
        if due_at is None or not self.is_warm:
            return
        now_ms = time.time() * 1000
        self.grid_ms.append(now_ms - -(-snapshot.ts_ms // CADENCE_MS) * CADENCE_MS)
        (self.due_packing_ms if self.is_packing else self.due_ms).append(now_ms - due_at)


def hook(watch: Watch) -> None:
    """Only what has a beginning and an end in the recorder's own terms is wrapped; nothing of it is replaced."""
    _hook_wire(watch)
    _hook_disk(watch)


def _hook_wire(watch: Watch) -> None:
    process_event, read, receive = ClientConnection.process_event, Feed._read, Pipeline.receive
    stamps: dict[Pipeline, deque[int]] = {}

    def seen_event(self: ClientConnection, event: Any) -> None:
        if getattr(event, "opcode", None) in DATA_OPCODES:
            self.__dict__.setdefault("stamps", deque()).append(time.perf_counter_ns())
        process_event(self, event)

    async def seen_read(self: Feed, websocket: ClientConnection) -> str:
        stamps[self._pipeline] = websocket.__dict__.setdefault("stamps", deque())
        return await read(self, websocket)

    def seen_receive(self: Pipeline, frame: bytes, now_ms: int, recv_us: int = 0) -> Any:
        outputs = receive(self, frame, now_ms, recv_us)
        watch.applied((time.perf_counter_ns() - stamps[self].popleft()) / 1e6)
        for output in outputs:
            if isinstance(output, Sampled):
                book = self._books[output.snapshot.inst_id]
                if book is not None and book.ts_ms is not None:
                    watch.due_at[id(output.snapshot)] = book.ts_ms
        return outputs

    ClientConnection.process_event = seen_event  # type: ignore[method-assign]
    Feed._read = seen_read  # type: ignore[method-assign]
    Pipeline.receive = seen_receive  # type: ignore[method-assign]


def _hook_disk(watch: Watch) -> None:
    append, compress = LineWriter.append, retention.compress

    def seen_append(self: LineWriter, snapshot: Snapshot) -> None:
        append(self, snapshot)
        watch.written(snapshot)

    def seen_compress(plain: Path) -> Any:
        watch.is_packing, cpu_before = True, time.thread_time()
        try:
            return compress(plain)
        finally:
            watch.packing_cpu_sec += time.thread_time() - cpu_before
            watch.is_packing = False

    LineWriter.append = seen_append  # type: ignore[method-assign]
    retention.compress = seen_compress


async def main() -> None:
    ws_url, rest_url, vault, lines, seconds, warm_up = sys.argv[1:7]
    watch, stop = Watch(), asyncio.Event()
    hook(watch)
    settings = Settings(instruments=tuple(sys.argv[7:]), feeds=int(lines), ws_url=(ws_url,), rest_url=rest_url)
    recorder = Recorder(settings, Layout(Path(vault)), Clock(), Random(1), lambda status: None)
    recording = asyncio.create_task(recorder.run(stop))
    await asyncio.sleep(float(warm_up))
    watch.is_warm = True
    process, peak_bytes = psutil.Process(), 0
    began, cpu_before, messages_before = time.perf_counter(), time.process_time(), watch.messages
    while (lasted := time.perf_counter() - began) < float(seconds):
        peak_bytes = max(peak_bytes, process.memory_info().rss)
        await asyncio.sleep(SAMPLE_SEC)
    cpu_sec = time.process_time() - cpu_before - watch.packing_cpu_sec
    messages = watch.messages - messages_before
    watch.is_warm = False
    stop.set()
    await recording
    sys.stdout.write(json.dumps(_result(watch, peak_bytes, cpu_sec, lasted, messages)) + "\n")


def _result(watch: Watch, peak_bytes: int, cpu_sec: float, lasted: float, messages: int) -> dict[str, Any]:
    return {
        "peak_mb": peak_bytes / 1e6,
        "cpu_share": cpu_sec / lasted,
        "messages_per_sec": messages / lasted,
        "lines": len(watch.due_ms) + len(watch.due_packing_ms),
        "packing_cpu_sec": watch.packing_cpu_sec,
        "applied_ms": _percentiles(watch.applied_ms + watch.applied_packing_ms),
        "applied_packing_ms": _percentiles(watch.applied_packing_ms),
        "grid_ms": _percentiles(watch.grid_ms),
        "due_ms": _percentiles(watch.due_ms + watch.due_packing_ms),
        "due_packing_ms": _percentiles(watch.due_packing_ms),
    }


def _percentiles(values: list[float]) -> list[float] | None:
    """p50, p99 and the most."""
    return [percentile(values, 50), percentile(values, 99), max(values)] if values else None


if __name__ == "__main__":
    logging.basicConfig(filename=os.devnull, level=logging.INFO)  # what the recorder logs is formatted, as it is in use
    asyncio.run(main())
