"""Who may ask the screen. Through the guard alone: no socket, no vault."""

import asyncio

import pytest

from l2vault.web.guard import Guard, Guarded, is_loopback

LOCAL = Guard("127.0.0.1")
OPEN = Guard("0.0.0.0", "secret-token")


async def _inner(scope, receive, send):
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"data"})


def _ask(guard: Guard, path="/api/books", method="GET", kind="http", **headers: str) -> list[dict]:
    sent: list[dict] = []
    given = {"host": "127.0.0.1:8420"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }

    async def receive():
        return {"type": f"{kind}.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(Guarded(_inner, guard)(scope, receive, send))
    return sent


def _status(*args, **kwargs) -> int:
    return _ask(*args, **kwargs)[0]["status"]


@pytest.mark.parametrize("host", ["127.0.0.1:8420", "localhost:8420", "localhost", "[::1]:8420", "LOCALHOST:1"])
def test_a_host_of_ours_is_let_in(host: str) -> None:
    assert _status(LOCAL, host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8420",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "a@localhost",
        "10.0.0.7",
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/books", "/livez"])
def test_a_foreign_host_is_refused_on_every_path(host: str, path: str) -> None:
    assert _status(LOCAL, path=path, host=host) == 403


def test_on_every_address_a_literal_one_is_ours_and_a_name_is_not() -> None:
    token = {"authorization": "Bearer secret-token"}
    assert _status(OPEN, host="10.0.0.7:8420", **token) == 200
    assert _status(OPEN, host="evil.example:8420", **token) == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:9999", "null", "http://localhost:8420", "file://"]
)
def test_a_foreign_origin_can_neither_post_nor_open_a_websocket(origin: str) -> None:
    assert _status(LOCAL, path="/api/session", method="POST", origin=origin) == 403
    closed = _ask(LOCAL, path="/live", kind="websocket", origin=origin)
    assert closed == [{"type": "websocket.close", "code": 1008}]


def test_our_origin_can_do_both_and_so_can_a_program_without_one() -> None:
    for headers in ({"origin": "http://127.0.0.1:8420"}, {}):
        assert _status(LOCAL, path="/api/session", method="POST", **headers) == 200
        assert _ask(LOCAL, path="/live", kind="websocket", **headers) == [{"type": "websocket.accept"}]


def test_every_answer_has_a_policy_and_no_leave_for_other_origins() -> None:
    for sent in (_ask(LOCAL, origin="https://evil.example"), _ask(LOCAL, host="evil.example")):
        headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/api", "/api/books", "/api/session", "/live", "/readyz", "/metrics", "/trades.arrow", "/api/x/y"]
)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "secret-token"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer secret-tokenx"},
        {"authorization": "Bearer s\u00e9cret"},
        {"cookie": "l2vault_screen=wrong"},
        {"cookie": "other=secret-token"},
    ],
)
def test_data_needs_the_token_beyond_loopback(path: str, given: dict[str, str]) -> None:
    assert _status(OPEN, path=path, **given) == 401
    assert _ask(OPEN, path="/live", kind="websocket", **given) == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    "given", [{"authorization": "Bearer secret-token"}, {"cookie": "a=b; l2vault_screen=secret-token"}]
)
def test_the_token_opens_data_as_authorization_and_as_cookie(given: dict[str, str]) -> None:
    assert _status(OPEN, **given) == 200
    assert _ask(OPEN, path="/live", kind="websocket", **given) == [{"type": "websocket.accept"}]


def test_the_page_itself_and_livez_need_no_token() -> None:
    assert [_status(OPEN, path=path) for path in ("/", "/main.js", "/livez")] == [200, 200, 200]


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr("l2vault.web.guard.hmac.compare_digest", lambda a, b: compared.append((a, b)) or False)
    assert _status(OPEN, authorization="Bearer secret-token") == 401
    assert compared == [(b"secret-token", b"secret-token")]


def test_what_is_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.7", "evil.example", "")] == [False] * 5
