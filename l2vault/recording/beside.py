"""Trades, context, changes, deep and RPI books beside the books: what is brought of them, and what becomes of a failure
in theirs.

Each is a part of its own: whatever its code raises ends here, is journaled, and the part begins anew in a state that
claims nothing of what it missed. The books are handed on whatever happens.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from l2vault.book.context import KINDS, Context
from l2vault.book.deep import DeepKind
from l2vault.book.trade import TRADES, IdSpan, TradePush
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.config import Settings
from l2vault.okx.context_messages import ContextFailure
from l2vault.okx.exchange_time import FUTURE_MS
from l2vault.okx.messages import SchemaFailure
from l2vault.okx.pipeline import Applied
from l2vault.okx.websocket import FeedDown, FeedOutput, FeedUp
from l2vault.recording.change_keeper import ChangeKeeper
from l2vault.recording.context import ContextKeeper, Hands
from l2vault.recording.counters import Counters
from l2vault.recording.deep import DeepKeeper
from l2vault.recording.health import HealthBoard
from l2vault.recording.pipelines import Pipelines
from l2vault.recording.supervisor import Chore, Part, Supervisor
from l2vault.recording.trades import TradeIntake, holes_left
from l2vault.vault.journal.context_events import ContextNoted
from l2vault.vault.journal.events import Event
from l2vault.vault.store.catalog import Catalog
from l2vault.vault.store.change_writer import ChangeWriter
from l2vault.vault.store.days import DayWriter
from l2vault.vault.store.follower import followed_at
from l2vault.vault.store.known_trades import known_trades
from l2vault.vault.store.layout import Kind, Layout
from l2vault.vault.store.newest import newest_time

FAILED = "task_failed"
"""The cause of what is missing because a part failed."""

Put = Callable[[TradePush | Context | Event | Chore], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the parts work with, by name."""

    layout: Layout
    clock: Clock
    supervisor: Supervisor
    pipelines: Pipelines
    counters: Counters
    put: Put
    exchange_ms: Callable[[], int | None]
    """Proved exchange time of now."""
    on_row: Callable[[str, bytes], None]
    """Gets OKX's rows of instruments, whosever they are."""
    board: HealthBoard
    """Looks at everything, for the health file."""


class Beside:
    """`take` everything that the feeds report, and `tick` about once a second. Neither raises what a part raises."""

    def __init__(self, settings: Settings, around: Surroundings) -> None:
        self._settings = settings
        self._around = around
        part = around.supervisor.part
        self._trades_part = part("trades", self._give_up_trades, self._trades_again)
        self._context_part = part("context", self._give_up_context, self._context_again)
        self._changes_part = part("changes", self._give_up_changes, self._changes_again)
        traded = settings.instruments if settings.trades else ()
        self.trades = TradeIntake(traded, around.counters, around.clock, around.put, self._trades_part.call)
        """For the disk and for the task that asks REST: what they call is guarded too."""
        self._context = self._make_context()
        self._changes = self._make_changes("our_restart") if settings.changes else None
        self._sampled: dict[DeepKind, _Sampled] = {
            "deep": _Sampled("deep", settings.deep, around),
            "rpi": _Sampled("rpi", settings.rpi, around),
        }
        self._board_part = part("health", lambda: None, lambda: None)
        self._up: dict[int, FeedUp] = {}
        """Feeds whose connection stands, in the order in which they came."""

    def resume(self) -> None:
        """From where the vault ends. Raises OSError and VaultError where it cannot be read."""
        layout, inst_ids = self._around.layout, self._settings.instruments
        if self._settings.trades:
            self.trades.resume(_known(layout, inst_ids))
        if self._settings.context:
            context = layout.of("context")
            self._context.resume({inst_id: newest_time(context, inst_id) for inst_id in inst_ids})
        for sampled in self._sampled.values():
            sampled.resume()

    def take(self, number: int, outputs: Sequence[FeedOutput]) -> Sequence[FeedOutput]:
        """Each part takes what is its own; returned is what concerns the sampled books."""
        self._look(number, outputs)
        others = outputs
        if self._changes is not None:
            self._changes_part.call(partial(self._changes.take, number, outputs))
            others = [output for output in outputs if not isinstance(output, Applied)]
        self.trades.take(number, others)
        self._context_part.call(partial(self._context.take, number, others))
        self._board_part.call(partial(self._around.board.take, number, others))
        return others

    def watch(self, item: object) -> None:
        """Everything that is put for the disk, when it is put."""
        self._board_part.call(partial(self._around.board.watch, item))

    def proved(self, number: int, inst_id: str, ts_ms: int) -> None:
        """The feed's book of this time was seen to equal another one."""
        if self._changes is not None:
            self._changes_part.call(partial(self._changes.proved, number, inst_id, ts_ms))

    def tick(self) -> None:
        """Waits that no message ends are ended, and what failed begins again."""
        for part in (self._trades_part, self._context_part, self._changes_part, self._board_part):
            part.tick()
        for sampled in self._sampled.values():
            sampled.part.tick()
        self.trades.tick()
        self._context_part.call(self._context.tick)

    async def hand_on_changes(self) -> None:
        """The task that gives changes to the disk, until cancelled."""
        while self._changes is not None:
            await self._around.clock.sleep(self._changes.pause_sec())
            self._changes_part.call(self._changes.hand_on)

    def keeper_of(self, kind: DeepKind) -> DeepKeeper:
        """The one at work, for the task that asks REST."""
        return self._sampled[kind].keeper

    def noted_again(self) -> None:
        """The journal's former run may be gone."""
        self._context_part.call(self._context.noted_again)

    def note_latency(self, offset: tuple[int, int] | None) -> None:
        """Once a minute; see `ChangeKeeper.note_latency`."""
        if self._changes is not None:
            self._changes_part.call(partial(self._changes.note_latency, offset))

    def summary(self) -> str:
        """A few words for the log's summary of a minute; empty where nothing is to be said."""
        words: list[str] = []
        self._context_part.call(lambda: words.append(self._context.summary()))
        return "".join(words)

    def close(self) -> None:
        """The end of a run, as far as the chains of trades and the values of the context are concerned."""
        self.trades.close()
        if not self._trades_part.is_working:
            self._around.put(self._trades_part.chore(self._holes_left))
        self._context_part.call(self._context.close)

    def finish(self) -> None:
        """After the last minute is put: every change that waits is written, and every file completed."""
        if self._changes is not None:
            self._changes_part.call(self._changes.finish)
        for sampled in self._sampled.values():
            sampled.finish()

    def complete_files(self) -> None:
        """Files of changes, of deep and of RPI books that a killed run left open, of instruments that are not going on:
        one chore each. Raises OSError where these cannot be listed."""
        settings, layout = self._settings, self._around.layout
        changing = settings.instruments if settings.changes else ()
        found: list[tuple[Kind, tuple[str, ...], Part]] = [
            ("changes", changing, self._changes_part),
            *((kind, sampled.inst_ids, sampled.part) for kind, sampled in self._sampled.items()),
        ]
        for kind, going_on, part in found:
            writer = ChangeWriter(layout, kind=kind)
            for inst_id in Catalog(layout.of(kind)).raw_instruments():
                if inst_id not in going_on:
                    self._around.put(part.chore(partial(_no_event, writer.complete_newest, inst_id)))

    def _look(self, number: int, outputs: Sequence[FeedOutput]) -> None:
        for output in outputs:
            if isinstance(output, FeedUp):
                self._up.pop(number, None)
                self._up[number] = output
            elif isinstance(output, FeedDown):
                self._up.pop(number, None)
            elif isinstance(output, SchemaFailure | ContextFailure) and output.is_our_fault:
                part = self._trades_part if output.channel == TRADES else self._context_part
                part.report(f"a push of {output.channel} could not be read: {output.reason}")

    def _put_of(self, part: Part, item: Context | Event | Chore) -> None:
        self._around.put(part.chore(item) if callable(item) else item)

    # Trades

    def _give_up_trades(self) -> None:
        self.trades.give_up_chains()

    def _trades_again(self) -> None:
        """In the disk's thread, behind everything that was put: which ids are there. Then the chains go on."""
        loop, layout, inst_ids = asyncio.get_running_loop(), self._around.layout, self._settings.instruments

        def look() -> list[Event]:
            known = _known(layout, inst_ids)
            loop.call_soon_threadsafe(self._trades_part.call, partial(self.trades.begin_again, known))
            return []

        self._around.put(self._trades_part.chore(look))

    def _holes_left(self) -> list[Event]:
        return holes_left(_known(self._around.layout, self._settings.instruments), self._around.clock.wall_text())

    # Context

    def _make_context(self) -> ContextKeeper:
        """Of no instrument where the settings do not ask for it: then nothing carries it."""
        settings, around = self._settings, self._around
        put = partial(self._put_of, self._context_part)
        hands = Hands(put, self._carry, self._limit_ms, around.on_row, around.clock.wall_us)
        environment = "2" if settings.region == "demo-trading" else "1"
        inst_ids = settings.instruments if settings.context else ()
        days = DayWriter(around.layout)
        return ContextKeeper(inst_ids, settings.cadence_ms, around.clock, hands, days, environment)

    def _give_up_context(self) -> None:
        """Whatever the keeper holds: behind what it is known to have put, no value is known."""
        known_ms, at = self._context.known_ms, self._around.clock.wall_text()
        since = utc_text(known_ms + 1) if known_ms >= 0 else None
        for inst_id in self._settings.instruments if self._settings.context else ():
            kinds: dict[str, str | None] = {kind: since for kind in KINDS}
            self._around.put(ContextNoted(at, 0, inst_id, "lost", kinds, FAILED))

    def _context_again(self) -> None:
        """A new keeper, and every channel subscribed anew: then OKX sends each value once more."""
        newest = self._context.newest
        for number in self._up:
            self._carry(number, False)
        self._context = self._make_context()
        self._context.resume(newest)
        for number, up in self._up.items():
            self._context.take(number, [up])

    def _carry(self, number: int, is_carrying: bool) -> None:
        """The context on a feed, or no more; one that has ended needs no word."""
        pipeline = self._around.pipelines.by_feed.get(number)
        if pipeline is not None:
            pipeline.carry_context(is_carrying, self._around.clock.monotonic_ms())

    def _limit_ms(self) -> int | None:
        """The latest exchange time that a value can have."""
        now_ms = self._around.exchange_ms()
        return None if now_ms is None else now_ms + FUTURE_MS

    # Changes

    def _make_changes(self, cause: str) -> ChangeKeeper:
        around = self._around
        put = partial(self._put_of, self._changes_part)
        return ChangeKeeper(ChangeWriter(around.layout), around.clock, put, partial(followed_at, around.layout), cause)

    def _give_up_changes(self) -> None:
        """The files end where they end: what comes after that begins with a full book, and is named then."""
        if self._changes is not None:
            self._around.put(self._changes_part.chore(self._changes.left_events))

    def _changes_again(self) -> None:
        """A new keeper, which begins with every book that is in sync; the new writer completes the files."""
        self._changes = self._make_changes(FAILED)
        for number, pipeline in self._around.pipelines.by_feed.items():
            self._changes.take(number, pipeline.full_books(self._around.clock.wall_us()))


class _Sampled:
    """Deep books, or RPI books, as a part: `keeper` is the one at work, `inst_ids` are those sampled."""

    def __init__(self, kind: DeepKind, inst_ids: tuple[str, ...], around: Surroundings) -> None:
        self._kind: DeepKind = kind
        self.inst_ids = inst_ids
        self._around = around
        self.part = around.supervisor.part(kind, self._give_up, self._again)
        self.keeper = self._make("our_restart")

    def resume(self) -> None:
        """From where the files end. Raises OSError and VaultError where they cannot be read."""
        layout = self._around.layout.of(self._kind)
        self.keeper.resume({inst_id: newest_time(layout, inst_id) for inst_id in self.inst_ids})

    def finish(self) -> None:
        """The end of a run: every file is completed."""
        if self.inst_ids:
            self.part.call(self.keeper.finish)

    def _make(self, cause: str) -> DeepKeeper:
        return DeepKeeper(self._around.layout, self._around.clock, self._put, cause, self._kind)

    def _put(self, item: Event | Chore) -> None:
        self._around.put(self.part.chore(item) if callable(item) else item)

    def _give_up(self) -> None:
        """The files end where they end; the next sample is a whole one, and names what is missing before it."""
        self._around.put(self.part.chore(self.keeper.left_events))

    def _again(self) -> None:
        newest = self.keeper.newest
        self.keeper = self._make(FAILED)
        self.keeper.resume(newest)


def _known(layout: Layout, inst_ids: Sequence[str]) -> Mapping[str, Sequence[IdSpan]]:
    trades = layout.of("trades")
    return {inst_id: known_trades(trades, inst_id) for inst_id in inst_ids}


def _no_event(act: Callable[[str], None], inst_id: str) -> list[Event]:
    act(inst_id)
    return []
