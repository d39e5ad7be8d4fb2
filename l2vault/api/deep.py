"""`DeepBooks`: the book of 5000 levels a side, sampled each 30 s, over a span: to iterate, or as a frame; `RpiBooks`:
the same of the book with its RPI orders."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from l2vault.api.frames import Frames
from l2vault.api.snapshot import Contracts
from l2vault.api.times import TimeLike, to_ms, with_times
from l2vault.book.deep import DeepLevel, DeepSample, rpi_quantity
from l2vault.book.utc import utc_text
from l2vault.errors import VaultError, analysis_extra
from l2vault.vault.coverage.deep import DeepCoverage
from l2vault.vault.reading.deep import DeepReader

if TYPE_CHECKING:
    import polars as pl

    from l2vault.analytics.contract import Contract


class DeepBooks(Frames, Iterable[DeepSample]):
    """The deep book of one instrument over a half-open span: a sample for each time at which OKX's REST was asked, in
    order, with `ts_ms`, `bids` and `asks` (best first; price, quantity in contracts and orders as OKX's own text),
    `seq_id` (None: OKX gives none of it), `recv_us`, its arrival, and `origin`: `recorded`, or `archive` where it is
    made of OKX's archive. Read anew each time it is iterated.

    >>> deep = l2vault.open("Vault").deep("BTC-USDT-SWAP", last="2m")
    >>> deep
    <DeepBooks of BTC-USDT-SWAP, 2024-08-20T03:07:40.001Z to 2024-08-20T03:09:40.001Z>
    >>> [len(sample.bids) for sample in deep]
    [45, 45, 45, 45]
    >>> deep.coverage.share()
    1.0
    """

    def __init__(self, reader: DeepReader, inst_id: str, span: tuple[int, int], contracts: Contracts) -> None:
        self.inst_id = inst_id
        self.start_ms, self.end_ms = span
        self._reader = reader
        self._contracts = contracts
        super().__init__()

    def __iter__(self) -> Iterator[DeepSample]:
        self._findings.clear()
        return self._reader.samples(self.inst_id, (self.start_ms, self.end_ms), self._findings.report)

    def at(self, time: TimeLike) -> DeepSample:
        """The newest sample at or before a time, be it in the span or not. Raises VaultError where there is none.

        >>> l2vault.open("Vault").deep("BTC-USDT-SWAP").at("2024-08-20T03:05Z").ts_ms
        1724123080000
        """
        t_ms = to_ms(time)
        found = self._reader.at(self.inst_id, t_ms, self._findings.report)
        if found is None:
            channel = self._reader.channel
            words = f"no {channel.noun} of {self.inst_id} at or before {utc_text(t_ms)}."
            raise VaultError(words, f"l2vault coverage --kind {channel.kind}, for what there is")
        return found

    @property
    def coverage(self) -> DeepCoverage:
        """Where the span was sampled, and why not elsewhere."""
        return self._reader.coverage(self.inst_id, (self.start_ms, self.end_ms))

    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """A row per level of each sample, in order: `time` (of the sample), `side`, `rank` (1 is the best), `price`,
        `size` (contracts), `usd` (in the quote currency), `orders`, `origin` (`recorded`, or `archive`). A sample of
        5000 levels a side is 10,000 rows.

        Times are `Datetime("ms", "UTC")`, with `raw` integers of milliseconds. Raises VaultError without the extra
        `analysis`, or where the vault has no row of the instrument.

        >>> frame = l2vault.open("Vault").deep("BTC-USDT-SWAP", last="30s").to_polars()
        >>> frame.filter(side="ask").select("rank", "price", "size", "usd", "orders").row(-1)
        (45, 61410.0, 5.0, 3070.5, 2)
        """
        return self._frame(raw, _DEEP)

    def _frame(self, raw: bool, schema: dict[str, str]) -> "pl.DataFrame":
        with analysis_extra():
            import polars as pl
        columns: dict[str, list[object]] = {name: [] for name in schema}
        for sample in self:
            contract = self._contracts.at(sample.ts_ms)
            for side, levels in (("bid", sample.bids), ("ask", sample.asks)):
                prices, sizes = ([float(level[at]) for level in levels] for at in (0, 1))
                columns["time"] += [sample.ts_ms] * len(levels)
                columns["side"] += [side] * len(levels)
                columns["rank"] += range(1, len(levels) + 1)
                columns["price"] += prices
                columns["size"] += sizes
                columns["usd"] += [contract.sizes(*pair, "usd") for pair in zip(sizes, prices, strict=True)]
                columns["orders"] += [int(level[-1]) for level in levels]
                columns["origin"] += [sample.origin] * len(levels)
                for name, values in self._own_columns(levels, prices, contract).items():
                    columns[name] += values
        types = {"i": pl.Int64(), "s": pl.String(), "f": pl.Float64()}
        frame = pl.DataFrame(columns, {name: types[kind] for name, kind in schema.items()})
        return frame if raw else with_times(frame)

    def _own_columns(
        self, levels: Sequence[DeepLevel], prices: Sequence[float], contract: "Contract"
    ) -> dict[str, list[float]]:
        """Those of these levels that deep books do not have."""
        return {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.inst_id}, {utc_text(self.start_ms)} to {utc_text(self.end_ms)}>"


class RpiBooks(DeepBooks):
    """The book of one instrument with its RPI (retail price improvement) orders, over a half-open span: a sample for
    each time at which OKX's REST `books-rpi` was asked, in order, with `ts_ms`, `bids` and `asks` (at most 400 of each,
    best first; price, quantity in contracts in all, quantity without RPI orders, and orders as OKX's own text),
    `seq_id` and `recv_us`, its arrival. Read anew each time it is iterated. RPI orders are in no other book that a
    vault holds.

    >>> rpi = l2vault.open("Vault").rpi("BTC-USDT-SWAP", last="1m")
    >>> rpi
    <RpiBooks of BTC-USDT-SWAP, 2024-08-20T03:08:40.001Z to 2024-08-20T03:09:40.001Z>
    >>> [sample.asks[0] for sample in rpi]
    [('60000.5', '4', '0', '1'), ('60000.5', '4', '0', '1')]
    """

    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """A row per level of each sample, in order: `time` (of the sample), `side`, `rank` (1 is the best), `price`,
        `size` (contracts in all), `non_rpi` and `rpi` (the contracts of it that are of other and of RPI orders), `usd`
        and `rpi_usd` (the size and the RPI part in the quote currency), `orders`, `origin`.

        Times are `Datetime("ms", "UTC")`, with `raw` integers of milliseconds. Raises VaultError without the extra
        `analysis`, or where the vault has no row of the instrument.

        >>> frame = l2vault.open("Vault").rpi("BTC-USDT-SWAP", last="30s").to_polars()
        >>> frame.filter(side="bid").select("price", "size", "non_rpi", "rpi", "orders").rows()
        [(59999.0, 12.5, 10.0, 2.5, 4), (59990.0, 291.0, 291.0, 0.0, 1)]
        """
        return self._frame(raw, _RPI)

    def _own_columns(
        self, levels: Sequence[DeepLevel], prices: Sequence[float], contract: "Contract"
    ) -> dict[str, list[float]]:
        rpi = [float(rpi_quantity(level)) for level in levels]
        usd = [float(contract.sizes(*pair, "usd")) for pair in zip(rpi, prices, strict=True)]
        return {"non_rpi": [float(level[2]) for level in levels], "rpi": rpi, "rpi_usd": usd}


_PLACE: Final = {"time": "i", "side": "s", "rank": "i", "price": "f", "size": "f"}
_END: Final = {"orders": "i", "origin": "s"}
_DEEP: Final = {**_PLACE, "usd": "f", **_END}
_RPI: Final = {**_PLACE, "non_rpi": "f", "rpi": "f", "usd": "f", "rpi_usd": "f", **_END}
