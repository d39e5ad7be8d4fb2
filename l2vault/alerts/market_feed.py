"""The markets of the instruments that alerts name, step by step of exchange time: of a span of the vault, or of the
live tail as far as it is closed. The same steps in both, so that a replay says what a run would have sent.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final, Generic, Protocol, TypeVar

from l2vault.alerts.conditions import Held
from l2vault.alerts.market import LONGEST_SILENCE_MS, Market, Span
from l2vault.alerts.rule import Rule
from l2vault.analytics.contract import Contract
from l2vault.analytics.standing_walls import Ending, Gone, Take, ending
from l2vault.api.snapshot import Contracts
from l2vault.book.context import Context, from_line
from l2vault.book.snapshot import Snapshot
from l2vault.errors import L2VaultError
from l2vault.vault.coverage.sync_history import NEVER_MS, SyncHistory, SyncInterval
from l2vault.vault.reading.context import ContextReader
from l2vault.vault.reading.follow import POLL_SEC, Follow, FollowLines
from l2vault.vault.reading.trades import TradeReader, TradeRow
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import unreported

T = TypeVar("T")

STEP_MS: Final = 5_000
LAG_MS: Final = 5_000
"""A step is taken once what came so much later is known, or so much time has passed: its lines and trades are then in
the files, and its losses in the journal."""

ZONES_EVERY_MS: Final = 900_000
"""The zones of an hour take 1 to 2 s of processor."""
ZONES_AGAIN_MS: Final = 60_000
"""After a time at which they could not be read."""

NO_ZONES: Final = "no book with both sides stands in the hour before"

_AT_ONCE: Final = 64
"""Books of one instrument in memory, of 100 KB each."""
_RPI: Final = "1"
"""Trades against orders that are in no book: they made no level fall."""


class Source(Protocol):
    """What is recorded of one instrument, each line once, in order of time."""

    def books(self, until_ms: int) -> Iterator[Snapshot]:
        """The next ones, up to a time."""
        ...

    def contexts(self, until_ms: int) -> Iterator[Context]:
        """The same of the context."""
        ...


class Markets:
    """Call `step` with one time after the other, STEP_MS apart, and `sight` for each rule on the market."""

    def __init__(self, vault: Vault, rules: Sequence[Rule], source_of: Callable[[str], Source]) -> None:
        names = sorted(set(chain.from_iterable(rule.instruments for rule in rules)))
        self._sources = {name: source_of(name) for name in names}
        self._vault = vault
        self._rules = rules
        self._markets = {name: self._begun(name) for name in names}
        self._holes = {name: Holes(vault, name) for name in names}
        self._troubles: dict[str, str] = {}
        self._zones_ms: dict[str, int] = {}
        self._zones_again_ms: dict[str, int] = {}
        self._of_zones = {name for rule in rules if rule.condition == "price crosses zone" for name in rule.instruments}

    def step(self, t_ms: int) -> None:
        """Take all up to a time. Of an instrument whose files cannot be read nothing is known then."""
        for name, source in self._sources.items():
            self._troubles.pop(name, None)
            try:
                self._take_zones(name, t_ms)
                _take(self._markets[name], source, self._holes[name].near(t_ms), t_ms)
            except (L2VaultError, OSError) as error:
                self._troubles[name] = str(error)
                self._markets[name] = self._begun(name)  # what has been taken is gone: as after a hole
                self._zones_ms.pop(name, None)
                self._zones_again_ms.pop(name, None)

    def _take_zones(self, name: str, t_ms: int) -> None:
        """Those of the hour that ended last on a multiple of ZONES_EVERY_MS, if an alert asks for them and they are not
        known yet."""
        end_ms = (t_ms - 1) // ZONES_EVERY_MS * ZONES_EVERY_MS
        if name not in self._of_zones or self._zones_ms.get(name) == end_ms:
            return
        if t_ms < self._zones_again_ms.get(name, 0):
            return
        from l2vault.alerts.zones import zones_before

        try:
            found = zones_before(self._vault, name, end_ms)
        except (L2VaultError, OSError) as error:  # the extra lacks, the instrument's row, or the files
            self._markets[name].take_zones((), str(error))
            self._zones_again_ms[name] = t_ms + ZONES_AGAIN_MS
            return
        self._markets[name].take_zones(found or (), NO_ZONES if found is None else "")
        self._zones_ms[name] = end_ms

    def sight(self, rule: Rule) -> tuple[list[Held], dict[str, str]]:
        """Of what a condition holds; and of which instruments more may hold than is known, and why."""
        held: list[Held] = []
        unknown: dict[str, str] = {}
        for name in sorted(rule.instruments):
            sight = self._markets[name].sight(rule)
            held += sight.held
            if why := self._troubles.get(name, sight.unknown):
                unknown[name] = why
        return held, unknown

    def _begun(self, inst_id: str) -> Market:
        contracts = Contracts(self._vault.instrument_rows, inst_id)
        return Market(inst_id, self._rules, contracts.at, _Endings(self._vault, inst_id).of)


def _take(market: Market, source: Source, holes: Sequence[Span], t_ms: int) -> None:
    for book in source.books(t_ms):
        market.take(book, holes)
    for context in source.contexts(t_ms):
        market.take_context(context)
    market.look(t_ms, holes)


class Holes:
    """When no feed held the book of one instrument, or what it held was disputed, by the journal alone: that says of a
    loss at once, and says the same of it later. What a minute of it will say is quiet, it does not call a hole."""

    def __init__(self, vault: Vault, inst_id: str) -> None:
        self._journal = vault.journal
        self._inst_id = inst_id
        self._history: SyncHistory | None = None
        self._spans: list[Span] = []

    def near(self, t_ms: int) -> list[Span]:
        """Those that bear on a book of the longest silence before a time."""
        history = self._journal.history(self._inst_id)
        if history is not self._history:
            self._history = history
            unverifiable = [(each.from_ms, each.to_ms) for each in history.unverifiable]
            holes = [*not_held(history.intervals), *history.merged_holes]
            self._spans = sorted([*holes, *history.disputed, *unverifiable])
        first_ms = t_ms - LONGEST_SILENCE_MS - STEP_MS
        return [span for span in self._spans[: bisect_left(self._spans, (t_ms, 0))] if span[1] > first_ms]


def not_held(intervals: Sequence[SyncInterval]) -> Iterator[Span]:
    """The time in which no feed held the book, half-open. Where the journal does not say when one ended, as in a crash,
    it is the last moment before the next."""
    end_ms, is_known = 0, False
    for at, each in enumerate(intervals):
        if at and each.from_ms > end_ms:
            yield (end_ms if is_known else each.from_ms - 1), each.from_ms
        if not at or each.to_ms > end_ms:
            end_ms, is_known = each.to_ms, not each.is_cut_short
    if is_known:
        yield end_ms, NEVER_MS


class _Endings:
    """How walls of one instrument ended, by its trades."""

    def __init__(self, vault: Vault, inst_id: str) -> None:
        self._reader = TradeReader(vault.layout)
        self._inst_id = inst_id

    def of(self, gone: Gone, contract: Contract) -> Ending:
        wall, takes = gone.wall, list[Take]()
        taker = "sell" if wall.side == "bid" else "buy"

        def take(row: TradeRow) -> None:
            push = row.push
            if row.size is not None and push.side == taker and push.source != _RPI and float(push.px) == wall.price:
                takes.append(Take(push.ts_ms, contract.sizes(float(row.size), wall.price, "usd")))

        if self._inst_id not in self._reader.noted_instruments():
            return "unknown"
        span = wall.falls[0].after_ms, gone.ts_ms + 1
        proved = [each for each in self._reader.read(self._inst_id, span, take).stretches if each.state == "proved"]
        return ending(
            wall.falls, takes, lambda start, end: any(s.start_ms <= start and end <= s.end_ms for s in proved)
        )


class Past:
    """A half-open span of the vault."""

    def __init__(self, vault: Vault, inst_id: str, span: tuple[int, int]) -> None:
        self._books = _Peeked(iter(vault.snapshots(inst_id, *span)), lambda book: book.ts_ms)
        contexts = ContextReader(vault.layout).rows(inst_id, span, unreported)
        self._contexts = _Peeked(contexts, lambda context: context.grid_ms)

    def books(self, until_ms: int) -> Iterator[Snapshot]:
        return self._books.until(until_ms)

    def contexts(self, until_ms: int) -> Iterator[Context]:
        return self._contexts.until(until_ms)


class Tail:
    """The lines of one instrument as a recorder writes them, from when it is made."""

    def __init__(self, vault: Vault, inst_id: str) -> None:
        self._books = Follow(vault.layout, inst_id, None, POLL_SEC, _never)
        of_context = vault.layout.of("context")
        self._contexts = FollowLines(of_context, inst_id, None, POLL_SEC, _never, from_line)
        self._waiting: deque[Snapshot] = deque()
        self._waiting_contexts: deque[Context] = deque()
        self.first_ms: int | None = None
        """Exchange time of the first book that has been read,"""
        self.newest_ms: int | None = None
        """and of the newest."""
        self.read()

    def read(self) -> bool:
        """Take what has come, a bounded number of books; whether there may be more."""
        self._waiting_contexts += self._contexts.ready()
        if len(self._waiting) < _AT_ONCE:
            for book in self._books.ready():
                self._waiting.append(book)
                self.newest_ms = max(book.ts_ms, self.newest_ms or 0)
                self.first_ms = self.first_ms or book.ts_ms
                if len(self._waiting) >= _AT_ONCE:
                    break
        return len(self._waiting) >= _AT_ONCE

    def books(self, until_ms: int) -> Iterator[Snapshot]:
        while self._waiting and self._waiting[0].ts_ms <= until_ms:
            yield self._waiting.popleft()

    def contexts(self, until_ms: int) -> Iterator[Context]:
        while self._waiting_contexts and self._waiting_contexts[0].grid_ms <= until_ms:
            yield self._waiting_contexts.popleft()


class LiveMarkets:
    """The markets of the live tail; `steps` after each while."""

    def __init__(self, vault: Vault, rules: Sequence[Rule]) -> None:
        self._tails: dict[str, Tail] = {}
        self.markets = Markets(vault, rules, lambda name: self._tails.setdefault(name, Tail(vault, name)))
        self._newest: tuple[int, int] | None = None
        self._done_ms: int | None = None

    def steps(self, mono_ms: int) -> Iterator[int]:
        """Take each step that is closed by now, and give its time. `mono_ms` never goes back."""
        while True:
            behind = [tail.newest_ms for tail in self._tails.values() if tail.read() and tail.newest_ms is not None]
            newest_ms = max((tail.newest_ms or 0 for tail in self._tails.values()), default=0)
            if newest_ms and (self._newest is None or newest_ms > self._newest[0]):
                self._newest = newest_ms, mono_ms
            if self._newest is None:
                return
            if self._done_ms is None:
                first_ms = min(tail.first_ms for tail in self._tails.values() if tail.first_ms is not None)
                self._done_ms = first_ms // STEP_MS * STEP_MS
            closed_ms = min([self._newest[0] + mono_ms - self._newest[1], *behind]) - LAG_MS
            if self._done_ms + STEP_MS > closed_ms:
                return
            self._done_ms += STEP_MS
            self.markets.step(self._done_ms)
            yield self._done_ms


class _Peeked(Generic[T]):
    """Rows in order of time, taken up to a time."""

    def __init__(self, rows: Iterator[T], time_of: Callable[[T], int]) -> None:
        self._rows = rows
        self._time_of = time_of
        self._next = next(rows, None)

    def until(self, until_ms: int) -> Iterator[T]:
        while self._next is not None and self._time_of(self._next) <= until_ms:
            found, self._next = self._next, next(self._rows, None)
            yield found


def _never(seconds: float) -> None:
    raise AssertionError("what is ready is asked for, and nothing is waited for")
