"""What belongs beside the cells of a screen: what was traded, basis, funding and open interest, in bins of time.

An hour is read once, at the narrowest width; wider bins are sums of its volumes and the last of its other values.
Nothing is filled in: NaN where no trade is proved to be known, or no value was recorded.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import numpy as np

from l2vault.analytics.context import read_context
from l2vault.analytics.contract import Floats, contract_periods
from l2vault.analytics.one_book import BPS
from l2vault.analytics.trades import Trades, read_trades, traded_sizes
from l2vault.clock import Clock
from l2vault.vault.coverage.hour_notes import FileStamp
from l2vault.vault.reading.vault import Vault
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.layout import HOUR_MS, Kind
from l2vault.web.kept import Basis, Kept, basis_of, good_until
from l2vault.web.opened import Opened, stamps_of
from l2vault.web.tile import BINS_MS, Singles, last_known
from l2vault.web.tile_files import TileFiles
from l2vault.web.turns import Turns

SERIES: Final = ("bought", "sold", "basis_bps", "funding_rate", "open_interest_usd")
_SUMMED: Final = ("bought", "sold")
_READ: Final[tuple[Kind, ...]] = ("trades", "context")
_FORM: Final = 1
"""Of what is computed here: another one makes every hour on disk anew."""
_KEPT_HOURS: Final = 400
"""36 kB each."""
_TIMES_WORK: Final = 10
"""Open pages add what is new to an hour that is still written."""


@dataclass(frozen=True, slots=True)
class BesideHour:
    """An hour in bins of `BINS_MS[0]`: `(bins,)` float32 of each of `SERIES`; `newest_ms` is the time of its newest
    trade, None without one."""

    values: dict[str, Singles]
    newest_ms: int | None


class Beside:
    """Of a vault; for one thread, which takes one of the `turns` for each hour that it reads."""

    def __init__(self, opened: Opened, clock: Clock, turns: Turns, files: TileFiles | None = None) -> None:
        self._vault = opened.vault
        self._clock = clock
        self._turns = turns
        self._files = files
        self._kept: OrderedDict[tuple[str, int], Kept[BesideHour]] = OrderedDict()
        self._trades: dict[str, Trades] = {}
        """Each remembers what it has read of the journal."""
        self._ahead: dict[tuple[str, int], str] = {}
        """What hours were made of that `make_ahead` has seen on disk."""

    def get(
        self, inst_id: str, hours: Sequence[int], newest_evidence_ms: int | None, patience_sec: float
    ) -> tuple[dict[int, BesideHour], list[int]]:
        """Those of some hours (ms), the newest first, and the hours that are still to be read once `patience_sec` are
        over: ask again. `newest_evidence_ms` is the vault's. Raises VaultError where the vault has no row of the
        instrument."""
        until_ms = self._clock.monotonic_ms() + round(patience_sec * 1000)
        found: dict[int, BesideHour] = {}
        vault = self._vault()
        newest_hour_ms = _newest_hour_ms(vault, inst_id)
        for hour_ms in sorted(hours, reverse=True):
            basis = _basis(vault, inst_id, hour_ms, newest_hour_ms, newest_evidence_ms)
            kept = self._good((inst_id, hour_ms), basis) or self._stored(vault, inst_id, hour_ms, basis)
            if kept is not None:
                found[hour_ms] = kept
            elif not found or self._clock.monotonic_ms() < until_ms:
                found[hour_ms] = self._read(vault, inst_id, hour_ms, basis)
        return found, [hour_ms for hour_ms in hours if hour_ms not in found]

    def make_ahead(self, inst_id: str, hour_ms: int) -> bool:
        """Put an hour on disk, where it is settled and not there; whether it was read for that. Waits for its turn
        behind everybody else. Raises VaultError, OSError."""
        if self._files is None:
            return False
        vault = self._vault()
        # Only a settled hour is ever put there, so that one that is there needs no look at what the vault knows.
        digest = _digest(vault, inst_id, hour_ms, stamps_of(vault, _READ, inst_id, hour_ms))
        if self._ahead.get((inst_id, hour_ms)) == digest or self._files.has_beside(inst_id, hour_ms, digest):
            self._ahead[inst_id, hour_ms] = digest
            return False
        known_ms = vault.newest_evidence_ms(inst_id)
        if not _basis(vault, inst_id, hour_ms, _newest_hour_ms(vault, inst_id), known_ms).is_settled:
            return False
        with self._turns.patient():
            hour = self._hour(vault, inst_id, hour_ms)
        self._files.write_beside(inst_id, hour_ms, hour.values, hour.newest_ms, digest)
        self._ahead[inst_id, hour_ms] = digest
        return True

    def _stored(self, vault: Vault, inst_id: str, hour_ms: int, basis: Basis) -> BesideHour | None:
        if self._files is None or not basis.is_settled:
            return None
        found = self._files.read_beside(inst_id, hour_ms, _digest(vault, inst_id, hour_ms, basis.stamp))
        if found is None:
            return None
        hour = BesideHour(*found)
        self._keep(inst_id, hour_ms, Kept(basis, self._clock.monotonic_ms(), hour))
        return hour

    def _good(self, key: tuple[str, int], basis: Basis) -> BesideHour | None:
        kept = self._kept.get(key)
        if kept is None or (kept.basis != basis and self._clock.monotonic_ms() >= kept.until_ms):
            return None
        self._kept.move_to_end(key)
        return kept.made

    def _read(self, vault: Vault, inst_id: str, hour_ms: int, basis: Basis) -> BesideHour:
        with self._turns.urgent():
            begun_ms = self._clock.monotonic_ms()
            hour = self._hour(vault, inst_id, hour_ms)
            until_ms = good_until(begun_ms, self._clock.monotonic_ms(), _TIMES_WORK)
        self._keep(inst_id, hour_ms, Kept(basis, until_ms, hour))
        if self._files is not None and basis.is_settled:
            digest = _digest(vault, inst_id, hour_ms, basis.stamp)
            self._files.write_beside(inst_id, hour_ms, hour.values, hour.newest_ms, digest)
        return hour

    def _hour(self, vault: Vault, inst_id: str, hour_ms: int) -> BesideHour:
        if inst_id not in self._trades and (trades := read_trades(vault.trades(), inst_id)) is not None:
            self._trades[inst_id] = trades
        return read_hour(vault, inst_id, hour_ms, self._trades.get(inst_id))

    def _keep(self, inst_id: str, hour_ms: int, kept: Kept[BesideHour]) -> None:
        self._kept.pop((inst_id, hour_ms), None)
        self._kept[inst_id, hour_ms] = kept
        while len(self._kept) > _KEPT_HOURS:
            self._kept.popitem(last=False)


def _newest_hour_ms(vault: Vault, inst_id: str) -> int:
    """Of which there are trades; 0 where there are none."""
    return max(Catalog(part.layout.of("trades")).newest_raw_hour(inst_id) or 0 for part in vault.parts)


def _basis(vault: Vault, inst_id: str, hour_ms: int, newest_hour_ms: int, newest_evidence_ms: int | None) -> Basis:
    # Whether an hour was quiet at its end only the id of the next trade says, however far the books have gone.
    known_ms = newest_evidence_ms if newest_hour_ms > hour_ms else None
    return basis_of(stamps_of(vault, _READ, inst_id, hour_ms), hour_ms, known_ms)


def _digest(vault: Vault, inst_id: str, hour_ms: int, stamp: list[FileStamp]) -> str:
    """Of what an hour is made of: its files as they are, what a contract was worth in it, this form."""
    periods = contract_periods(inst_id, vault.instrument_rows(inst_id), (hour_ms, hour_ms + HOUR_MS))
    return sha256(repr((_FORM, stamp, periods)).encode()).hexdigest()


def read_hour(vault: Vault, inst_id: str, hour_ms: int, trades: Trades | None) -> BesideHour:
    """An hour of a vault; `trades` are those of `read_trades`. A bin has volumes where the chain of ids proves any of
    its time, or a trade is in it."""
    width_ms, span = BINS_MS[0], (hour_ms, hour_ms + HOUR_MS)
    begins = np.arange(*span, width_ms, dtype=np.int64)
    values = {name: np.full(len(begins), np.nan, np.float32) for name in SERIES}
    newest_ms = None
    if trades is not None:
        read = trades.read(span)
        periods = contract_periods(inst_id, vault.instrument_rows(inst_id), span)
        usd = traded_sizes(read.frame, periods, "usd")
        t_ms, is_buy = read.frame["t"].to_numpy(), read.frame["is_buy"].to_numpy()
        at = (t_ms - hour_ms) // width_ms
        is_known = read.proved_ms(begins, begins + width_ms) > 0
        is_known[at] = True
        for name, own in (("bought", is_buy), ("sold", ~is_buy)):
            sums = np.bincount(at[own], usd[own], len(begins))
            values[name][is_known] = sums[is_known]
        newest_ms = int(t_ms.max()) if len(t_ms) else None
    context = read_context(vault.context(), inst_id, span)
    at = np.clip((context["t"].to_numpy() - hour_ms) // width_ms, 0, len(begins) - 1)
    mark, index = (context[name].to_numpy() for name in ("mark", "index"))
    values["basis_bps"][at] = (mark / index - 1) * BPS
    for name in ("funding_rate", "open_interest_usd"):
        values[name][at] = context[name].to_numpy()
    return BesideHour(values, newest_ms)


def binned(hours: dict[int, BesideHour], span: tuple[int, int], bin_ms: int) -> dict[str, Floats]:
    """`(bins,)` float64 of each of `SERIES`, from `span[0]` on, a multiple of `bin_ms`; NaN where nothing is known."""
    columns = -(-(span[1] - span[0]) // bin_ms)
    whole = {name: np.full(columns, np.nan) for name in SERIES}
    times = bin_ms // BINS_MS[0]
    for hour_ms, hour in hours.items():
        at = (hour_ms - span[0]) // bin_ms
        for name, values in hour.values.items():
            parts = values.reshape(-1, times).astype(np.float64)
            made = _sums(parts) if name in _SUMMED else last_known(parts)
            begin, end = max(0, -at), min(len(made), columns - at)
            if begin < end:
                whole[name][at + begin : at + end] = made[begin:end]
    return whole


def _sums(parts: Floats) -> Floats:
    """Of each row the sum of what is known."""
    known = np.isfinite(parts)
    sums: Floats = np.where(known.any(axis=1), np.where(known, parts, 0.0).sum(axis=1), np.nan)
    return sums
