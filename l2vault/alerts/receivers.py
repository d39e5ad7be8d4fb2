"""How a message leaves: a webhook by the standard library, a service by apprise, or a command with the message as JSON
on its input.

One at a time and 10 s at most each. Whatever goes wrong is one sentence, which never holds the address.
"""

import http.client
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import msgspec

from l2vault.alerts.outbox import MOST_ENTRIES, Entry
from l2vault.alerts.rule import Apprise, Command, Receiver, Rule, Webhook
from l2vault.book.utc import utc_text
from l2vault.errors import VaultError, install_command
from l2vault.foreign import printable

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

WITHIN_SEC: Final = 10.0
SCHEMA: Final = "l2vault.alert/1"
_SAID_CHARS: Final = 200
_NEW_GROUP: Final[int] = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
"""Of Windows; elsewhere a session of its own does the same."""


def insist_on_extra(rules: Sequence[Rule]) -> None:
    """Raises VaultError with the cure where a receiver needs apprise and it is not installed. Does not load it."""
    if any(isinstance(one, Apprise) for rule in rules for one in rule.receivers) and find_spec("apprise") is None:
        raise VaultError("apprise = needs the alerts extra.", install_command("alerts"))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the message, and what is secret in the address, to another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def message(rule: Rule, vault: str, host: str, entries: Sequence[Entry], now_ms: int) -> bytes:
    """What a receiver gets: JSON. `title` and `text` are for people, `entries` for programs."""
    firing = [entry for entry in entries if entry.state == "firing"]
    state = "firing" if firing else "recovered"
    lines = [_line(entry) for entry in entries[:MOST_ENTRIES]]
    if len(entries) > MOST_ENTRIES:
        lines.append(f"and {len(entries) - MOST_ENTRIES} more")
    title = f"l2vault {host}: {rule.name} {'' if firing else 'has '}{'is firing' if firing else 'recovered'}"
    return msgspec.json.encode(
        {
            "schema": SCHEMA,
            "alert": rule.name,
            "when": rule.condition,
            "state": state,
            "at": utc_text(now_ms),
            "vault": vault,
            "host": host,
            "title": title,
            "text": "\n".join([title, *lines]),
            "entries": [
                {
                    "of": entry.of,
                    "state": entry.state,
                    "since": utc_text(entry.since_ms),
                    "until": None if entry.until_ms is None else utc_text(entry.until_ms),
                    "is_reminder": entry.is_reminder,
                    "text": entry.text,
                    "cure": entry.cure,
                }
                for entry in entries[:MOST_ENTRIES]
            ],
        }
    )


def send(receiver: Receiver, body: bytes) -> str | None:
    """None where the receiver took it; else why not."""
    if isinstance(receiver, Webhook):
        return _post(receiver.url, body)
    return _run(receiver.words, body) if isinstance(receiver, Command) else _notify(receiver.url, body)


def _line(entry: Entry) -> str:
    since = utc_text(entry.since_ms)[:19].replace("T", " ")
    if entry.until_ms is not None:
        return f"recovered, from {since} to {utc_text(entry.until_ms)[11:19]} UTC: {entry.text}"
    return f"{'still ' if entry.is_reminder else ''}since {since} UTC: {entry.text} Try: {entry.cure}"


def _post(url: str, body: bytes) -> str | None:
    headers = {"Content-Type": "application/json", "User-Agent": "l2vault"}
    request = urllib.request.Request(url, body, headers, method="POST")
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=WITHIN_SEC) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        status = error.code
    except urllib.error.URLError as error:
        reason = error.reason
        return printable(getattr(reason, "strerror", None) or type(reason).__name__, _SAID_CHARS)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return type(error).__name__  # its text may hold the address
    return None if 200 <= status < 300 else f"it answered {status}"


def _run(words: Sequence[str], body: bytes) -> str | None:
    try:
        done = subprocess.run(
            list(words),
            input=body,
            capture_output=True,
            timeout=WITHIN_SEC,
            check=False,
            # Ctrl-C in our terminal is for us: what is being sent is finished.
            start_new_session=True,
            creationflags=_NEW_GROUP,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {WITHIN_SEC:g} s and was ended"
    except (OSError, ValueError) as error:
        return printable(getattr(error, "strerror", None) or type(error).__name__, _SAID_CHARS)
    if done.returncode == 0:
        return None
    said = printable(done.stderr.decode("utf-8", "replace").strip(), _SAID_CHARS)
    return f"exit code {done.returncode}{f': {said}' if said else ''}"


def _notify(url: str, body: bytes) -> str | None:
    """In a process of its own: apprise loads all of its services, and only a process can be ended after 10 s. At Ctrl-C
    a message that is being sent is sent to its end."""
    from l2vault.worker import Workers

    context = Workers()
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_by_apprise, args=(url, body, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        found = ours.recv() if ours.poll(WITHIN_SEC) else f"it took longer than {WITHIN_SEC:g} s and was ended"
    except (EOFError, OSError):
        found = "its process ended"
    finally:
        child.kill()
        child.join()
        ours.close()
    return None if found is None else printable(found, _SAID_CHARS)


def _by_apprise(url: str, body: bytes, answer: "Connection") -> None:
    """What apprise logs may hold the address, and goes nowhere."""
    import logging

    logging.disable(logging.CRITICAL)
    try:
        import apprise

        said = msgspec.json.decode(body, type=dict[str, Any])
        service = apprise.Apprise(asset=apprise.AppriseAsset(storage_mode="memory"))
        if not service.add(url):
            answer.send("apprise knows no such address, or something lacks in it")
            return
        kind = apprise.NotifyType.WARNING if said["state"] == "firing" else apprise.NotifyType.SUCCESS
        text = said["text"].partition("\n")[2] or said["title"]
        taken = service.notify(title=said["title"], body=text, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
        answer.send(None if taken else "the service did not take it")
    except Exception as error:  # noqa: BLE001 - services raise what they like; its text may hold the address
        answer.send(type(error).__name__)
