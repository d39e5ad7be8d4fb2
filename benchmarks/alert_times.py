"""Seconds from a harm until a receiver has the alert, with the real processes: `l2vault sim`, `record` and `alert run`.

    python benchmarks/alert_times.py [--rounds 3] [--harm NAME ...] [--disk DIR]

Each harm befalls a recorder of two instruments with two feeds that has been healthy for 15 s; the receiver is a webhook
on 127.0.0.1, the alerts are those of docs/alerts.md with the default `for`. `--disk`: an empty file system of 1.2 to
4 GB of its own, which is filled (docs/alerts.md says how to make one);
without it the full disk is left out, and it says so. The clock is set for the processes alone: what Python gives as
time of day is shifted. Exits with 1 where an alert took more than a minute, or none came in two.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from shutil import disk_usage
from statistics import median
from typing import Final
from urllib.parse import urlsplit

INSTRUMENTS: Final = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
RULES: Final = ("recorder absent", "feed down", "hole longer than 30s", "disk days below 3", "clock off by 1s")
SETTLED_SEC: Final = 15
WITHIN_SEC: Final = 60
GIVEN_UP_SEC: Final = 120
STEP_SEC: Final = 7
SHIFTED: Final = """
import os, time

_of_day, _of_day_ns, _path = time.time, time.time_ns, os.environ["CLOCK_SHIFT"]

def _shift():
    try:
        with open(_path) as file:
            return int(file.read())
    except OSError:
        return 0

time.time = lambda: _of_day() + _shift()
time.time_ns = lambda: _of_day_ns() + _shift() * 1_000_000_000
"""
"""`sitecustomize.py` of the processes. libfaketime would do the same, but under it waiting threads stall: in our trials
recorders stood still for 8 to 34 s, before the clock was set too."""
_BEGUN_WITHIN_SEC: Final = 60
_LEAST_FREE: Final = 1_100_000_000
_MOST_FREE: Final = 4_000_000_000


class Inbox:
    """A webhook on 127.0.0.1: what fired, and when it was received (monotonic)."""

    def __init__(self) -> None:
        self.fired: list[tuple[float, str]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if said["state"] == "firing":
                    inbox.fired.append((time.monotonic(), said["alert"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Line:
    """The recorder's way to the exchange: a connection can be cut, and new ones be refused from then on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_cut = False
        self._open: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        serving = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut_one(self) -> None:
        """The first connection, for good."""
        self._is_cut = True
        self._loop.call_soon_threadsafe(self._open[0].transport.abort)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        self._open.append(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
        except OSError:
            writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    finally:
        writer.transport.abort()


class Life:
    """The processes of one round in `folder`, the vault in `vault`."""

    def __init__(self, stack: ExitStack, folder: Path, vault: Path) -> None:
        self._stack, self._folder = stack, folder
        self.vault = vault
        (folder / "sitecustomize.py").write_text(SHIFTED)
        self._shift = folder / "shift"
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._shifted = {"PYTHONPATH": os.pathsep.join(paths), "CLOCK_SHIFT": str(self._shift)}
        self.exchange = self._start("sim", "--inst", *INSTRUMENTS, stdout=subprocess.PIPE, env={})
        assert self.exchange.stdout is not None
        said = json.loads(self.exchange.stdout.readline())
        ws = urlsplit(said["ws_url"])
        self.line = Line(ws.port or 0)
        stack.callback(self.line.close)
        ws_url = ws._replace(netloc=f"127.0.0.1:{self.line.port}").geturl()
        where = ["--ws-url", ws_url, "--rest-url", said["rest_url"], "--log-file", str(folder / "record.log")]
        self.recorder = self._start("record", *INSTRUMENTS, "--vault", str(vault), *where, env=self._shifted)
        self.inbox = Inbox()
        stack.callback(self.inbox.close)
        settings = folder / "alerts.toml"
        settings.write_text("".join(f'[[alert]]\nwhen = "{when}"\nwebhook = "${{ALERT_URL}}"\n' for when in RULES))
        self._wait_until_healthy()
        told = {**self._shifted, "ALERT_URL": self.inbox.url}
        self._start("alert", "run", "--config", str(settings), "--vault", str(vault), env=told)
        time.sleep(SETTLED_SEC)
        if self.inbox.fired:
            raise SystemExit(f"an alert before any harm: {self.inbox.fired}")

    def step_clock(self) -> None:
        new = self._shift.with_suffix(".new")
        new.write_text(str(STEP_SEC))
        new.replace(self._shift)

    def fill_disk(self) -> None:
        """To the last byte, and hold it so."""
        fill = self.vault.parent / "fill"
        self._stack.callback(fill.unlink, missing_ok=True)
        with fill.open("wb", buffering=0) as file:
            for size in (1 << 24, 1 << 16, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)

    def _wait_until_healthy(self) -> None:
        end = time.monotonic() + _BEGUN_WITHIN_SEC
        while time.monotonic() < end:
            with suppress(OSError, ValueError, KeyError):
                said = json.loads((self.vault / "meta" / "okx" / "health.json").read_bytes())
                is_clocked = said["clock"]["offset_ms"] is not None
                if is_clocked and all(one["state"] == "in sync" for one in said["instruments"]):
                    return
            time.sleep(0.2)
        raise SystemExit(f"the recorder did not become healthy: {self._folder / 'record.log'}")

    def _start(self, *words: str, env: Mapping[str, str], stdout: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
        asked = [sys.executable, "-m", "l2vault", *words]
        child = subprocess.Popen(asked, env={**os.environ, **env}, stdout=stdout, stderr=subprocess.DEVNULL, text=True)
        self._stack.callback(_end, child)
        return child


def _end(child: "subprocess.Popen[str]") -> None:
    with suppress(ProcessLookupError):
        child.send_signal(signal.SIGCONT)
    child.kill()
    child.wait()


HARMS: Final[dict[str, tuple[Callable[[Life], object], str]]] = {
    "recorder killed (SIGKILL)": (lambda life: life.recorder.kill(), "recorder absent"),
    "recorder stopped (SIGSTOP)": (lambda life: life.recorder.send_signal(signal.SIGSTOP), "recorder absent"),
    "disk full": (Life.fill_disk, "disk days below 3"),
    "clock set by 7 s": (Life.step_clock, "clock off by 1s"),
    "one feed lost": (lambda life: life.line.cut_one(), "feed down"),
    "both feeds lost: exchange killed": (lambda life: life.exchange.kill(), "feed down"),
    "both feeds silent: exchange stopped": (lambda life: life.exchange.send_signal(signal.SIGSTOP), "feed down"),
}


@contextmanager
def begun(disk: Path | None) -> Iterator[Life]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        vault = (folder if disk is None else Path(stack.enter_context(tempfile.TemporaryDirectory(dir=disk)))) / "Vault"
        yield Life(stack, folder, vault)


def took(name: str, args: argparse.Namespace) -> tuple[float | None, list[str]]:
    """Seconds until the alert of a harm was received, and all that was by then."""
    befall, alert = HARMS[name]
    with begun(args.disk if name == "disk full" else None) as life:
        start = time.monotonic()
        befall(life)
        while time.monotonic() < start + GIVEN_UP_SEC:
            found = next((at for at, fired in life.inbox.fired if fired == alert), None)
            if found is not None:
                return found - start, [f"{fired} {at - start:.0f} s" for at, fired in life.inbox.fired]
            time.sleep(0.1)
        return None, [f"{fired} {at - start:.0f} s" for at, fired in life.inbox.fired]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--harm", action="append", choices=HARMS, help="only this; may come again")
    parser.add_argument("--disk", type=Path, help="an empty file system of its own, to be filled")
    args = parser.parse_args(words)
    if args.disk is not None and not _LEAST_FREE < disk_usage(args.disk).free < _MOST_FREE:
        raise SystemExit(f"{args.disk} must have 1.2 to 4 GB free, and be a file system of its own")
    is_bad = False
    for name in args.harm or HARMS:
        if name == "disk full" and args.disk is None:
            print(f"{name:38} left out: no --disk", flush=True)
            continue
        rounds = [took(name, args) for _ in range(args.rounds)]
        times = [each for each, _ in rounds if each is not None]
        is_bad |= len(times) < len(rounds) or max(times) > WITHIN_SEC
        text = f"{min(times):3.0f} {median(times):3.0f} {max(times):3.0f} s" if times else "never"
        print(f"{name:38} {HARMS[name][1]:20} {text}   {[fired for _, fired in rounds]}", flush=True)
    return 1 if is_bad else 0


if __name__ == "__main__":
    sys.exit(main())
