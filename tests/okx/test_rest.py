"""Each answer of OKX's REST interface becomes a value or the error that tells the caller what to do next."""

import json
import select
import socket
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from l2vault import __version__
from l2vault.book.change import BookChange
from l2vault.book.trade import TradePush
from l2vault.errors import RestError, UsageError
from l2vault.okx.rest import (
    Forbidden,
    OkxRest,
    ServerTime,
    Throttled,
    TryLater,
    Unavailable,
    UnknownInstrument,
)
from l2vault.okx.web import LARGEST_BODY_BYTES
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
        (
            lambda okx: okx.trades(BTC, 77, lambda: 0),
            b'{"code":"0","data":[]}',
            "/api/v5/market/history-trades",
            {"instId": [BTC], "type": ["1"], "limit": ["100"], "after": ["77"]},
        ),
        (
            lambda okx: okx.trades(BTC, None, lambda: 0, limit=1),
            b'{"code":"0","data":[]}',
            "/api/v5/market/history-trades",
            {"instId": [BTC], "type": ["1"], "limit": ["1"]},
        ),
    ],
    ids=["instrument", "book", "time", "trades", "newest trade"],
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
        (Canned(500, HTML), Unavailable, ["HTTP 500", "okx.com/status"]),
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


def trade_row(trade_id, **fields):
    row = {"instId": BTC, "side": "sell", "sz": "2", "source": "0", "px": "29963.2"}
    return row | {"tradeId": str(trade_id), "ts": "1654161646974"} | fields


def trades_body(*rows):
    return json.dumps({"code": "0", "msg": "", "data": rows}).encode()


def test_single_trades_come_back_newest_first_with_their_strings(exchange):
    exchange.answer = Canned(200, trades_body(trade_row(242720720), trade_row(242720717, source="1", sz="0.01")))
    first, second = client(exchange).trades(BTC, 242720721, lambda: 17)
    assert first == TradePush(
        BTC, "242720720", "29963.2", "2", "sell", "1654161646974", None, "0", None, recv_us=17, origin="rest"
    )
    assert (second.last_id, second.source, second.sz) == (242720717, "1", "0.01")


@pytest.mark.parametrize(
    "rows",
    [
        [trade_row(5), trade_row(6)],
        [trade_row(5), trade_row(5)],
        [trade_row(9), trade_row(8)],
        [trade_row(5, instId="BTC-USD-SWAP")],
        [trade_row(5, px="x")],
        [trade_row(5, tradeId=5)],
        [trade_row(5, side="")],
        [{"instId": BTC}],
    ],
    ids=str,
)
def test_trades_that_cannot_be_are_an_error(exchange, rows):
    exchange.answer = Canned(200, trades_body(*rows))
    with pytest.raises(RestError, match="cannot be used"):
        client(exchange).trades(BTC, 9, lambda: 0)


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
    [
        ("7", 7),
        ("0", 0),
        (None, None),
        ("Fri, 31 Dec 2027 23:59:59 GMT", None),
        ("-1", None),
        ("9" * 9, 999_999_999),
        ("9" * 10, None),
    ],
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


def test_a_certificate_that_does_not_verify_is_named_with_its_cure(monkeypatch):
    def reject(*_, **__):
        raise ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")

    monkeypatch.setattr(socket, "create_connection", reject)
    words = r"self-signed certificate.*Try: check this computer's clock and cert.*SSL_CERT_FILE \(docs/network\.md\)"
    with pytest.raises(Unavailable, match=words):
        OkxRest("https://www.okx.com", LONG_SEC).server_time_ms()


def test_certificates_and_host_names_are_verified(monkeypatch):
    made = []
    create = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: made.append(create()) or made[0])
    with peer(lambda connection: connection.sendall(b"not TLS at all")) as port, pytest.raises(Unavailable):
        OkxRest(f"https://127.0.0.1:{port}", LONG_SEC).server_time_ms()
    assert (made[0].verify_mode, made[0].check_hostname) == (ssl.CERT_REQUIRED, True)


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


def test_ipv6_loopback_is_this_machine(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
    with pytest.raises(Unavailable, match="Refused|Cannot assign|not supported|unreachable"):
        OkxRest("http://[::1]:9", LONG_SEC).server_time_ms()


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


@contextmanager
def peer(act):
    """The port of a server that reads a request and leaves the rest to `act`, in a thread, connection by connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    if connection.recv(65_536):
                        act(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join()


def endlessly(before, piece):
    """A peer that says something all the time and never comes to an end; it stops when its client is gone."""

    def act(connection):
        connection.sendall(before)
        while True:
            connection.sendall(piece)
            if select.select([connection], [], [], 0.005)[0] and not connection.recv(1):
                return

    return act


def waiting(connection):
    connection.recv(1)


DRIPS = {
    "a body": endlessly(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
    "chunks": endlessly(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a header": endlessly(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "a status line": endlessly(b"HTTP/1.1 200 ", b"O"),
    "interim answers": endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing": waiting,
}


def no_request_is_left():
    return not [thread for thread in threading.enumerate() if thread.name == "rest"]


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return True
        threading.Event().wait(0.005)
    return False


@pytest.mark.parametrize("what", DRIPS)
def test_a_server_that_drips_is_given_up_when_the_time_for_the_whole_is_up(what):
    with peer(DRIPS[what]) as port:
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            OkxRest(f"http://127.0.0.1:{port}", 0.2).server_time_ms()
        assert wait_for(no_request_is_left), "the thread of the request ends with its socket"


def test_a_server_that_never_ends_its_tls_handshake_is_given_up_too():
    with peer(waiting) as port:
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            OkxRest(f"https://127.0.0.1:{port}", 0.2).server_time_ms()
        assert wait_for(no_request_is_left)


def test_a_proxy_that_never_answers_is_given_up_too(monkeypatch):
    with peer(waiting) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            OkxRest("https://www.okx.com", 0.2).server_time_ms()
        assert wait_for(no_request_is_left)


def test_a_name_that_is_looked_up_without_end_is_given_up_too(monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: gate.wait(LONG_SEC))
    try:
        with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
            OkxRest("https://okx.invalid", 0.05).server_time_ms()
    finally:
        gate.set()


@pytest.mark.parametrize("what", DRIPS)
def test_closing_ends_a_request_at_once_and_every_later_one(what):
    raised, is_inside = [], threading.Event()

    def act(connection):
        is_inside.set()
        DRIPS[what](connection)

    with peer(act) as port:
        okx = OkxRest(f"http://127.0.0.1:{port}", LONG_SEC)

        def ask():
            try:
                okx.server_time_ms()
            except RestError as error:
                raised.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert is_inside.wait(LONG_SEC)
        okx.close()
        thread.join(LONG_SEC / 3)
        assert [type(error) for error in raised] == [Unavailable]
        assert wait_for(no_request_is_left)
        with pytest.raises(Unavailable, match="ended by us"):
            okx.book(BTC, 400)


def level(price="41006.8", quantity="1", orders="1"):
    return json.dumps([price, quantity, "0", orders]).encode()


@pytest.mark.parametrize(
    "wrong",
    [
        level(price="1E+3"),
        level(price="NaN"),
        level(price="-1"),
        level(price="+1"),
        level(price=""),
        level(price="9" * 31),
        level(price="0." + "1" * 19),
        level(price="\u0661"),
        level(price="\x1b[2J"),
        level(quantity="1E+3"),
        level(quantity="Infinity"),
        level(quantity="-0"),
        level(quantity="0"),
        level(quantity="0.000"),
        level(quantity="9" * 5000),
        level(orders="one"),
        level(orders=""),
        level(orders="9" * 19),
        level() + b"," + level(price="41006.80"),
        b",".join(level(price=str(41007 + n)) for n in range(401)),
    ],
)
@pytest.mark.parametrize("side", [b"asks", b"bids"])
def test_a_level_that_no_book_can_hold_is_refused_at_the_door(exchange, wrong, side):
    sides = {b"asks": level(), b"bids": level("41006.3")} | {side: wrong}
    body = b",".join(b'"%s":[%s]' % pair for pair in sides.items())
    exchange.answer = Canned(200, b'{"code":"0","data":[{%s,"ts":"1629966436396","seqId":5}]}' % body)
    with pytest.raises(RestError, match="cannot be used") as caught:
        client(exchange).book(BTC, 400)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("seq_id", [1 << 63, 1 << 70, -2, -(1 << 70)])
def test_a_sequence_number_outside_64_bits_is_refused(exchange, seq_id):
    exchange.answer = Canned(200, BOOK.replace(b"3235851742", str(seq_id).encode()))
    with pytest.raises(RestError, match="cannot be used"):
        client(exchange).book(BTC, 400)


@pytest.mark.parametrize("seq_id", [-1, 0, (1 << 63) - 1])
def test_every_sequence_number_of_64_bits_is_taken(exchange, seq_id):
    exchange.answer = Canned(200, BOOK.replace(b"3235851742", str(seq_id).encode()))
    assert client(exchange).book(BTC, 400).seq_id == seq_id


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("http://", "it names no host"),
        ("http://proxy:port", "is no address of a proxy"),
        ("http://[::1", "is no address of a proxy"),
        ("http://proxy:99999", "is no address of a proxy"),
        ("ftp://proxy:21", "scheme 'ftp'"),
        ("socks5://127.0.0.1:1080", "python-socks is not installed"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_sentence_with_the_cure(monkeypatch, proxy, words):
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=rf"{words}.*Try: (set HTTPS_PROXY|.* -m pip install)"):
        OkxRest("https://www.okx.com", LONG_SEC).server_time_ms()


def test_through_a_proxy_tls_is_tunnelled_and_a_refusal_is_told(monkeypatch):
    asked = []

    def refuse(connection):
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65_536))
                refuse(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://me:s%20cret@127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(Unavailable, match="Tunnel connection failed: 407") as caught:
            OkxRest("https://www.okx.com", LONG_SEC).server_time_ms()
        thread.join()
    assert "cret" not in str(caught.value)
    assert asked[0].startswith(b"CONNECT www.okx.com:443 HTTP/1.")
    assert b"Proxy-Authorization: Basic " + b64encode(b"me:s cret") in asked[0]


def test_no_proxy_is_honoured(exchange, monkeypatch):
    monkeypatch.setenv("http_proxy", exchange.url)
    monkeypatch.setenv("no_proxy", "okx.invalid")
    with pytest.raises(Unavailable):
        OkxRest("http://okx.invalid", LONG_SEC).server_time_ms()
    assert exchange.asked == []


def test_a_socks_proxy_carries_the_request_where_the_extra_is_installed(exchange, monkeypatch):
    pytest.importorskip("python_socks")
    asked = []

    def relay(connection):
        """RFC 1928 as far as one request goes: no authentication, the name as text."""
        connection.sendall(b"\x05\x00")
        asked.append(connection.recv(65_536))
        connection.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        with socket.create_connection(("127.0.0.1", exchange.port)) as server:
            server.sendall(connection.recv(65_536))
            while piece := server.recv(65_536):
                connection.sendall(piece)

    with peer(relay) as port:
        monkeypatch.setenv("http_proxy", f"socks5h://127.0.0.1:{port}")
        assert OkxRest("http://okx.invalid", LONG_SEC).server_time_ms() == 1597026383085
    assert asked == [b"\x05\x01\x00\x03\x0bokx.invalid\x00\x50"]
    assert exchange.asked[0][0] == "/api/v5/public/time"


def test_the_headers_of_a_region_go_with_every_request(exchange):
    okx = OkxRest(exchange.url, LONG_SEC, {"x-simulated-trading": "1"})
    okx.server_time_ms()
    [(_, headers)] = exchange.asked
    assert headers["x-simulated-trading"] == "1"
    assert headers["User-Agent"] == f"l2vault/{__version__}"


def test_the_exchanges_clock_comes_with_the_time_that_the_question_took(exchange):
    moments = iter([1000, 1025])
    assert client(exchange).server_time(lambda: next(moments)) == ServerTime(1597026383085, 25, 1025)


def test_the_names_of_all_swaps_are_read(exchange):
    exchange.answer = Canned(200, b'{"code":"0","data":[{"instId":"BTC-USDT-SWAP"},{"instId":"ETH-USDT-SWAP"}]}')
    assert client(exchange).swap_names() == [BTC, "ETH-USDT-SWAP"]
    assert parse_qs(urlsplit(exchange.asked[0][0]).query) == {"instType": ["SWAP"]}


def test_what_nobody_thought_of_is_a_rest_error_too(exchange, monkeypatch):
    monkeypatch.setattr("l2vault.okx.rest._data", lambda answer: 1 / 0)
    for ask in (lambda okx: okx.book(BTC, 400), lambda okx: okx.instrument(BTC), lambda okx: okx.server_time_ms()):
        with pytest.raises(RestError, match="ZeroDivisionError"):
            ask(client(exchange))


FULL_BOOK = (
    b'{"code":"0","msg":"","data":[{"asks":[["41007","2","3"],["41006.8","0.6","1"]],'
    b'"bids":[["41006.3","0.3","2"]],"ts":"1629966436396"}]}'
)


def test_a_full_book_comes_back_best_first_with_its_strings_and_its_arrival(exchange):
    exchange.answer = Canned(200, FULL_BOOK)
    sample = client(exchange).full_book(BTC, lambda: 1_629_966_436_500_001)

    assert sample.asks == [("41006.8", "0.6", "1"), ("41007", "2", "3")]
    assert sample.bids == [("41006.3", "0.3", "2")]
    assert (sample.ts_ms, sample.recv_us, sample.seq_id) == (1_629_966_436_396, 1_629_966_436_500_001, None)
    assert exchange.asked[-1][0].endswith("/api/v5/market/books-full?instId=BTC-USDT-SWAP&sz=5000")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"41007","2","3"', b'"41007","0","0"'),
        (b'"41007","2","3"', b'"41006.80","2","3"'),
        (b'"41007","2","3"', b'"41007","2","0","3"'),
        (b'"1629966436396"', b'"0"'),
        (b'"1629966436396"', b'""'),
        (FULL_BOOK[60:], b""),
    ],
    ids=["gone", "twice", "of four", "no time", "empty time", "torn"],
)
def test_a_full_book_that_cannot_be_is_refused_at_the_door(exchange, old, new):
    assert old in FULL_BOOK
    exchange.answer = Canned(200, FULL_BOOK.replace(old, new))
    with pytest.raises(RestError):
        client(exchange).full_book(BTC, lambda: 0)


RPI_BOOK = (
    b'{"code":"0","msg":"","data":[{"asks":[["67856.0","1.3","1.0","4"],["67855.2","0.5","0.5","1"],'
    b'["67860.5","0.3","0","1"]],"bids":[["67854.8","1.7","1.2","3"]],"ts":"1785310731002","seqId":332042172451}]}'
)
"""As OKX's documentation prints it, one side out of order."""


def test_an_rpi_book_comes_back_best_first_with_its_strings_number_and_arrival(exchange):
    exchange.answer = Canned(200, RPI_BOOK)
    sample = client(exchange).rpi_book(BTC, lambda: 1_785_310_731_200_001)

    assert sample.asks == [
        ("67855.2", "0.5", "0.5", "1"),
        ("67856.0", "1.3", "1.0", "4"),
        ("67860.5", "0.3", "0", "1"),
    ]
    assert sample.bids == [("67854.8", "1.7", "1.2", "3")]
    assert (sample.ts_ms, sample.recv_us, sample.seq_id) == (1_785_310_731_002, 1_785_310_731_200_001, 332_042_172_451)
    assert (sample.kind, sample.fault) == ("rpi", "")
    assert exchange.asked[-1][0].endswith("/api/v5/market/books-rpi?instId=BTC-USDT-SWAP&sz=400")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'"1.3","1.0","4"', b'"1.3","1.30000001","4"', "1.3 in all, 1.30000001 of it without RPI"),
        (b'"1.3","1.0","4"', b'"1.3","-1","4"', "'-1' is not a plain decimal"),
        (b'"1.3","1.0","4"', b'"1.3","","4"', "'' is not a plain decimal"),
        (b'"0.3","0","1"', b'"0","0","1"', "a level of 0 in 1 orders"),
        (b'"0.3","0","1"', b'"0.3","0","1.5"', "0.3 in 1.5 orders"),
        (b'"0.3","0","1"', b'"0.3","1"', "a level has not 4 parts"),
        (b'"0.3","0","1"', b'"0.3","0","0","1"', "a level has not 4 parts"),
        (b'"67860.5"', b'"67856.00"', "a price stands twice"),
        (b'"1785310731002"', b'"0"', "it says no time"),
        (b'"0.3"', b"0.3", "str"),
    ],
)
def test_an_rpi_book_that_cannot_be_is_refused_at_the_door(exchange, old, new, why):
    assert old in RPI_BOOK
    exchange.answer = Canned(200, RPI_BOOK.replace(old, new))
    with pytest.raises(RestError) as refused:
        client(exchange).rpi_book(BTC, lambda: 0)
    assert why in refused.value.message


def test_an_rpi_book_of_more_levels_than_okx_sends_is_refused(exchange):
    levels = ",".join(f'["{70_000 + at}","1","1","1"]' for at in range(401)).encode()
    exchange.answer = Canned(200, RPI_BOOK.replace(b'["67860.5","0.3","0","1"]', levels))
    with pytest.raises(RestError, match="403 levels on a side, where 400 are the most"):
        client(exchange).rpi_book(BTC, lambda: 0)


def test_an_instrument_without_an_rpi_book_is_named_with_okx_s_own_words(exchange):
    words = b"Instrument ID, Instrument ID code, or Spread ID doesn't exist."
    exchange.answer = Canned(200, b'{"code":"51001","data":[],"msg":"' + words + b'"}')
    with pytest.raises(UnknownInstrument, match="Spread ID"):
        client(exchange).rpi_book(BTC, lambda: 0)
    exchange.answer = Canned(200, b'{"code":"0","data":[],"msg":""}')
    with pytest.raises(UnknownInstrument):
        client(exchange).rpi_book(BTC, lambda: 0)
