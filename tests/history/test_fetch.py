"""`l2vault fetch` against the built-in exchange: what it fetches, goes on with, and refuses in one sentence."""

import errno
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from l2vault import cli
from l2vault.errors import RestError, VaultError
from l2vault.history import download
from l2vault.history.hosts import Hosts
from l2vault.history.index import ask_index
from l2vault.history.naming import Wanted, parse_name, wanted_files
from l2vault.history.rows import rate_of
from l2vault.history.shelf import Shelf
from l2vault.history.unpack import lines_of
from l2vault.okx.rest import OkxRest, Unavailable
from l2vault.sim.server.archive import ArchiveServer, parse_archive_faults
from l2vault.vault.store.layout import Layout
from support.archive_world import DAY, INST, MIDNIGHT_MS, ArchiveWorld

BEFORE = "2026-01-01"


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("l2vault.verbs.fetch.time.sleep", lambda seconds: None)
    yield tmp_path / "New"


def fetch(server: ArchiveServer, monkeypatch: pytest.MonkeyPatch, *words: str, hosts: str = "") -> int:
    monkeypatch.setenv("L2VAULT_ARCHIVE_HOSTS", hosts or server.host)
    days = () if "--from" in words else ("--from", BEFORE, "--to", DAY)
    return cli.main(["fetch", INST, "--vault", "New", "--rest-url", server.url, *days, *words])


def named(vault: Path, what: str = "books400") -> list[str]:
    folder = vault / "okx_archive" / "files" / what
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_two_days_come_whole_and_are_not_fetched_again(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = world.server()
    try:
        assert fetch(server, monkeypatch) == 0
        first = capsys.readouterr()
        assert "2 files to fetch" in first.err and first.out.count("listed") == 2
        for file in (file for file in world.files if file.kind == "books400"):
            copy = vault / "okx_archive" / "files" / "books400" / file.name
            assert copy.read_bytes() == file.path.read_bytes()
            note = json.loads(copy.with_name(f"{file.name}.json").read_text())
            assert note["sha256"] == hashlib.sha256(file.path.read_bytes()).hexdigest()
        before = dict(server.requests)
        assert fetch(server, monkeypatch) == 0
        assert "2 files here already" in capsys.readouterr().err
        assert dict(server.requests) == before, "nothing was asked again"
        assert fetch(server, monkeypatch, "--what", "trades") == 1, "the file of the UTC+8 day behind is not there"
        assert "not in OKX's index: trades of 2026-01-01, 2026-01-03" in capsys.readouterr().out
        assert fetch(server, monkeypatch, "--what", "trades", "--monthly") == 0
        assert f"{INST}-trades-2026-01.zip" in named(vault, "trades")
        assert [each.date for each in Shelf(Layout(vault)).held("trades", INST)] == ["2026-01"], "and no day of it"
        assert fetch(server, monkeypatch, "--monthly") == 2, "of books there are days alone"
        assert fetch(server, monkeypatch, "--what", "funding", "--from", DAY) == 1
        assert named(vault, "funding")[0] == f"allswap-fundingrates-{DAY}.zip"
        assert fetch(server, monkeypatch, "--what", "funding", "--monthly") == 1, "no index has months of funding"
        assert fetch(server, monkeypatch, "--what", "funding", "--monthly", "--older") == 0
        assert f"{INST}-fundingrates-2026-01.zip  " in (said := capsys.readouterr().out) and "unlisted" in said
        (month,) = Shelf(Layout(vault)).held("funding", INST)
        rates = (rate_of(line) for line in lines_of(Shelf(Layout(vault)).path(month)))
        assert {each.time_ms: each.rate for each in rates if each is not None} == world.rates()
    finally:
        server.close()


def test_a_connection_that_ends_half_way_goes_on_where_it_was(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = world.server(*parse_archive_faults("cut=*"))
    try:
        assert fetch(server, monkeypatch) == 0
        name = f"{INST}-L2orderbook-400lv-{DAY}.tar.gz"
        assert server.requests[f"GET {name}"] == 2
        (good,) = [file.path for file in world.files if file.name == name]
        assert (vault / "okx_archive" / "files" / "books400" / name).read_bytes() == good.read_bytes()
        assert named(vault) == sorted(
            f"{INST}-L2orderbook-400lv-{day}.tar.gz{end}" for day in (BEFORE, DAY) for end in ("", ".json")
        ), "nothing is left of what was coming"
    finally:
        server.close()


@pytest.mark.parametrize("at", [0, 1, 3])
def test_killed_at_a_moment_it_goes_on_and_a_full_disk_ends_in_one_sentence(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: int
) -> None:
    monkeypatch.setattr(download, "_BLOCK_BYTES", 10_000)
    real, writes = download.write_all, 0

    def failing(file: object, data: bytes) -> None:
        nonlocal writes
        writes += 1
        if writes > at:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file, data)  # type: ignore[arg-type]

    server = world.server()
    try:
        monkeypatch.setattr(download, "write_all", failing)
        assert fetch(server, monkeypatch, "--from", DAY) == 1
        said = capsys.readouterr().err.splitlines()
        assert said[-1].startswith("l2vault: the disk is full:") and not [
            name for name in named(vault) if not name.startswith(".")
        ]
        monkeypatch.setattr(download, "write_all", real)
        assert fetch(server, monkeypatch, "--from", DAY) == 0
        name = f"{INST}-L2orderbook-400lv-{DAY}.tar.gz"
        (good,) = [file.path for file in world.files if file.name == name]
        assert (vault / "okx_archive" / "files" / "books400" / name).read_bytes() == good.read_bytes()
    finally:
        server.close()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("wrong-size=*", "it is not the file that it names"),
        ("huge=*", "more than 3 times as much"),
        ("redirect=*", "files.example.com"),
        ("403=*", "HTTP 403"),
        ("html=*", "it is not the file that it names"),
    ],
)
def test_what_is_not_the_file_is_refused_with_the_reason_and_nothing_stays(
    world: ArchiveWorld,
    vault: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: str,
    says: str,
) -> None:
    server = world.server(*parse_archive_faults(fault))
    try:
        assert fetch(server, monkeypatch, "--from", DAY) == 1
        assert says in capsys.readouterr().err.splitlines()[-1]
        assert not [name for name in named(vault) if not name.startswith(".")]
    finally:
        server.close()


def test_a_page_of_a_log_in_is_no_archive(world: ArchiveWorld, tmp_path: Path) -> None:
    server = world.server(*parse_archive_faults("html=*"))
    try:
        loader = download.Downloader(Shelf(Layout(tmp_path)), Hosts([server.host]), 5.0, lambda _: None, lambda: "")
        wanted = Wanted("books400", INST, DAY)
        with pytest.raises(RestError, match="gave no archive: it begins with b'<html>"):
            loader.fetch(wanted, download.Source(server.url + wanted.addresses[0], 0.0, "unlisted"), None, print)
    finally:
        server.close()


def test_only_named_hosts_over_https_are_asked() -> None:
    hosts = Hosts(["static.okx.com", "127.0.0.1:8123"])
    for url in ("https://static.okx.com/a", "https://STATIC.okx.com:443/a", "http://127.0.0.1:8123/a"):
        assert hosts.check(url) == url
    for url in (
        *("http://static.okx.com/a", "https://static.okx.com.evil.net/a", "https://u@static.okx.com/a"),
        *("file:///etc/passwd", "http://127.0.0.1:80/a", "https://static.okx.com:8443/a", "http://[", ""),
    ):
        with pytest.raises(VaultError):
            hosts.check(url)
    with pytest.raises(VaultError, match="example"):
        hosts.redirected("https://static.okx.com/a", "//example.com/b")


def test_documented_addresses_are_asked_at_the_first_host_that_is_named() -> None:
    assert Hosts(["b.example", "a.example"]).base("https://static.okx.com") == "https://b.example"


def test_without_a_network_an_older_day_is_not_said_to_be_absent(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(self: download.Downloader, url: str) -> int | None:
        raise Unavailable("no network", "again later")

    monkeypatch.setattr(download.Downloader, "size_of", unreachable)
    server = world.server(*parse_archive_faults("unlisted=*"))
    try:
        assert fetch(server, monkeypatch, "--older", "--from", DAY) == 1
        said = capsys.readouterr()
        assert "no network" in said.err and not said.out
    finally:
        server.close()


def test_a_host_that_is_not_named_is_not_asked(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = world.server()
    try:
        assert fetch(server, monkeypatch, hosts="static.okx.com") == 1
        assert "archive_hosts (static.okx.com)" in capsys.readouterr().err
        assert not [key for key in server.requests if key.startswith("GET")]
    finally:
        server.close()


def test_older_days_come_from_their_documented_address_and_are_labelled(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = world.server(*parse_archive_faults(f"unlisted=*{BEFORE}*,hole=*{DAY}*"))
    try:
        assert fetch(server, monkeypatch) == 1
        assert "not in OKX's index: books400 of 2026-01-01, 2026-01-02" in capsys.readouterr().out
        assert fetch(server, monkeypatch, "--older") == 1
        out = capsys.readouterr().out
        assert "unlisted" in out and "books400 of 2026-01-02 (nor at their documented addresses)" in out
        assert server.requests[f"HEAD {INST}-L2orderbook-400lv-{BEFORE}.tar.gz"] == 1
    finally:
        server.close()


def test_a_sample_is_the_first_part_and_reads_up_to_its_end(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = world.server()
    monkeypatch.setattr("l2vault.verbs.fetch.SAMPLE_BYTES", 30_000)
    try:
        assert fetch(server, monkeypatch, "--sampled", "--from", DAY) == 0
        path = vault / "okx_archive" / "files" / "books400" / f"sample-{INST}-L2orderbook-400lv-{DAY}.tar.gz"
        assert path.stat().st_size == 30_000
        rows = [json.loads(line) for line in lines_of(path, is_sample=True)]
        assert len(rows) > 100 and rows[0]["action"] == "snapshot"
        assert fetch(server, monkeypatch, "--sampled", "--what", "trades") == 2
    finally:
        server.close()


def test_much_is_asked_for_before_it_begins(
    world: ArchiveWorld, vault: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = world.server()
    monkeypatch.setattr("l2vault.verbs.fetch.ASKS_ABOVE_BYTES", 10_000)
    try:
        assert fetch(server, monkeypatch) == 1
        assert "--yes" in capsys.readouterr().err and named(vault) == []
        assert fetch(server, monkeypatch, "--yes") == 0
    finally:
        server.close()


def test_where_okx_refuses_a_day_of_several_the_others_are_asked_alone() -> None:
    class Index(OkxRest):
        asked: ClassVar[list[int]] = []

        def archive_index(self, query: Mapping[str, str]) -> list[bytes]:
            self.asked.append(int(query["begin"]))
            if int(query["begin"]) < MIDNIGHT_MS:
                raise RestError("code 51000", "")
            name = f"{INST}-L2orderbook-400lv-{DAY}.tar.gz"
            file = {"filename": name, "url": "https://static.okx.com/x", "sizeMB": "1.50"}
            return [json.dumps({"details": [{"groupDetails": [file]}]}).encode()]

    pauses: list[float] = []
    wanted = wanted_files("books400", INST, (MIDNIGHT_MS - 86_400_000, MIDNIGHT_MS + 86_400_000))
    found, refused = ask_index(Index("https://www.okx.com", 1.0), wanted, pauses.append)
    assert [(each.date, offer.size_mb) for each, offer in found.items()] == [(DAY, 1.5)] and refused == "code 51000"
    assert len(Index.asked) == 3 and min(pauses) >= 0.4, "5 requests in 2 s"


def test_a_day_of_utc_needs_two_files_of_utc_8() -> None:
    day = MIDNIGHT_MS, MIDNIGHT_MS + 86_400_000
    assert [each.date for each in wanted_files("trades", INST, day)] == ["2026-01-02", "2026-01-03"]
    assert [each.date for each in wanted_files("books400", INST, day)] == ["2026-01-02"]
    for what in ("books400", "books5000", "trades", "funding"):
        (first, *_) = wanted_files(what, INST, day)
        assert parse_name(first.name, INST) == first and first.addresses[0].endswith(first.name)
    for name in ("../x.zip", f"{INST}-trades-2026-02-30.zip", f"ETH-{INST}-trades-2026-01-01.zip", "x"):
        assert parse_name(name, INST) is None
    assert Wanted("trades", INST, DAY).span[1] == MIDNIGHT_MS + 16 * 3_600_000
    (month,) = wanted_files("trades", INST, (MIDNIGHT_MS, MIDNIGHT_MS + 86_400_000), by_month=True)
    assert parse_name(month.name, INST) == month and month.span[1] - month.span[0] == 31 * 86_400_000
    assert Wanted("trades", INST, "2026-12").span[1] == Wanted("trades", INST, "2027-01").span[0]
    assert parse_name(f"{INST}-L2orderbook-400lv-2026-01.tar.gz", INST) is None
