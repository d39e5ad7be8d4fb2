"""Arithmetic on findings: percentiles, the clock's offset, shared sequence numbers, where REST's books stand. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from l2vault.probe.findings import Feed, RestBook, TimeSample

EDGE_MS: Final = 1_000


class Offset(NamedTuple):
    """How far this clock is ahead of the exchange's; behind is negative."""

    ahead_ms: int
    uncertainty_ms: int
    samples: int


class Shared(NamedTuple):
    """Sequence numbers of one instrument that both feeds brought, among those of the time both were there."""

    both: int
    either: int

    @property
    def share(self) -> float | None:
        return self.both / self.either if self.either else None


class Places(NamedTuple):
    """Where REST's books stand against the stream: at one of its numbers, between two, or outside what was seen."""

    at: int
    between: int
    outside: int
    older: int
    """Of all, those behind the newest message that had come when they were asked for."""
    unnumbered: int


def percentile(values: Iterable[float], share: float) -> float | None:
    """Nearest rank: the smallest value that at least `share` of all do not exceed; None of none."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def clock_offset(samples: Sequence[TimeSample]) -> Offset | None:
    """By the sample of the shortest round trip, in whose middle the exchange read its clock, give or take a half."""
    if not samples:
        return None
    best = min(samples, key=lambda sample: sample.rtt_ms)
    ahead_ms = best.received_wall_ms - (best.server_ms + best.rtt_ms // 2)
    return Offset(ahead_ms, best.rtt_ms // 2 + 1, len(samples))


def shared_seq_ids(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> Shared:
    """Of numbers with their times of arrival: those that came while both feeds had been there for a second.

    The second at either end keeps out what one feed brought just before the other began. Heartbeats count once.
    """
    if not first or not second:
        return Shared(0, 0)
    from_ms = max(first[0][1], second[0][1]) + EDGE_MS
    to_ms = min(first[-1][1], second[-1][1]) - EDGE_MS
    either = {seq_id for seq_id, at_ms in (*first, *second) if from_ms <= at_ms <= to_ms}
    both = {seq_id for seq_id, _ in first} & {seq_id for seq_id, _ in second}
    return Shared(len(either & both), len(either))


def places(books: Sequence[RestBook], streams: Sequence[Sequence[int]]) -> Places:
    """`streams` are the sequence numbers of one instrument on each feed."""
    seen = set().union(*streams)
    count: Counter[str] = Counter()
    for book in books:
        if book.seq_id is None:
            count["unnumbered"] += 1
            continue
        count[_place(book.seq_id, seen)] += 1
        count["older"] += book.newest_before is not None and book.seq_id < book.newest_before
    return Places(count["at"], count["between"], count["outside"], count["older"], count["unnumbered"])


def all_delays_ms(feeds: Sequence[Feed]) -> list[int]:
    return [delay for feed in feeds for stream in feed.books.values() for delay in stream.delays_ms]


def _place(seq_id: int, seen: set[int]) -> str:
    if seq_id in seen:
        return "at"
    return "between" if seen and min(seen) < seq_id < max(seen) else "outside"
