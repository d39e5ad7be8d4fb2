"""What programs ask the screen: the OpenAPI document against routes and answers, Arrow, and the recorder's state."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import msgspec
import pyarrow as pa
import pytest

from l2vault import cli
from l2vault.book.trade import trade_to_line
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import VaultLock
from l2vault.web import answers, arrow
from l2vault.web.guard import DATA_PATHS, Guard
from support.healths import WRITTEN_MS, health
from support.hours import HOUR_AT_MS, INST
from support.screen_asked import Asked, ClockAt
from support.screen_site import LINES, trade, write_vault

SPAN = {"from": HOUR_AT_MS, "to": HOUR_AT_MS + LINES * 2000}
QUESTIONS = {
    "/api/instruments": {},
    "/api/status": {},
    "/api/books": SPAN | {"format": "json", "limit": 3},
    "/api/ladder": {},
    "/api/cell": {"t": HOUR_AT_MS + 260_000, "low": 60_050, "high": 60_051},
    "/api/walls": {},
    "/api/zones": {},
    "/api/trades": SPAN,
    "/api/beside": SPAN,
    "/api/coverage": SPAN,
    "/api/openapi.json": {},
    "/livez": {},
    "/readyz": {},
}
TABLES = {
    "/api/books": ("books", arrow.BOOKS, SPAN | {"limit": 3}),
    "/api/walls": ("walls", arrow.WALLS, {}),
    "/api/zones": ("zones", arrow.ZONES, {}),
    "/api/trades": ("trades", arrow.TRADES, SPAN),
}
FLOW = {"venue": "okex", "market": "linear", "symbol": "btc-usdt-swap"}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    found = write_vault(tmp_path_factory.mktemp("api") / "Vault")
    (found.root / "meta" / "okx" / "health.json").write_bytes(msgspec.json.encode(health()))
    return found


@pytest.fixture(scope="module")
def asked(layout: Layout) -> Iterator[Asked]:
    lock = VaultLock(layout)
    lock.acquire("2026-11-26T12:00:00.000Z")
    found = Asked(layout.root, clock=ClockAt(WRITTEN_MS + 1000))
    yield found
    found.screen.stop()
    lock.release()


@pytest.fixture(scope="module")
def paths(asked: Asked) -> dict:
    return asked.json("/api/openapi.json")["paths"]


def test_the_document_has_the_paths_that_programs_are_given_and_no_others(asked: Asked, paths: dict) -> None:
    routes = {path for path in asked.screen.paths if path.startswith("/api") or "." not in path or "arrow" in path}
    assert set(paths) == routes - {"/", "/live"}
    assert all(path in QUESTIONS for path in set(paths) - {"/api/session", "/trades.arrow", "/metrics"})


@pytest.mark.parametrize("path", QUESTIONS)
def test_an_answer_is_as_the_document_says_and_carries_its_coverage(asked: Asked, paths: dict, path: str) -> None:
    operation = paths[path]["get"]
    needed = {each["name"] for each in operation["parameters"] if each["required"]}
    known = {each["name"] for each in operation["parameters"]}
    questions = QUESTIONS[path] | ({"inst": INST} if "inst" in known else {})
    assert needed <= set(questions) <= known
    said = asked.json(path, **questions)
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator(schema).validate(said)
    if path.startswith("/api/") and "openapi" not in path:
        of = said["instruments"][0] if path == "/api/instruments" else said
        assert 0 < of["coverage"]["covered_share"] <= 1
    if schema.get("properties"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(said | {"more": 1})
    if needed:
        status, _, body = asked.raw(path)
        refused = operation["responses"][str(status)]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator(refused).validate(json.loads(body))


@pytest.mark.parametrize("path", TABLES)
@pytest.mark.parametrize("how", ["format", "accept"])
def test_a_table_in_arrow_says_what_it_says_in_json(asked: Asked, path: str, how: str) -> None:
    rows, schema, questions = TABLES[path]
    said = asked.json(path, inst=INST, **questions, format="json")
    headers = {"accept": f"{arrow.ARROW}, */*"} if how == "accept" else {}
    asks = questions | ({"format": "arrow"} if how == "format" else {})
    status, answered, body = asked.raw(path, headers=headers, inst=INST, **asks)
    assert (status, answered["content-type"]) == (200, arrow.ARROW)
    table = pa.ipc.open_stream(body).read_all()
    assert table.schema.equals(schema) and len(table) == len(said[rows])
    about = json.loads(table.schema.metadata[b"about"])
    assert {**about, rows: None} == {**said, rows: None}
    first = [None if value is None else value for value in table.slice(0, 1).to_pylist()]
    if path == "/api/books":
        assert [(bid["price"], bid["orders"]) for bid in first[0]["bids"]] == [
            (price, orders) for price, _, orders in said["books"][0]["bids"]
        ]
        assert said["next_ms"] == HOUR_AT_MS + 6000 and len(said["books"][0]["bids"]) == 10
    if path == "/api/trades":
        assert [row["price"] for row in table.to_pylist()] == [row[1] for row in said["trades"]]


def test_coverage_in_arrow_has_a_row_a_hole(asked: Asked) -> None:
    said = asked.json("/api/coverage", inst=INST, **SPAN)["coverage"]
    _, _, body = asked.raw("/api/coverage", inst=INST, **SPAN, format="arrow")
    table = pa.ipc.open_stream(body).read_all()
    assert [row["cause"] for row in table.to_pylist()] == [hole[3] for hole in said["holes"]] != []
    assert json.loads(table.schema.metadata[b"about"])["coverage"]["covered_share"] == said["covered_share"]


@pytest.mark.parametrize(
    "asks", [{"format": "xml"}, {"levels": 401, "format": "json"}, {"limit": 0.5, "format": "json"}]
)
def test_what_no_table_can_be_is_refused(asked: Asked, asks: dict) -> None:
    assert asked.raw("/api/books", inst=INST, **SPAN, **asks)[0] == 400


def test_flowsurface_gets_every_trade_of_a_span_in_coin(asked: Asked) -> None:
    status, headers, body = asked.raw("/trades.arrow", **FLOW, **SPAN)
    assert (status, headers["content-type"]) == (200, arrow.ARROW)
    table = pa.ipc.open_stream(body).read_all()
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("ts", "int64"), ("price", "double"), ("qty", "double"), ("is_sell", "bool")
    ]  # fmt: skip
    assert [(row["ts"] - HOUR_AT_MS, row["qty"], row["is_sell"]) for row in table.to_pylist()] == [
        (2000 * n, pytest.approx(0.01 * n), False) for n in range(1, 5)
    ]
    assert "proved_share" in json.loads(table.schema.metadata[b"about"])["coverage"]


def test_flowsurface_asks_with_both_bounds_in_the_span_and_a_limit_and_by_any_name(asked: Asked) -> None:
    def times(**asks: object) -> list[int]:
        _, _, body = asked.raw("/trades.arrow", **FLOW | asks)
        return [ts - HOUR_AT_MS for ts in pa.ipc.open_stream(body).read_all()["ts"].to_pylist()]

    at = HOUR_AT_MS + 4000
    assert times(**{"from": at, "to": at}) == [4000]
    assert times(limit=2) == [2000, 4000]
    assert times(symbol="BTCUSDT", to=at) == times(venue="okx", to=at) == [2000, 4000]
    for wrong in ({"market": "spot"}, {"venue": "binance"}, {"limit": 2_000_000}):
        assert asked.raw("/trades.arrow", **FLOW | wrong)[0] == 400
    for unknown in ({"symbol": "ethusdt"}, {"market": "inverse"}):
        assert asked.raw("/trades.arrow", **FLOW | unknown)[0] == 404


def test_a_limit_cuts_no_millisecond_in_two_and_next_ms_goes_on_behind_what_was_served(tmp_path: Path) -> None:
    layout = write_vault(tmp_path / "Vault")
    at_ms = [HOUR_AT_MS + ms for ms in (2000, 2000, 2000, 4000, 4000, 6000)]
    sweep = [msgspec.structs.replace(trade(n + 1), ts=str(ms)) for n, ms in enumerate(at_ms)]
    path = layout.of("trades").hour_file(INST, HOUR_AT_MS)
    path.write_bytes(b"".join(trade_to_line(each) + b"\n" for each in sweep))
    asked = Asked(layout.root)
    for limit in range(1, 7):
        given, start_ms = list[int](), HOUR_AT_MS
        while start_ms is not None:
            asks = FLOW | {"from": start_ms, "to": HOUR_AT_MS + 6000, "limit": limit}
            status, _, body = asked.raw("/trades.arrow", **asks)
            assert status == 200, (limit, body)
            table = pa.ipc.open_stream(body).read_all()
            start_ms = json.loads(table.schema.metadata[b"about"])["next_ms"]
            given += table["ts"].to_pylist()
            assert start_ms is None or max(given) < start_ms
        assert given == at_ms, limit
    asked.screen.stop()


def test_books_end_early_where_they_hold_too_many_levels(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_MOST_HELD", 25)
    said = asked.json("/api/books", inst=INST, **SPAN, format="json", levels=5)
    assert [book["book_ms"] - HOUR_AT_MS for book in said["books"]] == [0, 2000, 4000]
    assert said["to"] == said["next_ms"] == HOUR_AT_MS + 6000


def test_whether_the_recorder_lives_waits_for_nothing_that_is_asked_for_in_bulk(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = dict[str, str]()
    for method in ("every_trade", "rows_of_books", "is_live"):

        def named(*given: object, method: str = method) -> bytes:
            names[method] = threading.current_thread().name.rpartition("_")[0]
            return b""

        monkeypatch.setattr(asked.screen._answers, method, named)
    asked.raw("/trades.arrow", **FLOW)
    asked.raw("/api/books", inst=INST, **SPAN, format="json")
    asked.raw("/livez")
    assert names == {"every_trade": "rows", "rows_of_books": "rows", "is_live": "reading"}
    asked.raw("/api/books", inst=INST, **SPAN, format="json", limit=100)
    assert names["rows_of_books"] == "reading", "a page asks for so many that it lacks"


def test_metrics_are_those_of_the_status_verb(asked: Asked, layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    status, headers, body = asked.raw("/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    cli.main(["status", "--prometheus", "--vault", str(layout.root)])
    own = {line.split("{")[0].split()[0] for line in body.decode().splitlines() if line[0] != "#"}
    assert own == {line.split("{")[0].split()[0] for line in capsys.readouterr().out.splitlines() if line[0] != "#"}
    assert b"\nl2vault_healthy 1\n" in body


def test_alive_is_a_recorder_with_a_sign_of_life_and_ready_one_that_is_healthy(
    asked: Asked, layout: Layout, tmp_path: Path
) -> None:
    assert asked.json("/livez") == {"live": True}
    assert asked.json("/readyz") == {"ready": True, "reasons": []}
    late = Asked(layout.root, clock=ClockAt(WRITTEN_MS + 31_000))
    assert late.raw("/livez")[::2] == (503, b'{"live":false}')
    status, _, body = late.raw("/readyz")
    assert status == 503 and "no sign of life" in json.loads(body)["reasons"][0]
    late.screen.stop()
    shutil.copytree(layout.root / "meta", tmp_path / "Empty" / "meta")
    empty = Asked(tmp_path / "Empty", clock=ClockAt(WRITTEN_MS + 1000))
    assert "the vault holds no books yet" in json.loads(empty.raw("/readyz")[2])["reasons"]
    empty.screen.stop()


def test_all_that_is_data_needs_the_token_beyond_loopback(layout: Layout, paths: dict) -> None:
    closed = Asked(layout.root, Guard("0.0.0.0", "secret"))
    for path in set(paths) - {"/api/session", "/livez"}:
        assert path.startswith(DATA_PATHS) and closed.raw(path)[0] == 401, path
        assert closed.raw(path, headers={"authorization": "Bearer secret"})[0] != 401
    assert closed.raw("/livez")[0] in (200, 503)
    closed.screen.stop()
