"""`l2vault record`: the main job."""

import argparse
import asyncio
import threading
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from l2vault.clock import Clock
from l2vault.config import Settings
from l2vault.recorder import Recorder
from l2vault.vault.store.layout import Layout
from l2vault.verbs.console import StatusConsole, set_up_logging, stop_on_signals, stop_with_stdin
from l2vault.verbs.context import Context
from l2vault.verbs.words import configure_instruments, seconds

HELP: Final = "record order books of OKX perpetual swaps into the vault until Ctrl-C"
EXAMPLE: Final = "l2vault record --inst BTC-USDT-SWAP --inst ETH-USDT-SWAP --cadence 2 --vault Vault"
DEMO_VAULT: Final = Path("demo")
"""Made-up books must never get among real ones."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vault", type=Path, metavar="DIR", help="where the files go (default: Vault)")
    configure_instruments(parser, "swaps to record (default: BTC-USDT-SWAP ETH-USDT-SWAP)", is_setting=True)
    parser.add_argument("--cadence", dest="cadence_sec", metavar="SEC", help="seconds between lines (default: 2)")
    parser.add_argument("--depth", metavar="N", help="levels a side, 1 to 400 (default: 400)")
    parser.add_argument("--feeds", metavar="N", help="connections with the same books, compared (default: 2)")
    parser.add_argument("--changes", action="store_const", const=True, help="keep every push of the books too")
    words = "sample the book of 5000 levels of this swap each 30 s; may be given again (default: of none)"
    parser.add_argument("--deep", nargs="+", action="append", metavar="INST", help=words)
    words = "sample the book with the RPI orders of this swap each 30 s; may be given again (default: of none)"
    parser.add_argument("--rpi", nargs="+", action="append", metavar="INST", help=words)
    parser.add_argument("--lines", dest="lines", help=argparse.SUPPRESS)
    parser.add_argument(
        "--no-trades", dest="trades", action="store_const", const=False, help="record no trades (default: record them)"
    )
    words = "without mark, index, funding, open interest and limits (default: these too)"
    parser.add_argument("--no-context", dest="context", action="store_const", const=False, help=words)
    words = "make no column files of closed hours (default: make them where the analysis extra is installed)"
    parser.add_argument("--no-columns", dest="columns", action="store_const", const=False, help=words)
    parser.add_argument("--region", metavar="NAME", help="global (default), eea, us or demo-trading")
    parser.add_argument("--ws-url", metavar="URL", help="another websocket address, such as l2vault sim's")
    parser.add_argument("--rest-url", metavar="URL", help="another REST address")
    parser.add_argument("--log-file", metavar="FILE", help="where the log goes (default: l2_exporter.log)")
    parser.add_argument("--duration", type=seconds, metavar="SEC", help="stop after this time: seconds, or 90s, 5m, 2h")
    parser.add_argument("--demo", action="store_true", help="record from the built-in exchange, no network needed")
    parser.add_argument("--exit-with-stdin", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--verbose", action="store_true", help="log every line written")


def run(context: Context, args: argparse.Namespace) -> int:
    settings = context.settings
    with ExitStack() as stack:
        if args.demo:
            from l2vault.verbs.demo import demo_exchange

            exchange = stack.enter_context(demo_exchange(settings.instruments))
            settings = msgspec.structs.replace(settings, ws_url=(exchange.ws_url,), rest_url=exchange.rest_url)
        vault = DEMO_VAULT if args.demo and not context.is_vault_named else context.vault
        console = set_up_logging(Path(settings.log_file), args.verbose)
        stack.callback(console.close)
        asyncio.run(_record(settings, vault, console, args.duration, args.exit_with_stdin))
    return 0


async def _record(
    settings: Settings, vault: Path, console: StatusConsole, duration_sec: float | None, exit_with_stdin: bool
) -> None:
    stop = asyncio.Event()
    finished = threading.Event()
    reasons = ["asked to stop"]
    stop_on_signals(stop, finished)
    if exit_with_stdin:
        stop_with_stdin(stop)

    def end() -> None:
        if not stop.is_set():
            reasons.append("as long as asked")
            stop.set()

    if duration_sec is not None:
        asyncio.get_running_loop().call_later(duration_sec, end)
    try:
        recorder = Recorder(settings, Layout(vault), Clock(), Random(), console.show)  # jitter only
        await recorder.run(stop, lambda: reasons[-1])
    finally:
        finished.set()
