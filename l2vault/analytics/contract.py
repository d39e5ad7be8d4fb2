"""What a contract is worth: from contracts to coin and quote currency, as the instrument row says that was valid then.

Pure. A linear contract (`ctType` "linear") is `ctVal * ctMult` of its coin; an inverse one is worth `ctVal * ctMult` of
the quote currency, whatever the price (OKX docs, `GET /api/v5/public/instruments`).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar, get_args

import msgspec

from l2vault.errors import VaultError
from l2vault.foreign import printable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Unit = Literal["contracts", "coin", "usd"]
"""What sizes are given in. `usd` is the quote currency, such as USDT: notional at each level's own price."""

UNITS: Final[tuple[Unit, ...]] = get_args(Unit)

Floats: TypeAlias = "npt.NDArray[np.float64]"
"""A text at run time, so that one book can be measured where numpy is not installed."""

_Sizes = TypeVar("_Sizes", float, "npt.NDArray[np.float64]")

_LEAST: Final = Decimal("1e-30")
_MOST: Final = Decimal("1e30")
"""Real contracts lie between 1e-9 and 1e9."""
_LONGEST: Final = 64
_BEFORE_ALL: Final = -(1 << 62)


class Contract(msgspec.Struct, frozen=True):
    """`value` is `ctVal * ctMult`, in `coin` or, if the contract `is_inverse`, in `quote`; `tick` the price step."""

    inst_id: str
    is_inverse: bool
    value: float
    coin: str
    quote: str
    tick: float
    tick_decimals: int

    def sizes(self, qty: _Sizes, price: _Sizes, unit: Unit) -> _Sizes:
        """Contracts at their prices, in `unit`: two numbers, or two arrays of one shape, which the result has."""
        if unit == "contracts":
            return qty
        if (unit == "usd") == self.is_inverse:
            return qty * self.value
        return qty * self.value / price if self.is_inverse else qty * self.value * price

    def currency(self, unit: Unit) -> str:
        """The name of the unit: `contracts`, or `BTC` or `USDT`."""
        return {"contracts": "contracts", "coin": self.coin, "usd": self.quote}[unit]


class ContractPeriod(msgspec.Struct, frozen=True):
    """The contract as it was over `[from_ms, to_ms)`."""

    from_ms: int
    to_ms: int
    contract: Contract


def contract_of(inst_id: str, row: Mapping[str, object]) -> Contract:
    """OKX's instrument row as a contract. Raises VaultError naming the key that is missing, empty or no number."""
    kind = row.get("ctType")
    if kind not in ("linear", "inverse"):
        raise _unusable(inst_id, row, "ctType", "which is no kind of swap")
    is_inverse = kind == "inverse"
    base, _, rest = inst_id.partition("-")
    value_ccy, settle_ccy = _currency(inst_id, row, "ctValCcy"), _currency(inst_id, row, "settleCcy")
    coin, quote = (settle_ccy, value_ccy) if is_inverse else (value_ccy, settle_ccy)
    tick = _number(inst_id, row, "tickSz")
    return Contract(
        inst_id=inst_id,
        is_inverse=is_inverse,
        value=float(_number(inst_id, row, "ctVal") * _number(inst_id, row, "ctMult")),
        coin=coin or base,
        quote=quote or rest.partition("-")[0],
        tick=float(tick),
        tick_decimals=max(0, -int(tick.normalize().as_tuple().exponent)),
    )


def contract_periods(
    inst_id: str, rows: Sequence[tuple[int | None, Mapping[str, object]]], span: tuple[int, int]
) -> list[ContractPeriod]:
    """The contract over a span, piece by piece, a new piece where it changed.

    `rows` are as `vault.instruments.read_rows` gives them, oldest first, each with the time until which it was the
    latest known. Before the oldest one nothing is known of a change: it is taken for valid. Raises VaultError where
    there is no row, or one that bears on the span lacks what it needs.
    """
    if not rows:
        raise VaultError(
            f"the vault holds no instrument row of {inst_id}, which says what a contract is worth.",
            f"l2vault record --inst {inst_id} --duration 10, which keeps it",
        )
    pieces: list[ContractPeriod] = []
    from_ms = _BEFORE_ALL
    for until_ms, row in rows:
        to_ms = span[1] if until_ms is None else min(until_ms, span[1])
        if max(from_ms, span[0]) < to_ms:
            contract = contract_of(inst_id, row)
            begin_ms = max(from_ms, span[0])
            if pieces and pieces[-1].contract == contract:
                begin_ms = pieces.pop().from_ms
            pieces.append(ContractPeriod(begin_ms, to_ms, contract))
        from_ms = to_ms
    if not pieces or pieces[-1].to_ms < span[1]:  # the latest row does not read: the last that does is what is known
        last = pieces.pop() if pieces else ContractPeriod(span[0], span[1], contract_of(inst_id, rows[-1][1]))
        pieces.append(ContractPeriod(last.from_ms, span[1], last.contract))
    return pieces


def _number(inst_id: str, row: Mapping[str, object], key: str) -> Decimal:
    """OKX leaves most fields empty until shortly before a listing."""
    value = row.get(key)
    number = Decimal(0)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        with suppress(InvalidOperation, ValueError):  # Python spells no integer of more than 4,300 digits
            text = str(value)
            number = Decimal(text if len(text) <= _LONGEST else 0)
    if not (number.is_finite() and number > 0):
        raise _unusable(inst_id, row, key, "which is no number above 0")
    if not _LEAST <= number <= _MOST:
        raise _unusable(inst_id, row, key, "which no contract has")
    return number


def _currency(inst_id: str, row: Mapping[str, object], key: str) -> str:
    """Empty where the row does not say."""
    value = row.get(key) or ""
    if not (isinstance(value, str) and len(value) <= _LONGEST and (value == "" or value.isalnum())):
        raise _unusable(inst_id, row, key, "which is no name of a currency")
    return value


def _unusable(inst_id: str, row: Mapping[str, object], key: str, why: str) -> VaultError:
    name = printable(inst_id)
    try:
        shown = printable(repr(row.get(key)), _LONGEST)
    except ValueError:
        shown = "of thousands of digits"
    return VaultError(
        f"the instrument row of {name} has {key} {shown}, {why}.",
        f"l2vault record --inst {name} --duration 10 once it is listed, which keeps its row",
    )
