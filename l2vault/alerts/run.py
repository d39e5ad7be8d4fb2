"""The loop of `l2vault alert run`: look, decide, send. A process of its own, which only reads the vault."""

import logging
import platform
from collections.abc import Callable, Sequence
from typing import Final

from l2vault.alerts.conditions import View, held
from l2vault.alerts.outbox import Entry, Now, Outbox
from l2vault.alerts.receivers import message, send
from l2vault.alerts.rule import Receiver, Rule
from l2vault.clock import Clock
from l2vault.errors import VaultError
from l2vault.foreign import printable
from l2vault.vault.health.form import read_health
from l2vault.vault.health.judge import judge
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import is_held
from l2vault.vault.store.root import open_layout

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

    def step(self) -> None:
        """One look, and whatever is to be sent by it."""
        view = look(self._vault, self._clock.wall_ms())
        for receiver, outbox in self._outboxes:
            outbox.look(held(outbox.rule, view), self._now())
            entries = outbox.due(self._now())
            if entries:
                self._deliver(receiver, outbox, entries)

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


def look(vault: str, now_ms: int) -> View:
    """How the recorder is at this moment."""
    try:
        layout: Layout = open_layout(vault)
    except VaultError:
        return View(now_ms, None, judge(None, now_ms, False))
    held_now = is_held(layout)
    health = read_health(layout)
    return View(now_ms, health, judge(health, now_ms, held_now))


def _states(entries: Sequence[Entry]) -> str:
    """`firing BTC-USDT-SWAP, ETH-USDT-SWAP; recovered SOL-USDT-SWAP`"""
    parts = []
    for state in ("firing", "recovered"):
        named = [printable(entry.of) for entry in entries if entry.state == state]
        if named:
            parts.append(f"{state} {', '.join(filter(None, named[:_NAMED]))}{', ...' if len(named) > _NAMED else ''}")
    return "; ".join(part.rstrip() for part in parts)
