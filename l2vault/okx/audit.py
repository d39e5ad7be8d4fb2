"""Our book against OKX's own by REST: what the checksum used to give. Pure; fetching and consequences are elsewhere.

The audit starts from a copy of our book, follows the stream beside it, and judges a REST book at the same `seqId`, or,
where the stream never stood there, against the states just before and after.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from l2vault.book.book import Book
from l2vault.book.change import BookChange, Level
from l2vault.book.price import price_key

Outcome = Literal["equal", "mismatch", "consistent", "inconclusive", "older", "ahead"]
"""`equal` and `mismatch` at one `seqId`; `consistent` and `inconclusive` between two; the last two cannot be judged."""

_Levels = dict[int, tuple[int, str]]
"""Quantity in 1e-18 and order count by price: equal numbers are equal, however they are spelt."""


@dataclass(frozen=True, slots=True)
class Verdict:
    outcome: Outcome
    detail: str


class Audit:
    """One instrument's audit: `follow` every change applied since, then `judge`."""

    def __init__(self, book: Book, depth: int) -> None:
        self._book = book.copy()
        self._depth = depth
        self._changes: list[BookChange] = []

    def follow(self, change: BookChange) -> None:
        self._changes.append(change)

    def judge(self, rest: BookChange) -> Verdict:
        """Compare with a full book from REST. `ahead`: judge again once the stream has come that far."""
        seq_id = rest.seq_id
        if seq_id is None or self._book.seq_id is None:
            return Verdict("inconclusive", "no sequence number to meet at")
        states = self._states()
        for state in states:
            if state.seq_id == seq_id:
                return self._judge_at(state, rest)
        for before, after in pairwise(states):
            if _is_between(before.seq_id, seq_id, after.seq_id):
                return self._judge_between(before, after, rest)
        newest = states[-1].seq_id
        is_ahead = newest is not None and seq_id > newest
        return Verdict("ahead" if is_ahead else "older", f"REST stands at seqId {seq_id}, the stream at {newest}")

    def _states(self) -> list[Book]:
        """Our book at every `seqId` since the audit began."""
        states = [self._book]
        for change in self._changes:
            states.append(states[-1].copy())
            states[-1].apply(change)
        return states

    def _judge_at(self, book: Book, rest: BookChange) -> Verdict:
        bids, asks = book.top(self._depth)
        wrong = [*_differences(bids, rest.bids), *_differences(asks, rest.asks)]
        if not wrong:
            return Verdict("equal", f"{len(bids)} bids and {len(asks)} asks")
        return Verdict("mismatch", f"{len(wrong)} levels differ, first {wrong[0]}")

    def _judge_between(self, before: Book, after: Book, rest: BookChange) -> Verdict:
        unexplained = 0
        sides = zip(before.top(self._depth), after.top(self._depth), (rest.bids, rest.asks), strict=True)
        for old, new, theirs in sides:
            olds, news, seen = _keyed(old), _keyed(new), _keyed(theirs)
            for key in olds.keys() | news.keys() | seen.keys():
                unexplained += seen.get(key) not in (olds.get(key), news.get(key))
        where = f"between seqId {before.seq_id} and {after.seq_id}"
        # A level that changed and changed back in between is in neither state, and yet nothing is wrong.
        outcome: Outcome = "inconclusive" if unexplained else "consistent"
        return Verdict(outcome, f"{where}, {unexplained} levels in neither")


def _is_between(before: int | None, seq_id: int, after: int | None) -> bool:
    return before is not None and after is not None and before < seq_id < after


def _keyed(levels: list[Level]) -> _Levels:
    return {price_key(price): (price_key(quantity), orders) for price, quantity, _, orders in levels}


def _differences(ours: list[Level], theirs: list[Level]) -> list[str]:
    if ours == theirs:
        return []
    held, seen = _keyed(ours), _keyed(theirs)
    names = {price_key(level[0]): level[0] for level in [*ours, *theirs]}
    return [names[key] for key in sorted(held.keys() | seen.keys()) if held.get(key) != seen.get(key)]
