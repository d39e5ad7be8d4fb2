"""One hour of each kind, planned: the lines that it gets, what is known of it, and which vault brought what.

Reads the vaults and writes nothing. The result of an earlier merge is one of the vaults, and the first: what it holds
stays, however much of their own the others have deleted since.
"""

import heapq
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Final, Literal, TypeVar

import msgspec

from l2vault.book.context import to_line as context_to_line
from l2vault.book.id_set import IdSet
from l2vault.book.trade import Numberings, TradePush, trade_to_line
from l2vault.book.utc import HOUR_MS, utc_ms, utc_text
from l2vault.errors import VaultError
from l2vault.vault.coverage.model import Coverage, Hole
from l2vault.vault.coverage.proved import clipped
from l2vault.vault.coverage.trades import TradeHistory
from l2vault.vault.journal.merge_events import Merged, MergedBegun, MergedIds, MergedSpan
from l2vault.vault.merging.books import TARGET, HourOf, Joined, Line, join, quiet_ranges, slot_ranges
from l2vault.vault.merging.context import join_context, join_states
from l2vault.vault.merging.source import Source, key_of
from l2vault.vault.merging.trades import join_trades, missing_ids, without
from l2vault.vault.store.catalog import Finding, unreported
from l2vault.vault.store.layout import Kind
from l2vault.vault.store.line import time_ms

Brought = list[tuple[str, int]]
"""In the order of the lines: a vault, and how many lines in a row it brought."""
_BOTH: Final = " + "
_NOT_RECORDED: Final = "our_restart"

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Plan:
    """`lines` gives them without newlines, None where the hour holds them already; `event` lacks its `at`. `aside` are
    lines that contradict one of them, with their vault; `unread` is what could not be read, or was not good enough."""

    event: Merged
    brought: Brought
    lines: Callable[[], Iterator[bytes]] | None = None
    aside: list[tuple[str, bytes]] = field(default_factory=list)
    unread: int = 0


class HourPlanner:
    """Of one instrument: `target` is the result so far, `inputs` the vaults. Give it the hours of a kind in order."""

    def __init__(self, inst_id: str, target: Source, inputs: Sequence[Source]) -> None:
        self._inst_id = inst_id
        self._inputs = inputs
        self._all = [target, *inputs]
        self._standing: tuple[int, Line | None] = -1, None
        """An hour, and the newest line of books chosen before it."""

    def plan(self, kind: Kind, hour_ms: int, former: Brought | None) -> Plan | None:
        """None where no vault has a line of the hour or knows anything of it. `former` is what was noted of the lines
        that the result has; None: nothing, so that they were left by a merge that was killed, and prove nothing beside
        the vaults that have them. Raises VaultError for vaults that do not fit together."""
        if kind == "changes" or kind == "deep" or kind == "rpi":
            return self._whole(kind, hour_ms, former)
        plans = {"books": self._books, "trades": self._trades, "context": self._context}
        return plans[kind](hour_ms, former)

    # Books.

    @cached_property
    def _evidence(self) -> list[tuple[int, int]]:
        return [found for each in self._inputs if (found := each.evidence(self._inst_id)) is not None]

    def _books(self, hour_ms: int, former: Brought | None) -> Plan | None:
        span = hour_ms, hour_ms + HOUR_MS
        findings: list[Finding] = []
        cadence_ms = self._cadence(hour_ms)
        coverages = [each.books_coverage(self._inst_id, hour_ms) for each in self._all]
        before = [each.before(self._inst_id, hour_ms) for each in self._all]
        read = [list(each.books(self._inst_id, hour_ms, findings.append)) for each in self._all]
        self._refuse_depths({depth for lines in read for _, depth in lines}, hour_ms)
        lines = [[line for line, _ in each] for each in read]
        own, named = [line.key for line in lines[0]], self._named([[x.key for x in each] for each in lines])
        if former is None and named.keys() >= set(own):
            own, lines[0], coverages[0] = [], [], self._nothing_known(hour_ms)
        names = _origins(former, own, named)
        lines[0] = [line._replace(origin=name) for line, name in zip(lines[0], names, strict=True)]
        hours = [HourOf(*each) for each in zip(lines, coverages, before, strict=True)]
        standing = self._standing[1] if self._standing[0] == hour_ms else before[0]
        found = join(hours, span, cadence_ms, standing)
        self._standing = span[1], found.standing
        origins = [line.origin for _, line in found.chosen]
        event = self._event_of_books(span, cadence_ms, found, origins)
        plan = Plan(event, _runs(origins), unread=len(findings) + found.left_out)
        is_held = all(nth == 0 for nth, _ in found.chosen) and len(found.chosen) == len(lines[0])
        if found.chosen and not is_held:
            plan.lines = lambda: self._texts(hour_ms, found.chosen)
        aside = sorted(found.aside, key=lambda place: place[1].ts_ms)
        texts = self._texts(hour_ms, aside)
        plan.aside = [(line.origin, text) for (_, line), text in zip(aside, texts, strict=True)]
        return plan if event.from_ is not None or found.chosen else None

    def _nothing_known(self, hour_ms: int) -> Coverage:
        """Of an hour, and the slot at its end."""
        end_ms = hour_ms + HOUR_MS + 1
        return Coverage(self._inst_id, hour_ms, end_ms, [], [Hole(hour_ms, end_ms, "unknown", "", 0)])

    def _event_of_books(self, span: tuple[int, int], cadence_ms: int, found: Joined, origins: list[str]) -> Merged:
        bounds = [(max(first, span[0]), min(newest + 1, span[1])) for first, newest in self._evidence]
        known = [each for each in bounds if each[0] < each[1]]
        return Merged(
            "",
            self._inst_id,
            utc_text(span[0]),
            "books",
            _counts(origins),
            utc_text(min(each[0] for each in known)) if known else None,
            utc_text(max(each[1] for each in known)) if known else None,
            cadence_ms,
            quiet_ranges(found.quiet, cadence_ms),
            found.holes,
            slot_ranges(found.disputed, cadence_ms),
            slot_ranges(found.unverifiable, cadence_ms),
            slot_ranges(found.unaudited, cadence_ms),
            found.unaligned,
        )

    def _cadence(self, hour_ms: int) -> int:
        of = {each.name: each.cadence_ms(self._inst_id, hour_ms) for each in self._inputs}
        every = {cadence_ms for cadences in of.values() for cadence_ms in cadences}
        every = every or self._all[0].cadence_ms(self._inst_id, hour_ms) or {2_000}
        if len(every) > 1:
            named = ", ".join(f"{ms / 1000:g} s" for ms in sorted(every))
            raise VaultError(
                f"{self._inst_id}, {utc_text(hour_ms)[:13]}h: the vaults were recorded every {named}.",
                "--inst without it, or --from and --to with the time in which both had one cadence",
            )
        return every.pop()

    def _refuse_depths(self, depths: set[int], hour_ms: int) -> None:
        if len(depths) > 1:
            named = " and ".join(map(str, sorted(depths)))
            raise VaultError(
                f"{self._inst_id}, {utc_text(hour_ms)[:13]}h: the vaults hold {named} levels a side.",
                "--inst without it, or --from and --to with the time in which both had one depth",
            )

    def _texts(self, hour_ms: int, places: Sequence[tuple[int, Line]]) -> Iterator[bytes]:
        """The lines at these places, read again: an hour of books is never held in memory. Places are in order."""
        streams = []
        for nth, source in enumerate(self._all):
            wanted = [line for at, line in places if at == nth]
            if wanted:
                streams.append(_wanted(source, self._inst_id, hour_ms, wanted))
        given = 0
        for _, _, text in heapq.merge(*streams, key=lambda each: each[:2]):
            given += 1
            yield text
        if given != len(places):
            raise VaultError(
                f"{self._inst_id}, {utc_text(hour_ms)[:13]}h: a vault was changed while it was read.", "the same again"
            )

    # Trades.

    @cached_property
    def _histories(self) -> list[TradeHistory]:
        return [each.trade_history(self._inst_id) for each in self._all]

    @cached_property
    def _begun(self) -> list[tuple[int, int]]:
        """The first id of each numbering of each vault, and its time."""
        every = {each.begun for history in self._histories for each in history.numberings if each.begun is not None}
        return sorted(every, key=lambda begun: begun[1])

    @cached_property
    def _numberings(self) -> Numberings:
        return Numberings(ms for each in self._histories for ms in each.renumbered_ms)

    def _trades(self, hour_ms: int, former: Brought | None) -> Plan | None:
        findings: list[Finding] = []
        coverages = [each.trades_coverage(self._inst_id, hour_ms) for each in self._all]
        pushes = [each.pushes(self._inst_id, hour_ms, findings.append) for each in self._all]
        if former is None and _alone(pushes[0]) <= _alone(push for each in pushes[1:] for push in each):
            pushes[0], coverages = [], coverages[1:]
        found = join_trades(pushes, self._numberings)
        held = _origins(former, pushes[0], self._named(pushes))
        origins = [held[at] if nth == 0 else self._all[nth].name for at, (nth, _) in enumerate(found.chosen)]
        begun = [MergedBegun(first, utc_text(ms)) for first, ms in self._begun if hour_ms <= ms < hour_ms + HOUR_MS]
        known = self._known_ids(hour_ms)
        ids = missing_ids(coverages, known, self._numberings)
        before = [each for each in map(self._before_begun, begun) if each is not None]
        ids += without(before, known, self._numberings)
        if not (found.chosen or begun or ids):
            return None
        hour = utc_text(hour_ms)
        contradicted = len(found.aside)
        event = Merged(
            "", self._inst_id, hour, "trades", _counts(origins), contradicted=contradicted, begun=begun, ids=ids
        )
        aside = [(self._all[nth].name, trade_to_line(push)) for nth, push in found.aside]
        plan = Plan(event, _runs(origins), None, aside, len(findings))
        if found.chosen and [push for _, push in found.chosen] != pushes[0]:
            plan.lines = lambda: (trade_to_line(push) for _, push in found.chosen)
        return plan

    def _known_ids(self, hour_ms: int) -> dict[int, IdSet]:
        """The ids that any vault has in the day of an hour, by numbering."""
        known: dict[int, IdSet] = {}
        for source in self._all:
            for run in source.trade_runs(self._inst_id, hour_ms):
                known.setdefault(self._numberings.of(run.from_ms), IdSet()).add(run.first_id, run.last_id)
        return known

    def _before_begun(self, begun: MergedBegun) -> MergedIds | None:
        """The ids between the first vault's beginning and this later one's: nobody need have recorded them."""
        ts_ms = utc_ms(begun.ts)
        name = self._numberings.of(ts_ms)
        same = [each for each in self._begun if self._numberings.of(each[1]) == name and each[0] < begun.id]
        if not same:
            return None
        first_id, first_ms = min(same)
        return MergedIds(first_id, begun.id - 1, utc_text(first_ms), begun.ts, "missing", _NOT_RECORDED, "")

    # Context.

    def _context(self, hour_ms: int, former: Brought | None) -> Plan | None:
        findings: list[Finding] = []
        end_ms = hour_ms + HOUR_MS
        coverages = [each.context_coverage(self._inst_id, hour_ms) for each in self._all]
        rows = [each.rows(self._inst_id, hour_ms, findings.append) for each in self._all]
        found = join_context(rows)
        held = dict(zip(rows[0], _origins(former, rows[0], self._named(rows)), strict=True))
        by_grid = [{row.grid_ms: row for row in each} for each in rows]
        origins = []
        for row, places in found:
            whole = next((nth for nth in places if by_grid[nth][row.grid_ms] == row), None)
            name = None if whole is None else self._all[whole].name if whole else held.get(row, TARGET)
            if name is None or name == TARGET:  # of no vault alone
                name = _BOTH.join(self._all[nth].name for nth in places if nth) or TARGET
            origins.append(name)
        values = join_states(coverages, (hour_ms, end_ms))
        event = Merged("", self._inst_id, utc_text(hour_ms), "context", _counts(origins), values=values)
        plan = Plan(event, _runs(origins), unread=len(findings))
        if found and [row for row, _ in found] != rows[0]:
            plan.lines = lambda: (context_to_line(row) for row, _ in found)
        return plan if found else None

    def _named(self, lines: Sequence[Sequence[K]]) -> dict[K, str]:
        """By each line of the vaults, the first that has it."""
        return {line: self._all[nth].name for nth in range(len(lines) - 1, 0, -1) for line in lines[nth]}

    # Changes, deep and RPI books.

    def _whole(self, kind: Literal["changes", "deep", "rpi"], hour_ms: int, former: Brought | None) -> Plan | None:
        """Every file of them reads alone, so that the one of a vault is taken whole: the one that proves most."""
        span = hour_ms, hour_ms + HOUR_MS
        findings: list[Finding] = []
        best: tuple[int, int, int] | None = None
        order = [0, *range(1, len(self._all))] if former else [*range(1, len(self._all)), 0]
        for nth in order:  # without a note nobody knows whose the lines of the result are
            each = self._all[nth]
            lines = sum(1 for _ in each.texts(kind, self._inst_id, hour_ms, findings.append))
            stretches = clipped(each.stretches(kind, self._inst_id, hour_ms), span)
            proved_ms = sum(one.end_ms - one.start_ms for one in stretches if one.state == "proved")
            if lines and (best is None or (proved_ms, lines) > (best[0], best[1])):
                best = proved_ms, lines, nth
        if best is None:
            return None
        _, lines, nth = best
        source = self._all[nth]
        stretches = clipped(source.stretches(kind, self._inst_id, hour_ms), span)
        spans = [
            MergedSpan(utc_text(one.start_ms), utc_text(one.end_ms), one.state, one.cause)
            for one in stretches
            if one.state != "proved" and one.state != "archive"
        ]
        origins = _expanded(former, lines) if nth == 0 else []
        origins = origins or [source.name] * lines
        event = Merged("", self._inst_id, utc_text(hour_ms), kind, _counts(origins), spans=spans)
        plan = Plan(event, _runs(origins), unread=len(findings))
        if nth:
            plan.lines = lambda: (placed.text for placed in source.texts(kind, self._inst_id, hour_ms, findings.append))
        return plan


def _wanted(source: Source, inst_id: str, hour_ms: int, lines: Sequence[Line]) -> Iterator[tuple[int, bool, bytes]]:
    """Time, flag and text of the lines of a vault that are among these, each once."""
    wanted = {(line.ts_ms, line.key): line.is_flagged for line in lines}
    for placed in source.texts("books", inst_id, hour_ms, unreported):
        key = time_ms(placed.text), key_of(placed.text)
        is_flagged = wanted.pop(key, None)
        if is_flagged is not None:
            yield key[0], is_flagged, placed.text


def _alone(pushes: Iterable[TradePush]) -> set[TradePush]:
    """Without what a push is beside the others of its file."""
    return {msgspec.structs.replace(push, overlap=False) for push in pushes}


def _origins(former: Brought | None, lines: Sequence[K], named: dict[K, str]) -> list[str]:
    """Which vault brought each line of the result: by the note, or where none fits them whoever has the same line."""
    return _expanded(former, len(lines)) or [named.get(line, TARGET) for line in lines]


def _expanded(brought: Brought | None, lines: int) -> list[str]:
    """The vault of each line; none where the note does not fit the lines."""
    names = [name for name, count in brought or [] for _ in range(count)]
    return names if len(names) == lines else []


def _runs(origins: Sequence[str]) -> Brought:
    return [(name, len(list(group))) for name, group in groupby(origins)]


def _counts(origins: Sequence[str]) -> dict[str, int]:
    return {name: origins.count(name) for name in sorted(set(origins))}
