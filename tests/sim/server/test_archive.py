"""The built-in exchange's archive: files in OKX's exact form, an index that names them, and a server that can fail."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.errors import UsageError
from l2vault.sim.exchange.archive import make_archive
from l2vault.sim.server.archive import INDEX_PATH, ArchiveFault, ArchiveServer, parse_archive_faults
from support.archive_world import INST, MIDNIGHT_MS, ArchiveWorld, make_world, ticks

AGENT = {"User-Agent": "test"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ArchiveWorld:
    return make_world(tmp_path_factory.mktemp("archive"))


def lines(world: ArchiveWorld, name: str) -> list[dict[str, object]]:
    path = next(file.path for file in world.files if file.name == name)
    with tarfile.open(path) as tar:
        (member,) = tar.getmembers()
        held = tar.extractfile(member)
        assert held is not None and member.name == name.replace(".tar.gz", ".data")
        return [json.loads(line) for line in held]


def test_a_day_has_the_form_of_okx_and_rebuilds_to_each_of_its_full_books(world: ArchiveWorld) -> None:
    rows = lines(world, f"{INST}-L2orderbook-400lv-2026-01-02.tar.gz")
    assert list(rows[0]) == ["instId", "action", "ts", "asks", "bids"]
    book, whole = Book(), 0
    for row in rows:
        sides = [[(price, size, "0", count) for price, size, count in row[side]] for side in ("bids", "asks")]
        change = BookChange(INST, row["action"] == "snapshot", *sides, int(str(row["ts"])), None, None, None)
        if change.is_snapshot and book.ts_ms is not None:
            whole += 1
            assert book.top(400) == (change.bids, change.asks)
            assert book.ts_ms == change.ts_ms, "the time of the update before it repeats"
        book.apply(change)
    assert (rows[0]["action"], whole) == ("snapshot", 1)
    last = world.oracle.truths(INST)[-1]
    assert book.top(400) == (last.image.bids, last.image.asks)
    deep = lines(world, f"{INST}-L2orderbook-5000lv-2026-01-01.tar.gz")
    assert deep[0]["action"] == "snapshot" and int(str(deep[-1]["ts"])) < MIDNIGHT_MS


def test_a_full_book_in_the_middle_of_a_day_is_a_line_of_its_own(tmp_path: Path) -> None:
    """Nothing of the book before it is left behind one, whose levels no update takes away."""
    spans = (MIDNIGHT_MS, MIDNIGHT_MS + 6_000), (MIDNIGHT_MS + 60_000, MIDNIGHT_MS + 63_000)
    pushes = [list(ticks(1_000, *span)) for span in spans]
    again = pushes[1][0].change
    files = make_archive(tmp_path, [*pushes[0], *pushes[1]], is_funded=False)
    rows = lines(ArchiveWorld(files), f"{INST}-L2orderbook-400lv-2026-01-02.tar.gz")
    full = [row for row in rows if row["action"] == "snapshot"]
    assert [int(str(row["ts"])) for row in full] == [MIDNIGHT_MS, MIDNIGHT_MS + 60_000]
    assert full[1]["bids"] == [[price, size, orders] for price, size, _, orders in again.bids]
    assert sum(int(str(row["ts"])) == MIDNIGHT_MS + 60_000 for row in rows) == 1


def test_trades_are_single_matches_without_a_gap_in_their_ids(world: ArchiveWorld) -> None:
    names = [file.name for file in world.files if file.kind == "trades"]
    assert names == [f"{INST}-trades-2026-01.zip", f"{INST}-trades-2026-01-02.zip"], "two UTC days, one of UTC+8"
    with zipfile.ZipFile(world.files[-1].path) as packed:
        head, *rows = packed.read(f"{INST}-trades-2026-01-02.csv").decode().splitlines()
    assert head == "instrument_name,trade_id,side,price,size,created_time,source"
    ids = [int(row.split(",")[1]) for row in rows]
    assert len(ids) > 100 and ids == list(range(ids[0], ids[-1] + 1))


def test_the_index_names_what_there_is_newest_first_and_sizes_in_megabytes(world: ArchiveWorld) -> None:
    server = world.server(ArchiveFault("hole", "*400lv-2026-01-01*"))
    try:
        query = "module=5&instType=SWAP&instFamilyList=BTC-USDT&dateAggrType=daily"
        query += f"&begin={MIDNIGHT_MS - 1}&end={MIDNIGHT_MS}"
        with urlopen(f"{server.url}{INDEX_PATH}?{query}") as reply:
            (data,) = json.load(reply)["data"]
        (group,) = data["details"]
        assert [each["filename"][-17:-7] for each in group["groupDetails"]] == ["2026-01-02", "2026-01-01"]
        first = group["groupDetails"][0]
        with urlopen(Request(first["url"], method="HEAD", headers=AGENT)) as reply:
            assert f"{int(reply.headers['Content-Length']) / 1e6:.2f}" == first["sizeMB"]
        with urlopen(f"{server.url}{INDEX_PATH}?{query.replace('module=5', 'module=4')}") as reply:
            assert [each["filename"][-17:-7] for each in json.load(reply)["data"][0]["details"][0]["groupDetails"]] == [
                "2026-01-02"
            ]
    finally:
        server.close()


def get(server: ArchiveServer, world: ArchiveWorld, day: str, **headers: str) -> tuple[int, bytes]:
    (target,) = [file.target for file in world.files if file.kind == "books5000" and file.date == day]
    with urlopen(Request(server.url + target, headers=AGENT | headers)) as reply:
        return reply.status, reply.read()


def test_ranges_are_answered_and_faults_strike_the_files_that_they_name(world: ArchiveWorld) -> None:
    server = world.server(*parse_archive_faults("403=*01-01*,torn=*5000lv*"))
    try:
        with pytest.raises(HTTPError, match="403"):
            get(server, world, "2026-01-01")
        status, head = get(server, world, "2026-01-02", Range="bytes=0-99")
        assert (status, len(head)) == (206, 100)
        _, torn = get(server, world, "2026-01-02")
        with pytest.raises(EOFError):
            gzip.GzipFile(fileobj=io.BytesIO(torn)).read()
        target = next(file.target for file in world.files if file.kind == "trades")
        with pytest.raises(HTTPError, match="403"):  # no client that says who it is
            urlopen(server.url + target)
    finally:
        server.close()
    with pytest.raises(UsageError, match="no fault"):
        parse_archive_faults("tornado=*")


def test_the_same_pushes_make_the_same_lines(world: ArchiveWorld, tmp_path: Path) -> None:
    again = make_world(tmp_path)
    name = f"{INST}-L2orderbook-400lv-2026-01-01.tar.gz"
    assert lines(again, name) == lines(world, name)
