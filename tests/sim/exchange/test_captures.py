import gzip
import json
import logging
import sys
from collections import Counter
from pathlib import Path

import pytest
import zstandard

from l2vault.book.book import Book
from l2vault.errors import CaptureError
from l2vault.okx.checksum import book_checksum
from l2vault.okx.messages import decode
from l2vault.okx.sequence import is_chained
from l2vault.sim.exchange.captures import survey
from support.captured import read_books

OKX_2022 = "okx-ws/cryptofeed_2022-05-13_books.log.zst"
OKCOIN_2023 = "okx-ws/cryptofeed_okcoin_2023-05-27_books.log.zst"
GAP_2026 = "okx-ws/l2-orderbook-pipeline_2026-07-12_BTC-USDT_books_3msgs.jsonl"
TODAY_2026 = "okx-ws/tickvault_2026-08-24_BTC-USDT_books.jsonl"
DERIVED_2022 = "derived/DERIVED_okx-real-2022-05-13_books_plus-synthetic-seqId.jsonl.zst"
DERIVED_BTC = "derived/DERIVED_BTC-USDT-SWAP_from-binance-20240808.jsonl.zst"
DERIVED_ETH = "derived/DERIVED_ETH-USDT-SWAP_from-binance-20240808.jsonl.zst"

ACK = '{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"32f4414f"}'
TICKER = '{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","last":"1","ts":"1"}]}'


def push(action, ts, inst_id="BTC-USDT", bids=(), asks=(), numbers=None):
    data = {"asks": list(asks), "bids": list(bids), "ts": str(ts), "checksum": 0}
    if numbers:
        data |= {"seqId": numbers[0], "prevSeqId": numbers[1]}
    frame = {"arg": {"channel": "books", "instId": inst_id}, "action": action, "data": [data]}
    return json.dumps(frame, separators=(",", ":"))


def level(price, quantity="1"):
    return [price, quantity, "0", "1"]


def written(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def read(*paths: Path, verbatim=False):
    return list(read_books(paths, verbatim))


@pytest.mark.parametrize(
    ("name", "actions", "places_ms"),
    [
        (OKX_2022, {"snapshot": 3, "update": 287}, (1652459225393, 1652459236119)),
        (OKCOIN_2023, {"snapshot": 4, "update": 2}, (1685221657104, 1685221678803)),
        (GAP_2026, {"snapshot": 1, "update": 2}, (1783786805708, 1783786806308)),
        (TODAY_2026, {"snapshot": 1, "update": 6}, (1787612486107, 1787612486707)),
        (DERIVED_2022, {"snapshot": 3, "update": 287}, (1652459225393, 1652459236119)),
        (DERIVED_BTC, {"snapshot": 1, "update": 3437}, (1723161256600, 1723161601100)),
        (DERIVED_ETH, {"snapshot": 1, "update": 3440}, (1723161256600, 1723161601200)),
    ],
)
def test_every_real_capture_gives_its_books_pushes_and_nothing_else(captures, name, actions, places_ms):
    ticks = read(captures / name)

    assert Counter("snapshot" if tick.change.is_snapshot else "update" for tick in ticks) == actions
    assert (ticks[0].ts_ms, ticks[-1].ts_ms) == places_ms
    assert all(earlier.ts_ms <= later.ts_ms for earlier, later in zip(ticks, ticks[1:], strict=False))
    assert all(decode(tick.frame.encode()) == tick.change for tick in ticks)


def test_the_capture_of_2022_gets_a_chain_and_keeps_all_290_checksums(captures):
    books, last = {}, {}
    raw = read(captures / OKX_2022, verbatim=True)
    for tick, original in zip(read(captures / OKX_2022), raw, strict=True):
        change = tick.change
        if change.is_snapshot:
            assert change.prev_seq_id == -1
        else:
            assert change.prev_seq_id == last[change.inst_id] < change.seq_id
        last[change.inst_id] = change.seq_id
        book = books.setdefault(change.inst_id, Book())
        book.apply(change)
        assert book_checksum(*book.top(25)) == change.checksum
        # Nothing but the two numbers has been added, and in their place on the wire.
        added = f',"seqId":{change.seq_id},"prevSeqId":{change.prev_seq_id}}}]}}'
        assert tick.frame == original.frame.removesuffix("}]}") + added
    assert last.keys() == {"BTC-USDT", "UNI-USD-SWAP", "BTC-USD-220527"}


def test_numbers_made_for_the_capture_of_2022_prove_as_much_as_those_made_elsewhere(captures):
    def shape(tick):
        change = tick.change
        return change.inst_id, change.is_snapshot, change.bids, change.asks, change.ts_ms, change.checksum

    assert list(map(shape, read(captures / OKX_2022))) == list(map(shape, read(captures / DERIVED_2022)))


@pytest.mark.parametrize("name", [GAP_2026, TODAY_2026])
def test_numbered_frames_keep_their_text_byte_for_byte(captures, name):
    recorded = (captures / name).read_bytes().splitlines()
    frames = [line.decode() for line in recorded if b'"event"' not in line]

    assert [tick.frame for tick in read(captures / name)] == frames
    assert [tick.frame for tick in read(captures / name, verbatim=True)] == frames


def test_a_gap_in_a_capture_stays_a_gap(captures):
    full, chained, beyond = (tick.change for tick in read(captures / GAP_2026))

    assert is_chained(chained, full.seq_id)
    assert not is_chained(beyond, chained.seq_id)


def test_verbatim_frames_of_2022_get_no_numbers(captures):
    ticks = read(captures / OKX_2022, verbatim=True)

    assert {(tick.change.seq_id, tick.change.prev_seq_id) for tick in ticks} == {(None, None)}
    assert not any("seqId" in tick.frame for tick in ticks)


def test_an_empty_update_without_a_number_becomes_a_heartbeat(captures):
    empty = [tick.change for tick in read(captures / OKCOIN_2023) if not tick.change.is_snapshot]

    assert [(change.bids, change.asks) for change in empty] == [([], []), ([], [])]
    assert all(change.seq_id == change.prev_seq_id is not None for change in empty)


def test_a_second_full_book_without_a_number_starts_a_new_chain_above_the_old_one(tmp_path):
    file = written(
        tmp_path / "capture.jsonl",
        push("snapshot", 1000, bids=[level("1")]),
        push("update", 1100, bids=[level("2")]),
        push("snapshot", 1200),
        push("update", 1300, asks=[level("5"), level("6")]),
    )

    numbers = [(tick.change.prev_seq_id, tick.change.seq_id) for tick in read(file)]

    assert numbers == [(-1, 1001), (1001, 1002), (-1, 1003), (1003, 1005)]


def test_a_chain_goes_on_from_numbers_that_were_recorded(tmp_path):
    old = written(tmp_path / "old.jsonl", push("snapshot", 1000, numbers=(500, -1)))
    new = written(tmp_path / "new.jsonl", push("update", 1100, bids=[level("2")]))

    assert [(t.change.prev_seq_id, t.change.seq_id) for t in read(old, new)] == [(-1, 500), (500, 501)]


FORMS = {
    "plain.jsonl": lambda text: text,
    "packed.jsonl.gz": gzip.compress,
    "packed.jsonl.zst": zstandard.compress,
    "two-frames.zst": lambda text: zstandard.compress(text[:90]) + zstandard.compress(text[90:]),
    "gzip-called.jsonl": gzip.compress,
    "zstd-called.gz": zstandard.compress,
    "windows.jsonl": lambda text: text.replace(b"\n", b"\r\n"),
    "no-last-line-end.jsonl": lambda text: text.removesuffix(b"\n"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_file_is_read_by_what_it_is_and_not_by_its_name(tmp_path, name):
    lines = [ACK, push("snapshot", 1, numbers=(1, -1)), "pong", TICKER, push("update", 2, numbers=(2, 1))]
    (tmp_path / name).write_bytes(FORMS[name](("\n".join(lines) + "\n").encode()))

    assert [tick.frame for tick in read(tmp_path / name)] == [lines[1], lines[4]]


def test_what_was_sent_and_when_it_was_connected_is_no_part_of_a_log(tmp_path):
    got = push("snapshot", 7, numbers=(1, -1))
    file = written(
        tmp_path / "capture.log",
        "wss://ws.okx.com:8443/ws/v5/public <-> 1652459224.5300605",
        "wss://ws.okx.com:8443/ws/v5/public <- 1652459225.2987883: " + push("snapshot", 6, numbers=(1, -1)),
        f"1652459225.50: {ACK}",
        f"1652459225.51: {got}",
        "1652459225.52: pong",
    )

    assert [tick.frame for tick in read(file)] == [got]


def test_files_merge_by_time_and_each_keeps_its_own_order(tmp_path):
    first = written(
        tmp_path / "first.jsonl",
        push("snapshot", 100, "A", numbers=(1, -1)),
        push("update", 0, "A", numbers=(2, 1)),
        push("update", 300, "A", numbers=(3, 2)),
        push("update", 200, "A", numbers=(4, 3)),
    )
    second = written(
        tmp_path / "second.jsonl",
        push("snapshot", 100, "B", numbers=(1, -1)),
        push("update", 250, "B", numbers=(2, 1)),
        push("update", 300, "B", numbers=(3, 2)),
    )

    merged = [(tick.ts_ms, tick.change.inst_id, tick.change.seq_id) for tick in read(first, second)]

    assert merged == [
        (100, "A", 1),
        (100, "A", 2),
        (100, "B", 1),
        (250, "B", 2),
        (300, "A", 3),
        (300, "A", 4),
        (300, "B", 3),
    ]


def test_a_push_before_any_known_time_has_the_place_of_the_first_one(tmp_path):
    file = written(tmp_path / "capture.jsonl", push("snapshot", 0), push("update", 0), push("update", 5000))

    assert [tick.ts_ms for tick in read(file)] == [5000, 5000, 5000]


def test_a_capture_without_any_time_stands_still(tmp_path):
    file = written(tmp_path / "capture.jsonl", push("snapshot", 0), push("update", 0))

    assert [tick.ts_ms for tick in read(file)] == [0, 0]


def test_a_capture_is_read_as_it_is_asked_for(tmp_path):
    file = written(tmp_path / "capture.jsonl", *(push("update", ts) for ts in range(1, 20_000)))
    damaged = tmp_path / "damaged.jsonl.gz"
    packed = gzip.compress(file.read_bytes())
    damaged.write_bytes(packed[: len(packed) // 2])

    ticks = read_books([damaged], verbatim=False)

    assert [next(ticks).ts_ms, next(ticks).ts_ms] == [1, 2]
    with pytest.raises(CaptureError, match=r"damaged\.jsonl\.gz"):
        list(ticks)


def damaged_zstd(content: bytes) -> bytes:
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(content))
    packed[-1] ^= 0xFF
    return bytes(packed)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.jsonl", b""),
        ("only-acks.jsonl", f"{ACK}\n{TICKER}\n".encode()),
        ("rest-body.json", b'{"code":"0","data":[{"asks":[],"bids":[],"ts":"1"}],"msg":""}'),
        ("other-channel.jsonl", push("snapshot", 1).replace('"books"', '"books5"').encode()),
        ("noise.bin", bytes(range(256)) * 40),
        ("torn.gz", gzip.compress(b"x" * 5000, mtime=0)[:40]),
        ("damaged.zst", damaged_zstd(push("snapshot", 1).encode() * 3)),
    ],
)
def test_what_is_no_capture_is_an_error_that_names_the_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    for use in (lambda path: read(path), lambda path: survey([path])):
        with pytest.raises(CaptureError, match=name):
            use(tmp_path / name)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(CaptureError, match=r"absent\.jsonl.*Try: the path"):
        read(tmp_path / "absent.jsonl")


def test_without_the_zstandard_library_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "capture.zst").write_bytes(zstandard.compress(push("snapshot", 1).encode()))
    monkeypatch.setitem(sys.modules, "zstandard", None)

    with pytest.raises(CaptureError, match=r"capture\.zst.*Try: pip install zstandard"):
        read(tmp_path / "capture.zst")


def test_a_torn_frame_is_skipped_and_reported(tmp_path, caplog):
    whole = push("snapshot", 1, numbers=(1, -1))
    file = written(tmp_path / "capture.jsonl", whole, push("update", 2)[:60])

    with caplog.at_level(logging.WARNING):
        assert [tick.frame for tick in read(file)] == [whole]
    assert "capture.jsonl: 1 unreadable frames skipped" in caplog.text


def test_the_instruments_of_captures_are_those_with_a_book(captures, tmp_path):
    tickers = written(tmp_path / "mixed.jsonl", TICKER.replace("BTC", "SOL"), push("update", 1, "ETH-USDT"))

    names = survey([captures / OKX_2022, tickers, captures / DERIVED_BTC]).inst_ids

    assert names == ["BTC-USD-220527", "UNI-USD-SWAP", "BTC-USDT", "ETH-USDT", "BTC-USDT-SWAP"]
