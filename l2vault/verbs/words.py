"""How every verb reads its words: instruments, times, durations, numbers, names of pictures. Types for argparse."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from l2vault import grammar
from l2vault.book.moments import as_ms
from l2vault.errors import UsageError
from l2vault.foreign import quoted

_Value = TypeVar("_Value")


def _option(read: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """For argparse, which puts the option's name before what this says."""

    def of(text: str) -> _Value:
        try:
            return read(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return of


def _seconds(text: str) -> float:
    return grammar.duration_ms(text, bare="s") / 1000


def _wait(text: str) -> float:
    return grammar.duration_ms(text, bare="s", least_ms=0) / 1000


def _stay(text: str) -> int:
    return grammar.duration_ms(text, bare="s", least_ms=0)


def _offset(text: str) -> float:
    words = text.strip()
    return -_wait(words[1:]) if words.startswith("-") else _wait(words.removeprefix("+"))


def _minutes(text: str) -> float:
    return grammar.duration_ms(text, bare="m") / 60_000


def _hours(text: str) -> float:
    return grammar.duration_ms(text, bare="h") / 3_600_000


def _moment(text: str) -> int:
    """Eight digits are a date: 20260131."""
    return as_ms(int(text) if text.isascii() and text.isdigit() and 8 < len(text) < 20 else text)


def _amounts(text: str) -> tuple[float, ...]:
    return grammar.numbers(text, are_amounts=True)


def _counts(text: str) -> tuple[int, ...]:
    found = grammar.numbers(text)
    if any(count != int(count) or count > 1e9 for count in found):
        raise UsageError(f"{quoted(text, 64)} are no whole numbers of levels.", "some such as 1,5,10")
    return tuple(int(count) for count in found)


def _png(text: str) -> Path:
    if not text.lower().endswith(".png") or "\0" in text:
        raise UsageError(f"{quoted(text, 64)} is no name of a picture.", "as PNG: a name that ends in .png")
    return Path(text)


duration = _option(grammar.duration_ms)
"""Milliseconds."""
seconds = _option(_seconds)
"""A duration in seconds, of which a bare number is one too."""
wait = _option(_wait)
"""The same, and it may be none."""
stay = _option(_stay)
"""Milliseconds; a bare number is seconds, and it may be none."""
offset = _option(_offset)
"""The same with a sign."""
minutes = _option(_minutes)
"""A duration in minutes, of which a bare number is one too."""
hours = _option(_hours)
"""A duration in hours, of which a bare number is one too."""
number = _option(grammar.number)
numbers = _option(grammar.numbers)
amounts = _option(_amounts)
"""Numbers that are amounts of money: `1,500` is refused as one that could be two."""
counts = _option(_counts)
moment = _option(_moment)
"""Milliseconds since the epoch."""
NEWEST: Final = -1
moment_or_now = _option(lambda text: NEWEST if text.strip().lower() == "now" else _moment(text))
"""The same; `now` is `NEWEST`, the time of the newest line."""
png = _option(_png)


def at_least_1(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{quoted(text, 64)} is no whole number from 1 up")
    return count


def configure_instruments(
    parser: argparse.ArgumentParser, text: str, is_one: bool = False, is_setting: bool = False
) -> None:
    """`INST ...` and `--inst ID ...` (again and again, with commas or blanks): both mean the same to every verb.

    `is_setting`: they are the setting `instruments`, which `cli` reads.
    """
    if is_one:
        parser.add_argument("inst_ids", nargs="?", metavar="INST", help=text)
    else:
        parser.add_argument("inst_ids", nargs="*", metavar="INST", help=text)
    parser.add_argument(
        "--inst",
        dest="instruments" if is_setting else "named",
        nargs="+",
        action="append",
        metavar="ID",
        help="the same by an option, which may come again",
    )


def configure_span(parser: argparse.ArgumentParser) -> None:
    """`--from`, `--to` and `--last`, of a span that is all of the lines unless one of them is said."""
    parser.add_argument(
        "--from", dest="start", type=moment, metavar="TIME", help="start of the span (default: the first line)"
    )
    parser.add_argument(
        "--to", dest="end", type=moment, metavar="TIME", help="end of the span (default: just behind the newest line)"
    )
    parser.add_argument("--last", type=duration, metavar="SPAN", help="length of the span, in place of --from")


def asked_instruments(args: argparse.Namespace) -> list[str]:
    """The names that the words of `configure_instruments` gave, as `names_of` has them."""
    return names_of([word for word in (args.inst_ids, *(args.named or [])) if word is not None and word != []])


def names_of(words: list[object]) -> list[str]:
    """Names of instruments, each once, in capitals; none where there are no words.

    Raises UsageError for words without a name, as a shell's variable that is not set leaves them: they would mean all.
    """
    names = list(dict.fromkeys(grammar.split_names(words)))
    if words and not names:
        raise UsageError("the name of the instrument is empty.", "one such as BTC-USDT-SWAP, or no word at all")
    return names
