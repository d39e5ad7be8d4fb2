"""`Books`: the books of a span, and every measure of them as a method. `analytics` says what each measures."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Literal

from l2vault.analytics.contract import Unit
from l2vault.analytics.executors import worked_on
from l2vault.api.result import Result, result_of
from l2vault.api.snapshot import Snapshot
from l2vault.api.times import Amount, Duration, TimeLike, amount, amounts, duration_ms
from l2vault.book.utc import utc_text
from l2vault.vault.coverage.model import Coverage

if TYPE_CHECKING:
    from l2vault.analytics.books import Books as Read
    from l2vault.analytics.books import Result as Measured
    from l2vault.analytics.chance.evaluate import Measure
    from l2vault.analytics.walls.tracks import Sort

Show = Literal["mean", "min", "max", "last"]


class Books:
    """The books of one instrument over a half-open span. Each measure reads them anew, hour by hour, in bounded memory.

    Sizes are in `unit`: `usd` (the quote currency, at each level's price), `coin` or `contracts`; sizes that you give
    are numbers or text such as `"5M"`. Nothing is claimed beyond the farthest level seen: such a figure is null.
    Every measure raises UsageError for an impossible argument, and VaultError where no book of the span is known, or
    none has both bids and asks. Rows are in order of time unless a measure says otherwise; prices are in the quote
    currency, `_bps` are basis points (1e-4) of mid, shares run from 0 to 1.

    >>> books = l2vault.open("Vault").books("BTC-USDT-SWAP", last="5m")
    >>> books
    <Books of BTC-USDT-SWAP, 2024-08-20T03:04:58.001Z to 2024-08-20T03:09:58.001Z>
    >>> round(books.coverage.covered_share, 3)
    1.0
    >>> books.at("2024-08-20T03:05Z").best_bid
    59999.0
    """

    def __init__(self, read: "Read", book_at: Callable[[str, TimeLike], Snapshot]) -> None:
        self._read = read
        self._book_at = book_at

    @property
    def coverage(self) -> Coverage:
        """Every grid slot of the span in its state, and every hole; computed once."""
        found = self._read.coverage
        assert found is not None  # it is what a vault gave
        return found

    @property
    def inst_id(self) -> str:
        """OKX's name, such as `BTC-USDT-SWAP`."""
        return self._read.inst_id

    def at(self, time: TimeLike) -> Snapshot:
        """The book that stood at a time, be it in the span or not. Raises as `Vault.book_at` does."""
        return self._book_at(self.inst_id, time)

    def walls(  # noqa: PLR0913 - each says which walls
        self,
        min_size: Amount | None = None,
        unit: Unit = "usd",
        *,
        percentile: float | None = None,
        relative: float | None = None,
        per_order: Amount | None = None,
        times_usual: float | None = None,
        min_life: Duration | None = None,
        standing: bool = False,
        side: Literal["bid", "ask"] | None = None,
        sort: "Sort | None" = None,
        lives: bool = False,
        executor: Executor | None = None,
    ) -> Result:
        """Whale walls: a row per wall. A level is one if it is larger than chance would have it in this span, at least
        `times_usual` (20) times what is usual at its distance from mid, and stood for `min_life` (10 s) in sight. With
        `min_size`, or more than `percentile` per cent of the span's levels by their time, that size alone makes a wall,
        unless more is asked: `relative` times the mean of its 10 neighbours to either side, `per_order` an order on
        average (whales, not a crowd), or the two above. No row: no whale in sight.

        Columns: `track`, `side`, `price`, `began`, `end` (pulled, consumed, refilled, unknown, moved, left view, gap,
        standing), `t_from`, `t_to`, `seen_ms`, `lives`, `moves`, `peak`, `mean`, `orders`, `nearest_bps`, `size_end`,
        `times_usual`, `weight`, `standing_bps` and more. Where trades were recorded they decide the end: `traded` is
        what takers took at its price, `cancelled` what it lost without them, `consumed_share` the traded share of all
        that it lost; `end_from` is `trades`, `inferred` without them; all four are null where it stands, left view or
        met a hole. `standing` gives those that stand at the end of the span. Rows are sorted by `weight`: size times
        time in sight, or by `size`, `time`, `near` to mid; in order of birth with a size alone. With `lives` a row per
        unbroken stay instead, in order of birth. docs/intelligence.md defines them and says how far the causes can be
        trusted.

        The hours are worked on by all cores, or by any `concurrent.futures` executor you give, such as Dask's. Without
        one they are worked on in threads: processes cost 1 to 1.5 s of processor to start. Of a long span (from two
        days of columns, or four hours of lines, on) they are worked on in processes where no script runs (a notebook);
        a script gives such an executor.

        >>> walls = l2vault.open("Vault").books("BTC-USDT-SWAP").walls(min_size="500k")
        >>> walls.frame.select("side", "price", "began", "end", "lives").rows()
        [('ask', 60120.0, 'found', 'standing', 2)]
        """
        from l2vault.analytics.walls.tracks import sorted_by, tracks_of
        from l2vault.analytics.walls.walls import Criteria, walls

        least, each = (None if size is None else amount(size) for size in (min_size, per_order))
        min_life_ms = None if min_life is None else duration_ms(min_life)
        criteria = Criteria(least, percentile, relative, each, times_usual, min_life_ms)
        with worked_on(self._read, executor):
            measured = walls(self._read, unit, criteria)
        rows = measured.frame
        if not lives:
            last_mid = measured.provenance.settings["last_mid"]
            rows = tracks_of(rows, last_mid if isinstance(last_mid, float) else None)
            if sort is not None or not criteria.is_of_size_alone:
                rows = sorted_by(rows, sort or "weight")
        if side is not None:
            rows = rows.filter(side=side)
        return result_of(measured, rows.filter(end="standing") if standing else rows)

    def spread(
        self,
        step: Duration | None = None,
        unit: Unit = "usd",
        *,
        show: Show = "mean",
        executor: Executor | None = None,
    ) -> Result:
        """What crossing the book costs: `bid`, `ask`, `mid`, `microprice`, `spread` (prices), `spread_bps` of mid,
        `spread_ticks`, and `bid_size`, `ask_size` at the touch. `t_from`, `t_to`: while the book stood.

        A row per book, or with a `step` per step (multiples of it since 1970, those without a book left out): `show` is
        the figure of each, weighted by time; `covered_share` of it is known. `microprice`: Gatheral and Oomen 2010.
        `executor` as `walls` has it.

        >>> steps = l2vault.open("Vault").books("BTC-USDT-SWAP").spread(step="5m").frame
        >>> steps.select("t_from", "spread").rows()[0][1], len(steps)
        (2.0, 2)
        """
        from l2vault.analytics.metrics import spread

        with worked_on(self._read, executor):
            measured = spread(self._read, unit)
        return _stepped(measured, step, show)

    def imbalance(
        self,
        step: Duration | None = None,
        unit: Unit = "usd",
        *,
        levels: Sequence[int] = (1, 5, 10, 50),
        bands_bps: Sequence[float] | None = None,
        show: Show = "mean",
        executor: Executor | None = None,
    ) -> Result:
        """`(bids - asks) / (bids + asks)`, from -1 to 1, of the best N levels (`top10`) and of those within a band of
        mid (`5bps`; bands of 2, 5, 10, 25 by default). Null where that reaches beyond what was recorded of a side.
        Rows as `spread` has them. Source: Cartea, Donnelly, Jaimungal 2018, "Enhancing trading strategies with order
        book signals". `executor` as `walls` has it.

        >>> l2vault.open("Vault").books("BTC-USDT-SWAP").imbalance(step="5m").frame.columns
        ['t_from', 't_to', 'covered_share', 'top1', 'top5', 'top10', 'top50', '2bps', '5bps', '10bps', '25bps']
        """
        from l2vault.analytics.metrics import imbalance

        with worked_on(self._read, executor):
            measured = imbalance(self._read, unit, levels, _bands(bands_bps))
        return _stepped(measured, step, show)

    def depth(
        self,
        step: Duration | None = None,
        unit: Unit = "usd",
        *,
        bands_bps: Sequence[float] | None = None,
        show: Show = "mean",
        executor: Executor | None = None,
    ) -> Result:
        """What rests within bands of mid (`bid_5bps`), and in all that is visible: `bid_total`, `bid_visible_bps` (how
        far that is; infinite where the side is whole), `bid_largest` level, `bid_hhi` (Herfindahl index of level sizes:
        1/N if N are alike, 1 if one has all), `bid_per_order`; the same for asks. Rows as `spread` has them. Where deep
        books were recorded, bands beyond what is visible are filled from them; `deep_age_ms` is the age of the sample.
        Where RPI books were recorded, `rpi_bid_5bps` is what RPI orders held within the band, which is in no other
        measure, `rpi_bid_5bps_share` its share of all that rested there, and `rpi_age_ms` the age of that sample.
        `executor` as `walls` has it.

        >>> frame = l2vault.open("Vault").books("BTC-USDT-SWAP").depth(unit="contracts").frame
        >>> frame.select("bid_2bps", "ask_2bps").row(0)
        (11.0, 2.5)
        """
        from l2vault.analytics.metrics import depth

        with worked_on(self._read, executor):
            measured = depth(self._read, unit, bands_bps)
        return _stepped(measured, step, show)

    def slippage(
        self,
        sizes: Amount | Sequence[Amount] | None = None,
        step: Duration | None = None,
        *,
        show: Show = "mean",
        executor: Executor | None = None,
    ) -> Result:
        """What market orders of `sizes` (quote currency; 10k to 10M by default) would cost, walking the visible levels:
        `buy_100k_avg` and `_worst` price, and `_bps`, the average against mid; the same for `sell`. Without fees and
        impact; null where the visible levels run out. Rows as `spread` has them; `executor` as `walls` has it.

        >>> frame = l2vault.open("Vault").books("BTC-USDT-SWAP").slippage("1k").frame
        >>> [round(cost, 4) for cost in frame.select("buy_1k_bps", "sell_1k_bps").row(0)]
        [0.1667, 0.1667]
        """
        from l2vault.analytics.metrics import SIZES, slippage

        with worked_on(self._read, executor):
            measured = slippage(self._read, SIZES if sizes is None else amounts(sizes))
        return _stepped(measured, step, show)

    def zones(
        self,
        width: float | None = None,
        unit: Unit = "usd",
        *,
        presence: float = 2.0,
        passed: bool = False,
        far: bool = False,
        executor: Executor | None = None,
    ) -> Result:
        """Support below the price and resistance above it: a row per bucket of price of this `width` (a round one by
        how far price moved without), best `score` first: `side`, `price_from`, `price_to`, `size` (mean), `peak`,
        `persistence` (share of the time with at least `presence` times the usual size), `seen_share`, `tests`,
        `holds`, `breaks` (a test that is neither is open), `t_first`, `t_last` and more; docs/intelligence.md defines
        the score. With `passed` those too that price has left behind, of which `is_current` is false. With `far` those
        of the deep books too, where they were recorded, in buckets of which the books themselves saw nothing: then
        `source` is `books` or `books-full`, and `age_ms` the age of the newest sample. `executor` as `walls` has it.

        >>> zones = l2vault.open("Vault").books("BTC-USDT-SWAP").zones(width=100).frame
        >>> zones.select("side", "price_from", "price_to").rows()[0]
        ('ask', 60100.0, 60200.0)
        """
        from l2vault.analytics.zones.zones import with_far, zones

        with worked_on(self._read, executor):
            measured = zones(self._read, unit, width, presence)
        if far:
            measured = with_far(self._read, measured, unit)
        return result_of(measured, measured.frame if passed else measured.frame.filter("is_current"))

    def shifts(
        self,
        horizon: Duration = "1m",
        unit: Unit = "usd",
        *,
        bands_bps: Sequence[float] | None = None,
        alert: float | None = None,
        false_alarms: float = 1.0,
        executor: Executor | None = None,
    ) -> Result:
        """Liquidity that came and went: a row per window of `horizon`, `side` and `band` of distance from mid, in order
        of time: `added`, `pulled`, `consumed`, `moved_in`, `moved_out`, `net`, and `z`, how many standard deviations
        the net flow is off (null in fewer than 10 windows that saw all of the band); `is_alert` where that is over
        `alert`, or without it over what chance gives `false_alarms` times a day in all windows, sides and bands.
        `executor` as `walls` has it.

        >>> shifts = l2vault.open("Vault").books("BTC-USDT-SWAP").shifts(unit="contracts").frame
        >>> shifts.filter(side="bid", band="0-2").select("added", "net").row(0)
        (29.0, 29.0)
        """
        from l2vault.analytics.flow.liquidity_flow import shifts

        with worked_on(self._read, executor):
            measured = shifts(self._read, unit, duration_ms(horizon), _bands(bands_bps), alert, false_alarms)
        return result_of(measured)

    def flow(
        self,
        step: Duration = "1m",
        *,
        bands_bps: Sequence[float] | None = None,
        large: Amount | None = None,
        bucket: float | None = None,
        executor: Executor | None = None,
    ) -> Result:
        """What takers did and what the book did, a row per step (multiples since 1970), in order of time. Needs trades;
        without them only the book's half has values.

        Of trades: `proved_share` (of the step's time in which none is missing), `trades` (OKX's ids), `buy_`, `sell_`,
        `net_` and `cum_` (cumulative delta) `contracts` and `usd` (quote currency), `large_orders`, `large_buy_usd`,
        `large_sell_usd` (an order is large from `large` on, by default what 99 % of the span's are below), `vpin` (0 to
        1) over 50 buckets of `bucket` contracts. Of books: `ofi_touch_usd` and within bands of mid (`ofi_2bps_usd`;
        2 and 5 by default), with `ofi_from`, `changes` (exact) or `books` (net), and `ofi_covered_share`; `mid` at the
        end, `mid_change_bps`. Of both: Kyle's lambda, `lambda_bps_per_musd` (bps per million of net quote currency),
        its `lambda_error` of `lambda_moves`; `hits` of depth and `recovered_10s_share` of what they took. Beside it
        `mark`, `index`, `basis_bps`, `funding_rate`, `open_interest_contracts`, `_usd` and `_change_contracts`.

        Null is what is not known. `provenance.settings` has what is said of the whole span: the `largest` orders, the
        same lambda, `resilience`. docs/intelligence.md has formulas and sources. `executor` as `walls` has it.

        >>> flow = l2vault.open("Vault").books("BTC-USDT-SWAP").flow()
        >>> flow.frame.select("buy_contracts", "sell_contracts", "net_contracts", "cum_contracts").row(1)
        (180.0, 120.0, 60.0, 120.0)
        >>> round(flow.frame["basis_bps"][0], 3), flow.provenance.settings["orders"]
        (-0.433, 596)
        """
        from l2vault.analytics.flow.flow import BANDS, Ask, flow

        least_usd = None if large is None else amount(large)
        with worked_on(self._read, executor):
            measured = flow(self._read, Ask(duration_ms(step), bands_bps or BANDS, least_usd, bucket))
        return result_of(measured)

    def evaluate(
        self,
        *measures: "Measure",
        window: Duration = "10m",
        turn_bps: float | None = None,
        seed: int = 0,
        executor: Executor | None = None,
    ) -> Result:
        """Is it more than chance? Of `walls`, `zones`, `imbalance` and `flow` (all, without a name) a row per question,
        with `q` over all of them: ask for what you want to know in one call.

        Walls and zones are found in one `window`, which divides the hour, and tested in the next: `held` is the share
        of decided visits after which price turned by `turn_bps` (a fifth of its range in a window without) before it
        went through by as much. `pulled` is the share of ended walls that were cancelled, as trades tell it, or
        `inferred` where none were recorded (`end_from`); `hit` that of moves over `horizon_ms` which had the sign of
        the `signal`. Columns: `measure`, `what`, `signal`, `side`, `horizon_ms`, `events`, `successes`, `open`
        (neither), `rate`, its 95 % interval `low`, `high`, the `chance` of the same, the ratio `lift`, `p`, `q`,
        `is_edge` (q below 0.05), `median_ms` to break, `chance_median_ms`, `missing`: why there is no rate, such as
        fewer than 30 events or less than 99 % coverage of books, or of trades where the row rests on them; and
        `end_from`. The same `seed` gives the same figures. docs/evaluate.md says how chance is drawn. `executor` as
        `walls` has it.

        >>> result = l2vault.open("Vault").books("BTC-USDT-SWAP").evaluate("zones")
        >>> result.frame.select("what", "side", "rate", "missing").row(0)
        ('held', 'both', None, 'price never moved, 0 of 30 events, covered 98.71 % of 99 %')
        """
        from l2vault.analytics.chance.evaluate import MEASURES, Ask, evaluate

        with worked_on(self._read, executor):
            return result_of(evaluate(self._read, measures or MEASURES, Ask(duration_ms(window), turn_bps, seed=seed)))

    def heatmap(
        self,
        unit: Unit = "usd",
        *,
        columns: int | None = None,
        rows: int | None = None,
        executor: Executor | None = None,
    ) -> Result:
        """Price against time: a row per side and cell within the visible range, empty or not: `t_from`, `t_to`, `side`,
        `price_from`, `price_to`, `size` (mean of what rested there), `seen_share`. At most so many `columns` of time
        and `rows` of price. `executor` as `walls` has it.

        >>> cells = l2vault.open("Vault").books("BTC-USDT-SWAP").heatmap(columns=10, rows=20)
        >>> cells.provenance.settings["bin_ms"]
        60000
        """
        from l2vault.analytics.heatmap.heatmap import COLUMNS, ROWS, heatmap

        with worked_on(self._read, executor):
            grid = heatmap(self._read, unit, columns or COLUMNS, rows or ROWS)
        return Result(grid.frame(), grid.provenance)

    def __repr__(self) -> str:
        read = self._read
        return f"<Books of {read.inst_id}, {utc_text(read.start_ms)} to {utc_text(read.end_ms)}>"


def _stepped(measured: "Measured", step: Duration | None, show: Show) -> Result:
    if step is None:
        return result_of(measured, is_per_book=True)
    from l2vault.analytics.resample import by_step

    return result_of(measured, by_step(measured.frame, duration_ms(step), show))


def _bands(bands_bps: Sequence[float] | None) -> Sequence[float]:
    from l2vault.analytics.book_matrix import BANDS_BPS

    return BANDS_BPS if bands_bps is None else bands_bps
