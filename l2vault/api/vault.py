"""`open`, and `Vault`: what a folder holds, read by name of instrument and time. Loads an analysis library only in the
methods that need one."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, overload

from l2vault.api.snapshot import Contracts, Snapshot
from l2vault.api.snapshots import Snapshots, Tail
from l2vault.api.times import Duration, TimeLike, duration_ms, to_ms
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError, VaultError, analysis_extra
from l2vault.foreign import printable
from l2vault.vault.coverage.model import Coverage, Source
from l2vault.vault.reading import vault as reader
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.reading.follow import POLL_SEC, FollowLines, FollowTrades
from l2vault.vault.reading.sources import open_sources
from l2vault.vault.reading.vault import Resolution
from l2vault.vault.store.catalog import Findings
from l2vault.vault.store.instruments import read_row
from l2vault.vault.store.layout import HOUR_MS
from l2vault.vault.store.names import held_instruments

if TYPE_CHECKING:
    import duckdb

    from l2vault.api.books import Books
    from l2vault.api.context import Context, ContextTail
    from l2vault.api.deep import DeepBooks, RpiBooks
    from l2vault.api.result import Result
    from l2vault.api.tables import Levels
    from l2vault.api.trades import Trades, TradeTail

_OPEN_CURE: Final = "l2vault.open(FOLDER) with the folder that the recorder writes to; `l2vault record` makes one"


def open_vault(path: str | os.PathLike[str] = "Vault", sources: Sequence[Source] | None = None) -> "Vault":
    """The vault at `path`, the folder a recorder writes to. Reads nothing yet, and never writes.

    With `sources=("recorded", "archive")` books, trades, funding and deep books of OKX's archive (`l2vault backfill`)
    stand in where none was recorded; the time in which they do is `archive` in every coverage, never `recorded`, and a
    row says so in its `origin`. `sources=("archive",)`: they alone.
    Without `sources`: what was recorded, and the holes that `l2vault repair` filled; `("recorded",)` leaves those out.

    Raises `l2vault.errors.VaultError`, which names the cure, if there is no vault; UsageError for no such source.

    >>> l2vault.open("Vault").instruments
    ['BTC-USDT-SWAP']
    >>> l2vault.open("elsewhere")
    Traceback (most recent call last):
    l2vault.errors.VaultError: no vault at elsewhere. Try: l2vault.open(FOLDER) with the folder that ...
    """
    try:
        return Vault(open_sources(os.fspath(path), sources))
    except VaultError as error:
        if sources and "archive" in sources:
            raise
        raise VaultError(error.message, _OPEN_CURE) from None


class Vault:
    """A vault, open for reading; `l2vault.open` gives one.

    Names of instruments are taken in any case. A span is `last` (`"2h"`: so long up to just behind the newest book,
    whether or not the vault holds so much: coverage says) or `start` and `end` (half-open; without an `end` up to just
    behind the newest book, without a `start` from the first one), or all there is. Times are any `TimeLike`: ISO text,
    an aware datetime, a date, pandas, numpy, milliseconds, "now". What the vault does not hold raises VaultError with a
    cure; what is no time or length, UsageError.

    >>> vault = l2vault.open("Vault")
    >>> vault
    <Vault 'Vault': 1 instrument, 2024-08-20 03:00 to 2024-08-20 04:00 UTC>
    >>> vault.books("btc-usdt-swap", last="5m").spread(step="1m").frame.columns[:4]
    ['t_from', 't_to', 'covered_share', 'bid']
    """

    def __init__(self, read: reader.Vault) -> None:
        self._read = read

    @property
    def instruments(self) -> list[str]:
        """Every instrument of which there is an hour in any form, sorted."""
        return self._read.instruments()

    def books(
        self,
        inst_id: str,
        *,
        last: Duration | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        include_disputed: bool = False,
        resolution: Resolution = "lines",
    ) -> "Books":
        """The books of a span, for every measure: `vault.books("BTC-USDT-SWAP", last="2h").walls()`. With
        `resolution="changes"` every book that a push of OKX's left, where the recorder kept the changes.

        Books that two sources contradicted, or that nothing could verify, are left out unless `include_disputed`. Needs
        the extra `analysis`, and OKX's instrument row, which the recorder keeps: VaultError says so otherwise.
        """
        with analysis_extra():
            from l2vault.analytics.books import read_books
            from l2vault.api.books import Books
        name = self._held(inst_id)
        span = books_span(self._read, name, last, start, end, resolution)
        return Books(read_books(self._read, name, *span, include_disputed, resolution), self.book_at)

    def flow(
        self,
        inst_id: str,
        *,
        last: Duration | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        step: Duration = "1m",
    ) -> "Result":
        """Signed volume, large orders, order-flow imbalance, VPIN, price impact and resilience of a span, a row per
        step: `books(inst_id, ...).flow(step)`, which has more arguments and says what each column is.

        >>> l2vault.open("Vault").flow("BTC-USDT-SWAP", last="5m", step="1m").frame["net_contracts"].sum()
        298.0
        """
        return self.books(inst_id, last=last, start=start, end=end).flow(step)

    def snapshots(
        self,
        inst_id: str,
        *,
        last: Duration | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        resolution: Resolution | None = None,
        every: Duration | None = None,
    ) -> Snapshots:
        """The recorded books of a span, to iterate, or as a frame: `.to_polars(levels=10)`. Iterating needs no analysis
        library as long as no archived hour is read.

        With `resolution="changes"` the book after each push, where the recorder kept the changes; with `every` the book
        at each multiple of that length, such as `"100ms"`, but none twice that has not changed.
        """
        name = self._held(inst_id)
        span = self._span(name, last, start, end)
        every_ms = None if every is None else duration_ms(every)
        chosen = resolution or ("lines" if every is None else "changes")
        return Snapshots(self._read.snapshots(name, *span, chosen, every_ms), self._contracts(name))

    def book_at(self, inst_id: str, time: TimeLike, resolution: Resolution = "lines") -> Snapshot:
        """The last recorded book at or before a time. `state` says what is known of the time itself: `recorded` or
        `quiet` if the book still stood then; otherwise it is the last one known before a hole, `age_ms` old. With
        `resolution="changes"` it is the book after the last push, where the recorder kept the changes.

        Raises VaultError where the vault has no book so early.

        >>> l2vault.open("Vault").book_at("BTC-USDT-SWAP", "2024-08-20T03:02:03Z")
        <Snapshot BTC-USDT-SWAP 2024-08-20T03:02:00.000Z: 59999 / 60001, 2 bids, 2 asks, 3 s old (missing: chain)>
        """
        name, t_ms = self._held(inst_id), to_ms(time)
        found = self._read.book_at(name, t_ms, resolution=resolution)
        if found is None:
            first_ms = self._read.first_line_ms(name)
            cure = "l2vault verify" if first_ms is None else f"{utc_text(first_ms)} or later"
            raise VaultError(f"the vault holds no book of {name} at or before {utc_text(t_ms)}.", cure)
        warned = Findings()
        for finding in found.findings:
            warned.report(finding)
        return Snapshot(found.snapshot, self._contracts(name), found.state, found.cause, found.age_ms)

    @overload
    def follow(
        self,
        inst_id: str,
        since: TimeLike | None = None,
        poll_sec: float = POLL_SEC,
        resolution: Resolution = "lines",
        kind: Literal["books"] = "books",
    ) -> Tail: ...

    @overload
    def follow(
        self,
        inst_id: str,
        since: TimeLike | None = None,
        poll_sec: float = POLL_SEC,
        *,
        kind: Literal["trades"],
    ) -> "TradeTail": ...

    @overload
    def follow(
        self,
        inst_id: str,
        since: TimeLike | None = None,
        poll_sec: float = POLL_SEC,
        *,
        kind: Literal["context"],
    ) -> "ContextTail": ...

    def follow(
        self,
        inst_id: str,
        since: TimeLike | None = None,
        poll_sec: float = POLL_SEC,
        resolution: Resolution = "lines",
        kind: Literal["books", "trades", "context"] = "books",
    ) -> "Tail | TradeTail | ContextTail":
        """Each new book as a running recorder writes it: `for book in vault.follow("BTC-USDT-SWAP"): ...`, for ever.

        From now on, or from the first book at `since`; looks every `poll_sec` seconds. Needs no analysis library. With
        `resolution="changes"` the book after each push, where the recorder keeps the changes; with `kind="trades"` each
        `Trade`, with `kind="context"` each line of the context.
        """
        name = inst_id.upper()
        # An instrument whose recording has just begun has its row, but no file yet.
        if name not in self.instruments and read_row(self._read.layout, name) is None:
            name = self._held(inst_id)
        since_ms = None if since is None else to_ms(since)
        if kind != "books" and resolution != "lines":
            raise UsageError(f"{kind} have no resolution.", f"kind='{kind}' alone")
        if kind == "trades":
            from l2vault.api.trades import TradeTail

            rows = FollowTrades(self._read.layout, name, since_ms, poll_sec, time.sleep)
            return TradeTail(name, rows, self._contracts(name))
        if kind == "context":
            from l2vault.api.context import ContextTail
            from l2vault.book.context import from_line

            of_context = self._read.layout.of("context")
            return ContextTail(name, FollowLines(of_context, name, since_ms, poll_sec, time.sleep, from_line))
        return Tail(name, self._read.follow(name, since_ms, poll_sec, resolution=resolution), self._contracts(name))

    def coverage(
        self,
        inst_id: str,
        *,
        last: Duration | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
    ) -> Coverage:
        """What is known of every slot of a span, and every hole with its cause. `covered_share` is the share of slots
        that are recorded or provably unchanged. Without bounds up to the newest evidence, lines or journal.

        >>> coverage = l2vault.open("Vault").coverage("BTC-USDT-SWAP", last="1m")
        >>> coverage.covered_share, coverage.holes
        (1.0, [])
        """
        name = self._held(inst_id)
        if last is None and start is None and end is None:
            return self._read.coverage(name)
        return self._read.coverage(name, *self._span(name, last, start, end))

    def context(
        self,
        inst_id: str,
        *,
        last: Duration | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
    ) -> "Context":
        """Mark and index price, funding, open interest and price limits over a span: `.frame`, and `.coverage` per
        value. Without an `end` up to just behind the newest line of context, without a `start` from its first one.

        Raises VaultError where the vault holds no context of the instrument.

        >>> context = l2vault.open("Vault").context("BTC-USDT-SWAP", last="5m")
        >>> context.frame.select((l2vault.open("Vault").context("BTC-USDT-SWAP").frame["mark"] > 0).all()).item()
        True
        """
        from l2vault.api.context import Context

        reader = self._read.context()
        name = held_instruments([inst_id], sorted({*self.instruments, *reader.instruments()}))[0]
        bounds = reader.bounds(name)
        if bounds is None:
            raise VaultError(
                f"the vault holds no context of {name}.", "l2vault record, which records it unless context = false"
            )
        return Context(reader, name, span_within(bounds, last, start, end, f"context of {name}"))

    def deep(
        self,
        inst_id: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        last: Duration | None = None,
    ) -> "DeepBooks":
        """The book of 5000 levels a side over a span, sampled each 30 s: to iterate, or as a frame, with `.coverage`.
        Iterating needs no analysis library as long as no archived hour is read. Without an `end` up to just behind the
        newest sample, without a `start` from the first one.

        Raises VaultError where the vault holds no deep books of the instrument.

        >>> sample = next(iter(l2vault.open("Vault").deep("BTC-USDT-SWAP", "2024-08-20T03:05Z", "2024-08-20T03:06Z")))
        >>> sample.asks[-1], sample.seq_id
        (('61410', '5', '2'), None)
        """
        from l2vault.api.deep import DeepBooks

        reader = self._read.deep()
        name, span = self._sampled(reader, inst_id, (start, end), last)
        return DeepBooks(reader, name, span, self._contracts(name))

    def rpi(
        self,
        inst_id: str,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        *,
        last: Duration | None = None,
    ) -> "RpiBooks":
        """The book with its RPI orders over a span, sampled each 30 s: to iterate, or as a frame, with `.coverage`, as
        `deep` gives the deep book. What is read is always what was recorded: OKX has no archive of it.

        Raises VaultError where the vault holds no RPI books of the instrument.

        >>> l2vault.open("Vault").rpi("BTC-USDT-SWAP").at("2024-08-20T03:05Z").bids[0]
        ('59999', '12.5', '10', '4')
        """
        from l2vault.api.deep import RpiBooks

        reader = self._read.rpi()
        name, span = self._sampled(reader, inst_id, (start, end), last)
        return RpiBooks(reader, name, span, self._contracts(name))

    def _sampled(
        self,
        sampled: DeepReader,
        inst_id: str,
        bounds: tuple[TimeLike | None, TimeLike | None],
        last: Duration | None,
    ) -> tuple[str, tuple[int, int]]:
        """The instrument and the span that are asked for, of those that were sampled."""
        name = held_instruments([inst_id], sorted({*self.instruments, *sampled.instruments()}))[0]
        held, channel = sampled.bounds(name), sampled.channel
        if held is None:
            cure = f'{channel.kind} = ["{name}"], or l2vault record --{channel.kind}'
            raise VaultError(f"the vault holds no {channel.noun}s of {name}.", cure)
        return name, span_within(held, last, *bounds, f"{channel.noun} of {name}")

    def trades(
        self,
        inst_id: str,
        *,
        last: Duration | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
    ) -> "Trades":
        """The trades of a span, each of OKX's ids once and in order: to iterate, or as a frame, with `.coverage`.
        Iterating needs no analysis library as long as no archived hour is read. Without an `end` up to just behind the
        newest trade, without a `start` from the first one.

        A row is the matches of one taker order at one price, and stands for as many ids as OKX counted.

        Raises VaultError where the vault holds no trades of the instrument.

        >>> [trade.side for trade in l2vault.open("Vault").trades("BTC-USDT-SWAP", last="2s")]
        ['buy', 'sell']
        """
        from l2vault.api.trades import Trades

        reader = self._read.trades()
        name = held_instruments([inst_id], sorted({*self.instruments, *reader.noted_instruments()}))[0]
        bounds = reader.evidence(name)
        if bounds is None:
            raise VaultError(
                f"the vault holds no trades of {name}.", "l2vault record, which records them unless trades = false"
            )
        span = span_within(bounds, last, start, end, f"trade of {name}")
        return Trades(reader, name, span, self._contracts(name))

    def levels(
        self,
        inst_id: str,
        *,
        last: Duration | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        resolution: Resolution = "lines",
    ) -> "Levels":
        """The level-interval table of a span: a row for as long as a level keeps its quantity and order count, as
        `.to_polars()`, `.to_pandas()`, `.to_arrow()`. Needs the extra `analysis`. With `resolution="changes"` rows
        begin and end with the very push, where the recorder kept the changes.

        >>> table = l2vault.open("Vault").levels("BTC-USDT-SWAP", last="1m")
        >>> table.to_polars().columns
        ['side', 'price', 'qty', 'orders', 't_from', 't_to']
        """
        with analysis_extra():
            from l2vault.api.tables import Levels
        name = self._held(inst_id)
        return Levels(self._read.levels(name, *self._span(name, last, start, end), resolution=resolution))

    def duckdb(
        self,
        inst_id: str,
        *,
        last: Duration | None = None,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        levels: int = 10,
    ) -> "duckdb.DuckDBPyConnection":
        """A DuckDB connection in memory with six tables of a span, whatever form its hours have (plain, gzip,
        archive): `snapshots` (as `Snapshots.to_polars(levels)`), `levels` (as `Vault.levels`), `holes` (as
        `Coverage.to_polars`), `trades` (as `Trades.to_polars`), `trade_holes` (as `TradeCoverage.to_polars`) and
        `context` (as `Context.to_polars`); empty where none was recorded. Times are `TIMESTAMPTZ`, and the session's
        zone is UTC.

        All of it is read at once: a day of one instrument, 18 million rows of levels, took 1.1 GB and half a minute of
        processor time. Close the connection when done.

        >>> with l2vault.open("Vault").duckdb("BTC-USDT-SWAP", last="5m") as sql:
        ...     sql.sql("SELECT count(*), max(spread_bps) < 1 FROM snapshots").fetchall()
        [(150, True)]
        """
        with analysis_extra():
            from l2vault.api.context import Context
            from l2vault.api.tables import connected
            from l2vault.api.trades import Trades
        name = self._held(inst_id)
        span = start_ms, end_ms = self._span(name, last, start, end)
        trades = Trades(self._read.trades(), name, span, self._contracts(name))
        return connected(
            {
                "snapshots": self.snapshots(name, start=start_ms, end=end_ms).to_arrow(levels),
                "levels": self.levels(name, start=start_ms, end=end_ms).to_arrow(),
                "holes": self.coverage(name, start=start_ms, end=end_ms).to_polars().to_arrow(),
                "trades": trades.to_arrow(),
                "trade_holes": trades.coverage.to_polars().to_arrow(),
                "context": Context(self._read.context(), name, span).to_arrow(),
            }
        )

    def _held(self, inst_id: str) -> str:
        return held_instruments([inst_id], self.instruments)[0]

    def _contracts(self, inst_id: str) -> Contracts:
        return Contracts(self._read.instrument_rows, inst_id)

    def _span(
        self, inst_id: str, last: Duration | None, start: TimeLike | None, end: TimeLike | None
    ) -> tuple[int, int]:
        return books_span(self._read, inst_id, last, start, end)

    def __repr__(self) -> str:
        names = self.instruments
        every = [forms.hour_ms for name in names for forms in self._read.catalog.hours(name)]
        bounds = (min(every), max(every) + HOUR_MS) if every else ()
        span = " to ".join(utc_text(bound)[:16].replace("T", " ") for bound in bounds)
        count = f"{len(names)} instrument{'' if len(names) == 1 else 's'}"
        return f"<Vault '{printable(self._read.layout.root)}': {count}, {f'{span} UTC' if span else 'no books yet'}>"


def books_span(  # noqa: PLR0913 - three name the span
    vault: reader.Vault,
    inst_id: str,
    last: Duration | None,
    start: TimeLike | None,
    end: TimeLike | None,
    resolution: Resolution = "lines",
) -> tuple[int, int]:
    """`span_within` of the books that a vault holds of an instrument. Of changes it ends with the newest that can be
    read, which are written later than lines. Raises VaultError where none can be read."""
    first_ms, newest_ms = vault.first_line_ms(inst_id), vault.newest_line_ms(inst_id)
    if first_ms is None or newest_ms is None:
        raise VaultError(f"the vault holds no book of {inst_id} that can be read.", "l2vault verify")
    changes = vault.change_bounds(inst_id) if resolution == "changes" else None
    held = (first_ms, newest_ms) if changes is None else (min(first_ms, changes[0]), changes[1])
    return span_within(held, last, start, end, f"book of {inst_id}")


def span_within(
    held: tuple[int, int], last: Duration | None, start: TimeLike | None, end: TimeLike | None, what: str
) -> tuple[int, int]:
    """The span asked for, of what is held from a first to a newest time. Raises UsageError for one that contradicts
    itself, VaultError for one of which nothing is held."""
    if last is not None and start is not None:
        raise UsageError("`last` and `start` both say where the span begins.", "one of them")
    first_ms, newest_ms = held
    end_ms = newest_ms + 1 if end is None else to_ms(end)
    start_ms = first_ms if start is None else to_ms(start)
    if last is not None:
        start_ms = max(0, end_ms - duration_ms(last))
    if start is not None and end is not None and start_ms >= end_ms:
        raise UsageError(
            f"the span from {utc_text(start_ms)} to {utc_text(end_ms)} is empty.", "a start before the end"
        )
    if start_ms >= end_ms or start_ms > newest_ms or end_ms <= first_ms:
        bounds = f"{utc_text(first_ms)} to {utc_text(newest_ms)}"
        raise VaultError(f"the vault holds no {what} in that span.", f"a time in {bounds}")
    return start_ms, end_ms
