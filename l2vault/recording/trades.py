"""What becomes of the trades that the feeds bring: which are written, what the journal and the log are given.

Knows the chain of each instrument; asks nobody itself. Ids that REST is to be asked for wait in `searches`.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from l2vault.book.trade import IdSpan, TradePush
from l2vault.book.utc import utc_text
from l2vault.clock import Clock
from l2vault.okx.messages import Traded
from l2vault.okx.trade_chain import (
    Begun,
    Filled,
    Foreign,
    Hole,
    NeedTrades,
    Reported,
    Skipped,
    StillMissing,
    Take,
    TradeChain,
    TradeOutput,
)
from l2vault.okx.websocket import FeedDown, FeedOutput
from l2vault.recording.counters import Counters
from l2vault.vault.journal import trade_events as events
from l2vault.vault.journal.events import Event

_log = logging.getLogger("l2vault.recorder")


Attempt = Callable[[Callable[[], object]], object]
"""Does what it is given, and keeps whatever that raises (`supervisor.Part.call`)."""


class TradeIntake:
    """`put` gets what is to be written, in order. A push of an instrument that is not recorded is passed by.

    Everything that changes a chain goes through `attempt`, whoever calls: the feeds, the disk or the task that asks
    REST. Where that fails, `give_up_chains` and then `resume` begin anew with what is on the disk.
    """

    def __init__(
        self,
        inst_ids: Sequence[str],
        counters: Counters,
        clock: Clock,
        put: Callable[[TradePush | Event], None],
        attempt: Attempt = lambda act: act(),
    ) -> None:
        self._chains = {inst_id: TradeChain(inst_id) for inst_id in inst_ids}
        self._counters = counters
        self._clock = clock
        self._put = put
        self._attempt = attempt
        self._begun: dict[str, IdSpan] = {}
        """The place before the first id of each chain: from there on nothing may be passed over."""
        self.searches: deque[NeedTrades] = deque()
        """What REST is to be asked for next, in order."""

    def resume(self, known: Mapping[str, Sequence[IdSpan]]) -> None:
        """What the vault holds already."""
        for inst_id, spans in known.items():
            if inst_id in self._chains:
                self._chains[inst_id].resume(spans, self._clock.monotonic_ms(), "our_restart")

    def give_up_chains(self) -> None:
        """What the chains say is not to be relied on. Until `begin_again` every push is passed by."""
        self._chains.clear()
        self.searches.clear()

    def begin_again(self, known: Mapping[str, Sequence[IdSpan]]) -> None:
        """With what stands on the disk: every other id since the beginning is missing, and looked for."""
        for inst_id, spans in known.items():
            chain = self._chains[inst_id] = TradeChain(inst_id)
            begun = self._begun.get(inst_id)
            chain.resume(spans or ([] if begun is None else [begun]), self._clock.monotonic_ms(), "task_failed")
            self._act(chain.ask_all())

    def take(self, number: int, outputs: Sequence[FeedOutput]) -> None:
        """What a feed says, in order, as far as it concerns trades."""
        self._attempt(partial(self._take, number, outputs))

    def _take(self, number: int, outputs: Sequence[FeedOutput]) -> None:
        for output in outputs:
            if isinstance(output, Traded) and output.inst_id in self._chains:
                now_ms, chain = self._clock.monotonic_ms(), self._chains[output.inst_id]
                for push in output.pushes:
                    self._act(chain.offer(number, push, now_ms))
            elif isinstance(output, FeedDown):
                for chain in self._chains.values():
                    chain.feed_down(number, "disconnect")

    def tick(self) -> None:
        """Call it about once a second: waits that no message ends are ended."""
        for inst_id in list(self._chains):
            self._do(inst_id, lambda chain: chain.tick(self._clock.monotonic_ms()))

    def join(self, inst_id: str, rows: Sequence[TradePush], above: int | None) -> None:
        """A page of REST; see `TradeChain.join`."""
        self._do(inst_id, lambda chain: chain.join(rows, above))

    def reach(self, newest: TradePush) -> None:
        """REST names this trade as the newest."""
        self._do(newest.inst_id, lambda chain: chain.reach(newest, self._clock.monotonic_ms()))

    def give_up(self, search: NeedTrades, detail: str) -> None:
        """Nobody goes on looking for these ids."""
        self._do(search.inst_id, lambda chain: chain.give_up(search.first, search.last, detail))

    def unwritten(self, push: TradePush) -> None:
        """The disk refused this line."""
        self._do(push.inst_id, lambda chain: chain.unwritten(push))

    def written_again(self, inst_id: str) -> None:
        """The disk takes the instrument's trades again."""
        self._do(inst_id, lambda chain: chain.written_again())

    def quiet(self, for_ms: int) -> list[str]:
        """Instruments whose chain has begun, and which have brought no trade for so long."""
        now_ms = self._clock.monotonic_ms()
        return [
            inst_id
            for inst_id, chain in self._chains.items()
            if chain.head is not None and now_ms - chain.pushed_ms >= for_ms
        ]

    def missing(self) -> int:
        """Ids of all instruments that are missing at this moment."""
        return sum(chain.missing for chain in self._chains.values())

    def missing_by_instrument(self) -> dict[str, int]:
        """The same for each instrument."""
        return {inst_id: chain.missing for inst_id, chain in self._chains.items()}

    def close(self) -> None:
        """The end of a run: what is missing now stays so until the next one."""
        for inst_id in list(self._chains):
            self._do(inst_id, lambda chain: chain.end())

    def _do(self, inst_id: str, act: Callable[[TradeChain], Sequence[TradeOutput] | None]) -> None:
        def whole() -> None:
            chain = self._chains.get(inst_id)
            if chain is not None:
                self._act(act(chain) or ())

        self._attempt(whole)

    def _act(self, outputs: Sequence[TradeOutput]) -> None:
        for output in outputs:
            if isinstance(output, Take):
                self._counters.traded(output.push)
                self._put(output.push)
            elif isinstance(output, NeedTrades):
                self.searches.append(output)
            else:
                if isinstance(output, Begun):
                    before = output.trade_id - 1
                    self._begun[output.inst_id] = IdSpan(before, before, output.ts_ms, output.ts_ms)
                self._put(trade_event(output, utc_text(self._clock.wall_ms())))
                _log_output(output)


def holes_left(known: Mapping[str, Sequence[IdSpan]], at: str) -> list[Event]:
    """What the journal is to hold at the end of a run whose chains have failed: the holes that stand on the disk."""
    noted: list[Event] = []
    for inst_id, spans in known.items():
        chain = TradeChain(inst_id)
        chain.resume(spans, 0, "task_failed")
        noted += [trade_event(output, at) for output in chain.end()]
    return noted


def trade_event(output: Reported, at: str) -> Event:
    """What the journal keeps of it."""
    inst_id = output.inst_id
    match output:
        case Begun(_, trade_id, ts_ms, cause):
            return events.TradesBegun(at, inst_id, trade_id, utc_text(ts_ms), cause)
        case Hole(_, first, last, from_ms, to_ms, cause):
            bounds = utc_text(from_ms), utc_text(to_ms)
            return events.TradesHole(at, inst_id, first, last, last - first + 1, *bounds, cause)
        case Filled(_, first, last, ids, by):
            return events.TradesFilled(at, inst_id, first, last, ids, by)
        case Foreign(_, first, last, ts_ms, feed):
            return events.TradesForeign(at, inst_id, first, last, utc_text(ts_ms), feed)
        case Skipped(_, first, last):
            return events.TradesSkipped(at, inst_id, first, last, last - first + 1)
        case StillMissing(_, first, last, from_ms, to_ms, detail):
            bounds = utc_text(from_ms), utc_text(to_ms)
            return events.TradesMissing(at, inst_id, first, last, last - first + 1, *bounds, detail)


_SINCE: Final = {"first": "the first of this vault", "numbering": "OKX numbers its trades anew"}


def _log_output(output: Reported) -> None:
    inst_id = output.inst_id
    match output:
        case Begun(_, trade_id, ts_ms, cause):
            _log.info("Trades of %s from id %d of %s on: %s", inst_id, trade_id, utc_text(ts_ms), _SINCE[cause])
        case Hole(_, first, last, from_ms, to_ms, cause):
            span = utc_text(from_ms), utc_text(to_ms)
            words = "Trades of %s lack %d ids, %d to %d, from %s to %s (%s). REST is asked for them"
            _log.warning(words, inst_id, last - first + 1, first, last, *span, cause)
        case Filled(_, first, last, ids, by):
            _log.info("Trades of %s: %d ids from %d to %d came after all, by %s", inst_id, ids, first, last, by)
        case Foreign(_, first, last, ts_ms, feed):
            words = "Trades of %s: feed %d brought the ids %d to %d, of %s, far from all others: not written"
            _log.warning(words, inst_id, feed, first, last, utc_text(ts_ms))
        case Skipped(_, first, last):
            words = "Trades of %s: OKX never used the ids %d to %d, nothing is missing"
            _log.info(words, inst_id, first, last)
        case StillMissing(_, first, last, _, _, detail):
            _log.error(
                "Trades of %s: %d ids stay missing, %d to %d: %s", inst_id, last - first + 1, first, last, detail
            )
