"""How a person writes a list of names, a duration or a number: the one grammar of flags, environment and files.

Pure: whoever asks says which option it was. Times are `book.moments`.
"""

import math
import re
import tomllib
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from l2vault.errors import UsageError
from l2vault.foreign import printable, quoted

LEAST_NUMBER: Final = 1e-18
LARGEST_NUMBER: Final = 1e18
"""Prices of OKX have at most 18 decimals. What is beyond is a slip, and a sum or a product of it no number."""
LONGEST_DURATION_MS: Final = 100 * 366 * 86_400_000
"""OKX has no book from before 2019; what is longer than a century is a slip of the keyboard."""

_UNIT_MS: Final = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), 86_400_000),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86_400_000),
}
_MONTH: Final = re.compile(r"\d\s*M(?![A-Za-z])")
"""OKX's own word for a month, in its candles of 1m, 1H and 1M; taken for a small letter it would be a minute."""
_SCALES: Final = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9}

# Bounded repeats: a setting of a megabyte must not keep the matcher busy.
_PIECE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([a-z]{1,12})\s*", re.ASCII)
_BARE: Final = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_NUMBER: Final = re.compile(r"(\d{1,30}(?:_\d{3}){0,10}(?:\.\d{1,30})?(?:e[+-]?\d{1,3})?)\s*([kmb]?)", re.ASCII)
_THOUSANDS: Final = re.compile(r"(\d{1,3})((?:,\d{3})+)", re.ASCII)


_WINDOWS_PATH: Final = re.compile(r'\s*([A-Za-z_]{1,40})\s*=\s*"([^"\n]{0,300}\\[^"\n]{0,300})"')
_STORES: Final = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "file")


def why_no_store(url: str) -> str:
    """Why this is no address of an object store that may stand in a setting, empty if it is one. What it says never
    repeats the address, which may hold a secret.

    >>> why_no_store("s3://bucket/prefix")
    ''
    >>> why_no_store("s3://AKIA123:secret@bucket")
    'holds credentials, which belong in the environment'
    """
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname or parts.scheme == "file") and parts.path.find("//") < 0
    except ValueError:
        return "is no address of a store"
    if "@" in parts.netloc or parts.query or parts.fragment:
        return "holds credentials, which belong in the environment"
    if parts.scheme not in _STORES or not has_place or {" ", "\\"} & {*url}:
        return "is no address of a store"
    return ""


def no_toml(shown: str, text: str, error: tomllib.TOMLDecodeError) -> UsageError:
    """TOML reads `"C:\\Users"` as an escape, and says something of hexadecimal values."""
    for line in text.splitlines():
        if match := _WINDOWS_PATH.match(line):
            key, path = match[1], printable(match[2].replace("\\\\", "\\"))
            slashes = path.replace("\\", "/")
            return UsageError(
                f"{shown} is not TOML: in double quotes a backslash begins an escape, in {key} too.",
                f"write {key} = '{path}' in single quotes, or \"{slashes}\"",
            )
    cure = 'lines like cadence_sec = 2 or vault = "Vault"'
    return UsageError(f"{shown} is not TOML: {printable(error)}.", cure)


def split_names(words: object) -> list[str]:
    """Instrument names of one word or of lists of words, split at commas and blanks, in capitals; empty ones left out.

    >>> split_names([["btc-usdt-swap,ETH-USDT-SWAP"], "SOL-USDT-SWAP"])
    ['BTC-USDT-SWAP', 'ETH-USDT-SWAP', 'SOL-USDT-SWAP']
    """
    if isinstance(words, str):
        return [part.upper() for part in re.split(r"[,\s]+", words) if part]
    if not isinstance(words, Iterable):
        raise UsageError(f"{quoted(words, 64)} is no name.", "a name such as BTC-USDT-SWAP")
    return [name for word in words for name in split_names(word)]


def duration_ms(text: str, bare: str = "", least_ms: int = 1) -> int:
    """`90s`, `5m`, `2h`, `1d`, `1w`, `500ms`, `4hours` or `1h30m` as milliseconds, at least `least_ms`.

    A bare number is refused, or is in the unit `bare` (`s`, `m`, `h`) where the option is documented so.
    """
    words = text.strip().lower()
    if _MONTH.search(text[:64]):
        raise UsageError(f"{quoted(text, 64)} could be minutes or months.", "5m for minutes, or 30d")
    if bare and _BARE.fullmatch(words):
        words += bare
    pieces: list[tuple[float, str]] = []
    at = 0
    while len(pieces) < len(_UNIT_MS) and (match := _PIECE.match(words, at)):
        pieces.append((float(match[1]), match[2]))
        at = match.end()
    if not pieces or at != len(words) or any(unit not in _UNIT_MS for _, unit in pieces):
        raise UsageError(f"{quoted(text, 64)} is no duration.", "a number and its unit, such as 90s, 15m, 2h or 1d")
    total = round(sum(count * _UNIT_MS[unit] for count, unit in pieces))
    if not least_ms <= total <= LONGEST_DURATION_MS:
        length = "shorter than a millisecond" if total < least_ms else "longer than a century"
        raise UsageError(f"the duration {quoted(text, 64)} is {length}.", "one such as 90s, 15m, 2h or 1d")
    return total


def number(text: str) -> float:
    """A number above 0: `10`, `2.5M`, `10k`, `1e6`, `1_000_000`; k, M and B in either case."""
    found = numbers(text)
    if len(found) != 1:
        raise UsageError(f"{quoted(text, 64)} is not one number.", "one such as 10, 2.5M, 1e6 or 1_000_000")
    return found[0]


def numbers(text: str, are_amounts: bool = False) -> tuple[float, ...]:
    """`2,5,10` as numbers above 0, each as `number` reads it.

    `1,500,250` could be one number or three, and is refused; of amounts of money `1,500` too.
    """
    _refuse_thousands(text, are_amounts)
    return tuple(_number(word) for word in text.split(","))


def _number(word: str) -> float:
    match = _NUMBER.fullmatch(word.strip().lower())
    value = float(match[1].replace("_", "")) * _SCALES[match[2]] if match else 0.0
    if not 0 < value < math.inf:
        raise UsageError(f"{quoted(word, 64)} is no number above 0.", "one such as 10, 2.5M, 1e6 or 1_000_000")
    if not LEAST_NUMBER <= value <= LARGEST_NUMBER:
        size = "small" if value < LEAST_NUMBER else "large"
        raise UsageError(f"{quoted(word, 64)} is too {size} a number.", "one such as 10, 2.5M, 1e6 or 1_000_000")
    return value


def _refuse_thousands(text: str, are_amounts: bool) -> None:
    """Groups of three digits that a list would hardly have: not rising, or with a zero in front."""
    match = _THOUSANDS.fullmatch(text.strip())
    if match is None:
        return
    groups = text.strip().split(",")
    rises = all(int(one) < int(next_one) for one, next_one in zip(groups, groups[1:], strict=False))
    if not rises or any(group.startswith("0") for group in groups[1:]) or (are_amounts and len(match[1]) < 3):
        joined = printable("_".join(groups), 64)
        raise UsageError(
            f"{quoted(text, 64)} could be one number or several.",
            f"{joined} or 1.5M for one number (a comma separates the numbers of a list)",
        )
