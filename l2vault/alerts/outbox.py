"""What of an alert is to be sent, and when: hysteresis, one message at a time, a bound an hour, quiet hours. Pure.

What is to be said waits until it may be sent and was taken by a receiver. Of one instrument only the newest state
waits, so that however long a receiver is dead, it is then sent one message.
"""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import msgspec

from l2vault.alerts.conditions import Held
from l2vault.alerts.rule import Rule

HOUR_MS: Final = 3_600_000
FIRST_RETRY_MS: Final = 5_000
LONGEST_RETRY_MS: Final = 300_000
LEAST_GAP_MS: Final = 10_000
"""Between two messages of one alert."""
MOST_ENTRIES: Final = 50
"""Of a message: what it has no room for is counted in it."""

State = Literal["firing", "recovered"]


class Now(NamedTuple):
    """Waits are measured by `mono_ms`, which no correction of the clock touches; `wall_ms` is what people read."""

    mono_ms: int
    wall_ms: int


class Entry(msgspec.Struct, frozen=True):
    """What a message says of one instrument, or of nothing in particular. Times are wall time in milliseconds."""

    of: str
    state: State
    since_ms: int
    until_ms: int | None
    text: str
    cure: str
    is_reminder: bool = False


@dataclass(slots=True)
class _One:
    """What is known of one instrument."""

    held: Held
    since: Now
    clear_since: Now | None = None
    is_firing: bool = False


@dataclass(slots=True)
class Outbox:
    """Of one alert and one receiver: `look` after each look at the recorder, then `due`, and `sent` or `failed` for
    what that gave."""

    rule: Rule
    _ones: dict[str, _One] = field(default_factory=dict)
    _waiting: dict[str, Entry] = field(default_factory=dict)
    _sent_at: dict[str, int] = field(default_factory=dict)
    """What the receiver takes to be firing, and at which look it was sent that last; monotonic."""
    _sent_ms: deque[int] = field(default_factory=deque)
    _retry_ms: int = FIRST_RETRY_MS
    _after_ms: int = 0
    _looked_ms: int = 0

    def look(self, held: Sequence[Held] | None, now: Now, unknown: Collection[str] = ()) -> None:
        """Take what holds now; None: it cannot be known, and nothing changes. Of `unknown` instruments more may hold
        than is known: nothing of them recovers, and what has not fired yet must hold anew.

        `now` may be of another clock than that of `due`, `sent` and `failed`, as long as it is always the same.
        """
        self._looked_ms = now.mono_ms
        if held is None:
            return
        found = {one.of: one for one in held}
        for of, each in found.items():
            one = self._ones.setdefault(of, _One(each, now))
            one.held, one.clear_since = each, None
            if not one.is_firing and now.mono_ms - one.since.mono_ms >= self.rule.for_ms:
                one.is_firing = True
                if of in self._sent_at:
                    self._waiting.pop(of, None)  # it is back before the receiver was sent that it had recovered
                else:
                    self._wait(of, one, "firing", None)
            elif one.is_firing and of not in self._waiting and now.mono_ms - self._sent_at[of] >= self.rule.again_ms:
                self._wait(of, one, "firing", None, is_reminder=True)
        for of in [of for of in self._ones if of not in found]:
            if of.partition(" ")[0] not in unknown:
                self._clear(of, self._ones[of], now)
            elif self._ones[of].is_firing:
                self._ones[of].clear_since = None
            else:
                del self._ones[of]

    def due(self, now: Now) -> list[Entry]:
        """What is to be sent now, the oldest first; empty where nothing is, or where it may not be sent yet."""
        while self._sent_ms and now.mono_ms - self._sent_ms[0] >= HOUR_MS:
            self._sent_ms.popleft()
        is_bounded = len(self._sent_ms) >= self.rule.most_an_hour
        if not self._waiting or is_bounded or now.mono_ms < self._after_ms or self.rule.is_quiet(now.wall_ms):
            return []
        return sorted(self._waiting.values(), key=lambda entry: (entry.since_ms, entry.of))

    def sent(self, entries: Sequence[Entry], now: Now) -> None:
        """The receiver took these."""
        self._retry_ms, self._after_ms = FIRST_RETRY_MS, now.mono_ms + LEAST_GAP_MS
        self._sent_ms.append(now.mono_ms)
        for entry in entries:
            self._waiting.pop(entry.of, None)
            if entry.state == "firing":
                self._sent_at[entry.of] = self._looked_ms
            else:
                self._sent_at.pop(entry.of, None)

    def failed(self, now: Now) -> None:
        """The receiver did not take it: everything waits, and is tried again less and less often."""
        self._after_ms, self._retry_ms = now.mono_ms + self._retry_ms, min(2 * self._retry_ms, LONGEST_RETRY_MS)

    def _clear(self, of: str, one: _One, now: Now) -> None:
        if not one.is_firing:
            del self._ones[of]
            return
        one.clear_since = now if one.clear_since is None else one.clear_since
        if now.mono_ms - one.clear_since.mono_ms >= self.rule.clear_ms:
            self._wait(of, one, "recovered", one.clear_since.wall_ms)
            del self._ones[of]

    def _wait(self, of: str, one: _One, state: State, until_ms: int | None, is_reminder: bool = False) -> None:
        held = one.held
        self._waiting[of] = Entry(of, state, one.since.wall_ms, until_ms, held.text, held.cure, is_reminder)
