"""One hour of trades of several vaults: each id once, and what is known of the ids that no vault has. Pure.

The lines of a vault before others stay as they are; of those others come the lines whose ids lack. One that brings ids
of which some stand already is marked as an overlap, as a recorder does it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from l2vault.book.id_set import IdSet
from l2vault.book.trade import Numberings, TradePush
from l2vault.book.utc import utc_ms, utc_text
from l2vault.vault.coverage.trades import TradeCoverage
from l2vault.vault.journal.merge_events import MergedIds


@dataclass(slots=True)
class JoinedTrades:
    """`chosen` in the order of the file, each with its vault; `aside` are pushes that contradict one of them."""

    chosen: list[tuple[int, TradePush]] = field(default_factory=list)
    aside: list[tuple[int, TradePush]] = field(default_factory=list)


def join_trades(vaults: Sequence[Sequence[TradePush]], numberings: Numberings) -> JoinedTrades:
    """The pushes of an hour, those of each vault as they stand in its file."""
    found = JoinedTrades()
    known: dict[int, IdSet] = {}
    held: dict[tuple[int, int, int], TradePush] = {}
    for nth, pushes in enumerate(vaults):
        for push in pushes:
            name = numberings.of(push.ts_ms)
            new = known.setdefault(name, IdSet()).add(push.first_id, push.last_id)
            is_whole = new == [(push.first_id, push.last_id)]
            key = name, push.first_id, push.last_id
            other = held.setdefault(key, push)
            if other is not push and _matter(other) != _matter(push):
                found.aside.append((nth, push))
            elif new:
                found.chosen.append((nth, msgspec.structs.replace(push, overlap=not is_whole)))
    return found


def _matter(push: TradePush) -> tuple[str, ...]:
    """What two recorders must agree on: prices and quantities as numbers may be written in one way only."""
    return push.px, push.sz, push.side, push.ts


def missing_ids(coverages: Iterable[TradeCoverage], known: dict[int, IdSet], numberings: Numberings) -> list[MergedIds]:
    """What the vaults say of ids that none of them has, each once, in the hour in which their time begins. `known` are
    those that any has, by numbering."""
    found: list[MergedIds] = []
    for coverage in coverages:
        for hole in coverage.holes:
            if hole.from_ms < coverage.start_ms:
                continue
            bounds = utc_text(hole.from_ms), utc_text(hole.to_ms)
            state: Literal["missing", "unknown"] = "missing" if hole.state == "missing" else "unknown"
            found.append(MergedIds(hole.first_id, hole.last_id, *bounds, state, hole.cause, hole.detail))
        for ids in coverage.skipped:
            bounds = utc_text(ids.from_ms), utc_text(ids.to_ms)
            found.append(MergedIds(ids.first_id, ids.last_id, *bounds, "skipped", "", ""))
    return without(found, known, numberings)


def without(ids: Iterable[MergedIds], known: dict[int, IdSet], numberings: Numberings) -> list[MergedIds]:
    """What is left of them without the `known` ids."""
    found: dict[MergedIds, None] = {}
    for each in ids:
        held = known.get(numberings.of(utc_ms(each.from_)), IdSet())
        for first, last in held.lacking(each.first, each.last):
            found[msgspec.structs.replace(each, first=first, last=last)] = None
    return sorted(found, key=lambda each: (each.first, each.last, each.cause, each.from_))
