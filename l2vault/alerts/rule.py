"""One `[[alert]]` of `l2vault.toml` as a checked value. Every error names the alert, its key and the cure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from l2vault.errors import UsageError
from l2vault.foreign import printable, quoted
from l2vault.grammar import duration_ms
from l2vault.grammar import number as read_number

MARKET: Final = {
    "wall above": "5M",
    "wall born above": "5M",
    "wall pulled above": "5M",
    "wall consumed above": "5M",
    "spread above": "5bps",
    "imbalance beyond": "0.6",
    "depth below": "2M",
    "shift beyond": "5M",
    "funding beyond": "0.05%",
    "price crosses zone": "",
    "price crosses": "60000-60500",
}
"""Conditions on the market of an instrument, known from the lines of the vault."""
EVENTS: Final = frozenset(
    {"wall born above", "wall pulled above", "wall consumed above", "price crosses zone", "price crosses"}
)
"""What happens at one moment, and holds for a minute from then."""

CONDITIONS: Final = {
    "recorder absent": "",
    "feed down": "",
    "not healthy": "",
    "hole longer than": "30s",
    "book older than": "90s",
    "clock off by": "1s",
    "disk days below": "3",
    **MARKET,
}
"""Each condition and an example of its limit; those without one have none."""

MINUTE_MS: Final = 60_000
_DAY_MINUTES: Final = 24 * 60
KEYS: Final = (
    *("name", "when", "instruments", "within_bps", "side", "for", "clear", "again", "most_an_hour", "quiet"),
    *("webhook", "apprise", "command"),
)
WITHIN_BPS: Final = 5.0
"""Of mid, where depth and shifts are measured unless `within_bps` says otherwise."""

_WALLS: Final = ("wall above", "wall born above", "wall pulled above", "wall consumed above")
_TAKE: Final = {
    "instruments": ("hole longer than", "book older than", *MARKET),
    "within_bps": (*_WALLS, "depth below", "shift beyond"),
    "side": (*_WALLS, "imbalance beyond", "depth below", "shift beyond", "price crosses zone"),
}
"""Keys that only some conditions take."""
_MOST_BPS: Final = 10_000.0
_SECRET: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SERVICE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://\S+")
_QUIET: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_MOST_AN_HOUR: Final = 60
_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to POST. The address is a secret; `shown` is what may be printed of it."""

    url: str

    @property
    def shown(self) -> str:
        """Scheme and host."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{printable(parts.hostname)}"

    def __repr__(self) -> str:
        return f"Webhook({self.shown})"


@dataclass(frozen=True, slots=True)
class Command:
    """A program and its words, started without a shell."""

    words: tuple[str, ...]

    @property
    def shown(self) -> str:
        """The program alone: its words may hold a secret."""
        return f"the command {printable(self.words[0])}"


@dataclass(frozen=True, slots=True)
class Apprise:
    """A service that apprise knows, by its address. That is a secret from its host on, which for many is a token."""

    url: str

    @property
    def shown(self) -> str:
        """The scheme alone."""
        return f"apprise {printable(self.url.partition('://')[0], _CHARS)}://"

    def __repr__(self) -> str:
        return f"Apprise({self.shown})"


Receiver = Webhook | Command | Apprise


@dataclass(frozen=True, slots=True)
class Rule:
    """What is looked at, when it counts, and whom it is sent to.

    `limit` is in seconds, or in days for `disk days below`; of the market a size in the quote currency, bps, an
    imbalance, a rate, or the lower bound of the prices whose other one is `upper`. `within_bps` and `side` narrow what
    is looked at; None: all of it. It fires once it has held for `for_ms`, and has recovered
    once it has not held for `clear_ms`. `again_ms` is between two reminders while it lasts; `quiet` are two minutes of
    the day, UTC, between which nothing is sent.
    """

    name: str
    condition: str
    limit: float
    receivers: tuple[Receiver, ...]
    instruments: frozenset[str] = frozenset()
    for_ms: int = 15_000
    clear_ms: int = MINUTE_MS
    again_ms: int = 60 * MINUTE_MS
    most_an_hour: int = 6
    quiet: tuple[int, int] | None = None
    within_bps: float | None = None
    side: str | None = None
    upper: float = 0.0

    @property
    def is_of_market(self) -> bool:
        """Whether it is known from the lines of the vault."""
        return self.condition in MARKET

    def is_quiet(self, wall_ms: int) -> bool:
        """Whether nothing is sent at this time."""
        if self.quiet is None:
            return False
        minute, (begin, end) = wall_ms // MINUTE_MS % _DAY_MINUTES, self.quiet
        return begin <= minute < end if begin <= end else minute >= begin or minute < end


class _Table:
    """One table, as it was written."""

    def __init__(self, number: int, values: Mapping[str, object]) -> None:
        self.values = values
        name = values.get("name", values.get("when", f"number {number}"))
        self.shown = f"[[alert]] {quoted(name, _CHARS)}"

    def refuse(self, key: str, why: str, cure: str) -> UsageError:
        return UsageError(f"{self.shown}: {key} = {quoted(self.values.get(key), _CHARS)} {why}.", cure)

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise self.refuse(key, "is no text", f'{key} = "..."')
        return value.strip() if isinstance(value, str) else None

    def ms(self, key: str, default_ms: int) -> int:
        text = self.text(key)
        if text is None:
            return default_ms
        try:
            return duration_ms(text)
        except UsageError as error:
            raise self.refuse(key, "is no duration", error.cure) from None


def read_rules(tables: Sequence[object], environment: Mapping[str, str], are_sent: bool = True) -> list[Rule]:
    """Every alert of the settings; raises UsageError for the first that nobody can mean, and where there is none.

    Of those that are not sent the receivers are not read, and no address need be in the environment.
    """
    rules = []
    for number, values in enumerate(tables, 1):
        if not isinstance(values, Mapping):
            raise UsageError("alert is no table.", 'lines like [[alert]] and when = "recorder absent"')
        rules.append(_rule(_Table(number, values), environment if are_sent else None))
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"two alerts have the name {quoted(name, _CHARS)}.", 'another name = "..." for one of them'
            )
    if not rules:
        raise UsageError("no [[alert]] in the settings.", "docs/alerts.md has some to copy into l2vault.toml")
    return rules


def _rule(table: _Table, environment: Mapping[str, str] | None) -> Rule:
    for key in table.values:
        if key not in KEYS:
            raise UsageError(f"{table.shown}: unknown key {quoted(key, _CHARS)}.", f"one of {', '.join(KEYS)}")
    condition, limit, upper = _condition(table)
    if condition in EVENTS and "for" in table.values:
        raise table.refuse("for", "is of no use: it happens at one moment", "the alert without it")
    return Rule(
        name=table.text("name") or table.text("when") or "",
        condition=condition,
        limit=limit,
        receivers=() if environment is None else _receivers(table, environment),
        instruments=_instruments(table, condition),
        for_ms=0 if condition in EVENTS else table.ms("for", 15_000),
        clear_ms=table.ms("clear", MINUTE_MS),
        again_ms=table.ms("again", 60 * MINUTE_MS),
        most_an_hour=_most(table),
        quiet=_quiet(table),
        within_bps=_within(table, condition),
        side=_side(table, condition),
        upper=upper,
    )


def _condition(table: _Table) -> tuple[str, float, float]:
    """Its name, its limit, and the upper bound of prices."""
    text = " ".join((table.text("when") or "").lower().split())
    examples = ", ".join(f'"{name} {limit}"' if limit else f'"{name}"' for name, limit in CONDITIONS.items())
    for name, example in CONDITIONS.items():
        rest = text.removeprefix(name).strip()
        if not text.startswith(name) or bool(rest) != bool(example):
            continue
        if not example:
            return name, 0.0, 0.0
        try:
            return name, *_limit(name, rest)
        except (UsageError, ValueError):
            raise table.refuse("when", "has no limit that reads", f'one like "{name} {example}"') from None
    raise table.refuse("when", "is no condition", f"one of {examples}")


def _limit(name: str, text: str) -> tuple[float, float]:
    """Raises UsageError or ValueError for what does not read."""
    if name == "disk days below":
        return read_number(text), 0.0
    if name not in MARKET:
        return duration_ms(text) / 1000, 0.0
    if name == "price crosses":
        low, _, high = text.partition("-")
        bounds = read_number(low), read_number(high or low)
        if bounds[0] > bounds[1]:
            raise ValueError
        return bounds
    unit = {"spread above": "bps", "funding beyond": "%"}.get(name, "")
    if not text.endswith(unit):
        raise ValueError
    limit = read_number(text.removesuffix(unit))
    if name == "imbalance beyond" and limit >= 1:
        raise ValueError
    return limit / 100 if unit == "%" else limit, 0.0


def _asked_of(table: _Table, key: str, condition: str) -> object:
    """What the table says of a key that only some conditions take."""
    if key in table.values and condition not in _TAKE[key]:
        takers = ", ".join(_TAKE[key])
        raise UsageError(f"{table.shown}: {condition} takes no {key}.", f"it without, or one of: {takers}")
    return table.values.get(key)


def _within(table: _Table, condition: str) -> float | None:
    value = _asked_of(table, "within_bps", condition)
    if value is None:
        return WITHIN_BPS if condition in ("depth below", "shift beyond") else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST_BPS:
        raise table.refuse("within_bps", "is no distance from mid", "within_bps = 10")
    return float(value)


def _side(table: _Table, condition: str) -> str | None:
    value = _asked_of(table, "side", condition)
    if value not in (None, "bid", "ask"):
        raise table.refuse("side", "is no side of a book", 'side = "bid" or side = "ask"')
    return value if isinstance(value, str) else None


def _receivers(table: _Table, environment: Mapping[str, str]) -> tuple[Receiver, ...]:
    found: list[Receiver] = []
    if (webhook := table.text("webhook")) is not None:
        found.append(_webhook(table, webhook, environment))
    if (service := table.text("apprise")) is not None:
        found.append(_apprise(table, service, environment))
    words = table.values.get("command")
    if words is not None:
        if not (isinstance(words, list) and words and all(isinstance(word, str) and word for word in words)):
            raise table.refuse("command", "is no list of words", 'command = ["program", "word"]; no shell reads it')
        found.append(Command(tuple(words)))
    if not found:
        cure = 'webhook = "${ALERT_URL}", or command = ["program", "word"]'
        raise UsageError(f"{table.shown} is sent to nobody.", cure)
    return tuple(found)


def _apprise(table: _Table, text: str, environment: Mapping[str, str]) -> Apprise:
    name, url = _secret(table, "apprise", text, environment)
    if not _SERVICE.fullmatch(url):
        why = "is not set" if not url else "holds no address of apprise"
        cure = "one such as ntfy://topic or mailto://user:password@host, set for the process that runs l2vault alert"
        raise UsageError(f"{table.shown}: the environment variable {name} {why}.", cure)
    return Apprise(url)


def _secret(table: _Table, key: str, text: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """The name of the variable, and what it holds. That is never printed, not even in an error."""
    match = _SECRET.fullmatch(text)
    if match is None:
        cure = f'{key} = "${{ALERT_URL}}", and the address in the environment variable ALERT_URL'
        raise UsageError(f"{table.shown}: {key} holds an address, which is a secret, and no variable.", cure)
    return match[1], environment.get(match[1], "")


def _webhook(table: _Table, text: str, environment: Mapping[str, str]) -> Webhook:
    name, url = _secret(table, "webhook", text, environment)
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or any(char <= " " for char in url):
        why = "is not set" if not url else "holds no address"
        cure = "one like https://host/path, set for the process that runs l2vault alert"
        raise UsageError(f"{table.shown}: the environment variable {name} {why}.", cure)
    return Webhook(url)


def _instruments(table: _Table, condition: str) -> frozenset[str]:
    names = _asked_of(table, "instruments", condition)
    names = [] if names is None else names
    if not names and condition in MARKET:
        cure = 'instruments = ["BTC-USDT-SWAP"]: what is much in one market is little in another'
        raise UsageError(f"{table.shown}: {condition} needs instruments.", cure)
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise table.refuse("instruments", "is no list of names", 'instruments = ["BTC-USDT-SWAP"]')
    return frozenset(name.upper() for name in names)


def _most(table: _Table) -> int:
    value = table.values.get("most_an_hour", 6)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_AN_HOUR:
        raise table.refuse("most_an_hour", "is impossible", f"a whole number from 1 to {_MOST_AN_HOUR}")
    return value


def _quiet(table: _Table) -> tuple[int, int] | None:
    text = table.text("quiet")
    if text is None:
        return None
    match = _QUIET.fullmatch(text)
    if match is None:
        raise table.refuse("quiet", "is no span of the day", 'quiet = "22:00-07:00", in UTC')
    begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    return begin, end
