"""What the alerts on the market would have sent over a span of the vault, by the steps and the outbox of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from l2vault.alerts.market_feed import STEP_MS, Markets, Past
from l2vault.alerts.outbox import Entry, Now, Outbox
from l2vault.alerts.rule import Rule
from l2vault.vault.reading.vault import Vault

_ALWAYS_MS: Final = 1 << 62
_NO_BOUND: Final = 1_000_000


@dataclass(slots=True)
class Replayed:
    """Of one alert: each time that it fired, in order; what a receiver would have got, with the time; for how long it
    could not be known, by instrument and reason."""

    rule: Rule
    fired: list[Entry] = field(default_factory=list)
    messages: list[tuple[int, list[Entry]]] = field(default_factory=list)
    unknown_ms: dict[tuple[str, str], int] = field(default_factory=dict)


def replay(
    vault: Vault, rules: Sequence[Rule], span: tuple[int, int], on_progress: Callable[[float], None] | None = None
) -> list[Replayed]:
    """A half-open span; `rules` are on the market. A receiver takes everything at once.

    `fired` has all, `messages` what rate limit, quiet hours and reminders leave of it. Raises VaultError where an
    instrument is not in the vault.
    """
    markets = Markets(vault, rules, lambda inst_id: Past(vault, inst_id, span))
    runs = [(Replayed(rule), Outbox(rule), Outbox(_unbounded(rule))) for rule in rules]
    for t_ms in range(-(-span[0] // STEP_MS) * STEP_MS, span[1], STEP_MS):
        markets.step(t_ms)
        now = Now(t_ms, t_ms)
        for replayed, outbox, unbounded in runs:
            held, unknown = markets.sight(replayed.rule)
            for name, why in unknown.items():
                replayed.unknown_ms[name, why] = replayed.unknown_ms.get((name, why), 0) + STEP_MS
            for each in (outbox, unbounded):
                each.look(held, now, unknown)
            if entries := outbox.due(now):
                outbox.sent(entries, now)
                replayed.messages.append((t_ms, entries))
            if entries := unbounded.due(now):
                unbounded.sent(entries, now)
                _note(replayed.fired, entries)
        if on_progress is not None:
            on_progress((t_ms - span[0]) / (span[1] - span[0]))
    return [replayed for replayed, _, _ in runs]


def _unbounded(rule: Rule) -> Rule:
    return replace(rule, most_an_hour=_NO_BOUND, quiet=None, again_ms=_ALWAYS_MS)


def _note(fired: list[Entry], entries: Sequence[Entry]) -> None:
    """Each time once; with its end where it has recovered."""
    for entry in entries:
        at = next((at for at in range(len(fired) - 1, -1, -1) if fired[at].of == entry.of), None)
        if at is not None and fired[at].since_ms == entry.since_ms:
            fired[at] = entry
        else:
            fired.append(entry)
