"""Which of two feeds is wrong where they hold different levels at one `seqId`: OKX's own book by REST decides.

Pure. Collects what each REST book shows of each feed; fetching and consequences are elsewhere.
"""

from collections.abc import Mapping
from typing import Final

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.book.snapshot import Snapshot
from l2vault.okx.audit import Audit, Verdict

REST_BOOKS_BETWEEN: Final = 2
"""So many different REST books have to speak against one feed alone where none stands at a `seqId` of the stream: a
single one may hold a level that changed and changed back."""

_RIGHT: Final = ("equal", "consistent")


class Ruling:
    """`add` each REST book, then look at `wrong`. `snapshots` are the two that differed, by feed."""

    def __init__(self, feeds: tuple[int, int], snapshots: Mapping[int, Snapshot]) -> None:
        self._feeds = feeds
        self._audits = {feed: _audit_of(snapshot) for feed, snapshot in snapshots.items()}
        self._depths = {feed: snapshot.depth for feed, snapshot in snapshots.items()}
        self._mismatched: dict[int, str] = {}
        self._agreed: set[int] = set()
        self._spoken_against: dict[int, set[int | None]] = {feed: set() for feed in feeds}
        self.detail = "no REST book to compare with"

    def add(self, rest: BookChange, verdicts: Mapping[int, Verdict | None]) -> None:
        """`verdicts`: what the audit of each feed, begun when they differed, says of this REST book."""
        judged = {feed: self._at_the_conflict(feed, rest) or verdicts.get(feed) for feed in self._feeds}
        outcomes = {feed: verdict.outcome for feed, verdict in judged.items() if verdict is not None}
        for feed, other in (self._feeds, self._feeds[::-1]):
            verdict = judged[feed]
            if verdict is None:
                continue
            if verdict.outcome in _RIGHT:
                self._agreed.add(feed)
            elif verdict.outcome == "mismatch":
                self._mismatched[feed] = f"REST at seqId {rest.seq_id}: {verdict.detail}"
            elif verdict.outcome == "inconclusive" and outcomes.get(other) in _RIGHT:
                self._spoken_against[feed].add(rest.seq_id)
                self.detail = f"REST at seqId {rest.seq_id}: {verdict.detail}"

    def wrong(self, is_last: bool = False) -> int | None:
        """The feed found wrong. Unless this `is_last`, only what further REST books could not change."""
        if len(self._mismatched) == len(self._feeds):
            self.detail = "REST differs from both"
            return None
        for feed, other in (self._feeds, self._feeds[::-1]):
            if feed in self._mismatched and (other in self._agreed or is_last):
                self.detail = self._mismatched[feed]
                return feed
        for feed, other in (self._feeds, self._feeds[::-1]):
            is_enough = len(self._spoken_against[feed]) >= REST_BOOKS_BETWEEN
            if is_enough and not self._spoken_against[other] and not self._mismatched:
                return feed
        return None

    @property
    def is_settled(self) -> bool:
        """Whether no further REST book can change the answer."""
        return self.wrong() is not None or len(self._mismatched) == len(self._feeds)

    def _at_the_conflict(self, feed: int, rest: BookChange) -> Verdict | None:
        """Where REST stands at the very `seqId` at which the feeds differed, their snapshots are compared with it."""
        audit = self._audits.get(feed)
        if audit is None:
            return None
        depth = self._depths[feed]
        cut = BookChange(rest.inst_id, True, rest.bids[:depth], rest.asks[:depth], rest.ts_ms, rest.seq_id, None, None)
        verdict = audit.judge(cut)
        return verdict if verdict.outcome in ("equal", "mismatch") else None


def _audit_of(snapshot: Snapshot) -> Audit:
    book = Book()
    levels = list(snapshot.bids), list(snapshot.asks)
    book.apply(BookChange(snapshot.inst_id, True, *levels, snapshot.ts_ms, snapshot.seq_id, None, None))
    return Audit(book, snapshot.depth)
