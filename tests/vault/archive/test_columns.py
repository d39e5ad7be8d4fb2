"""Lines as columns: what is read together must be what `from_line` reads one by one, and nothing else may pass."""

import pytest
from hypothesis import given

from l2vault.book.snapshot import to_line
from l2vault.errors import LineError
from l2vault.vault.archive.columns import NO_ORDERS, plain_text, read_columns, readable_only
from support.hours import INST, hours_of_lines, levels, line


@given(hours_of_lines())
def test_columns_hold_what_the_lines_say(snapshots):
    columns = read_columns([to_line(snapshot) for snapshot in snapshots], INST)
    assert columns.ts_ms.tolist() == [snapshot.ts_ms for snapshot in snapshots]
    assert columns.depth.tolist() == [snapshot.depth for snapshot in snapshots]
    assert columns.seq_id == [snapshot.seq_id for snapshot in snapshots]
    assert columns.prev_seq_id == [snapshot.prev_seq_id for snapshot in snapshots]
    assert columns.checksum == [snapshot.checksum for snapshot in snapshots]
    assert columns.gap_detected.tolist() == [snapshot.gap_detected for snapshot in snapshots]
    assert columns.counts.tolist() == [[len(snapshot.bids), len(snapshot.asks)] for snapshot in snapshots]
    told = columns.levels
    read = []
    for code in columns.codes.tolist():
        if code in told.texts:
            read.append(told.texts[code])
        else:
            price = plain_text(int(told.price.num[code]), told.price.den)
            qty = plain_text(int(told.qty.num[code]), told.qty.den)
            read.append(f'"{price}","{qty}","0","{told.orders[code]}"')
    assert read == [
        ",".join(f'"{member}"' for member in level)
        for snapshot in snapshots
        for side in (snapshot.bids, snapshot.asks)
        for level in side
    ]


def test_a_level_that_moves_to_another_place_is_still_the_same_level():
    lines = [line(0, levels("100 5 2", "99 1 1")), line(2000, levels("101 3 1", "100 5 2", "99 1 1"))]
    columns = read_columns([to_line(each) for each in lines], INST)
    first, _, _, second = columns.codes[0], columns.codes[1], columns.codes[2], columns.codes[4]
    assert first == second


def test_an_order_count_that_is_no_number_is_kept_as_text():
    columns = read_columns([to_line(line(0, levels("100 5 many"), []))], INST)
    assert columns.levels.orders.tolist() == [NO_ORDERS]
    assert columns.levels.texts == {0: '"100","5","0","many"'}


def test_no_lines_are_no_columns():
    columns = read_columns([], INST)
    assert (len(columns.ts_ms), len(columns.codes), columns.counts.shape) == (0, 0, (0, 2))


GOOD = to_line(line(0))
FOREIGN = {
    "empty": b"",
    "not JSON": b"hello",
    "torn": GOOD[:-20],
    "torn in its levels": GOOD[:180],
    "two in one": GOOD[:180] + GOOD,
    "of another instrument": GOOD.replace(b"BTC-", b"ETH-"),
    "of another market": GOOD.replace(b'"perp"', b'"spot"'),
    "without a time": GOOD.replace(b"03:00:00.000Z", b"03:61:00.000Z"),
    "with a key too many": GOOD.replace(b'"checksum":0', b'"checksum":0,"more":1'),
    "with a key too few": GOOD.replace(b'"checksum":0,', b""),
    "with a level of three": GOOD.replace(b'"99.5","1","0","1"', b'"99.5","1","1"'),
    "with a level of five": GOOD.replace(b'"99.5","1","0","1"', b'"99.5","1","0","1","1"'),
    "with a number for a price": GOOD.replace(b'"99.5","1"', b'99.5,"1"'),
    "with a price that is none": GOOD.replace(b'"99.5"', b'"abc"'),
    "with a negative price": GOOD.replace(b'"99.5"', b'"-9.5"'),
    "with a price beyond 60 bits": GOOD.replace(b'"99.5"', b'"123456789012345678901"'),
    "with an exponent": GOOD.replace(b'"99.5"', b'"9e15"'),
    "with a nested level": GOOD.replace(b'["99.5"', b'[["99.5"]'),
    "with a null level": GOOD.replace(b'["99.5","1","0","1"]', b"null"),
    "with a torn string": GOOD.replace(b'"99.5"', b'"99.5'),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_no_snapshot_line_is_refused_and_found_among_the_others(what):
    lines = [to_line(line(0)), FOREIGN[what], to_line(line(2000))]
    with pytest.raises(LineError):
        read_columns(lines, INST)
    readable = readable_only(lines, INST)
    assert (readable.lines, readable.indexes) == ([lines[0], lines[2]], [0, 2])
    assert [index for index, _ in readable.bad] == [1]


@pytest.mark.parametrize(
    "spelled",
    [
        GOOD.replace(b",", b", "),
        GOOD.replace(b'"99.5"', b'"\\u0039\\u0039.5"'),
        GOOD.replace(b'"okx"', b'"\\u006fkx"'),
    ],
    ids=["spaces", "an escaped price", "an escaped exchange"],
)
def test_a_line_that_json_allows_is_read_as_to_line_would_write_it(spelled):
    assert spelled != GOOD
    with pytest.raises(LineError):
        read_columns([spelled], INST)
    assert readable_only([spelled], INST).lines == [GOOD]
