"""`l2vault alert`: what a person must know reaches him; a process of its own beside the recorder."""

import argparse
import platform
import sys
from typing import Final

from l2vault.alerts.outbox import Entry
from l2vault.alerts.receivers import message, send
from l2vault.alerts.rule import Rule, read_rules
from l2vault.alerts.run import EVERY_SEC, AlertRun
from l2vault.clock import Clock
from l2vault.config import environment
from l2vault.foreign import printable
from l2vault.verbs.context import Context

HELP: Final = "send the alerts of l2vault.toml to a webhook or a command, for as long as it runs; or try them"
EXAMPLE: Final = "l2vault alert test --vault Vault"

_TEST: Final = "This is a test of the alert; nothing is wrong."


def configure(parser: argparse.ArgumentParser) -> None:
    words = "run until Ctrl-C (default), or send a test to each receiver once"
    parser.add_argument("what", nargs="?", choices=("run", "test"), default="run", help=words)
    parser.add_argument("--vault", metavar="DIR", help="the vault (default: Vault)")


def run(context: Context, args: argparse.Namespace) -> int:
    rules = read_rules(context.alerts, environment())
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
    import threading

    from l2vault.verbs.console import set_up_logging, stop_thread_on_signals

    set_up_logging(None, False)
    stop = threading.Event()
    stop_thread_on_signals(stop)
    alerts = AlertRun(rules, vault, Clock())
    sys.stderr.write(f"l2vault: {len(rules)} alerts on {printable(vault)}, looked at every {EVERY_SEC:g} s\n")
    while not stop.is_set():
        alerts.step()
        stop.wait(EVERY_SEC)
    return 0
