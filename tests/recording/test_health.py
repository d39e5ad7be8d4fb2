"""What a recorder says of itself, from what passes: feeds, books, lags, losses, everything beside the books."""

import pytest

from l2vault.book.context import Context
from l2vault.book.snapshot import Snapshot
from l2vault.book.trade import TradePush
from l2vault.okx.outputs import Sampled
from l2vault.okx.websocket import FeedDown, FeedUp
from l2vault.recording.health import MOST_LOSSES, HealthBoard
from l2vault.vault.health.form import InstrumentHealth
from l2vault.vault.journal import events
from l2vault.vault.journal.change_events import ChangesLost
from l2vault.vault.journal.context_events import ContextNoted
from support.manual_clock import ManualClock

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
EVERY = frozenset({"trades", "context", "changes"})
T0_MS = 1_767_225_600_000


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.board = HealthBoard((BTC, ETH), self.clock)

    def pass_sec(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1000))

    def synced(self, feed: int, inst_id: str = BTC) -> None:
        self.board.watch(events.Synced(self.clock.wall_text(), feed, inst_id, None, 1))

    def lost(self, feed: int, cause: events.Cause = "chain", inst_id: str = BTC) -> None:
        self.board.watch(events.Lost(self.clock.wall_text(), feed, inst_id, cause, None, None, "x"))

    def one(self, inst_id: str = BTC, kinds: frozenset[str] = EVERY) -> InstrumentHealth:
        found = self.board.instruments({BTC: T0_MS}, T0_MS + 1500, {BTC: 4}, kinds)
        return next(each for each in found if each.inst_id == inst_id)


def snapshot(ts_ms: int, inst_id: str = BTC) -> Snapshot:
    return Snapshot(inst_id, ts_ms, 400, [], [], None, 1, 0)


def test_a_feed_goes_from_connecting_to_up_and_down_and_leaves_with_its_successor() -> None:
    world = World()
    heard_ms = world.clock.monotonic_ms()
    assert [(feed.state, feed.message_age_sec) for feed in world.board.feeds({1: 0})] == [("connecting", None)]
    world.pass_sec(2)
    world.board.take(1, [FeedUp("wss://one")])
    up = world.clock.wall_text()
    world.pass_sec(1)
    (feed,) = world.board.feeds({1: heard_ms})
    assert (feed.state, feed.since, feed.address, feed.message_age_sec) == ("up", up, "wss://one", 3.0)
    world.board.take(1, [FeedDown("gone\x1b", True, 0.1)])
    (feed,) = world.board.feeds({1: heard_ms})
    assert (feed.state, feed.reason, feed.message_age_sec, feed.reconnects) == ("down", "gone\\x1b", None, 0)
    since = feed.since
    world.pass_sec(1)
    world.board.take(1, [FeedDown("again", False, 0.1)])
    assert world.board.feeds({1: 0})[0].since == since, "it has been down all the time"
    world.board.take(1, [FeedUp("wss://one")])
    assert world.board.feeds({1: heard_ms})[0].reconnects == 1
    world.board.take(2, [FeedUp("wss://two")])
    assert [feed.feed for feed in world.board.feeds({2: heard_ms})] == [2]


def test_an_instrument_is_in_sync_while_one_feed_holds_it() -> None:
    world = World()
    assert (world.one().state, world.one().feeds) == ("waiting", [])
    world.synced(1)
    world.synced(2)
    world.lost(1)
    assert (world.one().state, world.one().feeds) == ("in sync", [2])
    assert world.board.gaps == 0 and world.board.losses[0].is_covered
    world.pass_sec(5)
    world.lost(2)
    assert (world.one().state, world.one().since) == ("lost", world.clock.wall_text())
    assert world.board.gaps == 1 and not world.board.losses[0].is_covered
    assert dict(world.board.causes) == {"chain": 2}
    assert world.one(ETH).state == "waiting"


def test_the_end_of_our_own_run_is_no_loss() -> None:
    world = World()
    world.synced(1)
    world.lost(1, "our_restart")
    assert world.one().state == "in sync" and not world.board.losses


def test_only_the_newest_losses_are_kept_the_newest_first() -> None:
    world = World()
    for number in range(MOST_LOSSES + 5):
        world.synced(number)
        world.lost(number)
    assert [loss.feed for loss in world.board.losses] == list(range(MOST_LOSSES + 4, 4, -1))


def test_a_refused_or_unverifiable_instrument_says_so_until_it_is_in_sync() -> None:
    world = World()
    at = world.clock.wall_text()
    world.board.watch(events.Refused(at, 1, BTC, "60018", "x", "trades"))
    assert world.one().state == "waiting", "its books go on"
    world.board.watch(events.Refused(at, 1, BTC, "60018", "x"))
    assert world.one().state == "refused"
    world.board.watch(events.Unverifiable(at, 1, BTC, None, False))
    assert world.one().state == "unverifiable"
    world.synced(1)
    assert world.one().state == "in sync"


def test_what_is_recorded_unverifiable_because_it_is_asked_for_is_healthy() -> None:
    world = World()
    world.synced(1)
    world.board.watch(events.Unverifiable(world.clock.wall_text(), 1, BTC, None, True))
    assert world.one().state == "in sync"


def test_the_share_in_sync_is_that_of_the_last_hour() -> None:
    world = World()
    assert world.one().in_sync_share == 0.0
    world.pass_sec(60)
    world.synced(1)
    world.pass_sec(60)
    assert world.one().in_sync_share == 0.5
    world.pass_sec(3480)
    assert world.one().in_sync_share == pytest.approx(1 - 60 / 3600)
    world.pass_sec(30)
    assert world.one().in_sync_share == pytest.approx(1 - 30 / 3600)
    world.lost(1)
    world.pass_sec(36)
    assert world.one().in_sync_share == pytest.approx(1 - 36 / 3600)


def test_the_lag_is_of_the_messages_of_the_last_minute_on_any_feed() -> None:
    world = World()
    assert world.one().lag.p50_ms is None
    for lag_ms in range(200):
        sampled = Sampled(snapshot(T0_MS), T0_MS, T0_MS + 100, (T0_MS + 100 + lag_ms) * 1000)
        world.board.take(1 + lag_ms % 2, [sampled])
    world.board.take(1, [Sampled(snapshot(T0_MS), T0_MS, T0_MS)])  # nobody said when it came
    lag = world.one().lag
    assert (lag.p50_ms, lag.p99_ms, lag.messages) == (100.0, 198.0, 200)
    world.pass_sec(60)
    assert world.one().lag.messages == 200
    world.pass_sec(0.001)
    assert world.one().lag.messages == 0


def test_a_book_ahead_of_the_known_time_has_no_age() -> None:
    """The newest message may be a few milliseconds ahead of what is known of exchange time."""
    found = World().board.instruments({BTC: T0_MS + 5, ETH: T0_MS}, T0_MS, None, EVERY)
    assert [each.book_age_sec for each in found] == [0.0, 0.0]


def test_lines_of_each_kind_are_counted_and_dated() -> None:
    world = World()
    world.board.watch(snapshot(T0_MS))
    world.board.watch(snapshot(T0_MS + 2000))
    world.board.watch(TradePush(BTC, "7", "1", "1", "buy", str(T0_MS + 5), "1", "0", None, 0, "ws"))
    world.board.watch(Context(BTC, T0_MS + 4000))
    world.board.watch(snapshot(T0_MS, "X-USDT-SWAP"))  # of no instrument of this run
    one = world.one()
    assert (one.lines, one.line) == (2, "2026-01-01T00:00:02.000Z")
    assert one.book_age_sec == 1.5
    assert one.trades is not None and one.context is not None
    assert (one.trades.lines, one.trades.newest, one.trades.missing) == (1, "2026-01-01T00:00:00.005Z", 4)
    assert (one.context.lines, one.context.newest) == (1, "2026-01-01T00:00:04.000Z")
    assert world.one(ETH).lines == 0
    bare = world.one(kinds=frozenset())
    assert (bare.trades, bare.context, bare.changes) == (None, None, None)


def test_values_of_the_context_and_changes_are_in_the_state_last_noted() -> None:
    world, at = World(), "2026-01-01T00:00:00.000Z"
    world.board.watch(ContextNoted(at, 1, BTC, "present", {"mark": None, "index": None, "funding": None}))
    world.board.watch(ContextNoted(at, 1, BTC, "stale", {"mark": None}))
    context = world.one().context
    assert context is not None and (context.present, context.stale, context.lost) == (2, 1, 0)
    world.board.watch(ChangesLost(at, BTC, at, "chain"))
    changes = world.one().changes
    assert changes is not None and (changes.state, changes.since, changes.cause) == ("lost", at, "chain")
    world.board.watch(ChangesLost(at, BTC, at, "chain", to=at))
    changes = world.one().changes
    assert changes is not None and (changes.state, changes.since, changes.cause) == ("kept", None, None)


def test_comparisons_audits_and_failed_tasks_are_counted() -> None:
    world, at, later = World(), "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.000Z"
    for matched in (3, 4):
        world.board.watch(events.Minute(at, {}, matched, 1, 0))
    assert dict(world.board.compared) == {"matched": 7, "unaligned": 2, "conflicting": 0}
    world.board.watch(events.Audited(at, 1, BTC, "equal", 1, ""))
    world.board.watch(events.Audited(later, 1, BTC, "unavailable", None, ""))
    assert (dict(world.board.audits), world.board.audited_at) == ({"equal": 1, "unavailable": 1}, at)
    for _ in range(2):
        world.board.watch(events.TaskFailed(at, "audit", "x", 1.0))
    (task,) = world.board.tasks()
    assert (task.task, task.failures) == ("audit", 2)
