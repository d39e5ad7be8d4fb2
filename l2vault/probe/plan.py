"""What one run probes, where and for how long: the recorder's settings, cut to what fits a page. Pure."""

from dataclasses import dataclass
from typing import Final

from l2vault.config import Settings
from l2vault.okx.hosts import Region, addresses, names_closed_port, without_closed_port

MOST_INSTRUMENTS: Final = 10
"""A page is for a person; more would also ask more of REST than a recorder does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`within_sec` bounds each connect and each REST answer. `left_out` counts instruments beyond the first ten."""

    inst_ids: tuple[str, ...]
    region: str
    hosts: Region
    seconds: float
    named_flags: tuple[str, ...] = ()
    left_out: int = 0
    was_closed_port_named: bool = False
    within_sec: float = 10.0


def plan_of(settings: Settings, seconds: float) -> Plan:
    return Plan(
        settings.instruments[:MOST_INSTRUMENTS],
        settings.region,
        addresses(settings.region, settings.ws_url, settings.rest_url),
        seconds,
        _named_flags(settings),
        max(0, len(settings.instruments) - MOST_INSTRUMENTS),
        any(names_closed_port(url) for url in settings.ws_url),
    )


def _named_flags(settings: Settings) -> tuple[str, ...]:
    """What was named apart from the defaults, as flags of `record`."""
    flags = [] if settings.region == "global" else [f"--region {settings.region}"]
    if settings.ws_url:
        flags.append(f"--ws-url {','.join(without_closed_port(url) for url in settings.ws_url)}")
    return (*flags, f"--rest-url {settings.rest_url}") if settings.rest_url else tuple(flags)
