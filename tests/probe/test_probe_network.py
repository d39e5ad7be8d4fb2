"""How connections are opened, and how the one that fails is named."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from unittest import mock

import pytest
from websockets.asyncio.server import serve

from l2vault.clock import Clock
from l2vault.errors import install_command
from l2vault.okx.connection import CannotConnect
from l2vault.okx.web import Reply, Web
from l2vault.probe.network import is_port_open, open_websocket, proxy_to
from l2vault.probe.rest import RestClient, time_of
from support.proxies import http_proxy, listening, socks5_proxy

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
    def nothing(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    error = await failure("wss://ws.okx.test/ws/v5/public")

    assert error.stage == "name resolution"
    assert "cannot resolve ws.okx.test (Name or service not known)" in str(error)
    assert "Name or service not known" in await is_port_open("ws.okx.test", 8443, 5)


async def test_a_port_where_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    error = await failure(f"ws://127.0.0.1:{port}/", 5)

    assert error.stage == "TCP"
    assert str(error).startswith(f"127.0.0.1:{port} refuses connections")
    assert await is_port_open("127.0.0.1", port, 5) == "refused"


async def test_a_port_that_is_open():
    async with websocket_server() as port:
        assert await is_port_open("127.0.0.1", port, 5) == "open"


async def test_a_server_without_tls_is_named_by_its_stage():
    async with websocket_server() as port:
        assert (await failure(f"wss://127.0.0.1:{port}/", 5)).stage == "TLS"


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")


def certified(folder, name):
    """A server's TLS, with a certificate for `name` that is in cert.pem; nobody trusts it but by SSL_CERT_FILE."""
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/O=Inspector/CN=localhost"]
    words += ["-addext", f"subjectAltName={name}"]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@needs_openssl
async def test_tls_is_timed_and_its_certificate_named(tmp_path, monkeypatch):
    context = await asyncio.to_thread(certified, tmp_path, "DNS:localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with websocket_server(ssl=context) as port:
        opened = await open_websocket(f"wss://localhost:{port}/", Clock(), 5)
        await close(opened)

    assert opened.seen.tls.endswith(", certificate of Inspector")
    assert opened.seen.tls_ms is not None


@needs_openssl
async def test_a_certificate_nobody_here_trusts_is_said_to_be_one(tmp_path):
    context = await asyncio.to_thread(certified, tmp_path, "DNS:localhost")
    async with websocket_server(ssl=context) as port:
        error = await failure(f"wss://localhost:{port}/", 5)

    assert (error.stage, error.is_certificate) == ("TLS", True)


@pytest.mark.parametrize(
    ("status", "target"), [(301, "https://login.test/"), (302, "wss://elsewhere.test/"), (307, "/x")]
)
async def test_a_redirect_is_refused_by_name_as_the_recorder_refuses_it(status, target):
    async def redirect(connection, request):
        answer = connection.respond(status, "moved")
        answer.headers["Location"] = target
        return answer

    async with websocket_server(process_request=redirect) as port:
        error = await failure(f"ws://127.0.0.1:{port}/ws/v5/public", 5)

    assert (error.stage, error.status) == ("upgrade", status)
    said = f"127.0.0.1:{port} redirects to {target} (HTTP {status}), which is not followed; check ws_url"
    assert str(error) == said


def proxies_to(port, kind):
    """Two kinds that want a name and a password, one that wants none."""
    if kind == "http":
        return http_proxy(port, password="Basic bWU6c2VjcmV0")
    return socks5_proxy(port, user=("me", "secret") if kind == "socks5h" else None)


@pytest.mark.parametrize("kind", ["http", "socks5h", "socks5"])
async def test_through_a_proxy_the_stages_are_not_seen_and_that_is_said(monkeypatch, kind):
    if kind != "http":
        pytest.importorskip("python_socks")
    async with websocket_server() as port, proxies_to(port, kind) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://me:secret@127.0.0.1:{proxy.port}")
        host = "192.0.2.1" if kind == "socks5" else "ws.okx.test"
        opened = await open_websocket(f"ws://{host}/ws/v5/public", Clock(), 5)
        await close(opened)

    assert opened.seen.proxy == f"{kind}://127.0.0.1:{proxy.port}"
    assert (opened.seen.name_ms, opened.seen.tcp_ms, opened.seen.tls_ms) == (None, None, None)
    assert opened.seen.upgrade_ms >= 0
    assert proxy == ["an address:80" if kind == "socks5" else "ws.okx.test:80"]


async def test_a_proxy_that_refuses_is_named(monkeypatch):
    async with http_proxy(status="407 Proxy Authentication Required") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        error = await failure("ws://ws.okx.test/ws/v5/public", 5)

    assert error.stage == "proxy"
    assert f"the proxy http://127.0.0.1:{proxy.port} wants a password (HTTP 407)" in str(error)


async def test_a_socks_proxy_that_refuses_is_named_for_the_websocket_and_for_rest(monkeypatch):
    pytest.importorskip("python_socks")
    async with socks5_proxy(reply=2) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"socks5h://me:secret@127.0.0.1:{proxy.port}")
        error = await failure("wss://ws.okx.test/ws/v5/public", 5)
        answer = await asyncio.to_thread(asked, "https://www.okx.test")

    assert (error.stage, answer.status) == ("proxy", 0)
    assert f"the proxy socks5h://127.0.0.1:{proxy.port} refused or broke off" in str(error)
    assert "not allowed" in answer.said
    assert proxy == ["ws.okx.test:443", "www.okx.test:443"]
    assert "secret" not in f"{error}{answer}"


async def test_a_socks_proxy_without_its_package_is_said_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "python_socks", None)
    monkeypatch.setenv("HTTPS_PROXY", "socks5h://127.0.0.1:1080")
    error = await failure("wss://ws.okx.test/ws/v5/public")

    assert error.stage == "proxy"
    assert str(error).endswith(f"the package python-socks is not installed. Try: {install_command('socks')}")
    assert "python-socks is not installed" in asked("https://www.okx.test").said


def test_a_proxy_is_not_used_for_this_machine_or_where_no_proxy_says_so(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "direct.test")

    assert proxy_to("wss://ws.okx.test/ws/v5/public") == "http://proxy.test:3128"
    assert proxy_to("https://www.okx.test") == "http://proxy.test:3128"
    assert proxy_to("wss://direct.test/") is None
    assert proxy_to("ws://127.0.0.1:8443/") is None


async def test_a_setting_that_is_no_address_of_a_proxy_is_named_for_the_websocket_and_for_rest(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "gopher://me:secret@proxy.test")
    error = await failure("wss://ws.okx.test/ws/v5/public")
    answer = asked("https://www.okx.test")

    assert (error.stage, answer.status) == ("proxy", 0)
    assert proxy_to("https://www.okx.test") is None
    for said in (str(error), answer.said):
        assert "no address of a proxy" in said
        assert "gopher" in said
        assert "secret" not in said


def asked(url, path="/api/v5/public/time", **headers):
    return RestClient(url, headers, 5, Clock()).get(path)


@needs_openssl
@pytest.mark.parametrize("kind", ["http", "socks5h", "socks5"])
async def test_rest_goes_through_every_kind_of_proxy_that_the_recorder_takes(monkeypatch, tmp_path, kind):
    if kind != "http":
        pytest.importorskip("python_socks")
    host = "192.0.2.1" if kind == "socks5" else "www.okx.test"
    context = await asyncio.to_thread(certified, tmp_path, f"{'IP' if kind == 'socks5' else 'DNS'}:{host}")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    async with web_server(GOOD, context) as (url, requests), proxies_to(int(url.rpartition(":")[2]), kind) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{kind}://me:secret@127.0.0.1:{proxy.port}")
        answer = await asyncio.to_thread(asked, f"https://{host}")

    assert answer.is_good, answer.said
    assert proxy == ["an address:443" if kind == "socks5" else "www.okx.test:443"]
    assert "secret" not in requests[0] and "bWU6c2VjcmV0" not in requests[0]


async def test_rest_tells_a_proxy_s_password_to_it_and_to_nobody_else(monkeypatch):
    async with http_proxy(password="Basic another") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass@127.0.0.1:{proxy.port}")
        client = RestClient("https://www.okx.test", {}, 5, Clock())
        answer = await asyncio.to_thread(client.get, "/api/v5/public/time")

    assert answer.status == 0
    assert "407" in answer.said and "pass" not in answer.said
    assert client.proxy == f"http://127.0.0.1:{proxy.port}"


async def test_a_redirect_of_rest_is_refused_by_name():
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: https://login.test/\r\nContent-Length: 0\r\n\r\n")

    async with listening(handle) as port:
        answer = await asyncio.to_thread(asked, f"http://127.0.0.1:{port}")

    assert (answer.status, answer.is_good) == (302, False)
    assert answer.said.startswith("HTTP 302 to https://login.test/, which is not followed")


@asynccontextmanager
async def web_server(body, tls=None):
    """Answers each request with `body`; None closes the connection instead. Yields its address and the requests."""
    requests = []

    async def handle(reader, writer):
        requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
        if body is not None:
            head = f"HTTP/1.1 200 OK\r\nX-RateLimit-Left: 7\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write((head + body).encode())

    async with listening(handle, tls) as port:
        yield f"http://127.0.0.1:{port}", requests


GOOD = '{"code":"0","data":[{"ts":"1700000000123"}],"msg":""}'


async def test_rest_sends_the_headers_of_the_region_and_gives_those_of_the_answer():
    async with web_server(GOOD) as (url, requests):
        client = RestClient(url, {"x-simulated-trading": "1"}, 5, Clock())
        answer = await asyncio.to_thread(client.get, "/api/v5/public/time")

    assert "x-simulated-trading: 1\r\n" in requests[0]
    assert "User-Agent: l2vault/" in requests[0]
    assert answer.is_good
    assert time_of(answer) == 1_700_000_000_123
    assert answer.headers["x-ratelimit-left"] == "7"


async def test_a_connection_that_is_closed_instead_of_an_answer_is_a_finding():
    async with web_server(None) as (url, _):
        answer = await asyncio.to_thread(asked, url)

    assert answer.status == 0
    assert "RemoteDisconnected" in answer.said


async def test_a_request_that_is_never_answered_ends_with_the_client():
    is_asked = asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        is_asked.set()
        await reader.read()

    async with listening(silent) as port:
        client = RestClient(f"http://127.0.0.1:{port}", {}, 60, Clock())
        waiting = asyncio.create_task(asyncio.to_thread(client.get, "/api/v5/public/time"))
        await is_asked.wait()
        client.close()
        assert "ended by us" in (await waiting).said


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
        answer = await asyncio.to_thread(asked, url)

    assert not answer.is_good
    assert answer.said == said


async def test_the_round_trip_is_the_request_s_alone_and_the_time_of_arrival_that_of_the_headers():
    """Connecting took 5 s of this clock, the request 70 ms, the body a minute."""

    class Told(Clock):
        at_ms = 0

        def monotonic_ms(self):
            return self.at_ms

        def wall_ms(self):
            return 1_000_000 + self.at_ms

    clock = Told()

    client = RestClient("http://127.0.0.1:1", {}, 5, clock)
    reply = Reply(200, {}, GOOD.encode(), 5_000, 5_070)
    with mock.patch.object(Web, "get", lambda *args: setattr(clock, "at_ms", 65_070) or reply):
        answer = client.get("/api/v5/public/time")

    assert (answer.rtt_ms, answer.received_wall_ms) == (70, 1_005_070)
