"""Text that somebody else wrote, made fit for a log, a terminal and a journal. Pure.

Messages, codes, close reasons, host names and file names come from outside: none of them may begin a line of its own,
move a cursor, colour a terminal, or fill the disk.
"""

from typing import Final

LONGEST: Final = 200
_CUT: Final = "..."


def printable(text: str, limit: int = LONGEST) -> str:
    r"""`text` on one line of at most `limit` characters, everything that is not printable written as an escape.

    >>> printable("bye\n\x1b[2J")
    'bye\\n\\x1b[2J'
    >>> printable("a" * 9, limit=8)
    'aaaaa...'
    """
    shown: list[str] = []
    length = 0
    for char in text[: limit + 1]:  # an escape is only longer than what it stands for
        shown.append(char if char.isprintable() else _escape(char))
        length += len(shown[-1])
    if length <= limit:
        return "".join(shown)
    while length > limit - len(_CUT):
        length -= len(shown.pop())
    return "".join(shown) + _CUT


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
