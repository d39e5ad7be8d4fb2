"""How connections are opened, and how the one that fails is named."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager, suppress

import pytest
from websockets.asyncio.server import serve

from l2vault.clock import Clock
from l2vault.okx.proxies import system_proxy
from l2vault.probe.network import CannotConnect, is_port_open, open_websocket, proxy_of, without_password
from l2vault.probe.rest import RestClient, time_of

PROXY_VARIABLES = ("http_proxy", "https_proxy", "ws_proxy", "wss_proxy", "socks_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@asynccontextmanager
async def websocket_server(**options):
    async def stay(websocket):
        await websocket.wait_closed()

    async with serve(stay, "127.0.0.1", 0, **options) as server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def listening(handle):
    """A TCP server; every connection is closed, and its handler has ended, when this is left."""
    handlers = set()

    async def serve_client(reader, writer):
        handlers.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, OSError):
            await handle(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve_client, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if handlers:
            await asyncio.wait(handlers, timeout=5)


async def pump(reader, writer):
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def tunnel(to_port, status="200 OK"):
    """An HTTP proxy: answers CONNECT, and tunnels whatever host was named to one port here."""
    asked = []

    async def handle(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if status.startswith("200"):
            there = await asyncio.open_connection("127.0.0.1", to_port)
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with listening(handle) as port:
        yield port, asked


async def failure(url, within_sec=0.5):
    with pytest.raises(CannotConnect) as caught:
        await open_websocket(url, Clock(), within_sec)
    return caught.value


async def close(opened):
    opened.websocket.transport.abort()
    await opened.websocket.wait_closed()


async def test_every_stage_is_timed_and_the_address_named():
    async with websocket_server(compression=None) as port:
        opened = await open_websocket(f"ws://localhost:{port}/", Clock(), 5)
        await close(opened)

    assert opened.seen.address == f"127.0.0.1:{port}"
    assert None not in (opened.seen.name_ms, opened.seen.tcp_ms, opened.seen.upgrade_ms)
    assert opened.seen.tls_ms is None
    assert (opened.seen.tls, opened.seen.proxy, opened.seen.is_deflated) == ("", None, False)


async def test_compression_is_offered_only_when_asked_for():
    async with websocket_server() as port:
        plain = await open_websocket(f"ws://127.0.0.1:{port}/", Clock(), 5)
        offered = await open_websocket(f"ws://127.0.0.1:{port}/", Clock(), 5, "deflate")
        await close(plain)
        await close(offered)

    assert not plain.seen.is_deflated
    assert offered.seen.is_deflated


async def test_a_name_that_cannot_be_resolved(monkeypatch):
    async def nothing(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nothing)
    error = await failure("wss://ws.okx.test/ws/v5/public")

    assert error.stage == "name resolution"
    assert error.reason == "Name or service not known"


async def test_a_port_where_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    error = await failure(f"ws://127.0.0.1:{port}/", 5)

    assert error.stage == "TCP"
    assert f"127.0.0.1:{port}" in error.reason
    assert await is_port_open("127.0.0.1", port, 5) == "refused"


async def test_a_port_that_is_open():
    async with websocket_server() as port:
        assert await is_port_open("127.0.0.1", port, 5) == "open"


async def test_a_server_without_tls_is_named_by_its_stage():
    async with websocket_server() as port:
        assert (await failure(f"wss://127.0.0.1:{port}/", 5)).stage == "TLS"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
async def test_a_certificate_nobody_here_trusts_is_said_to_be_one(tmp_path):
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/O=Inspector/CN=localhost"]
    await asyncio.to_thread(subprocess.run, words, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    async with websocket_server(ssl=context) as port:
        error = await failure(f"wss://localhost:{port}/", 5)

    assert (error.stage, error.is_certificate) == ("TLS", True)


async def test_through_a_proxy_the_stages_are_not_seen_and_that_is_said(monkeypatch):
    async with websocket_server() as port, tunnel(port) as (proxy_port, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{proxy_port}")
        opened = await open_websocket("ws://ws.okx.test/ws/v5/public", Clock(), 5)
        await close(opened)

    assert opened.seen.proxy == f"http://...@127.0.0.1:{proxy_port}"
    assert (opened.seen.name_ms, opened.seen.tcp_ms, opened.seen.tls_ms) == (None, None, None)
    assert asked[0].startswith("CONNECT ws.okx.test:80 ")


async def test_a_proxy_that_refuses_is_named(monkeypatch):
    async with tunnel(0, "407 Proxy Authentication Required") as (proxy_port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy_port}")
        error = await failure("ws://ws.okx.test/ws/v5/public", 5)

    assert error.stage == "proxy"
    assert "407" in error.reason


def test_a_proxy_is_not_used_for_this_machine_or_where_no_proxy_says_so(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "direct.test")

    assert proxy_of("wss://ws.okx.test/ws/v5/public") == "http://proxy.test:3128"
    assert proxy_of("https://www.okx.test") == "http://proxy.test:3128"
    assert proxy_of("wss://direct.test/") is None
    assert proxy_of("ws://127.0.0.1:8443/") is None


async def test_the_proxy_is_the_one_that_the_recorder_takes(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "proxy.test:3128")

    for url in ("wss://ws.okx.test/ws/v5/public", "https://www.okx.test"):
        assert proxy_of(url) == system_proxy(url).url == "http://proxy.test:3128"


async def test_a_setting_that_is_no_address_of_a_proxy_is_named_for_the_websocket_and_for_rest(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "gopher://me:secret@proxy.test")
    error = await failure("wss://ws.okx.test/ws/v5/public")
    answer = RestClient("https://www.okx.test", {}, 5, Clock()).get("/api/v5/public/time")

    assert (error.stage, answer.status) == ("proxy", 0)
    for said in (error.reason, answer.said):
        assert "no address of a proxy" in said
        assert "gopher" in said
        assert "secret" not in said


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [("http://proxy:3128", "http://proxy:3128"), ("http://me:pass@proxy:3128", "http://...@proxy:3128")],
)
def test_a_password_is_not_printed(proxy, shown):
    assert without_password(proxy) == shown


async def test_rest_goes_through_the_proxy_with_its_password(monkeypatch):
    async with tunnel(0, "407 Proxy Authentication Required") as (proxy_port, asked):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass@127.0.0.1:{proxy_port}")
        client = RestClient("https://www.okx.test", {}, 5, Clock())
        answer = await asyncio.to_thread(client.get, "/api/v5/public/time")

    assert answer.status == 0
    assert "407" in answer.said
    assert "Proxy-Authorization: Basic bWU6cGFzcw==" in asked[0]
    assert client.proxy == f"http://...@127.0.0.1:{proxy_port}"


async def test_rest_says_that_it_cannot_take_a_socks_proxy(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    answer = RestClient("https://www.okx.test", {}, 5, Clock()).get("/api/v5/public/time")

    assert answer.status == 0
    assert "REST cannot go through the proxy socks5://127.0.0.1:1080" in answer.said


@asynccontextmanager
async def web_server(*answers):
    """Answers each request on kept connections in turn; None closes the connection instead."""
    asked, left = [], list(answers)

    async def handle(reader, writer):
        while True:
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            body = left.pop(0)
            if body is None:
                return
            head = f"HTTP/1.1 200 OK\r\nX-RateLimit-Left: 7\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write((head + body).encode())

    async with listening(handle) as port:
        yield f"http://127.0.0.1:{port}", asked


GOOD = '{"code":"0","data":[{"ts":"1700000000123"}],"msg":""}'


async def test_rest_sends_the_headers_of_the_region_and_gives_those_of_the_answer():
    async with web_server(GOOD) as (url, asked):
        client = RestClient(url, {"x-simulated-trading": "1"}, 5, Clock())
        answer = await asyncio.to_thread(client.get, "/api/v5/public/time")
        client.close()

    assert "x-simulated-trading: 1\r\n" in asked[0]
    assert "User-Agent: l2vault/" in asked[0]
    assert answer.is_good
    assert time_of(answer) == 1_700_000_000_123
    assert answer.headers["x-ratelimit-left"] == "7"


async def test_a_kept_connection_that_was_closed_in_between_is_no_finding():
    async with web_server(GOOD, None, GOOD) as (url, asked):
        client = RestClient(url, {}, 5, Clock())
        answers = [await asyncio.to_thread(client.get, "/api/v5/public/time") for _ in range(2)]
        client.close()

    assert [answer.status for answer in answers] == [200, 200]
    assert len(asked) == 3


async def test_a_first_connection_that_is_closed_is_a_finding():
    async with web_server(None) as (url, _):
        answer = await asyncio.to_thread(RestClient(url, {}, 5, Clock()).get, "/api/v5/public/time")

    assert answer.status == 0
    assert "RemoteDisconnected" in answer.said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html>blocked</html>", "HTTP 200: '<html>blocked</html>'"),
        ('{"code":"50011","msg":"Too Many"}', "HTTP 200, code 50011: Too Many"),
        ("[]", "HTTP 200: '[]'"),
    ],
)
async def test_an_answer_that_is_not_okx_s_data_is_quoted(body, said):
    async with web_server(body) as (url, _):
        client = RestClient(url, {}, 5, Clock())
        answer = await asyncio.to_thread(client.get, "/api/v5/public/time")
        client.close()

    assert not answer.is_good
    assert answer.said == said
