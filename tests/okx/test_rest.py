"""Each answer of OKX's REST interface becomes a value or the error that tells the caller what to do next."""

import json
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from random import Random
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault import __version__
from l2vault.book.change import BookChange
from l2vault.errors import RestError, UsageError
from l2vault.okx import rest as rest_module
from l2vault.okx.rest import (
    LARGEST_BODY_BYTES,
    LONGEST_BACKOFF_SEC,
    LONGEST_RETRY_AFTER_SEC,
    Forbidden,
    OkxRest,
    Throttled,
    TryLater,
    Unavailable,
    UnknownInstrument,
    backoff_sec,
)
from support.captured import CAPTURES

BTC = "BTC-USDT-SWAP"
UNKNOWN = b'{"code":"51001","data":[],"msg":"Instrument ID, Instrument ID code, or Spread ID doesn\'t exist."}'
BUSY = b'{"code":"50011","msg":"Too Many Requests","data":[]}'
BOOK = (
    b'{"code":"0","msg":"","data":[{"asks":[["41006.8","0.60038921","0","1"],["41007","2","0","3"]],'
    b'"bids":[["41006.3","0.30178218","0","2"]],"ts":"1629966436396","seqId":3235851742}]}'
)
TIME = b'{"code":"0","data":[{"ts":"1597026383085"}],"msg":""}'
LONG_SEC = 30.0


class Canned(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str] = {}
    promised_bytes: int | None = None


class Exchange:
    """A web server with one answer. Keeps what it was asked."""

    def __init__(self):
        self.answer = Canned(200, TIME)
        self.asked = []
        self.silence = None
        handler = type("Handler", (_Handler,), {"exchange": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self):
        if self.silence is not None:
            self.silence.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    exchange: Exchange

    def do_GET(self):
        exchange = self.exchange
        exchange.asked.append((self.path, dict(self.headers)))
        answer = exchange.answer
        if exchange.silence is not None:
            exchange.silence.wait(LONG_SEC)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(answer.promised_bytes or len(answer.body)))
        self.end_headers()
        try:
            self.wfile.write(answer.body)
        except OSError:
            self.close_connection = True  # the client had read enough

    def log_message(self, *_):
        pass


@pytest.fixture
def exchange():
    exchange = Exchange()
    yield exchange
    exchange.stop()


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def client(exchange, timeout_sec=LONG_SEC):
    return OkxRest(exchange.url, timeout_sec)


def capture(name):
    path = CAPTURES / "okx-rest" / name
    if not path.exists():
        pytest.skip(f"no real REST body: {path} is absent")
    if path.suffix != ".zst":
        return path.read_bytes()
    zstandard = pytest.importorskip("zstandard")
    return zstandard.ZstdDecompressor().stream_reader(BytesIO(path.read_bytes())).read()


def test_the_real_row_comes_back_byte_for_byte(exchange):
    body = capture("instrument_BTC-USDT-SWAP_2026-09_single-row.json")
    exchange.answer = Canned(200, body)
    row = client(exchange).instrument(BTC)
    assert body == b'{"code":"0","msg":"","data":[' + row + b"]}" + body[len(body.rstrip()) :]
    assert json.loads(row)["tickSz"] == "0.1"


def test_of_many_real_rows_the_one_asked_for_is_taken(exchange):
    body = capture("instruments_SWAP_2022-05-13.json.zst")
    exchange.answer = Canned(200, body)
    row = client(exchange).instrument("ETH-USDT-SWAP")
    assert body.count(row) == 1
    assert json.loads(row) == next(one for one in json.loads(body)["data"] if one["instId"] == "ETH-USDT-SWAP")


def test_a_row_keeps_its_spaces_escapes_and_numbers(exchange):
    row = b'{ "instId" : "BTC-USDT-SWAP","x":1.0E2,\n"y":"\\u00e4" }'
    exchange.answer = Canned(200, b'{"code":0,"data":[ ' + row + b" ]}")
    assert client(exchange).instrument(BTC) == row


def test_a_book_comes_back_as_a_full_change_with_its_strings(exchange):
    exchange.answer = Canned(200, BOOK)
    assert client(exchange).book(BTC, 400) == BookChange(
        inst_id=BTC,
        is_snapshot=True,
        bids=[("41006.3", "0.30178218", "0", "2")],
        asks=[("41006.8", "0.60038921", "0", "1"), ("41007", "2", "0", "3")],
        ts_ms=1629966436396,
        seq_id=3235851742,
        prev_seq_id=None,
        checksum=None,
    )


@pytest.mark.parametrize("ts", [b'"0"', b'""'])
def test_a_book_without_a_usable_time_has_none(exchange, ts):
    exchange.answer = Canned(200, BOOK.replace(b'"1629966436396"', ts).replace(b',"seqId":3235851742', b""))
    book = client(exchange).book(BTC, 400)
    assert (book.ts_ms, book.seq_id) == (None, None)


def test_the_exchanges_clock_is_read(exchange):
    assert client(exchange).server_time_ms() == 1597026383085


@pytest.mark.parametrize(
    ("ask", "answer", "path", "query"),
    [
        (
            lambda okx: okx.instrument(BTC),
            b'{"code":"0","data":[{"instId":"BTC-USDT-SWAP"}]}',
            "/api/v5/public/instruments",
            {"instType": ["SWAP"], "instId": [BTC]},
        ),
        (lambda okx: okx.book(BTC, 25), BOOK, "/api/v5/market/books", {"instId": [BTC], "sz": ["25"]}),
        (lambda okx: okx.server_time_ms(), TIME, "/api/v5/public/time", {}),
    ],
    ids=["instrument", "book", "time"],
)
@pytest.mark.parametrize("prefix", ["", "/", "/mirror/"])
def test_a_request_names_what_it_wants_and_who_asks(exchange, ask, answer, path, query, prefix):
    exchange.answer = Canned(200, answer)
    ask(OkxRest(exchange.url + prefix, LONG_SEC))
    [(target, headers)] = exchange.asked
    assert urlsplit(target).path == prefix.rstrip("/") + path
    assert parse_qs(urlsplit(target).query) == query
    assert headers["User-Agent"] == f"l2vault/{__version__}"


HTML = b"<html><head><title>Just a moment...</title></head></html>"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Canned(429, BUSY), Throttled, ["HTTP 429", "Too Many Requests", "ask less often"]),
        (Canned(429, HTML), Throttled, ["HTTP 429", "Just a moment"]),
        (Canned(429, b""), Throttled, ["HTTP 429"]),
        (Canned(200, BUSY), Throttled, ["HTTP 200", "50011"]),
        (Canned(200, BUSY.replace(b'"50011"', b"50011")), Throttled, ["50011"]),
        (Canned(403, HTML), Forbidden, ["HTTP 403", "--rest-url"]),
        (Canned(451, b"not in your country"), Forbidden, ["HTTP 451", "not in your country"]),
        (Canned(503, HTML), Unavailable, ["HTTP 503", "okx.com/status"]),
        (Canned(503, BOOK), Unavailable, ["HTTP 503"]),
        (Canned(503, b'{"code":"50001","data":[],"msg":"Service temporarily unavailable"}'), Unavailable, ["50001"]),
        (Canned(400, b'{"code":"50004","data":[],"msg":"Endpoint request timeout"}'), Unavailable, ["50004"]),
        (Canned(200, b'{"code":"50013","data":[],"msg":"Systems are busy"}'), Unavailable, ["50013"]),
        (Canned(200, BOOK[:-40]), Unavailable, ["HTTP 200", "41006.8"]),
        (Canned(200, BOOK[:-40], promised_bytes=len(BOOK)), Unavailable, []),
        (Canned(200, HTML), Unavailable, ["Just a moment"]),
        (Canned(200, b""), Unavailable, ["HTTP 200"]),
        (Canned(200, b'{"code":"0","msg":"\xff\xfe","data":[]}'), Unavailable, ["HTTP 200"]),
        (Canned(200, UNKNOWN), UnknownInstrument, ["51001", BTC, "check the name"]),
        (Canned(400, UNKNOWN), UnknownInstrument, ["51001", BTC]),
        (Canned(200, b'{"code":"0","data":[],"msg":""}'), UnknownInstrument, [BTC]),
        (Canned(400, b'{"code":"51000","msg":"Parameter sz error.","data":[]}'), RestError, ["Parameter sz error."]),
        (Canned(404, HTML), RestError, ["HTTP 404", "check --rest-url"]),
        (Canned(302, b"", {"Location": "https://login.example/"}), RestError, ["HTTP 302 to https://login.example/"]),
        (Canned(200, b'{"code":"0","data":[{}]}'), RestError, ["missing required field"]),
        (Canned(200, b'{"code":"0","data":["x"]}'), RestError, ["cannot be used"]),
        (Canned(200, BOOK.replace(b'"1629966436396"', b'"soon"')), RestError, ["ts is 'soon'"]),
        (Canned(200, BOOK.replace(b'"1629966436396"', b'"-5"')), RestError, ["ts is '-5'"]),
        (Canned(200, BOOK.replace(b'"1629966436396"', b'"253402300800000"')), RestError, ["ts is '2534"]),
        (Canned(200, BOOK.replace(b'"msg":""', b'"x":' + b"[" * 100_000)), Unavailable, ["HTTP 200"]),
        (Canned(200, BOOK.replace(b',"0","1"]', b',"1"]')), RestError, ["length 4"]),
        (Canned(200, BOOK.replace(b'"41007"', b"41007")), RestError, ["Expected `str`"]),
    ],
)
def test_an_answer_that_is_no_book_is_the_error_that_says_what_to_do(exchange, answer, kind, words):
    exchange.answer = answer
    with pytest.raises(RestError) as caught:
        client(exchange).book(BTC, 400)
    assert type(caught.value) is kind
    for word in [f"{exchange.url}/api/v5/market/books?instId={BTC}&sz=400", " Try: ", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("data", [b"[]", b'[{"instId":"BTC-USD-SWAP"}]'])
def test_a_row_of_another_instrument_is_no_row(exchange, data):
    exchange.answer = Canned(200, b'{"code":"0","data":' + data + b',"msg":""}')
    with pytest.raises(UnknownInstrument, match=BTC):
        client(exchange).instrument(BTC)


def test_no_time_is_an_error(exchange):
    exchange.answer = Canned(200, b'{"code":"0","data":[]}')
    with pytest.raises(RestError, match="no time in it"):
        client(exchange).server_time_ms()


@pytest.mark.parametrize(
    ("sent", "told"),
    [("7", 7), ("0", 0), (None, None), ("Fri, 31 Dec 2027 23:59:59 GMT", None), ("-1", None), ("9" * 5000, None)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_time_that_the_server_asks_for_is_handed_on(exchange, sent, told, status):
    exchange.answer = Canned(status, HTML, {} if sent is None else {"Retry-After": sent})
    with pytest.raises(TryLater) as caught:
        client(exchange).server_time_ms()
    assert caught.value.retry_after_sec == told


def test_a_long_body_is_quoted_in_short_and_on_one_line(exchange):
    exchange.answer = Canned(503, b"first line\nsecond line\x00 " + "\N{SNOWMAN}".encode() * 5000)
    with pytest.raises(Unavailable) as caught:
        client(exchange).server_time_ms()
    assert r"'first line\nsecond line\x00 " in str(caught.value)
    assert "..." in str(caught.value)
    assert str(caught.value).count("\N{SNOWMAN}") < 200
    assert "\n" not in str(caught.value)


def test_a_body_without_end_is_not_read_to_its_end(exchange):
    exchange.answer = Canned(200, b" " * (LARGEST_BODY_BYTES + 1), promised_bytes=1 << 40)
    with pytest.raises(RestError, match=f"more than {LARGEST_BODY_BYTES} bytes") as caught:
        client(exchange).server_time_ms()
    assert type(caught.value) is RestError


def test_a_server_that_says_nothing_is_unavailable_after_the_time_out(exchange):
    exchange.silence = threading.Event()
    with pytest.raises(Unavailable, match=r"GET http://127.*no answer within 0\.05 s\. Try: "):
        client(exchange, timeout_sec=0.05).server_time_ms()


def test_the_time_out_is_the_one_asked_for(monkeypatch):
    waits = []

    def connect(address, timeout, *_):
        waits.append(timeout)
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Unavailable, match="no answer within 12.5 s"):
        OkxRest("http://okx.invalid", 12.5).server_time_ms()
    assert waits == [12.5]


def test_a_server_that_stops_in_the_middle_is_unavailable_after_the_time_out():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        rest = OkxRest(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.1)

        def answer_in_part():
            connection, _ = listener.accept()
            connections.append(connection)
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        connections = []
        thread = threading.Thread(target=answer_in_part)
        thread.start()
        try:
            with pytest.raises(Unavailable, match="no answer within"):
                rest.server_time_ms()
        finally:
            thread.join()
            connections[0].close()


def test_a_server_that_speaks_no_http_is_unavailable():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def greet():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"220 mail ready\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(Unavailable, match="BadStatusLine"):
            OkxRest(f"http://127.0.0.1:{listener.getsockname()[1]}", LONG_SEC).server_time_ms()
        thread.join()


def test_a_refused_connection_is_unavailable():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}.*Refused.* Try: check the network"):
        OkxRest(f"http://127.0.0.1:{port}", LONG_SEC).server_time_ms()


def test_a_host_that_does_not_resolve_is_unavailable(monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Unavailable, match=r"okx\.invalid.*Name or service not known.*Try: check the network"):
        OkxRest("https://okx.invalid", LONG_SEC).server_time_ms()


def test_a_host_name_that_no_dns_can_hold_is_unavailable():
    with pytest.raises(Unavailable, match="Try: check the network and --rest-url"):
        OkxRest("http://okx..invalid", LONG_SEC).server_time_ms()


def test_a_certificate_that_does_not_verify_is_named_as_that(monkeypatch):
    def reject(*_, **__):
        raise ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")

    monkeypatch.setattr(socket, "create_connection", reject)
    with pytest.raises(Unavailable, match="self-signed certificate.*Try: check this computer's clock and certificates"):
        OkxRest("https://www.okx.com", LONG_SEC).server_time_ms()


def test_certificates_and_host_names_are_verified():
    [handler] = [one for one in rest_module._opener(False).handlers if isinstance(one, urllib.request.HTTPSHandler)]
    assert handler._context.verify_mode is ssl.CERT_REQUIRED
    assert handler._context.check_hostname


def test_a_proxy_of_the_environment_is_used(exchange, monkeypatch):
    monkeypatch.setenv("http_proxy", exchange.url)
    assert OkxRest("http://okx.invalid", LONG_SEC).server_time_ms() == 1597026383085
    assert exchange.asked[0][0] == "http://okx.invalid/api/v5/public/time"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_a_proxy_is_never_used_to_reach_this_machine(exchange, monkeypatch, host):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        nobody = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("http_proxy", nobody)
    assert OkxRest(f"http://{host}:{exchange.port}", LONG_SEC).server_time_ms() == 1597026383085


def test_ipv6_loopback_is_this_machine():
    assert OkxRest("http://[::1]:8080", LONG_SEC)._is_loopback


@pytest.mark.parametrize(
    "address",
    [
        "ftp://www.okx.com",
        "file:///etc/passwd",
        "wss://ws.okx.com:8443/ws/v5/public",
        "www.okx.com",
        "https://",
        "https://www.okx.com:port",
        "https://www.okx.com:99999",
        "https://[::1",
        "https://www.okx.com/?x=1",
        "https://www.okx.com/#x",
        "https://user:secret@www.okx.com",
        "",
    ],
)
def test_only_the_address_of_a_web_server_is_accepted(address):
    with pytest.raises(UsageError, match="Try: an address like https://www.okx.com") as caught:
        OkxRest(address, LONG_SEC)
    assert "secret" not in str(caught.value)


def test_one_call_is_one_request_whatever_is_answered(exchange):
    exchange.answer = Canned(503, HTML)
    with pytest.raises(Unavailable):
        client(exchange).server_time_ms()
    assert len(exchange.asked) == 1


def test_one_client_serves_many_calls(exchange):
    okx = client(exchange)
    exchange.answer = Canned(503, HTML)
    with pytest.raises(Unavailable):
        okx.server_time_ms()
    exchange.answer = Canned(200, TIME)
    assert [okx.server_time_ms() for _ in range(2)] == [1597026383085] * 2


def test_importing_the_module_loads_no_network_library():
    heavy = {"ssl", "http.client", "urllib.request", "socket", "asyncio"}
    code = f"import sys, l2vault.okx.rest; print({heavy!r} & {{*sys.modules}})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"


@given(attempt=st.integers(0, 10_000), seed=st.integers(), asked_sec=st.none() | st.integers(0, 10_000))
def test_a_wait_is_bounded_and_never_shorter_than_the_server_asked(attempt, seed, asked_sec):
    wait_sec = backoff_sec(attempt, Random(seed), asked_sec)
    least = min(asked_sec or 0, LONGEST_RETRY_AFTER_SEC)
    assert least <= wait_sec <= least + LONGEST_BACKOFF_SEC


def test_waits_grow_up_to_the_cap_and_use_their_whole_range():
    class Extreme(Random):
        def __init__(self, share):
            super().__init__(0)
            self.share = share

        def random(self):
            return self.share

    assert [backoff_sec(attempt, Extreme(1.0)) for attempt in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert [backoff_sec(attempt, Extreme(0.0)) for attempt in range(8)] == [0] * 8
    assert backoff_sec(2, Extreme(0.5), 7) == 9
