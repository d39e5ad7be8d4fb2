"""Pushes whose ids are far from an instrument's chain of trades: held until a second word agrees with them. Pure.

One foreign value must not begin a chain anew, nor open a hole of 10^15 ids: it takes two pushes near each other, or one
push of two feeds, or REST's newest trade beside a push.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from l2vault.book.trade import RENUMBERED_IDS, TradePush

IDS_PER_SEC: Final = 100
"""Ids may have gone on by so many a second since the last trade: three times BTC's mean (okx-channels, section 3). More
is no error, but has to be agreed with; in a market that is so busy the next push does within a moment."""
HOLD_MS: Final = 3_000
"""Monotonic: if pushes that fit the chain still come after so long, what is held was foreign."""
MOST_HELD: Final = 8
REST: Final = 0
"""Stands for REST among the feeds, which count from 1."""


class Held(NamedTuple):
    """A push, who brought it, and when by the monotonic clock."""

    feed: int
    push: TradePush
    now_ms: int

    def agrees(self, other: "Held") -> bool:
        """Whether two words speak for one place in one numbering: the same word again is no second one."""
        if self.feed == other.feed and self.push.last_id == other.push.last_id:
            return False
        reach = _reach(abs(self.push.ts_ms - other.push.ts_ms))
        return abs(self.push.last_id - other.push.last_id) <= reach


class TradeLeaps:
    """`hold` each push that `is_leap`, and call `fitted` when one fitted; drop what both return as foreign."""

    def __init__(self) -> None:
        self._held: list[Held] = []

    @staticmethod
    def is_leap(push: TradePush, head: int, head_ms: int) -> bool:
        """Whether its ids are of a numbering begun anew, or further ahead of `head`, of time `head_ms`, than ids go."""
        return push.is_renumbered(head, head_ms) or push.first_id - head > _reach(max(0, push.ts_ms - head_ms))

    def hold(self, new: Held) -> tuple[list[Held], list[Held]]:
        """What is believed by now, the least id first: `new` and those that agree with it, or nothing; and what is
        dropped, since too much is held."""
        agreeing = [held for held in self._held if held.agrees(new)]
        if agreeing:
            self._held = [held for held in self._held if held not in agreeing]
            return sorted([*agreeing, new], key=lambda held: held.push.first_id), []
        if all((held.feed, held.push.last_id) != (new.feed, new.push.last_id) for held in self._held):
            self._held.append(new)
        dropped, self._held = self._held[:-MOST_HELD], self._held[-MOST_HELD:]
        return [], dropped

    def fitted(self, now_ms: int) -> Sequence[Held]:
        """A push fitted the chain: those that have been held for long are not believed any more."""
        if not self._held:
            return ()
        dropped = [held for held in self._held if now_ms - held.now_ms >= HOLD_MS]
        self._held = [held for held in self._held if held not in dropped]
        return dropped

    def end(self) -> list[Held]:
        """Nobody agrees any more."""
        dropped, self._held = self._held, []
        return dropped


def _reach(elapsed_ms: int) -> int:
    return RENUMBERED_IDS + elapsed_ms * IDS_PER_SEC // 1000
