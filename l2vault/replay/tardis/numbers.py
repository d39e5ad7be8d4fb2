"""OKX's decimal texts as numbers of JSON, digit for digit: no float is made of them on the way."""

import re
from decimal import Decimal
from typing import Final

from l2vault.book.change import Level
from l2vault.book.price import Memo

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_REMEMBERED: Final = 8192


def _number(text: str) -> str:
    """JSON has no `007` and no `5.`, which are decimals too. Raises ArithmeticError for what is no number."""
    return text if _NUMBER.fullmatch(text) else f"{Decimal(text):f}"


NUMBERS: Final = Memo(_number, _REMEMBERED)


def levels_json(levels: list[Level]) -> str:
    """`[{"price":60001,"amount":2.5},...]`."""
    return "[" + ",".join([f'{{"price":{NUMBERS[each[0]]},"amount":{NUMBERS[each[1]]}}}' for each in levels]) + "]"
