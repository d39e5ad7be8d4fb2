"""A push of the book as a line of the vault, both ways."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.change import BookChange
from l2vault.book.change_line import RecordedChange, from_change_line, to_change_line
from l2vault.errors import LineError

GOLDEN = RecordedChange(
    ts_ms=1783786806308,
    change=BookChange(
        inst_id="BTC-USDT-SWAP",
        is_snapshot=False,
        bids=[],
        asks=[("64220.9", "0", "0", "0"), ("64221.1", "0.14394063", "0", "1")],
        ts_ms=1783786806308,
        seq_id=78677952860,
        prev_seq_id=78677952829,
        checksum=0,
        recv_us=1783786806374123,
    ),
    origin="ws",
    feed=1,
)
GOLDEN_LINE = (
    b'{"timestamp_utc":"2026-07-11T16:20:06.308Z","exchange":"okx","market":"perp","channel":"books",'
    b'"instId":"BTC-USDT-SWAP","action":"update",'
    b'"asks":[["64220.9","0","0","0"],["64221.1","0.14394063","0","1"]],"bids":[],"ts":"1783786806308",'
    b'"checksum":0,"seqId":78677952860,"prevSeqId":78677952829,"recv_utc":"2026-07-11T16:20:06.374123Z",'
    b'"origin":"ws","feed":1}'
)

texts = st.text(max_size=4)
levels = st.lists(st.tuples(texts, texts, texts, texts), max_size=4)
numbers = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
changes = st.builds(
    BookChange,
    inst_id=st.sampled_from(["BTC-USDT-SWAP", "\u732b-USDT-SWAP", 'odd"name\\']),
    is_snapshot=st.booleans(),
    bids=levels,
    asks=levels,
    ts_ms=st.one_of(st.none(), st.integers(1, 253_402_300_799_999)),
    seq_id=numbers,
    prev_seq_id=numbers,
    checksum=numbers,
    recv_us=st.integers(0, 253_402_300_799_999_999),
)
recorded = st.builds(
    RecordedChange,
    ts_ms=st.integers(0, 253_402_300_799_999),
    change=changes,
    origin=st.sampled_from(["ws", "rest", "book"]),
    feed=st.integers(0, 10**6),
)


def test_a_push_is_written_with_these_keys_in_this_order() -> None:
    assert to_change_line(GOLDEN) == GOLDEN_LINE
    assert from_change_line(GOLDEN_LINE) == GOLDEN


@given(recorded)
def test_what_is_written_is_read_back(one: RecordedChange) -> None:
    assert from_change_line(to_change_line(one)) == one


def test_a_full_book_and_a_push_without_time_or_numbers_are_told_by_their_values() -> None:
    bare = msgspec.structs.replace(
        GOLDEN.change, is_snapshot=True, ts_ms=None, seq_id=None, prev_seq_id=None, checksum=None
    )
    row = json.loads(to_change_line(msgspec.structs.replace(GOLDEN, change=bare, origin="rest")))
    assert row["action"] == "snapshot"
    assert row["ts"] == "0"
    assert [row[key] for key in ("checksum", "seqId", "prevSeqId")] == [None, None, None]
    assert row["origin"] == "rest"


def test_keys_of_a_later_version_are_passed_over() -> None:
    later = GOLDEN_LINE[:-1] + b',"venue_us":17,"nested":{"a":[1]}}'
    assert from_change_line(later) == GOLDEN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"ws"', b'"radio"'),
        (b'"update"', b'"delta"'),
        (b'"1783786806308"', b'"17837868063.08"'),
        (b'"1783786806308"', b'"01783786806308"'),
        (b'"books"', b'"books5"'),
        (b"06.374123Z", b"06.374Z"),
        (b"06.308Z", b"06.308+00:00"),
        (b'"feed":1}', b'"feed":1'),
        (b'["64220.9","0","0","0"]', b'["64220.9","0","0"]'),
        (b"78677952860", b"78677952860000000000"),
    ],
)
def test_another_line_is_refused(old: bytes, new: bytes) -> None:
    assert old in GOLDEN_LINE
    with pytest.raises(LineError, match="not a line"):
        from_change_line(GOLDEN_LINE.replace(old, new, 1))
