"""Retention of the day files (liquidations, OKX's announcements): compressed a day after their end, deleted by age.

They are small, so no want of room touches them, and of each kind a pass deletes at most DAYS_A_PASS. Where the policy
archives, they stay as long as archives do. Call everything here with the lock of retention held, but for `due`.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final, Literal, NamedTuple

from l2vault.book.utc import DAY_MS, utc_text
from l2vault.errors import L2VaultError
from l2vault.vault.journal.events import Retained
from l2vault.vault.journal.log import Journal
from l2vault.vault.retention.compress import PACKING_SUFFIX, compress
from l2vault.vault.retention.plan import SETTLE_MS, Clocks, Policy
from l2vault.vault.store.days import DAY_KINDS, DayFile, day_files
from l2vault.vault.store.durable import DELETING_SUFFIX, finish_removal, former_path, remove, unlink
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.pushed import PushNotes

DAYS_A_PASS: Final = 2


class DayStep(NamedTuple):
    """What is to be done, or was, with one file. `file` is relative to the vault."""

    action: Literal["compress", "delete"]
    held: DayFile
    file: str
    reason: str
    error: str = ""


def due(layout: Layout, policy: Policy, clocks: Clocks, at_once: bool = False) -> list[DayStep]:
    """What age asks for; ages count from the end of the day, by proved time."""
    found: list[DayStep] = []
    notes = PushNotes(layout, policy.keep_until_pushed) if policy.keep_until_pushed else None
    keep_days = policy.delete_after_days if policy.archive_days is None else policy.archive_days
    for kind in DAY_KINDS:
        doomed: set[int] = set()
        for held in day_files(layout, kind):
            age_ms = clocks.proved_ms - held.day_ms - DAY_MS
            is_fresh = abs(clocks.wall_ms - held.written_ms) < SETTLE_MS
            name = held.path.relative_to(layout.root).as_posix()
            if age_ms >= keep_days * DAY_MS:
                if notes is not None and not notes.are_pushed(utc_text(held.day_ms)[:10], [held.path]):
                    continue
                if at_once or held.day_ms in doomed or len(doomed) < DAYS_A_PASS:
                    doomed.add(held.day_ms)
                    found.append(DayStep("delete", held, name, f"its day ended {keep_days:g} days ago or more"))
            elif age_ms >= DAY_MS and not held.is_compressed and not is_fresh:
                found.append(DayStep("compress", held, name, "its day ended a day ago or more"))
    return found


def carry_out(layout: Layout, steps: list[DayStep], journal: Journal, wall_ms: int) -> list[DayStep]:
    """Each step as it went; what a killed pass left is cleared first."""
    done = list(_cleared(layout, journal, wall_ms))
    for step in steps:
        try:
            if step.action == "compress":
                result = compress(step.held.path)
                _note(journal, step, wall_ms, result.bytes_after)
            else:
                remove(step.held.path, partial(_note, journal, step, wall_ms, 0))
        except FileNotFoundError:
            continue
        except (OSError, L2VaultError) as error:
            step = step._replace(error=str(error))
        done.append(step)
    return done


def _note(journal: Journal, step: DayStep, wall_ms: int, bytes_after: int) -> None:
    size_bytes = step.held.size_bytes
    journal.append(Retained(utc_text(wall_ms), step.action, step.file, step.reason, size_bytes, bytes_after))


def _cleared(layout: Layout, journal: Journal, wall_ms: int) -> Iterator[DayStep]:
    for kind in DAY_KINDS:
        folder = layout.day_folder(kind)
        for path in sorted(folder.glob(".*")):
            try:
                size_bytes = path.stat().st_size
                file = former_path(path) if path.name.endswith(DELETING_SUFFIX) else path
                name = file.relative_to(layout.root).as_posix()
                step = DayStep("delete", DayFile(0, path, False, size_bytes, 0), name, "a deletion that was cut short")
                if path.name.endswith(PACKING_SUFFIX):
                    unlink(path, missing_ok=True)
                elif path.name.endswith(DELETING_SUFFIX):
                    finish_removal(path, partial(_note, journal, step, wall_ms, 0))
            except FileNotFoundError:
                continue
            except OSError as error:
                yield step._replace(error=str(error))
