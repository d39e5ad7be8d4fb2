"""Deep books as lines: whatever samples follow each other, their lines give them back, and nothing else passes."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2vault.book.deep import (
    RPI,
    DeepReplay,
    DeepSample,
    Refused,
    best_first,
    checksum_of,
    deep_line_of,
    from_deep_line,
    rpi_quantity,
    to_deep_line,
)
from l2vault.errors import LineError

INST, T0 = "BTC-USDT-SWAP", 1_767_225_600_000
PRICES = [f"{100 + at / 10:.1f}".removesuffix(".0") for at in range(30)]


@st.composite
def samples(draw: st.DrawFn) -> list[DeepSample]:
    sizes = st.sampled_from(["1", "2.5", "0.01", "900"])
    sides = st.dictionaries(st.sampled_from(PRICES), st.tuples(sizes, st.sampled_from(["1", "7"])), max_size=12)
    found = []
    for at in range(draw(st.integers(1, 6))):
        bids, asks = ([(price, *rest) for price, rest in draw(sides).items()] for _ in "ba")
        found.append(DeepSample(INST, T0 + at * 30_000, best_first(bids, True), best_first(asks, False), None, at))
    return found


def lines_of(found: list[DeepSample]) -> list[bytes]:
    return [to_deep_line(deep_line_of(now, before)) for before, now in zip([None, *found[:-1]], found, strict=True)]


@settings(max_examples=25)
@given(samples())
def test_lines_give_back_every_sample(found: list[DeepSample]) -> None:
    replay, lines = DeepReplay(), lines_of(found)
    for sample, text in zip(found, lines, strict=True):
        line = from_deep_line(text)
        assert to_deep_line(line) == text
        assert replay.apply(line) == sample


@settings(max_examples=25)
@given(samples(), st.data())
def test_behind_a_line_that_is_gone_nothing_is_given_before_a_whole_one(
    found: list[DeepSample], data: st.DataObject
) -> None:
    gone = data.draw(st.integers(0, len(found) - 1))
    whole = to_deep_line(deep_line_of(found[-1], None))
    replay, lines = DeepReplay(), [*lines_of(found), whole]
    given = [replay.apply(from_deep_line(text)) for at, text in enumerate(lines) if at != gone]
    assert given[:gone] == found[:gone]
    assert all(isinstance(each, Refused) for each in given[gone:-1])
    assert given[-1] == found[-1]


def test_a_level_that_was_altered_is_refused_by_its_checksum() -> None:
    level, other = ("100", "1", "2"), ("100", "1", "3")
    sample = DeepSample(INST, T0, [level], [("101", "1", "1")], None, 0)
    assert checksum_of(sample) == 510_499_756 + 2_206_850_915, "the CRC-32 of `b 100 1 2` and of `a 101 1 1`"
    altered = msgspec.structs.replace(deep_line_of(sample, None), bids=[other])
    refused = DeepReplay().apply(altered)
    assert isinstance(refused, Refused) and "checksum" in refused.why


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"before_utc":null', b'"before_utc":"2026-01-01T00:00:00.000Z"'),
        (b'"channel":"books-full"', b'"channel":"books"'),
        (b'"checksum":', b'"checksum":-'),
        (b'["100","1","2"]', b'["100","1"]'),
        (b"}", b""),
    ],
)
def test_another_line_is_refused(old: bytes, new: bytes) -> None:
    sample = DeepSample(INST, T0, [("100", "1", "2")], [("101", "1", "1")], None, 0)
    text = to_deep_line(deep_line_of(sample, None))
    assert old in text
    with pytest.raises(LineError, match="not a line of"):
        from_deep_line(text.replace(old, new))


RPI_ONE = DeepSample(
    INST,
    T0,
    [("100", "3.5", "1", "2"), ("99", "4", "4", "1")],
    [("101", "0.3", "0", "1"), ("102", "5.0", "5.0", "3")],
    332_042_172_451,
    (T0 + 210) * 1000,
    kind="rpi",
)
RPI_TWO = msgspec.structs.replace(
    RPI_ONE, ts_ms=T0 + 30_000, bids=[("100", "3.5", "1.5", "2"), ("98", "1", "0", "1")], asks=RPI_ONE.asks[1:]
)


def test_lines_of_rpi_books_have_all_four_parts_and_give_back_every_sample() -> None:
    lines = lines_of([RPI_ONE, RPI_TWO])
    assert msgspec.json.decode(lines[1]) == {
        "timestamp_utc": "2026-01-01T00:00:30.000Z",
        "exchange": "okx",
        "market": "perp",
        "channel": "books-rpi",
        "instId": INST,
        "action": "update",
        "before_utc": "2026-01-01T00:00:00.000Z",
        "asks": [["101", "0", "0", "0"]],
        "bids": [["100", "3.5", "1.5", "2"], ["98", "1", "0", "1"], ["99", "0", "0", "0"]],
        "checksum": checksum_of(RPI_TWO),
        "seqId": 332_042_172_451,
        "recv_utc": "2026-01-01T00:00:00.210000Z",
    }
    replay = DeepReplay()
    assert [replay.apply(from_deep_line(text, RPI)) for text in lines] == [RPI_ONE, RPI_TWO]
    assert [to_deep_line(from_deep_line(text, RPI)) for text in lines] == lines


def test_the_checksum_sees_the_part_without_rpi_too() -> None:
    one, other = ("100", "2", "1", "3"), ("100", "2", "2", "3")
    sample = DeepSample(INST, T0, [one], [("101", "1", "1", "1")], None, 0, kind="rpi")
    assert checksum_of(sample) == (BID_OF_FOUR + ASK_OF_FOUR) & 0xFFFFFFFF, "of `b 100 2 1 3` and `a 101 1 1 1`"
    altered = msgspec.structs.replace(deep_line_of(sample, None), bids=[other])
    refused = DeepReplay().apply(altered)
    assert isinstance(refused, Refused) and "checksum" in refused.why


BID_OF_FOUR, ASK_OF_FOUR = 1_258_566_790, 3_711_910_607


@pytest.mark.parametrize("parts", [("3.5", "2"), ("3.5", "1", "2", "0"), ("3.5",)])
def test_a_line_of_rpi_books_with_levels_of_another_form_is_refused(parts: tuple[str, ...]) -> None:
    text = to_deep_line(msgspec.structs.replace(deep_line_of(RPI_ONE, None), asks=[("101", *parts)]))
    with pytest.raises(LineError, match="not a line of RPI books: a level has not 4 parts"):
        from_deep_line(text, RPI)


def test_a_line_of_one_kind_is_none_of_the_other() -> None:
    deep = DeepSample(INST, T0, [("100", "1", "2")], [("101", "1", "1")], None, 0)
    with pytest.raises(LineError, match="not a line of"):
        from_deep_line(to_deep_line(deep_line_of(deep, None)), RPI)
    with pytest.raises(LineError, match="not a line of"):
        from_deep_line(to_deep_line(deep_line_of(RPI_ONE, None)))


def test_what_rpi_orders_hold_is_exact() -> None:
    assert rpi_quantity(("1", "0.3", "0.1", "2")) == Decimal("0.2")
    assert rpi_quantity(("1", "0.3", "0", "2")) == Decimal("0.3")
    assert rpi_quantity(("1", "123456789012345678.1", "123456789012345678.0", "2")) == Decimal("0.1")
