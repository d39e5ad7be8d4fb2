"""What programs ask the screen with `sources`: OKX's archive in the holes, each answer and row named by its source."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace

from l2vault.book.trade import trade_to_line
from l2vault.vault.store.layout import Layout
from l2vault.web import arrow
from support import hours
from support.hours import HOUR_AT_MS, INST
from support.screen_asked import Asked
from support.screen_site import HOLE, LINES, book, trade, write_vault

SPAN = {"from": HOUR_AT_MS, "to": HOUR_AT_MS + LINES * 2000}
IN_HOLE_MS = HOUR_AT_MS + (HOLE.start + 5) * 2000
BOTH = "recorded,archive"
OF_THE_ARCHIVE = range(5, 7)
QUESTIONS = {
    "/api/instruments": {},
    "/api/books": SPAN | {"format": "json", "limit": 5_000, "levels": 1},
    "/api/ladder": {"t": IN_HOLE_MS},
    "/api/cell": {"t": IN_HOLE_MS, "low": 60_050, "high": 60_051},
    "/api/walls": {},
    "/api/zones": {},
    "/api/trades": SPAN,
    "/api/beside": SPAN,
    "/api/coverage": SPAN,
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A vault with a hole, and within it what was made of the archive, which has it all."""
    layout = write_vault(tmp_path_factory.mktemp("sources") / "Vault")
    archive = layout.okx_archive
    hours.put(archive, [book(n) for n in range(LINES)])
    hours.journal_of(archive, hours.started(0), hours.synced(0), hours.minute(LINES * 2000))
    path = archive.of("trades").hour_file(INST, HOUR_AT_MS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(trade_to_line(replace(trade(n), origin="archive")) + b"\n" for n in OF_THE_ARCHIVE))
    row = archive.instrument_file(INST)
    row.parent.mkdir(parents=True, exist_ok=True)
    row.write_bytes(layout.instrument_file(INST).read_bytes())
    return layout


@pytest.fixture(scope="module")
def asked(layout: Layout) -> Iterator[Asked]:
    found = Asked(layout.root)
    yield found
    found.screen.stop()


@pytest.mark.parametrize(
    ("path", "sources"),
    [
        *((path, BOTH) for path in QUESTIONS),
        *(("/api/coverage", each) for each in ("", "archive", "archive, RECORDED")),
    ],
)
def test_each_answer_names_its_sources_and_is_as_the_document_says(asked: Asked, path: str, sources: str) -> None:
    operation = asked.json("/api/openapi.json")["paths"][path]["get"]
    known = {each["name"] for each in operation["parameters"]}
    assert "sources" in known
    questions = (
        QUESTIONS[path] | ({"inst": INST} if "inst" in known else {}) | ({"sources": sources} if sources else {})
    )
    said = asked.json(path, **questions)
    jsonschema.Draft202012Validator(operation["responses"]["200"]["content"]["application/json"]["schema"]).validate(
        said
    )
    coverage = said["instruments"][0]["coverage"] if path == "/api/instruments" else said["coverage"]
    names = {"": ["recorded"], "archive, RECORDED": ["recorded", "archive"]}.get(sources, sources.split(","))
    assert coverage["sources"] == names
    if path != "/api/cell":
        assert ("archive" in coverage["slots"]) == ("archive" in names)


def test_books_and_cells_of_a_hole_are_the_archives_where_it_was_asked_for(asked: Asked) -> None:
    books = {
        sources: asked.json(
            "/api/books", inst=INST, **QUESTIONS["/api/books"], **({"sources": sources} if sources else {})
        )
        for sources in ("", BOTH)
    }
    assert {row["origin"] for row in books[""]["books"]} == {"recorded"}
    origins = [row["origin"] for row in books[BOTH]["books"]]
    assert len(origins) == LINES and origins.count("archive") == len(HOLE)
    assert origins[HOLE.start : HOLE.stop] == ["archive"] * len(HOLE)
    assert books[""]["coverage"]["holes"] and not books[BOTH]["coverage"]["holes"]
    state = {
        sources: asked.json("/api/ladder", inst=INST, t=IN_HOLE_MS, sources=sources)["state"]
        for sources in ("recorded", BOTH)
    }
    assert state == {"recorded": "missing", BOTH: "archive"}
    cells = [asked.window(**SPAN, columns=450, **asks)[1]["size"] for asks in ({}, {"sources": BOTH})]
    empty = [np.isnan(size[HOLE.start + 2 : HOLE.stop - 2]).all() for size in cells]
    assert empty == [True, False], "a tile of the one is not given for the other"


def test_trades_of_the_archive_are_rows_of_it(asked: Asked) -> None:
    rows = asked.json("/api/trades", inst=INST, **SPAN, sources=BOTH)["trades"]
    assert [row[4] for row in rows] == ["recorded"] * 4 + ["archive"] * 2
    _, _, body = asked.raw("/api/trades", inst=INST, **SPAN, sources=BOTH, format="arrow")
    table = pa.ipc.open_stream(body).read_all()
    assert table.column_names[-1] == "origin" and table.schema.equals(arrow.TRADES)
    assert table["origin"].to_pylist() == [row[4] for row in rows]
    flow = {"venue": "okex", "market": "linear", "symbol": "btc-usdt-swap"} | SPAN
    tables = [
        pa.ipc.open_stream(asked.raw("/trades.arrow", **flow, **asks)[2]).read_all() for asks in ({}, {"sources": BOTH})
    ]
    assert [len(each) for each in tables] == [4, 6]
    assert json.loads(tables[1].schema.metadata[b"about"])["coverage"]["sources"] == ["recorded", "archive"]
    bought = [
        np.nansum(np.array(asked.json("/api/beside", inst=INST, **SPAN, **asks)["bought"], float))
        for asks in ({}, {"sources": BOTH})
    ]
    assert 0 < bought[0] < bought[1]


def test_what_the_archive_gets_later_is_seen(asked: Asked, layout: Layout) -> None:
    later = {"from": HOUR_AT_MS + LINES * 2000, "to": HOUR_AT_MS + (LINES + 40) * 2000}
    asks = {"inst": INST, **later, "sources": BOTH, "format": "json"}
    assert not asked.json("/api/books", **asks)["books"]
    path = layout.okx_archive.hour_file(INST, HOUR_AT_MS)
    before = path.read_bytes()
    try:
        path.write_bytes(before + hours.contents([book(LINES + n) for n in range(1, 5)]))
        assert [row["origin"] for row in asked.json("/api/books", **asks)["books"]] == ["archive"] * 4
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("sources", ["okx", "recorded,", "archive;recorded"])
def test_what_is_no_source_is_refused_with_the_cure(asked: Asked, sources: str) -> None:
    status, _, body = asked.raw("/api/coverage", inst=INST, **SPAN, sources=sources)
    assert status == 400 and json.loads(body)["cure"] == "recorded, archive or recorded,archive"


def test_without_an_archive_its_books_are_refused_with_the_verbs_that_make_it(tmp_path: Path) -> None:
    asked = Asked(write_vault(tmp_path / "Vault").root)
    status, _, body = asked.raw("/api/coverage", inst=INST, **SPAN, sources=BOTH)
    asked.screen.stop()
    assert status == 404 and json.loads(body)["cure"] == "l2vault fetch, then l2vault backfill"


def test_the_archives_own_vault_says_that_it_is_one(layout: Layout) -> None:
    asked = Asked(layout.okx_archive.root)
    said = asked.json("/api/coverage", inst=INST, **SPAN)["coverage"]
    asked.screen.stop()
    assert said["sources"] == ["archive"] and set(said["slots"]) == {"archive"}
