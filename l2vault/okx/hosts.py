"""OKX's public hosts by region, and the port that OKX closed. Pure; knows nothing of sockets and settings.

Hosts: OKX docs, "Production/Demo trading services", as of 2026-11; the second websocket name of the global region is
OKX's AWS name, so that one name or edge that fails does not take both feeds.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

CLOSED_PORT: Final = 8443
"""OKX changelog, "WebSocket 8443 port offline" (2026-09-30): connections to it fail after 2026-10-31."""

FAILURES_TO_MOVE: Final = 3
"""In a row, on one address: then the feed goes on at the next of its list."""

_PATH: Final = "/ws/v5/public"


class Region(NamedTuple):
    """Where a region is reached. `headers` go with every REST request."""

    ws_urls: tuple[str, ...]
    rest_url: str
    headers: dict[str, str]


REGIONS: Final = {
    "global": Region((f"wss://ws.okx.com{_PATH}", f"wss://wsaws.okx.com{_PATH}"), "https://www.okx.com", {}),
    "eea": Region((f"wss://wseea.okx.com{_PATH}",), "https://eea.okx.com", {}),
    "us": Region((f"wss://wsus.okx.com{_PATH}",), "https://us.okx.com", {}),
    "demo-trading": Region((f"wss://wspap.okx.com{_PATH}",), "https://www.okx.com", {"x-simulated-trading": "1"}),
}


def addresses(region: str, ws_urls: tuple[str, ...], rest_url: str) -> Region:
    """The region's hosts, each replaced by what the user named, without the closed port."""
    known = REGIONS[region]
    return Region(
        tuple(without_closed_port(url) for url in ws_urls) or known.ws_urls,
        rest_url or known.rest_url,
        known.headers,
    )


def names_closed_port(url: str) -> bool:
    """Whether this is an OKX host with the port that OKX has closed."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return (host == "okx.com" or host.endswith(".okx.com")) and parts.port == CLOSED_PORT


def without_closed_port(url: str) -> str:
    """The address to connect to: OKX answers on 443, which `wss` means by itself."""
    if not names_closed_port(url):
        return url
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.removesuffix(f":{CLOSED_PORT}")).geturl()


def closed_port_warnings(urls: Iterable[str]) -> list[str]:
    """What to say at start of each configured address that names the closed port."""
    return [
        f"OKX closed port {CLOSED_PORT} on 2026-10-31; using {without_closed_port(url)}. Take the port out of ws_url"
        for url in urls
        if names_closed_port(url)
    ]


class Route:
    """Which of its addresses one feed uses: it begins at number `first` and goes on to the next where it must.

    `feed` is the number of the feed, for the log.
    """

    def __init__(self, urls: Sequence[str], first: int = 0, feed: int = 0) -> None:
        self._urls = tuple(urls)
        self._at = first % len(self._urls)
        self._failures = 0
        self.feed = feed

    @property
    def url(self) -> str:
        """The address to connect to now."""
        return self._urls[self._at]

    def worked(self) -> None:
        """The connection was good for something: failures are counted anew."""
        self._failures = 0

    def failed(self) -> bool:
        """The connection could not be made, or brought no book. True where that moved the feed to another address."""
        self._failures += 1
        return self._failures >= FAILURES_TO_MOVE and self.move()

    def move(self) -> bool:
        """Go on to the next address. False where there is only one."""
        self._failures = 0
        self._at = (self._at + 1) % len(self._urls)
        return len(self._urls) > 1
