"""Writes docs/api.md from the docstrings of the public names: python docs/api_page.py. A test holds that it was run."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import l2vault
from l2vault.analytics.provenance import Provenance, VisibleRange
from l2vault.api.context import Context, ContextTail
from l2vault.api.deep import DeepBooks, RpiBooks
from l2vault.api.snapshots import Snapshots, Tail
from l2vault.api.tables import Levels
from l2vault.api.trades import Trade, Trades, TradeTail
from l2vault.book.deep import DeepSample
from l2vault.vault.coverage.context import ContextCoverage
from l2vault.vault.coverage.deep import DeepCoverage
from l2vault.vault.coverage.proved import TimeStretch
from l2vault.vault.coverage.trades import IdRun, SkippedIds, TradeCoverage, TradeHole

PAGE = Path(__file__).with_name("api.md")
CLASSES = [
    (l2vault.Vault, "l2vault.Vault"),
    (l2vault.Books, "l2vault.Books"),
    (l2vault.Result, "l2vault.Result"),
    (Provenance, "Provenance"),
    (VisibleRange, "VisibleRange"),
    (l2vault.Snapshot, "l2vault.Snapshot"),
    (Snapshots, "Snapshots"),
    (Tail, "Tail"),
    (Levels, "Levels"),
    (l2vault.Coverage, "l2vault.Coverage"),
    (Trades, "Trades"),
    (Trade, "Trade"),
    (TradeTail, "TradeTail"),
    (TradeCoverage, "TradeCoverage"),
    (IdRun, "IdRun"),
    (TradeHole, "TradeHole"),
    (SkippedIds, "SkippedIds"),
    (TimeStretch, "TimeStretch"),
    (Context, "Context"),
    (ContextTail, "ContextTail"),
    (ContextCoverage, "ContextCoverage"),
    (DeepBooks, "DeepBooks"),
    (RpiBooks, "RpiBooks"),
    (DeepSample, "DeepSample"),
    (DeepCoverage, "DeepCoverage"),
    (l2vault.errors.L2VaultError, "l2vault.errors.L2VaultError"),
    (l2vault.errors.VaultError, "l2vault.errors.VaultError"),
    (l2vault.errors.UsageError, "l2vault.errors.UsageError"),
]
HEAD = """# The public door

`import l2vault` is enough. This page is made from the docstrings by `python docs/api_page.py`; a test runs every
example on a vault of ten minutes with one hole. Stable is what `l2vault.__all__` names, as described here: {names}.

`TimeLike` is ISO text (UTC where it names no zone), `10:30`, `now`, an aware `datetime`, a `date`, a pandas Timestamp,
a numpy `datetime64`, an Arrow scalar, or milliseconds since 1970 as any integer or float: any value of our frames is
one. `Duration` is text such as `90s`, `15m`, `2h`, `1h30m`, or a `timedelta`; `Amount` is a number or text such as
`250k`, `5M`. Times in frames are `Datetime("ms", "UTC")`; `raw=True` gives integers of milliseconds.
"""


def page() -> str:
    names = ", ".join(f"`{name}`" for name in l2vault.__all__)
    parts = [HEAD.format(names=names), "## l2vault.open\n", _described(l2vault.open, "l2vault.open")]
    for kind, name in CLASSES:
        parts += [f"## {name}\n", _text(inspect.getdoc(kind) or "")]
        for member, found in _members(kind):
            if member.startswith("_") or not (inspect.isfunction(found) or isinstance(found, property)):
                continue
            if isinstance(found, property):
                if inspect.getdoc(found):
                    parts.append(f"### .{member}\n\n{_text(inspect.getdoc(found) or '')}")
            elif inspect.getdoc(found):
                parts.append(_described(found, f".{member}", "### "))
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _members(kind: type) -> Iterator[tuple[str, object]]:
    """Those of the class, then those that it has of others of ours."""
    seen: set[str] = set()
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] == l2vault.__name__:
            yield from ((name, found) for name, found in vars(base).items() if name not in seen)
            seen.update(vars(base))


ALIASES = (
    ("str | float | datetime.date | SupportsIndex | Datetime64 | ArrowScalar", "TimeLike"),
    ("str | datetime.timedelta", "Duration"),
    ("Literal['contracts', 'coin', 'usd']", "Unit"),
    ("Literal['recorded', 'quiet', 'disputed', 'unverifiable', 'missing', 'unknown', 'archive']", "State"),
    ("Literal['mark', 'index', 'funding', 'open_interest', 'limits']", "Kind"),
    ("Literal['present', 'stale', 'lost', 'unknown', 'archive']", "ContextState"),
    ("Literal['proved', 'missing', 'unknown', 'archive']", "ProofState"),
    ("str | float", "Amount"),
)


def _described(found: Callable[..., object], name: str, mark: str = "") -> str:
    signature = str(inspect.signature(found)).replace("(self, ", "(").replace("(self)", "()")
    # The rooms a type comes from are no part of the door, and a type of an extra is named in quotes.
    signature = re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])", "", signature)
    signature = re.sub(r"-> '([\w |]+)'", r"-> \1", signature)
    for spelled, alias in ALIASES:
        signature = signature.replace(spelled, alias)
    title = f"{mark}{name}\n\n" if mark else ""
    return f"{title}```python\n{name.removeprefix('.')}{signature}\n```\n\n{_text(inspect.getdoc(found) or '')}"


def _text(doc: str) -> str:
    """Examples become blocks."""
    said, _, example = doc.partition(">>> ")
    block = f"\n```pycon\n>>> {example.rstrip()}\n```\n" if example else ""
    return f"{said.rstrip()}\n{block}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
