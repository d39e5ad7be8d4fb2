"""`l2vault fetch`: files of OKX's own archive into the vault, where `backfill`, `audit` and `repair` find them."""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from filelock import Timeout

from l2vault.book.utc import DAY_MS
from l2vault.clock import Clock
from l2vault.config import LONGEST_INST_ID, SWAP
from l2vault.errors import RestError, UsageError, VaultError
from l2vault.foreign import printable, quoted
from l2vault.history.download import Downloader, Source
from l2vault.history.hosts import Hosts
from l2vault.history.index import Offer, ask_index
from l2vault.history.naming import CUSTOMARY_BYTES, OKX_HOST, WHATS, Wanted, wanted_files
from l2vault.history.shelf import Shelf
from l2vault.okx.hosts import addresses
from l2vault.okx.rest import Forbidden, OkxRest, Unavailable
from l2vault.vault.retention.run import locked
from l2vault.vault.store.layout import Layout
from l2vault.verbs.context import Context
from l2vault.verbs.format import counted, progress_bar, size_text, span_text
from l2vault.verbs.words import asked_instruments, configure_instruments, moment

HELP: Final = "fetch days of OKX's own archive: books, trades or funding of before the recording"
EXAMPLE: Final = "l2vault fetch BTC-USDT-SWAP --from 2026-11-20 --to 2026-11-22"
ASKS_ABOVE_BYTES: Final = 5_000_000_000
SAMPLE_BYTES: Final = 48_000_000
"""Of books that many bytes are many full books, enough for an audit, where a day has 300 to 600 MB."""

_TIMEOUT_SEC: Final = 30.0
_MEGABYTE: Final = 1_000_000
_LONGEST_MS: Final = 3_700 * DAY_MS
_MOST_SHOWN: Final = 8


class _Job(NamedTuple):
    """A file to fetch, from where, and about how many bytes of it lack."""

    wanted: Wanted
    source: Source
    size_bytes: int


def configure(parser: argparse.ArgumentParser) -> None:
    configure_instruments(parser, "swaps whose days are wanted")
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault); it may be a new folder")
    configure_days(parser)
    parser.add_argument(
        "--what", choices=WHATS, default="books400", help="books400 (default), books5000, trades or funding"
    )
    words = "files of whole months, of trades (OKX's index keeps ten) and funding (with --older)"
    parser.add_argument("--monthly", action="store_true", help=words)
    parser.add_argument(
        "--older", action="store_true", help="what the index lacks from its documented address, labelled unlisted"
    )
    parser.add_argument("--sampled", action="store_true", help="only the first 48 MB of a file of books, for an audit")
    parser.add_argument("--yes", action="store_true", help="fetch more than 5 GB without being asked")
    parser.add_argument("--region", metavar="NAME", help="whose index: global (default), eea or us")
    parser.add_argument("--rest-url", metavar="URL", help="another REST address, such as l2vault sim's")


def configure_days(parser: argparse.ArgumentParser, is_needed: bool = True) -> None:
    """`--from D --to D`, days of UTC, both included."""
    parser.add_argument(
        "--from", dest="start", type=moment, metavar="D", required=is_needed, help="the first day, UTC: 2026-11-20"
    )
    parser.add_argument(
        "--to", dest="end", type=moment, metavar="D", help="the last day, included (default: the first)"
    )


def asked_days(args: argparse.Namespace) -> tuple[int, int]:
    """Half-open, from the midnight before the first day to the one behind the last. Raises UsageError."""
    end = args.start if args.end is None else args.end
    span = args.start // DAY_MS * DAY_MS, end // DAY_MS * DAY_MS + DAY_MS
    if not 0 < span[1] - span[0] <= _LONGEST_MS:
        raise UsageError("--to is a day before --from, or ten years behind it.", "--from with the first of the days")
    return span


def run(context: Context, args: argparse.Namespace) -> int:
    """0 if all that was asked for is here, 1 if a day is not to be had."""
    inst_ids = _asked(args)
    layout, clock, settings = Layout(context.vault), Clock(), context.settings
    shelf, span, hosts = Shelf(layout), asked_days(args), Hosts(settings.archive_hosts)
    wanted = [each for inst_id in inst_ids for each in wanted_files(args.what, inst_id, span, by_month=args.monthly)]
    lacking = list({each.name: each for each in wanted if not _is_here(shelf, each, args.sampled)}.values())
    loader = Downloader(shelf, hosts, _TIMEOUT_SEC, time.sleep, clock.wall_text)
    place = addresses(settings.region, (), settings.rest_url)
    offers, refused = ask_index(OkxRest(place.rest_url, _TIMEOUT_SEC, place.headers), lacking, time.sleep)
    found = {
        each: _listed(offers[each]) if each in offers else _unlisted(loader, hosts, each) if args.older else None
        for each in lacking
    }
    jobs = [job for job in found.values() if job is not None]
    absent = [each for each, job in found.items() if job is None]
    failed: list[RestError] = []
    sys.stderr.write(_cost(jobs, len(wanted) - len(lacking), args.sampled))
    left = [each for each in wanted if each not in found and shelf.part_note(each, args.sampled) is not None]
    if jobs:
        _insist_on_room(shelf, jobs, args)
    if jobs or left:
        with alone_in_archive(layout):
            for each in left:  # a fetch was killed when the file had its name
                shelf.drop_part(each, args.sampled)
            failed = _fetch(loader, jobs, SAMPLE_BYTES if args.sampled else None, clock)
    sys.stdout.write(_told(shelf, wanted, absent, refused, args))
    for error in failed:
        sys.stderr.write(f"l2vault: {error}\n")
    return 1 if absent or failed else 0


def _asked(args: argparse.Namespace) -> list[str]:
    """The instruments. Raises UsageError for options that mean nothing."""
    inst_ids = asked_instruments(args)
    if not inst_ids:
        raise UsageError("fetch needs an instrument.", EXAMPLE)
    for name in inst_ids:
        if len(name) > LONGEST_INST_ID or not SWAP.fullmatch(name):
            cure = "an OKX name such as BTC-USDT-SWAP"
            raise UsageError(
                f"{quoted(name, LONGEST_INST_ID)} is not a perpetual swap, and only those are fetched.", cure
            )
    if args.sampled and not args.what.startswith("books"):
        raise UsageError(f"--sampled means nothing for {args.what}: a zip reads only as a whole.", "leave it out")
    if args.monthly and args.what.startswith("books"):
        raise UsageError("--monthly: OKX has files of a month of trades and funding alone.", "--what trades --monthly")
    return inst_ids


def _listed(offer: Offer) -> _Job:
    size = round(offer.size_mb * _MEGABYTE) or CUSTOMARY_BYTES[offer.wanted.what]
    return _Job(offer.wanted, Source(offer.url, offer.size_mb, "listed"), size)


@contextmanager
def alone_in_archive(layout: Layout) -> Iterator[None]:
    """Whoever writes below `okx_archive` holds the lock of that vault's retention. Raises VaultError."""
    try:
        with locked(layout.okx_archive):
            yield
    except Timeout:
        place = printable(layout.okx_archive.root)
        raise VaultError(f"another fetch, backfill or repair is at work in {place}.", "again when it is done") from None


def _is_here(shelf: Shelf, wanted: Wanted, is_sampled: bool) -> bool:
    return shelf.note(wanted) is not None or (is_sampled and shelf.note(wanted, True) is not None)


def _unlisted(loader: Downloader, hosts: Hosts, wanted: Wanted) -> _Job | None:
    """A file at one of its documented addresses."""
    for path in wanted.addresses:
        url = hosts.base(OKX_HOST) + path
        try:
            size = loader.size_of(url)
        except Forbidden:  # 403 is how OKX's storage says that there is none
            continue
        if size is not None:
            return _Job(wanted, Source(url, 0.0, "unlisted"), size or CUSTOMARY_BYTES[wanted.what])
    return None


def _cost(jobs: Sequence[_Job], here: int, is_sampled: bool) -> str:
    """What it takes, before it begins."""
    if not jobs:
        return f"{counted(here, 'file')} here already, none to fetch\n" if here else ""
    sizes = [min(job.size_bytes, SAMPLE_BYTES) if is_sampled else job.size_bytes for job in jobs]
    each = f", {size_text(sum(sizes) / len(sizes))} a day" if len(jobs) > 1 else ""
    known = f"; {counted(here, 'file')} here already" if here else ""
    return f"{counted(len(jobs), 'file')} to fetch, {size_text(sum(sizes))}{each}{known}\n"


def _insist_on_room(shelf: Shelf, jobs: Sequence[_Job], args: argparse.Namespace) -> None:
    """Raises VaultError where the disk has no room for it, or where it is much and nobody agreed."""
    need = sum(min(job.size_bytes, SAMPLE_BYTES) if args.sampled else job.size_bytes for job in jobs)
    folder = next(each for each in (shelf.root, *shelf.root.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    more = need - sum(shelf.part_bytes(job.wanted, args.sampled) for job in jobs)
    if more > free:
        raise VaultError(
            f"it takes {size_text(more)}, and {printable(folder)} has {size_text(free)} free.",
            "fewer days, or --sampled",
        )
    if need > ASKS_ABOVE_BYTES and not args.yes and not _agrees(need):
        raise VaultError(
            f"{size_text(need)} is more than 5 GB: nothing was fetched.", "--yes, fewer days, or --sampled"
        )


def _agrees(need: int) -> bool:
    """Asked where somebody can answer."""
    if not sys.stdin or not sys.stdin.isatty():
        return False
    sys.stderr.write(f"Fetch {size_text(need)}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _fetch(loader: Downloader, jobs: Sequence[_Job], sample_bytes: int | None, clock: Clock) -> list[RestError]:
    """Every file that is to be had; returns why others are not. Raises Unavailable: then no other will come either."""
    sizes = [job.size_bytes if sample_bytes is None else min(job.size_bytes, sample_bytes) for job in jobs]
    failed: list[RestError] = []
    came, begun_ms = 0, clock.monotonic_ms()
    with progress_bar() as show:
        for at, job in enumerate(jobs):
            begin = -1

            def progress(here: int, size: int, at: int = at, came: int = came) -> None:
                nonlocal begin
                begin = here if begin < 0 else begin
                a_ms = max(1.0, (came + here - begin) / max(1, clock.monotonic_ms() - begun_ms))
                left = size - here + sum(sizes[at + 1 :])
                what = f"{size_text(1000 * a_ms)}/s, {span_text(round(left / a_ms / 1000) * 1000)} left"
                show(sum(sizes) - left, sum(sizes), f"{jobs[at].wanted.date} {what}")

            try:
                came += loader.fetch(job.wanted, job.source, sample_bytes, progress).size_bytes
            except Unavailable:
                raise
            except RestError as error:
                failed.append(error)
    return failed


def _told(
    shelf: Shelf, wanted: Sequence[Wanted], absent: Sequence[Wanted], refused: str, args: argparse.Namespace
) -> str:
    """What is here now, file by file, and what is not to be had."""
    lines = []
    for each in wanted:
        note = shelf.note(each) or (shelf.note(each, True) if args.sampled else None)
        if note is not None:
            part = ", the first part" if note.is_sample else ""
            lines.append(f"{each.name}  {size_text(note.size_bytes)}  {note.source}{part}")
    if absent:
        names = ", ".join(each.date for each in absent[:_MOST_SHOWN]) + (", ..." if len(absent) > _MOST_SHOWN else "")
        keeps = "10 days" if not args.monthly else "no months of funding" if args.what == "funding" else "10 months"
        why = "nor at their documented addresses" if args.older else f"it keeps {keeps}; --older tries the address"
        lines.append(f"not in OKX's index: {args.what} of {names} ({why})")
        if refused:
            lines.append(f"OKX said: {printable(refused)}")
    return "".join(f"{line}\n" for line in lines)
