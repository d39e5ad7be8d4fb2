"""Arithmetic on findings: percentiles, the clock's offset, shared sequence numbers, where REST's books stand. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from l2vault.probe.findings import Feed, RestBook, TimeSample


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


def shared_seq_ids(first: Sequence[int], second: Sequence[int]) -> Shared:
    """Compared from the first to the last number that both have. Heartbeats repeat a number; it counts once."""
    ours, theirs = list(dict.fromkeys(first)), list(dict.fromkeys(second))
    common = set(ours) & set(theirs)
    if not common:
        return Shared(0, len(ours) + len(theirs) if ours and theirs else 0)
    either = len(_window(ours, common)) + len(_window(theirs, common)) - len(common)
    return Shared(len(common), either)


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


def _window(numbers: list[int], common: set[int]) -> list[int]:
    places_of = [place for place, number in enumerate(numbers) if number in common]
    return numbers[places_of[0] : places_of[-1] + 1]
