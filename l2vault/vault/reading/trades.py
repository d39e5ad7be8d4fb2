"""The trades of a vault for reading: each id once, in order, whatever order and forms its lines have; and what is known
of them. Needs no library beside msgspec as long as no archive is read.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain, groupby
from operator import itemgetter
from typing import Final, NamedTuple

from l2vault.book.id_set import IdRange, IdSet
from l2vault.book.trade import RENUMBERED_IDS, Numberings, TradePush, trade_from_line
from l2vault.vault.coverage.checked_trades import CheckedTrades, NotedRun, checked_trade_hours
from l2vault.vault.coverage.compute import MissingLines
from l2vault.vault.coverage.filled import trades_of_archive
from l2vault.vault.coverage.hour_notes import stamp_of
from l2vault.vault.coverage.journal_index import JournalIndex
from l2vault.vault.coverage.missing import UNREADABLE, missing_hours
from l2vault.vault.coverage.model import Source
from l2vault.vault.coverage.sync_history import ALWAYS_MS, NEVER_MS
from l2vault.vault.coverage.trades import (
    IdRun,
    TradeCoverage,
    TradeHistory,
    TradesRead,
    cover_trades,
    trade_history,
)
from l2vault.vault.store.catalog import Catalog, Finding, HourForms, Report, unreported
from l2vault.vault.store.forms import hour_lines, row_of
from l2vault.vault.store.layout import HOUR_MS, Layout

EDGE_MS: Final = 5_000
"""Neighbouring ids, and two pushes of the same matches, have times that differ by less."""
OUT_OF_ORDER: Final = "an id behind greater ones of an hour before"

_REMEMBERED: Final = 256
"""Newest pushes among which the other ids of an overlap are looked for."""

_Key = tuple[int, int, int]
_BEFORE_ALL: Final = (-1, 0, 0)


class TradeRow(NamedTuple):
    """A push, and which of its ids this row stands for: `first_id` to `last_id`, all of them but for an overlap.

    `size` is their sum in contracts; None where only a part of the push's ids is meant and nothing tells its share.
    `numbering_ms` names the numbering that the ids are of, see `Numberings`.
    """

    push: TradePush
    first_id: int
    last_id: int
    size: str | None
    numbering_ms: int


class OnceById:
    """Takes pushes and gives each id once. Where the ids of a push are partly known, a row of the rest, whose size is
    known where the other ids stand in pushes of their own."""

    def __init__(self) -> None:
        self._known: dict[int, IdSet] = {}
        self._recent: deque[TradePush] = deque(maxlen=_REMEMBERED)

    def take(self, push: TradePush, numbering_ms: int) -> list[TradeRow]:
        """The rows of the ids that were not known; none for a repeat."""
        known = self._known.setdefault(numbering_ms, IdSet())
        new = known.add(push.first_id, push.last_id)
        whole = new == [(push.first_id, push.last_id)]
        rest = None if whole or len(new) != 1 else self._size_of(push, new[0])
        self._recent.append(push)
        return [TradeRow(push, first, last, push.sz if whole else rest, numbering_ms) for first, last in new]

    def _size_of(self, push: TradePush, new: IdRange) -> str | None:
        """What is left of its size without the pushes that make up exactly its other ids."""
        inner = IdSet()
        known = Decimal(0)
        for each in self._recent:
            if push.first_id <= each.first_id and each.last_id <= push.last_id and (each.px, each.side) == _kind(push):
                if inner.lacking(each.first_id, each.last_id) != [(each.first_id, each.last_id)]:
                    continue
                inner.add(each.first_id, each.last_id)
                known += Decimal(each.sz)
        if inner.lacking(push.first_id, push.last_id) != [new]:
            return None
        return format(Decimal(push.sz) - known, "f")


def _kind(push: TradePush) -> tuple[str, str]:
    return push.px, push.side


class TradeReader:
    """Of one vault. Spans are half-open, in milliseconds of exchange time. `reads_all`: coverage takes no note of an
    hour that was checked for what its files hold. `source`: what coverage calls what it proves."""

    def __init__(self, layout: Layout, reads_all: bool = False, source: Source = "recorded") -> None:
        self._reads_all = reads_all
        self._source: Source = source
        self.layout = layout.of("trades")
        self._catalog = Catalog(self.layout)
        self._journal = JournalIndex(self.layout)
        self._checked = checked_trade_hours(self.layout)

    def instruments(self) -> list[str]:
        """Every instrument of which there is an hour of trades."""
        return self._catalog.instruments()

    def noted_instruments(self) -> list[str]:
        """Those, and every one of whose trades the journal says that they began."""
        return sorted({*self.instruments(), *self._journal.traded()})

    def rows(self, inst_id: str, span: tuple[int, int], report: Report) -> Iterator[TradeRow]:
        """Each id of the span once, in order of numberings and ids; what does not read is reported.

        Of pushes that share ids the longest is given, and no other of which all ids are in it. Holds two hours at a
        time.
        """
        every = self._catalog.hours(inst_id, report)
        wide = span[0] - EDGE_MS, span[1] + EDGE_MS
        hours = [each for each in every if wide[0] - HOUR_MS < each.hour_ms < wide[1]]
        for row in self._ordered(inst_id, hours, every[-1:], report):
            if span[0] <= row.push.ts_ms < span[1]:
                yield row

    def lines(self, inst_id: str, forms: HourForms, is_newest: bool, report: Report) -> Iterator[TradePush]:
        """The pushes of an hour as they stand in its files."""
        for line in hour_lines(self._catalog, forms, is_newest, report):
            push = row_of(line, inst_id, trade_from_line, report)
            if push is not None:
                yield push

    def bounds(self, inst_id: str) -> tuple[int, int] | None:
        """The least and the greatest exchange time of a trade; None if none reads."""
        every = self._catalog.hours(inst_id)
        first = next((times for forms in every if (times := self._times(inst_id, forms))), None)
        newest = next((times for forms in reversed(every) if (times := self._times(inst_id, forms))), None)
        return None if first is None or newest is None else (min(first), max(newest))

    def evidence(self, inst_id: str) -> tuple[int, int] | None:
        """The same, of lines and of what the journal noted of them."""
        times = [*(self.bounds(inst_id) or ())]
        for each in self._history(inst_id).numberings:
            times += [] if each.begun is None else [each.begun[1]]
            times += [end_ms] if (end_ms := each.end()[1]) else []
        return (min(times), max(times)) if times else None

    def coverage(self, inst_id: str, span: tuple[int, int]) -> TradeCoverage:
        """What is known of the trades of a span, from their ids and from what was noted at the time."""
        return self.read(inst_id, span)

    def read(
        self, inst_id: str, span: tuple[int, int], take: Callable[[TradeRow], None] | None = None
    ) -> TradeCoverage:
        """The same, and `take` is called with each row of the span in the order of `rows`: both in one reading."""
        history = self._history(inst_id)  # before the files
        every = self._catalog.hours(inst_id)
        first_ms = max((each.hour_ms for each in every if each.hour_ms + HOUR_MS <= span[0]), default=ALWAYS_MS)
        last_ms = min((each.hour_ms for each in every if each.hour_ms >= span[1]), default=NEVER_MS)
        hours = [each for each in every if first_ms <= each.hour_ms <= last_ms]
        findings: list[Finding] = []
        if take is None:
            runs = self._id_runs(hours, every[-1:], span, findings.append, history)
        else:
            rows = self._ordered(inst_id, hours, every[-1:], findings.append, history)
            runs = list(_runs(_shown(rows, span, take), span))
        gone = [*self._gone(findings), *self._missing_hours(inst_id, every, span)]
        end_ms = last_ms if last_ms == NEVER_MS else last_ms + HOUR_MS
        found = cover_trades(history, inst_id, span, TradesRead(first_ms, end_ms, runs, gone))
        return found if self._source == "recorded" else trades_of_archive(found)

    def renumbered_ms(self, inst_id: str) -> list[int]:
        """Times at which OKX began its ids anew, as far as the journal knows."""
        return [name for name in self._history(inst_id).by_name() if name]

    def _id_runs(
        self,
        hours: Sequence[HourForms],
        newest: Sequence[HourForms],
        span: tuple[int, int],
        report: Report,
        history: TradeHistory,
    ) -> list[IdRun]:
        """The runs of hours, those that were checked as they were noted, as long as these fit each other: ids that two
        hours share or that are out of order show only where both are read."""
        noted: dict[int, list[IdRun]] = {}
        numberings = Numberings(history.renumbered_ms)
        for forms in hours:
            end_ms = forms.hour_ms + HOUR_MS
            is_cut = any(forms.hour_ms < edge < end_ms for edge in (*span, *history.renumbered_ms))
            checked = None if is_cut or forms in newest or self._reads_all else self._checked.hour(forms)
            if checked is not None:
                noted[forms.hour_ms] = checked.id_runs(forms.hour_ms, numberings.of(forms.hour_ms))
        while True:
            findings: list[Finding] = []
            parts = list(noted.values())
            for is_noted, group in groupby(hours, key=_in(noted)):
                if not is_noted:
                    read = list(group)
                    rows = self._ordered(read[0].inst_id, read, newest, findings.append, history)
                    parts.append(list(_runs(rows, span)))
            runs = list(chain.from_iterable(parts))
            if noted:
                runs.sort(key=lambda run: (run.numbering_ms, run.first_id))
                at_odds = {*_at_odds(runs), *_behind(noted, runs, numberings)}
                if at_odds:
                    beside = {hour_ms + step for hour_ms in at_odds for step in (-HOUR_MS, 0, HOUR_MS)}
                    fewer = {hour_ms: each for hour_ms, each in noted.items() if hour_ms not in beside}
                    noted = fewer if len(fewer) < len(noted) else {}
                    continue
            for finding in findings:
                report(finding)
            return runs

    def check(self, forms: HourForms) -> CheckedTrades:
        """An hour read whole, for `checked_trade_hours`. Not the newest, which may go on."""
        before, findings = stamp_of(self.layout, forms), list[Finding]()
        pushes = list(self.lines(forms.inst_id, forms, False, findings.append))
        numberings, once = Numberings(), OnceById()
        for push in pushes:
            numberings.see(push)
        span = forms.hour_ms, forms.hour_ms + HOUR_MS
        is_good = not findings and all(
            span[0] <= push.ts_ms < span[1] and not numberings.of(push.ts_ms) for push in pushes
        )
        if not is_good or before != stamp_of(self.layout, forms):
            return CheckedTrades(before, [], [], is_good=False)
        ordered = sorted(pushes, key=lambda push: _key(push, numberings))
        runs = _runs(chain.from_iterable(once.take(push, 0) for push in ordered), span)
        times = ((run, run.from_ms - span[0], run.to_ms - span[0]) for run in runs)
        noted = [
            NotedRun(run.first_id, run.last_id, start, end, run.rows, run.rest_ids, run.unsized)
            for run, start, end in times
        ]
        times_ms = [push.ts_ms - span[0] for push in pushes]
        return CheckedTrades(before, noted, [min(times_ms), max(times_ms)] if times_ms else [])

    def _ordered(
        self,
        inst_id: str,
        hours: Sequence[HourForms],
        newest: Sequence[HourForms],
        report: Report,
        history: TradeHistory | None = None,
    ) -> Iterator[TradeRow]:
        """Hour after hour: a row is given once the next hour has none before it."""
        numberings = Numberings((history or self._history(inst_id)).renumbered_ms)
        once = OnceById()
        waiting: list[tuple[_Key, TradePush]] = []
        given = _BEFORE_ALL
        for forms in hours:
            pushes = list(self.lines(inst_id, forms, forms in newest, report))
            for push in pushes:
                numberings.see(push)
            new = [(_key(push, numberings), push) for push in pushes]
            bound = min((key for key, _ in new), default=_BEFORE_ALL)
            ready = [each for each in waiting if each[0] < bound]
            waiting = [*(each for each in waiting if each[0] >= bound), *new]
            for rows in self._once(once, ready, given, report):
                yield from rows
            given = max([given, *(key for key, _ in ready)])
        for rows in self._once(once, waiting, given, report):
            yield from rows

    def _once(
        self, once: OnceById, pushes: list[tuple[_Key, TradePush]], given: _Key, report: Report
    ) -> Iterator[list[TradeRow]]:
        for key, push in sorted(pushes, key=itemgetter(0)):
            rows = once.take(push, key[0])
            if rows and key < given:
                path = self.layout.hour_file(push.inst_id, push.ts_ms)
                report(Finding(path, 0, f"{OUT_OF_ORDER}: {push.trade_id}"))
            yield rows

    def _history(self, inst_id: str) -> TradeHistory:
        return trade_history(self._journal.entries(), inst_id)

    def _times(self, inst_id: str, forms: HourForms) -> list[int]:
        checked = self._checked.hour(forms)
        if checked is not None:
            return [forms.hour_ms + ms for ms in checked.bounds]
        return [push.ts_ms for push in self.lines(inst_id, forms, True, unreported)]

    def _missing_hours(self, inst_id: str, every: list[HourForms], span: tuple[int, int]) -> Iterator[MissingLines]:
        """Where they bear on the ids beside the span too: a hole may begin in an hour before it."""
        wide = span[0] - HOUR_MS, span[1] + HOUR_MS
        return missing_hours({forms.hour_ms for forms in every}, self._journal.deleted_hours(inst_id), wide)

    def _gone(self, findings: Iterable[Finding]) -> Iterator[MissingLines]:
        """Lines do not stand in order of time: one that does not read may be of any of its hour."""
        for path in {finding.path for finding in findings}:
            file = self.layout.parse_hour_file(path) or self.layout.parse_archive_file(path)
            if file is not None:
                yield MissingLines(file.hour_ms, file.hour_ms + HOUR_MS, UNREADABLE)


def _key(push: TradePush, numberings: Numberings) -> _Key:
    """Of pushes that begin alike the longest first: the others are parts of it."""
    return numberings.of(push.ts_ms), push.first_id, -push.last_id


def _at_odds(runs: Iterable[IdRun]) -> Iterator[int]:
    """Starts of hours whose runs, sorted by id, share ids or stand behind ids of a later hour that is not the next.

    Ids a thousand back may be of a numbering of which the journal knows nothing."""
    before = latest = None
    for run in runs:
        if before is None or latest is None or before.numbering_ms != run.numbering_ms:
            before = latest = run
            continue
        hours_back = _hour_of(latest) - _hour_of(run)
        is_far = hours_back > HOUR_MS or (hours_back > 0 and run.last_id - latest.first_id > RENUMBERED_IDS)
        if run.first_id <= before.last_id or is_far:
            yield from (_hour_of(before), _hour_of(run), _hour_of(latest))
        latest = run if hours_back < 0 else latest
        before = run if run.last_id > before.last_id else before


def _behind(noted: Iterable[int], runs: Iterable[IdRun], known: Numberings) -> list[int]:
    """Those hours that come after the beginning of a numbering which only reading showed: their ids are of it."""
    found = (run.numbering_ms for run in runs)
    begun_ms = min((each for each in found if known.of(each) != each), default=NEVER_MS)
    return [hour_ms for hour_ms in noted if hour_ms > begun_ms]


def _hour_of(run: IdRun) -> int:
    return run.from_ms // HOUR_MS * HOUR_MS


def _in(noted: dict[int, list[IdRun]]) -> Callable[[HourForms], bool]:
    return lambda forms: forms.hour_ms in noted


def _shown(rows: Iterable[TradeRow], span: tuple[int, int], take: Callable[[TradeRow], None]) -> Iterator[TradeRow]:
    for row in rows:
        if span[0] <= row.push.ts_ms < span[1]:
            take(row)
        yield row


def _runs(rows: Iterable[TradeRow], span: tuple[int, int]) -> Iterator[IdRun]:
    """Ids that follow each other as one, but for the borders of hours and of the span."""
    run: IdRun | None = None
    for row in rows:
        is_rest = row.push.origin == "rest"
        ids = row.last_id - row.first_id + 1
        new = IdRun(
            row.first_id,
            row.last_id,
            row.push.ts_ms,
            row.push.ts_ms,
            1,
            ids if is_rest else 0,
            int(row.size is None),
            row.numbering_ms,
        )
        if run is not None and _is_next(run, new, span):
            run = IdRun(
                run.first_id,
                new.last_id,
                min(run.from_ms, new.from_ms),
                max(run.to_ms, new.to_ms),
                run.rows + 1,
                run.rest_ids + new.rest_ids,
                run.unsized + new.unsized,
                run.numbering_ms,
            )
            continue
        if run is not None:
            yield run
        run = new
    if run is not None:
        yield run


def _is_next(run: IdRun, new: IdRun, span: tuple[int, int]) -> bool:
    if (run.numbering_ms, run.last_id + 1) != (new.numbering_ms, new.first_id):
        return False
    return _piece_of(run.from_ms, span) == _piece_of(new.from_ms, span) == _piece_of(run.to_ms, span)


def _piece_of(ts_ms: int, span: tuple[int, int]) -> tuple[int, int]:
    return ts_ms // HOUR_MS, (ts_ms >= span[0]) + (ts_ms >= span[1])
