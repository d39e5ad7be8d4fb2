"""How a message leaves: a webhook by the standard library, or a command with the message as JSON on its input.

One at a time and 10 s at most each. Whatever goes wrong is one sentence, which never holds the address.
"""

import http.client
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from l2vault.alerts.outbox import MOST_ENTRIES, Entry
from l2vault.alerts.rule import Receiver, Rule, Webhook
from l2vault.book.utc import utc_text
from l2vault.foreign import printable

WITHIN_SEC: Final = 10.0
SCHEMA: Final = "l2vault.alert/1"
_SAID_CHARS: Final = 200


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
    return _post(receiver.url, body) if isinstance(receiver, Webhook) else _run(receiver.words, body)


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
        done = subprocess.run(list(words), input=body, capture_output=True, timeout=WITHIN_SEC, check=False)
    except subprocess.TimeoutExpired:
        return f"it took longer than {WITHIN_SEC:g} s and was ended"
    except (OSError, ValueError) as error:
        return printable(getattr(error, "strerror", None) or type(error).__name__, _SAID_CHARS)
    if done.returncode == 0:
        return None
    said = printable(done.stderr.decode("utf-8", "replace").strip(), _SAID_CHARS)
    return f"exit code {done.returncode}{f': {said}' if said else ''}"
