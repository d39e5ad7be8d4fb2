"""`l2vault push`: closed hours copied into an object store, each verified, committed by a manifest a day."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from filelock import FileLock, Timeout

from l2vault.clock import Clock
from l2vault.config import environment
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.pushing.hold import due_files
from l2vault.vault.pushing.objects import folder_of, open_objects
from l2vault.vault.pushing.run import Damaged, Progress, Push, Report, Step
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.root import open_layout
from l2vault.verbs.context import Context
from l2vault.verbs.format import counted, progress_bar, size_text, span_text

HELP: Final = "copy closed hours and the journal to object storage, verified"
EXAMPLE: Final = "l2vault push --vault Vault --to s3://bucket/l2 --dry-run"

_SHOWN: Final = 20


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument(
        "--to", dest="push_url", metavar="URL", help="where to, such as s3://bucket/prefix (default: push_url)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, and write nothing anywhere")
    parser.add_argument("--verify", action="store_true", help="first read again every object that was ever pushed")


def run(context: Context, args: argparse.Namespace) -> int:
    """0 if everything that is closed stands in the store; 1 if a file could not be read, or an object is damaged and
    the vault does not have its file any more."""
    url, clock = context.settings.push_url, Clock()
    if not url:
        raise UsageError("no address to push to.", '--to s3://bucket/prefix, or push_url = "..." in l2vault.toml')
    layout = open_layout(context.vault)
    _refuse_own_folder(url, layout)
    objects = open_objects(url, _allows_http(environment()))
    push = Push(layout, objects, due_files(layout, clock.wall_ms()))
    shown = printable(url)
    if args.dry_run:
        push.check_owner(may_make=False)
        sys.stdout.write(_planned(push.plan(), shown))
        return 0
    with _locked(layout):
        push.check_owner(may_make=True)
        with progress_bar() as show:
            damaged = push.verify(show) if args.verify else []
            held = {step.due.name for step in push.plan()}
            report = push.run(_with_time_left(show, clock))
    sys.stdout.write(_told(report, shown, damaged, held))
    return 1 if report.failed or any(each.name not in held for each in damaged) else 0


def _refuse_own_folder(url: str, layout: Layout) -> None:
    """A folder within the vault keeps nothing: its files would be taken for their own copies. Raises UsageError."""
    folder = folder_of(url)
    if folder is not None and folder.resolve().is_relative_to(layout.root.resolve()):
        raise UsageError(f"{printable(url)} lies in the vault that is pushed.", "a folder on another disk")


def _allows_http(variables: Mapping[str, str]) -> bool:
    """What the providers' own variables say, which obstore passes over where other options are given."""
    return any(variables.get(f"{name}_ALLOW_HTTP", "").lower() in ("true", "1") for name in ("AWS", "AZURE", "GOOGLE"))


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    """One push of a vault at a time on this machine. Raises VaultError."""
    lock = FileLock(layout.pushed / "push.lock")
    try:
        layout.pushed.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise VaultError(f"another push of {printable(layout.root)} is at work.", "again when it has ended") from None
    except (OSError, NotImplementedError) as error:
        cure = "make room, or run this as the user who owns the vault"
        raise VaultError(f"{printable(layout.pushed)} cannot be written: {printable(error)}.", cure) from error
    try:
        yield
    finally:
        lock.release()


def _with_time_left(show: Progress, clock: Clock) -> Progress:
    """The same with the time that is left at the pace so far."""
    begun_ms = clock.monotonic_ms()

    def progress(done: int, total: int, name: str) -> None:
        took_ms = clock.monotonic_ms() - begun_ms
        left = f"{span_text(round(took_ms * (total - done) / done / 1000) * 1000)} left" if done else ""
        show(done, total, f"{size_text(total - done)} {left}")

    return progress


def _planned(steps: Sequence[Step], shown: str) -> str:
    text = "".join(
        f"{'changed' if step.is_changed else 'new':7}  {step.due.name}  {size_text(step.size_bytes)}\n"
        for step in steps[:_SHOWN]
    )
    if len(steps) > _SHOWN:
        text += f"... and {len(steps) - _SHOWN} more\n"
    size = size_text(sum(step.size_bytes for step in steps))
    return f"{text}would send {counted(len(steps), 'object')}, {size}, to {shown}\n"


def _told(report: Report, shown: str, damaged: Sequence[Damaged], held: set[str]) -> str:
    sent = f"{counted(report.sent, 'object')} sent, {size_text(report.sent_bytes)}, read back and equal"
    lines = [f"{sent}; {report.unchanged} unchanged; {shown}"]
    if report.found:
        lines.append(f"{report.found} were there already, from a push that was cut short or another one")
    if report.gone:
        lines.append(f"{report.gone} were compressed or deleted meanwhile: push again later")
    _list(lines, sorted({*report.replaced}), lambda name: f"replaced by another form of its hour: {name}")
    _list(lines, sorted({*report.changed}), lambda name: f"changed since it was pushed, both are kept: {name}")
    for each in damaged:
        cure = "sent again" if each.name in held else "the vault no longer has it"
        lines.append(f"damaged in the store: {each.name} {each.what}; {cure}")
    lines += [f"failed: {text}" for text in report.failed]
    return "".join(f"{line}\n" for line in lines)


def _list(lines: list[str], names: Sequence[str], text: Callable[[str], str]) -> None:
    lines += map(text, names[:_SHOWN])
    if len(names) > _SHOWN:
        lines.append(f"... and {len(names) - _SHOWN} more")
