"""The books of a span, ready for analysis: piece by piece, in bounded memory, and what is known of the span.

`read_books` takes them from a vault, `books_of` from frames of your own. Every result carries a `Provenance`: its
span, how much of its time is covered, how far from mid the books could be seen. Nothing is claimed beyond that.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import polars as pl

from l2vault.analytics.context import read_context
from l2vault.analytics.contract import Contract, ContractPeriod, contract_periods
from l2vault.analytics.deep import Samples, read_deep
from l2vault.analytics.interval_rows import BookRows, Piece, is_told
from l2vault.analytics.provenance import Provenance
from l2vault.analytics.rpi import RpiSamples, read_rpi
from l2vault.analytics.trades import Trades, read_trades
from l2vault.book.moments import Moment, span_ms
from l2vault.book.utc import utc_text
from l2vault.errors import VaultError
from l2vault.vault.archive.frames import CANNOT_READ, archived_books, archived_frames
from l2vault.vault.coverage.model import Coverage, Source
from l2vault.vault.reading.sources import RECORDED, open_sources, sources_of
from l2vault.vault.reading.vault import Resolution, Vault, open_vault
from l2vault.vault.store.catalog import HourForms
from l2vault.vault.store.layout import HOUR_MS, ArchivedHour
from l2vault.vault.store.spans import joined, meets

_T = TypeVar("_T")

Frames = tuple[pl.DataFrame, pl.DataFrame]
"""Rows of the level-interval table, and the books (`t_from`, `t_to`, `depth`) in which they stand."""

_LONGEST_REACH_MS: Final = 2 * HOUR_MS
"""The last book of an hour stands at most until the first line of the next hour."""

AT_ONCE: Final = 128
"""Hours that are worked on, or done and not yet asked for: their results are what a measure holds beside its own."""

_FIRST: Final = 8
"""An hour of lines takes as long as ten of columns, and the newest ones are lines: begun first, lest one core does them
while the others have nothing left."""

_BOOKS_AT_ONCE: Final = 4096
"""Two sides of 400 levels in so many books take 65 MB."""


class Result(msgspec.Struct, frozen=True):
    """Rows, as the function that made them says, and what must be known to use them. Times are int64, ms since 1970."""

    frame: pl.DataFrame
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class HourSource:
    """Where the books of each hour of a span are read. Can be pickled, so that another process can read them too."""

    root: Path
    inst_id: str
    span: tuple[int, int]
    resolution: Resolution
    left_out: tuple[tuple[int, int], ...]
    sources: tuple[Source, ...] | None = RECORDED

    def frames(self, hour_ms: int) -> Iterator[Frames]:
        """The levels and books of an hour that bears on the span; none where it has no book of the span."""
        vault = _opened(self)
        forms = vault.catalog.hour(self.inst_id, hour_ms)
        columns = self.columns(vault, forms)
        if columns is not None:
            with suppress(*CANNOT_READ):  # the long way reports what is wrong
                yield archived_frames(columns, self.span, is_noted=vault.is_checked(forms))
                return
        levels = vault.levels_of_hour(self.inst_id, self.span, hour_ms, self.left_out, self.resolution)
        for part in levels.parts():
            yield pl.DataFrame(part.levels), pl.DataFrame(part.books)

    def books(self, hour_ms: int) -> pl.DataFrame | None:
        """The books of an hour with what `OF_BOOK` names; None where only the levels say that."""
        vault = _opened(self)
        columns = self.columns(vault, vault.catalog.hour(self.inst_id, hour_ms))
        if columns is not None:
            with suppress(*CANNOT_READ):
                found = archived_books(columns, self.span)
                return found if is_told(found) else None
        return None

    def columns(self, vault: Vault, forms: HourForms) -> ArchivedHour | None:
        """The column files of an hour whose books are all that is told of it; None where it goes the long way."""
        if self.resolution != "lines" or meets(self.left_out, forms.hour_ms, forms.hour_ms + _LONGEST_REACH_MS):
            return None
        return vault.column_files(forms)


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours (ms) that bear on a span, in order, and where each is read."""

    source: HourSource
    every: tuple[int, ...]
    raw: frozenset[int]
    """Those of them that are not read as columns: each takes a second of Python, which only another process does beside
    this one."""


def _none() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Beside:
    """What a vault has beside the books of a span; each is asked for once, when it is first needed."""

    cover: Callable[[], Coverage | None] = _none
    hours: Callable[[], Hours | None] = _none
    trades: Callable[[], Trades | None] = _none
    context: Callable[[], pl.DataFrame | None] = _none
    changes: Callable[[], "Books | None"] = _none
    deep: Callable[[], Samples | None] = _none
    rpi: Callable[[], RpiSamples | None] = _none


class Books:
    """The books of one instrument over `[start_ms, end_ms)`. `mapped` reads them anew each time."""

    def __init__(
        self,
        inst_id: str,
        span: tuple[int, int],
        frames: Callable[[], Iterator[Frames]],
        periods: Sequence[ContractPeriod],
        beside: "Beside | None" = None,
    ) -> None:
        self.inst_id = inst_id
        self.start_ms, self.end_ms = span
        self.periods = periods
        self.on_progress: Callable[[float], None] = lambda share: None
        """Called after each piece with the share of the span that has been read, from 0 to 1."""
        self.executor: Executor | None = None
        """Where the hours of `mapped` are worked on; without one, in threads: one for each core of this machine. Set it
        by `executors.worked_on`, which knows where processes are worth their start."""
        self._frames = frames
        self._beside = beside or Beside()

    @cached_property
    def trades(self) -> Trades | None:
        """Those of the instrument; None where none were recorded."""
        return self._beside.trades()

    @cached_property
    def context(self) -> pl.DataFrame | None:
        """Rows as `context.CONTEXT` says; none where none was recorded, None where the books came from frames."""
        return self._beside.context()

    @property
    def changes(self) -> "Books | None":
        """Every book of the span that a push left, its hours worked on where those of these books are; None where no
        changes were recorded."""
        if self._changes is not None:
            self._changes.executor = self.executor
        return self._changes

    @cached_property
    def _changes(self) -> "Books | None":
        return self._beside.changes()

    @cached_property
    def deep(self) -> Samples | None:
        """Reads the samples of the deep book that bear on the span; None where none were recorded."""
        return self._beside.deep()

    @cached_property
    def rpi(self) -> RpiSamples | None:
        """Reads the samples of the RPI book that bear on the span; None where none were recorded."""
        return self._beside.rpi()

    @cached_property
    def coverage(self) -> Coverage | None:
        """Every grid slot and hole of the span; None where the books came from frames."""
        return self._beside.cover()

    @cached_property
    def hours(self) -> tuple[int, ...]:
        """What `mapped` goes over: the hours (ms) that bear on the span; one, 0, where the books came from frames."""
        return (0,) if self._hours is None else self._hours.every

    @property
    def raw_hours(self) -> frozenset[int]:
        """Those of the hours that are not read as columns."""
        return frozenset() if self._hours is None else self._hours.raw

    @cached_property
    def _hours(self) -> Hours | None:
        return self._beside.hours()

    def mapped(self, work: Callable[[Iterator[Piece]], _T], hours: Sequence[int] | None = None) -> Iterator[_T]:
        """What `work` makes of the pieces of each hour (of all, or of some of `hours`), in order of time.

        `work` is called once an hour, perhaps in another process: give a function of a module, or a `partial` of one,
        that keeps nothing between calls; it and what it gives are pickled. What an hour cannot know, such as whether
        its first book follows the one before, you find out when you join the results. Let results be small: at most
        `AT_ONCE` hours of them are held, beside those that you keep.
        """
        return self._each_hour(partial(_work_on, work), lambda: work(_pieces(self._frames(), self.periods)), hours)

    def mapped_books(
        self, work: Callable[[Iterator[BookRows]], _T], hours: Sequence[int] | None = None
    ) -> Iterator[_T]:
        """The same for who needs the books only, with their best and worst prices, how many levels they have, and what
        rests at the touch: of an hour with columns no level is read, a hundredth of the work."""
        return self._each_hour(
            partial(_work_on_books, work), lambda: work(_pieces(self._frames(), self.periods)), hours, is_light=True
        )

    def _each_hour(
        self,
        work: Callable[[HourSource, Sequence[ContractPeriod], int], _T],
        of_frames: Callable[[], _T],
        hours: Sequence[int] | None,
        is_light: bool = False,
    ) -> Iterator[_T]:
        chosen = self.hours if hours is None else hours
        if self._hours is None:
            yield of_frames()
            return
        # To hand a light hour to another process of this machine, and back what it found, takes longer than its work.
        here = frozenset(chosen) - self.raw_hours if is_light and not self._is_elsewhere else frozenset()
        cores = min(os.cpu_count() or 1, len(chosen))
        if self.executor is None and cores < 2:
            here = frozenset(chosen)
        with ExitStack() as threads:
            executor = self.executor or threads.enter_context(ThreadPoolExecutor(cores or 1))
            yield from self._in_order(executor, partial(work, self._hours.source, self.periods), chosen, here)

    @property
    def _is_elsewhere(self) -> bool:
        return self.executor is not None and not isinstance(self.executor, ProcessPoolExecutor)

    def _in_order(
        self, executor: Executor, work: Callable[[int], _T], hours: Sequence[int], here: frozenset[int]
    ) -> Iterator[_T]:
        newest_raw = [hour_ms for hour_ms in hours if hour_ms in self.raw_hours][-_FIRST:]
        first = [*newest_raw, *(hour_ms for hour_ms in hours if hour_ms not in newest_raw)]
        waiting = deque(hour_ms for hour_ms in first if hour_ms not in here)
        futures: dict[int, Future[_T]] = {}
        try:
            for done, hour_ms in enumerate(hours, 1):
                while waiting and len(futures) < AT_ONCE:
                    begun = waiting.popleft()
                    futures[begun] = executor.submit(work, begun)
                yield work(hour_ms) if hour_ms in here else futures.pop(hour_ms).result()
                self.on_progress(done / len(hours))
        finally:
            for future in futures.values():
                future.cancel()

    def no_book(self) -> VaultError:
        """What is to be raised where no book of the span stands."""
        return VaultError(
            f"no book of {self.inst_id} stands between {utc_text(self.start_ms)} and {utc_text(self.end_ms)}.",
            f"l2vault coverage {self.inst_id}, for what the vault holds",
        )

    @property
    def contract(self) -> Contract:
        """As it was at the end of the span."""
        return self.periods[-1].contract


def standing_times(books: Books) -> pl.DataFrame:
    """When books stood: `t_from`, `t_to` (ms) of each stretch of time without a hole, in order. What lies between them
    is the holes. Reads the times of the books, and no levels where there are columns."""
    every = pl.concat([pl.DataFrame(schema=_TIMES), *books.mapped_books(_times_of)])
    stretch = (pl.col("t_from") > pl.col("t_to").shift()).fill_null(False).cum_sum()
    rows = every.group_by(stretch.alias("stretch"), maintain_order=True)
    return rows.agg(pl.col("t_from").first(), pl.col("t_to").last()).drop("stretch")


_TIMES: Final = pl.Schema({"t_from": pl.Int64, "t_to": pl.Int64})


def _times_of(pieces: Iterator[BookRows]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=_TIMES), *(piece.books.select(*_TIMES) for piece in pieces)])


def read_books(  # noqa: PLR0913 - three name the span
    vault: Vault | str | Path,
    inst_id: str,
    start: Moment,
    end: Moment,
    include_disputed: bool = False,
    resolution: Resolution = "lines",
) -> Books:
    """The books of `[start, end)` of a vault, without disputed and unverifiable ones unless asked for; of
    `changes` every book. Reads nothing but the instrument's rows yet.

    Raises VaultError for an instrument it does not hold or has no row of, UsageError for what is no time or no span.
    """
    vault = vault if isinstance(vault, Vault) else open_vault(vault)
    if inst_id not in vault.instruments():
        raise VaultError(f"the vault holds nothing of {inst_id}.", "l2vault ls, for what it holds")
    span = span_ms(start, end)
    periods = contract_periods(inst_id, vault.instrument_rows(inst_id), span)

    def changes() -> Books | None:
        if inst_id not in vault.change_catalog.instruments():
            return None
        return read_books(vault, inst_id, *span, include_disputed, "changes")

    beside = Beside(
        cover=lambda: vault.coverage(inst_id, *span),
        hours=lambda: _hours_of(vault, inst_id, span, include_disputed, resolution),
        trades=lambda: read_trades(vault.trades(), inst_id),
        context=lambda: read_context(vault.context(), inst_id, span),
        changes=changes,
        deep=lambda: read_deep(vault.deep(), inst_id, span),
        rpi=lambda: read_rpi(vault.rpi(), inst_id, span),
    )
    return Books(inst_id, span, _no_frames, periods, beside)


def _no_frames() -> Iterator[Frames]:
    """The books of a vault are read hour by hour, each where it is worked on."""
    return iter(())


def _hours_of(
    vault: Vault, inst_id: str, span: tuple[int, int], include_disputed: bool, resolution: Resolution
) -> Hours:
    left_out = tuple(joined(vault.left_out(inst_id, span, include_disputed)))
    source = HourSource(vault.layout.root, inst_id, span, resolution, left_out, sources_of(vault))
    every = tuple(vault.bearing_hours(inst_id, span, resolution))
    # What only the archive's vault holds is none of these.
    held = {forms.hour_ms: forms for forms in vault.catalog.hours(inst_id)}
    columns = (hour_ms for hour_ms in every if hour_ms in held and source.columns(vault, held[hour_ms]) is not None)
    return Hours(source, every, frozenset(every).difference(columns))


def newest_span(vault: Vault | str | Path, inst_id: str, length_ms: int) -> tuple[int, int]:
    """From at most so long (ms) before the newest line, and not before the first one, to just behind the newest.

    Raises VaultError if there is no line.
    """
    vault = vault if isinstance(vault, Vault) else open_vault(vault)
    newest_ms, first_ms = vault.newest_line_ms(inst_id), vault.first_line_ms(inst_id)
    if newest_ms is None or first_ms is None:
        raise VaultError(f"the vault holds no book of {inst_id}.", "l2vault ls, for what it holds")
    end_ms = newest_ms + 1
    return max(end_ms - length_ms, min(first_ms, newest_ms)), end_ms


def books_of(levels: pl.DataFrame, books: pl.DataFrame, contract: Contract, trades: Trades | None = None) -> Books:
    """The books of two frames: rows as `vault.levels(...).to_polars()` gives them, and `t_from`, `t_to` and `depth` of
    each book in order of time, none overlapping another; and trades, if there are any."""
    if not len(books):
        raise VaultError(f"no book of {contract.inst_id}: the frame of books is empty.", "at least one row")
    span = books["t_from"][0], books["t_to"][-1]
    periods = [ContractPeriod(*span, contract)]
    return Books(contract.inst_id, span, lambda: iter([(levels, books)]), periods, Beside(trades=lambda: trades))


_local = threading.local()


def _opened(source: HourSource) -> Vault:
    """The vault of a source, opened once in each thread for all hours of one span: each file of the journal is read
    once, and nothing that was read for another question is taken for new."""
    if getattr(_local, "source", None) != source:
        _local.vault, _local.source = open_sources(source.root, source.sources), source
    vault: Vault = _local.vault
    return vault


def _work_on(
    work: Callable[[Iterator[Piece]], _T], source: HourSource, periods: Sequence[ContractPeriod], hour_ms: int
) -> _T:
    return work(_pieces(source.frames(hour_ms), periods))


def _work_on_books(
    work: Callable[[Iterator[BookRows]], _T], source: HourSource, periods: Sequence[ContractPeriod], hour_ms: int
) -> _T:
    books = source.books(hour_ms)
    if books is None:
        return work(_pieces(source.frames(hour_ms), periods))
    return work(BookRows(some, contract) for some, contract in _cut_books(books, periods))


def _pieces(frames: Iterator[Frames], periods: Sequence[ContractPeriod]) -> Iterator[Piece]:
    """Each of one contract, and of at most so many books."""
    for levels, books in frames:
        for some, contract in _cut_books(books, periods):
            yield Piece(cut(levels, some["t_from"][0], some["t_to"][-1]), some, contract)


def _cut_books(books: pl.DataFrame, periods: Sequence[ContractPeriod]) -> Iterator[tuple[pl.DataFrame, Contract]]:
    for period in periods:
        held = cut(books, period.from_ms, period.to_ms)
        for at in range(0, len(held), _BOOKS_AT_ONCE):
            yield held.slice(at, _BOOKS_AT_ONCE), period.contract


def cut(rows: pl.DataFrame, from_ms: int, to_ms: int) -> pl.DataFrame:
    """The rows over `[from_ms, to_ms)`, cut to it."""
    if not len(rows) or (rows["t_from"].min() >= from_ms and rows["t_to"].max() <= to_ms):  # type: ignore[operator]
        return rows
    inside = rows.filter(pl.col("t_from") < to_ms, pl.col("t_to") > from_ms)
    return inside.with_columns(pl.col("t_from").clip(lower_bound=from_ms), pl.col("t_to").clip(upper_bound=to_ms))
