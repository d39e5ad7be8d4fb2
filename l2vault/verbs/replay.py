"""`l2vault replay`: a vault as OKX, for any client of it, and with tardis-machine's routes for clients of those."""

import argparse
import asyncio
import math
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from l2vault.api.vault import span_within
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.reading.vault import Vault, open_vault
from l2vault.vault.store.catalog import Finding
from l2vault.vault.store.names import one_of
from l2vault.verbs.console import set_up_logging, stop_on_signals
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import counted
from l2vault.verbs.sim import pace, port
from l2vault.verbs.words import asked_instruments, configure_instruments, configure_span, wait

if TYPE_CHECKING:
    from l2vault.replay.tardis.routes import TardisRoutes
    from l2vault.replay.timeline import Replayed
    from l2vault.sim.server.options import SimOptions
    from l2vault.sim.server.server import Addresses

HELP: Final = "serve a span of a vault as OKX's websocket and REST, and a vault to Tardis clients, on 127.0.0.1"
EXAMPLE: Final = "l2vault replay BTC-USDT-SWAP --vault Vault --last 1h --speed 10"

_SHOWN: Final = 5
"""Lines that do not read and are named."""
_MADE_OF: Final = {
    "changes": "every change",
    "samples": "sampled books",
    "both": "every change where it was recorded, sampled books elsewhere",
}


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "instruments of the vault (default: all)")
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    configure_span(parser)
    parser.add_argument("--speed", type=pace, default=1.0, metavar="X", help="1, 10, ... or max (default: 1)")
    parser.add_argument(
        "--hold",
        type=wait,
        default=1.0,
        metavar="SEC",
        help="wait from first subscription to start: seconds, or 500ms (default: 1)",
    )
    parser.add_argument(
        "--port",
        type=port,
        default=0,
        help="websocket port; also of /ws-replay and /ws-replay-normalized (default: a free one)",
    )
    parser.add_argument(
        "--rest-port",
        type=port,
        default=0,
        help="REST port; also of /replay and /replay-normalized (default: a free one)",
    )


def run(context: Context, args: argparse.Namespace) -> int:
    """0 once the span has been played to its end, or Ctrl-C has ended it."""
    from l2vault.replay.tardis.routes import TardisRoutes
    from l2vault.replay.timeline import replay_of
    from l2vault.sim.server.options import SimOptions

    vault = open_vault(context.vault)
    inst_ids = _instruments(vault, args)
    span = _span(vault, inst_ids, args)
    speed = None if args.speed == math.inf else args.speed
    options = SimOptions(port=args.port, rest_port=args.rest_port, speed=speed, hold_sec=args.hold, once=True)
    findings: list[Finding] = []
    replayed = replay_of(vault, inst_ids, span, findings.append)
    sys.stderr.write(_text(replayed, span))
    console = set_up_logging(None, verbose=False)
    try:
        asyncio.run(_serve(options, replayed, TardisRoutes(vault.layout.root, findings.append)))
    finally:
        console.close()
    for finding in findings[:_SHOWN]:
        sys.stderr.write(f"left out: {printable(finding.path)}, byte {finding.offset}: {printable(finding.reason)}\n")
    if len(findings) > _SHOWN:
        sys.stderr.write(f"... and {len(findings) - _SHOWN} more: l2vault verify names them\n")
    return 0


async def _serve(options: "SimOptions", replayed: "Replayed", routes: "TardisRoutes") -> None:
    from l2vault.sim.server.server import serve_simulator

    def announce(addresses: "Addresses") -> None:
        found = {"ws_url": addresses.ws_url, "rest_url": addresses.rest_url}
        sys.stdout.write(document("sim", found))
        sys.stdout.flush()

    stop, finished = asyncio.Event(), threading.Event()
    stop_on_signals(stop, finished)
    try:
        await serve_simulator(options, stop, announce, timeline=replayed.timeline, routes=routes)
    finally:
        finished.set()


def _instruments(vault: Vault, args: argparse.Namespace) -> list[str]:
    held = vault.instruments()
    asked = list(dict.fromkeys(asked_instruments(args))) or held
    unknown = [inst_id for inst_id in asked if inst_id not in held]
    if unknown:
        raise UsageError(f"the vault has no books of {printable(unknown[0])}.", one_of(held))
    if not asked:
        raise VaultError("the vault holds no books.", "l2vault record, or another --vault")
    return asked


def _span(vault: Vault, inst_ids: list[str], args: argparse.Namespace) -> tuple[int, int]:
    first = [found for inst_id in inst_ids if (found := vault.first_line_ms(inst_id)) is not None]
    newest = [found for inst_id in inst_ids if (found := vault.newest_line_ms(inst_id)) is not None]
    if not first or not newest:
        raise VaultError("the vault holds no book that can be read.", "l2vault verify")
    last = None if args.last is None else timedelta(milliseconds=args.last)
    return span_within((min(first), max(newest)), last, args.start, args.end, "book")


def _text(replayed: "Replayed", span: tuple[int, int]) -> str:
    from l2vault.replay.timeline import SAMPLED

    bounds = " to ".join(utc_text(bound)[:19].replace("T", " ") for bound in span)
    lines = [f"{counted(len(replayed.parts), 'instrument')} from {bounds} UTC"]
    for part in replayed.parts:
        beside = ["trades"] if part.has_trades else ["no trades"]
        beside += part.context
        cuts = f"; {counted(part.holes, 'hole')}, each a disconnect with its cause" if part.holes else ""
        lines.append(f"  {part.inst_id}: books from {_MADE_OF[part.books]}; {', '.join(beside)}{cuts}")
    if any(part.books != "changes" for part in replayed.parts):
        lines.append(f"note: {SAMPLED}")
    return "".join(f"{line}\n" for line in lines)
