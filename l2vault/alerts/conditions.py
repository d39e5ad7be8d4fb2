"""Whether the condition of an alert holds, and of what. Pure: the file, the verdict on it and the time are handed
in."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from l2vault.alerts.rule import Rule
from l2vault.foreign import printable
from l2vault.vault.health.form import Health, InstrumentHealth
from l2vault.vault.health.judge import Look, seconds_since


class Held(NamedTuple):
    """That a condition holds `of` an instrument, or of nothing in particular: a sentence, and what to do."""

    of: str
    text: str
    cure: str


_NO_ROOM: Final = "the disk is full"
_LOG: Final = "l2vault status; docs/runbook.md"


def held(rule: Rule, seen: Look) -> list[Held] | None:
    """Of what the condition holds; empty: of nothing. None: it cannot be known now, so that nothing changes."""
    condition, health = rule.condition, seen.health
    if condition == "recorder absent":
        reasons = seen.verdict.reasons if seen.verdict.state == "no recorder" else []
        return [Held("", reason.text, reason.cure) for reason in reasons]
    if condition == "not healthy":
        place = [(" ".join(filter(None, (reason.code, reason.of))), reason) for reason in seen.verdict.reasons]
        return [Held(of, reason.text, reason.cure) for of, reason in place]
    if condition == "hole longer than":
        return None if health is None else list(_holes(rule, seen, health))
    if condition == "disk days below" and seen.is_full:
        return [Held("", reason.text, reason.cure) for reason in seen.verdict.reasons]
    if health is None or not seen.is_there:
        return None
    if condition == "feed down":
        return list(_feeds(health))
    if condition == "book older than":
        return list(_books(rule, seen, health))
    if condition == "clock off by":
        return _clock(rule, health)
    return list(_disk(rule, seen, health))


def _asked(rule: Rule, health: Health) -> Iterable[InstrumentHealth]:
    return (one for one in health.instruments if not rule.instruments or one.inst_id in rule.instruments)


def _holes(rule: Rule, seen: Look, health: Health) -> Iterable[Held]:
    """One that lasts: an instrument that no feed holds, or every one where none is written: no recorder, no room."""
    for one in _asked(rule, health):
        if seen.is_there and one.state == "in sync":
            continue
        since = one.since if seen.is_there or one.state != "in sync" else health.written
        lasts_sec = seconds_since(since, seen.now_ms)
        if lasts_sec > rule.limit:
            why = f"it is {one.state}" if seen.is_there else _NO_ROOM if seen.is_full else "there is no recorder"
            text = f"{printable(one.inst_id)} has not been recorded for {lasts_sec:.0f} s, since {since}: {why}."
            yield Held(one.inst_id, text, _LOG)


def _feeds(health: Health) -> Iterable[Held]:
    up = sum(feed.state == "up" for feed in health.feeds)
    if up < health.feeds_wanted:
        down = next((feed for feed in health.feeds if feed.state != "up"), None)
        why = "" if down is None else f": feed {down.feed} since {down.since} ({printable(down.reason or down.state)})"
        text = f"{up} of {health.feeds_wanted} feeds are connected{why}."
        yield Held("", text, "docs/network.md; l2vault probe shows what is reachable")


def _books(rule: Rule, seen: Look, health: Health) -> Iterable[Held]:
    for one in _asked(rule, health):
        age_sec = seconds_since(one.since, seen.now_ms)
        if one.book_age_sec is not None:
            age_sec = one.book_age_sec + (seen.verdict.age_sec or 0.0)
        if age_sec > rule.limit:
            text = f"The newest book of {printable(one.inst_id)} is {age_sec:.0f} s old, or there is none for so long."
            yield Held(one.inst_id, text, _LOG)


def _clock(rule: Rule, health: Health) -> list[Held] | None:
    offset_ms, uncertain_ms = health.clock.offset_ms, health.clock.uncertain_ms
    if offset_ms is None:
        return None
    if abs(offset_ms) - (uncertain_ms or 0) <= rule.limit * 1000:
        return []
    text = f"The recorder's clock is off by {offset_ms / 1000:+.1f} s against OKX's; recording is exact all the same."
    return [Held("", text, "set it by NTP")]


def _disk(rule: Rule, seen: Look, health: Health) -> Iterable[Held]:
    """Too little free is too few days, whatever a day adds."""
    days_left = health.disk.days_left
    if days_left is not None and days_left < rule.limit:
        text = f"The disk is full in {days_left:.1f} days at the present rate."
        yield Held("", text, "make room on it, or bound the vault: docs/retention.md")
        return
    for reason in seen.verdict.reasons:
        if reason.code in ("disk_low", "lines_lost"):
            yield Held("", reason.text, reason.cure)
            return
