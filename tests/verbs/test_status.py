"""`l2vault status`: the page, the document, the metrics and the exit code, with and without a recorder."""

import json
from pathlib import Path

import msgspec
import pytest

from l2vault import cli
from l2vault.clock import Clock
from l2vault.vault.health import judge as judging
from l2vault.vault.health.form import TaskHealth, write_health
from l2vault.vault.store.layout import Layout
from l2vault.vault.store.lock import VaultLock, is_held
from support.healths import BTC, WRITTEN_MS, ago, feed, health, instrument

FOREIGN = "A\x1b[2J-USDT-SWAP"


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setattr(Clock, "wall_ms", lambda self: WRITTEN_MS + 2000)
    return Layout(tmp_path / "Vault")


@pytest.fixture
def lock(layout: Layout) -> VaultLock:
    lock = VaultLock(layout)
    lock.acquire("2026-11-26T10:00:00.000Z")
    return lock


def status(layout: Layout, *words: str) -> int:
    return cli.main(["status", "--vault", str(layout.root), *words])


def test_a_healthy_recorder_is_exit_code_0_and_a_page_of_80_columns(
    layout: Layout, lock: VaultLock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2vault.vault.health.look._free_bytes", lambda root: 69_500_000_000)  # 70 GB 2 s ago
    write_health(layout, health())
    assert status(layout) == 0
    page = capsys.readouterr().out
    assert page.splitlines()[0] == f"{layout.root}: healthy"
    assert max(map(len, page.splitlines()[1:])) <= 80
    for words in ("process 4711 on recorder", "2.0 s ago", "BTC-USDT-SWAP  in sync  2.2 s", "99.96 %", "69.5 GB free"):
        assert words in page
    page = " ".join(page.split())
    for words in ("a day adds 241.0 MB", "never: delete_after_days", "+3 ms against OKX's [+-11 ms]", "chain yes"):
        assert words in page
    lock.release()


def test_where_files_wait_for_a_push_it_says_how_much_and_when_the_disk_is_full(
    layout: Layout, lock: VaultLock, capsys: pytest.CaptureFixture[str]
) -> None:
    known = health().disk
    waiting = msgspec.structs.replace(known, days_left=1.5, bounded_by=None, unpushed_bytes=31_200_000_000)
    for disk, said in (
        (
            msgspec.structs.replace(known, unpushed_bytes=0),
            "never: delete_after_days deletes before [as long as l2vault push",
        ),
        (waiting, "full in 1.5 days at this rate [31.2 GB wait for l2vault push]"),
        (waiting, "Try: l2vault push: what is not pushed is not deleted"),
    ):
        write_health(layout, health(disk=disk))
        status(layout)
        assert said in " ".join(capsys.readouterr().out.split())
    lock.release()


def test_a_recorder_with_a_fault_is_exit_code_1_and_says_why_and_what_to_do(
    layout: Layout, lock: VaultLock, capsys: pytest.CaptureFixture[str]
) -> None:
    feeds = [feed(1), feed(2, state="down", since=ago(300), reason="x" * 300, address="wss://" + "long." * 40)]
    many = [instrument(f"COIN{number}-USDT-SWAP") for number in range(60)]
    task = TaskHealth(ago(5), "audit", "ValueError: " + "x" * 300, 3)
    write_health(layout, health(feeds=feeds, instruments=[*many, instrument(FOREIGN, state="lost")], tasks=[task]))
    assert status(layout) == 1
    page = capsys.readouterr().out
    assert "\x1b" not in page
    assert "A\\x1b[2J-USDT-SWAP" in page.split("and 41 more")[0], "those that are not in sync come first"
    assert "Feed 2 is down for 302 s" in page and "Try: docs/network.md" in page
    assert "audit failed 3 times" in page
    lock.release()


def test_without_a_recorder_it_is_exit_code_3_since_when_and_how_to_start(
    layout: Layout, lock: VaultLock, capsys: pytest.CaptureFixture[str]
) -> None:
    write_health(layout, health())
    lock.release()
    assert status(layout) == 3
    page = capsys.readouterr().out
    assert "last sign of life was at 2026-11-26T12:00:00.000Z" in " ".join(page.split())
    assert "l2vault record" in page and "how it was then" in " ".join(page.split())


def test_a_recorder_that_hangs_is_none(layout: Layout, lock: VaultLock, capsys: pytest.CaptureFixture[str]) -> None:
    write_health(layout, health(written=ago(60)))
    assert status(layout) == 3
    assert "holds the lock and has given no sign of life" in " ".join(capsys.readouterr().out.split())
    lock.release()


@pytest.mark.parametrize("form", [(), ("--json",), ("--prometheus",)])
def test_without_a_vault_there_is_no_recorder_either(
    layout: Layout, capsys: pytest.CaptureFixture[str], form: tuple[str, ...]
) -> None:
    assert status(layout, *form) == 3
    said = capsys.readouterr()
    assert ("no vault at" in said.out) == (form != ("--prometheus",)) and said.err == ""


def test_the_document_has_the_verdict_and_the_file(
    layout: Layout, lock: VaultLock, capsys: pytest.CaptureFixture[str]
) -> None:
    write_health(layout, health(instruments=[instrument(BTC, state="lost")]))
    assert status(layout, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["state"]) == ("l2vault.status/1", "not healthy")
    assert (found["is_lock_held"], found["health_age_sec"]) == (True, 2.0)
    assert [(reason["code"], reason["of"]) for reason in found["reasons"]] == [("not_in_sync", BTC)]
    assert found["health"] == json.loads(layout.health_file.read_bytes())
    lock.release()


def test_the_metrics_have_the_same_exit_code(
    layout: Layout, lock: VaultLock, capsys: pytest.CaptureFixture[str]
) -> None:
    write_health(layout, health())
    assert status(layout, "--prometheus") == 0
    assert "\nl2vault_recorder_up 1\n" in capsys.readouterr().out
    lock.release()
    assert status(layout, "--prometheus") == 3
    assert "\nl2vault_recorder_up 0\n" in capsys.readouterr().out


def test_two_forms_at_once_are_wrong_usage(layout: Layout) -> None:
    assert status(layout, "--json", "--prometheus") == 2


def test_the_thresholds_are_in_the_help(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert judging.THRESHOLDS in shown
    for name in ("STALE_SEC", "FEED_DOWN_SEC", "BOOK_OLD_SEC", "STALLED_SEC", "DAYS_LEFT"):
        assert str(getattr(judging, name)) in judging.THRESHOLDS


def test_the_lock_is_looked_at_without_being_kept(layout: Layout, lock: VaultLock) -> None:
    assert is_held(layout) is True
    lock.release()
    assert is_held(layout) is False
    lock.acquire("2026-11-26T10:00:00.000Z")
    lock.release()
    assert is_held(Layout(layout.root / "other")) is False
