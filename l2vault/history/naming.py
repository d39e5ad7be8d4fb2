"""What OKX's archive calls its files, which time each of them cuts, and where they are documented to be. Pure.

OKX, "Get historical market data" (2026-08), and the addresses that its index gave in 2026; files of books are days of
UTC, those of trades and funding days of UTC+8, so that a day of UTC needs two of them.
"""

import re
from typing import Final, Literal, NamedTuple, get_args

from l2vault.book.utc import DAY_MS, HOUR_MS, utc_ms, utc_text

What = Literal["books400", "books5000", "trades", "funding"]
WHATS: Final[tuple[What, ...]] = get_args(What)
MODULES: Final[dict[What, int]] = {"trades": 1, "funding": 3, "books400": 4, "books5000": 5}
"""OKX's numbers."""
OKX_HOST: Final = "https://static.okx.com"
CUSTOMARY_BYTES: Final[dict[What, int]] = {
    "books400": 600_000_000,
    "books5000": 400_000_000,
    "trades": 11_000_000,
    "funding": 100_000,
}
"""A day of the busiest swap, as others saw it in 2026 (300 to 600 MB of books): what one costs where nobody says."""

_UTC8_MS: Final = 8 * HOUR_MS
_LEVELS: Final[dict[What, str]] = {"books400": "400lv", "books5000": "5000lv"}
_NAME: Final = re.compile(
    r"(?P<inst>[A-Z0-9]+(?:-[A-Z0-9]+)*|allswap)-(?P<kind>L2orderbook-(?:400|5000)lv|trades|fundingrates)"
    r"-(?P<date>\d{4}-\d\d-\d\d)\.(?:tar\.gz|zip)",
    re.ASCII,
)
_KINDS: Final[dict[str, What]] = {
    "L2orderbook-400lv": "books400",
    "L2orderbook-5000lv": "books5000",
    "trades": "trades",
    "fundingrates": "funding",
}


class Wanted(NamedTuple):
    """One file: of a kind, an instrument and a date, which is one of UTC+8 for trades and funding."""

    what: What
    inst_id: str
    date: str

    @property
    def name(self) -> str:
        if self.what == "trades":
            return f"{self.inst_id}-trades-{self.date}.zip"
        if self.what == "funding":
            return f"allswap-fundingrates-{self.date}.zip"
        return f"{self.inst_id}-L2orderbook-{_LEVELS[self.what]}-{self.date}.tar.gz"

    @property
    def span(self) -> tuple[int, int]:
        """The exchange time in it, half-open."""
        start_ms = utc_ms(f"{self.date}T00:00:00.000Z") - (0 if self.what in _LEVELS else _UTC8_MS)
        return start_ms, start_ms + DAY_MS

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the file is documented to be, the newer place first: OKX moved the books in the summer of 2026."""
        folder, compact = "/cdn/okex/traderecords", self.date.replace("-", "")
        if self.what == "trades":
            return (f"{folder}/trades/daily/{compact}/{self.name}",)
        if self.what == "funding":
            return (f"{folder}/swaprates/daily/{compact}/{self.name}",)
        place = f"L2/{_LEVELS[self.what]}/daily/{compact}/{self.name}"
        return f"/cdn/okx/match/orderbook/pro/{place}", f"/cdn/okx/match/orderbook/{place}"


def wanted_files(what: What, inst_id: str, span: tuple[int, int]) -> list[Wanted]:
    """The files whose days lie in a span of exchange time, oldest first."""
    shift_ms = 0 if what in _LEVELS else _UTC8_MS
    first, last = ((bound_ms + shift_ms) // DAY_MS for bound_ms in (span[0], span[1] - 1))
    return [Wanted(what, inst_id, utc_text(day * DAY_MS)[:10]) for day in range(first, last + 1)]


def parse_name(name: str, inst_id: str) -> Wanted | None:
    """The file of this name if it has something of the instrument; None for any other."""
    match = _NAME.fullmatch(name)
    if match is None or match["inst"] not in (inst_id, "allswap"):
        return None
    try:
        wanted = Wanted(_KINDS[match["kind"]], inst_id, match["date"])
        _ = wanted.span
    except ValueError:  # a date there is not
        return None
    return wanted if wanted.name == name else None
