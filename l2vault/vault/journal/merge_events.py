"""What `l2vault merge` notes of an hour that it made of several vaults', and `l2vault repair` of holes that it filled
(docs/format.md). Knows no file."""

from collections.abc import Iterator
from typing import Literal

import msgspec

Kind = Literal["books", "trades", "changes", "context", "deep", "rpi"]
NotProved = Literal["disputed", "unverifiable", "missing", "unknown", "stale", "lost", "present"]


class MergedQuiet(msgspec.Struct, frozen=True, array_like=True):
    """The book of the line of time `since` stood over the grid times `[first, last]`, as one vault's journal proves."""

    since: str
    first: str
    last: str


class MergedSpan(msgspec.Struct, frozen=True, array_like=True):
    """A half-open span of exchange time in one state, with the causes that the vaults' journals have for it."""

    from_: str
    to: str
    state: NotProved
    cause: str


class MergedIds(msgspec.Struct, frozen=True, array_like=True):
    """Ids of trades that no vault has, between the exchange times of the trades beside them; `skipped`: OKX never used
    them."""

    first: int
    last: int
    from_: str
    to: str
    state: Literal["missing", "unknown", "skipped"]
    cause: str
    detail: str


class MergedBegun(msgspec.Struct, frozen=True, array_like=True):
    """The first id of a numbering of trades, and its exchange time."""

    id: int
    ts: str


class Merged(
    msgspec.Struct, frozen=True, tag_field="event", tag="merged", rename={"from_": "from"}, omit_defaults=True
):
    """What is known of an hour that was merged, of one kind of lines: the newest of an hour replaces those before it.

    `vaults` has how many of its lines each vault brought. `from` and `to` bound what any vault knows of the hour.
    `spans` are what no vault covers (books, changes, deep, rpi), or every state of each value, in `values` (context).
    """

    at: str
    inst_id: str
    hour: str
    kind: Kind
    vaults: dict[str, int]
    from_: str | None = None
    to: str | None = None
    cadence_ms: int = 0
    quiet: list[MergedQuiet] = []
    spans: list[MergedSpan] = []
    disputed: list[tuple[str, str]] = []
    """First and last grid time, both included, over which the vaults, or a vault's own sources, contradict."""
    unverifiable: list[tuple[str, str]] = []
    unaudited: list[tuple[str, str]] = []
    """The same of lines of streams without proof, and of books that were never seen to equal another one."""
    unaligned: int = 0
    """Slots for which two vaults hold lines of different `seqId`: the later one was taken."""
    contradicted: int = 0
    """Lines of trades that another vault contradicts."""
    begun: list[MergedBegun] = []
    ids: list[MergedIds] = []
    values: dict[str, list[MergedSpan]] = {}

    def times(self) -> Iterator[str]:
        """Every time that it names beside `at`, `hour`, `from` and `to`."""
        for quiet in self.quiet:
            yield from (quiet.since, quiet.first, quiet.last)
        for span in (*self.spans, *(each for spans in self.values.values() for each in spans)):
            yield from (span.from_, span.to)
        for pair in (*self.disputed, *self.unverifiable, *self.unaudited):
            yield from pair
        for ids in self.ids:
            yield from (ids.from_, ids.to)
        yield from (each.ts for each in self.begun)


class Repaired(msgspec.Struct, frozen=True, tag_field="event", tag="repaired", omit_defaults=True):
    """In these half-open spans, holes of what was recorded, books of OKX's archive are read by default: so many slots.
    `undone`: no longer."""

    at: str
    inst_id: str
    spans: list[tuple[str, str]]
    slots: int
    undone: bool = False
