"""l2vault: the flight recorder of OKX perpetual-swap order books.

    vault = l2vault.open("Vault")
    vault.books("BTC-USDT-SWAP", last="2h").walls().frame

What `__all__` names is stable (docs/api.md), everything else may move. Names are loaded when they are first used, so
that recording loads no analysis library and reading no network. The code is read in the order in which data flows:
`okx` (the wire), `book` (the market as values), `vault` (the disk), `analytics` (the meaning), `api` (this door).
`recorder` wires the first three, `cli` is the command line, `sim` is an exchange of our own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from l2vault.version import __version__

if TYPE_CHECKING:
    from l2vault import errors as errors
    from l2vault.api.books import Books as Books
    from l2vault.api.result import Result as Result
    from l2vault.api.snapshot import Snapshot as Snapshot
    from l2vault.api.vault import Vault as Vault
    from l2vault.api.vault import open_vault as open
    from l2vault.vault.coverage.model import Coverage as Coverage

__all__ = ["Books", "Coverage", "Result", "Snapshot", "Vault", "__version__", "errors", "open"]

_PLACES: Final = {
    "Books": ("l2vault.api.books", "Books"),
    "Coverage": ("l2vault.vault.coverage.model", "Coverage"),
    "Result": ("l2vault.api.result", "Result"),
    "Snapshot": ("l2vault.api.snapshot", "Snapshot"),
    "Vault": ("l2vault.api.vault", "Vault"),
    "open": ("l2vault.api.vault", "open_vault"),
}


def __getattr__(name: str) -> object:
    if name == "errors":
        return import_module("l2vault.errors")
    if name not in _PLACES:
        raise AttributeError(f"module 'l2vault' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found: object = getattr(import_module(module), attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
