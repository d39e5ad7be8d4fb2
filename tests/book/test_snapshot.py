"""The row of the vault and its one line of JSON, both ways."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2vault.book.book import Book
from l2vault.book.change import BookChange
from l2vault.book.snapshot import Snapshot, from_line, instrument_of, take_snapshot, to_line
from l2vault.errors import LevelError, LineError

GOLDEN = Snapshot(
    inst_id="BTC-USDT-SWAP",
    ts_ms=1702567845123,
    depth=400,
    bids=[("43250.7", "12.5", "0", "3"), ("43250.6", "1", "0", "1")],
    asks=[("43250.8", "790.41", "0", "42")],
    checksum=0,
    seq_id=78677952860,
    prev_seq_id=78677952829,
)
GOLDEN_LINE = (
    b'{"timestamp_utc":"2023-12-14T15:30:45.123Z","exchange":"okx","market":"perp","channel":"books",'
    b'"instId":"BTC-USDT-SWAP",'
    b'"bids_top400":[["43250.7","12.5","0","3"],["43250.6","1","0","1"]],"asks_top400":[["43250.8","790.41","0","42"]],'
    b'"best_bid":"43250.7","best_ask":"43250.8","mid_price":"43250.75",'
    b'"checksum":0,"seqId":78677952860,"prevSeqId":78677952829,"gap_detected":false}'
)
KEYS_AT_DEPTH_200 = [
    "timestamp_utc",
    "exchange",
    "market",
    "channel",
    "instId",
    "bids_top200",
    "asks_top200",
    "best_bid",
    "best_ask",
    "mid_price",
    "checksum",
    "seqId",
    "prevSeqId",
    "gap_detected",
]

prices = st.one_of(
    st.integers(0, 10**12).map(str),
    st.decimals(0, 10**9, places=8, allow_nan=False).map(lambda number: f"{number:f}"),
)
levels = st.lists(st.tuples(prices, prices, st.just("0"), st.integers(0, 99).map(str)), max_size=6)
numbers = st.one_of(st.none(), st.integers(-(2**31), 2**53))
snapshots = st.builds(
    Snapshot,
    inst_id=st.sampled_from(["BTC-USDT-SWAP", "1INCH-USD-SWAP", "\u732b-USDT-SWAP", 'odd"name\\']),
    ts_ms=st.integers(0, 253_402_300_799_999),
    depth=st.sampled_from([1, 5, 25, 200, 400]),
    bids=levels,
    asks=levels,
    checksum=numbers,
    seq_id=numbers,
    prev_seq_id=numbers,
    gap_detected=st.booleans(),
)


def altered(**values: object) -> bytes:
    """The golden line with other values; one of None leaves its key out."""
    row = json.loads(GOLDEN_LINE) | values
    return compact({key: value for key, value in row.items() if value is not None})


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class TestTheLine:
    def test_it_is_exactly_this_to_the_byte(self) -> None:
        assert to_line(GOLDEN) == GOLDEN_LINE

    def test_it_reads_back_as_what_was_written(self) -> None:
        assert from_line(GOLDEN_LINE) == GOLDEN
        assert from_line(GOLDEN_LINE + b"\n") == GOLDEN

    def test_its_keys_stand_in_the_owner_s_order_and_name_the_depth(self) -> None:
        snapshot = Snapshot("ETH-USDT-SWAP", 1702567845123, 200, [], [], None, None, None)
        assert list(json.loads(to_line(snapshot))) == KEYS_AT_DEPTH_200

    @pytest.mark.parametrize("depth", [1, 5, 25, 200, 399, 400])
    def test_the_depth_survives_in_the_names_of_its_keys(self, depth: int) -> None:
        line = to_line(Snapshot("ETH-USDT-SWAP", 0, depth, [], [], None, None, None))
        assert f'"bids_top{depth}":[],"asks_top{depth}":[]'.encode() in line
        assert from_line(line).depth == depth

    @pytest.mark.parametrize(
        ("bids", "asks", "prices"),
        [
            ([("1", "1", "0", "1")], [], ("1", None, None)),
            ([], [("2", "1", "0", "1")], (None, "2", None)),
            ([], [], (None, None, None)),
        ],
    )
    def test_an_empty_side_has_no_best_price_and_leaves_no_mid_price(
        self, bids: list, asks: list, prices: tuple[str | None, ...]
    ) -> None:
        line = to_line(Snapshot("X-SWAP", 0, 400, bids, asks, None, None, None))
        row = json.loads(line)
        assert (row["best_bid"], row["best_ask"], row["mid_price"]) == prices
        assert to_line(from_line(line)) == line

    def test_numbers_the_message_did_not_carry_are_null(self) -> None:
        line = to_line(Snapshot("X-SWAP", 0, 400, [], [], None, None, None))
        assert line.endswith(b'"checksum":null,"seqId":null,"prevSeqId":null,"gap_detected":false}')

    def test_a_flagged_line_says_so(self) -> None:
        snapshot = Snapshot("X-SWAP", 0, 400, [], [], 0, 15, 99, gap_detected=True)
        assert to_line(snapshot).endswith(b'"seqId":15,"prevSeqId":99,"gap_detected":true}')

    @given(snapshots)
    def test_reading_undoes_writing_and_writing_undoes_reading(self, snapshot: Snapshot) -> None:
        line = to_line(snapshot)
        assert b"\n" not in line
        assert from_line(line) == snapshot
        assert to_line(from_line(line)) == line


class TestForeignLines:
    def test_a_line_torn_at_any_byte_is_refused(self) -> None:
        for length in range(len(GOLDEN_LINE)):
            with pytest.raises(LineError):
                from_line(GOLDEN_LINE[:length])

    def test_a_line_whose_beginning_is_missing_is_refused(self) -> None:
        for start in range(1, len(GOLDEN_LINE)):
            with pytest.raises(LineError):
                from_line(GOLDEN_LINE[start:])

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"\n",
            b"{}",
            b"null",
            b"[]",
            b'"bids_top400":',
            b"\x00" * 300,
            b"\xff\xfe" + GOLDEN_LINE,
            GOLDEN_LINE + GOLDEN_LINE,
            GOLDEN_LINE + b" x",
            b'{"bids_top400":' + b"[" * 100_000,
            GOLDEN_LINE.replace(b"BTC-USDT-SWAP", b"\xff\xff"),
            GOLDEN_LINE.replace(b"asks_top400", b"asks_top200"),
            GOLDEN_LINE.replace(b"_top400", b"_top0400"),
            GOLDEN_LINE.replace(b'"0","42"', b'"0"'),
            GOLDEN_LINE.replace(b'"43250.7","12.5"', b"43250.7,12.5"),
            GOLDEN_LINE.replace(b"_top400", b"_topN"),
        ],
    )
    def test_what_is_no_snapshot_line_is_refused(self, line: bytes) -> None:
        with pytest.raises(LineError):
            from_line(line)

    @pytest.mark.parametrize("key", KEYS_AT_DEPTH_200)
    def test_every_key_is_required(self, key: str) -> None:
        with pytest.raises(LineError):
            from_line(altered(**{key.replace("200", "400"): None}))

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("timestamp_utc", "2023-12-14T15:30:45Z"),
            ("timestamp_utc", 1702567845123),
            ("exchange", "binance"),
            ("market", "spot"),
            ("channel", "books5"),
            ("checksum", "0"),
            ("seqId", 1.5),
            ("gap_detected", "false"),
            ("gap_detected", 0),
            ("of_another_program", True),
        ],
    )
    def test_a_line_of_another_kind_is_refused(self, key: str, value: object) -> None:
        with pytest.raises(LineError):
            from_line(altered(**{key: value}))

    @pytest.mark.parametrize(
        ("key", "value"), [("best_bid", "43250.6"), ("best_ask", "43250.80"), ("mid_price", "43250.750")]
    )
    def test_a_derived_value_that_the_levels_contradict_shows_when_it_is_written_again(
        self, key: str, value: str
    ) -> None:
        line = altered(**{key: value})
        assert to_line(from_line(line)) == GOLDEN_LINE != line

    @pytest.mark.parametrize("price", ["abc", "", "1e5", "-1", "NaN", "9" * 5000])
    def test_a_price_that_is_no_number_is_our_own_error_when_it_is_needed(self, price: str) -> None:
        snapshot = from_line(GOLDEN_LINE.replace(b'["43250.7"', f'["{price}"'.encode()))
        with pytest.raises(LevelError):
            to_line(snapshot)


class TestTakeSnapshot:
    def test_it_is_the_book_as_it_stands_to_the_depth_asked_for(self) -> None:
        bids = [(str(100 - rank), "1", "0", "1") for rank in range(5)]
        asks = [(str(101 + rank), "2", "0", "1") for rank in range(2)]
        book = Book()
        book.apply(BookChange("X-SWAP", True, bids, asks, 1500, 7, -1, 99))
        assert take_snapshot("X-SWAP", book, 3) == Snapshot("X-SWAP", 1500, 3, bids[:3], asks, 99, 7, -1)

    def test_a_later_change_of_the_book_does_not_reach_it(self) -> None:
        book = Book()
        book.apply(BookChange("X-SWAP", True, [("1", "1", "0", "1")], [], 1500, 7, -1, None))
        taken = take_snapshot("X-SWAP", book, 400)
        book.apply(BookChange("X-SWAP", False, [("1", "0", "0", "0")], [], 1600, 8, 7, None))
        assert (taken.bids, taken.ts_ms, taken.seq_id) == ([("1", "1", "0", "1")], 1500, 7)

    def test_a_book_without_a_time_cannot_be_a_line(self) -> None:
        book = Book()
        book.apply(BookChange("X-SWAP", True, [], [], None, 7, -1, None))
        with pytest.raises(ValueError, match="X-SWAP"):
            take_snapshot("X-SWAP", book, 400)


def _instrument(line: bytes) -> str | None:
    try:
        return from_line(line).inst_id
    except LineError:
        return None


def _cheaply(line: bytes) -> str | None:
    try:
        return instrument_of(line)
    except LineError:
        return None


@given(snapshots)
def test_the_cheap_check_of_a_line_accepts_what_is_written(snapshot: Snapshot) -> None:
    assert instrument_of(to_line(snapshot)) == snapshot.inst_id


@pytest.mark.parametrize("byte", [b"", b"7", b'"', b",", b"[", b"]", b" ", b"\0", b"N", b"\xff", b'["1","2"],'])
def test_the_cheap_check_of_a_line_refuses_what_reading_it_refuses(byte: bytes) -> None:
    for at in range(len(GOLDEN_LINE)):
        for rest in (at, at + 1):
            line = GOLDEN_LINE[:at] + byte + GOLDEN_LINE[rest:]
            assert _cheaply(line) == _instrument(line), line
