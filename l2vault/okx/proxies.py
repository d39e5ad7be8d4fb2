"""Which proxy leads to an address, read from the environment (and, on macOS and Windows, the system's settings).

One rule for the websocket and for REST. `proxy_for` and `parse_proxy` are pure; `system_proxy` asks the system.
"""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from l2vault.errors import L2VaultError, install_command
from l2vault.foreign import printable

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
"""This very machine is never reached through a proxy."""

_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080, "socks4": 1080, "socks4a": 1080}
_ORDER: Final = {
    "wss": ("wss", "socks", "https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "https": ("https", "socks", "all"),
    "http": ("http", "socks", "all"),
}
"""Whose setting counts first for an address of each scheme. For `wss` and `ws` it is the order of the websockets
library ("Proxies", read 2026-11), with ALL_PROXY last, as curl has it."""
_CURE: Final = "set HTTPS_PROXY to http://host:port or socks5h://host:port; docs/network.md"


class UnusableProxy(L2VaultError):
    """The environment names a proxy that cannot be used as it stands."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens. Only `url` holds the password: show `address`."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def address(self) -> str:
        """For people: without name and password."""
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"

    @property
    def url(self) -> str:
        if self.username is None:
            return self.address
        user = f"{quote(self.username, safe='')}:{quote(self.password or '', safe='')}"
        return f"{self.scheme}://{user}@{_bracketed(self.host)}:{self.port}"


def parse_proxy(text: str) -> Proxy:
    """A proxy as environments name it; one without a scheme is an HTTP proxy. Raises UnusableProxy."""
    try:
        parts = urlsplit(text.strip() if "://" in text else f"http://{text.strip()}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _malformed(text, printable(str(error), 80)) from error
    if parts.scheme not in _PORTS:
        raise _malformed(text, f"nothing is known of the scheme {printable(parts.scheme, 20)!r}")
    if not host or not host.isprintable() or " " in host:
        raise _malformed(text, "it names no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _malformed(text, "something follows the port")
    username = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return Proxy(parts.scheme, host, port or _PORTS[parts.scheme], username, password)


def proxy_for(url: str, proxies: Mapping[str, str]) -> Proxy | None:
    """The proxy to `url`, None for the direct way. `proxies` is as `urllib.request.getproxies` gives it: addresses by
    scheme, and under `no` the list of NO_PROXY. Raises UnusableProxy for one that is malformed."""
    if _is_loopback(url) or _is_exempt(url, proxies.get("no", "")):
        return None
    for scheme in _ORDER[urlsplit(url).scheme]:
        text = proxies.get(scheme)
        if text:
            # A SOCKS proxy of the operating system comes as "http://host:port".
            is_socks = scheme == "socks" and text.startswith("http://")
            return parse_proxy(f"socks5h://{text[7:]}" if is_socks else text)
    return None


def system_proxy(url: str) -> Proxy | None:
    """The proxy to `url` on this computer, as its environment says now. Raises UnusableProxy."""
    from urllib.request import getproxies, proxy_bypass

    if _is_loopback(url) or proxy_bypass(_host_and_port(url)):
        return None
    return proxy_for(url, getproxies())


def require_socks(proxy: Proxy) -> None:
    """Raises UnusableProxy where this is a SOCKS proxy and the package for it is not installed."""
    if proxy.is_socks and importlib.util.find_spec("python_socks") is None:
        words = f"the proxy {proxy.address} is a SOCKS proxy, and the package python-socks is not installed"
        raise UnusableProxy(words, install_command("socks"))


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK


def _is_exempt(url: str, no_proxy: str) -> bool:
    """NO_PROXY is `*`, or a list of names: each exempts itself and whatever ends in it after a dot, as in urllib."""
    if no_proxy.strip() == "*":
        return True
    host, host_and_port = urlsplit(url).hostname or "", _host_and_port(url)
    names = [name.strip().lstrip(".").lower() for name in no_proxy.split(",")]
    return any(name and (host_and_port == name or host == name or host.endswith(f".{name}")) for name in names)


def _host_and_port(url: str) -> str:
    """NO_PROXY may name either."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme in ('wss', 'https') else 80)}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _malformed(text: str, why: str) -> UnusableProxy:
    shown = printable(text.rpartition("@")[2], 60)  # what stands before the @ may be a password
    return UnusableProxy(f"the proxy setting {shown!r} of this environment is no address of a proxy: {why}", _CURE)
