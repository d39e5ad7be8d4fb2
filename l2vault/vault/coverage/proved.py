"""Time by what can be proved of it, for kinds that have no grid of slots: trades, changes and deep books. Pure."""

from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from l2vault.book.utc import utc_text

ProofState = Literal["proved", "missing", "unknown", "archive"]
KNOWN: Final[tuple[ProofState, ...]] = ("proved", "archive")
"""What was recorded, and where OKX's archive stands in because that was asked for (`filled`)."""


class TimeStretch(msgspec.Struct, frozen=True):
    """A half-open part of a span in one state; a cause where it is not proved."""

    start_ms: int
    end_ms: int
    state: ProofState
    cause: str


class ProvedSpan(msgspec.Struct, frozen=True):
    """What is known of one instrument over `[start_ms, end_ms)`: `stretches` in order, without a gap between them."""

    inst_id: str
    start_ms: int
    end_ms: int
    stretches: list[TimeStretch]

    def share(self, state: ProofState = "proved") -> float:
        """The share of the span's time in this state, from 0 to 1."""
        return share_of(self.stretches, (self.start_ms, self.end_ms), state)

    @property
    def known_share(self) -> float:
        """The share of the span's time that is proved, be it by what was recorded or by the archive."""
        return sum(self.share(state) for state in KNOWN)

    def _described(self, words: str, proved: str) -> str:
        """`<TradeCoverage of BTC-USDT-SWAP, .. to ..: words, 99.5 % proved>`"""
        span = f"{utc_text(self.start_ms)} to {utc_text(self.end_ms)}"
        shares = f"{percent(self.share())} {proved}"
        if archived := self.share("archive"):
            shares += f", {percent(archived)} of the archive"
        return f"<{type(self).__name__} of {self.inst_id}, {span}: {words}{shares}>"


def percent(share: float) -> str:
    """`98.9 %`; never `100 %` of what is not all."""
    return f"{100 * share if share >= 1 else min(100 * share, 99.99):.4g} %"


def painted(span: tuple[int, int], marks: Iterable[TimeStretch]) -> list[TimeStretch]:
    """The span in its states, in order and without a gap: a later mark covers the ones before it; what none covers is
    unknown."""
    found = [TimeStretch(*span, "unknown", "")] if span[0] < span[1] else []
    for mark in clipped(marks, span):
        rest: list[TimeStretch] = []
        for each in found:
            outside = (each.start_ms, min(each.end_ms, mark.start_ms)), (max(each.start_ms, mark.end_ms), each.end_ms)
            rest += [TimeStretch(*bounds, each.state, each.cause) for bounds in outside if bounds[0] < bounds[1]]
        found = [*rest, mark]
    return list(_joined(sorted(found, key=lambda each: each.start_ms)))


def clipped(stretches: Iterable[TimeStretch], span: tuple[int, int]) -> Iterator[TimeStretch]:
    """What of them lies in the span."""
    for each in stretches:
        start_ms, end_ms = max(each.start_ms, span[0]), min(each.end_ms, span[1])
        if start_ms < end_ms:
            yield TimeStretch(start_ms, end_ms, each.state, each.cause)


def share_of(stretches: Iterable[TimeStretch], span: tuple[int, int], state: ProofState) -> float:
    """The share of the span in this state, from 0 to 1."""
    held = sum(each.end_ms - each.start_ms for each in stretches if each.state == state)
    return held / (span[1] - span[0]) if span[0] < span[1] else 0.0


def _joined(stretches: Iterable[TimeStretch]) -> Iterator[TimeStretch]:
    """Those alike that touch as one."""
    last: TimeStretch | None = None
    for each in stretches:
        if last is not None and (last.state, last.cause) == (each.state, each.cause):
            each = TimeStretch(last.start_ms, each.end_ms, each.state, each.cause)
        elif last is not None:
            yield last
        last = each
    if last is not None:
        yield last
