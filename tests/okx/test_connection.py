"""Opening a connection against servers, proxies and networks that misbehave: each failure is one sentence."""

import asyncio
import errno
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from l2vault.clock import Clock
from l2vault.errors import install_command
from l2vault.okx import connection
from l2vault.okx.connection import MOST_CONTROL_FRAMES, OPEN_WITHIN_SEC, CannotConnect, open_connection
from l2vault.okx.dial import open_socket
from support.manual_clock import until
from support.proxies import http_proxy, listening, socks5_proxy
from support.virtual import VirtualLoop, run_virtually

PATH = "/ws/v5/public"
NAME = "exchange.test"
"""No DNS knows it: only a proxy leads there."""
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WSS_PROXY", "WS_PROXY", "SOCKS_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def _echo(websocket: ServerConnection) -> None:
    async for text in websocket:
        await websocket.send(text)


async def _read_all(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


@asynccontextmanager
async def _exchange(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async with serve(_echo, "127.0.0.1", 0, ping_interval=None, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def _answering(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that answers every request with `answer`; yields its port and the requests."""
    requests: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()

    async with listening(handle) as port:
        yield port, requests


async def _failure(url: str, within_sec: float = 5.0) -> str:
    with pytest.raises(CannotConnect) as failed:
        await open_connection(url, Clock().wall_us, within_sec)
    text = str(failed.value)
    assert text.isprintable()
    assert not text.endswith(".")
    return text


async def _speak(url: str) -> None:
    opened = await open_connection(url, Clock().wall_us)
    await opened.send("hello")
    assert await opened.recv() == "hello"
    opened.transport.abort()


async def test_a_connection_is_made_by_name_and_by_number() -> None:
    async with _exchange() as port:
        await _speak(f"ws://127.0.0.1:{port}{PATH}")
        await _speak(f"ws://localhost:{port}{PATH}")


@pytest.mark.parametrize(
    ("url", "port"),
    [("wss://exchange.test/ws", 443), ("ws://exchange.test/ws", 80), ("wss://exchange.test:8443/ws", 8443)],
)
async def test_an_address_without_a_port_means_that_of_its_scheme(
    url: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    async def refuse(host: str, port: int, steps: object) -> socket.socket:
        asked.append((host, port))
        raise ConnectionRefusedError

    monkeypatch.setattr(connection, "open_socket", refuse)
    with pytest.raises(CannotConnect):
        await open_connection(url, lambda: 0)
    assert asked == [("exchange.test", port)]


async def test_a_redirect_is_refused_by_name() -> None:
    target = "wss://else.test/" + "x" * 500
    head = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
    async with _answering(head.encode()) as (port, requests):
        text = await _failure(f"ws://127.0.0.1:{port}{PATH}")
    assert text.startswith(f"127.0.0.1:{port} redirects to wss://else.test/xxx")
    assert "(HTTP 302), which is not followed" in text
    assert len(text) < 300
    assert len(requests) == 1


async def test_a_redirect_to_the_very_same_place_is_refused_too() -> None:
    async with _answering(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n") as (
        port,
        requests,
    ):
        assert "redirects to /x (HTTP 307)" in await _failure(f"ws://127.0.0.1:{port}{PATH}")
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("200 OK", "a web page instead of a websocket; does this network want a login first?"),
        ("403 Forbidden", "OKX does not serve this region or address; try --region eea or us"),
        ("451 Unavailable", "OKX does not serve this region or address; try --region eea or us"),
        ("404 Not Found", "no websocket at this path; check ws_url"),
        ("429 Too Many Requests", "no more connections"),
        ("503 Service Unavailable", "under maintenance"),
        ("418 I'm a teapot", "is no websocket"),
    ],
)
async def test_an_answer_that_is_no_upgrade_is_explained(status: str, words: str) -> None:
    async with _answering(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()) as (port, _):
        text = await _failure(f"ws://127.0.0.1:{port}{PATH}")
    assert text.startswith(f"127.0.0.1:{port} answered HTTP {status[:3]}: ")
    assert words in text


async def test_what_is_no_http_is_said_without_its_control_characters() -> None:
    async with _answering(b"SSH-2.0-\x1b[2J\r\n\r\n") as (port, _):
        assert "does not speak the websocket protocol" in await _failure(f"ws://127.0.0.1:{port}{PATH}")


async def test_a_name_that_cannot_be_resolved_means_no_network_or_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    text = await _failure("wss://ws.okx.com/ws/v5/public")
    assert text == "no network or DNS: cannot resolve ws.okx.com (Name or service not known)"


async def test_a_resolver_that_never_answers_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait())
    text = await _failure("wss://ws.okx.com/ws/v5/public", within_sec=0.05)
    assert text.startswith("no answer from ws.okx.com within 0.05 s")
    threads = [thread for thread in threading.enumerate() if thread.name == "name look-up"]
    assert threads
    assert all(thread.daemon for thread in threads)
    answered.set()


async def test_an_address_that_fails_leaves_the_next_one_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead_port = unused.getsockname()[1]
    async with _exchange() as port:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", one)) for one in (dead_port, port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        await _speak(f"ws://two.test:{port}{PATH}")


async def test_an_address_of_a_kind_that_this_machine_lacks_leaves_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resolver names IPv6 addresses though the kernel was started without IPv6."""

    class WithoutIPv6(socket.socket):
        def __init__(self, family: int = -1, kind: int = -1, protocol: int = -1, fileno: int | None = None) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, kind, protocol, fileno)

    async with _exchange() as port:
        found = [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr(socket, "socket", WithoutIPv6)
        (await open_socket("two.test", port)).close()


def test_two_addresses_that_swallow_everything_leave_time_for_a_third_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As IPv6 does where a router drops it: the whole opening has ten seconds."""
    addresses = [("127.0.0.1", port) for port in (1, 2, 3)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    async def connect(_: socket.socket, address: tuple[object, ...]) -> None:
        if address in addresses[:2]:
            await asyncio.Event().wait()

    async def main(loop: VirtualLoop) -> float:
        monkeypatch.setattr(loop, "sock_connect", connect)
        began = loop.time()
        (await open_socket("three.test", 443)).close()
        return loop.time() - began

    assert run_virtually(main) < OPEN_WITHIN_SEC - 2


@pytest.mark.parametrize("url", [f"ws://{'a' * 70}.test/x", "ws://a..b/x"])
async def test_a_name_that_no_dns_can_hold_is_an_address_to_check(url: str) -> None:
    assert "check ws_url" in await _failure(url)


async def test_a_server_that_takes_the_call_and_says_nothing_is_given_up() -> None:
    async with listening(_read_all) as port:
        text = await _failure(f"ws://127.0.0.1:{port}{PATH}", within_sec=0.1)
    assert text.startswith(f"no answer from 127.0.0.1:{port} within 0.1 s")


async def test_nobody_listening_is_said() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert f"127.0.0.1:{port} refuses connections" in await _failure(f"ws://127.0.0.1:{port}{PATH}")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and NAME that nobody trusts, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("install openssl")
    folder = tmp_path_factory.mktemp("tls")
    config = folder / "openssl.cnf"
    config.write_text(
        "[req]\ndistinguished_name=name\nx509_extensions=more\nprompt=no\n[name]\nCN=inspection of tests\n"
        f"[more]\nsubjectAltName=DNS:localhost,DNS:{NAME}\nbasicConstraints=critical,CA:TRUE\n"
    )
    made, key = folder / "made.pem", folder / "key.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-config", config, "-keyout", key, "-out", made]
    subprocess.run([openssl, "req", *options], check=True, capture_output=True)
    return made, key


def _tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def test_a_certificate_of_tls_inspection_is_hinted_at_and_trusted_once_named(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with _exchange(_tls(certificate)) as port:
        text = await _failure(f"wss://localhost:{port}{PATH}")
        assert text.startswith(f"the certificate of localhost:{port} is not trusted (self")
        assert "Set SSL_CERT_FILE to its certificate" in text
        assert text.endswith("docs/network.md")
        monkeypatch.setenv("SSL_CERT_FILE", "none.pem")
        assert "SSL_CERT_FILE names none.pem, which does not exist" in await _failure(f"wss://localhost:{port}{PATH}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        await _speak(f"wss://localhost:{port}{PATH}")


async def test_a_server_without_tls_is_said() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with listening(plain) as port:
        assert f"no TLS with localhost:{port} (" in await _failure(f"wss://localhost:{port}{PATH}")


async def test_a_handshake_that_is_cut_is_said() -> None:
    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with listening(cut) as port:
        assert f"localhost:{port} broke the handshake off" in await _failure(f"wss://localhost:{port}{PATH}")


async def test_an_http_proxy_carries_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _exchange() as port, http_proxy(port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        await _speak(f"ws://{NAME}:{port}{PATH}")
    assert proxy == [f"{NAME}:{port}"]


async def test_an_http_proxy_carries_tls_to_its_end(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with _exchange(_tls(certificate)) as port, http_proxy(port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        await _speak(f"wss://{NAME}{PATH}")
    assert proxy == [f"{NAME}:443"]


@pytest.mark.parametrize("scheme", ["socks5h", "socks5"])
async def test_a_socks_proxy_carries_the_connection(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("python_socks")
    async with _exchange() as port, socks5_proxy(port, user=("ann", "p@ss")) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://ann:p%40ss@127.0.0.1:{proxy.port}")
        host = NAME if scheme == "socks5h" else "192.0.2.1"
        await _speak(f"ws://{host}:{port}{PATH}")
    assert proxy == [f"{NAME}:{port}" if scheme == "socks5h" else f"an address:{port}"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("403 Not here", "refused to connect to exchange.test (HTTP 403 Not here); it must allow port 443"),
        ("407 Who are you", "wants a password (HTTP 407); set HTTPS_PROXY=http://user:password@host:port"),
        ("502 Bad Gateway", "refused to connect to exchange.test (HTTP 502 Bad Gateway)"),
    ],
)
async def test_a_proxy_that_refuses_is_named(status: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_proxy(status=status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://ann:secret@127.0.0.1:{proxy.port}")
        text = await _failure(f"wss://{NAME}{PATH}")
    assert text.startswith(f"the proxy http://127.0.0.1:{proxy.port} ")
    assert words in text
    assert "secret" not in text


@pytest.mark.parametrize("user", [None, ("ann", "else")])
async def test_a_socks_proxy_that_refuses_is_named(
    user: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("python_socks")
    async with socks5_proxy(reply=2, user=user) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"socks5h://ann:secret@127.0.0.1:{proxy.port}")
        text = await _failure(f"wss://{NAME}{PATH}")
    assert text.startswith(f"the proxy socks5h://127.0.0.1:{proxy.port} refused or broke off (")
    assert "secret" not in text


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_a_proxy_that_does_not_listen_is_named(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("python_socks")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
    text = await _failure(f"wss://{NAME}{PATH}")
    assert text.startswith(f"no connection to {NAME} through the proxy {scheme}://127.0.0.1:{port}; check HTTPS_PROXY")


async def test_a_proxy_that_breaks_off_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _answering(b"") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        text = await _failure(f"wss://{NAME}{PATH}")
    said = "(connection closed while reading HTTP status line)"
    assert f"the proxy http://127.0.0.1:{port} refused or broke off {said}; check its address" in text
    async with _answering(b"HTTP/1.1 200 OK\r\n\r\n") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        assert f"the proxy http://127.0.0.1:{port}" in await _failure(f"wss://{NAME}{PATH}", within_sec=1)


async def test_a_socks_proxy_without_its_package_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    monkeypatch.setenv("HTTPS_PROXY", "socks5h://127.0.0.1:1080")
    text = await _failure(f"wss://{NAME}{PATH}")
    assert text.endswith(f"the package python-socks is not installed. Try: {install_command('socks')}")


async def test_a_malformed_proxy_is_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "htp://127.0.0.1:1080")
    text = await _failure(f"wss://{NAME}{PATH}")
    assert text.startswith("the proxy setting 'htp://127.0.0.1:1080' of this environment is no address of a proxy")
    assert "Try: set HTTPS_PROXY to" in text


async def _flooded(count: int, kind: str) -> tuple[str | None, bool]:
    """What became of a connection that got so many control frames: the reason, and whether it still stood."""

    async def flood(websocket: ServerConnection) -> None:
        for nth in range(count):
            frame = websocket.ping if kind == "ping" else websocket.pong
            await frame(str(nth))
        await websocket.send("after")
        await websocket.recv()
        await websocket.send("yes")
        await websocket.wait_closed()

    async with serve(flood, "127.0.0.1", 0, ping_interval=None) as server:
        opened = await open_connection(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}", Clock().wall_us)
        with suppress(ConnectionClosed):
            async with asyncio.timeout(10):
                assert await opened.recv() == "after"  # may have come with the last of them
                await opened.send("still there")
                assert await opened.recv() == "yes"
        is_standing = opened.state is State.OPEN
        opened.transport.abort()
        await opened.wait_closed()
        return opened.flood, is_standing


@pytest.mark.parametrize("kind", ["ping", "pong"])
async def test_a_flood_of_control_frames_ends_the_connection(kind: str) -> None:
    reason, is_standing = await _flooded(MOST_CONTROL_FRAMES + 1, kind)
    assert reason == "more than 100 ping or pong frames within 10 s"
    assert not is_standing


async def test_as_many_control_frames_as_are_allowed_do_no_harm() -> None:
    assert await _flooded(MOST_CONTROL_FRAMES, "ping") == (None, True)


async def test_control_frames_are_counted_within_their_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONTROL_WINDOW_SEC", 0.0)
    assert await _flooded(MOST_CONTROL_FRAMES * 3, "ping") == (None, True)


async def test_each_message_is_dated_as_it_arrives_and_not_as_it_is_read() -> None:
    sent = asyncio.Event()

    async def send(websocket: ServerConnection) -> None:
        await websocket.send("one")
        await websocket.ping()
        await websocket.send(["t", "w", "o"])  # in three fragments
        await websocket.send(b"three")
        sent.set()
        await websocket.wait_closed()

    stamped: list[int] = []

    def now_us() -> int:
        stamped.append(100 + len(stamped))
        return stamped[-1]

    async with serve(send, "127.0.0.1", 0, ping_interval=None) as server:
        opened = await open_connection(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}", now_us)
        await sent.wait()
        await until(lambda: len(stamped) == 3)  # before any is read
        read = [(await opened.recv(decode=False), opened.take_arrival_us()) for _ in range(3)]
        opened.transport.abort()
    assert read == [(b"one", 100), (b"two", 101), (b"three", 102)]
