"""`l2vault screen`: the vault in a browser on this machine, live and past."""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Final

from l2vault import allocator
from l2vault.clock import Clock
from l2vault.errors import L2VaultError, extra
from l2vault.foreign import quoted
from l2vault.own_process import is_own
from l2vault.recording.child import end_with_stdin, start_child
from l2vault.vault.reading.vault import open_vault
from l2vault.verbs.context import Context
from l2vault.verbs.record import DEMO_VAULT

HELP: Final = "show the vault in the browser: liquidity over time, its holes, walls, the live book"
EXAMPLE: Final = "l2vault screen --vault Vault"
PORT: Final = 8420

_MOST_PORT: Final = 65535
_BEGUN_WITHIN_SEC: Final = 30.0
_LOOK_SEC: Final = 0.2
_STOP_WITHIN_SEC: Final = 20.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument(
        "--port", type=_port, default=PORT, help=f"port to listen on; 0 takes a free one (default: {PORT})"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; beyond this machine a token is needed, which is printed (default: 127.0.0.1)",
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    own = "where hours that were read are kept for the next start, 1 GB at most (default: the user's folder for caches)"
    parser.add_argument("--cache", metavar="DIR", help=own)
    parser.add_argument("--no-cache", action="store_true", help="keep nothing on disk")
    parser.add_argument(
        "--demo", action="store_true", help="record the built-in exchange into demo/ beside it, no network needed"
    )


def run(context: Context, args: argparse.Namespace) -> int:
    if is_own():
        allocator.begin_anew()
    allocator.keep_little()
    with extra("screen"):
        from l2vault.web.serve import serve
    vault = DEMO_VAULT if args.demo and not context.is_vault_named else context.vault

    def ready(address: str) -> None:
        sys.stdout.write(f"the screen is at {address}\nCtrl-C stops it.\n")
        sys.stdout.flush()
        if not args.no_browser:
            import webbrowser

            with suppress(OSError, webbrowser.Error):
                webbrowser.open(address)

    with _ended_by_sigterm(), _demo_recorder(vault) if args.demo else nullcontext():
        open_vault(vault)  # says at once that there is none
        cache = None if args.no_cache else Path(args.cache) if args.cache else _cache_of(vault)
        asyncio.run(serve(vault, args.host, args.port, cache, ready, Clock()))
    return 0


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the process as Ctrl-C does, by an exception, so that the demo's recorder ends with it: uvicorn
    raises the signal again once it has stopped, and its default would end the process at once."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _demo_recorder(vault: Path) -> Iterator[None]:
    """`l2vault record --demo` as a child, from its first line on; it stops in the end, or when this process dies."""
    log = vault.with_name(f"{vault.name}_recorder.log")
    words = ["record", "--demo", "--exit-with-stdin", "--vault", str(vault), "--log-file", str(log)]
    child = start_child(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_books(vault, child, log)
        yield
    finally:
        end_with_stdin(child, _STOP_WITHIN_SEC)


def _wait_for_books(vault: Path, child: "subprocess.Popen[bytes]", log: Path) -> None:
    clock = Clock()
    end_ms = clock.monotonic_ms() + _BEGUN_WITHIN_SEC * 1000
    while child.poll() is None and clock.monotonic_ms() < end_ms:
        with suppress(L2VaultError):
            if open_vault(vault).instruments():
                return
        time.sleep(_LOOK_SEC)
    raise L2VaultError("the demo's recorder did not begin.", f"{log}, for why; another one may be at work in {vault}")


def _cache_of(vault: Path) -> Path:
    """Beside other programs' caches, not in the vault: that is the recorder's. One folder for each vault."""
    home = Path.home()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("CACHE_DIRECTORY") or os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    name = sha256(os.fsencode(vault.resolve())).hexdigest()[:16]
    return Path(base) / "l2vault" / "tiles" / name


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if not 0 <= port <= _MOST_PORT:
        raise argparse.ArgumentTypeError(f"{quoted(text, 64)} is no port; 0 takes a free one")
    return port
