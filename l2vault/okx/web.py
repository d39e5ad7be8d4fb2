"""One HTTP GET with a bound on the whole of it: names, connecting, proxy, TLS, headers, body and its size.

Python's own time-outs bound one read each, so a server that sends a byte every second holds a reader for ever, and no
time-out bounds the look-up of a name. Here each exchange runs in a daemon thread of its own; when its time is up, or on
`close`, its caller goes on at once and its socket is shut down. Knows nothing of OKX.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit, urlunsplit

from l2vault.okx.proxies import Proxy, require_socks, system_proxy

if TYPE_CHECKING:  # http.client brings ssl and socket: 40 ms that a process without a request need not pay
    import socket
    import ssl
    from http.client import HTTPConnection, HTTPResponse

LARGEST_BODY_BYTES: Final = 4 * 1024 * 1024
"""A book of 400 levels is 30 KB, the rows of all swaps are 400 KB."""

_SOCKS: Final = {
    "socks5": ("SOCKS5", False),
    "socks5h": ("SOCKS5", True),
    "socks4": ("SOCKS4", False),
    "socks4a": ("SOCKS4", True),
}
"""Kind of a SOCKS proxy in python-socks, and whether the proxy looks up the names."""


class Closed(Exception):
    """The client was closed while the exchange was under way, or before."""


class Reply(NamedTuple):
    """Whatever the server answered. `body` is cut one byte after LARGEST_BODY_BYTES.

    `headers` by their names in small letters. `sent_ms` and `received_ms`: by the caller's clock, just before the
    request left and just after the headers came.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    sent_ms: int
    received_ms: int


class Web:
    """GETs to one server, from any thread, by the proxy that the environment names."""

    def __init__(self, timeout_sec: float) -> None:
        self._timeout_sec = timeout_sec
        self._lock = threading.Lock()
        self._running: set[_Exchange] = set()
        self._is_closed = False
        self._context: ssl.SSLContext | None = None

    def get(self, url: str, headers: Mapping[str, str], now_ms: Callable[[], int]) -> Reply:
        """The answer of whatever status; follows no redirect.

        Raises TimeoutError when the time is up, Closed, UnusableProxy, and whatever the network and http.client raise.
        """
        exchange = _Exchange(lambda hold: self._fetch(url, headers, now_ms, hold))
        with self._lock:
            if self._is_closed:
                raise Closed
            self._running.add(exchange)
        try:
            return exchange.run(self._timeout_sec)
        finally:
            with self._lock:
                self._running.discard(exchange)

    def stream(self, method: str, url: str, headers: Mapping[str, str]) -> "Stream":
        """The answer of whatever status, its body to be read piece by piece in the caller's own thread, for files that
        take minutes; close it. Only each read is bounded. Raises as `get` does."""
        connection, target, extra = self._request(url, _hold_nothing)
        try:
            connection.connect()
            connection.request(method, target, headers={**headers, **extra, "Connection": "close"})
            return Stream(url, connection, connection.getresponse())
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """End every exchange under way, and answer no more."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        for exchange in running:
            exchange.give_up(Closed())

    def _fetch(self, url: str, headers: Mapping[str, str], now_ms: Callable[[], int], hold: "_Hold") -> Reply:
        connection, target, extra = self._request(url, hold)
        try:
            connection.connect()
            sent_ms = now_ms()
            connection.request("GET", target, headers={**headers, **extra, "Connection": "close"})
            with connection.getresponse() as response:
                received_ms = now_ms()
                fields = {name.lower(): value for name, value in reversed(response.getheaders())}
                body = response.read(LARGEST_BODY_BYTES + 1)
                return Reply(response.status, fields, body, sent_ms, received_ms)
        finally:
            connection.close()

    def _request(self, url: str, hold: "_Hold") -> "tuple[HTTPConnection, str, dict[str, str]]":
        """A connection for it, what to ask there, and what to say to a proxy."""
        parts = urlsplit(url)
        proxy = system_proxy(url)
        connection = self._connection(parts, proxy, hold)
        target, extra = urlunsplit(("", "", parts.path or "/", parts.query, "")), {}
        if proxy is not None and parts.scheme == "http" and not proxy.is_socks:
            target, extra = url, _authorization(proxy)
        return connection, target, extra

    def _connection(self, parts: SplitResult, proxy: Proxy | None, hold: "_Hold") -> "HTTPConnection":
        """Not yet connected; every socket it makes is given to `hold` before anything is read from it."""
        from http.client import HTTPConnection

        host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
        context = self._tls() if parts.scheme == "https" else None

        class Connection(HTTPConnection):
            _create_connection: "Callable[..., socket.socket]"

            def connect(self) -> None:
                self._create_connection = dial  # where http.client itself looks for how to connect
                super().connect()
                if context is not None:
                    self.sock = context.wrap_socket(self.sock, server_hostname=host, do_handshake_on_connect=False)
                    hold(self.sock)
                    self.sock.do_handshake()

        dial = _dialler(proxy, hold)
        is_tunnel = proxy is not None and not proxy.is_socks
        at = (proxy.host, proxy.port) if proxy is not None and is_tunnel else (host, port)
        connection = Connection(*at, timeout=self._timeout_sec)
        if proxy is not None and is_tunnel and context is not None:
            connection.set_tunnel(host, port, _authorization(proxy))
        return connection

    def _tls(self) -> "ssl.SSLContext":
        """Certificates and host names are verified, against the system's store and SSL_CERT_FILE."""
        import ssl

        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context


class Stream:
    """An answer whose body has not been read. `headers` by their names in small letters."""

    def __init__(self, url: str, connection: "HTTPConnection", response: "HTTPResponse") -> None:
        self.url = url
        self.status = response.status
        self.headers = {name.lower(): value for name, value in reversed(response.getheaders())}
        self._connection = connection
        self._response = response

    def read(self, most: int) -> bytes:
        """What has come, at most so many bytes; none at the end. Raises OSError and HTTPException."""
        return self._response.read1(most)

    def close(self) -> None:
        self._response.close()
        self._connection.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


_Hold = Callable[["socket.socket"], None]


def _hold_nothing(held: "socket.socket") -> None:
    """Nobody else ends this exchange."""


class _Exchange:
    """One exchange in its thread. It has one outcome: what the thread came to, or why it was given up."""

    def __init__(self, fetch: Callable[[_Hold], Reply]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._outcome: Reply | Exception | None = None
        self._socket: socket.socket | None = None

    def run(self, timeout_sec: float) -> Reply:
        threading.Thread(target=self._work, name="rest", daemon=True).start()
        if not self._ended.wait(timeout_sec):
            self.give_up(TimeoutError("timed out"))
        outcome = self._outcome
        if isinstance(outcome, Reply):
            return outcome
        raise outcome or TimeoutError("timed out")

    def give_up(self, reason: Exception) -> None:
        """A no-op where the outcome is there already. Shutting a socket down ends whatever read the thread is in."""
        self._end(reason)
        with self._lock:
            held = self._socket
        if held is not None:
            _shut_down(held)

    def _work(self) -> None:
        try:
            self._end(self._fetch(self._hold))
        except Exception as error:  # noqa: BLE001  (handed to the caller, who raises it)
            self._end(error)

    def _hold(self, held: "socket.socket") -> None:
        with self._lock:
            self._socket = held
            is_late = self._outcome is not None
        if is_late:
            _shut_down(held)

    def _end(self, outcome: Reply | Exception) -> None:
        with self._lock:
            if self._outcome is None:
                self._outcome = outcome
        self._ended.set()


def _shut_down(held: "socket.socket") -> None:
    import socket

    try:
        # Not the method of a TLS socket, which forgets its own state first, under the feet of the thread that reads.
        socket.socket.shutdown(held, socket.SHUT_RDWR)
    except OSError:
        return  # closed already, or never connected


def _dialler(proxy: Proxy | None, hold: _Hold) -> "Callable[..., socket.socket]":
    def dial(address: tuple[str, int], timeout: float, *_: object) -> "socket.socket":
        import socket

        if proxy is not None and proxy.is_socks:
            made = _through_socks(proxy, address, timeout)
        else:
            made = socket.create_connection(address, timeout)
        hold(made)
        return made

    return dial


def _through_socks(proxy: Proxy, address: tuple[str, int], timeout: float) -> "socket.socket":
    from importlib import import_module

    require_socks(proxy)
    library, kinds = import_module("python_socks.sync"), import_module("python_socks")
    kind, is_name_sent = _SOCKS[proxy.scheme]
    client = library.Proxy(
        kinds.ProxyType[kind], proxy.host, proxy.port, proxy.username, proxy.password, rdns=is_name_sent
    )
    made: socket.socket = client.connect(*address, timeout=timeout)
    made.settimeout(timeout)
    return made


def _authorization(proxy: Proxy) -> dict[str, str]:
    if proxy.username is None:
        return {}
    from base64 import b64encode

    words = f"{proxy.username}:{proxy.password or ''}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(words).decode('ascii')}"}
