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
    r"-(?P<date>\d{4}-\d\d(?:-\d\d)?)\.(?:tar\.gz|zip)",
    re.ASCII,
)
_KINDS: Final[dict[str, What]] = {
    "L2orderbook-400lv": "books400",
    "L2orderbook-5000lv": "books5000",
    "trades": "trades",
    "fundingrates": "funding",
}


class Wanted(NamedTuple):
    """One file: of a kind, an instrument and a date, which is one of UTC+8 for trades and funding. Of these there are
    files of a month too, `2026-01`."""

    what: What
    inst_id: str
    date: str

    @property
    def name(self) -> str:
        if self.what == "trades":
            return f"{self.inst_id}-trades-{self.date}.zip"
        if self.what == "funding":
            return f"{self.inst_id if self.is_month else 'allswap'}-fundingrates-{self.date}.zip"
        return f"{self.inst_id}-L2orderbook-{_LEVELS[self.what]}-{self.date}.tar.gz"

    @property
    def is_month(self) -> bool:
        return len(self.date) == len("2026-01")

    @property
    def span(self) -> tuple[int, int]:
        """The exchange time in it, half-open."""
        shift_ms = 0 if self.what in _LEVELS else _UTC8_MS
        first_ms = utc_ms(f"{self.date}{'-01' * self.is_month}T00:00:00.000Z")
        after_ms = first_ms + DAY_MS
        if self.is_month:
            year, month = divmod(int(self.date[:4]) * 12 + int(self.date[5:]), 12)
            after_ms = utc_ms(f"{year:04d}-{month + 1:02d}-01T00:00:00.000Z")
        return first_ms - shift_ms, after_ms - shift_ms

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the file is documented to be, the newer place first: OKX moved the books in the summer of 2026."""
        folder, compact = "/cdn/okex/traderecords", self.date.replace("-", "")
        pace = "monthly" if self.is_month else "daily"
        if self.what == "trades":
            return (f"{folder}/trades/{pace}/{compact}/{self.name}",)
        if self.what == "funding":
            return (f"{folder}/swaprates/{pace}/{compact}/{self.name}",)
        place = f"L2/{_LEVELS[self.what]}/daily/{compact}/{self.name}"
        return f"/cdn/okx/match/orderbook/pro/{place}", f"/cdn/okx/match/orderbook/{place}"


def wanted_files(what: What, inst_id: str, span: tuple[int, int], *, by_month: bool = False) -> list[Wanted]:
    """The files whose days, or of trades and funding months, lie in a span of exchange time, oldest first."""
    if by_month:
        days = wanted_files(what, inst_id, span)
        return list(dict.fromkeys(Wanted(what, inst_id, day.date[:7]) for day in days))
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
    has_months = wanted.what not in _LEVELS
    return wanted if wanted.name == name and (has_months or not wanted.is_month) else None
