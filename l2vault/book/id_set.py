"""`IdSet`, whole numbers as disjoint ranges: which ids of trades are known. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

IdRange = tuple[int, int]
"""The first and the last of ids that follow each other."""


class IdSet:
    """Grows by the ranges that do not touch, not by the ids. Iterated, it gives its ranges in order."""

    def __init__(self, ranges: Iterable[IdRange] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> list[IdRange]:
        """Take the ids `first` to `last`; returns those of them that were not in it."""
        if not self._lasts or first > self._lasts[-1] + 1:  # most often behind all others
            self._firsts.append(first)
            self._lasts.append(last)
            return [(first, last)]
        new = self.lacking(first, last)
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high], self._lasts[low:high] = [first], [last]
        return new

    def lacking(self, first: int, last: int) -> list[IdRange]:
        """The ids from `first` to `last` that are not in it, in order."""
        found: list[IdRange] = []
        at = bisect_left(self._lasts, first)
        while first <= last and at < len(self._firsts) and self._firsts[at] <= last:
            if first < self._firsts[at]:
                found.append((first, self._firsts[at] - 1))
            first = self._lasts[at] + 1
            at += 1
        return [*found, (first, last)] if first <= last else found

    def __iter__(self) -> Iterator[IdRange]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """Of ids, not of ranges."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)
