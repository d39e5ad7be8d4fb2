"""`l2vault alert`: what a person must know reaches him; a process of its own beside the recorder."""

import argparse
import platform
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from l2vault.alerts.outbox import Entry
from l2vault.alerts.receivers import insist_on_extra, message, send
from l2vault.alerts.rule import Rule, read_rules
from l2vault.alerts.run import EVERY_SEC, AlertRun
from l2vault.book.utc import DAY_MS, utc_text
from l2vault.clock import Clock
from l2vault.config import environment
from l2vault.errors import UsageError, VaultError
from l2vault.foreign import printable
from l2vault.vault.reading.vault import Vault, open_vault
from l2vault.vault.store.names import held_instruments
from l2vault.verbs.context import Context
from l2vault.verbs.documents import document
from l2vault.verbs.format import counted, paragraph, progress_bar, span_text, table
from l2vault.verbs.words import duration, moment

if TYPE_CHECKING:
    from l2vault.alerts.replay import Replayed

HELP: Final = "send the alerts of l2vault.toml to whom they name, for as long as it runs; or try them"
EXAMPLE: Final = "l2vault alert test --vault Vault"

_WIDTH: Final = 80
_MOST_TIMES: Final = 20
"""Of one alert on the page; --json has all."""
_NOT_REPLAYED: Final = "is about the recorder, whose state of then is not kept: l2vault coverage has its holes"

_TEST: Final = "This is a test of the alert; nothing is wrong."


def configure(parser: argparse.ArgumentParser) -> None:
    words = "run until Ctrl-C (default), send a test to each receiver once, or replay the alerts on the market"
    parser.add_argument("what", nargs="?", choices=("run", "test", "replay"), default="run", help=words)
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")
    parser.add_argument("--from", dest="start", type=moment, metavar="TIME", help="of replay: start of the span")
    newest = "of replay: end of the span (default: just behind the newest line)"
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help=newest)
    length = "of replay: length of the span, such as 7d (default: 1d)"
    parser.add_argument("--last", type=duration, metavar="SPAN", help=length)
    parser.add_argument("--json", action="store_true", help="of replay: print one JSON object")


def run(context: Context, args: argparse.Namespace) -> int:
    if args.what == "replay":
        return _replay(context, args)
    if args.json or any(each is not None for each in (args.start, args.end, args.last)):
        raise UsageError("only replay has a span or JSON.", "l2vault alert replay --last 7d")
    rules = read_rules(context.alerts, environment())
    insist_on_extra(rules)
    if args.what == "test":
        return _test(rules, printable(context.vault))
    return _run(rules, str(context.vault))


def _test(rules: list[Rule], vault: str) -> int:
    """A message to every receiver, whatever its alert says; exit code 1 where one did not take it."""
    failures = 0
    now_ms = Clock().wall_ms()
    for rule in rules:
        body = message(rule, vault, platform.node(), [Entry("test", "firing", now_ms, None, _TEST, "nothing")], now_ms)
        for receiver in rule.receivers:
            reason = send(receiver, body)
            failures += reason is not None
            outcome = "sent" if reason is None else f"NOT sent: {reason}"
            sys.stdout.write(f"{printable(rule.name)}: {outcome}, {receiver.shown}\n")
            sys.stdout.flush()
    return 1 if failures else 0


def _run(rules: list[Rule], vault: str) -> int:
    """Until SIGTERM or Ctrl-C, at which a message that is being sent is sent to its end."""
    from l2vault.verbs.console import set_up_logging, stop_thread_on_signals

    set_up_logging(None, False)
    stop = stop_thread_on_signals()
    alerts = AlertRun(rules, vault, Clock())
    sys.stderr.write(f"l2vault: {len(rules)} alerts on {printable(vault)}, looked at every {EVERY_SEC:g} s\n")
    while True:
        alerts.step()
        if stop.wait(EVERY_SEC):
            return 0


def _replay(context: Context, args: argparse.Namespace) -> int:
    """What would have fired; no receiver is asked for, and none gets anything."""
    from l2vault.alerts.replay import replay

    rules = read_rules(context.alerts, environment(), are_sent=False)
    own = [rule for rule in rules if rule.is_of_market]
    if not own:
        raise UsageError("no [[alert]] on the market in the settings.", "docs/alerts.md has some to copy")
    vault = open_vault(context.vault)
    names = held_instruments(sorted(set().union(*(rule.instruments for rule in own))), vault.instruments())
    span = _span(vault, names, args)
    with progress_bar() as show:
        found = replay(vault, own, span, lambda share: show(round(1000 * share), 1000, "replay"))
    others = [rule for rule in rules if not rule.is_of_market]
    sys.stdout.write(_json(span, found, others) if args.json else "\n".join(_page(span, found, others)) + "\n")
    return 0


def _span(vault: Vault, names: Sequence[str], args: argparse.Namespace) -> tuple[int, int]:
    """As asked for, of what there is. Raises UsageError for two beginnings, VaultError where it holds no book."""
    if args.last is not None and args.start is not None:
        raise UsageError("--last and --from both say where the span begins.", "one of them")
    firsts = [ms for name in names if (ms := vault.first_line_ms(name)) is not None]
    newest = [ms for name in names if (ms := vault.newest_line_ms(name)) is not None]
    if not firsts or not newest:
        raise VaultError("the vault holds no book that can be read.", "l2vault verify")
    end_ms = min(max(newest) + 1, max(newest) + 1 if args.end is None else args.end)
    start_ms = end_ms - (DAY_MS if args.last is None else args.last) if args.start is None else args.start
    start_ms = max(min(firsts), start_ms)
    if start_ms >= end_ms:
        held = f"{utc_text(min(firsts))} to {utc_text(max(newest))}"
        raise VaultError("the vault holds no book of them in that span.", f"a time in {held}")
    return start_ms, end_ms


def _json(span: tuple[int, int], found: "Sequence[Replayed]", others: Sequence[Rule]) -> str:
    alerts = [
        {
            "name": each.rule.name,
            "when": each.rule.condition,
            "fired": len(each.fired),
            "messages": len(each.messages),
            "by_day": _by_day(each),
            "times": [
                {
                    "of": entry.of,
                    "since": utc_text(entry.since_ms),
                    "until": None if entry.until_ms is None else utc_text(entry.until_ms),
                    "text": entry.text,
                }
                for entry in each.fired
            ],
            "unknown": [{"of": of, "why": why, "ms": ms} for (of, why), ms in each.unknown_ms.items()],
        }
        for each in found
    ]
    content = {"from": utc_text(span[0]), "to": utc_text(span[1]), "alerts": alerts}
    return document("alert", content | {"not_replayed": [rule.name for rule in others]}, "replay")


def _page(span: tuple[int, int], found: "Sequence[Replayed]", others: Sequence[Rule]) -> Iterator[str]:
    yield f"{_minute(span[0])} to {_minute(span[1])} UTC, {span_text(span[1] - span[0])}"
    for each in found:
        yield ""
        fired = f"fired {counted(len(each.fired), 'time')}" if each.fired else "would not have fired"
        sent = f", {counted(len(each.messages), 'message')} to each receiver" if each.messages else ""
        yield f"{printable(each.rule.name)}: {fired}{sent}"
        for (of, why), ms in each.unknown_ms.items():
            yield from paragraph(f"not known of {printable(of)} for {span_text(ms)}: {printable(why)}", width=_WIDTH)
        if each.fired:
            days = [f"{day} {count}" for day, count in _by_day(each).items()]
            yield from paragraph(f"by day: {', '.join(days)}", width=_WIDTH)
        rows = [[_minute(entry.since_ms), _lasted(entry), printable(entry.of)] for entry in each.fired[:_MOST_TIMES]]
        if rows:
            yield from (f"  {line}" for line in table(["since (UTC)", "for", "of"], rows, left=3).splitlines())
        if len(each.fired) > _MOST_TIMES:
            yield f"  and {len(each.fired) - _MOST_TIMES} more, which --json has"
    for rule in others:
        yield ""
        yield from paragraph(f"{printable(rule.name)} {_NOT_REPLAYED}.", "", _WIDTH)


def _by_day(each: "Replayed") -> dict[str, int]:
    return dict(sorted(Counter(utc_text(entry.since_ms)[:10] for entry in each.fired).items()))


def _minute(ms: int) -> str:
    return utc_text(ms)[:19].replace("T", " ")


def _lasted(entry: Entry) -> str:
    return "still" if entry.until_ms is None else span_text(entry.until_ms - entry.since_ms)
