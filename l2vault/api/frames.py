"""`Frames`: rows of a span that are read anew each time, as frames of three libraries, and what did not read."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from l2vault.vault.store.catalog import Finding, Findings

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class Frames(ABC):
    """What `Trades`, `Context`, `DeepBooks` and `RpiBooks` have in common; `to_polars` says what a row is."""

    def __init__(self) -> None:
        self._findings = Findings()

    @abstractmethod
    def to_polars(self, raw: bool = False) -> "pl.DataFrame":
        """The rows; with `raw` times are integers. Raises VaultError without the extra `analysis`."""

    @property
    def findings(self) -> Sequence[Finding]:
        """What could not be read (file, byte, why) when it was read last, as far as that went."""
        return self._findings

    @property
    def frame(self) -> "pl.DataFrame":
        """The same as `to_polars()`."""
        return self.to_polars()

    def to_pandas(self, raw: bool = False) -> "pd.DataFrame":
        """The same for pandas; times are aware, in UTC."""
        return self.to_polars(raw).to_pandas()

    def to_arrow(self, raw: bool = False) -> "pa.Table":
        """The same as an Arrow table; times are `timestamp[ms, UTC]`, receive times `timestamp[us, UTC]`."""
        return self.to_polars(raw).to_arrow()
