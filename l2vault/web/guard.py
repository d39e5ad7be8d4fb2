"""Who may ask the screen, and the headers that every answer has. Knows ASGI and nothing of the vault.

A page of another site can reach a server on this machine, by its address or by a name that it lets resolve to it. So a
`Host` that is not ours is refused, and whatever a browser sends from another origin. Beyond loopback a token is needed.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE: Final = "l2vault_screen"
DATA_PATHS: Final = ("/api", "/live", "/readyz", "/metrics", "/trades.arrow")
"""Where data is: these and all below them need the token. The page itself, which is the same for all, does not."""
_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_POLICY: Final = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_REFUSED: Final = 403
_NO_TOKEN: Final = 401
_POLICY_VIOLATION: Final = 1008


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Guard:
    """`host` is what the server listens on; `token` is None on loopback, where none is needed."""

    host: str
    token: str | None = None

    def allows_host(self, value: str | None) -> bool:
        """Whether a `Host` header names us. On every address of the machine any literal address does: a name that
        another site lets resolve to us is none."""
        name = host_name(value)
        if name is None:
            return False
        if name in _LOOPBACK_NAMES or name == self.host.lower():
            return True
        return self.host in ("0.0.0.0", "::") and _is_address(name)

    def allows_origin(self, origin: str | None, host: str | None) -> bool:
        """Whether a request comes from our page, or from no browser at all: those send no `Origin`."""
        if origin is None:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and host is not None and parts.netloc.lower() == host.lower()

    def knows(self, authorization: str | None, cookie: str | None) -> bool:
        """Whether the token was given, in `Authorization: Bearer` or in our cookie."""
        if self.token is None:
            return True
        given = [_bearer(authorization), _cookie(cookie)]
        return any(each is not None and hmac.compare_digest(each.encode(), self.token.encode()) for each in given)


class Guarded:
    """An ASGI app that is asked only what the guard lets through, and whose answers have our headers."""

    def __init__(self, app: App, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refused are a foreign host (403), a foreign origin of a websocket or of anything but GET (403), and data
        without the token (401)."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = self._refusal(scope)
        if scope["type"] == "websocket":
            if why is None:
                await self._app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        if why is None:
            await self._app(scope, receive, _with_headers(send))
        else:
            await _refuse(_with_headers(send), *why)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host")
        if not self._guard.allows_host(host):
            return _REFUSED, "this host is not the screen's"
        is_reading = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if not is_reading and not self._guard.allows_origin(headers.get("origin"), host):
            return _REFUSED, "this origin is not the screen's"
        path = str(scope["path"])
        needs_token = any(path == each or path.startswith(f"{each}/") for each in DATA_PATHS)
        if needs_token and not self._guard.knows(headers.get("authorization"), headers.get("cookie")):
            return _NO_TOKEN, "the token is missing or wrong: open the address that `l2vault screen` printed"
        return None


def host_name(value: str | None) -> str | None:
    """The name or address of a `Host` header, lower case, without port and brackets; None for what is none."""
    if not value or any(char in value for char in "@/?#\\ "):
        return None
    try:
        parts = urlsplit(f"//{value}")
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    return parts.hostname


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _bearer(header: str | None) -> str | None:
    scheme, _, value = (header or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None


def _cookie(header: str | None) -> str | None:
    try:
        found = SimpleCookie(header or "").get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None else None


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message.get("headers", ())}
            message["headers"] = [*message.get("headers", ()), *(each for each in _HEADERS if each[0] not in own)]
        await send(message)

    return sending


async def _refuse(send: Send, status: int, why: str) -> None:
    body = f'{{"error": "{why}"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
