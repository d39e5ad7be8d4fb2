"""The routes of the screen, asked as ASGI: what they answer, and that every answer says what is covered."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

import l2vault
from l2vault.book.context import Context, Funding, Index, Mark, OpenInterest
from l2vault.book.context import to_line as context_to_line
from l2vault.vault.store.layout import HOUR_MS, Layout
from l2vault.vault.store.lock import VaultLock
from l2vault.web.answers import walls_said
from l2vault.web.guard import COOKIE, Guard
from l2vault.web.tile import BINS_MS, price_step
from support.example_vault import make_example_vault
from support.healths import WRITTEN_MS, health
from support.hours import HOUR_AT_MS, INST
from support.screen_asked import Asked, ClockAt
from support.screen_site import HOLE, LINES, append

SPAN = {"from": HOUR_AT_MS, "to": HOUR_AT_MS + LINES * 2000}
WALL_FROM_MS = HOUR_AT_MS + 100 * 2000
HOLE_MS = HOUR_AT_MS + HOLE.start * 2000 - 500, HOUR_AT_MS + HOLE.stop * 2000


@pytest.fixture
def asked(vault: Layout) -> Iterator[Asked]:
    found = Asked(vault.root)
    yield found
    found.screen.stop()


def _cell(head: dict, t_ms: int, price: float) -> tuple[int, int]:
    return (t_ms - head["start_ms"]) // head["bin_ms"], int((price - head["price_from"]) / head["price_step"] + 1e-6)


def test_a_planted_wall_is_in_its_cells_and_nowhere_before(asked: Asked) -> None:
    head, arrays = asked.window(**SPAN, columns=2400)
    assert head["bin_ms"] == 2000
    column, row = _cell(head, WALL_FROM_MS, 60050)
    value = 400 * 0.01 * 60050
    assert arrays["size"][column, row] == pytest.approx(value, rel=1e-3)
    assert arrays["size"][column - 1, row] == 0
    assert np.nanmax(arrays["size"][: column - 1]) < value / 10


def test_a_hole_has_no_cells_and_its_state_in_every_column(asked: Asked) -> None:
    head, arrays = asked.window(**SPAN, columns=2400)
    inside = slice(HOLE.start + 1, HOLE.stop - 1)
    assert np.isnan(arrays["size"][inside]).all()
    assert np.isnan(arrays["best_bid"][inside]).all()
    assert set(arrays["states"][inside]) == {head["states"].index("missing") + 1}
    assert arrays["states"][HOLE.start - 2] == head["states"].index("recorded") + 1
    hole = next(each for each in head["coverage"]["holes"] if each[2] == "missing")
    assert (hole[1], hole[3]) == (HOLE_MS[1], "chain")


def test_beyond_the_levels_seen_is_not_zero(asked: Asked) -> None:
    """Sides of 20 of at most 400 levels are whole: all was seen. One of as many as were recorded is not."""
    _, arrays = asked.window(**SPAN, columns=2400)
    assert not np.isnan(arrays["size"][10]).any()


def test_a_wider_bin_is_the_mean_of_the_narrow_ones(asked: Asked) -> None:
    narrow_head, narrow = asked.window(**SPAN, columns=2400)
    head, wide = asked.window(**SPAN, columns=20)
    assert (narrow_head["bin_ms"], head["bin_ms"]) == (2000, 60_000)
    assert head["price_step"] == narrow_head["price_step"]
    column = wide["size"][4]
    of_it = narrow["size"][120:150]
    assert column == pytest.approx(of_it.mean(axis=0), rel=1e-4)


def test_prices_asked_for_are_cut_out_and_keep_their_sums(asked: Asked) -> None:
    head, arrays = asked.window(**SPAN, columns=2400, low=60040, high=60060)
    assert 60040 - head["price_step"] < head["price_from"] <= 60040
    column, row = _cell(head, WALL_FROM_MS, 60050)
    assert arrays["size"][column, row] == pytest.approx(400 * 0.01 * 60050, rel=1e-3)


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        ("/api/walls", {}),
        ("/api/zones", {}),
        ("/api/ladder", {}),
        ("/api/status", {}),
        ("/api/trades", SPAN),
        ("/api/beside", SPAN),
        ("/api/coverage", SPAN),
        ("/api/cell", {"t": WALL_FROM_MS, "low": 60050, "high": 60051}),
    ],
)
def test_every_answer_carries_its_coverage(asked: Asked, path: str, asks: dict) -> None:
    said = asked.json(path, inst=INST, **asks)
    assert 0 <= said["coverage"]["covered_share"] <= 1


def test_instruments_say_what_a_contract_is_worth_and_carry_coverage(asked: Asked) -> None:
    (row,) = asked.json("/api/instruments")["instruments"]
    assert (row["inst_id"], row["first_ms"]) == (INST, HOUR_AT_MS)
    assert row["contract"]["value"] == 0.01
    assert 0 < row["coverage"]["covered_share"] < 1


def test_the_standing_wall_of_real_books_is_named_with_the_times_in_which_it_was_in_sight(tmp_path: Path) -> None:
    found = Asked(make_example_vault(tmp_path / "Vault"))
    said = found.json("/api/walls", inst=INST)
    (wall,) = said["walls"]
    found.screen.stop()
    assert (wall["side"], wall["price"], wall["end"]) == ("ask", 61730.6, "standing")
    assert sum(to - begin for begin, to, _ in wall["lives"]) == wall["seen_ms"]
    assert len(wall["lives"]) == 6, "it left the visible range five times"
    assert wall["lives"][0][0] == wall["t_from"]
    assert {price for _, _, price in wall["lives"]} >= {61730.6}
    assert said["ended"] == []


def test_a_wall_that_is_gone_is_among_the_ended_with_its_cause_and_lives(vault: Layout) -> None:
    append(vault, LINES, without_wall=True)
    ledger = l2vault.open(vault.root).books(INST).walls(min_size="100k", lives=True).to_polars(raw=True)
    said = walls_said(ledger, 60000.0)
    (ended,) = said["ended"]
    assert (said["walls"], ended["price"], ended["end"]) == ([], 60050.0, "pulled")
    assert [life[0] for life in ended["lives"]] == [WALL_FROM_MS, HOUR_AT_MS + HOLE.stop * 2000]
    assert ended["t_to"] == HOUR_AT_MS + LINES * 2000


def test_a_ladder_of_a_moment_in_a_hole_says_so(asked: Asked) -> None:
    said = asked.json("/api/ladder", inst=INST, t=HOLE_MS[0] + 20_000)
    assert (said["state"], said["cause"]) == ("missing", "chain")
    newest = asked.json("/api/ladder", inst=INST)
    assert newest["book_ms"] == HOUR_AT_MS + (LINES - 1) * 2000
    assert [60050.0, 400.0, 2] in newest["asks"]


def test_a_level_is_known_with_its_orders_and_since_when(asked: Asked) -> None:
    said = asked.json("/api/cell", inst=INST, t=WALL_FROM_MS + 60_000, low=60050, high=60051)
    (level,) = said["levels"]
    assert (level["qty"], level["orders"], level["since_ms"]) == (400.0, 2, WALL_FROM_MS)
    assert level["is_since_before"] is False


def test_a_hole_ends_what_is_known_of_a_level(asked: Asked) -> None:
    said = asked.json("/api/cell", inst=INST, t=HOLE_MS[1] + 20_000, low=60050, high=60051)
    assert said["levels"][0]["since_ms"] == HOUR_AT_MS + HOLE.stop * 2000


def test_trades_are_given_with_time_price_size_side_and_origin(asked: Asked) -> None:
    said = asked.json("/api/trades", inst=INST, **SPAN)
    assert said["recorded"] is True
    assert said["trades"][0] == [HOUR_AT_MS + 2000, 60001.0, 1.0, "buy", "recorded"]
    assert len(said["trades"]) == 4


def test_beside_has_what_takers_bought_and_sold_and_null_where_nothing_proves_it(asked: Asked) -> None:
    said = asked.json("/api/beside", inst=INST, **SPAN, columns=2400)
    assert (said["bin_ms"], said["start_ms"], said["unread_hours"]) == (2000, HOUR_AT_MS, [])
    assert said["newest_ms"] == HOUR_AT_MS + 8000
    assert said["bought"][1:5] == pytest.approx([n * 0.01 * 60001 for n in range(1, 5)])
    assert said["sold"][1:5] == [0, 0, 0, 0]
    assert said["bought"][0] is None and said["bought"][10] is None, "no journal says that trades were recorded"
    assert set(said["basis_bps"]) == {None}
    wide = asked.json("/api/beside", inst=INST, **SPAN, columns=20)
    assert wide["bought"][0] == pytest.approx(10 * 0.01 * 60001)


def test_beside_has_basis_funding_and_open_interest_of_their_time(asked: Asked, vault: Layout) -> None:
    rows = [
        Context(
            INST,
            HOUR_AT_MS + slot * 2000,
            Mark(HOUR_AT_MS, str(60000 + slot)),
            Index(HOUR_AT_MS, "60000"),
            Funding(HOUR_AT_MS, "0.0001", "0"),
            OpenInterest(HOUR_AT_MS, "5", "1", "7"),
        )
        for slot in (10, LINES - 1)
    ]
    path = vault.of("context").hour_file(INST, HOUR_AT_MS)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(context_to_line(row) + b"\n" for row in rows))
    said = asked.json("/api/beside", inst=INST, **SPAN, columns=2400)
    assert said["basis_bps"][9:12] == [None, pytest.approx(10 / 6, rel=1e-5), None]
    assert (said["funding_rate"][10], said["open_interest_usd"][10]) == (pytest.approx(1e-4), 7)
    now = asked.json("/api/status", inst=INST)["context"]
    assert (now["t"], now["mark"]["price"], now["funding"]["rate"]) == (rows[1].grid_ms, str(60449), "0.0001")


def test_status_has_the_last_hole_and_says_where_no_recorder_is(asked: Asked) -> None:
    said = asked.json("/api/status", inst=INST)
    assert said["recorder"]["state"] == "no recorder"
    assert (said["last_hole"]["kind"], said["last_hole"]["cause"], said["last_hole"]["to"]) == (
        "missing",
        "chain",
        HOLE_MS[1],
    )


@pytest.mark.parametrize(
    ("age_sec", "free_bytes", "is_locked", "state"),
    [
        (1, 10**12, True, "healthy"),
        (1, 10**6, True, "not healthy"),
        (60, 10**12, True, "no recorder"),
        (1, 10**12, False, "no recorder"),
    ],
)
def test_the_state_of_the_recorder_is_that_of_the_status_verb(
    vault: Layout, age_sec: int, free_bytes: int, is_locked: bool, state: str
) -> None:
    lock = VaultLock(vault)
    if is_locked:
        lock.acquire("2026-01-01T00:00:00.000Z")
    one = health()
    one = msgspec.structs.replace(one, disk=msgspec.structs.replace(one.disk, free_bytes=free_bytes, days_left=9.0))
    path = vault.root / "meta" / "okx" / "health.json"
    path.write_bytes(msgspec.json.encode(one))
    clock = ClockAt(WRITTEN_MS + 1000 * age_sec)
    found = Asked(vault.root, clock=clock)
    said = found.json("/api/status", inst=INST)["recorder"]
    assert (said["state"], said["disk_days_left"]) == (state, 9.0)
    assert [each[:2] for each in said["feeds"]] == [[feed.feed, feed.state] for feed in one.feeds]
    assert said["lag_ms"] == one.instruments[0].lag.p50_ms
    assert said["last_loss"]["cause"] == one.losses[0].cause
    assert bool(said["reasons"]) == (state != "healthy")
    if is_locked:
        lock.release()
    path.write_text('{"state"', encoding="utf-8")
    found.screen.stop()
    again = Asked(vault.root, clock=clock)
    assert again.json("/api/status", inst=INST)["recorder"]["state"] == "no recorder"
    again.screen.stop()


@pytest.mark.parametrize(
    "name", ["", "ETH-USDT-SWAP", "../../etc/passwd", "..", "BTC-USDT-SWAP/../BTC-USDT-SWAP", "%00"]
)
@pytest.mark.parametrize(
    "path", ["/api/books", "/api/walls", "/api/ladder", "/api/trades", "/api/coverage", "/api/status"]
)
def test_an_instrument_that_is_not_in_the_catalogue_is_not_looked_for(asked: Asked, name: str, path: str) -> None:
    status, _, body = asked.raw(path, inst=name, **SPAN)
    assert status == 404
    assert "cure" in json.loads(body)


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/..%2f..%2fpyproject.toml", "/static/main.js", "/web/app.py", "/guard.py"]
)
def test_only_files_of_the_page_are_served(asked: Asked, path: str) -> None:
    assert asked.raw(path)[0] == 404


@pytest.mark.parametrize(
    "asks",
    [
        {},
        {"from": 5, "to": 5},
        {"from": "x", "to": 9},
        {"from": -1, "to": 9},
        {"from": 0, "to": 1 << 60},
        {"from": "nan", "to": 9},
    ],
)
def test_a_question_that_is_none_is_answered_400_with_a_cure(asked: Asked, asks: dict) -> None:
    status, _, body = asked.raw("/api/books", inst=INST, **asks)
    assert status == 400
    assert json.loads(body)["cure"]


def test_the_page_and_its_modules_are_served_with_a_policy(asked: Asked) -> None:
    status, headers, body = asked.raw("/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'src="/main.js"' in body
    assert "default-src 'self'" in headers["content-security-policy"]
    assert asked.raw("/main.js")[1]["content-type"] == "text/javascript; charset=utf-8"


def test_the_token_becomes_a_cookie_that_no_script_reads_and_no_other_site_sends(vault: Layout) -> None:
    found = Asked(vault.root, Guard("0.0.0.0", "secret"))
    assert found.raw("/api/session", "POST")[0] == 401
    _, headers, _ = found.raw("/api/session", "POST", {"authorization": "Bearer secret"})
    cookie = headers["set-cookie"].lower()
    assert cookie.startswith(f"{COOKIE}=secret;")
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert found.raw("/api/instruments", headers={"cookie": f"{COOKIE}=secret"})[0] == 200
    found.screen.stop()


def test_what_a_window_lacks_of_the_newest_lines_is_had_from_where_it_was_read_to(vault: Layout) -> None:
    asked = Asked(vault.root, clock=ClockAt(0))
    span = {"from": HOUR_AT_MS, "to": HOUR_AT_MS + (LINES + 10) * 2000, "columns": 1600}
    read_to = asked.window(**span)[0]["read_to_ms"]
    assert read_to == HOUR_AT_MS + LINES * 2000
    append(vault, LINES)
    append(vault, LINES + 1)
    assert asked.window(**span)[0]["read_to_ms"] == read_to, "its hour is kept for a while"
    rows = asked.json("/api/books", inst=INST, format="json", limit=100, levels=400, **span | {"from": read_to})
    assert [book["book_ms"] for book in rows["books"]] == [read_to, read_to + 2000] and rows["next_ms"] is None
    asked.screen.stop()


def test_a_new_line_is_in_the_next_ladder(asked: Asked, vault: Layout) -> None:
    asked.json("/api/ladder", inst=INST)
    append(vault, LINES)
    assert asked.json("/api/ladder", inst=INST)["book_ms"] == HOUR_AT_MS + LINES * 2000


def test_steps_of_price_divide_each_other_and_widths_an_hour() -> None:
    steps = sorted({price_step(0, high, 100) for high in range(1, 400_000, 97)})
    assert steps[:4] == [1, 2, 10, 20]
    assert all(larger % step == 0 for step, larger in zip(steps, steps[1:], strict=False))
    assert all(high // price_step(0, high, 100) < 100 for high in range(1, 400_000, 97))
    assert all(wide % width == 0 for width, wide in zip(BINS_MS, (*BINS_MS[1:], HOUR_MS), strict=True))


ODD = ["", "0", "-1", "1e308", "nan", "inf", "1724122860000", "1e12", "0.5", "x" * 5000, "\u0000", "\U0001f600"]


@pytest.mark.parametrize(
    "path",
    [
        *("/api/books", "/api/walls", "/api/zones", "/api/trades", "/api/beside", "/api/coverage", "/api/ladder"),
        "/api/cell",
    ],
)
def test_no_question_is_too_odd_for_an_answer(asked: Asked, path: str) -> None:
    names = ("from", "to", "t", "low", "high", "columns")
    for number in range(40):
        words = {name: ODD[(number * step + step) % len(ODD)] for step, name in enumerate(names, 1)}
        status, _, body = asked.raw(path, inst=INST, **words)
        assert status in (200, 400, 404), (words, body[:200])
