"""Spans of time as pairs of milliseconds, half-open. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

Spans = Sequence[tuple[int, int]]
"""Half-open, in order, none overlapping another."""


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those that overlap or touch as one, without those that last no time."""
    found: list[tuple[int, int]] = []
    for from_ms, to_ms in sorted(spans):
        if found and from_ms <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], to_ms)
        elif from_ms < to_ms:
            found.append((from_ms, to_ms))
    return found


def holds(spans: Spans, t_ms: int) -> bool:
    """Whether a moment is in one of them."""
    return meets(spans, t_ms, t_ms + 1)


def meets(spans: Spans, from_ms: int, to_ms: int) -> bool:
    """Whether one of them has a millisecond of `[from_ms, to_ms)`."""
    at = bisect_right(spans, to_ms - 1, key=lambda span: span[0]) - 1
    return at >= 0 and from_ms < spans[at][1]


def split(span: tuple[int, int], every_ms: int) -> Iterator[tuple[int, int]]:
    """Its parts within each hour, day or other length that begins at a multiple of itself."""
    start_ms = span[0]
    while start_ms < span[1]:
        end_ms = min((start_ms // every_ms + 1) * every_ms, span[1])
        yield start_ms, end_ms
        start_ms = end_ms


def intersection(one: Spans, other: Spans) -> list[tuple[int, int]]:
    """What lies in both."""
    found: list[tuple[int, int]] = []
    at = 0
    for from_ms, to_ms in one:
        while at < len(other) and other[at][1] <= from_ms:
            at += 1
        nth = at
        while nth < len(other) and other[nth][0] < to_ms:
            found.append((max(from_ms, other[nth][0]), min(to_ms, other[nth][1])))
            nth += 1
    return found


def outside(spans: Iterable[tuple[int, int]], start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """What of `[start_ms, end_ms)` is in none of them."""
    for from_ms, to_ms in spans:
        if to_ms <= start_ms:
            continue
        if from_ms >= end_ms:
            break
        if from_ms > start_ms:
            yield start_ms, from_ms
        start_ms = to_ms
    if start_ms < end_ms:
        yield start_ms, end_ms
