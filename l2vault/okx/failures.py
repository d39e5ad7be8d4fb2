"""Why a connection could not be made, as one sentence that says what to do. Pure.

The sentences end without a full stop, for the log goes on with the time of the next try. Whatever of them was written
by others is escaped and bounded; no password of a proxy is in them.
"""

import socket
import ssl
from typing import Final, TypeVar
from urllib.parse import urlsplit

from websockets.exceptions import InvalidProxyStatus, InvalidStatus, InvalidURI, ProxyError

from l2vault.foreign import printable
from l2vault.okx.proxies import Proxy, UnusableProxy

_PAGE: Final = "docs/network.md"
_SHOWN: Final = 80
_FORBIDDEN: Final = f"OKX does not serve this region or address; try --region eea or us, or another network; {_PAGE}"
_STATUSES: Final = {
    200: "a web page instead of a websocket; does this network want a login first? Open a browser there",
    401: "wants a password: something between here and OKX answers in its place",
    403: _FORBIDDEN,
    404: "has no websocket at this path; check ws_url",
    407: "something between here and OKX wants a password; set HTTPS_PROXY=http://user:password@host:port",
    429: "allows no more connections from this address for now",
    451: _FORBIDDEN,
}

_Kind = TypeVar("_Kind", bound=Exception)


def explain(error: Exception, url: str, proxy: Proxy | None, within_sec: float, missing: str | None = None) -> str:
    """What to tell of `error`, met on the way to `url` through `proxy`. `missing` is the file that SSL_CERT_FILE names,
    where there is none."""
    if isinstance(error, UnusableProxy):
        return f"{error.message}. Try: {error.cure}"
    if isinstance(error, ssl.SSLError):
        return _tls(error, _place(url), missing)
    if isinstance(error, InvalidStatus):
        return _answered(error, _place(url))
    if proxy is not None:
        return _on_the_way(error, url, proxy, within_sec)
    return _direct(error, url, within_sec)


def _direct(error: Exception, url: str, within_sec: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer from {_place(url)} within {within_sec:g} s; a firewall may block it: {_PAGE}"
    if isinstance(error, socket.gaierror):
        return f"no network or DNS: cannot resolve {_host(url)} ({_said(error)})"
    if isinstance(error, ValueError | InvalidURI):  # a UnicodeError too
        return f"{printable(url, _SHOWN)} is no address of a websocket; check ws_url ({_said(error)})"
    if isinstance(error, ConnectionRefusedError):
        return f"{_place(url)} refuses connections: nothing listens there, or a firewall says so ({_PAGE})"
    if isinstance(error, ConnectionError | EOFError):
        return f"{_place(url)} broke the handshake off ({_said(error)}); a firewall may block it by name: {_PAGE}"
    if isinstance(error, OSError):
        return f"no connection to {_place(url)} ({_said(error)}); is this computer online? {_PAGE} lists what it needs"
    return f"{_place(url)} does not speak the websocket protocol ({_said(error)})"


def _tls(error: ssl.SSLError, place: str, missing: str | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = printable(error.verify_message or str(error), _SHOWN)
        if missing is not None:
            named = printable(missing, _SHOWN)
            return (
                f"the certificate of {place} is not trusted ({why}): SSL_CERT_FILE names {named}, which does not exist"
            )
        words = f"the certificate of {place} is not trusted ({why}): this network may inspect TLS"
        return f"{words}. Set SSL_CERT_FILE to its certificate, or check this computer's clock; {_PAGE}"
    return f"no TLS with {place} ({printable(error.reason or str(error), _SHOWN)}); something on the way may block it"


def _answered(error: InvalidStatus, place: str) -> str:
    status = error.response.status_code
    target = error.response.headers.get("Location") if 300 <= status < 400 else None
    if target is not None:
        return f"{place} redirects to {printable(target, _SHOWN)} (HTTP {status}), which is not followed; check ws_url"
    words = _STATUSES.get(status, "is in trouble, or under maintenance" if status >= 500 else "is no websocket")
    return f"{place} answered HTTP {status}: {words}"


def _on_the_way(error: Exception, url: str, proxy: Proxy, within_sec: float) -> str:
    refused = _cause(error, InvalidProxyStatus)
    if refused is not None and refused.response.status_code == 407:
        return f"the proxy {_shown(proxy)} wants a password (HTTP 407); set HTTPS_PROXY=http://user:password@host:port"
    if refused is not None:
        said = f"HTTP {refused.response.status_code} {printable(refused.response.reason_phrase, _SHOWN)}".rstrip()
        return (
            f"the proxy {_shown(proxy)} refused to connect to {_place(url)} ({said}); it must allow port 443: {_PAGE}"
        )
    if isinstance(error, ProxyError):
        said = _said(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        return f"the proxy {_shown(proxy)} refused or broke off ({said}); check its address and password: {_PAGE}"
    if isinstance(error, TimeoutError):
        return f"no answer from {_place(url)} through the proxy {_shown(proxy)} within {within_sec:g} s"
    if isinstance(error, socket.gaierror):
        return f"no network or DNS: cannot resolve {_shown(proxy)}, the proxy; check HTTPS_PROXY ({_said(error)})"
    if isinstance(error, OSError):
        return f"no connection to {_place(url)} through the proxy {_shown(proxy)}; check HTTPS_PROXY ({_said(error)})"
    return f"{_place(url)} through the proxy {_shown(proxy)} does not speak the websocket protocol ({_said(error)})"


def _cause(error: Exception, kind: type[_Kind]) -> _Kind | None:
    found: BaseException | None = error
    while found is not None and not isinstance(found, kind):
        found = found.__cause__
    return found


def _said(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return printable(text, _SHOWN)


def _host(url: str) -> str:
    return printable(urlsplit(url).hostname or url, _SHOWN)


def _place(url: str) -> str:
    port = _port(url)
    return _host(url) if port is None else f"{_host(url)}:{port}"


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return None


def _shown(proxy: Proxy) -> str:
    return printable(proxy.address, _SHOWN)
