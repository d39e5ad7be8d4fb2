"""How the recorder is at any moment, collected from what passes anyway: outputs of the feeds, and what the disk is
given.

Asks nobody and waits for nothing; a look-up or two for each thing that passes. Reads no clock but the one it is handed.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from l2vault.book.context import Context
from l2vault.book.snapshot import Snapshot
from l2vault.book.trade import TradePush
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.foreign import printable
from l2vault.okx.messages import BOOKS
from l2vault.okx.outputs import Sampled
from l2vault.okx.websocket import FeedDown, FeedOutput, FeedUp
from l2vault.vault.health import form
from l2vault.vault.journal import events
from l2vault.vault.journal.change_events import ChangesLost
from l2vault.vault.journal.context_events import ContextNoted

MOST_LOSSES: Final = 20
LAG_OVER_MS: Final = 60_000
SHARE_OVER_MS: Final = 3_600_000
_LAGS: Final = 512
"""Of an instrument and a minute: two feeds at the finest cadence bring more, and then the newest ones count."""
_LAST_RUN: Final = frozenset({"our_restart"})


@dataclass(slots=True)
class _Feed:
    state: form.FeedState
    since: str
    address: str | None = None
    reason: str | None = None
    connects: int = 0


@dataclass(slots=True)
class _Instrument:
    state: form.BookState
    since: str
    out_since_ms: int | None
    """Monotonic: since when no feed holds its book; None while one does."""
    feeds: set[int] = field(default_factory=set)
    out: deque[tuple[int, int]] = field(default_factory=deque)
    """Monotonic: spans of the last hour in which no feed held it, both ends."""
    lags: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_LAGS))
    """Monotonic time and milliseconds."""
    line_ms: int | None = None
    lines: int = 0
    trade_ms: int | None = None
    trade_lines: int = 0
    context_ms: int | None = None
    context_lines: int = 0
    values: dict[str, str] = field(default_factory=dict)
    """Of the context: the state of each value."""
    changes_lost: tuple[str | None, str] | None = None


class HealthBoard:
    """`take` what the feeds put out and `watch` what the disk is given; the other methods say what that adds up to."""

    def __init__(self, inst_ids: Sequence[str], clock: Clock) -> None:
        self._clock = clock
        self._started_ms = clock.monotonic_ms()
        self.started = clock.wall_text()
        self._feeds: dict[int, _Feed] = {}
        self._instruments = {inst_id: _Instrument("waiting", self.started, self._started_ms) for inst_id in inst_ids}
        self._tasks: dict[str, form.TaskHealth] = {}
        self.losses: deque[form.LossHealth] = deque(maxlen=MOST_LOSSES)
        """The newest first."""
        self.causes: Counter[str] = Counter()
        self.gaps = 0
        self.compared: Counter[str] = Counter()
        self.audits: Counter[str] = Counter()
        self.audited_at: str | None = None

    # What passes

    def take(self, number: int, outputs: Sequence[FeedOutput]) -> None:
        """Whatever a feed reports; most of it is not for this room."""
        for output in outputs:
            if isinstance(output, Sampled):
                one = self._instruments.get(output.snapshot.inst_id)
                if one is not None and output.recv_us:
                    one.lags.append((self._clock.monotonic_ms(), output.recv_us / 1000 - output.until_ms))
            elif isinstance(output, FeedUp):
                feed = self._enter(number, "up", None)
                feed.address, feed.connects = output.url, feed.connects + 1
            elif isinstance(output, FeedDown):
                self._enter(number, "down", printable(output.reason))

    def watch(self, item: object) -> None:
        """Whatever the disk is given: lines and events, whoever gives them."""
        if isinstance(item, Snapshot | TradePush | Context):
            one = self._instruments.get(item.inst_id)
            if one is not None:
                _count(one, item)
        elif isinstance(item, events.Synced):
            self._synced(item)
        elif isinstance(item, events.Lost):
            self._lost(item)
        else:
            self._watch_seldom(item)

    def _watch_seldom(self, item: object) -> None:
        if isinstance(item, events.Minute):
            self.compared.update(matched=item.matched, unaligned=item.unaligned, conflicting=item.conflicting)
        elif isinstance(item, events.Audited):
            self.audits[item.outcome] += 1
            if item.outcome in ("equal", "consistent", "mismatch"):
                self.audited_at = item.at
        elif isinstance(item, events.TaskFailed):
            failures = self._tasks[item.task].failures if item.task in self._tasks else 0
            self._tasks[item.task] = form.TaskHealth(item.at, item.task, item.error, failures + 1)
        elif isinstance(item, events.Refused | events.Unverifiable | ContextNoted | ChangesLost):
            one = self._instruments.get(item.inst_id)
            if one is not None:
                _note(one, item)

    def _enter(self, number: int, state: form.FeedState, reason: str | None) -> _Feed:
        feed = self._feeds.setdefault(number, _Feed("connecting", self._clock.wall_text()))
        if feed.state != state:
            feed.state, feed.since = state, self._clock.wall_text()
        feed.reason = reason
        return feed

    def _synced(self, synced: events.Synced) -> None:
        one = self._instruments.get(synced.inst_id)
        if one is None:
            return
        one.feeds.add(synced.feed)
        if one.out_since_ms is not None:
            one.out.append((one.out_since_ms, self._clock.monotonic_ms()))
            one.out_since_ms, one.state, one.since = None, "in sync", synced.at

    def _lost(self, lost: events.Lost) -> None:
        one = self._instruments.get(lost.inst_id)
        if one is None or lost.cause in _LAST_RUN:
            return
        one.feeds.discard(lost.feed)
        is_covered = bool(one.feeds)
        self.causes[lost.cause] += 1
        self.gaps += lost.cause == "chain" and not is_covered
        place = lost.at, lost.feed, lost.inst_id, lost.cause
        self.losses.appendleft(form.LossHealth(*place, lost.from_, lost.to, is_covered))
        if not is_covered and one.out_since_ms is None:
            one.out_since_ms, one.state, one.since = self._clock.monotonic_ms(), "lost", lost.at

    # What that adds up to

    def feeds(self, heard: Mapping[int, int]) -> list[form.FeedHealth]:
        """Of the feeds that there are: `heard` has by number when the newest message came, 0 before the first."""
        now_ms = self._clock.monotonic_ms()
        for number in self._feeds.keys() - heard.keys():
            del self._feeds[number]  # it has handed over to its successor
        found = []
        for number, heard_ms in heard.items():
            feed = self._feeds.setdefault(number, _Feed("connecting", self._clock.wall_text()))
            age_sec = (now_ms - heard_ms) / 1000 if heard_ms and feed.state == "up" else None
            place = feed.address, feed.reason, age_sec, max(0, feed.connects - 1)
            found.append(form.FeedHealth(number, feed.state, feed.since, *place))
        return found

    def instruments(
        self, books: Mapping[str, int], now_ms: int, missing: Mapping[str, int] | None, kinds: frozenset[str]
    ) -> list[form.InstrumentHealth]:
        """`books` has the time of each book in sync, `now_ms` is the present exchange time as well as it is known,
        `missing` the ids of trades that are missing, and `kinds` what is recorded beside the books."""
        return [
            self._health(inst_id, one, books.get(inst_id), now_ms, (missing or {}).get(inst_id, 0), kinds)
            for inst_id, one in self._instruments.items()
        ]

    def tasks(self) -> list[form.TaskHealth]:
        """Optional tasks that have failed in this run."""
        return list(self._tasks.values())

    def _health(  # noqa: PLR0913 - everything that one instrument's row holds
        self, inst_id: str, one: _Instrument, book_ms: int | None, now_ms: int, missing: int, kinds: frozenset[str]
    ) -> form.InstrumentHealth:
        values = Counter(one.values.values())
        context = form.ContextHealth(
            _text(one.context_ms), one.context_lines, values["present"], values["stale"], values["lost"]
        )
        since, cause = one.changes_lost or (None, None)
        changes = form.ChangesHealth("kept" if one.changes_lost is None else "lost", since, cause)
        return form.InstrumentHealth(
            inst_id=inst_id,
            state=one.state,
            since=one.since,
            feeds=sorted(one.feeds),
            book=_text(book_ms),
            book_age_sec=None if book_ms is None else max(0, now_ms - book_ms) / 1000,
            line=_text(one.line_ms),
            lines=one.lines,
            lag=self._lag(one),
            in_sync_share=self._share(one),
            trades=form.TradesHealth(_text(one.trade_ms), one.trade_lines, missing) if "trades" in kinds else None,
            context=context if "context" in kinds else None,
            changes=changes if "changes" in kinds else None,
        )

    def _lag(self, one: _Instrument) -> form.LagHealth:
        after_ms = self._clock.monotonic_ms() - LAG_OVER_MS
        while one.lags and one.lags[0][0] < after_ms:
            one.lags.popleft()
        found = sorted(lag for _, lag in one.lags)
        if not found:
            return form.LagHealth(None, None, 0)
        p50, p99 = (found[int(len(found) * share)] for share in (0.5, 0.99))
        return form.LagHealth(round(p50, 1), round(p99, 1), len(found))

    def _share(self, one: _Instrument) -> float:
        now_ms = self._clock.monotonic_ms()
        begin_ms = max(self._started_ms, now_ms - SHARE_OVER_MS)
        while one.out and one.out[0][1] <= begin_ms:
            one.out.popleft()
        spans = [*one.out, *([] if one.out_since_ms is None else [(one.out_since_ms, now_ms)])]
        out_ms = sum(end - max(begin, begin_ms) for begin, end in spans)
        return round(1 - out_ms / (now_ms - begin_ms), 6) if now_ms > begin_ms else 0.0


def _count(one: _Instrument, row: Snapshot | TradePush | Context) -> None:
    if isinstance(row, Snapshot):
        one.lines, one.line_ms = one.lines + 1, row.ts_ms
    elif isinstance(row, TradePush):
        one.trade_lines, one.trade_ms = one.trade_lines + 1, max(row.ts_ms, one.trade_ms or 0)
    else:
        one.context_lines, one.context_ms = one.context_lines + 1, row.ts_ms


def _note(one: _Instrument, event: events.Refused | events.Unverifiable | ContextNoted | ChangesLost) -> None:
    if isinstance(event, ContextNoted):
        one.values.update(dict.fromkeys(event.kinds, event.state))
    elif isinstance(event, ChangesLost):
        one.changes_lost = (event.from_, event.cause) if event.to is None else None
    elif isinstance(event, events.Unverifiable):
        if not event.is_recorded:  # else `record_unverifiable` asks for it, and the book is kept like any other
            one.state, one.since = "unverifiable", event.at
    elif event.channel == BOOKS and not one.feeds:
        one.state, one.since = "refused", event.at


def _text(ms: int | None) -> str | None:
    return None if ms is None else utc_text(ms)
