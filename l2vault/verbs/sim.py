"""`l2vault sim`: an OKX of our own on this machine, from captures or from a market model."""

import argparse
import asyncio
import logging
import math
import sys
import threading
from pathlib import Path
from typing import Final

from l2vault.errors import UsageError
from l2vault.foreign import quoted
from l2vault.sim.exchange.instruments import known_inst_ids
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.archive import parse_archive_faults
from l2vault.sim.server.options import SimOptions
from l2vault.sim.server.server import Addresses, serve_simulator
from l2vault.verbs.console import set_up_logging, stop_on_signals, stop_with_stdin
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.words import asked_instruments, at_least_1, configure_instruments, offset, stay, wait

HELP: Final = "run an exchange of our own on 127.0.0.1 that speaks OKX's v5 websocket and REST"
EXAMPLE: Final = "l2vault sim --port 9443 --inst BTC-USDT-SWAP ETH-USDT-SWAP"
DEFAULT_INSTRUMENTS: Final = ("BTC-USDT-SWAP", "ETH-USDT-SWAP")
MOST_INSTRUMENTS: Final = 300

_OF_A_MARKET: Final = ("seed",)
_OF_A_REPLAY: Final = ("verbatim", "speed", "hold", "once")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=port, default=0, help="websocket port (default: a free one)")
    parser.add_argument("--rest-port", type=port, default=0, help="REST port (default: a free one)")
    parser.add_argument("--replay", type=Path, nargs="+", default=[], metavar="FILE", help="captures, merged by time")
    parser.add_argument("--verbatim", action="store_true", default=None, help="add no sequence numbers to old frames")
    parser.add_argument("--speed", type=pace, metavar="X", help="pace of a replay: 1, 10, ... or max (default: 1)")
    parser.add_argument(
        "--hold",
        type=wait,
        metavar="SEC",
        help="wait from first subscription to start: seconds, or 500ms (default: 1)",
    )
    configure_instruments(parser, "instruments to serve, or how many (default: BTC-USDT-SWAP ETH-USDT-SWAP)")
    parser.add_argument("--seed", type=int, help="seed of the made-up market (default: 0)")
    parser.add_argument("--once", action="store_true", default=None, help="end when the replay has ended")
    parser.add_argument("--faults", metavar="FILE|SPEC", help="faults to inject, as docs/simulator.md lists them")
    parser.add_argument(
        "--clock-offset",
        type=offset,
        default=0.0,
        metavar="SEC",
        help="exchange time ahead of this clock: seconds, or -2m",
    )
    parser.add_argument(
        "--archive",
        type=at_least_1,
        default=0,
        metavar="DAYS",
        help="serve OKX's archive too, of so many days",
    )
    parser.add_argument(
        "--archive-step", type=stay, metavar="SEC", help="between two pushes in it: seconds, or 100ms (default: 2)"
    )
    parser.add_argument("--archive-port", type=port, default=0, help="port of its files (default: a free one)")
    parser.add_argument(
        "--archive-faults", metavar="KIND=NAMES", help="such as torn=*2026-01-02*, as docs/simulator.md lists them"
    )
    parser.add_argument("--compression", action="store_true", help="offer permessage-deflate")
    parser.add_argument("--quiet", action="store_true", help="log warnings only")
    parser.add_argument("--exit-with-stdin", action="store_true", help=argparse.SUPPRESS)


def run(context: Context, args: argparse.Namespace) -> int:
    _refuse_what_means_nothing(args)
    options = SimOptions(
        port=args.port,
        rest_port=args.rest_port,
        replay=tuple(args.replay),
        verbatim=bool(args.verbatim),
        speed=None if args.speed == math.inf else args.speed or 1.0,
        hold_sec=1.0 if args.hold is None else args.hold,
        inst_ids=_inst_ids(asked_instruments(args)),
        seed=args.seed or 0,
        has_whales=True,
        once=bool(args.once),
        compression=args.compression,
        clock_offset_sec=args.clock_offset,
        faults=None if args.faults is None else parse_faults(args.faults),
        archive_days=args.archive,
        archive_step_ms=max(1, 2_000 if args.archive_step is None else args.archive_step),
        archive_port=args.archive_port,
        archive_faults=parse_archive_faults(args.archive_faults) if args.archive_faults else (),
    )
    console = set_up_logging(None, verbose=False)
    if args.quiet:
        logging.getLogger().setLevel(logging.WARNING)
    try:
        asyncio.run(_serve(options, args.exit_with_stdin))
    finally:
        console.close()
    return 0


async def _serve(options: SimOptions, exit_with_stdin: bool) -> None:
    stop = asyncio.Event()
    finished = threading.Event()
    if exit_with_stdin:
        stop_with_stdin(stop)
    else:
        stop_on_signals(stop, finished)
    try:
        await serve_simulator(options, stop, _announce)
    finally:
        finished.set()


def _announce(addresses: Addresses) -> None:
    found = {name: value for name, value in addresses._asdict().items() if value is not None}
    sys.stdout.write(document("sim", found))
    sys.stdout.flush()


def _refuse_what_means_nothing(args: argparse.Namespace) -> None:
    where, cure = "without --replay", "--replay FILE too, or leave it out"
    if args.replay:
        where, cure = "with --replay", "leave it out: the captures say what there is"
    if args.replay and asked_instruments(args):
        raise UsageError(f"an instrument means nothing {where}.", cure)
    for name in _OF_A_MARKET if args.replay else _OF_A_REPLAY:
        if getattr(args, name) is not None:
            raise UsageError(f"--{name} means nothing {where}.", cure)


def _inst_ids(words: list[str]) -> tuple[str, ...]:
    if not words:
        return DEFAULT_INSTRUMENTS
    if len(words) == 1 and words[0].isascii() and words[0].isdigit():
        count = int(words[0][:10])
        if not 1 <= count <= MOST_INSTRUMENTS:
            raise UsageError(f"--inst {count} is out of range.", f"1 to {MOST_INSTRUMENTS}, or names")
        return tuple(known_inst_ids(count))
    return tuple(dict.fromkeys(words))


def port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{quoted(text, 64)} is no port; 0 takes a free one")
    return port


def pace(text: str) -> float:
    """Infinite for `max`."""
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = 0.0
    if not speed > 0:
        raise argparse.ArgumentTypeError(f"{quoted(text, 64)} is no pace; say 1, 10, ... or max")
    return speed
