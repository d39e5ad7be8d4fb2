"""The verbs that bring history in and out, each on a vault of its own, run as it is typed; and what came of it.

What two runs are compared by: every file beside the locks, byte for byte, and the events of each journal in order.
"""

import io
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from unittest import mock

import msgspec

from l2vault import cli
from l2vault.book.trade import trade_to_line
from l2vault.book.utc import DAY_MS, utc_ms
from l2vault.clock import Clock
from l2vault.history.books import BookDay, Law
from l2vault.history.hours import HourKeeper
from l2vault.sim.server.archive import ArchiveServer
from l2vault.vault.journal.events import Event, HourClosed, Started
from l2vault.vault.journal.log import read_journal, verb_journal
from l2vault.vault.journal.merge_events import Merged, Repaired
from l2vault.vault.journal.trade_events import TradesBegun, TradesHole, TradesMissing
from l2vault.vault.store.digest import digest_of
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.repairs import repaired_spans
from l2vault.vault.store.spans import joined
from support import tiny_archive as tiny
from support.acts import Disk
from support.fetched import put_row
from support.hours import HOUR_AT_MS, at, journal_of, started
from support.pushes import push
from support.vaults import good_vault

AT: Final = "2026-01-05T00:00:00.000Z"
_PASSED_OVER: Final = frozenset({"recorder.json", "l2vault.json", "journal.reserve"})
"""They hold what each run draws anew: who took the vault, whose a place in a store is."""


@dataclass(frozen=True)
class Verb:
    """`prepare` fills a folder, in which the verb is run with `words`; `code` is what it ends with when undisturbed."""

    name: str
    words: tuple[str, ...]
    prepare: Callable[[Path], None]
    code: int = 0


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class State(NamedTuple):
    files: dict[str, bytes]
    events: dict[str, list[Event]]


def run(verb: Verb, folder: Path, disk: Disk, variables: Mapping[str, str] | None = None) -> Ran:
    """The verb with the folder as the working folder, at a time that stands still. Passes on what kills it."""
    out, err, before = io.StringIO(), io.StringIO(), Path.cwd()
    os.chdir(folder)
    now_ms = utc_ms(AT)
    try:
        with (
            mock.patch.dict(os.environ, variables or {}),
            mock.patch.object(Clock, "wall_ms", lambda self: now_ms),
            mock.patch("l2vault.verbs.fetch.time.sleep", lambda seconds: None),
            redirect_stdout(out),
            redirect_stderr(err),
            disk.watched(),
        ):
            code = cli.main([word.replace("FOLDER", folder.as_uri()) for word in verb.words])
    finally:
        os.chdir(before)
    return Ran(code, out.getvalue(), err.getvalue())


def asked(server: ArchiveServer) -> dict[str, str]:
    """The variables with which the verbs ask this server."""
    return {"L2VAULT_ARCHIVE_HOSTS": server.host, "L2VAULT_REST_URL": server.url}


def state(folder: Path) -> State:
    """What there is, and what the journals say: `previous` of an hour hangs on the run and is left out."""
    files, events = {}, {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if "/meta/okx/journal/" in name:
            root = folder / name.partition("/meta/okx/journal/")[0]
            events[root.relative_to(folder).as_posix()] = said(Layout(root))
        elif path.is_file() and path.suffix != ".lock" and path.name not in _PASSED_OVER:
            files[name] = path.read_bytes()
    return State(files, events)


def said(layout: Layout) -> list[Event]:
    return [
        msgspec.structs.replace(event, previous=None) if isinstance(event, HourClosed) else event
        for event in read_journal(layout)
        if not isinstance(event, Started)
    ]


def false_statements(folder: Path, before: State) -> list[str]:
    """What the journals say of files since then that is not so. Of an hour or an instrument the last word counts."""
    found = []
    for name, every in state(folder).events.items():
        layout = Layout(folder / name)
        last = {_about(event): event for event in every[len(before.events.get(name, [])) :]}
        for event in last.values():
            if isinstance(event, HourClosed):
                held = digest_of(layout.of(event.kind).hour_file(event.inst_id, utc_ms(event.hour))).value()
                if (held.lines, held.sha256) != (event.lines, event.sha256):
                    found.append(f"{name}: {event}")
            elif isinstance(event, Merged) and any(event.vaults.values()):
                if not digest_of(layout.of(event.kind).hour_file(event.inst_id, utc_ms(event.hour))).value().lines:
                    found.append(f"{name}: {event}")
            elif isinstance(event, Repaired):
                spans = [(utc_ms(first), utc_ms(end)) for first, end in event.spans]
                if (repaired_spans(layout, event.inst_id) == joined(spans)) == event.undone:
                    found.append(f"{name}: {event}")
    return found


def _about(event: Event) -> tuple[object, ...]:
    names = ("kind", "inst_id", "hour")
    return type(event), *(getattr(event, name, None) for name in names)


def _fetched(folder: Path) -> None:
    put_row(Layout(folder / "Vault"))
    for each in tiny.EVERY:
        if not each.is_month:
            tiny.put(folder / "Vault", each)


def _recorded(folder: Path) -> None:
    """Fetched; and recorded but for the first line of the second day, so that a hole is there."""
    _fetched(folder)
    layout = Layout(folder / "Vault")
    keeper = HourKeeper(layout, "books", verb_journal(layout, "test", lambda: AT, lambda: 0), lambda: AT)
    for date, lines in ((tiny.DAYS[0], tiny.book_lines(tiny.DAYS[0])), (tiny.DAY, tiny.book_lines(tiny.DAY)[1:])):
        day = BookDay(tiny.INST, Law(2_000, 400), keeper)
        start_ms = utc_ms(f"{date}T00:00:00.000Z")
        day.read(lines, (f"{date}.tar.gz", "sha"), (start_ms, start_ms + DAY_MS), lambda _: None)
        day.end(is_followed=False)


def _repaired(folder: Path) -> None:
    _recorded(folder)
    assert run(REPAIR, folder, Disk()).code == REPAIR.code


def _two_vaults(folder: Path) -> None:
    """Each lacks an hour, and lines of another one, that the other has."""
    for name, hour in (("A", 0), ("B", 2)):
        layout = good_vault(folder / name)
        layout.hour_file(tiny.INST, HOUR_AT_MS + hour * HOUR_MS).unlink()
        path = layout.hour_file(tiny.INST, HOUR_AT_MS + HOUR_MS)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[hour : -1 - hour]))
        _put_trades(layout, (1, 2, 3, 6) if hour else (2, 3, 4, 5, 9, 10))


def _put_trades(layout: Layout, ids: Iterable[int]) -> None:
    """Of ten ids, of which two are lost everywhere, those of one vault."""
    path = layout.of("trades").hour_file(tiny.INST, HOUR_AT_MS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(trade_to_line(push(one, one * 1_000)) + b"\n" for one in ids))
    bounds = 7, 8, 2, at(6_000), at(9_000)
    begun, hole = TradesBegun(at(0), tiny.INST, 1, at(0), "first"), TradesHole(at(9_500), tiny.INST, *bounds, "chain")
    journal_of(layout, started(0), begun, hole, TradesMissing(at(9_900), tiny.INST, *bounds, "OKX gave other ids"))


def _to_push(folder: Path) -> None:
    layout = good_vault(folder / "Vault")
    for path in layout.root.rglob("*.jsonl"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (folder / "store").mkdir()


def to_export(folder: Path) -> None:
    """Three hours of books."""
    good_vault(folder / "Vault")


def _exported(form: str) -> Callable[[Path], None]:
    """Exported before, of a shorter span, so that the new one replaces it."""

    def prepare(folder: Path) -> None:
        to_export(folder)
        words = ("export", form, "--out", "out", "--to", "2024-08-20T04:00Z")
        assert run(Verb("", words, to_export), folder, Disk()).code == 0

    return prepare


_BACKFILL: Final = ("backfill", tiny.INST)
_SPAN: Final = ("--from", tiny.DAYS[0], "--to", tiny.DAY)
_HOLE: Final = ("--from", f"{tiny.DAYS[0]}T23:59:40Z", "--to", f"{tiny.DAY}T00:00:30Z")
REPAIR: Final = Verb("repair", ("repair", tiny.INST, *_HOLE), _recorded)
AUDIT: Final = Verb("audit", ("audit", tiny.INST, "--day", tiny.DAY), _recorded)
FORMS: Final = ("hftbacktest", "tardis-csv", "parquet", "csv")
FETCH: Final = Verb("fetch", ("fetch", tiny.INST, *_SPAN), lambda folder: None)
"""Needs a server, which `asked` names."""
VERBS: Final = (
    Verb("backfill books400", (*_BACKFILL, *_SPAN), _fetched),
    Verb("backfill books5000", (*_BACKFILL, *_SPAN, "--what", "books5000", "--deep"), _fetched),
    Verb("backfill trades", (*_BACKFILL, *_SPAN, "--what", "trades"), _fetched),
    Verb("backfill funding", (*_BACKFILL, *_SPAN, "--what", "funding"), _fetched),
    REPAIR,
    AUDIT,
    Verb("repair --undo", ("repair", tiny.INST, *_HOLE, "--undo"), _repaired),
    Verb("merge", ("merge", "A", "B", "--into", "C"), _two_vaults),
    Verb("push", ("push", "--to", "FOLDER/store"), _to_push),
    *(Verb(f"export {form}", ("export", form, "--out", "out"), to_export) for form in FORMS),
    *(Verb(f"export {form} --force", ("export", form, "--out", "out", "--force"), _exported(form)) for form in FORMS),
)


def copied(template: Path, folder: Path) -> Path:
    """The folder to run in, with the times of its files; what an earlier run left there goes."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder)
    return folder
