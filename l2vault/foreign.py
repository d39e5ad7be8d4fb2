"""Text from outside (messages of the exchange, file names, settings) made fit for a log, a terminal or an error.

One place: what `printable` returns is one line, holds nothing a terminal obeys, and has a bounded length.
"""

import unicodedata
from typing import Final

FOREIGN_CHARS: Final = 200
"""Enough for a sentence of OKX or a path; more than this in one field of a log line is noise or an attack."""

_ELLIPSIS: Final = "..."
_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories: controls (newline, ANSI's ESC), formats (bidi overrides, zero width), surrogates, private use,
line and paragraph separators."""


def printable(text: object, limit: int = FOREIGN_CHARS) -> str:
    r"""`text` as one line of at most `limit` characters, whatever it holds; control characters become `\n`, `\x1b`.

    A longer text loses its middle, so that both ends of a path or of an address stay. A backslash stays as it is:
    paths of Windows are to be read, and nothing parses the result.

    >>> printable("ok\n\x1b[2Jforged")
    'ok\\n\\x1b[2Jforged'
    >>> printable("a" * 300, limit=9)
    'aaa...aaa'
    """
    try:
        whole = text if isinstance(text, str) else str(text)
    except ValueError:  # Python writes no integer of over 4300 digits, which a file may hold in hexadecimal
        whole = "a number of thousands of digits"
    if len(whole) > limit:
        # Cut before escaping: a text of 2 MB costs nothing.
        head, tail = whole[:limit], whole[-limit:]
        return _shortened("".join(map(_escaped, head)), "".join(map(_escaped, tail)), limit)
    if whole.isascii() and whole.isprintable():
        return whole
    shown = "".join(map(_escaped, whole))
    return shown if len(shown) <= limit else _shortened(shown, shown, limit)


def quoted(text: object, limit: int = FOREIGN_CHARS) -> str:
    """The same between quotes, for a sentence about it."""
    return f"'{printable(text, limit)}'"


def _shortened(head: str, tail: str, limit: int) -> str:
    kept = max(0, limit - len(_ELLIPSIS))
    at_end = kept // 2
    return head[: kept - at_end] + _ELLIPSIS + (tail[len(tail) - at_end :] if at_end else "")


def _escaped(char: str) -> str:
    if unicodedata.category(char) not in _HARMFUL:
        return char
    return char.encode("unicode_escape").decode("ascii")
