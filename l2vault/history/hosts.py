"""From where a file may come: by https from hosts that the setting `archive_hosts` names, redirects included. Pure."""

from collections.abc import Sequence
from urllib.parse import urljoin, urlsplit

from l2vault.errors import VaultError
from l2vault.foreign import printable

_LOOPBACK = frozenset({"127.0.0.1", "localhost"})


class Hosts:
    """`names` as the setting has them: `static.okx.com`, or with a port one of this machine, which needs no TLS."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(name.lower() for name in names)
        self._shown = ", ".join(names)

    def check(self, url: str) -> str:
        """The address, if a file may come from there. Raises VaultError for any other."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise VaultError(f"the index names an address that is none: {printable(url, 200)}.", _CURE) from None
        place = host if port is None else f"{host}:{port}"
        is_ours = host in _LOOPBACK and parts.scheme == "http" and place in self._names
        is_okx = parts.scheme == "https" and (place in self._names or (port == 443 and host in self._names))
        if parts.username is not None or not (is_ours or is_okx):
            raise VaultError(
                f"{printable(url, 200)} is not on https at a host of archive_hosts ({self._shown}): nothing was fetched"
                " from there.",
                _CURE,
            )
        return url

    def redirected(self, url: str, location: str) -> str:
        """Where a redirect leads, checked like any other address."""
        return self.check(urljoin(url, location))

    def base(self, default: str) -> str:
        """Where documented addresses are asked: OKX's host, or the first that is named instead of it."""
        names = self._names
        if urlsplit(default).hostname in names or not names:
            return default
        host = names[0].rpartition(":")[0] or names[0]
        return f"{'http' if host in _LOOPBACK else 'https'}://{names[0]}"


_CURE = "archive_hosts = [...] in l2vault.toml, if that host is really where OKX keeps its archive"
