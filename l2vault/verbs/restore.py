"""`l2vault restore`: archived hours back into the lines they were made of, byte for byte."""

import argparse
import hashlib
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from filelock import Timeout

from l2vault.book.utc import DAY_MS, utc_text
from l2vault.clock import Clock
from l2vault.errors import VaultError, analysis_extra
from l2vault.foreign import printable
from l2vault.vault.journal.events import Restored, Retained
from l2vault.vault.journal.log import Journal, verb_journal
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.retention.plan import Policy, policy_of
from l2vault.vault.retention.run import locked
from l2vault.vault.store.catalog import HourForms
from l2vault.vault.store.layout import HOUR_MS, Layout, packed_path
from l2vault.vault.store.lock import open_hours
from l2vault.vault.store.stream import read_chunks
from l2vault.verbs.archive import choose_hours, configure_choice
from l2vault.verbs.context import Context
from l2vault.verbs.format import progress_bar
from l2vault.verbs.processes import process_for_each_core

HELP: Final = "give back the lines of archived hours, byte for byte"
EXAMPLE: Final = "l2vault restore BTC-USDT-SWAP --from 2026-01-30 --to 2026-01-31 --into Restored"

_MESSAGE_CHARS: Final = 400
_MOST_AHEAD: Final = 8


def configure(parser: argparse.ArgumentParser) -> None:
    configure_choice(parser)
    parser.add_argument("--into", type=Path, metavar="DIR", help="another vault's folder (default: the vault itself)")
    parser.add_argument("--plain", action="store_true", help="write HH.jsonl instead of HH.jsonl.gz")


def run(context: Context, args: argparse.Namespace) -> int:
    """0 if every hour came back, 1 if one did not; the others go on."""
    with analysis_extra():
        import pyarrow  # noqa: F401 - before anything is begun
    policy = policy_of(context.settings)
    layout = open_vault(context.vault).layout
    into = Layout(args.into) if args.into is not None else layout
    chosen = [forms for forms in choose_hours(layout, args) if forms.archive is not None]
    if not chosen:
        sys.stdout.write("0 hours restored: none of the hours chosen is archived\n")
        return 0
    try:
        with locked(into):
            lines, restored = _restore(into, chosen, args.plain)
    except Timeout:
        raise VaultError(f"retention is at work in {printable(into.root)}.", "again in a minute") from None
    sys.stdout.write(f"{len(restored)} hours restored, {lines} lines\n")
    sys.stdout.write(_warning(policy, restored, Clock().wall_ms()))
    return 1 if len(restored) < len(chosen) else 0


def _restore(into: Layout, chosen: list[HourForms], is_plain: bool) -> tuple[int, list[HourForms]]:
    clock = Clock()
    journal = verb_journal(into, "restore", clock.wall_text, clock.monotonic_ms)
    lines, restored = 0, []
    failures = []
    with progress_bar() as show, process_for_each_core(len(chosen)) as executor:
        for number, (forms, give_back) in enumerate(_each(executor, into, chosen, is_plain)):
            show(number, len(chosen), f"{forms.inst_id} {utc_text(forms.hour_ms)[:13]}h")
            try:
                given = give_back()
                _note(into, forms, given, journal, clock)
                lines += given.lines
                restored.append(forms)
            except (VaultError, OSError) as error:
                failures.append(f"l2vault: {printable(error, _MESSAGE_CHARS)}\n")
    sys.stderr.write("".join(failures))
    return lines, restored


class _Given(NamedTuple):
    """The file that was written, as it reads: its lines, its bytes, and the SHA-256 of what it holds."""

    target: Path
    lines: int
    size_bytes: int
    sha256: str


def _each(
    executor: Executor | None, into: Layout, chosen: list[HourForms], is_plain: bool
) -> Iterator[tuple[HourForms, Callable[[], _Given]]]:
    """The hours with what gives each its lines back, or waits for it; few are begun ahead, since a kill leaves files
    that nobody has noted."""
    if executor is None:
        yield from ((forms, partial(_given, into, forms, is_plain)) for forms in chosen)
        return
    begun: deque[tuple[HourForms, Callable[[], _Given]]] = deque()
    for forms in chosen:
        begun.append((forms, executor.submit(_given, into, forms, is_plain).result))
        if len(begun) > _MOST_AHEAD:
            yield begun.popleft()
    yield from begun


def _given(into: Layout, forms: HourForms, is_plain: bool) -> _Given:
    """Give an hour its lines back, in whichever process."""
    from l2vault.vault.archive.read import files_of
    from l2vault.vault.archive.write import restore_hour

    plain = into.of(forms.kind).hour_file(forms.inst_id, forms.hour_ms)
    target = plain if is_plain else packed_path(plain)
    if forms.key in open_hours(into):
        raise VaultError(f"{target}: the recorder is writing this hour.", "again when the hour has ended")
    assert forms.archive is not None  # chosen for it
    lines = restore_hour(files_of(forms.archive), target)
    digest = hashlib.sha256()
    for chunk in read_chunks(target):
        digest.update(chunk)
    return _Given(target, lines, target.stat().st_size, digest.hexdigest())


def _note(into: Layout, forms: HourForms, given: _Given, journal: Journal, clock: Clock) -> None:
    assert forms.archive is not None  # chosen for it
    file = given.target.relative_to(into.root).as_posix()
    if forms.kind != "books":
        sizes = forms.archive.size_bytes, given.size_bytes
        journal.append(Retained(clock.wall_text(), "restore", file, "asked for by hand", *sizes))
        return
    hour = utc_text(forms.hour_ms)
    journal.append(Restored(clock.wall_text(), forms.inst_id, hour, file, given.lines, given.sha256))


def _warning(policy: Policy, restored: list[HourForms], wall_ms: int) -> str:
    """What retention will do to the hours that came back."""
    days = policy.delete_after_days
    ages = [(wall_ms - forms.hour_ms - HOUR_MS) / DAY_MS for forms in restored]
    doomed = sum(age >= days for age in ages)
    if not doomed:
        return ""
    needed = int(max(ages)) + 1
    return (
        f"{doomed} of them ended more than {days:g} days ago: retention in that vault deletes them again, "
        f"unless delete_after_days is more, such as {needed}, or retention = false\n"
    )
