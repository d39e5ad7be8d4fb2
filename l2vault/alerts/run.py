"""The loop of `l2vault alert run`: look, decide, send. A process of its own, which only reads the vault."""

import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from l2vault.alerts.conditions import held
from l2vault.alerts.outbox import Entry, Now, Outbox
from l2vault.alerts.receivers import message, send
from l2vault.alerts.rule import Receiver, Rule
from l2vault.clock import Clock
from l2vault.errors import L2VaultError
from l2vault.foreign import printable
from l2vault.vault.health.look import look

if TYPE_CHECKING:
    from l2vault.alerts.market_feed import LiveMarkets

EVERY_SEC: Final = 5.0

_NAMED: Final = 4

_log = logging.getLogger(__name__)

Send = Callable[[Receiver, bytes], str | None]


class AlertRun:
    """`step` every EVERY_SEC. A vault that is not there is a recorder that is absent, and may still come."""

    def __init__(self, rules: Sequence[Rule], vault: str, clock: Clock, sending: Send = send) -> None:
        self._vault = vault
        self._clock = clock
        self._send = sending
        # One for each receiver: a dead one makes no living one wait, or get a message again.
        self._outboxes = [(receiver, Outbox(rule)) for rule in rules for receiver in rule.receivers]
        self._of_market = [rule for rule in rules if rule.is_of_market]
        self._live: LiveMarkets | None = None
        self._unknown: dict[tuple[str, str], str] = {}
        self._trouble = ""
        self._look_at_markets()

    def step(self) -> None:
        """One look, and whatever is to be sent by it."""
        seen = look(self._vault, self._clock.wall_ms())
        for _, outbox in self._outboxes:
            if not outbox.rule.is_of_market:
                outbox.look(held(outbox.rule, seen), self._now())
        self._look_at_markets()
        for receiver, outbox in self._outboxes:
            entries = outbox.due(self._now())
            if entries:
                self._deliver(receiver, outbox, entries)

    def _look_at_markets(self) -> None:
        """Every step of the live tail that has been closed since. Whatever keeps it from being read, the alerts on the
        recorder go on."""
        if not self._of_market:
            return
        try:
            self._take_steps()
            self._trouble = ""
        except (L2VaultError, OSError) as error:
            self._live = None
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.error("the market cannot be read, and is tried again: %s", printable(error))

    def _take_steps(self) -> None:
        if self._live is None:
            from l2vault.alerts.market_feed import LiveMarkets
            from l2vault.vault.reading.vault import open_vault

            self._live = LiveMarkets(open_vault(self._vault), self._of_market)
        for t_ms in self._live.steps(self._clock.monotonic_ms()):
            for rule in self._of_market:
                found, unknown = self._live.markets.sight(rule)
                self._say_unknown(rule, unknown)
                for _, outbox in self._outboxes:
                    if outbox.rule is rule:
                        outbox.look(found, Now(t_ms, t_ms), unknown)

    def _say_unknown(self, rule: Rule, unknown: Mapping[str, str]) -> None:
        """Once, when it begins, and once when it is over."""
        for name in rule.instruments:
            why, key = unknown.get(name), (rule.name, name)
            if why and key not in self._unknown:
                self._unknown[key] = why
                words = "%s: cannot be known of %s now, and neither fires nor recovers: %s"
                _log.warning(words, printable(rule.name), printable(name), why)
            elif not why and key in self._unknown:
                del self._unknown[key]
                _log.info("%s: is known of %s again", printable(rule.name), printable(name))

    def _deliver(self, receiver: Receiver, outbox: Outbox, entries: list[Entry]) -> None:
        name = printable(outbox.rule.name)
        body = message(outbox.rule, printable(self._vault), platform.node(), entries, self._clock.wall_ms())
        reason = self._send(receiver, body)
        if reason is None:
            outbox.sent(entries, self._now())
            _log.info("%s: sent to %s, %s", name, receiver.shown, _states(entries))
        else:
            outbox.failed(self._now())
            _log.error("%s: NOT sent to %s, and tried again: %s", name, receiver.shown, reason)

    def _now(self) -> Now:
        return Now(self._clock.monotonic_ms(), self._clock.wall_ms())


def _states(entries: Sequence[Entry]) -> str:
    """`firing BTC-USDT-SWAP, ETH-USDT-SWAP; recovered SOL-USDT-SWAP`"""
    parts = []
    for state in ("firing", "recovered"):
        named = [printable(entry.of) for entry in entries if entry.state == state]
        if named:
            parts.append(f"{state} {', '.join(filter(None, named[:_NAMED]))}{', ...' if len(named) > _NAMED else ''}")
    return "; ".join(part.rstrip() for part in parts)
