"""The vault's own name of an instrument for what a person typed: in any case, and the nearest for a slip."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

from l2vault.errors import VaultError
from l2vault.foreign import printable

_MOST_NAMED: Final = 8
_LONGEST_NAME: Final = 64


def held_instruments(asked: Iterable[str], held: Sequence[str]) -> list[str]:
    """The vault's names of those asked for, whatever their case. Raises VaultError naming the nearest for one that the
    vault does not hold."""
    by_capitals = {name.upper(): name for name in held}
    found = []
    for name in asked:
        if name.upper() not in by_capitals:
            near = difflib.get_close_matches(name.upper()[:_LONGEST_NAME], by_capitals, 1, 0.4)
            cure = by_capitals[near[0]] if near else one_of(held)
            raise VaultError(f"the vault holds nothing of {printable(name, _LONGEST_NAME)}.", cure)
        found.append(by_capitals[name.upper()])
    return found


def one_of(held: Sequence[str]) -> str:
    """The cure for a name that is missing or wrong."""
    if not held:
        return "l2vault record"
    more = f" or {len(held) - _MOST_NAMED} more: l2vault ls" if len(held) > _MOST_NAMED else ""
    return f"one of {', '.join(map(printable, held[:_MOST_NAMED]))}{more}"
