"""One push of trades and its one line of JSON, both ways."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.trade import TradePush, trade_fault, trade_from_line, trade_to_line
from l2vault.errors import LineError

GOLDEN = TradePush(
    inst_id="BTC-USDT-SWAP",
    trade_id="1216801608",
    px="93630",
    sz="2.1",
    side="buy",
    ts="1735689659701",
    count="3",
    source="0",
    seq_id=78677952860,
    recv_us=1_735_689_659_733_021,
    origin="ws",
)
GOLDEN_LINE = (
    b'{"timestamp_utc":"2025-01-01T00:00:59.701Z","exchange":"okx","market":"perp","channel":"trades",'
    b'"instId":"BTC-USDT-SWAP","tradeId":"1216801608","px":"93630","sz":"2.1","side":"buy","ts":"1735689659701",'
    b'"count":"3","source":"0","seqId":78677952860,"recv_utc":"2025-01-01T00:00:59.733021Z","origin":"ws"}'
)

decimals = st.decimals("0.00000001", 10**9, places=8, allow_nan=False).map(lambda number: f"{number:f}")
pushes = st.builds(
    TradePush,
    inst_id=st.sampled_from(["BTC-USDT-SWAP", "1INCH-USD-SWAP", "猫-USDT-SWAP"]),
    trade_id=st.integers(1000, 10**18 - 1).map(str),
    px=decimals,
    sz=decimals,
    side=st.sampled_from(["buy", "sell"]),
    ts=st.integers(1, 250_000_000_000_000).map(str),
    count=st.one_of(st.none(), st.integers(1, 1000).map(str)),
    source=st.one_of(st.none(), st.sampled_from(["0", "1", "7"])),
    seq_id=st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    recv_us=st.integers(0, 250_000_000_000_000_000),
    origin=st.sampled_from(["ws", "rest", "archive"]),
    overlap=st.booleans(),
)


def altered(**values: object) -> bytes:
    """The golden line with other values; one of `...` leaves its key out."""
    row = {key: value for key, value in (json.loads(GOLDEN_LINE) | values).items() if value is not ...}
    return json.dumps(row, separators=(",", ":")).encode()


def test_the_line_is_exactly_this_to_the_byte() -> None:
    assert trade_to_line(GOLDEN) == GOLDEN_LINE
    assert trade_from_line(GOLDEN_LINE) == GOLDEN


def test_a_line_of_rest_has_neither_count_nor_source_nor_number_and_an_overlap_is_marked_behind_all_others() -> None:
    push = msgspec.structs.replace(GOLDEN, count=None, source=None, seq_id=None, origin="rest", overlap=True)
    line = trade_to_line(push)
    assert line.endswith(
        b'"count":null,"source":null,"seqId":null,"recv_utc":"2025-01-01T00:00:59.733021Z","origin":"rest","overlap":true}'
    )
    assert trade_from_line(line) == push


@given(pushes)
def test_every_push_comes_back_from_its_line(push: TradePush) -> None:
    assert trade_fault(push) is None
    assert trade_from_line(trade_to_line(push)) == push


def test_no_push_stands_for_more_ids_than_there_were() -> None:
    assert trade_fault(msgspec.structs.replace(GOLDEN, trade_id="2", count="3")) is None
    assert trade_fault(msgspec.structs.replace(GOLDEN, trade_id="2", count="4")) == "count 4 is more than tradeId 2"


def test_a_push_stands_for_the_ids_up_to_its_own() -> None:
    assert (GOLDEN.first_id, GOLDEN.last_id) == (1216801606, 1216801608)
    alone = msgspec.structs.replace(GOLDEN, count=None)
    assert (alone.first_id, alone.last_id) == (1216801608, 1216801608)


def test_a_key_of_a_later_version_is_passed_over() -> None:
    assert trade_from_line(altered(venue="x", more={"a": [1]})) == GOLDEN


@pytest.mark.parametrize(
    "change",
    [
        {"channel": "books"},
        {"exchange": "other"},
        {"tradeId": "12x"},
        {"tradeId": ""},
        {"tradeId": 1216801608},
        {"tradeId": "1" * 19},
        {"count": "0"},
        {"count": "-1"},
        {"count": "1216801610"},
        {"px": "1e5"},
        {"px": "0"},
        {"px": 93630},
        {"sz": "0.0"},
        {"side": "both"},
        {"ts": "1735689659702"},
        {"ts": "0", "timestamp_utc": "1970-01-01T00:00:00.000Z"},
        {"timestamp_utc": "2025-01-01T00:00:59.7Z"},
        {"recv_utc": "2025-01-01T00:00:59.733Z"},
        {"recv_utc": "2025-01-01T00:00:59.73302xZ"},
        {"origin": "mars"},
        {"seqId": 2**63},
        {"seqId": "5"},
        {"instId": ...},
        {"sz": ...},
        {"origin": ...},
    ],
    ids=str,
)
def test_an_altered_line_is_none(change: dict[str, object]) -> None:
    with pytest.raises(LineError):
        trade_from_line(altered(**change))


def test_a_line_that_is_cut_at_any_byte_is_none() -> None:
    for end in range(len(GOLDEN_LINE)):
        with pytest.raises(LineError):
            trade_from_line(GOLDEN_LINE[:end])


def test_the_example_of_the_documents_is_a_line() -> None:
    text = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    (example,) = [row for row in text.splitlines() if row.startswith('{"timestamp_utc"') and '"trades"' in row]
    assert trade_to_line(trade_from_line(example.encode())) == example.encode()
    keys = [part for row in text.split("## A line of trades")[1].split("\n## ")[0].splitlines() for part in [row]]
    for name in json.loads(example):
        assert any(f"`{name}`" in row for row in keys), name
