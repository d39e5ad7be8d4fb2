"""Connections opened stage by stage, each stage timed: name, TCP, TLS, upgrade. What fails is named by its stage.

Through a proxy the stages belong to the proxy, so that only the whole is timed, and that is said.
"""

import asyncio
import os
import socket
import ssl
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from l2vault.clock import Clock
from l2vault.okx.proxies import UnusableProxy, require_socks, system_proxy
from l2vault.probe.findings import Connection

LARGEST_FRAME_BYTES: Final = 4 * 1024 * 1024
_PORTS: Final = {"ws": 80, "wss": 443}

Stage = Literal["name resolution", "TCP", "TLS", "upgrade", "proxy"]


class Opened(NamedTuple):
    """A connection that stands, and what was seen while it was made."""

    websocket: ClientConnection
    seen: Connection


class CannotConnect(Exception):
    """No connection: at which stage, why, and the HTTP status where there was one."""

    def __init__(self, stage: Stage, reason: str, status: int | None = None, is_certificate: bool = False) -> None:
        super().__init__(reason)
        self.stage: Final = stage
        self.reason: Final = reason
        self.status: Final = status
        self.is_certificate: Final = is_certificate


def proxy_of(url: str) -> str | None:
    """The proxy that the recorder would take to this address, with its password. Raises UnusableProxy."""
    proxy = system_proxy(url)
    return None if proxy is None else proxy.url


def without_password(proxy: str) -> str:
    """The proxy's address as it may be printed."""
    head, at, tail = proxy.rpartition("@")
    return f"{head.partition('://')[0]}://...@{tail}" if at else proxy


class _Timed(ClientConnection):
    """Notes when the transport stands: for `wss` that is after TLS."""

    clock: Clock
    stood_ms: int | None = None
    tls = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.stood_ms = self.clock.monotonic_ms()
        self.tls = _tls_text(transport)
        super().connection_made(transport)


async def open_websocket(url: str, clock: Clock, within_sec: float, compression: str | None = None) -> Opened:
    """Connect as the recorder does. Raises CannotConnect."""
    try:
        proxy = system_proxy(url)
        if proxy is not None:
            require_socks(proxy)
    except UnusableProxy as error:
        raise CannotConnect("proxy", str(error)) from error
    if proxy is not None:
        return await _open_by_proxy(url, proxy.url, clock, within_sec, compression)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
    began_ms = clock.monotonic_ms()
    infos = await _resolve(host, port, within_sec)
    resolved_ms = clock.monotonic_ms()
    sock, address = await _connect_tcp(infos, within_sec)
    connected_ms = clock.monotonic_ms()
    websocket, stood_ms, tls = await _upgrade(url, clock, within_sec, compression, sock=sock, proxy=None)
    stood_ms = connected_ms if stood_ms is None else stood_ms
    seen = Connection(
        url,
        address,
        len({info[4][0] for info in infos}),
        None,
        resolved_ms - began_ms,
        connected_ms - resolved_ms,
        stood_ms - connected_ms if parts.scheme == "wss" else None,
        clock.monotonic_ms() - stood_ms,
        tls,
        bool(websocket.protocol.extensions),
    )
    return Opened(websocket, seen)


async def is_port_open(host: str, port: int, within_sec: float) -> str:
    """What one TCP connect came to: `open`, `refused`, `no answer`, or the error."""
    try:
        async with asyncio.timeout(within_sec):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return f"no answer within {within_sec:g} s"
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        return error_text(error)
    writer.close()
    return "open"


async def _open_by_proxy(url: str, proxy: str, clock: Clock, within_sec: float, compression: str | None) -> Opened:
    began_ms = clock.monotonic_ms()
    try:
        websocket, _, tls = await _upgrade(url, clock, within_sec, compression, proxy=proxy)
    except CannotConnect as failure:
        stage: Stage = "proxy" if failure.stage == "TCP" else failure.stage
        raise CannotConnect(stage, failure.reason, failure.status, failure.is_certificate) from failure
    took_ms = clock.monotonic_ms() - began_ms
    is_deflated = bool(websocket.protocol.extensions)
    named = without_password(proxy)
    return Opened(websocket, Connection(url, named, 0, named, None, None, None, took_ms, tls, is_deflated))


async def _resolve(host: str, port: int, within_sec: float) -> list[Any]:
    try:
        async with asyncio.timeout(within_sec):
            return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise CannotConnect("name resolution", f"no answer within {within_sec:g} s") from None
    except (OSError, UnicodeError) as error:
        raise CannotConnect("name resolution", error_text(error)) from error


async def _connect_tcp(infos: list[Any], within_sec: float) -> tuple[socket.socket, str]:
    """A socket to the first address that answers, in the system's order, and that address."""
    failure = "no address"
    for family, kind, protocol, _, address in infos:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # an address family that this machine does not have
            failure = error_text(error)
            continue
        sock.setblocking(False)
        try:
            async with asyncio.timeout(within_sec):
                await asyncio.get_running_loop().sock_connect(sock, address)
            return sock, _address(sock.getpeername())
        except TimeoutError:
            failure = f"{_address(address)}: no answer within {within_sec:g} s"
        except OSError as error:
            failure = f"{_address(address)}: {error_text(error)}"
        except BaseException:  # cancelled: nobody else knows this socket
            sock.close()
            raise
        sock.close()
    raise CannotConnect("TCP", failure)


async def _upgrade(
    url: str, clock: Clock, within_sec: float, compression: str | None, **how: Any
) -> tuple[ClientConnection, int | None, str]:
    """TLS, if any, and the websocket's handshake: the connection, when its transport stood, and its TLS in words."""
    made: list[_Timed] = []

    class Timed(_Timed):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.clock = clock
            made.append(self)

    try:
        websocket = await connect(
            url,
            open_timeout=within_sec,
            close_timeout=1,
            ping_interval=None,
            compression=compression,
            max_size=LARGEST_FRAME_BYTES,
            create_connection=Timed,
            **how,
        )
    except InvalidStatus as refusal:
        raise CannotConnect("upgrade", f"HTTP {refusal.response.status_code}", refusal.response.status_code) from None
    except ssl.SSLCertVerificationError as error:
        raise CannotConnect("TLS", error.verify_message, is_certificate=True) from error
    except ssl.SSLError as error:
        raise CannotConnect("TLS", str(error)) from error
    except (OSError, TimeoutError, EOFError, ImportError, WebSocketException) as error:
        has_stood = bool(made) and made[-1].stood_ms is not None
        raise CannotConnect(_stage(url, has_stood, how), error_text(error)) from error
    return websocket, made[-1].stood_ms, made[-1].tls


def _stage(url: str, has_stood: bool, how: dict[str, Any]) -> Stage:
    if has_stood:
        return "upgrade"
    if "sock" not in how:
        return "proxy"
    return "TLS" if url.startswith("wss") else "upgrade"


def _tls_text(transport: asyncio.BaseTransport) -> str:
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return ""
    certificate = tls.getpeercert() or {}
    names = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    issuer = names.get("organizationName") or names.get("commonName") or "nobody named"
    return f"{tls.version()}, certificate of {issuer}"


def _address(address: Any) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def error_text(error: BaseException) -> str:
    """The system's words where they are known, else the error's name and its own."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno is not None:
        return os.strerror(error.errno)
    return f"{type(error).__name__}: {error}".rstrip(": ")
