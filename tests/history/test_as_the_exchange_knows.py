"""The verbs of history as they are typed, on forty minutes of the built-in exchange with every kind of damage: each
slot is what the exchange knows, or a hole as planted. `make history` does the same with days of it."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from l2vault import cli
from l2vault.book.utc import DAY_MS, utc_ms
from support.history_world import Plan, World, make_world

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from history import Findings, Said, audit_and_judge, days_of, make_and_judge, repair_and_judge, served  # noqa: E402

MIDNIGHT_MS = utc_ms("2026-03-05T00:00:00.000Z")
UTC8_MIDNIGHT_MS = utc_ms("2026-03-07T16:00:00.000Z")


def at(minutes: float) -> int:
    return MIDNIGHT_MS + round(minutes * 60_000)


PLAN = Plan(
    2_000,
    [(at(-3), at(33)), (UTC8_MIDNIGHT_MS - 60_000, UTC8_MIDNIGHT_MS + 60_000)],
    3,
    silences=[(at(4), at(7))],
    lying=[at(21)],
    off=[(at(-1), at(1.5)), (at(3), at(5)), (at(31), at(32))],
    wrong_every=31,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history")


@pytest.fixture(scope="module")
def world(place: Path) -> World:
    return make_world(PLAN, place / "served", place / "Own")


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch):
    """Verbs in this process, against the exchange's archive."""
    with served(world) as server:
        monkeypatch.setenv("L2VAULT_ARCHIVE_HOSTS", server.host)
        monkeypatch.setenv("L2VAULT_DEPTH", str(PLAN.depth))

        def run(verb: str, *words: str, kill_at: float = 0) -> Said:
            rest = ("--rest-url", server.url) if verb in ("fetch", "backfill", "repair") else ()
            with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
                code = cli.main([verb, *words, *rest])
            return Said(code, out.getvalue(), err.getvalue())

        yield run


def test_what_is_made_of_the_archive_is_what_the_exchange_knows(
    world: World, place: Path, run, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Findings("small")
    make_and_judge(world, place / "New", run, found, ("csv",))
    said = capsys.readouterr().out
    assert found.is_good, said
    assert "in holes as planted" in said and said.count("as the exchange knows") == 6


def test_what_is_repaired_and_audited_is_what_the_exchange_knows(
    world: World, place: Path, run, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Findings("small")
    assert run("fetch", "BTC-USDT-SWAP", *days_of(world), "--vault", str(place / "Own")).code == 1
    days = sorted({ts_ms // DAY_MS * DAY_MS for ts_ms in world.lines[::2]})
    assert len(days) == 3
    audit_and_judge(world, place / "Own", run, found, days)
    repair_and_judge(world, place / "Own", run, found)
    said = capsys.readouterr().out
    assert found.is_good, said
